/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one flat S-mode program on the rv64 engine alone: plain memory (or, to compare, that of a
 * slice that is alone), no devices. The program is
 * loaded at 0x80200000 and entered on hart 0 with a0 = hart id, a1 = 0; the SBI console is stdout;
 * SBI reset ends it (shutdown without a reason: status 0, anything else 1).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "proto/rv64_map.h"
#include "tests/lib/vcpu_direct.h"
#include "vcpu/vcpu.h"

#define HARTS_MAX      64
#define ENTRY          UINT64_C(0x80200000)
#define STATUS_TIMEOUT 124

struct fence_wait {
	_Atomic unsigned left;
	struct vcpu *waiter;
};

struct machine {
	struct vcpu_direct direct; /* first: the context of the environment */
	struct dsm_ram ram;
	struct vcpu_group *group;
	unsigned n;
	struct vcpu *vcpus[HARTS_MAX];
	struct fence_wait waits[HARTS_MAX];
	uint64_t start_ns;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool ended;
	int status;
};

static uint64_t env_time_ns(void *ctx)
{
	const struct machine *m = ctx;
	return clock_now_ns(clock_host()) - m->start_ns;
}

static int env_mmio_read(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value)
{
	return ERR_NOT_FOUND;
}

static int env_mmio_write(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value)
{
	return ERR_NOT_FOUND;
}

static void env_io_fence(void *ctx, vcpu_id_t self)
{
}

static void fence_done(void *arg)
{
	struct fence_wait *w = arg;
	atomic_fetch_sub(&w->left, 1);
	vcpu_kick(w->waiter);
}

static void env_fence(
	void *ctx, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f)
{
	struct machine *m = ctx;
	struct fence_wait *w = &m->waits[self.v];

	for (unsigned i = 0; i < m->n; i++) {
		if ((targets[i / 64] >> (i % 64) & 1) == 0)
			continue;
		atomic_fetch_add(&w->left, 1);
		CHECK(vcpu_post_fence(m->vcpus[i], f, fence_done, w) == 0);
	}
	while (atomic_load(&w->left) != 0 && !vcpu_stopping(w->waiter))
		vcpu_idle(w->waiter, UINT64_MAX);
}

static void machine_end(struct machine *m, int status)
{
	pthread_mutex_lock(&m->lock);
	if (!m->ended) {
		m->ended = true;
		m->status = status;
		pthread_cond_signal(&m->cond);
	}
	pthread_mutex_unlock(&m->lock);
}

static void env_reset(void *ctx, vcpu_id_t self, enum vcpu_reset type, uint32_t reason)
{
	machine_end(ctx, type == VCPU_RESET_SHUTDOWN && reason == 0 ? 0 : 1);
}

static void env_console_write(void *ctx, const void *buf, size_t len)
{
	(void)fwrite(buf, 1, len, stdout);
}

static size_t env_console_read(void *ctx, void *buf, size_t len)
{
	return 0;
}

static const struct vcpu_env_ops ops = {
	VCPU_DIRECT_OPS,
	.time_ns = env_time_ns,
	.mmio_read = env_mmio_read,
	.mmio_write = env_mmio_write,
	.io_fence = env_io_fence,
	.fence = env_fence,
	.reset = env_reset,
	.console_write = env_console_write,
	.console_read = env_console_read,
};

static void *hart_thread(void *arg)
{
	vcpu_run(arg);
	return NULL;
}

static void load(struct machine *m, const char *path)
{
	uint64_t room = m->ram.bytes - (ENTRY - RV64_RAM_BASE), got = 0;
	uint8_t *to = m->ram.host + (ENTRY - RV64_RAM_BASE);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0)
		goto failed;
	while (got < room && (n = read(fd, to + got, room - got)) > 0)
		got += (uint64_t)n;
	if (n < 0)
		goto failed;
	close(fd);
	return;
failed:
	fprintf(stderr, "rv-run: %s: %m\n", path);
	exit(2);
}

static int wait_end(struct machine *m, unsigned seconds)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&m->lock);
	while (!m->ended && rc == 0)
		rc = pthread_cond_timedwait(&m->cond, &m->lock, &until);
	int status = m->ended ? m->status : STATUS_TIMEOUT;
	pthread_mutex_unlock(&m->lock);
	return status;
}

static void report(const struct machine *m)
{
	double s = (double)env_time_ns((void *)m) / 1e9;

	for (unsigned i = 0; i < m->n; i++) {
		struct vcpu_stats st;
		vcpu_stats_get(m->vcpus[i], &st);
		fprintf(stderr,
			"rv-run: hart %u, %lu instructions, %.1f MIPS, %lu traps, %lu interrupts, "
			"%lu wfi, %lu fences, %lu sc failed, %lu blocks, %lu bytes of code\n",
			i, (unsigned long)st.instructions, (double)st.instructions / s / 1e6,
			(unsigned long)st.traps, (unsigned long)st.interrupts,
			(unsigned long)st.wfi, (unsigned long)st.fences,
			(unsigned long)st.sc_failed, (unsigned long)st.blocks,
			(unsigned long)st.code_bytes);
	}
}

