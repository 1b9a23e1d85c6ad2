/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/beat.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/lk.h"
#include "tests/lib/ut.h"

/* Two slices over loopback, in real time: what beat_core_ut can not show, thread and socket. */
#define MS UINT64_C(1000000)
#define N  2u
/* Long enough that a busy machine is not taken for a dead slice. */
#define LEASE    (2000 * MS)
#define PATIENCE (20000 * MS)

static struct node {
	struct beat *b;
	struct clock_skewed clock;
	struct lk lk;
	struct lk_cond cond;
	bool lost;
	struct beat_verdict verdict;
	struct beat_clocks clocks;
	unsigned ticks;
} node[N];

static void on_clocks(void *arg, const struct beat_clocks *c)
{
	struct node *n = arg;
	lk_lock(&n->lk);
	n->clocks = *c;
	n->ticks++;
	lk_cond_broadcast(&n->cond);
	lk_unlock(&n->lk);
}

static void on_lost(void *arg, const struct beat_verdict *v)
{
	struct node *n = arg;
	lk_lock(&n->lk);
	CHECK(!n->lost);
	n->lost = true;
	n->verdict = *v;
	lk_cond_broadcast(&n->cond);
	lk_unlock(&n->lk);
}

static uint64_t now_ns(void)
{
	return clock_now_ns(clock_host());
}

static void listen_all(uint8_t second_key)
{
	for (unsigned i = 0; i < N; i++) {
		struct beat_cfg cfg = {
			.self = {(uint16_t)i},
			.incarnation = {{5}},
			.secret = {{i == 1 ? second_key : 1}},
			.bind = "127.0.0.1:9",
			.clock = &node[i].clock.clock,
			.lease_ns = LEASE,
			.handler = {on_clocks, on_lost},
			.arg = &node[i],
		};
		UT_OK(beat_listen(&cfg, &node[i].b));
	}
}

static void start(unsigned i)
{
	struct beat_peer peer = {{(uint16_t)(1 - i)}, beat_address(node[1 - i].b)};
	UT_OK(beat_start(node[i].b, &peer, 1));
}

static void start_all(void)
{
	char why[160];
	listen_all(1);
	for (unsigned i = 0; i < N; i++)
		start(i);
	for (unsigned i = 0; i < N; i++)
		UT_OK(beat_wait(node[i].b, now_ns() + PATIENCE, why));
}

static void before(void)
{
	memset(node, 0, sizeof(node));
	for (unsigned i = 0; i < N; i++) {
		lk_init(&node[i].lk, LK_test);
		lk_cond_init(&node[i].cond);
		clock_skewed_init(&node[i].clock, 0, 0);
	}
}

static void after(void)
{
	for (unsigned i = 0; i < N; i++) {
		beat_close(node[i].b);
		lk_cond_fini(&node[i].cond);
		lk_fini(&node[i].lk);
	}
}

UT_SUITE_WITH(beat, before, after);

static bool wait_for(struct node *n, bool (*what)(const struct node *n))
{
	uint64_t deadline = now_ns() + PATIENCE;
	lk_lock(&n->lk);
	while (!what(n)) {
		if (!lk_cond_wait_until(&n->cond, &n->lk, deadline))
			break;
	}
	bool ok = what(n);
	lk_unlock(&n->lk);
	return ok;
}

static bool is_lost(const struct node *n)
{
	return n->lost;
}

static bool has_ticked(const struct node *n)
{
	return n->ticks >= 5;
}

UT_TEST(two_find_how_their_clocks_differ)
{
	clock_skewed_init(&node[1].clock, -(int64_t)(50 * MS), 0);
	start_all();
	UT_CHECK(wait_for(&node[1], has_ticked));
	struct beat_stats s;
	beat_stats_get(node[1].b, &s);
	UT_CHECK(s.clocks.known && s.clocks.error_ns <= BEAT_READY_NS);
	UT_CHECK((uint64_t)llabs(s.clocks.offset_ns - (int64_t)(50 * MS)) <=
		 s.clocks.error_ns + MS / 10);
	UT_CHECK(s.counts.in > 0 && s.counts.out > 0);
	UT_EQ(s.counts.dropped, 0);
	beat_stats_get(node[0].b, &s);
	UT_CHECK(s.clocks.known && s.clocks.offset_ns == 0 && s.clocks.rtt_ns > 0);
}

