/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/hot.h"
#include "tests/lib/ut.h"

#define ALL ((size_t)HOT_SETS * HOT_WAYS)

static struct hot *hot;
static struct hot_view got[HOT_SETS * HOT_WAYS + 1];

static void begin(void)
{
	CHECK(hot_create(&hot) == 0);
}

static void end(void)
{
	hot_destroy(hot);
	hot = NULL;
}

UT_SUITE_WITH(hot, begin, end);

static void note(uint32_t p, enum hot_kind kind, unsigned slice, unsigned times)
{
	while (times-- > 0)
		hot_note(hot, 0, p, kind, slice);
}

UT_TEST(the_hottest_come_first_with_their_counts)
{
	UT_EQ(hot_top(hot, 0, got, ALL), 0);
	hot_queued(hot, 0, 5); /* never asked for */
	note(5, HOT_READ, 1, 3);
	note(7, HOT_WRITE, 1, 2);
	note(7, HOT_WRITE, 2, 2);
	note(7, HOT_UPGRADE, 1, 1);
	hot_queued(hot, 0, 7);
	UT_EQ(hot_top(hot, 0, got, ALL), 2);
	UT_EQ(got[0].page.v, 7);
	UT_EQ(got[0].n[HOT_WRITE], 4);
	UT_EQ(got[0].n[HOT_UPGRADE], 1);
	UT_EQ(got[0].turns, 2);
	UT_EQ(got[0].queued, 1);
	UT_EQ(got[0].writers, 2);
	UT_EQ(got[0].readers, 0);
	UT_EQ(got[1].page.v, 5);
	UT_EQ(got[1].n[HOT_READ], 3);
	UT_EQ(got[1].queued, 0);
	UT_EQ(got[1].readers, 1);
	UT_EQ(hot_top(hot, 0, got, 1), 1);
}

UT_TEST(a_stream_of_cold_pages_does_not_push_a_hot_one_out)
{
	for (uint32_t p = 0; p < 100000; p++) {
		note(1u << 20, HOT_WRITE, p % 2, 1);
		note(p, HOT_READ, 0, 1);
	}
	UT_EQ(hot_top(hot, 0, got, ALL + 1), ALL);
	/* Its set has taken 100000 / 128 others on average: far less than what it was asked for. */
	UT_EQ(got[0].page.v, 1u << 20);
	UT_EQ(got[0].n[HOT_WRITE], 100000);
	UT_EQ(got[0].turns, 99999);
}

UT_TEST(what_was_hot_cools_down)
{
	note(5, HOT_READ, 1, 100);
	note(5, HOT_WRITE, 2, 8);
	UT_EQ(hot_top(hot, HOT_HALF_NS, got, ALL), 1);
	UT_EQ(got[0].n[HOT_READ], 50);
	UT_EQ(got[0].n[HOT_WRITE], 4);
	UT_EQ(got[0].readers, 1); /* slices are remembered over one halving */
	UT_EQ(hot_top(hot, 2 * HOT_HALF_NS, got, ALL), 1);
	UT_EQ(got[0].n[HOT_READ], 25);
	UT_EQ(got[0].readers, 0);
	UT_EQ(hot_top(hot, 9 * HOT_HALF_NS, got, ALL), 0);
	hot_note(hot, 500 * HOT_HALF_NS, 5, HOT_READ, 1);
	UT_EQ(hot_top(hot, 500 * HOT_HALF_NS, got, ALL), 1);
	UT_EQ(got[0].n[HOT_READ], 1);
}

UT_TEST(patterns)
{
	const struct {
		uint32_t n[HOT_KIND_N];
		unsigned writers;
		bool only;
		enum hot_pattern is;
	} cases[] = {
		{{9, 9, 9, 9}, 1, true, HOT_PRIVATE},
		{{10, 0, 0, 0}, 0, false, HOT_READ_MOSTLY},
		{{8, 1, 0, 0}, 1, false, HOT_READ_MOSTLY},
		{{7, 1, 0, 0}, 1, false, HOT_PRODUCER},
		{{7, 0, 1, 0}, 2, false, HOT_WRITE_SHARED},
		{{10, 0, 10, 0}, 2, false, HOT_MIGRATORY},
		{{0, 0, 0, 10}, 2, false, HOT_MIGRATORY},
		{{0, 1, 0, 3}, 2, false, HOT_MIGRATORY},
		{{0, 2, 0, 3}, 2, false, HOT_WRITE_SHARED},
		{{0, 10, 0, 0}, 2, false, HOT_WRITE_SHARED},
		{{6, 0, 4, 0}, 2, false, HOT_WRITE_SHARED},
		{{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}, 2, false, HOT_WRITE_SHARED},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hot_view v = {.writers = cases[i].writers, .readers = 2};
		for (unsigned k = 0; k < HOT_KIND_N; k++)
			v.n[k] = cases[i].n[k];
		UT_EQ_STR(hot_pattern_text(hot_pattern_of(&v, cases[i].only)),
			hot_pattern_text(cases[i].is));
	}
}
