/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void guest_die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(2);
}

/* ---- processors ----------------------------------------------------------------------------- */

static bool cpu_in_node(unsigned cpu, unsigned node)
{
	char path[96];
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpu%u", node, cpu);
	return access(path, F_OK) == 0;
}

void guest_cpus(struct guest_cpus *out)
{
	unsigned n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), of[GUEST_CPUS_MAX];
	*out = (struct guest_cpus){.n = n};
	if (n == 0 || n > GUEST_CPUS_MAX)
		guest_die("%u processors", n);
	for (unsigned c = 0; c < n; c++) {
		of[c] = 0;
		while (!cpu_in_node(c, of[c]))
			if (++of[c] == GUEST_CPUS_MAX)
				guest_die("processor %u is of no node", c);
		if (of[c] >= out->nodes)
			out->nodes = of[c] + 1;
	}
	for (unsigned at = 0, rank = 0; at < n; rank++)
		for (unsigned node = 0; node < out->nodes; node++)
			for (unsigned c = 0, seen = 0; c < n; c++)
				if (of[c] == node && seen++ == rank) {
					out->cpu[at] = c;
					out->node[at++] = node;
				}
}

void guest_pin(unsigned cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		guest_die("processor %u: %s", cpu, strerror(errno));
}

unsigned guest_cpu_now(void)
{
	return (unsigned)sched_getcpu();
}

/* ---- memory --------------------------------------------------------------------------------- */

static void *pages_on(size_t n, unsigned node, int sharing)
{
	size_t bytes = n * GUEST_PAGE;
	unsigned long mask = 1ul << node;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || madvise(p, bytes, MADV_NOHUGEPAGE) != 0 ||
		syscall(SYS_mbind, p, bytes, MPOL_BIND, &mask, 64ul, MPOL_MF_STRICT) != 0)
		guest_die("memory on node %u: %s", node, strerror(errno));
	for (size_t i = 0; i < n; i++) {
		int on = -1;
		void *at = p + i * GUEST_PAGE;
		*(volatile uint64_t *)at = 0;
		if (syscall(SYS_move_pages, 0, 1ul, &at, NULL, &on, 0) != 0 || on != (int)node)
			guest_die("a page is on node %d and not on %u", on, node);
	}
	return p;
}

void *guest_pages(size_t n, unsigned node)
{
	return pages_on(n, node, MAP_PRIVATE);
}

void *guest_shared_pages(size_t n, unsigned node)
{
	return pages_on(n, node, MAP_SHARED);
}

/* ---- time and chance ------------------------------------------------------------------------ */

uint64_t guest_ticks(void)
{
	uint64_t t;
	__asm__ volatile("rdtime %0" : "=r"(t)::"memory");
	return t;
}

uint64_t guest_clock_ns(void)
{
	struct timespec t;
	if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
		guest_die("clock_gettime: %s", strerror(errno));
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Long waits leave the processor to others, of the host as well: there may be more of the guest's
 * than of its. Waking takes up to a millisecond here, since the kernel's pages have to come too.
 */
void guest_wait_until(uint64_t ticks)
{
	const int64_t wake = 1000 * GUEST_TICKS_US;
	int64_t left = (int64_t)(ticks - guest_ticks());
	if (left > 2 * wake) {
		struct timespec t = {.tv_nsec = (left - wake) * (1000 / GUEST_TICKS_US)};
		if (left < 1000000 * GUEST_TICKS_US)
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	}
	while ((int64_t)(guest_ticks() - ticks) < 0)
		;
}

uint64_t guest_mix(uint64_t a, uint64_t b)
{
	/* splitmix64 */
	uint64_t x = a + b * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* ---- threads -------------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	unsigned i, cpu;
	void (*body)(void *arg, unsigned i);
	void *arg;
};

static const char *running;

static void *worker_main(void *p)
{
	struct worker *w = p;
	guest_pin(w->cpu);
	w->body(w->arg, w->i);
	return NULL;
}

/* The threads may be stuck in loops, so no lock that they could hold is taken. */
static void on_alarm(int sig)
{
	static const char text[] = ": FAIL, not done in time\n";
	(void)sig;
	if (write(STDOUT_FILENO, running, strlen(running)) > 0 &&
		write(STDOUT_FILENO, text, sizeof(text) - 1) > 0)
		_exit(1);
	_exit(1);
}

void guest_run(const struct guest_cpus *cpus, unsigned n, unsigned seconds, const char *name,
	void (*body)(void *arg, unsigned i), void *arg)
{
	static struct worker workers[GUEST_CPUS_MAX];
	if (n > cpus->n)
		guest_die("%s wants %u processors, there are %u", name, n, cpus->n);
	fflush(stdout);
	running = name;
	signal(SIGALRM, on_alarm);
	alarm(seconds);
	for (unsigned i = 0; i < n; i++) {
		workers[i] = (struct worker){.i = i, .cpu = cpus->cpu[i], .body = body, .arg = arg};
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
			guest_die("no thread");
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	alarm(0);
}

void guest_barrier(struct guest_barrier *b, unsigned n)
{
	unsigned phase = atomic_load(&b->phase);
	if (atomic_fetch_add(&b->arrived, 1) + 1 == n) {
		atomic_store(&b->arrived, 0);
		atomic_store(&b->phase, phase + 1);
		return;
	}
	while (atomic_load(&b->phase) == phase)
		;
}

/* ---- options -------------------------------------------------------------------------------- */

void guest_options(int argc, char **argv, const struct guest_opt *opts, size_t n)
{
	for (int i = 1; i < argc; i += 2) {
		const struct guest_opt *o = NULL;
		char *end = NULL;
		for (size_t j = 0; j < n; j++)
			if (strncmp(argv[i], "--", 2) == 0 &&
				strcmp(argv[i] + 2, opts[j].name) == 0)
				o = &opts[j];
		if (o == NULL || i + 1 == argc)
			guest_die("%s: not an option, or without its number", argv[i]);
		*o->value = strtoull(argv[i + 1], &end, 0);
		if (end == argv[i + 1] || *end != '\0')
			guest_die("%s %s: not a number", argv[i], argv[i + 1]);
	}
}
