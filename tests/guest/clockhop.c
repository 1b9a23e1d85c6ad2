/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clockhop: a token goes round processors, one of each node. Who gets it reads both clocks, which
 * must not be earlier than what the one before read before it handed over. When its share of the
 * time is over the token goes on among the next processors of the nodes.
 *
 *	clockhop [--seconds N] [--hops N]
 *
 * Fails when a clock went back, or when fewer than --hops hand-overs were made in --seconds.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

/* Touched by whoever has the token, and nobody else: the others watch another page. */
struct token {
	uint64_t ticks, clock_ns; /* as read by the last one */
	uint64_t hops;
	uint64_t back_ticks, back_clock; /* how often */
	uint64_t worst_ticks, worst_ns;  /* how far */
	bool done;                       /* this round of processors */
};

static struct {
	struct guest_cpus cpus;
	uint64_t ticks; /* of one round of processors */
	struct token *token;
	_Atomic uint64_t *turn; /* number of the hand-over; its thread: % n */
} t;

static void check(uint64_t now, uint64_t before, uint64_t *n, uint64_t *worst)
{
	if (now >= before)
		return;
	++*n;
	if (before - now > *worst)
		*worst = before - now;
}

static void thread_main(void *arg, unsigned me)
{
	struct token *k = t.token;
	const unsigned n = t.cpus.nodes;
	const uint64_t end = guest_ticks() + t.ticks;
	(void)arg;
	for (uint64_t turn = me;; turn += n) {
		while (atomic_load_explicit(t.turn, memory_order_acquire) != turn)
			;
		uint64_t ticks = guest_ticks(), ns = guest_clock_ns();
		bool done = k->done;
		check(ticks, k->ticks, &k->back_ticks, &k->worst_ticks);
		check(ns, k->clock_ns, &k->back_clock, &k->worst_ns);
		k->hops++;
		k->done = done || (int64_t)(ticks - end) >= 0;
		/* Read last, so that as little time as possible hides a clock that is behind. */
		k->clock_ns = guest_clock_ns();
		k->ticks = guest_ticks();
		atomic_store_explicit(t.turn, turn + 1, memory_order_release);
		if (done)
			return;
	}
}

int main(int argc, char **argv)
{
	uint64_t hops = 1000, seconds = 10;
	const struct guest_opt opts[] = {
		{"seconds", &seconds},
		{"hops", &hops},
	};
	guest_options(argc, argv, opts, sizeof(opts) / sizeof(opts[0]));
	guest_cpus(&t.cpus);
	if (t.cpus.nodes < 2)
		guest_die("clockhop: wants two nodes");
	t.token = guest_pages(1, 0);
	t.turn = guest_pages(1, 1);
	const unsigned nodes = t.cpus.nodes, rounds = t.cpus.n / nodes;
	struct token *k = t.token;
	t.ticks = seconds * 1000000 * GUEST_TICKS_US / rounds;
	for (unsigned i = 0; i < rounds; i++) {
		struct guest_cpus some = {.n = nodes, .nodes = nodes};
		memcpy(some.cpu, t.cpus.cpu + i * nodes, nodes * sizeof(some.cpu[0]));
		*t.turn = 0;
		k->done = false;
		guest_run(&some, nodes, (unsigned)seconds + 60, "clockhop", thread_main, NULL);
	}
	bool ok = k->back_ticks == 0 && k->back_clock == 0 && k->hops >= hops;
	printf("clockhop: %llu hand-overs in %llu s; time went back %llu times (at most %llu ns), "
	       "CLOCK_MONOTONIC %llu times (at most %llu ns): %s\n",
		(unsigned long long)k->hops, (unsigned long long)seconds,
		(unsigned long long)k->back_ticks,
		(unsigned long long)k->worst_ticks * 1000 / GUEST_TICKS_US,
		(unsigned long long)k->back_clock, (unsigned long long)k->worst_ns,
		ok ? "PASS" : "FAIL");
	return ok ? 0 : 1;
}
