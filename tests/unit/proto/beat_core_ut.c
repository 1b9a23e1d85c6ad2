/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/beat_core.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "tests/lib/ut.h"

#define MS    UINT64_C(1000000)
#define LEASE (5000 * MS)
#define N     3u

/*
 * Three slices and a network in virtual time: each datagram may be lost, doubled or delayed, a link
 * may be cut, a slice stopped: what comes for it then waits, as in the buffer of its socket.
 */
struct flight {
	bool used;
	unsigned from, to;
	uint64_t at_ns;
	uint8_t bytes[WIRE_BEAT_BYTES];
};

static struct node {
	struct beat_core *core;
	struct clock_skewed clock;
	bool stopped, lost;
	struct beat_verdict verdict;
	uint64_t next_ns, lost_ns;
} node[N];
static struct flight flight[512];
static struct rng rng;
static uint64_t now;
static unsigned lose, twice; /* of 100 */
static uint64_t delay_ns;    /* at most */
static bool cut[N][N];

static const slice_id_t ids[N] = {{0}, {4}, {9}};
static const struct seal_secret secret = {{1, 2, 3}};

/* The place of `peer` in the list of `self`. */
static unsigned place(unsigned self, unsigned peer)
{
	return peer < self ? peer : peer - 1;
}

static unsigned at_place(unsigned self, unsigned p)
{
	return p < self ? p : p + 1;
}

static struct beat_core *make(unsigned self, uint8_t incarnation, const struct seal_secret *key)
{
	slice_id_t peers[N - 1];
	for (unsigned i = 0; i < N; i++) {
		if (i != self)
			peers[place(self, i)] = ids[i];
	}
	struct beat_core_cfg cfg = {
		.self = ids[self],
		.incarnation = {{incarnation}},
		.secret = key,
		.peers = peers,
		.n_peers = N - 1,
		.lease_ns = LEASE,
	};
	struct beat_core *c;
	CHECK(beat_core_create(&cfg, &c) == 0);
	return c;
}

static void before(void)
{
	memset(node, 0, sizeof(node));
	memset(flight, 0, sizeof(flight));
	memset(cut, 0, sizeof(cut));
	rng_init(&rng, ut_seed());
	now = 1000 * MS;
	lose = twice = 0;
	delay_ns = MS;
	for (unsigned i = 0; i < N; i++) {
		node[i].core = make(i, 7, &secret);
		node[i].clock = (struct clock_skewed){.start_ns = now};
		node[i].next_ns = now + rng_below(&rng, 250 * MS);
		beat_core_arm(node[i].core, now);
	}
}

static void after(void)
{
	for (unsigned i = 0; i < N; i++)
		beat_core_destroy(node[i].core);
}

UT_SUITE_WITH(beat_core, before, after);

static uint64_t clock_of(unsigned i)
{
	return clock_skew_ns(&node[i].clock, now);
}

static void put(unsigned from, unsigned to, const uint8_t *bytes)
{
	unsigned copies = rng_below(&rng, 100) < twice ? 2 : 1;
	if (cut[from][to] || rng_below(&rng, 100) < lose)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(flight) && copies > 0; i++) {
		struct flight *f = &flight[i];
		if (f->used)
			continue;
		*f = (struct flight){true, from, to, now + 1 + rng_below(&rng, delay_ns), {0}};
		memcpy(f->bytes, bytes, sizeof(f->bytes));
		copies--;
	}
	CHECK(copies == 0);
}

static void arrive(struct flight *f)
{
	struct beat_reply reply;
	struct node *n = &node[f->to];
	uint8_t out[WIRE_BEAT_BYTES];
	f->used = false;
	int err = beat_core_take(n->core, f->bytes, sizeof(f->bytes), now, clock_of(f->to), &reply);
	CHECK(err == 0 || err == ERR_REPLAY);
	if (err != 0 || !reply.wanted || n->lost)
		return;
	beat_core_answer(n->core, &reply, clock_of(f->to), out);
	put(f->to, at_place(f->to, reply.peer), out);
}

static void lost(struct node *n)
{
	n->lost = true;
	n->lost_ns = now;
}

/* As the thread does it: our own silence, what has come, the others' silence, a round. */
static void turn(unsigned i)
{
	struct node *n = &node[i];
	uint8_t out[WIRE_BEAT_BYTES];
	if (!n->lost && beat_core_judge_self(n->core, now, &n->verdict))
		lost(n);
	for (unsigned f = 0; f < ARRAY_SIZE(flight); f++) {
		if (flight[f].used && flight[f].to == i && flight[f].at_ns <= now)
			arrive(&flight[f]);
	}
	if (n->lost || now < n->next_ns)
		return;
	n->next_ns = now + 250 * MS;
	if (beat_core_judge(n->core, now, &n->verdict)) {
		lost(n);
		return;
	}
	for (unsigned p = 0; p < N - 1; p++) {
		beat_core_ask(n->core, p, clock_of(i), out);
		put(i, at_place(i, p), out);
	}
	beat_core_round(n->core, now);
}

