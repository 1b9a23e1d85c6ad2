/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sched.h>

#include "base/rng.h"
#include "tests/lib/ut.h"
#include "tests/unit/dsm/cluster.h"

/*
 * Memory of several slices as one: what threads of different slices may see of each other's loads
 * and stores (sequential consistency), the memory limit, and the ends of life. Everything runs in
 * each way that the kernel and this user have.
 */
UT_SUITE_WITH(space, NULL, cluster_after);

/* Run `n` vCPUs, dealt out over the slices, to their end; the sum of what they found wrong. */
static uint64_t run_all(struct cluster_vcpu *v, unsigned n, void (*run)(struct cluster_vcpu *v))
{
	uint64_t bad = 0;
	for (unsigned i = 0; i < n; i++)
		v[i] = (struct cluster_vcpu){
			.cluster = &cluster,
			.slice = i % cluster.n,
			.slot = i / cluster.n,
			.run = run,
			.seed = i,
		};
	for (unsigned i = 0; i < n; i++)
		cluster_vcpu_start(&v[i]);
	for (unsigned i = 0; i < n; i++) {
		cluster_vcpu_join(&v[i]);
		bad += v[i].bad;
	}
	for (unsigned i = 0; i < cluster.n; i++)
		bad += atomic_load(&cluster.m[i].failures);
	return bad;
}

/* ---- one word, two slices ------------------------------------------------------------------- */

#define TURNS 100u

/* Where the token of a turn lies: on a page of either home, by turns. */
static _Atomic uint64_t *token(struct cluster_vcpu *v, unsigned turn)
{
	return cluster_word(v->cluster, v->slice, turn / 3 % 2 ? 1 : 9, turn % 5);
}

static void hand_over_run(struct cluster_vcpu *v)
{
	for (unsigned turn = 0; turn < TURNS; turn++) {
		if (turn % 2 != v->slice)
			continue;
		while (turn != 0 && atomic_load(token(v, turn)) != turn) {
			cluster_retire(v);
			sched_yield();
		}
		atomic_store(token(v, turn + 1), turn + 1);
		cluster_retire(v);
	}
}

static void two_slices_hand_a_word_to_and_fro(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[2];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	UT_EQ(run_all(v, 2, hand_over_run), 0);
	UT_EQ(atomic_load(token(&v[0], TURNS)), TURNS); /* by a thread that nobody attached */
}
IN_ALL_MODES(two_slices_hand_a_word_to_and_fro)

/* ---- counters ------------------------------------------------------------------------------- */

#define COUNTERS 5u
#define ADDS     400u

static unsigned counter_page(unsigned i)
{
	return i * (cluster.pages / 2 + 1) % (cluster.n * cluster.pages);
}

static void counters_run(struct cluster_vcpu *v)
{
	struct rng rng;
	rng_init(&rng, v->seed);
	for (unsigned i = 0; i < ADDS * COUNTERS; i++) {
		unsigned c = i % COUNTERS;
		atomic_fetch_add(cluster_word(v->cluster, v->slice, counter_page(c), c), 1);
		cluster_retire(v);
		if (rng_below(&rng, 16) == 0)
			sched_yield();
	}
}

static void counters_check(unsigned slices, unsigned vcpus, uint64_t cache, enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[8];
	CLUSTER_START(slices, 16, cache, mode);
	UT_EQ(run_all(v, vcpus, counters_run), 0);
	for (unsigned c = 0; c < COUNTERS; c++)
		UT_EQ(cluster_gate_word(&cluster, c % slices, counter_page(c), c),
			(uint64_t)ADDS * vcpus);
}

static void atomics_on_shared_counters_are_exact(enum dsm_uffd_mode mode)
{
	counters_check(2, 4, UINT64_MAX, mode);
}
IN_ALL_MODES(atomics_on_shared_counters_are_exact)

static void four_slices_with_tiny_caches_count(enum dsm_uffd_mode mode)
{
	counters_check(4, 8, 2, mode);
}
IN_ALL_MODES(four_slices_with_tiny_caches_count)

