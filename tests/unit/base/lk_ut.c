/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lk.h"

#include <pthread.h>

#include "base/clock.h"
#include "tests/lib/ut.h"

static struct lk low, low_too, high, test_lk;
static struct lk_cond cond;

static void begin(void)
{
	lk_init(&low, LK_dev);
	lk_init(&low_too, LK_dev);
	lk_init(&high, LK_vcpu);
	lk_init(&test_lk, LK_test);
	lk_cond_init(&cond);
}

static void end(void)
{
	lk_cond_fini(&cond);
	lk_fini(&test_lk);
	lk_fini(&high);
	lk_fini(&low_too);
	lk_fini(&low);
}

UT_SUITE_WITH(lk, begin, end);

UT_TEST(classes_rise_in_rank)
{
	static const unsigned ranks[] = {
#define LK(name, rank, text) rank,
#include "base/lk.def"
#undef LK
	};
	for (size_t i = 1; i < ARRAY_SIZE(ranks); i++)
		UT_CHECK(ranks[i] > ranks[i - 1]);
}

UT_TEST(held_is_of_this_thread)
{
	UT_CHECK(!lk_held(&low));
	lk_lock(&low);
	UT_CHECK(lk_held(&low));
	lk_assert_held(&low);
	lk_unlock(&low);
	UT_CHECK(!lk_held(&low));
}

UT_TEST(rising_order_and_any_release_order)
{
	lk_lock(&low);
	lk_lock(&high);
	lk_lock(&test_lk);
	lk_unlock(&high);
	UT_CHECK(lk_held(&low) && !lk_held(&high) && lk_held(&test_lk));
	lk_unlock(&low);
	lk_unlock(&test_lk);
	lk_lock(&low);
	lk_lock(&high);
	lk_unlock(&low);
	lk_unlock(&high);
}

UT_TEST(a_static_lock_needs_no_init)
{
	static struct lk lk = LK_INITIALIZER(test);
	lk_lock(&lk);
	UT_CHECK(lk_held(&lk));
	lk_unlock(&lk);
}

static void take_falling(UNUSED void *arg)
{
	lk_lock(&high);
	lk_lock(&low);
}

static void take_same_class(UNUSED void *arg)
{
	lk_lock(&low);
	lk_lock(&low_too);
}

static void take_twice(UNUSED void *arg)
{
	lk_lock(&low);
	lk_lock(&low);
}

/* What counts is the highest lock still held, not the one taken last. */
static void take_below_after_release(UNUSED void *arg)
{
	lk_lock(&low);
	lk_lock(&test_lk);
	lk_unlock(&low);
	lk_lock(&high);
}

UT_TEST(a_wrong_order_aborts)
{
	UT_ABORTS(take_falling, NULL, "rising rank");
	UT_ABORTS(take_falling, NULL, " lk vcpu 0x1e ");
	UT_ABORTS(take_falling, NULL, " lk dev 0x14 ");
	UT_ABORTS(take_same_class, NULL, "rising rank");
	UT_ABORTS(take_twice, NULL, "!lk_held(lk)");
	UT_ABORTS(take_below_after_release, NULL, "rising rank");
}

static void unlock_free(UNUSED void *arg)
{
	lk_unlock(&low);
}

static void assert_free(UNUSED void *arg)
{
	lk_assert_held(&low);
}

static void *unlock_from_thread(UNUSED void *arg)
{
	lk_unlock(&low);
	return NULL;
}

static void unlock_of_another(UNUSED void *arg)
{
	pthread_t thread;
	lk_lock(&low);
	CHECK(pthread_create(&thread, NULL, unlock_from_thread, NULL) == 0);
	pthread_join(thread, NULL);
}

static void end_held(UNUSED void *arg)
{
	lk_lock(&low);
	lk_fini(&low);
}

static void wait_not_held(UNUSED void *arg)
{
	lk_cond_wait(&cond, &low);
}

static void wait_with_another(UNUSED void *arg)
{
	lk_lock(&low);
	lk_lock(&high);
	lk_cond_wait(&cond, &high);
}

UT_TEST(misuse_aborts)
{
	UT_ABORTS(unlock_free, NULL, "lk_held(lk)");
	UT_ABORTS(assert_free, NULL, "lk_held(&low)");
	UT_ABORTS(unlock_of_another, NULL, "lk_held(lk)");
	UT_ABORTS(end_held, NULL, "lk_fini");
	UT_ABORTS(wait_not_held, NULL, "lk_held(lk)");
	UT_ABORTS(wait_with_another, NULL, "lk_depth == 1");
}

static unsigned counter;

static void *count(UNUSED void *arg)
{
	for (unsigned i = 0; i < 10000; i++) {
		lk_lock(&test_lk);
		counter++;
		lk_unlock(&test_lk);
	}
	return NULL;
}

UT_TEST(excludes)
{
	pthread_t threads[4];
	counter = 0;
	for (unsigned i = 0; i < 4; i++)
		UT_EQ(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		UT_EQ(pthread_join(threads[i], NULL), 0);
	UT_EQ(counter, 40000);
}

static unsigned turn;

static void *take_odd_turns(UNUSED void *arg)
{
	lk_lock(&test_lk);
	for (unsigned i = 1; i < 1000; i += 2) {
		while (turn != i)
			lk_cond_wait(&cond, &test_lk);
		CHECK(lk_held(&test_lk));
		turn++;
		lk_cond_broadcast(&cond);
	}
	lk_unlock(&test_lk);
	return NULL;
}

UT_TEST(conditions_hand_over)
{
	pthread_t thread;
	turn = 0;
	UT_EQ(pthread_create(&thread, NULL, take_odd_turns, NULL), 0);
	uint64_t deadline_ns = clock_now_ns(clock_host()) + UINT64_C(60000000000);
	lk_lock(&test_lk);
	bool late = false;
	for (unsigned i = 0; i < 1000 && !late; i += 2) {
		while (turn != i && !late)
			late = !lk_cond_wait_until(&cond, &test_lk, deadline_ns);
		turn++;
		lk_cond_signal(&cond);
	}
	lk_unlock(&test_lk);
	UT_CHECK(!late);
	UT_EQ(pthread_join(thread, NULL), 0);
	UT_EQ(turn, 1000);
}

UT_TEST(a_wait_ends_at_its_deadline)
{
	uint64_t now_ns = clock_now_ns(clock_host());
	lk_lock(&test_lk);
	bool past = lk_cond_wait_until(&cond, &test_lk, 0);
	bool soon = lk_cond_wait_until(&cond, &test_lk, now_ns + 5000000);
	bool held = lk_held(&test_lk);
	lk_unlock(&test_lk);
	UT_CHECK(!past && !soon && held);
	UT_CHECK(clock_now_ns(clock_host()) >= now_ns + 5000000);
}
