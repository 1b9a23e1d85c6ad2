/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/stats.h"

#include "tests/lib/ut.h"

UT_SUITE(stats);

UT_TEST(nothing_has_no_median)
{
	static struct stats_hist h;
	UT_EQ(stats_hist_at(&h, 500), 0);
}

UT_TEST(percentiles_are_within_a_bucket)
{
	static struct stats_hist h;
	for (uint64_t i = 1; i <= 1000; i++)
		stats_hist_add(&h, i * 1000);
	const unsigned permille[] = {1, 500, 990, 1000};
	for (unsigned i = 0; i < ARRAY_SIZE(permille); i++) {
		uint64_t want = (uint64_t)permille[i] * 1000;
		uint64_t got = stats_hist_at(&h, permille[i]);
		UT_CHECK(got >= want - want / 8 && got <= want + want / 8);
	}
}

UT_TEST(every_value_has_a_bucket)
{
	static struct stats_hist small, large;
	stats_hist_add(&small, 0);
	UT_EQ(stats_hist_at(&small, 500), 0);
	stats_hist_add(&large, UINT64_MAX);
	UT_CHECK(stats_hist_at(&large, 500) >= UINT64_MAX - UINT64_MAX / 8);
	for (unsigned bit = 0; bit < 64; bit++) {
		static struct stats_hist one;
		memset(&one, 0, sizeof(one));
		uint64_t v = UINT64_C(1) << bit;
		stats_hist_add(&one, v);
		uint64_t got = stats_hist_at(&one, 1000);
		UT_CHECK(got >= v && got <= v + v / 8);
	}
}
