/* SPDX-License-Identifier: Apache-2.0 */
/*
 * litmus: the classic small programs on the order of loads and stores, by threads on processors of
 * different nodes, each variable on a page with a home of its own.
 *
 *	litmus [--count N] [--instances N] [--seconds N] [--seed N]
 *
 * A fence stands between any two accesses of a thread (none where both are to one location), so
 * RVWMO allows what sequential consistency does (RISC-V unprivileged specification 20240411, A.3);
 * what that is comes from trying all interleavings. Each shape runs until each allowed outcome was
 * seen --count times and --instances have run, at most --seconds. A batch of instances shares one
 * rendezvous; within it the threads meet by the time CSR:
 *  - a quarter are races: all begin within a span that varies from 0.1 to 400 us;
 *  - the others aim at the outcome seen least so far: each access at its place in an interleaving
 *    that has it, 10 us to 3 ms apart, mostly by the step that has brought this outcome soonest.
 *    What comes out is up to the machine.
 * Before each instance its pages are dealt anew: who wrote last, who has read copies, and who reads
 * a copy right before it begins.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

#define BATCH       64
#define THREADS_MAX 4
#define VARS_MAX    2
#define OPS_MAX     2 /* of a thread */
#define REGS_MAX    4
#define OUTCOMES    (1u << REGS_MAX)
#define ORDERS_MAX  180 /* 6! / (2! 2!), those of IRIW */
#define GAP_TICKS   (300 * GUEST_TICKS_US)

static const unsigned step_us[] = {10, 30, 100, 300, 1000, 3000};
#define STEPS (sizeof(step_us) / sizeof(step_us[0]))

enum what { NONE, W, R };
struct op {
	enum what what;
	unsigned var, reg;
};
struct shape {
	const char *name;
	unsigned threads, vars, regs;
	bool fence;
	struct op ops[THREADS_MAX][OPS_MAX];
};

