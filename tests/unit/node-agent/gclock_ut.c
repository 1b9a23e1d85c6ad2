/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/gclock.h"

#include "tests/lib/ut.h"

UT_SUITE(gclock);

#define MS UINT64_C(1000000)

static struct clock_manual host;
static struct gclock g;

static void start(uint64_t host_ns)
{
	clock_manual_init(&host, host_ns);
	gclock_init(&g, &host.clock);
}

UT_TEST(stands_still_until_run_and_while_paused)
{
	start(500 * MS);
	UT_EQ(gclock_now(&g), 0);
	gclock_run(&g, 0);
	clock_manual_advance(&host, 10 * MS);
	UT_EQ(gclock_now(&g), 10 * MS);
	gclock_pause(&g);
	clock_manual_advance(&host, 10 * MS);
	UT_EQ(gclock_now(&g), 10 * MS);
	gclock_run(&g, 0);
	clock_manual_advance(&host, MS);
	UT_EQ(gclock_now(&g), 11 * MS);
}

UT_TEST(a_message_from_the_future_moves_it_and_one_from_the_past_does_not)
{
	bool advanced;
	start(0);
	gclock_run(&g, 0);
	clock_manual_advance(&host, 10 * MS);
	UT_OK(gclock_observe(&g, 4 * MS, &advanced));
	UT_CHECK(!advanced);
	UT_EQ(gclock_now(&g), 10 * MS);
	UT_OK(gclock_observe(&g, 12 * MS, &advanced));
	UT_CHECK(advanced);
	UT_EQ(gclock_now(&g), 12 * MS);
	clock_manual_advance(&host, MS);
	UT_EQ(gclock_now(&g), 13 * MS);
	UT_EQ(g.max_advance_ns, 2 * MS);
}

UT_TEST(an_advance_beyond_the_bound_is_the_peers_fault)
{
	bool advanced;
	start(0);
	gclock_run(&g, 0);
	UT_ERR(gclock_observe(&g, GCLOCK_SLACK_NS + 1, &advanced), PROTOCOL);
	UT_EQ(gclock_now(&g), 0);
	UT_OK(gclock_observe(&g, GCLOCK_SLACK_NS, &advanced));
}

UT_TEST(a_time_seen_before_the_start_is_taken_over_at_the_start)
{
	bool advanced;
	start(0);
	UT_OK(gclock_observe(&g, 3600 * 1000 * MS, &advanced));
	UT_CHECK(!advanced);
	gclock_run(&g, 0);
	UT_EQ(gclock_now(&g), 3600 * 1000 * MS);
}

UT_TEST(discipline_slews_and_never_steps)
{
	start(0);
	gclock_run(&g, 0);
	uint64_t last = 0;
	/* 20 ms ahead of the target: at 500 ppm that takes 40 s. */
	for (unsigned i = 0; i < 450; i++) {
		clock_manual_advance(&host, 100 * MS);
		gclock_discipline(&g, -(int64_t)(20 * MS), 0);
		uint64_t now = gclock_now(&g);
		UT_CHECK(now > last);
		UT_CHECK(now - last >= 99 * MS && now - last <= 100 * MS);
		last = now;
	}
	UT_EQ(g.offset_ns, -(int64_t)(20 * MS));
}

UT_TEST(the_bound_follows_the_measured_error)
{
	bool advanced;
	start(0);
	gclock_run(&g, 0);
	gclock_discipline(&g, 0, 30 * MS);
	UT_OK(gclock_observe(&g, GCLOCK_SLACK_NS + 30 * MS, &advanced));
	gclock_discipline(&g, 0, UINT64_MAX);
	UT_OK(gclock_observe(&g, UINT64_C(1) << 40, &advanced));
}
