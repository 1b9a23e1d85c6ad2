/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/lib/ut.h"

UT_SUITE(clock);

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

UT_TEST(the_host_clock_never_goes_back)
{
	uint64_t last = 0;
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t now = clock_now_ns(clock_host());
		UT_CHECK(now >= last);
		last = now;
	}
	UT_CHECK(last > 0);
}

UT_TEST(skew_is_offset_and_rate)
{
	struct clock_skewed c;
	clock_skewed_init(&c, 50 * (int64_t)MS, 200);
	uint64_t at = c.start_ns;
	UT_EQ(clock_skew_ns(&c, at), at + 50 * MS);
	UT_EQ(clock_skew_ns(&c, at + 10 * S), at + 10 * S + 50 * MS + 2 * MS);
	clock_skewed_init(&c, -(int64_t)MS, -200);
	at = c.start_ns;
	UT_EQ(clock_skew_ns(&c, at + 10 * S), at + 10 * S - MS - 2 * MS);
	clock_skewed_init(&c, 0, 0);
	UT_EQ(clock_skew_ns(&c, c.start_ns + 12345), c.start_ns + 12345);
}

UT_TEST(skew_at_the_edges)
{
	struct clock_skewed c;
	clock_skewed_init(&c, INT64_MIN, 0);
	UT_EQ(clock_skew_ns(&c, c.start_ns), 0);
	/* A hundred years at a rate error of a tenth must not overflow on the way. */
	clock_skewed_init(&c, 0, 100000);
	uint64_t years = UINT64_C(100) * 365 * 86400 * S;
	UT_EQ(clock_skew_ns(&c, c.start_ns + years), c.start_ns + years + years / 10);
	/* The host before the start: other code may ask about the past. */
	clock_skewed_init(&c, 0, 100000);
	c.start_ns = 100 * S;
	UT_EQ(clock_skew_ns(&c, 90 * S), 89 * S);
}

UT_TEST(a_skewed_clock_follows_the_host)
{
	struct clock_skewed c;
	clock_skewed_init(&c, 1000 * (int64_t)S, 0);
	uint64_t before = clock_now_ns(clock_host());
	uint64_t now = clock_now_ns(&c.clock);
	uint64_t after = clock_now_ns(clock_host());
	UT_CHECK(now >= before + 1000 * S && now <= after + 1000 * S);
}

UT_TEST(a_manual_clock_moves_when_told)
{
	struct clock_manual c;
	clock_manual_init(&c, 5);
	UT_EQ(clock_now_ns(&c.clock), 5);
	UT_EQ(clock_now_ns(&c.clock), 5);
	clock_manual_advance(&c, 10);
	UT_EQ(clock_now_ns(&c.clock), 15);
}

static void *read_until_end(void *arg)
{
	struct clock_manual *c = arg;
	uint64_t last = 0, now;
	while ((now = clock_now_ns(&c->clock)) < 1000) {
		CHECK(now >= last);
		last = now;
	}
	return NULL;
}

UT_TEST(other_threads_see_a_manual_clock_move)
{
	struct clock_manual c;
	pthread_t thread;
	clock_manual_init(&c, 0);
	UT_EQ(pthread_create(&thread, NULL, read_until_end, &c), 0);
	for (unsigned i = 0; i < 1000; i++)
		clock_manual_advance(&c, 1);
	UT_EQ(pthread_join(thread, NULL), 0);
}
