/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_want);

static struct rig r;

static int pin(unsigned id, const struct core_pin_page *pages, size_t n)
{
	struct core_event ev = {.type = CORE_EV_PIN, .pin = id, .pages = pages, .n_pages = n};
	return rig_step(&r, &ev);
}

static int unpin(unsigned id)
{
	struct core_event ev = {.type = CORE_EV_UNPIN, .pin = id};
	return rig_step(&r, &ev);
}

UT_TEST(two_vcpus_that_want_one_page_ask_once)
{
	rig_start(&r, 0, 2, 8, 2);
	UT_EQ(rig_fault(&r, 0, 16, false), 0);
	uint32_t req = r.acts[0].msg.req;
	UT_EQ(rig_fault(&r, 1, 16, false), 0);
	UT_EQ(r.n, 0);
	UT_EQ(rig_msg(&r, 1, 16, (struct wire_page){.type = WIRE_PAGE_DATA, .req = req}), 0);
	UT_EQ(rig_count(&r, CORE_ACT_WAKE), 2);
	UT_EQ(rig_count(&r, CORE_ACT_INSTALL), 1);
	rig_end(&r);
}

UT_TEST(a_writer_goes_on_from_the_read_copy)
{
	rig_start(&r, 0, 2, 8, 2);
	UT_EQ(rig_fault(&r, 0, 16, false), 0);
	uint32_t req = r.acts[0].msg.req;
	UT_EQ(rig_fault(&r, 1, 16, true), 0);
	UT_EQ(rig_msg(&r, 1, 16, (struct wire_page){.type = WIRE_PAGE_DATA, .req = req}), 0);
	UT_EQ(rig_act(&r, CORE_ACT_WAKE)->a.slot, 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_GETM, 1)->msg.flags, WIRE_PAGE_UPGRADE);
	rig_end(&r);
}

UT_TEST(an_older_one_that_joins_hurries_the_request)
{
	rig_start(&r, 0, 2, 8, 2);
	rig_get(&r, 0, 17, false, 0); /* the instruction of vCPU 0 begins before that of vCPU 1 */
	UT_EQ(rig_fault(&r, 1, 16, false), 0);
	uint64_t age = r.acts[0].msg.stamp;
	uint32_t req = r.acts[0].msg.req;
	UT_EQ(rig_fault(&r, 0, 16, false), 0);
	const struct rig_act *hurry = rig_sent(&r, WIRE_PAGE_HURRY, 1);
	UT_CHECK(hurry != NULL);
	UT_EQ(hurry->msg.req, req);
	UT_CHECK(hurry->msg.stamp < age);
	rig_end(&r);
}

UT_TEST(the_memory_limit_drops_a_copy_and_puts_an_owned_page)
{
	struct core_stats st;

	rig_start(&r, 0, 2, 2, 1);
	rig_get(&r, 0, 16, false, 0);
	r.retired[0]++;
	rig_get(&r, 0, 17, true, 0);
	r.retired[0]++;
	/* The copy, used longest ago: its frame is free as soon as it is unmapped. */
	UT_EQ(rig_fault(&r, 0, 18, false), 0);
	UT_EQ(rig_act(&r, CORE_ACT_UNMAP)->page, 16);
	UT_EQ(rig_revoked(&r, 16), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DROP, 1) != NULL);
	UT_EQ(rig_act(&r, CORE_ACT_FREE)->page, 16);
	const struct rig_act *get = rig_sent(&r, WIRE_PAGE_GETS, 1);
	UT_EQ(get->page, 18);
	UT_EQ(rig_msg(&r, 1, 18, (struct wire_page){.type = WIRE_PAGE_DATA, .req = get->msg.req}),
		0);
	r.retired[0]++;
	/* The owned page: its bytes stay until the home has answered. */
	UT_EQ(rig_fault(&r, 0, 19, false), 0);
	UT_EQ(rig_revoked(&r, 17), 0);
	const struct rig_act *put = rig_sent(&r, WIRE_PAGE_PUT, 1);
	UT_CHECK(put != NULL);
	uint32_t req = put->msg.req;
	UT_EQ(rig_state(&r, 17), CACHE_MI_A);
	UT_CHECK(rig_act(&r, CORE_ACT_FREE) == NULL);
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETM, .third = {1}, .req = 9};
	UT_EQ(rig_msg(&r, 1, 17, fwd), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DATA, 1) != NULL);
	UT_EQ(rig_act(&r, CORE_ACT_FREE)->page, 17);
	UT_EQ(rig_sent(&r, WIRE_PAGE_GETS, 1)->page, 19);
	UT_EQ(rig_msg(&r, 1, 17, (struct wire_page){.type = WIRE_PAGE_PUT_ACK, .req = req}), 0);
	UT_EQ(rig_state(&r, 17), CACHE_I);
	core_stats_get(r.core, &st);
	UT_EQ(st.frames, 2);
	UT_EQ(st.put, 1);
	UT_EQ(st.dropped, 1);
	rig_end(&r);
}