/* The same with a real fabric between the slices. */
UT_TEST(atomics_are_exact_over_libfabric)
{
	struct cluster_vcpu v[6];
	char why[160];
	if (!cluster_start_fabric(&cluster, 3, 16, 4, DSM_UFFD_AUTO, why, sizeof(why)))
		UT_SKIP("%s", why);
	UT_EQ(run_all(v, 6, counters_run), 0);
	for (unsigned c = 0; c < COUNTERS; c++)
		UT_EQ(cluster_gate_word(&cluster, c % 3, counter_page(c), c), ADDS * 6);
}

/* ---- order ---------------------------------------------------------------------------------- */

#define ROUNDS 300u

/* Message passing: data on one home's page, the flag on the other's. */
static void passing_run(struct cluster_vcpu *v)
{
	_Atomic uint64_t *data = cluster_word(v->cluster, v->slice, 3, 7);
	_Atomic uint64_t *flag = cluster_word(v->cluster, v->slice, 11, 9);
	_Atomic uint64_t *back = cluster_word(v->cluster, v->slice, 3, 100);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		if (v->slice == 0) {
			atomic_store_explicit(data, i * 17, memory_order_relaxed);
			atomic_store_explicit(flag, i, memory_order_release);
			while (atomic_load(back) != i) {
				cluster_retire(v);
				sched_yield();
			}
		} else {
			while (atomic_load_explicit(flag, memory_order_acquire) != i) {
				cluster_retire(v);
				sched_yield();
			}
			v->bad += atomic_load_explicit(data, memory_order_relaxed) != i * 17;
			atomic_store(back, i);
		}
		cluster_retire(v);
	}
}

static void a_flag_never_overtakes_its_data(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[2];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	UT_EQ(run_all(v, 2, passing_run), 0);
}
IN_ALL_MODES(a_flag_never_overtakes_its_data)

/* Store buffering: each stores to its word and looks at the other's; not both may miss. */
static _Atomic uint64_t sb_seen[2][ROUNDS + 1];
static _Atomic unsigned sb_at[2];

static void buffering_run(struct cluster_vcpu *v)
{
	unsigned me = v->slice, other = !v->slice;
	for (unsigned i = 1; i <= ROUNDS; i++) {
		atomic_store(&sb_at[me], i);
		while (atomic_load(&sb_at[other]) < i)
			sched_yield();
		atomic_store(cluster_word(v->cluster, me, me ? 2 : 10, 0), i);
		atomic_store(
			&sb_seen[me][i], atomic_load(cluster_word(v->cluster, me, me ? 10 : 2, 0)));
		cluster_retire(v);
	}
}

static void stores_are_not_buffered_past_loads(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[2];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	atomic_store(&sb_at[0], 0);
	atomic_store(&sb_at[1], 0);
	UT_EQ(run_all(v, 2, buffering_run), 0);
	for (unsigned i = 1; i <= ROUNDS; i++)
		UT_CHECK(atomic_load(&sb_seen[0][i]) >= i || atomic_load(&sb_seen[1][i]) >= i);
}
IN_ALL_MODES(stores_are_not_buffered_past_loads)

/* ---- whole pages ---------------------------------------------------------------------------- */

#define WORDS (PAGE_BYTES / 8)

/* Word 0 of each page is a lock; the others say which page it is and how often it was written. */
static void page_check_and_write(struct cluster_vcpu *v, unsigned page)
{
	_Atomic uint64_t *w = cluster_word(v->cluster, v->slice, page, 0);
	uint64_t free = 0;
	while (!atomic_compare_exchange_weak(w, &free, 1)) {
		free = 0;
		cluster_retire(v);
		sched_yield();
	}
	uint64_t n = atomic_load_explicit(&w[1], memory_order_relaxed);
	for (unsigned i = 2; i < WORDS; i++) {
		uint64_t want = n == 0 ? 0 : n * 1000003 + page * 4096 + i;
		v->bad += atomic_load_explicit(&w[i], memory_order_relaxed) != want;
	}
	atomic_store_explicit(&w[1], ++n, memory_order_relaxed);
	for (unsigned i = 2; i < WORDS; i++)
		atomic_store_explicit(&w[i], n * 1000003 + page * 4096 + i, memory_order_relaxed);
	atomic_store(w, 0);
	cluster_retire(v);
}

