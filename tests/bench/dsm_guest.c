/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsm_guest: what tests/bench/dsm measures in a guest over several slices. Says "NAME VALUE" lines.
 *
 *	dsm_guest stream [--mib N] [--times N]
 *	dsm_guest counter|lock|work [--ms N]
 *
 *	stream   one thread writes a region on the last node, is moved to the first, and reads it
 *	         once there: MiB/s of each time
 *	counter  a process on every processor adds one to the same word by AMO
 *	lock     the same by a spinlock and a plain counter beside it
 *	work     a process on every processor computes and writes a buffer of its own
 * For the last three: operations a second of all together, and the part that the slowest had.
 * Status 1: a sum is not what it has to be.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/guest.h"

#define WORDS      (GUEST_PAGE / 8)
#define PATIENCE_S 120u
#define LOOK       16u /* operations between looks at the time */
#define WORK_PAGES 256u

struct shared {
	struct guest_barrier barrier;
	/* On one page, as in a structure with its lock. */
	_Alignas(GUEST_PAGE) _Atomic uint64_t lock;
	_Atomic uint64_t count;
	_Alignas(GUEST_PAGE) struct {
		_Alignas(64) uint64_t n, ticks;
	} done[GUEST_CPUS_MAX];
};

static struct {
	struct guest_cpus cpus;
	uint64_t ms, mib, times;
	struct shared *s;
} t = {.ms = 1000, .mib = 64, .times = 3};

/* ---- a region that another node has written -------------------------------------------------- */

static uint64_t word_of(uint64_t i, uint64_t time)
{
	return i * UINT64_C(0x9e3779b97f4a7c15) + time;
}

static uint64_t write_all(uint64_t *p, uint64_t words, uint64_t time)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < words; i++)
		sum += p[i] = word_of(i, time);
	return sum;
}

static uint64_t read_all(const volatile uint64_t *p, uint64_t words)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < words; i++)
		sum += p[i];
	return sum;
}

/* One thread in turn on both, so that nobody else needs a processor of the hosts meanwhile. */
static int stream(void)
{
	const uint64_t pages = t.mib << 8, words = pages * WORDS;
	const unsigned writer = t.cpus.nodes - 1;
	uint64_t *p = guest_pages(pages, t.cpus.node[writer]);
	for (uint64_t time = 0; time < t.times; time++) {
		guest_pin(t.cpus.cpu[writer]);
		uint64_t want = write_all(p, words, time);
		guest_pin(t.cpus.cpu[0]);
		uint64_t began = guest_ticks(), got = read_all(p, words);
		uint64_t ticks = guest_ticks() - began;
		if (got != want) {
			printf("stream: the region has other words than were written\n");
			return 1;
		}
		printf("mib_s %.3f\n", (double)t.mib * 1e6 * GUEST_TICKS_US / (double)ticks);
	}
	return 0;
}

/* ---- processes that share -------------------------------------------------------------------- */

static void count_once(uint64_t *own)
{
	(void)own;
	atomic_fetch_add(&t.s->count, 1);
}

static void lock_once(uint64_t *own)
{
	(void)own;
	while (atomic_exchange_explicit(&t.s->lock, 1, memory_order_acquire) != 0)
		while (atomic_load_explicit(&t.s->lock, memory_order_relaxed) != 0)
			;
	uint64_t n = atomic_load_explicit(&t.s->count, memory_order_relaxed);
	atomic_store_explicit(&t.s->count, n + 1, memory_order_relaxed);
	atomic_store_explicit(&t.s->lock, 0, memory_order_release);
}

static void work_once(uint64_t *own)
{
	for (unsigned i = 0; i < WORDS; i++)
		own[i] = guest_mix(own[i], i);
}

static void process_main(unsigned me, void (*once)(uint64_t *own))
{
	uint64_t *own = NULL, n = 0, began;
	alarm(PATIENCE_S);
	guest_pin(t.cpus.cpu[me]);
	if (once == work_once)
		own = guest_pages(WORK_PAGES, t.cpus.node[me]);
	guest_barrier(&t.s->barrier, t.cpus.n);
	began = guest_ticks();
	const uint64_t end = began + t.ms * 1000 * GUEST_TICKS_US;
	while (n % LOOK != 0 || (int64_t)(guest_ticks() - end) < 0) {
		once(own == NULL ? NULL : own + n % WORK_PAGES * WORDS);
		n++;
	}
	t.s->done[me].ticks = guest_ticks() - began;
	t.s->done[me].n = n;
}

/* Each on its processor, with page tables of its own. */
static void processes_run(void (*once)(uint64_t *own))
{
	pid_t pids[GUEST_CPUS_MAX];
	fflush(stdout);
	for (unsigned i = 0; i < t.cpus.n; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			guest_die("no process");
		if (pids[i] == 0) {
			process_main(i, once);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < t.cpus.n; i++) {
		int status;
		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			guest_die("a process did not end well");
	}
}

static int share(void (*once)(uint64_t *own))
{
	uint64_t all = 0, least = UINT64_MAX;
	double rate = 0;
	t.s = guest_shared_pages((sizeof(*t.s) + GUEST_PAGE - 1) / GUEST_PAGE, t.cpus.node[0]);
	processes_run(once);
	for (unsigned i = 0; i < t.cpus.n; i++) {
		uint64_t n = t.s->done[i].n;
		all += n;
		least = n < least ? n : least;
		rate += (double)n * 1e6 * GUEST_TICKS_US / (double)t.s->done[i].ticks;
	}
	if (once != work_once && atomic_load(&t.s->count) != all) {
		printf("%llu operations are counted, %llu were done\n",
			(unsigned long long)atomic_load(&t.s->count), (unsigned long long)all);
		return 1;
	}
	printf("rate %.3f\nleast %.4f\n", rate, (double)least / (double)all);
	return 0;
}

int main(int argc, char **argv)
{
	const struct guest_opt opts[] = {
		{"ms", &t.ms},
		{"mib", &t.mib},
		{"times", &t.times},
	};
	if (argc < 2)
		guest_die("stream, counter, lock or work?");
	guest_options(argc - 1, argv + 1, opts, sizeof(opts) / sizeof(opts[0]));
	guest_cpus(&t.cpus);
	if (strcmp(argv[1], "stream") == 0)
		return stream();
	if (strcmp(argv[1], "counter") == 0)
		return share(count_once);
	if (strcmp(argv[1], "lock") == 0)
		return share(lock_once);
	if (strcmp(argv[1], "work") == 0)
		return share(work_once);
	guest_die("%s: not stream, counter, lock or work", argv[1]);
}