enum { X, Y };
static const struct shape shapes[] = {
	{"MP", 2, 2, 2, true, {{{W, X, 0}, {W, Y, 0}}, {{R, Y, 0}, {R, X, 1}}}},
	{"SB", 2, 2, 2, true, {{{W, X, 0}, {R, Y, 0}}, {{W, Y, 0}, {R, X, 1}}}},
	{"LB", 2, 2, 2, true, {{{R, X, 0}, {W, Y, 0}}, {{R, Y, 1}, {W, X, 0}}}},
	{"CoRR", 2, 1, 2, false, {{{W, X, 0}}, {{R, X, 0}, {R, X, 1}}}},
	{"IRIW", 4, 2, 4, true,
		{{{W, X, 0}}, {{W, Y, 0}}, {{R, X, 0}, {R, Y, 1}}, {{R, Y, 2}, {R, X, 3}}}},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* An interleaving: the place of each access in it. */
struct order {
	unsigned outcome;
	unsigned place[THREADS_MAX][OPS_MAX];
};

/* What one thread saw in a batch; written by it alone. */
struct seen {
	_Alignas(GUEST_PAGE) uint64_t reg[BATCH][REGS_MAX];
	uint64_t bad_final;
};

/* One shape under test. Written by thread 0 between two barriers, unless said otherwise. */
static struct {
	const struct shape *shape;
	struct guest_cpus cpus;
	uint64_t count, instances, ticks, seed;

	struct order orders[ORDERS_MAX];
	unsigned n_orders;
	bool allowed[OUTCOMES];

	char *pages[GUEST_CPUS_MAX]; /* by node: BATCH * VARS_MAX pages */
	struct guest_barrier barrier;
	struct seen seen[THREADS_MAX]; /* each by its thread */
	uint64_t round, start;
	struct {
		unsigned order, step; /* indexes of orders and step_us */
	} aim[BATCH];
	struct {
		uint64_t tries, hits;
	} aimed[OUTCOMES][STEPS];
	bool done;

	uint64_t total, hist[OUTCOMES], bad_value, bad_final;
} t;

/* ---- what is allowed ------------------------------------------------------------------------ */

static void explore(struct order *o, unsigned at, unsigned next[THREADS_MAX], unsigned mem)
{
	const struct shape *s = t.shape;
	bool end = true;
	for (unsigned i = 0; i < s->threads; i++) {
		if (next[i] == OPS_MAX || s->ops[i][next[i]].what == NONE)
			continue;
		end = false;
		const struct op *op = &s->ops[i][next[i]];
		struct order longer = *o;
		longer.place[i][next[i]] = at;
		if (op->what == R)
			longer.outcome |= (mem >> op->var & 1) << op->reg;
		next[i]++;
		explore(&longer, at + 1, next, op->what == W ? mem | 1u << op->var : mem);
		next[i]--;
	}
	if (!end)
		return;
	if (t.n_orders == ORDERS_MAX)
		guest_die("%s has more interleavings than expected", s->name);
	t.orders[t.n_orders++] = *o;
	t.allowed[o->outcome] = true;
}

/* ---- an instance ---------------------------------------------------------------------------- */

static uint64_t instance_hash(unsigned i)
{
	return guest_mix(t.seed + t.round * BATCH + i, (uint64_t)(t.shape - shapes));
}

static volatile uint64_t *variable(unsigned i, unsigned var, uint64_t h)
{
	char *pool = t.pages[(var + t.round) % t.cpus.nodes];
	uint64_t slot = 8 + guest_mix(h, 100 + var) % (GUEST_PAGE / 8 - 8);
	return (volatile uint64_t *)(pool + (i * VARS_MAX + var) * (size_t)GUEST_PAGE) + slot;
}

struct plan {
	uint64_t at[OPS_MAX]; /* ticks after the instance's start */
	bool apart;           /* the second access has a time of its own */
	uint64_t length;      /* until the next instance, the same for all threads */
};

static bool is_race(uint64_t h)
{
	return h % 4 == 0;
}

static struct plan plan(unsigned me, unsigned i, uint64_t h)
{
	if (is_race(h)) {
		uint64_t span = UINT64_C(1) << (h >> 2) % 13;
		return (struct plan){.at = {guest_mix(h, me) % span}, .length = span + GAP_TICKS};
	}
	const struct order *o = &t.orders[t.aim[i].order];
	uint64_t step = step_us[t.aim[i].step] * (uint64_t)GUEST_TICKS_US;
	return (struct plan){
		.at = {o->place[me][0] * step, o->place[me][1] * step},
		.apart = true,
		.length = (THREADS_MAX + 2) * step + GAP_TICKS,
	};
}

static void deal(unsigned me)
{
	const struct shape *s = t.shape;
	for (unsigned i = 0; i < BATCH; i++)
		for (unsigned v = 0; v < s->vars; v++) {
			uint64_t h = instance_hash(i);
			if (guest_mix(h, 200 + v) % s->threads != me)
				continue;
			volatile uint64_t *p = variable(i, v, h);
			*(volatile uint64_t *)((uintptr_t)p & -(uintptr_t)GUEST_PAGE) = GUEST_MARK;
			*p = 0;
		}
	guest_barrier(&t.barrier, s->threads);
	for (unsigned i = 0; i < BATCH; i++)
		for (unsigned v = 0; v < s->vars; v++) {
			uint64_t h = instance_hash(i);
			if (guest_mix(h, 300 + v * THREADS_MAX + me) % 2 == 0)
				(void)*variable(i, v, h);
		}
}

static void run_instance(unsigned me, unsigned i, uint64_t h, uint64_t start, const struct plan *p)
{
	const struct shape *s = t.shape;
	uint64_t early = guest_mix(h, 400 + me);
	if (early % 2 == 0) {
		guest_wait_until(start + p->at[0] - (early >> 1) % (200 * GUEST_TICKS_US));
		(void)*variable(i, (unsigned)(early >> 32) % s->vars, h);
	}
	guest_wait_until(start + p->at[0]);
	for (unsigned k = 0; k < OPS_MAX && s->ops[me][k].what != NONE; k++) {
		const struct op *op = &s->ops[me][k];
		volatile uint64_t *at = variable(i, op->var, h);
		if (k > 0 && p->apart)
			guest_wait_until(start + p->at[k]);
		if (k > 0 && s->fence)
			__asm__ volatile("fence rw, rw" ::: "memory");
		if (op->what == W)
			*at = 1;
		else
			t.seen[me].reg[i][op->reg] = *at;
	}
}

/* ---- a batch -------------------------------------------------------------------------------- */

static void count_batch(void)
{
	const struct shape *s = t.shape;
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned outcome = 0;
		for (unsigned m = 0; m < s->threads; m++)
			for (unsigned k = 0; k < OPS_MAX; k++) {
				const struct op *op = &s->ops[m][k];
				uint64_t v = op->what == R ? t.seen[m].reg[i][op->reg] : 0;
				t.bad_value += v > 1;
				outcome |= (unsigned)(v & 1) << op->reg;
			}
		t.hist[outcome]++;
		t.total++;
		if (is_race(instance_hash(i)))
			continue;
		unsigned aim = t.orders[t.aim[i].order].outcome;
		t.aimed[aim][t.aim[i].step].tries++;
		t.aimed[aim][t.aim[i].step].hits += aim == outcome;
	}
}