static void pages_run(struct cluster_vcpu *v)
{
	struct rng rng;
	rng_init(&rng, v->seed);
	for (unsigned i = 0; i < 400; i++)
		page_check_and_write(
			v, (unsigned)rng_below(&rng, (uint64_t)cluster.n * cluster.pages));
}

static void pages_that_describe_themselves_stay_whole(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[6];
	CLUSTER_START(3, 4, 3, mode);
	UT_EQ(run_all(v, 6, pages_run), 0);
}
IN_ALL_MODES(pages_that_describe_themselves_stay_whole)

/* ---- store-conditionals --------------------------------------------------------------------- */

/* LR and SC as an engine does them. */
struct reserve {
	unsigned page, word;
	uint32_t gen;
	uint64_t value;
};

static uint64_t load_reserved(
	struct cluster_vcpu *v, struct reserve *r, unsigned page, unsigned word)
{
	const struct dsm_ram *ram = dsm_ram(v->cluster->m[v->slice].dsm);
	*r = (struct reserve){.page = page, .word = word};
	r->gen = ram->ops->generation(ram->ctx, gpa_page(cluster_gpa(page, 0)));
	r->value = atomic_load(cluster_word(v->cluster, v->slice, page, word));
	cluster_retire(v);
	return r->value;
}

/* A write that changes nothing. Not atomic_fetch_or: clang makes a load and a fence of that. */
static void write_touch(_Atomic uint64_t *w)
{
	__asm__ volatile("lock orq $0, %0" : "+m"(*(volatile uint64_t *)w) : : "memory");
}

static bool store_conditional(struct cluster_vcpu *v, struct reserve *r, uint64_t value)
{
	const struct dsm_ram *ram = dsm_ram(v->cluster->m[v->slice].dsm);
	_Atomic uint64_t *w = cluster_word(v->cluster, v->slice, r->page, r->word);
	gpage_t page = gpa_page(cluster_gpa(r->page, 0));
	enum dsm_excl got;
	while ((got = ram->ops->excl_begin(ram->ctx, v->slot, page, r->gen)) == DSM_EXCL_READONLY)
		write_touch(w);
	cluster_retire(v);
	if (got == DSM_EXCL_LOST)
		return false;
	bool stored = atomic_compare_exchange_strong(w, &r->value, value);
	ram->ops->excl_end(ram->ctx, v->slot);
	return stored;
}

#define SC_ADDS 500u

static void sc_counter_run(struct cluster_vcpu *v)
{
	for (unsigned i = 0; i < SC_ADDS; i++) {
		struct reserve r;
		do
			load_reserved(v, &r, 3 + 8 * (i % 2), 5);
		while (!store_conditional(v, &r, r.value + 1));
	}
}

static void store_conditionals_count_exactly(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[4];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	UT_EQ(run_all(v, 4, sc_counter_run), 0);
	UT_EQ(cluster_gate_word(&cluster, 0, 3, 5), SC_ADDS * 2);
	UT_EQ(cluster_gate_word(&cluster, 0, 11, 5), SC_ADDS * 2);
}
IN_ALL_MODES(store_conditionals_count_exactly)

/* The same, step by step: the value is what it was, but the page has been away. */
static _Atomic unsigned aba_step;

