/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_home);

static struct rig r;

static int get(unsigned from, bool write, uint32_t req, uint8_t flags, uint32_t version)
{
	struct wire_page m = {
		.type = write ? WIRE_PAGE_GETM : WIRE_PAGE_GETS,
		.req = req,
		.stamp = req,
		.flags = flags,
		.version = version,
	};
	return rig_msg(&r, from, 0, m);
}

static int say(unsigned from, uint16_t type, uint32_t req)
{
	return rig_msg(&r, from, 0, (struct wire_page){.type = type, .req = req});
}

/* Page 0, never touched by us: slices 1 .. n get read copies. */
static void share(unsigned n)
{
	for (unsigned s = 1; s <= n; s++) {
		UT_EQ(get(s, false, s, 0, 0), 0);
		UT_EQ(say(s, WIRE_PAGE_DONE, s), 0);
	}
}

UT_TEST(an_untouched_page_goes_out_as_a_zero_flag)
{
	rig_start(&r, 0, 4, 8, 1);
	UT_EQ(get(2, false, 5, 0, 0), 0);
	const struct rig_act *data = rig_sent(&r, WIRE_PAGE_DATA, 2);
	UT_CHECK(data != NULL);
	UT_EQ(data->msg.flags, WIRE_PAGE_ZERO);
	UT_EQ(data->msg.req, 5);
	UT_EQ(r.n, 1);
	rig_end(&r);
}

UT_TEST(the_next_request_waits_for_the_confirmation)
{
	rig_start(&r, 0, 4, 8, 1);
	UT_EQ(get(1, false, 5, 0, 0), 0);
	UT_EQ(get(2, false, 6, 0, 0), 0);
	UT_EQ(r.n, 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 5), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DATA, 2) != NULL);
	rig_end(&r);
}

UT_TEST(sharers_are_invalidated_all_at_once)
{
	struct core_home_info h;

	rig_start(&r, 0, 6, 8, 1);
	share(4);
	UT_EQ(get(5, true, 9, 0, 0), 0);
	for (unsigned s = 1; s <= 4; s++) {
		const struct rig_act *inv = rig_sent(&r, WIRE_PAGE_INV, s);
		UT_CHECK(inv != NULL);
		UT_EQ(inv->msg.third.v, 5);
		UT_EQ(inv->msg.req, 9);
	}
	const struct rig_act *data = rig_sent(&r, WIRE_PAGE_DATA, 5);
	UT_CHECK(data != NULL);
	UT_EQ(data->msg.acks, 4);
	UT_EQ(data->msg.version, 1);
	UT_EQ(say(5, WIRE_PAGE_DONE, 9), 0);
	UT_EQ(core_home_info(r.core, rig_page(0), &h), 0);
	UT_EQ(h.owner.v, 5);
	UT_EQ(h.version, 1);
	UT_EQ(h.copyset[0], 1u << 5);
	/* Now three hops: home, owner, requester. */
	UT_EQ(get(1, false, 10, 0, 0), 0);
	UT_EQ(r.n, 1);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETS, 5) != NULL);
	rig_end(&r);
}

UT_TEST(an_upgrade_needs_no_bytes)
{
	rig_start(&r, 0, 4, 8, 1);
	share(2);
	UT_EQ(get(2, true, 9, WIRE_PAGE_UPGRADE, 0), 0);
	const struct rig_act *data = rig_sent(&r, WIRE_PAGE_DATA, 2);
	UT_CHECK(data != NULL);
	UT_EQ(data->msg.flags, WIRE_PAGE_EXCL | WIRE_PAGE_UNCHANGED);
	/* Slice 1 and the home's own copy, which answers by itself. */
	UT_EQ(data->msg.acks, 2);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_INV, 1) != NULL);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_INV_ACK, 2) != NULL);
	rig_end(&r);
}

/* Slice 1 reads what we have written, and writes it. */
static void migrate_once(void)
{
	UT_EQ(get(1, false, 1, 0, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 1), 0);
	UT_EQ(get(1, true, 2, WIRE_PAGE_UPGRADE, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 2), 0);
}

