/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/err.h"
#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_ahead);

/* Slice 0, one vCPU; pages 16 to 31 are slice 1's. */
static struct rig r;

static void start(uint64_t cache, unsigned vcpus)
{
	r.ahead = true;
	rig_start(&r, 0, 4, cache, vcpus);
}

/* Slice 1 grants `n` pages asked for in one message with the number `req`. */
static int grant(uint32_t page, unsigned n, uint32_t req, uint8_t flags)
{
	int err = 0;
	for (unsigned i = 0; err == 0 && i < n; i++)
		err = rig_msg(&r, 1, page + i,
			(struct wire_page){.type = WIRE_PAGE_DATA,
				.req = req + i,
				.flags = flags,
				.version = flags != 0});
	return err;
}

/* Three faults in a row on the pages from 16: what has been asked for ahead with the third. */
static struct wire_page stream(bool write)
{
	for (unsigned i = 0; i < 2; i++)
		rig_get(&r, 0, 16 + i, write, write);
	r.retired[0]++;
	CHECK(rig_fault(&r, 0, 18, write) == 0);
	CHECK(rig_count(&r, CORE_ACT_SEND) == 2);
	CHECK(r.acts[0].page == 18 && r.acts[0].msg.run == 1);
	return r.acts[1].msg;
}

UT_TEST(neighbours_are_asked_for_in_one_message)
{
	struct core_stats st;
	struct wire_page ask;

	start(100, 1);
	ask = stream(false);
	UT_EQ(ask.type, WIRE_PAGE_GETS);
	UT_EQ(ask.flags, WIRE_PAGE_AHEAD);
	UT_EQ(ask.page.v, RIG_FIRST + 19);
	UT_EQ(ask.run, 2);
	core_stats_get(r.core, &st);
	UT_EQ(st.ahead, 2);
	/* Nobody waits for them: they come, are not mapped, and the first use is a local fault. */
	UT_EQ(grant(19, 2, ask.req, 0), 0);
	UT_EQ(rig_count(&r, CORE_ACT_MAP_RO), 0);
	UT_EQ(rig_state(&r, 19), CACHE_S);
	rig_end(&r);
}

UT_TEST(what_has_come_is_acknowledged_in_one_message_too)
{
	start(100, 1);
	struct wire_page ask = stream(false);
	UT_EQ(grant(19, 2, ask.req, 0), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DONE, 1) == NULL);
	UT_CHECK(!core_idle(r.core));
	UT_EQ(core_next_ns(r.core), r.now_ns);
	UT_EQ(rig_tick(&r, 0), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DONE, 1)->page, 19);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DONE, 1)->msg.req, ask.req);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DONE, 1)->msg.run, 2);
	UT_EQ(core_next_ns(r.core), UINT64_MAX);
	rig_end(&r);
}

UT_TEST(a_use_of_what_has_come_needs_no_message_for_it)
{
	struct core_stats st;

	start(100, 1);
	struct wire_page ask = stream(false);
	UT_EQ(grant(18, 1, ask.req - 1, 0), 0);
	UT_EQ(grant(19, 2, ask.req, 0), 0);
	UT_EQ(rig_fault(&r, 0, 19, false), 0);
	UT_EQ(rig_act(&r, CORE_ACT_WAKE)->a.slot, 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_GETS, 1)->page != 19);
	core_stats_get(r.core, &st);
	UT_EQ(st.ahead_used, 1);
	rig_end(&r);
}

UT_TEST(one_that_wants_what_is_on_its_way_joins_without_a_word)
{
	start(100, 1);
	struct wire_page ask = stream(false);
	UT_EQ(grant(18, 1, ask.req - 1, 0), 0);
	r.retired[0]++;
	UT_EQ(rig_fault(&r, 0, 19, false), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_WAKE) == NULL);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_HURRY, 1) == NULL);
	UT_EQ(grant(19, 1, ask.req, 0), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_WAKE) != NULL);
	rig_end(&r);
}

UT_TEST(another_slice_takes_it_at_once_and_it_counts_as_lost)
{
	struct core_stats st;

	start(100, 1);
	struct wire_page ask = stream(true);
	UT_EQ(ask.type, WIRE_PAGE_GETM);
	UT_EQ(grant(18, 1, ask.req - 1, WIRE_PAGE_EXCL), 0);
	UT_EQ(grant(19, 2, ask.req, WIRE_PAGE_EXCL), 0);
	UT_EQ(rig_state(&r, 19), CACHE_M);
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETM,
		.req = 77,
		.version = 1,
		.third = {2},
		.stamp = UINT64_MAX / 2};
	UT_EQ(rig_msg(&r, 1, 19, fwd), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DATA, 2) != NULL); /* no hold, and nothing to unmap */
	core_stats_get(r.core, &st);
	UT_EQ(st.ahead_lost, 1);
	rig_end(&r);
}

UT_TEST(a_write_ahead_waits_for_all_acks_before_it_may_be_used)
{
	start(100, 1);
	struct wire_page ask = stream(true);
	UT_EQ(grant(18, 1, ask.req - 1, WIRE_PAGE_EXCL), 0);
	struct wire_page data = {.type = WIRE_PAGE_DATA,
		.req = ask.req,
		.flags = WIRE_PAGE_EXCL,
		.version = 1,
		.acks = 1};
	UT_EQ(rig_msg(&r, 1, 19, data), 0);
	UT_EQ(rig_state(&r, 19), CACHE_IM_AD);
	r.retired[0]++;
	UT_EQ(rig_fault(&r, 0, 19, true), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_MAP_RW) == NULL);
	UT_EQ(rig_msg(&r, 2, 19, (struct wire_page){.type = WIRE_PAGE_INV_ACK, .req = ask.req}), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_MAP_RW) != NULL);
	rig_end(&r);
}

