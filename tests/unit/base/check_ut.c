/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <pthread.h>
#include <stdio.h>

#include "base/trace.h"
#include "tests/lib/ut.h"

UT_SUITE(check);

struct thing {
	uint32_t magic;
	int value;
};

#define THING_MAGIC 0x54484e47u

static unsigned asked;

/* A value that grows with each look at it. */
static unsigned growing(void)
{
	return ++asked;
}

UT_TEST(least_and_greatest_look_once)
{
	asked = 0;
	UT_EQ(MIN(growing(), 9u), 1);
	UT_EQ(MIN(9u, growing()), 2);
	UT_EQ(MAX(growing(), 1u), 3);
	UT_EQ(MAX(1u, growing()), 4);
	UT_EQ(MIN(MIN(growing(), 9u), MAX(growing(), 1u)), 5);
	UT_EQ(asked, 6);
}

UT_TEST(least_and_greatest_keep_the_wider_type)
{
	uint8_t narrow = 200;
	uint64_t wide = UINT64_MAX - 1;
	UT_EQ(MIN(narrow, wide), 200);
	UT_EQ(MAX(narrow, wide), UINT64_MAX - 1);
	UT_CHECK(MAX(-5, -3) == -3);
	UT_CHECK(MIN(-5, -3) == -5);
	STATIC_CHECK(sizeof(MIN(narrow, wide)) == 8, "as of ?:");
}

enum { PLACE_LINE = __LINE__ + 3 };
static void fail_with_place(UNUSED void *arg)
{
	CHECK(1 + 1 == 3);
}

UT_TEST(a_failed_check_aborts_and_says_where)
{
	char text[96];
	snprintf(text, sizeof(text), "check_ut.c:%d: fail_with_place: 1 + 1 == 3\n", PLACE_LINE);
	UT_ABORTS(fail_with_place, NULL, text);
}

static void *trace_from_thread(UNUSED void *arg)
{
	trace_thread("helper");
	trace("helper was here", 0xabc, 2, 3);
	return NULL;
}

static void fail_with_rings(UNUSED void *arg)
{
	pthread_t thread;
	trace_thread("failing");
	trace("about to fail", 0x11, 0x22, 0x33);
	CHECK(pthread_create(&thread, NULL, trace_from_thread, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	UNREACHABLE();
}

UT_TEST(a_failed_check_dumps_all_rings)
{
	UT_ABORTS(fail_with_rings, NULL, " failing about to fail 0x11 0x22 0x33\n");
	UT_ABORTS(fail_with_rings, NULL, " helper helper was here 0xabc 0x2 0x3\n");
	UT_ABORTS(fail_with_rings, NULL, "fail_with_rings: unreachable\n");
	UT_ABORTS(fail_with_rings, NULL, "trace ends");
}

static void *fail_from_thread(void *barrier)
{
	for (uint64_t i = 0; i < 4000; i++)
		trace("a long dump", i, 0, 0);
	pthread_barrier_wait(barrier);
	UNREACHABLE();
}

static void fail_in_many(UNUSED void *arg)
{
	pthread_barrier_t barrier;
	pthread_t threads[4];
	CHECK(pthread_barrier_init(&barrier, NULL, 4) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, fail_from_thread, &barrier) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

UT_TEST(the_dump_is_whole_when_several_threads_fail)
{
	const char *begins = strstr(UT_ABORTS(fail_in_many, NULL, "trace ends"), "trace begins");
	UT_CHECK(begins != NULL);
	UT_CHECK(strstr(begins + 1, "trace begins") == NULL);
}

UT_TEST(a_true_condition_is_evaluated_once)
{
	int n = 0;
	CHECK(++n == 1);
	UT_EQ(n, 1);
}

static void use_null(UNUSED void *arg)
{
	struct thing *t = NULL;
	OBJ_CHECK(t, THING_MAGIC);
}

static void use_ended(UNUSED void *arg)
{
	struct thing t = {.value = 1};
	OBJ_INIT(&t, THING_MAGIC);
	OBJ_FINI(&t, THING_MAGIC);
	OBJ_CHECK(&t, THING_MAGIC);
}

static void end_twice(UNUSED void *arg)
{
	struct thing t = {.value = 1};
	OBJ_INIT(&t, THING_MAGIC);
	OBJ_FINI(&t, THING_MAGIC);
	OBJ_FINI(&t, THING_MAGIC);
}

UT_TEST(objects_have_a_magic)
{
	struct thing t = {.value = 1};
	OBJ_INIT(&t, THING_MAGIC);
	OBJ_CHECK(&t, THING_MAGIC);
	OBJ_FINI(&t, THING_MAGIC);
	UT_ABORTS(use_null, NULL, "CHECK failed");
	UT_ABORTS(use_ended, NULL, "CHECK failed");
	UT_ABORTS(end_twice, NULL, "CHECK failed");
}

UT_TEST(ranges_never_overflow)
{
	UT_CHECK(range_inside(0, 0, 0));
	UT_CHECK(range_inside(0, 10, 10));
	UT_CHECK(range_inside(10, 0, 10));
	UT_CHECK(range_inside(9, 1, 10));
	UT_CHECK(range_inside(0, UINT64_MAX, UINT64_MAX));
	UT_CHECK(!range_inside(11, 0, 10));
	UT_CHECK(!range_inside(9, 2, 10));
	UT_CHECK(!range_inside(0, 11, 10));
	UT_CHECK(!range_inside(UINT64_MAX, 1, 10));
	UT_CHECK(!range_inside(1, UINT64_MAX, 10));
	UT_CHECK(!range_inside(UINT64_MAX, UINT64_MAX, UINT64_MAX));
}

UT_TEST(arithmetic)
{
	uint8_t v;
	UT_CHECK(!add_overflows(200, 55, &v) && v == 255);
	UT_CHECK(add_overflows(200, 56, &v));
	UT_CHECK(!sub_overflows(1, 1, &v) && v == 0);
	UT_CHECK(sub_overflows(0, 1, &v));
	UT_CHECK(!mul_overflows(51, 5, &v) && v == 255);
	UT_CHECK(mul_overflows(16, 16, &v));
	UT_CHECK(!is_pow2(0) && is_pow2(1) && is_pow2(UINT64_C(1) << 63) && !is_pow2(3));
	UT_EQ(align_down(4095, 4096), 0);
	UT_EQ(align_down(4096, 4096), 4096);
	UT_EQ(align_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
}
