/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/skew.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "tests/lib/ut.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static struct skew k;
static struct skew_estimate e;
/* The other's clock, of which ours is the host's. */
static struct clock_skewed other;

static void before(void)
{
	k = (struct skew){.n = 0};
	other = (struct clock_skewed){.start_ns = 0};
}

UT_SUITE_WITH(skew, before, NULL);

/* An exchange that begins at `t` and takes `there`, `held` and `back`. */
static bool exchange(uint64_t t, uint64_t there, uint64_t held, uint64_t back)
{
	uint64_t t2 = clock_skew_ns(&other, t + there);
	uint64_t t3 = clock_skew_ns(&other, t + there + held);
	return skew_add(&k, t, t2, t3, t + there + held + back);
}

UT_TEST(nothing_is_known_before_the_first)
{
	UT_CHECK(!skew_get(&k, 5 * S, &e));
}

UT_TEST(an_exchange_is_wrong_by_half_its_round_trip_at_most)
{
	other.offset_ns = -(int64_t)(50 * MS);
	UT_CHECK(exchange(S, 100 * US, 3 * MS, 100 * US));
	UT_CHECK(skew_get(&k, S + 3200 * US, &e));
	UT_EQ(e.offset_ns, -(int64_t)(50 * MS));
	UT_EQ(e.rtt_ns, 200 * US);
	UT_EQ(e.error_ns, 100 * US);
	before();
	UT_CHECK(exchange(S, 200 * US, 0, 0));
	UT_CHECK(skew_get(&k, S + 200 * US, &e));
	UT_EQ(e.offset_ns, 100 * US); /* the worst case */
	UT_EQ(e.error_ns, 100 * US);
}

UT_TEST(the_quickest_exchange_of_a_span_counts)
{
	UT_CHECK(exchange(S, 5 * MS, 0, 0));
	UT_CHECK(exchange(S + 10 * MS, 20 * US, 0, 20 * US));
	UT_CHECK(exchange(S + 20 * MS, 0, 0, 7 * MS));
	UT_CHECK(skew_get(&k, S + 30 * MS, &e));
	UT_EQ(e.offset_ns, 0);
	UT_EQ(e.rtt_ns, 40 * US);
	/* 20 ms old at 500 ppm. */
	UT_CHECK(e.error_ns >= 29 * US && e.error_ns <= 31 * US);
}

UT_TEST(an_old_exchange_gives_way_to_a_slower_new_one)
{
	UT_CHECK(exchange(S, 10 * US, 0, 10 * US));
	UT_CHECK(exchange(4 * S, 100 * US, 0, 100 * US));
	UT_CHECK(skew_get(&k, 4 * S + 200 * US, &e));
	UT_EQ(e.rtt_ns, 200 * US);
}

UT_TEST(the_drift_is_found)
{
	other.ppm = -400;
	for (unsigned i = 0; i < 120; i++)
		UT_CHECK(exchange(S + i * 250 * MS, 30 * US, 10 * US, 30 * US));
	UT_CHECK(skew_get(&k, 31 * S, &e));
	UT_CHECK(e.drift_ppb > -402000 && e.drift_ppb < -398000);
	/* Two seconds without an answer, and it is still right. */
	UT_CHECK(skew_get(&k, 33 * S, &e));
	int64_t truth = (int64_t)clock_skew_ns(&other, 33 * S) - (int64_t)(33 * S);
	UT_CHECK(llabs(e.offset_ns - truth) < 10000);
}

/* Wherever in their spans the quickest exchanges happen to be. */
UT_TEST(a_drift_once_known_stays_known)
{
	struct rng r;
	rng_init(&r, ut_seed());
	other.ppm = 400;
	for (unsigned i = 0; i < 2000; i++) {
		UT_CHECK(exchange(
			S + i * 250 * MS, rng_below(&r, 200 * US), 0, rng_below(&r, 200 * US)));
		UT_CHECK(skew_get(&k, S + i * 250 * MS + MS, &e));
		if (i > 40)
			UT_CHECK(e.drift_ppb > 350000 && e.drift_ppb < 450000);
	}
}

/* Whatever the network does, the truth is within the error that is stated. */
UT_TEST(the_error_holds_with_any_delays)
{
	struct rng r;
	rng_init(&r, ut_seed());
	for (unsigned run = 0; run < 200; run++) {
		before();
		other.ppm = (int64_t)rng_below(&r, 801) - 400;
		other.offset_ns = (int64_t)rng_below(&r, 100 * MS) - (int64_t)(50 * MS);
		uint64_t t = S, slow = 1 + rng_below(&r, 20 * MS);
		for (unsigned i = 0; i < 300; i++) {
			if (rng_below(&r, 3) != 0) /* else lost */
				UT_CHECK(exchange(t, rng_below(&r, slow), rng_below(&r, MS),
					rng_below(&r, slow)));
			t += 250 * MS;
			if (!skew_get(&k, t, &e))
				continue;
			int64_t truth = (int64_t)clock_skew_ns(&other, t) - (int64_t)t;
			UT_CHECK((uint64_t)llabs(e.offset_ns - truth) <= e.error_ns + 1);
			UT_CHECK(e.error_ns < slow + 5 * MS);
		}
	}
}

UT_TEST(impossible_times_change_nothing)
{
	UT_CHECK(!skew_add(&k, 10, 0, 0, 9));
	UT_CHECK(!skew_add(&k, 10, 8, 7, 20));
	UT_CHECK(!skew_add(&k, 10, 0, S, 20)); /* held it for longer than it was away */
	UT_CHECK(!skew_add(&k, 0, 0, 0, 11 * S));
	UT_CHECK(!skew_add(&k, 0, UINT64_MAX - 1, UINT64_MAX, 5));
	UT_CHECK(!skew_add(&k, UINT64_C(1) << 63, 0, 0, UINT64_MAX));
	UT_CHECK(!skew_get(&k, S, &e));
	/* The extremes that are let in do not overflow. */
	UT_CHECK(skew_add(&k, 0, UINT64_C(1) << 62, UINT64_C(1) << 62, 1));
	UT_CHECK(skew_add(&k, 3 * S, 0, 0, 3 * S));
	UT_CHECK(skew_get(&k, UINT64_MAX, &e));
}