static int run(struct machine *m, const struct vcpu_cfg *like, unsigned seconds, bool stats)
{
	pthread_t threads[HARTS_MAX];
	struct vcpu_env env = {.ops = &ops, .ctx = m, .ram = &m->ram, .n_vcpus = {(uint16_t)m->n}};

	CHECK(vcpu_group_create(m->n, &m->group) == 0);
	env.group = m->group;
	m->direct.v = m->vcpus;
	for (unsigned i = 0; i < m->n; i++) {
		struct vcpu_cfg cfg = *like;
		cfg.id = (vcpu_id_t){(uint16_t)i};
		cfg.slot = i;
		CHECK(vcpu_rv64_create(&cfg, &env, &m->vcpus[i]) == 0);
		m->waits[i].waiter = m->vcpus[i];
	}
	m->start_ns = clock_now_ns(clock_host());
	CHECK(vcpu_hsm_start(m->vcpus[0], ENTRY, 0) == 0);
	for (unsigned i = 0; i < m->n; i++)
		CHECK(pthread_create(&threads[i], NULL, hart_thread, m->vcpus[i]) == 0);
	int status = wait_end(m, seconds);
	if (stats)
		report(m);
	for (unsigned i = 0; i < m->n; i++)
		vcpu_stop(m->vcpus[i]);
	for (unsigned i = 0; i < m->n; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	for (unsigned i = 0; i < m->n; i++)
		vcpu_destroy(m->vcpus[i]);
	vcpu_group_destroy(m->group);
	return status;
}

static unsigned number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	return *text == '\0' || *end != '\0' || v > UINT32_MAX ? 0 : (unsigned)v;
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: rv-run [-n harts] [-m MiB] [-t seconds] [-a] [-d] [-s] "
			"[-j arrivals] [-c KiB] program\n"
			"  -d  the memory of a slice that is alone\n"
			"  -a  no hardware updates of A and D\n"
			"  -s  statistics to stderr\n"
			"  -j  translate what is reached so often; 0: the default number\n"
			"  -c  size of the code cache of each hart\n");
	exit(2);
}

/* As QEMU has it. */
static void *memory_plain(struct machine *m)
{
	void *p = mmap(NULL, m->ram.bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		perror("rv-run: guest memory");
		exit(2);
	}
	(void)madvise(p, m->ram.bytes, MADV_HUGEPAGE);
	return p;
}

static struct dsm *memory_of_slice(struct machine *m)
{
	const struct dsm_node node = {.start = m->ram.base, .bytes = m->ram.bytes};
	const struct dsm_cfg cfg = {.nodes = &node, .n_nodes = 1, .uffd_dev = -1};
	struct dsm *dsm;
	if (dsm_create(&cfg, &dsm) != 0)
		exit(2);
	m->ram = *dsm_ram(dsm);
	return dsm;
}

int main(int argc, char **argv)
{
	static struct machine m = {
		.n = 1, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	unsigned mib = 128, seconds = 60;
	struct vcpu_cfg cfg = {.svadu = true};
	bool stats = false, slice = false;
	struct dsm *dsm = NULL;
	int c;

	log_init("rv-run", NULL);
	while ((c = getopt(argc, argv, "n:m:t:adsj:c:")) != -1) {
		if (c == 'n')
			m.n = number(optarg);
		else if (c == 'm')
			mib = number(optarg);
		else if (c == 't')
			seconds = number(optarg);
		else if (c == 'a')
			cfg.svadu = false;
		else if (c == 'd')
			slice = true;
		else if (c == 's')
			stats = true;
		else if (c == 'j')
			cfg.jit = true, cfg.jit_threshold = number(optarg);
		else if (c == 'c')
			cfg.jit_cache_bytes = (size_t)number(optarg) << 10;
		else
			usage();
	}
	if (optind + 1 != argc || m.n < 1 || m.n > HARTS_MAX || mib < 16 || mib > 8192)
		usage();
	m.ram = (struct dsm_ram){.base = {RV64_RAM_BASE}, .bytes = (uint64_t)mib << 20};
	if (slice)
		dsm = memory_of_slice(&m);
	else
		m.ram.host = memory_plain(&m);
	load(&m, argv[optind]);
	int status = run(&m, &cfg, seconds, stats);
	fflush(stdout);
	if (dsm != NULL)
		dsm_destroy(dsm);
	if (status == STATUS_TIMEOUT)
		fprintf(stderr, "rv-run: no end within %u s\n", seconds);
	return status;
}