static void aba_run(struct cluster_vcpu *v)
{
	struct reserve r;
	if (v->slice == 1) {
		while (atomic_load(&aba_step) != 1)
			sched_yield();
		atomic_store(cluster_word(v->cluster, 1, 4, 0), 2);
		atomic_store(cluster_word(v->cluster, 1, 4, 0), 1);
		cluster_retire(v);
		atomic_store(&aba_step, 2);
		return;
	}
	v->bad += load_reserved(v, &r, 4, 0) != 1;
	atomic_store(&aba_step, 1);
	while (atomic_load(&aba_step) != 2)
		sched_yield();
	v->bad += atomic_load(cluster_word(v->cluster, 0, 4, 0)) != 1;
	v->bad += store_conditional(v, &r, 3);
	v->bad += load_reserved(v, &r, 4, 0) != 1;
	v->bad += !store_conditional(v, &r, 3);
}

static void a_value_that_came_back_is_not_the_same(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[2];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	atomic_store(&aba_step, 0);
	atomic_store(cluster_word(&cluster, 0, 4, 0), 1);
	UT_EQ(run_all(v, 2, aba_run), 0);
	UT_EQ(cluster_gate_word(&cluster, 1, 4, 0), 3);
}
IN_ALL_MODES(a_value_that_came_back_is_not_the_same)

/*
 * A stack whose few nodes come and go all the time: a pop that stores a successor it read before
 * others took and returned the top (ABA) loses nodes or gives one out twice. Word n of the page of
 * links is the successor of node n; word n of the page of owners says who has it.
 */
#define NODES      3u
#define LINKS_PAGE 9u
#define OWNER_PAGE 2u

static _Atomic uint64_t stack_moves;

/* Let the others take and return nodes: they are many moves on, or can not move. */
static void let_others_in(void)
{
	uint64_t until = atomic_load(&stack_moves) + 6;
	for (unsigned i = 0; i < 300 && atomic_load(&stack_moves) < until; i++)
		sched_yield();
}

static uint64_t pop(struct cluster_vcpu *v, bool slowly)
{
	struct reserve r;
	uint64_t next;
	do {
		if (load_reserved(v, &r, 4, 0) == 0)
			return 0;
		next = atomic_load(
			cluster_word(v->cluster, v->slice, LINKS_PAGE, (unsigned)r.value));
		if (slowly)
			let_others_in();
	} while (!store_conditional(v, &r, next));
	atomic_fetch_add(&stack_moves, 1);
	return r.value;
}

static void push(struct cluster_vcpu *v, uint64_t node)
{
	struct reserve r;
	do
		atomic_store(cluster_word(v->cluster, v->slice, LINKS_PAGE, (unsigned)node),
			load_reserved(v, &r, 4, 0));
	while (!store_conditional(v, &r, node));
	atomic_fetch_add(&stack_moves, 1);
}

static _Atomic uint64_t *owner_of(struct cluster_vcpu *v, uint64_t node)
{
	return cluster_word(v->cluster, v->slice, OWNER_PAGE, (unsigned)node);
}

static uint64_t node_take(struct cluster_vcpu *v, bool slowly)
{
	uint64_t node = pop(v, slowly);
	if (node != 0)
		v->bad += atomic_exchange(owner_of(v, node), 1) != 0;
	return node;
}

static void node_return(struct cluster_vcpu *v, uint64_t node)
{
	if (node == 0)
		return;
	v->bad += atomic_exchange(owner_of(v, node), 0) != 1;
	push(v, node);
}

static void stack_run(struct cluster_vcpu *v)
{
	for (unsigned i = 0; i < 60; i++) {
		uint64_t a = node_take(v, i % 4 == v->slice), b = node_take(v, false);
		/* In the order that brings the old top back over another successor. */
		node_return(v, i % 2 ? b : a);
		if (i % 3 == 0)
			let_others_in();
		node_return(v, i % 2 ? a : b);
	}
}

