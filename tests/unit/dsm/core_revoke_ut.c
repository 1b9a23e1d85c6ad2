/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_revoke);

static struct rig r;

static int inv(uint32_t page, uint32_t version, uint64_t stamp)
{
	struct wire_page m = {
		.type = WIRE_PAGE_INV, .third = {2}, .req = 5, .version = version, .stamp = stamp};
	return rig_msg(&r, 1, page, m);
}

UT_TEST(a_granted_page_stays_until_an_instruction_has_retired)
{
	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, false, 3);
	UT_EQ(inv(16, 3, 1000), 0);
	UT_EQ(r.n, 0);
	UT_CHECK(core_next_ns(r.core) <= r.now_ns + 1000);
	UT_EQ(rig_tick(&r, 1000), 0);
	UT_EQ(r.n, 0);
	r.retired[0]++;
	UT_EQ(rig_tick(&r, 1000), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_UNMAP) != NULL);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_INV_ACK, 2) == NULL);
	UT_EQ(core_next_ns(r.core), UINT64_MAX);
	UT_EQ(rig_revoked(&r, 16), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_INV_ACK, 2) != NULL);
	UT_CHECK(rig_act(&r, CORE_ACT_FREE) != NULL);
	UT_CHECK(core_idle(r.core));
	rig_end(&r);
}

UT_TEST(a_hold_ends_in_bounded_time)
{
	struct core_stats st;

	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, false, 3);
	UT_EQ(inv(16, 3, 1000), 0);
	UT_EQ(rig_tick(&r, RIG_HOLD), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_UNMAP) != NULL);
	core_stats_get(r.core, &st);
	UT_EQ(st.holds, 1);
	UT_EQ(st.hold_timeouts, 1);
	rig_end(&r);
}

UT_TEST(pages_of_one_instruction_are_held_together_against_younger_ones)
{
	struct core_stats st;

	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, false, 3);
	UT_EQ(rig_fault(&r, 0, 17, false), 0);
	uint64_t age = r.acts[0].msg.stamp;
	UT_EQ(inv(16, 3, age + 1), 0);
	UT_EQ(rig_tick(&r, 3 * RIG_HOLD), 0);
	UT_EQ(r.n, 0);
	/* Somebody older waits behind the younger one. */
	struct wire_page nudge = {
		.type = WIRE_PAGE_NUDGE, .third = {2}, .req = 5, .stamp = age - 1};
	UT_EQ(rig_msg(&r, 1, 16, nudge), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_UNMAP) != NULL);
	core_stats_get(r.core, &st);
	UT_EQ(st.yields, 1);
	rig_end(&r);
}

UT_TEST(an_older_request_wins_at_once)
{
	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, false, 3);
	UT_EQ(rig_fault(&r, 0, 17, false), 0);
	UT_EQ(inv(16, 3, r.acts[0].msg.stamp - 1), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_UNMAP) != NULL);
	rig_end(&r);
}

UT_TEST(a_pin_keeps_a_page_until_it_is_let_go)
{
	struct core_pin_page pages[] = {{rig_page(16), false}, {rig_page(17), false}};
	struct core_event ev = {.type = CORE_EV_PIN, .pages = pages, .n_pages = 2};

	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, true, 3);
	rig_get(&r, 0, 17, false, 3);
	r.retired[0]++;
	UT_EQ(rig_step(&r, &ev), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PINNED) != NULL);
	/* A copy may go out under a pin for reading ... */
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETS, .third = {2}, .req = 5, .version = 3};
	UT_EQ(rig_msg(&r, 1, 16, fwd), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PROTECT) != NULL);
	UT_EQ(rig_revoked(&r, 16), 0);
	/* ... but not the page itself, whatever the age. */
	UT_EQ(inv(17, 3, 0), 0);
	UT_EQ(rig_tick(&r, 10 * RIG_HOLD), 0);
	UT_EQ(r.n, 0);
	ev.type = CORE_EV_UNPIN;
	UT_EQ(rig_step(&r, &ev), 0);
	UT_EQ(rig_act(&r, CORE_ACT_UNMAP)->page, 17);
	rig_end(&r);
}
