/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>

#include "tests/lib/ut.h"
#include "vcpu/vcpu_ops.h"

static struct vcpu_group *g;

static void before(void)
{
	CHECK(vcpu_group_create(3, &g) == 0);
}

static void after(void)
{
	vcpu_group_destroy(g);
}

UT_SUITE_WITH(group, before, after);

UT_TEST(a_reservation_is_counted_once)
{
	vcpu_res_hold(g, 0, 64);
	vcpu_res_hold(g, 0, 128);
	UT_EQ(g->live, 1);
	UT_CHECK(!vcpu_res_begin(g, 0, 64));
	UT_EQ(g->live, 0);
	vcpu_res_drop(g, 0);
	UT_EQ(g->live, 0);
}

UT_TEST(a_store_of_another_kills_it)
{
	vcpu_res_hold(g, 0, 64);
	vcpu_res_kill(g, 1, 56, 8);
	UT_EQ(g->live, 1);
	vcpu_res_kill(g, 1, 71, 1);
	UT_EQ(g->live, 0);
	UT_CHECK(!vcpu_res_begin(g, 0, 64));
}

UT_TEST(a_store_over_two_units_kills_both)
{
	vcpu_res_hold(g, 0, 64);
	vcpu_res_hold(g, 2, 72);
	vcpu_res_kill(g, 1, 70, 4);
	UT_EQ(g->live, 0);
}

UT_TEST(committing_kills_the_others)
{
	vcpu_res_hold(g, 0, 64);
	vcpu_res_hold(g, 1, 64);
	UT_CHECK(vcpu_res_begin(g, 1, 64));
	UT_CHECK(!vcpu_res_begin(g, 0, 64));
	vcpu_res_drop(g, 1);
	UT_EQ(g->live, 0);
}

static _Atomic bool answered, began;

static void *begin_thread(void *arg)
{
	atomic_store(&began, vcpu_res_begin(g, 1, 64));
	atomic_store(&answered, true);
	return NULL;
}

UT_TEST(of_two_that_commit_the_lower_slot_goes_on)
{
	pthread_t thread;

	atomic_store(&answered, false);
	vcpu_res_hold(g, 0, 64);
	UT_CHECK(vcpu_res_begin(g, 0, 64));
	vcpu_res_hold(g, 1, 64);
	CHECK(pthread_create(&thread, NULL, begin_thread, NULL) == 0);
	while (atomic_load(&g->slot[1].unit) != 0) /* until it has lost */
		sched_yield();
	for (unsigned i = 0; i < 1000; i++)
		UT_CHECK(!atomic_load(&answered)); /* it waits, or its guest would spin */
	vcpu_res_drop(g, 0);
	CHECK(pthread_join(thread, NULL) == 0);
	UT_CHECK(!atomic_load(&began));
	vcpu_res_hold(g, 1, 64);
	UT_CHECK(vcpu_res_begin(g, 1, 64));
	vcpu_res_hold(g, 0, 64);
	UT_CHECK(vcpu_res_begin(g, 0, 64));
	vcpu_res_drop(g, 0);
	vcpu_res_drop(g, 1);
	UT_EQ(g->live, 0);
}

static _Atomic bool killed;

static void *kill_thread(void *arg)
{
	vcpu_res_kill(g, 1, 64, 8);
	atomic_store(&killed, true);
	return NULL;
}

UT_TEST(a_store_waits_for_a_commit)
{
	pthread_t thread;

	atomic_store(&killed, false);
	vcpu_res_hold(g, 0, 64);
	UT_CHECK(vcpu_res_begin(g, 0, 64));
	CHECK(pthread_create(&thread, NULL, kill_thread, NULL) == 0);
	for (unsigned i = 0; i < 1000; i++)
		UT_CHECK(!atomic_load(&killed));
	vcpu_res_drop(g, 0);
	CHECK(pthread_join(thread, NULL) == 0);
	UT_CHECK(atomic_load(&killed));
}