static void reservations_see_that_a_page_was_away(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[3];
	CLUSTER_START(3, 4, UINT64_MAX, mode);
	_Atomic uint64_t retired = 0;
	struct cluster_vcpu maker = {.cluster = &cluster, .retired = &retired};
	for (uint64_t node = 1; node <= NODES; node++) {
		atomic_store(cluster_word(&cluster, 0, LINKS_PAGE, (unsigned)node), node - 1);
		atomic_store(cluster_word(&cluster, 0, 4, 0), node);
	}
	UT_EQ(run_all(v, 3, stack_run), 0);
	unsigned found = 0;
	for (uint64_t node; found <= NODES && (node = pop(&maker, false)) != 0; found++)
		UT_EQ(cluster_gate_word(&cluster, 0, OWNER_PAGE, (unsigned)node), 0);
	UT_EQ(found, NODES);
}
IN_ALL_MODES(reservations_see_that_a_page_was_away)

/* ---- the memory limit ----------------------------------------------------------------------- */

#define WALK_PAGES 1024u
#define WALK_CACHE 32u

static void walk_run(struct cluster_vcpu *v)
{
	unsigned all = v->cluster->n * v->cluster->pages;
	struct dsm *dsm = v->cluster->m[v->slice].dsm;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned page = 0; page < all; page++) {
			_Atomic uint64_t *w =
				cluster_word(v->cluster, v->slice, page, 1 + v->slice);
			v->bad += atomic_fetch_add(w, page + 1) != round * (page + 1);
			cluster_retire(v);
			v->bad += atomic_load(&dsm->ram.backed) >
				  v->cluster->pages + WALK_CACHE + RAM_STALE_MAX;
		}
}

static void a_slice_never_holds_more_than_it_may(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[2];
	CLUSTER_START(2, WALK_PAGES, WALK_CACHE, mode);
	UT_EQ(run_all(v, 2, walk_run), 0);
	for (unsigned page = 0; page < 2 * WALK_PAGES; page += 97)
		for (unsigned s = 0; s < 2; s++)
			UT_EQ(cluster_gate_word(&cluster, s, page, 2 - s), 2 * (page + 1));
	struct dsm_stats stats;
	cluster_stop(&cluster);
	for (unsigned s = 0; s < 2; s++) {
		dsm_stats_get(cluster.m[s].dsm, &stats);
		/* Where the two meet, the other's write takes a page before it is given back. */
		UT_CHECK(stats.put + stats.invalidated >= WALK_PAGES - WALK_CACHE);
		UT_CHECK(stats.fetched >= WALK_PAGES);
		UT_CHECK(stats.latency_p50_ns != 0 && stats.latency_p50_ns <= stats.latency_p99_ns);
		UT_CHECK(stats.write_faults >= 2 * WALK_PAGES);
		UT_CHECK(stats.bytes_in > WALK_PAGES / 2 * PAGE_BYTES);
	}
}
IN_ALL_MODES(a_slice_never_holds_more_than_it_may)

/* ---- ends of life --------------------------------------------------------------------------- */

static _Atomic bool storm_stop;

static void storm_run(struct cluster_vcpu *v)
{
	struct rng rng;
	rng_init(&rng, v->seed);
	while (!atomic_load(&storm_stop)) {
		unsigned page = (unsigned)rng_below(&rng, (uint64_t)cluster.n * cluster.pages);
		atomic_fetch_add(cluster_word(v->cluster, v->slice, page, 0), 1);
		cluster_retire(v);
	}
}