UT_TEST(nothing_is_given_back_to_ask_ahead)
{
	struct core_stats st;

	/* Four frames, of which three are taken by the stream itself. */
	start(4, 1);
	for (unsigned i = 0; i < 3; i++) {
		rig_get(&r, 0, 16 + i, false, 0);
		r.retired[0]++;
	}
	core_stats_get(r.core, &st);
	UT_EQ(st.ahead, 0);
	UT_EQ(st.dropped, 0);
	rig_end(&r);
}

UT_TEST(the_pages_of_a_pin_set_are_asked_for_at_once)
{
	struct core_pin_page pages[8];
	struct core_event ev = {.type = CORE_EV_PIN, .pages = pages, .n_pages = ARRAY_SIZE(pages)};

	start(100, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = (struct core_pin_page){.page = rig_page(16 + i), .write = true};
	UT_EQ(rig_step(&r, &ev), 0);
	UT_EQ(rig_count(&r, CORE_ACT_SEND), 2);
	uint32_t req = r.acts[0].msg.req;
	UT_EQ(r.acts[1].msg.type, WIRE_PAGE_GETM);
	UT_EQ(r.acts[1].msg.run, 7);
	UT_EQ(r.acts[1].msg.stamp, 0);
	/* They may come in any order: pinned when all are here. */
	UT_EQ(grant(17, 7, req + 1, WIRE_PAGE_EXCL), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PINNED) == NULL);
	UT_EQ(grant(16, 1, req, WIRE_PAGE_EXCL), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PINNED) != NULL);
	rig_end(&r);
}

UT_TEST(a_page_of_a_set_that_was_taken_meanwhile_is_asked_for_again)
{
	struct core_pin_page pages[2] = {{rig_page(16), true}, {rig_page(17), true}};
	struct core_event ev = {.type = CORE_EV_PIN, .pages = pages, .n_pages = ARRAY_SIZE(pages)};

	start(100, 1);
	UT_EQ(rig_step(&r, &ev), 0);
	uint32_t req = r.acts[0].msg.req;
	UT_EQ(grant(17, 1, req + 1, WIRE_PAGE_EXCL), 0);
	struct wire_page fwd = {
		.type = WIRE_PAGE_FWD_GETM, .req = 77, .version = 1, .third = {2}, .stamp = 5};
	UT_EQ(rig_msg(&r, 1, 17, fwd), 0);
	UT_EQ(rig_state(&r, 17), CACHE_I);
	UT_EQ(grant(16, 1, req, WIRE_PAGE_EXCL), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PINNED) == NULL);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_GETM, 1) != NULL);
	rig_end(&r);
}

UT_TEST(a_home_serves_each_page_of_a_run)
{
	struct wire_page get = {
		.type = WIRE_PAGE_GETS, .run = 4, .req = 10, .stamp = 1, .flags = WIRE_PAGE_AHEAD};

	start(100, 1);
	UT_EQ(rig_msg(&r, 1, 2, get), 0);
	unsigned n = 0;
	for (unsigned i = 0; i < r.n; i++) {
		if (r.acts[i].a.type != CORE_ACT_SEND)
			continue;
		UT_EQ(r.acts[i].msg.type, WIRE_PAGE_DATA);
		UT_EQ(r.acts[i].page, 2 + n);
		UT_EQ(r.acts[i].msg.req, 10 + n);
		n++;
	}
	UT_EQ(n, 4);
	rig_end(&r);
}

UT_TEST(runs_that_are_too_long_leave_memory_or_are_of_the_wrong_kind_are_refused)
{
	const struct wire_page bad[] = {
		{.type = WIRE_PAGE_GETS, .run = WIRE_PAGE_RUN_MAX + 1},
		{.type = WIRE_PAGE_GETS, .run = 3, .page = {62}},
		{.type = WIRE_PAGE_GETM, .run = 2, .flags = WIRE_PAGE_UPGRADE},
		{.type = WIRE_PAGE_DROP, .run = 2},
		{.type = WIRE_PAGE_INV_ACK, .run = 2},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		start(100, 1);
		UT_EQ(rig_msg(&r, 1, (uint32_t)bad[i].page.v, bad[i]), ERR_PROTOCOL);
		rig_end(&r);
	}
}

/* Who reads a page that is written by each in turn gets it whole, but not when nobody reads it. */
UT_TEST(a_migratory_page_does_not_move_for_one_that_nobody_waits_for)
{
	const struct wire_page steps[] = {
		{.type = WIRE_PAGE_GETS, .req = 1, .stamp = 1},
		{.type = WIRE_PAGE_DONE, .req = 1},
		{.type = WIRE_PAGE_GETM, .req = 2, .stamp = 2, .flags = WIRE_PAGE_UPGRADE},
		{.type = WIRE_PAGE_DONE, .req = 2},
	};

	start(100, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		UT_EQ(rig_msg(&r, 1, 0, steps[i]), 0);
	struct wire_page get = {
		.type = WIRE_PAGE_GETS, .req = 3, .stamp = 3, .flags = WIRE_PAGE_AHEAD};
	UT_EQ(rig_msg(&r, 2, 0, get), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETS, 1) != NULL);
	rig_end(&r);
}