static void run(uint64_t ns)
{
	uint64_t end = now + ns;
	for (; now < end; now += MS / 4) {
		for (unsigned i = 0; i < N; i++) {
			if (!node[i].stopped)
				turn(i);
		}
	}
}

static unsigned n_lost(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < N; i++)
		n += node[i].lost;
	return n;
}

UT_TEST(a_bad_network_is_no_lost_slice)
{
	lose = 30;
	twice = 20;
	delay_ns = 600 * MS; /* so that they overtake each other */
	run(60000 * MS);
	UT_EQ(n_lost(), 0);
	for (unsigned i = 0; i < N; i++) {
		const struct beat_counts *c = beat_core_counts(node[i].core);
		UT_CHECK(c->in > 200);
		UT_CHECK(c->late > 20);
		UT_EQ(c->dropped, 0);
		UT_CHECK(c->silence_max_ns > 250 * MS && c->silence_max_ns < LEASE);
	}
}

UT_TEST(the_clocks_are_measured_through_it)
{
	lose = 30;
	twice = 20;
	delay_ns = 10 * MS;
	node[0].clock.offset_ns = (int64_t)(50 * MS);
	node[0].clock.ppm = 200;
	node[2].clock.offset_ns = -(int64_t)(50 * MS);
	node[2].clock.ppm = -200;
	run(40000 * MS);
	struct skew_estimate e;
	UT_CHECK(beat_core_estimate(node[2].core, place(2, 0), clock_of(2), &e));
	int64_t truth = (int64_t)clock_of(0) - (int64_t)clock_of(2);
	UT_CHECK((uint64_t)llabs(e.offset_ns - truth) <= e.error_ns);
	UT_CHECK(e.error_ns < 5 * MS);
	UT_CHECK(llabs(e.drift_ppb - 400000) < 200000);
}

UT_TEST(a_dead_slice_is_lost_to_all_after_the_lease)
{
	run(3000 * MS);
	node[1].stopped = true;
	uint64_t t = now;
	run(LEASE - 300 * MS);
	UT_EQ(n_lost(), 0);
	run(600 * MS);
	UT_EQ(n_lost(), 2);
	UT_EQ(node[0].verdict.peer.v, ids[1].v);
	UT_EQ(node[2].verdict.peer.v, ids[1].v);
	UT_CHECK(!node[0].verdict.self && node[0].verdict.silent_ns >= LEASE);
	UT_CHECK(node[0].lost_ns - t <= LEASE + 300 * MS);
}

/* A and C hear nothing of each other, B hears both: were there no END (R-VM-31), it would learn by
 * their silence. A round may pass before each verdict. */
UT_TEST(a_cut_between_two_stops_all_within_two_leases_and_two_rounds)
{
	run(3000 * MS);
	cut[0][2] = cut[2][0] = true;
	run(LEASE + 300 * MS);
	UT_CHECK(node[0].lost && node[2].lost && !node[1].lost);
	UT_EQ(node[0].verdict.peer.v, ids[2].v);
	UT_EQ(node[2].verdict.peer.v, ids[0].v);
	run(LEASE + 200 * MS);
	UT_CHECK(node[1].lost);
}

UT_TEST(one_direction_is_enough)
{
	run(3000 * MS);
	cut[0][1] = true;
	run(2 * LEASE + 500 * MS);
	UT_EQ(n_lost(), 3);
}

UT_TEST(a_slice_that_was_stopped_for_less_goes_on)
{
	run(3000 * MS);
	node[0].stopped = true;
	run(LEASE - 400 * MS);
	node[0].stopped = false;
	run(3 * LEASE);
	UT_EQ(n_lost(), 0);
	UT_CHECK(beat_core_counts(node[1].core)->silence_max_ns > LEASE - 700 * MS);
}

/* What waits in the socket must not make it believe that all is well. */
UT_TEST(one_stopped_for_longer_ends_by_itself_on_waking)
{
	run(3000 * MS);
	node[0].stopped = true;
	run(LEASE + 300 * MS);
	node[0].stopped = false;
	run(MS);
	UT_CHECK(node[0].lost && node[0].verdict.self);
	UT_EQ(node[0].verdict.peer.v, ids[1].v);
	UT_EQ(n_lost(), 3);
}