static void storm_start(struct cluster_vcpu *v, unsigned n)
{
	atomic_store(&storm_stop, false);
	for (unsigned i = 0; i < n; i++) {
		v[i] = (struct cluster_vcpu){
			.cluster = &cluster,
			.slice = i % cluster.n,
			.slot = i / cluster.n,
			.run = storm_run,
			.seed = i,
		};
		cluster_vcpu_start(&v[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t from = atomic_load(v[i].retired);
		while (atomic_load(v[i].retired) < from + 50)
			sched_yield();
	}
}

static void storm_end(struct cluster_vcpu *v, unsigned n)
{
	atomic_store(&storm_stop, true);
	cluster_stop(&cluster);
	for (unsigned i = 0; i < n; i++)
		cluster_vcpu_join(&v[i]);
}

static void stop_lets_waiters_go(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[6];
	for (unsigned round = 0; round < 5; round++) {
		CLUSTER_START(3, 4, 4, mode);
		storm_start(v, 6);
		storm_end(v, 6);
		uint64_t w;
		UT_ERR(dsm_gate_read(dsm_gate(cluster.m[0].dsm), cluster_gpa(5, 0), &w, 8),
			VM_STOPPED);
		for (unsigned i = 0; i < 3; i++)
			UT_EQ(atomic_load(&cluster.m[i].failures) > 1, false);
		cluster_end(&cluster);
	}
}
IN_ALL_MODES(stop_lets_waiters_go)

/* A slice dies in the middle: the others say so, once, and their devices' waits end. */
static void a_dead_slice_ends_the_vm(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[6];
	CLUSTER_START(3, 4, 4, mode);
	storm_start(v, 6);
	xport_mem_kill(cluster.hub, (slice_id_t){1});
	uint64_t w;
	for (unsigned i = 1; i < 3; i++) {
		while (atomic_load(&cluster.m[i].failures) == 0)
			sched_yield();
		UT_EQ(atomic_load(&cluster.m[i].failed), ERR_LINK_DOWN);
		int err = 0;
		for (unsigned page = 0; page < 12 && err == 0; page++)
			err = dsm_gate_read(
				dsm_gate(cluster.m[i].dsm), cluster_gpa(page, 0), &w, 8);
		UT_EQ(err, ERR_VM_STOPPED);
	}
	storm_end(v, 6);
	for (unsigned i = 1; i < 3; i++)
		UT_EQ(atomic_load(&cluster.m[i].failures), 1);
}
IN_ALL_MODES(a_dead_slice_ends_the_vm)

/* ---- quiesce -------------------------------------------------------------------------------- */

static void quiet_run(struct cluster_vcpu *v)
{
	for (unsigned i = 0; i < 200; i++) {
		atomic_fetch_add(cluster_word(v->cluster, v->slice, i % 16, 0), 1);
		cluster_retire(v);
	}
}

static void quiesce_holds_faults_back_and_resume_lets_go(enum dsm_uffd_mode mode)
{
	struct cluster_vcpu v[2];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	UT_EQ(run_all(v, 2, quiet_run), 0);
	for (unsigned page = 0; page < 16; page++)
		atomic_fetch_add(cluster_word(&cluster, 0, page, 0), 1); /* none is writable on 1 */
	for (unsigned i = 0; i < 2; i++)
		UT_OK(dsm_quiesce(cluster.m[i].dsm, UINT64_C(5000000000)));
	struct cluster_vcpu late = {.cluster = &cluster, .slice = 1, .run = quiet_run};
	cluster_vcpu_start(&late);
	struct dsm_stats before, now;
	dsm_stats_get(cluster.m[1].dsm, &before);
	UT_OK(dsm_quiesce(cluster.m[1].dsm, UINT64_C(5000000000)));
	dsm_stats_get(cluster.m[1].dsm, &now);
	UT_EQ(before.fetched, now.fetched);
	UT_CHECK(!atomic_load(&late.done));
	for (unsigned i = 0; i < 2; i++)
		dsm_resume(cluster.m[i].dsm);
	cluster_vcpu_join(&late);
	UT_EQ(cluster_gate_word(&cluster, 0, 3, 0), 13u * 3 + 1);
}
IN_ALL_MODES(quiesce_holds_faults_back_and_resume_lets_go)

/* ---- one slice ------------------------------------------------------------------------------ */

UT_TEST(one_slice_is_plain_memory)
{
	CLUSTER_START(1, 64, 0, DSM_UFFD_AUTO);
	struct dsm *dsm = cluster.m[0].dsm;
	UT_CHECK(dsm_ram(dsm)->ops == NULL);
	atomic_store(cluster_word(&cluster, 0, 5, 1), 77);
	UT_EQ(cluster_gate_word(&cluster, 0, 5, 1), 77);
	uint64_t w = 78;
	UT_OK(dsm_gate_write(dsm_gate(dsm), cluster_gpa(5, 1), &w, 8));
	UT_EQ(atomic_load(cluster_word(&cluster, 0, 5, 1)), 78);
	UT_ERR(dsm_gate_write(dsm_gate(dsm), cluster_gpa(64, 0), &w, 8), RANGE);
	UT_OK(dsm_quiesce(dsm, 0));
	dsm_resume(dsm);
	struct dsm_stats stats;
	dsm_stats_get(dsm, &stats);
	UT_EQ(stats.pages_owned, 64);
	UT_EQ(atomic_load(&dsm->ram.backed), 0); /* not kept here */
}

UT_TEST(hot_pages_are_given_by_the_service_thread)
{
	struct hot_view v[8];
	uint64_t w = 1;

	CLUSTER_START(2, 16, UINT64_MAX, DSM_UFFD_AUTO);
	struct dsm *home = cluster.m[0].dsm;
	UT_EQ(dsm_hot(home, v, 8, UINT64_MAX / 4), 0);
	UT_OK(dsm_gate_write(dsm_gate(cluster.m[1].dsm), cluster_gpa(3, 0), &w, 8));
	UT_OK(dsm_gate_write(dsm_gate(home), cluster_gpa(3, 0), &w, 8));
	UT_EQ(dsm_hot(home, v, 8, UINT64_MAX / 4), 1);
	UT_EQ(v[0].page.v, cluster_gpa(3, 0).v / PAGE_BYTES);
	UT_EQ(v[0].owner.v, 1);
	UT_EQ(v[0].n[HOT_WRITE], 2);
	UT_EQ(v[0].writers, 2);
	UT_EQ(dsm_hot(cluster.m[1].dsm, v, 8, UINT64_MAX / 4), 0);
	dsm_stop(home);
	UT_EQ(dsm_hot(home, v, 8, UINT64_MAX / 4), 0);
}

UT_TEST(configurations_that_can_not_be)
{
	struct dsm *dsm;
	struct dsm_node nodes[2] = {
		{.slice = {0}, .start = {CLUSTER_BASE}, .bytes = PAGE_BYTES},
		{.slice = {1}, .start = {CLUSTER_BASE + PAGE_BYTES}, .bytes = PAGE_BYTES},
	};
	struct dsm_cfg cfg = {.self = {2}, .nodes = nodes, .n_nodes = 2, .uffd_dev = -1};
	UT_ERR(dsm_create(&cfg, &dsm), INVAL); /* not one of them */
	cfg.self = (slice_id_t){1};
	nodes[1].start.v += PAGE_BYTES;
	UT_ERR(dsm_create(&cfg, &dsm), INVAL); /* a gap */
	nodes[1].start.v = CLUSTER_BASE + PAGE_BYTES;
	nodes[1].bytes = PAGE_BYTES + 1;
	UT_ERR(dsm_create(&cfg, &dsm), INVAL);
	nodes[1].bytes = UINT64_C(1) << 50;
	cfg.cache_bytes = UINT64_MAX;
	UT_ERR(dsm_create(&cfg, &dsm), NO_MEMORY);
	nodes[1].bytes = PAGE_BYTES;
	cfg.vcpus = CORE_VCPUS_MAX;
	UT_ERR(dsm_create(&cfg, &dsm), INVAL);
}

#ifdef PLANT_BUGS
/* The torture above must be able to fail. */
UT_TEST(revocations_acknowledged_early_are_caught)
{
	struct cluster_vcpu v[4];
	CLUSTER_START(2, 16, UINT64_MAX, DSM_UFFD_AUTO);
	UT_OK(dsm_plant("early-revoke"));
	(void)run_all(v, 4, counters_run);
	UT_OK(dsm_plant(""));
	uint64_t sum = 0;
	for (unsigned c = 0; c < COUNTERS; c++)
		sum += cluster_gate_word(&cluster, 0, counter_page(c), c);
	UT_CHECK(sum < (uint64_t)COUNTERS * ADDS * 4);
}
#endif