/* The step with most hits for its time, after some tries of each; one time in eight any. */
static unsigned best_step(unsigned outcome, uint64_t h)
{
	unsigned best = (unsigned)(h >> 8) % STEPS;
	double rate = -1;
	if ((h >> 16) % 8 == 0)
		return best;
	for (unsigned i = 0; i < STEPS; i++) {
		double hits = (double)t.aimed[outcome][i].hits;
		double tries = (double)t.aimed[outcome][i].tries;
		double ticks = step_us[i] * GUEST_TICKS_US * (THREADS_MAX + 2.0) + GAP_TICKS;
		double r = (tries < 8 ? 1 : hits / tries) / ticks;
		if (r > rate) {
			rate = r;
			best = i;
		}
	}
	return best;
}

/* For each instance an interleaving of the outcome that was seen least, as far as is known now. */
static void aim_batch(void)
{
	uint64_t hist[OUTCOMES];
	memcpy(hist, t.hist, sizeof(hist));
	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t h = instance_hash(i);
		unsigned least = OUTCOMES;
		for (unsigned o = 0; o < OUTCOMES; o++)
			if (t.allowed[o] && (least == OUTCOMES || hist[o] < hist[least]))
				least = o;
		hist[least]++;
		unsigned pick = (unsigned)(h >> 40) % t.n_orders;
		while (t.orders[pick].outcome != least)
			pick = (pick + 1) % t.n_orders;
		t.aim[i].order = pick;
		t.aim[i].step = best_step(least, h);
	}
}

static bool enough(uint64_t began)
{
	bool all = t.total >= t.instances;
	for (unsigned o = 0; o < OUTCOMES; o++)
		all &= !t.allowed[o] || t.hist[o] >= t.count;
	return all || guest_ticks() - began > t.ticks;
}

/* All that was written is there, for everybody. */
static uint64_t finals(void)
{
	uint64_t bad = 0;
	for (unsigned i = 0; i < BATCH; i++)
		for (unsigned v = 0; v < t.shape->vars; v++)
			bad += *variable(i, v, instance_hash(i)) != 1;
	return bad;
}