UT_TEST(strangers_are_counted_and_change_nothing)
{
	static const struct seal_secret wrong = {{9}};
	struct beat_core *other_key = make(1, 7, &wrong), *other_life = make(1, 8, &secret);
	struct beat_core *peer = make(1, 7, &secret), *me = node[0].core;
	uint8_t b[WIRE_BEAT_BYTES], copy[WIRE_BEAT_BYTES];
	struct beat_reply reply;
	beat_core_ask(other_key, 0, now, b);
	UT_ERR(beat_core_take(me, b, sizeof(b), now, now, &reply), AUTH);
	beat_core_ask(other_life, 0, now, b);
	UT_ERR(beat_core_take(me, b, sizeof(b), now, now, &reply), STALE);
	/* A beat of ours, sent back; one for another. */
	beat_core_ask(me, 0, now, b);
	UT_ERR(beat_core_take(me, b, sizeof(b), now, now, &reply), NOT_FOUND);
	beat_core_ask(peer, 1, now, b);
	UT_ERR(beat_core_take(me, b, sizeof(b), now, now, &reply), NOT_FOUND);
	UT_ERR(beat_core_take(me, b, 0, now, now, &reply), FORMAT);
	UT_EQ(beat_core_counts(me)->dropped, 5);
	UT_EQ(beat_core_counts(me)->in, 0);
	beat_core_ask(peer, 0, now, b);
	memcpy(copy, b, sizeof(copy));
	UT_OK(beat_core_take(me, b, sizeof(b), now, now, &reply));
	UT_CHECK(reply.wanted);
	UT_ERR(beat_core_take(me, copy, sizeof(copy), now, now, &reply), REPLAY);
	UT_CHECK(!reply.wanted);
	UT_EQ(beat_core_counts(me)->late, 1);
	beat_core_destroy(other_key);
	beat_core_destroy(other_life);
	beat_core_destroy(peer);
}

/* An attacker who records and repeats a slice's beats does not keep it alive. */
UT_TEST(replayed_beats_do_not_keep_a_slice_alive)
{
	uint8_t b[WIRE_BEAT_BYTES], copy[WIRE_BEAT_BYTES];
	struct beat_reply reply;
	struct beat_verdict v;
	beat_core_ask(node[1].core, place(1, 0), now, b);
	memcpy(copy, b, sizeof(copy));
	UT_OK(beat_core_take(node[0].core, b, sizeof(b), now, now, &reply));
	for (unsigned i = 0; i < 20; i++) {
		now += LEASE / 20;
		memcpy(b, copy, sizeof(b));
		UT_ERR(beat_core_take(node[0].core, b, sizeof(b), now, now, &reply), REPLAY);
		beat_core_round(node[0].core, now);
	}
	UT_CHECK(beat_core_judge(node[0].core, now, &v));
	UT_EQ(v.peer.v, ids[1].v);
}

/* R-BEAT-13: of peers that went silent together the lowest, whichever was heard first. */
UT_TEST(a_verdict_names_the_lowest_of_those_lost_at_once)
{
	uint8_t b[WIRE_BEAT_BYTES];
	struct beat_reply reply;
	struct beat_verdict v;
	beat_core_arm(node[2].core, now);
	UT_CHECK(!beat_core_doubt(node[2].core, now, &v));
	/* The lower one is heard once more, a round later. */
	now += LEASE / 20;
	beat_core_ask(node[0].core, place(0, 2), now, b);
	UT_OK(beat_core_take(node[2].core, b, sizeof(b), now, now, &reply));
	now += LEASE * 19 / 20;
	UT_CHECK(beat_core_judge(node[2].core, now, &v));
	UT_EQ(v.peer.v, ids[0].v);
	/* One that was heard a quarter of the lease ago is not lost with the other. */
	now -= LEASE / 4;
	beat_core_ask(node[0].core, place(0, 2), now, b);
	UT_OK(beat_core_take(node[2].core, b, sizeof(b), now, now, &reply));
	now += LEASE / 4;
	UT_CHECK(beat_core_judge(node[2].core, now, &v));
	UT_EQ(v.peer.v, ids[1].v);
}

UT_TEST(silence_counts_from_arming_on)
{
	struct beat_core *c = make(0, 7, &secret);
	struct beat_verdict v;
	UT_CHECK(!beat_core_judge_self(c, now, &v) && !beat_core_judge(c, now, &v));
	beat_core_arm(c, now);
	UT_CHECK(!beat_core_judge(c, now + LEASE - 1, &v));
	UT_CHECK(beat_core_judge(c, now + LEASE, &v));
	UT_CHECK(beat_core_judge_self(c, now + LEASE, &v));
	beat_core_destroy(c);
}
