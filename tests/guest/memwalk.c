/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memwalk: fills all free memory with pages that say what they are, and verifies every word of
 * every page from every processor.
 *
 *	memwalk [--leave MIB] [--rounds N] [--seconds N]
 *
 * Each round writes all pages anew, every page from another processor than before; then all
 * processors at once walk all pages, each from a different place. --leave MIB stay free for the
 * kernel and others.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

#define WORDS  (GUEST_PAGE / 8)
#define STRIDE 256u /* pages */

/* The head of a page; the rest is a random sequence from its sum. */
struct head {
	uint64_t address, generation, writer, sum;
};
#define HEAD_WORDS (sizeof(struct head) / 8)

static struct {
	struct guest_cpus cpus;
	uint64_t rounds, n, steps; /* pages; steps of progress */
	char *pages;
	struct guest_barrier barrier;
	_Atomic uint64_t walked, bad;
} t;

static uint64_t page_sum(const struct head *h)
{
	return guest_mix(guest_mix(h->address, h->generation), h->writer);
}

static void page_write(char *p, uint64_t generation, unsigned writer)
{
	uint64_t *w = (uint64_t *)p;
	struct head h = {(uintptr_t)p, generation, writer, 0};
	h.sum = page_sum(&h);
	memcpy(p, &h, sizeof(h));
	for (unsigned i = HEAD_WORDS; i < WORDS; i++)
		w[i] = h.sum += i;
}

static void page_check(const char *p, uint64_t generation, unsigned writer, unsigned me)
{
	const uint64_t *w = (const uint64_t *)p;
	struct head h;
	memcpy(&h, p, sizeof(h));
	bool bad = h.address != (uintptr_t)p || h.generation != generation || h.writer != writer ||
		   h.sum != page_sum(&h);
	for (unsigned i = HEAD_WORDS; i < WORDS; i++)
		bad |= w[i] != (h.sum += i);
	if (bad && atomic_fetch_add(&t.bad, 1) < 10)
		printf("memwalk: page %p, seen by %u: address %llx, generation %llu for %llu, "
		       "writer %llu for %u\n",
			(const void *)p, me, (unsigned long long)h.address,
			(unsigned long long)h.generation, (unsigned long long)generation,
			(unsigned long long)h.writer, writer);
}

static unsigned writer_of(uint64_t page, uint64_t round)
{
	return (unsigned)((page / 64 + round) % t.cpus.n);
}

/* A line for each tenth of the walk. Called for each STRIDE pages: the counter is a shared page. */
static void progress(void)
{
	uint64_t n = atomic_fetch_add(&t.walked, STRIDE) + STRIDE;
	if (n / t.steps != (n - STRIDE) / t.steps) {
		printf("memwalk: %llu of %llu pages walked\n", (unsigned long long)n,
			(unsigned long long)(t.n * t.cpus.n * t.rounds));
		fflush(stdout);
	}
}

static void thread_main(void *arg, unsigned me)
{
	(void)arg;
	for (uint64_t round = 0; round < t.rounds; round++) {
		for (uint64_t i = 0; i < t.n; i++)
			if (writer_of(i, round) == me)
				page_write(t.pages + i * GUEST_PAGE, round, me);
		guest_barrier(&t.barrier, t.cpus.n);
		for (uint64_t i = 0; i < t.n; i++) {
			uint64_t at = (i + t.n * me / t.cpus.n) % t.n;
			page_check(t.pages + at * GUEST_PAGE, round, writer_of(at, round), me);
			if (i % STRIDE == STRIDE - 1)
				progress();
		}
		guest_barrier(&t.barrier, t.cpus.n);
	}
}

static uint64_t available_mib(void)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (kib == 0)
		guest_die("no MemAvailable in /proc/meminfo");
	fclose(f);
	return kib >> 10;
}

int main(int argc, char **argv)
{
	uint64_t leave = 40, seconds = 300;
	t.rounds = 2;
	const struct guest_opt opts[] = {
		{"leave", &leave},
		{"rounds", &t.rounds},
		{"seconds", &seconds},
	};
	guest_options(argc, argv, opts, sizeof(opts) / sizeof(opts[0]));
	guest_cpus(&t.cpus);
	uint64_t mib = available_mib();
	if (mib <= leave)
		guest_die("memwalk: %llu MiB are free", (unsigned long long)mib);
	mib -= leave;
	t.n = mib << 8;
	t.steps = t.n * t.cpus.n * t.rounds / 10;
	t.pages = mmap(NULL, t.n * GUEST_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t.pages == MAP_FAILED)
		guest_die("memwalk: %llu MiB: %s", (unsigned long long)mib, strerror(errno));
	uint64_t began = guest_ticks();
	guest_run(&t.cpus, t.cpus.n, (unsigned)seconds, "memwalk", thread_main, NULL);
	printf("memwalk: %llu MiB, %llu rounds by %u processors in %llu s: %llu bad pages: %s\n",
		(unsigned long long)mib, (unsigned long long)t.rounds, t.cpus.n,
		(unsigned long long)(guest_ticks() - began) / (1000000 * GUEST_TICKS_US),
		(unsigned long long)t.bad, t.bad == 0 ? "PASS" : "FAIL");
	return t.bad == 0 ? 0 : 1;
}