UT_TEST(a_set_is_pinned_in_ascending_order)
{
	const struct core_pin_page pages[] = {
		{rig_page(2), true}, {rig_page(16), false}, {rig_page(17), true}};

	rig_start(&r, 0, 2, 8, 1);
	UT_EQ(pin(0, pages, 3), 0);
	UT_EQ(r.n, 1);
	UT_EQ(r.acts[0].page, 16);
	UT_EQ(r.acts[0].msg.stamp, 0);
	struct wire_page data = {.type = WIRE_PAGE_DATA, .req = r.acts[0].msg.req};
	UT_EQ(rig_msg(&r, 1, 16, data), 0);
	const struct rig_act *get = rig_sent(&r, WIRE_PAGE_GETM, 1);
	UT_EQ(get->page, 17);
	UT_CHECK(rig_act(&r, CORE_ACT_PINNED) == NULL);
	UT_CHECK(rig_act(&r, CORE_ACT_MAP_RO) == NULL); /* no vCPU has asked for it */
	data.req = get->msg.req;
	data.flags = WIRE_PAGE_EXCL;
	UT_EQ(rig_msg(&r, 1, 17, data), 0);
	UT_EQ(rig_act(&r, CORE_ACT_PINNED)->a.err, 0);
	UT_EQ(unpin(0), 0);
	rig_end(&r);
}

UT_TEST(sets_that_can_never_be_had_are_refused)
{
	const struct core_pin_page outside[] = {{rig_page(32), true}};
	const struct core_pin_page twice[] = {{rig_page(3), true}, {rig_page(3), true}};
	const struct core_pin_page many[] = {
		{rig_page(16), true}, {rig_page(17), true}, {rig_page(18), true}};

	rig_start(&r, 0, 2, 4, 1);
	UT_EQ(pin(0, outside, 1), ERR_RANGE);
	UT_EQ(pin(0, twice, 2), ERR_RANGE);
	UT_EQ(pin(0, many, 3), ERR_RANGE);
	UT_EQ(pin(0, many, 2), 0);
	rig_end(&r);
}

UT_TEST(a_second_set_waits_for_the_frames_of_the_first)
{
	const struct core_pin_page a[] = {{rig_page(16), false}, {rig_page(17), false}};
	const struct core_pin_page b[] = {{rig_page(18), false}};

	rig_start(&r, 0, 2, 4, 1);
	rig_get(&r, 0, 16, false, 0);
	rig_get(&r, 0, 17, false, 0);
	r.retired[0]++;
	UT_EQ(pin(0, a, 2), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PINNED) != NULL);
	UT_EQ(pin(1, b, 1), 0);
	UT_EQ(r.n, 0);
	UT_EQ(unpin(0), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_GETS, 1)->page, 18);
	rig_end(&r);
}