static void thread_main(void *arg, unsigned me)
{
	const unsigned n = t.shape->threads;
	const uint64_t began = guest_ticks();
	(void)arg;
	for (;;) {
		guest_barrier(&t.barrier, n);
		if (me == 0) {
			t.round++;
			aim_batch();
		}
		guest_barrier(&t.barrier, n);
		deal(me);
		guest_barrier(&t.barrier, n);
		if (me == 0)
			t.start = guest_ticks() + 2 * GAP_TICKS;
		guest_barrier(&t.barrier, n);
		uint64_t start = t.start;
		for (unsigned i = 0; i < BATCH; i++) {
			uint64_t h = instance_hash(i);
			struct plan p = plan(me, i, h);
			run_instance(me, i, h, start, &p);
			start += p.length;
		}
		guest_barrier(&t.barrier, n);
		t.seen[me].bad_final += finals();
		if (me == 0) {
			count_batch();
			t.done = enough(began);
		}
		guest_barrier(&t.barrier, n);
		if (t.done)
			return;
	}
}

/* ---- a shape -------------------------------------------------------------------------------- */

static bool report(void)
{
	const struct shape *s = t.shape;
	uint64_t forbidden = 0, least = UINT64_MAX, final = 0;
	printf("%s: %llu instances:", s->name, (unsigned long long)t.total);
	for (unsigned o = 0; o < 1u << s->regs; o++) {
		printf(" ");
		for (unsigned r = 0; r < s->regs; r++)
			printf("%u", o >> r & 1);
		printf("%s %llu", t.allowed[o] ? "" : "!", (unsigned long long)t.hist[o]);
		if (!t.allowed[o])
			forbidden += t.hist[o];
		else if (t.hist[o] < least)
			least = t.hist[o];
	}
	for (unsigned i = 0; i < s->threads; i++)
		final += t.seen[i].bad_final;
	bool ok = forbidden == 0 && least >= t.count && final == 0 && t.bad_value == 0;
	printf("; forbidden %llu, least %llu, never written %llu, lost at the end %llu: %s\n",
		(unsigned long long)forbidden, (unsigned long long)least,
		(unsigned long long)t.bad_value, (unsigned long long) final, ok ? "PASS" : "FAIL");
	return ok;
}

static bool test_shape(const struct shape *s, unsigned seconds)
{
	t.shape = s;
	t.n_orders = 0;
	t.total = t.bad_value = 0;
	memset(t.hist, 0, sizeof(t.hist));
	memset(t.allowed, 0, sizeof(t.allowed));
	memset(t.seen, 0, sizeof(t.seen));
	memset(t.aimed, 0, sizeof(t.aimed));
	explore(&(struct order){0}, 0, (unsigned[THREADS_MAX]){0}, 0);
	guest_run(&t.cpus, s->threads, seconds + 60, s->name, thread_main, NULL);
	return report();
}

int main(int argc, char **argv)
{
	uint64_t seconds = 30;
	t.count = 100;
	t.instances = 2000;
	t.seed = guest_ticks();
	const struct guest_opt opts[] = {
		{"count", &t.count},
		{"instances", &t.instances},
		{"seconds", &seconds},

		{"seed", &t.seed},
	};
	guest_options(argc, argv, opts, sizeof(opts) / sizeof(opts[0]));
	t.ticks = seconds * 1000000 * GUEST_TICKS_US;
	guest_cpus(&t.cpus);
	printf("litmus: %u processors, %u nodes, seed %llu\n", t.cpus.n, t.cpus.nodes,
		(unsigned long long)t.seed);
	for (unsigned i = 0; i < t.cpus.nodes; i++)
		t.pages[i] = guest_pages(BATCH * VARS_MAX, i);
	bool ok = true;
	for (unsigned i = 0; i < SHAPES; i++) {
		if (shapes[i].threads > t.cpus.n) {
			printf("%s: needs %u processors\n", shapes[i].name, shapes[i].threads);
			continue;
		}
		ok &= test_shape(&shapes[i], (unsigned)seconds);
	}
	return ok ? 0 : 1;
}