UT_TEST(who_reads_a_migratory_page_gets_it_whole)
{
	struct core_home_info h;

	rig_start(&r, 0, 4, 8, 1);
	migrate_once();
	UT_EQ(get(2, false, 3, 0, 0), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETM, 1) != NULL);
	UT_EQ(rig_sent(&r, WIRE_PAGE_FWD_GETM, 1)->msg.acks, 0);
	UT_EQ(say(2, WIRE_PAGE_DONE, 3), 0);
	UT_EQ(core_home_info(r.core, rig_page(0), &h), 0);
	UT_EQ(h.owner.v, 2);
	UT_EQ(h.version, 2);
	UT_EQ(h.copyset[0], 1u << 2);
	/* It was written: so does the next. */
	UT_EQ(get(3, false, 4, 0, 0), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETM, 2) != NULL);
	rig_end(&r);
}

UT_TEST(a_page_that_came_back_unwritten_is_not_migratory)
{
	rig_start(&r, 0, 4, 8, 1);
	migrate_once();
	UT_EQ(get(2, false, 3, 0, 0), 0);
	struct wire_page done = {.type = WIRE_PAGE_DONE, .req = 3, .flags = WIRE_PAGE_CLEAN};
	UT_EQ(rig_msg(&r, 2, 0, done), 0);
	UT_EQ(get(3, false, 4, 0, 0), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETS, 2) != NULL);
	rig_end(&r);
}

UT_TEST(a_page_that_several_read_is_not_migratory)
{
	rig_start(&r, 0, 4, 8, 1);
	share(2);
	UT_EQ(get(1, true, 9, WIRE_PAGE_UPGRADE, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 9), 0);
	UT_EQ(get(3, false, 4, 0, 0), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETS, 1) != NULL);
	rig_end(&r);
}

UT_TEST(nothing_migrates_where_that_is_switched_off)
{
	r.no_migrate = true;
	rig_start(&r, 0, 4, 8, 1);
	migrate_once();
	UT_EQ(get(2, false, 3, 0, 0), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETS, 1) != NULL);
	rig_end(&r);
}

UT_TEST(an_upgrade_that_came_too_late_is_a_write_miss)
{
	rig_start(&r, 0, 4, 8, 1);
	share(2);
	UT_EQ(get(1, true, 9, WIRE_PAGE_UPGRADE, 0), 0);
	UT_EQ(get(2, true, 10, WIRE_PAGE_UPGRADE, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 9), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DATA, 2) == NULL);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_FWD_GETM, 1) != NULL);
	rig_end(&r);
}

UT_TEST(a_put_names_another_holder)
{
	struct core_home_info h;

	rig_start(&r, 0, 4, 8, 1);
	UT_EQ(get(1, true, 1, 0, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 1), 0);
	UT_EQ(get(2, false, 2, 0, 0), 0);
	UT_EQ(say(2, WIRE_PAGE_DONE, 2), 0);
	UT_EQ(rig_msg(&r, 1, 0, (struct wire_page){.type = WIRE_PAGE_PUT, .req = 3, .version = 1}),
		0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_OWN, 2) != NULL);
	struct wire_page yes = {.type = WIRE_PAGE_OWN_ACK, .req = 3, .flags = WIRE_PAGE_YES};
	UT_EQ(rig_msg(&r, 2, 0, yes), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_PUT_ACK, 1) != NULL);
	UT_EQ(core_home_info(r.core, rig_page(0), &h), 0);
	UT_EQ(h.owner.v, 2);
	UT_EQ(h.copyset[0], 4);
	rig_end(&r);
}

