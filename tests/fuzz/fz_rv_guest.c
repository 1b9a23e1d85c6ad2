/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory and registers: the input is where execution begins, its first bytes choose
 * privilege, translation and registers. Whatever it does, the engine only ever stops.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tests/lib/vcpu_direct.h"
#include "vcpu/rv64/rv_hart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_BYTES  (UINT64_C(256) << 10)
#define INSNS_MAX  50000
#define TRAPS_MAX  2000
#define HEAD_BYTES 16

static struct machine {
	struct vcpu_direct direct;
	struct dsm_ram ram;
	struct vcpu_group *group;
	struct vcpu_env env;
	struct vcpu *v, *all[2]; /* the guest is told of two harts: both are `v` */
	sem_t begin, end;
	_Atomic bool running;
} m;

static uint64_t env_time_ns(void *ctx)
{
	return atomic_load(vcpu_retired(m.v)) * 100;
}

static int env_mmio_read(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value)
{
	*value = addr.v;
	return addr.v % 3 == 0 ? ERR_NOT_FOUND : addr.v % 3 == 1 ? ERR_IO : 0;
}

static int env_mmio_write(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value)
{
	return addr.v % 3 == 0 ? ERR_NOT_FOUND : 0;
}

static void env_io_fence(void *ctx, vcpu_id_t self)
{
}

static void env_fence(
	void *ctx, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f)
{
}

static void env_reset(void *ctx, vcpu_id_t self, enum vcpu_reset type, uint32_t reason)
{
	vcpu_stop(m.v);
}

static void env_console_write(void *ctx, const void *buf, size_t len)
{
	CHECK(len > 0);
}

static size_t env_console_read(void *ctx, void *buf, size_t len)
{
	memset(buf, 'x', len);
	return len;
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

static bool enough(uint64_t insns, uint64_t traps)
{
	struct vcpu_stats st;
	vcpu_stats_get(m.v, &st);
	return atomic_load(&m.v->sleeping) || st.instructions - insns > INSNS_MAX ||
	       st.traps - traps > TRAPS_MAX;
}

/* A guest that sleeps, stops its hart or loops would never come back. */
static void *watch(void *arg)
{
	for (;;) {
		struct vcpu_stats st;
		while (sem_wait(&m.begin) != 0)
			;
		vcpu_stats_get(m.v, &st);
		while (atomic_load(&m.running)) {
			if (enough(0, st.traps))
				vcpu_stop(m.v);
			sched_yield();
		}
		CHECK(sem_post(&m.end) == 0);
	}
	return NULL;
}

static void machine_make(void)
{
	static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
	struct vcpu_cfg cfg = {.svadu = true};
	pthread_t thread;

	m.ram = (struct dsm_ram){.host = ram, .base = {RV64_RAM_BASE}, .bytes = RAM_BYTES};
	CHECK(vcpu_group_create(1, &m.group) == 0);
	m.env = (struct vcpu_env){.ops = &ops,
		.ram = &m.ram,
		.ctx = &m.direct,
		.n_vcpus = {ARRAY_SIZE(m.all)},
		.group = m.group};
	CHECK(vcpu_rv64_create(&cfg, &m.env, &m.v) == 0);
	m.all[0] = m.all[1] = m.v;
	m.direct.v = m.all;
	CHECK(sem_init(&m.begin, 0, 0) == 0 && sem_init(&m.end, 0, 0) == 0);
	CHECK(pthread_create(&thread, NULL, watch, NULL) == 0);
	CHECK(pthread_detach(thread) == 0);
}

static void state_choose(struct vcpu_state_rv64 *s, const uint8_t *head)
{
	uint64_t seed;

	memcpy(&seed, head + 8, sizeof(seed));
	memset(s, 0, sizeof(*s));
	s->pc = RV64_RAM_BASE;
	s->stvec = RV64_RAM_BASE + 4u * head[1];
	s->priv = head[0] & 1;
	s->sstatus = RV_SSTATUS_FS | ((head[0] & 2) != 0 ? RV_SSTATUS_SUM : 0) |
		     ((head[0] & 4) != 0 ? RV_SSTATUS_SIE : 0);
	s->sie = (head[0] & 8) != 0 ? RV_IP_ALL : 0;
	if ((head[0] & 16) != 0)
		s->satp = ((head[0] & 32) != 0 ? UINT64_C(9) : UINT64_C(8)) << 60 |
			  ((RV64_RAM_BASE >> 12) + head[2] % 64);
	s->fcsr = head[3];
	s->stimecmp = 30000;
	s->hsm = VCPU_STARTED;
	for (unsigned i = 1; i < 32; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		/* Half of them point into memory. */
		s->x[i] = (i & 1) != 0 ? RV64_RAM_BASE + (seed >> 33) % RAM_BYTES : seed;
		s->f[i] = seed ^ UINT64_C(0x7ff0000000000000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vcpu_state_rv64 s;

	if (size < HEAD_BYTES || size > RAM_BYTES)
		return 0;
	if (m.v == NULL)
		machine_make();
	memset(m.ram.host, 0, RAM_BYTES);
	memcpy(m.ram.host, data + HEAD_BYTES, size - HEAD_BYTES);
	state_choose(&s, data);
	CHECK(vcpu_rv64_set_state(m.v, &s) == 0);
	atomic_store(&m.running, true);
	CHECK(sem_post(&m.begin) == 0);
	vcpu_run(m.v);
	atomic_store(&m.running, false);
	while (sem_wait(&m.end) != 0)
		;
	/* It may have been told to stop once more, too late. */
	vcpu_stop(m.v);
	vcpu_run(m.v);
	/* What it has become could be sent, and taken. */
	CHECK(vcpu_rv64_get_state(m.v, &s) == 0);
	CHECK(s.hsm == VCPU_START_PENDING || vcpu_rv64_set_state(m.v, &s) == 0);
	return 0;
}