UT_TEST(one_that_ends_is_lost_to_the_other_after_the_lease)
{
	start_all();
	uint64_t t = now_ns();
	beat_stop(node[1].b);
	UT_CHECK(wait_for(&node[0], is_lost));
	UT_CHECK(now_ns() - t >= LEASE - LEASE / 10);
	UT_EQ(node[0].verdict.peer.v, 1);
	UT_CHECK(!node[0].verdict.self);
	UT_CHECK(!node[1].lost);
}

/* The other is not told that all is well by one that has stopped. */
UT_TEST(one_that_has_lost_the_lease_is_silent)
{
	struct beat_stats s;
	start_all();
	beat_stop(node[1].b);
	UT_CHECK(wait_for(&node[0], is_lost));
	beat_stats_get(node[0].b, &s);
	uint64_t out = s.counts.out;
	UT_CHECK(s.counts.silence_max_ns > LEASE / 2);
	/* It still reads what comes, and answers nothing: all that was sent before is counted. */
	beat_close(node[1].b);
	node[1].b = NULL;
	beat_stop(node[0].b);
	beat_stats_get(node[0].b, &s);
	UT_EQ(s.counts.out, out);
}

UT_TEST(junk_is_counted)
{
	struct sockaddr_storage a;
	struct beat_stats s;
	static const uint8_t junk[300] = "MBB1\1\1";
	start_all();
	UT_OK(net_addr_parse(beat_address(node[0].b), &a));
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	UT_CHECK(fd >= 0);
	static const size_t len[] = {0, 1, 5, 63, 64, 65, 300};
	for (size_t i = 0; i < ARRAY_SIZE(len); i++)
		UT_CHECK(sendto(fd, junk, len[i], 0, (struct sockaddr *)&a, net_addr_len(&a)) ==
			 (ssize_t)len[i]);
	close(fd);
	do {
		lk_lock(&node[0].lk);
		node[0].ticks = 0;
		lk_unlock(&node[0].lk);
		UT_CHECK(wait_for(&node[0], has_ticked));
		beat_stats_get(node[0].b, &s);
	} while (s.counts.dropped < ARRAY_SIZE(len));
	UT_EQ(s.counts.dropped, ARRAY_SIZE(len));
	UT_CHECK(!node[0].lost && !node[1].lost);
}

UT_TEST(who_does_not_answer_is_named)
{
	char why[160];
	listen_all(2);
	for (unsigned i = 0; i < N; i++)
		start(i);
	UT_ERR(beat_wait(node[0].b, now_ns() + 300 * MS, why), TIMEOUT);
	UT_HAS_STR(why, "no heartbeat of slice 1");
}

static void *stop_it(void *arg)
{
	beat_stop(arg);
	return NULL;
}

UT_TEST(stopping_ends_the_wait)
{
	char why[160];
	pthread_t t;
	listen_all(1);
	start(0);
	UT_CHECK(pthread_create(&t, NULL, stop_it, node[0].b) == 0);
	int err = beat_wait(node[0].b, now_ns() + PATIENCE, why);
	CHECK(pthread_join(t, NULL) == 0);
	UT_ERR(err, CANCELED);
}

UT_TEST(bad_addresses_are_refused)
{
	struct beat_cfg cfg = {.bind = "somewhere", .lease_ns = LEASE};
	struct beat_peer peer = {{1}, "somewhere"};
	UT_ERR(beat_listen(&cfg, &node[0].b), INVAL);
	cfg.bind = "192.0.2.1:0"; /* TEST-NET-1 */
	UT_ERR(beat_listen(&cfg, &node[0].b), CONNECT);
	cfg.bind = "127.0.0.1:0";
	UT_OK(beat_listen(&cfg, &node[0].b));
	UT_ERR(beat_start(node[0].b, &peer, 1), INVAL);
}