UT_TEST(the_home_takes_a_put_that_nobody_else_can)
{
	rig_start(&r, 0, 4, 8, 1);
	UT_EQ(get(1, true, 1, 0, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 1), 0);
	UT_EQ(get(2, false, 2, 0, 0), 0);
	UT_EQ(say(2, WIRE_PAGE_DONE, 2), 0);
	UT_EQ(rig_msg(&r, 1, 0, (struct wire_page){.type = WIRE_PAGE_PUT, .req = 3, .version = 1}),
		0);
	/* The other holder has dropped its copy in the meantime. */
	UT_EQ(say(2, WIRE_PAGE_OWN_ACK, 3), 0);
	const struct rig_act *fetch = rig_sent(&r, WIRE_PAGE_FWD_GETM, 1);
	UT_CHECK(fetch != NULL);
	UT_EQ(fetch->msg.third.v, 0);
	struct wire_page data = {
		.type = WIRE_PAGE_DATA,
		.req = fetch->msg.req,
		.version = 2,
		.flags = WIRE_PAGE_EXCL,
	};
	UT_EQ(rig_msg(&r, 1, 0, data), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_INSTALL) != NULL);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_PUT_ACK, 1) != NULL);
	UT_EQ(rig_state(&r, 0), CACHE_M);
	/* The drop that was on its way is only noted. */
	UT_EQ(say(2, WIRE_PAGE_DROP, 4), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DROP_ACK, 2) != NULL);
	UT_CHECK(core_idle(r.core));
	rig_end(&r);
}

UT_TEST(the_oldest_that_waits_decides_how_old_a_request_is)
{
	rig_start(&r, 0, 4, 8, 1);
	UT_EQ(get(1, true, 1, 0, 0), 0);
	UT_EQ(say(1, WIRE_PAGE_DONE, 1), 0);
	UT_EQ(rig_msg(&r, 2, 0, (struct wire_page){.type = WIRE_PAGE_GETM, .req = 2, .stamp = 50}),
		0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_FWD_GETM, 1)->msg.stamp, 50);
	UT_EQ(rig_msg(&r, 3, 0, (struct wire_page){.type = WIRE_PAGE_GETM, .req = 3, .stamp = 60}),
		0);
	UT_EQ(r.n, 0);
	UT_EQ(rig_msg(&r, 3, 0, (struct wire_page){.type = WIRE_PAGE_HURRY, .req = 3, .stamp = 40}),
		0);
	const struct rig_act *nudge = rig_sent(&r, WIRE_PAGE_NUDGE, 1);
	UT_CHECK(nudge != NULL);
	UT_EQ(nudge->msg.stamp, 40);
	UT_EQ(nudge->msg.req, 2);
	UT_EQ(nudge->msg.third.v, 2);
	rig_end(&r);
}

static void refused(unsigned from, struct wire_page m)
{
	UT_EQ(rig_msg(&r, from, 0, m), ERR_PROTOCOL);
	UT_EQ(core_blame(r.core).v, from);
	rig_end(&r);
	rig_start(&r, 0, 4, 8, 1);
	share(2);
}

UT_TEST(lies_are_found)
{
	rig_start(&r, 0, 4, 8, 1);
	share(2);
	refused(1, (struct wire_page){.type = WIRE_PAGE_DONE, .req = 1});
	refused(1, (struct wire_page){.type = WIRE_PAGE_GETS, .req = 7});
	refused(1, (struct wire_page){.type = WIRE_PAGE_GETM, .req = 7});
	refused(1, (struct wire_page){.type = WIRE_PAGE_PUT, .req = 7});
	refused(1, (struct wire_page){.type = WIRE_PAGE_OWN_ACK, .req = 7});
	refused(1, (struct wire_page){.type = WIRE_PAGE_INV, .third = {2}});
	refused(1, (struct wire_page){
			   .type = WIRE_PAGE_GETM, .flags = WIRE_PAGE_UPGRADE, .version = 3});
	UT_EQ(get(3, true, 1, 0, 0), 0);
	UT_EQ(say(2, WIRE_PAGE_GETM, 7), 0);
	refused(2, (struct wire_page){.type = WIRE_PAGE_GETM, .req = 8});
	UT_EQ(get(3, true, 1, 0, 0), 0);
	refused(3, (struct wire_page){.type = WIRE_PAGE_DONE, .req = 2});
	rig_end(&r);
}
