/* SPDX-License-Identifier: Apache-2.0 */
#include "dsm/ahead.h"

#include "tests/lib/ut.h"

UT_SUITE(ahead);

#define NO_LIMIT AHEAD_WINDOW_MAX

static struct ahead a;
static struct ahead_plan plan;

static unsigned fault(uint32_t page, bool write)
{
	bool any = ahead_fault(&a, page, write, NO_LIMIT, &plan);
	CHECK(any == (plan.n != 0));
	return plan.n;
}

/* Faults on n pages from `first`, a stride apart: what the last one decides. */
static unsigned faults(uint32_t first, int32_t stride, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)fault(first + (uint32_t)((int32_t)i * stride), false);
	return plan.n;
}

static void begin(void)
{
	a = (struct ahead){0};
}

UT_TEST(three_at_equal_distances_are_a_stream)
{
	static const int32_t strides[] = {1, -1, 3, AHEAD_STRIDE_MAX, -AHEAD_STRIDE_MAX};
	for (unsigned i = 0; i < ARRAY_SIZE(strides); i++) {
		begin();
		UT_EQ(faults(1000, strides[i], 2), 0);
		UT_CHECK(fault(1000 + (uint32_t)(2 * strides[i]), false) > 0);
		UT_EQ(plan.first, 1000 + (uint32_t)(3 * strides[i]));
		UT_EQ(plan.stride, strides[i]);
		UT_CHECK(!plan.write);
	}
}

UT_TEST(faults_far_apart_or_uneven_are_none)
{
	begin();
	UT_EQ(faults(1000, AHEAD_STRIDE_MAX + 1, 50), 0);
	begin();
	for (uint32_t i = 0; i < 200; i++)
		UT_EQ(fault(1000 + i * i * 7 % 1013 * 40, false), 0);
}

UT_TEST(windows_grow_to_the_largest)
{
	uint32_t edge = 0, page = 100;
	unsigned most = 0;

	begin();
	/* Every page faults, as when none of them comes in time. */
	for (unsigned i = 0; i < 40; i++, page++) {
		if (fault(page, false) == 0)
			continue;
		UT_EQ(plan.first, edge == 0 ? page + 1 : edge + 1); /* none twice, none left out */
		edge = plan.first + plan.n - 1;
		most = MAX(most, edge - page);
		UT_CHECK(edge - page <= AHEAD_WINDOW_MAX);
	}
	UT_EQ(most, AHEAD_WINDOW_MAX);
}

UT_TEST(pages_gone_over_without_a_fault_count_as_used)
{
	begin();
	(void)faults(100, 1, 8);
	uint32_t marker = 0;
	while (marker == 0 && fault(a.streams[0].last + 1, false) == 0)
		;
	marker = plan.first;
	/* All that were asked for before it are mapped: the next fault is at the marker. */
	uint32_t from = a.streams[0].last;
	(void)fault(marker, false);
	UT_EQ(plan.passed, marker - from - 1);
}

UT_TEST(several_streams_and_noise_between_them)
{
	unsigned asked[2] = {0};

	begin();
	for (uint32_t i = 0; i < 30; i++) {
		asked[0] += fault(1000 + i, false);
		asked[1] += fault(9000 - i, true);
		(void)fault(100000 + i * 777, false);
		(void)fault(500000 + i * 999, false);
	}
	UT_CHECK(asked[0] > 20);
	UT_CHECK(asked[1] > 20);
}

UT_TEST(what_is_written_after_it_was_read_is_asked_for_to_write)
{
	begin();
	for (uint32_t i = 0; i < 6; i++) {
		(void)fault(100 + i, false);
		if (plan.n != 0 && i > 3)
			break;
		(void)fault(100 + i, true);
	}
	UT_CHECK(plan.n != 0);
	UT_CHECK(plan.write);
}

UT_TEST(no_limit_is_exceeded)
{
	begin();
	for (uint32_t i = 0; i < 100; i++) {
		(void)ahead_fault(&a, 100 + i, false, i % 3, &plan);
		UT_CHECK(plan.n <= i % 3);
	}
}

UT_TEST(the_ends_of_the_numbers_are_no_trap)
{
	begin();
	(void)faults(2, -1, 3);
	UT_CHECK(plan.n != 0);
	begin();
	(void)faults(UINT32_MAX - 2, 1, 3);
	UT_CHECK(plan.n != 0);
}

UT_TEST(more_lost_than_used_makes_a_pause_and_then_another_try)
{
	struct ahead_score s = {0};
	unsigned rests = 0;

	UT_EQ(ahead_limit(&s), AHEAD_WINDOW_MAX);
	for (unsigned i = 0; i < 1000 && ahead_limit(&s) != 0; i++)
		ahead_score_lost(&s);
	while (ahead_limit(&s) == 0 && rests < 100000)
		rests++;
	UT_CHECK(rests > 100 && rests < 100000);
	UT_CHECK(ahead_limit(&s) > 0 && ahead_limit(&s) < AHEAD_WINDOW_MAX);
	for (unsigned i = 0; i < 1000; i++)
		ahead_score_used(&s);
	UT_EQ(ahead_limit(&s), AHEAD_WINDOW_MAX);
}
