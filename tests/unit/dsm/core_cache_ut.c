/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_cache);

static struct rig r;

static uint32_t ask(uint32_t page, bool write)
{
	UT_EQ(rig_fault(&r, 0, page, write), 0);
	const struct rig_act *get = rig_act(&r, CORE_ACT_SEND);
	UT_CHECK(get != NULL);
	return get->msg.req;
}

UT_TEST(a_read_miss_installs_maps_wakes_and_confirms)
{
	rig_start(&r, 0, 2, 8, 1);
	uint32_t req = ask(16, false);
	UT_EQ(rig_state(&r, 16), CACHE_IS_D);
	struct wire_page data = {.type = WIRE_PAGE_DATA, .req = req, .version = 4};
	UT_EQ(rig_msg(&r, 1, 16, data), 0);
	UT_EQ(r.acts[0].a.type, CORE_ACT_INSTALL);
	UT_EQ(r.acts[1].a.type, CORE_ACT_MAP_RO);
	UT_EQ(r.acts[2].a.type, CORE_ACT_WAKE);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DONE, 1) == &r.acts[3]);
	UT_EQ(rig_state(&r, 16), CACHE_S);
	rig_end(&r);
}

UT_TEST(a_write_miss_waits_for_data_and_all_acks_in_any_order)
{
	for (unsigned first = 0; first < 3; first++) {
		rig_start(&r, 0, 4, 8, 1);
		uint32_t req = ask(16, true);
		struct wire_page data = {
			.type = WIRE_PAGE_DATA, .req = req, .flags = WIRE_PAGE_EXCL, .acks = 2};
		struct wire_page ack = {.type = WIRE_PAGE_INV_ACK, .req = req};
		for (unsigned i = 0; i < 3; i++) {
			UT_CHECK(rig_state(&r, 16) == CACHE_IM_AD);
			UT_EQ(rig_msg(&r, 1 + i, 16, i == first ? data : ack), 0);
		}
		UT_EQ(rig_state(&r, 16), CACHE_M);
		UT_CHECK(rig_sent(&r, WIRE_PAGE_DONE, 1) != NULL);
		UT_CHECK(rig_act(&r, CORE_ACT_MAP_RW) != NULL);
		rig_end(&r);
	}
}

UT_TEST(an_invalidation_of_what_is_not_held_is_acknowledged)
{
	rig_start(&r, 0, 4, 8, 1);
	struct wire_page inv = {.type = WIRE_PAGE_INV, .third = {2}, .req = 5};
	UT_EQ(rig_msg(&r, 1, 16, inv), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_INV_ACK, 2)->msg.req, 5);
	UT_EQ(rig_msg(&r, 1, 16, (struct wire_page){.type = WIRE_PAGE_OWN, .req = 5}), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_OWN_ACK, 1)->msg.flags, 0);
	rig_end(&r);
}

UT_TEST(an_upgrade_that_loses_its_copy_takes_the_bytes)
{
	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, false, 3);
	r.retired[0]++;
	uint32_t req = ask(16, true);
	UT_EQ(r.acts[0].msg.flags, WIRE_PAGE_UPGRADE);
	UT_EQ(r.acts[0].msg.version, 3);
	struct wire_page inv = {.type = WIRE_PAGE_INV, .third = {2}, .req = 5, .version = 3};
	UT_EQ(rig_msg(&r, 1, 16, inv), 0);
	UT_EQ(rig_state(&r, 16), CACHE_SM_AD);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_INV_ACK, 2) == NULL);
	UT_EQ(rig_revoked(&r, 16), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_INV_ACK, 2) != NULL);
	UT_EQ(rig_state(&r, 16), CACHE_IM_AD);
	struct wire_page data = {
		.type = WIRE_PAGE_DATA, .req = req, .version = 5, .flags = WIRE_PAGE_EXCL};
	UT_EQ(rig_msg(&r, 2, 16, data), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_INSTALL) != NULL);
	UT_EQ(rig_state(&r, 16), CACHE_M);
	rig_end(&r);
}

UT_TEST(an_owner_keeps_a_read_copy_and_answers_again)
{
	rig_start(&r, 0, 4, 8, 1);
	rig_get(&r, 0, 16, true, 7);
	r.retired[0]++;
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETS, .third = {2}, .req = 5, .version = 7};
	UT_EQ(rig_msg(&r, 1, 16, fwd), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_PROTECT) != NULL);
	UT_EQ(rig_revoked(&r, 16), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DATA, 2)->msg.version, 7);
	UT_EQ(rig_state(&r, 16), CACHE_O);
	fwd.third.v = 3;
	UT_EQ(rig_msg(&r, 1, 16, fwd), 0);
	UT_CHECK(rig_sent(&r, WIRE_PAGE_DATA, 3) != NULL);
	UT_EQ(r.n, 1);
	rig_end(&r);
}

/* Page 16 of slice 1, which gives it whole to us, who only read. */
static void given_whole(uint8_t flags)
{
	struct wire_page data = {.type = WIRE_PAGE_DATA, .version = 3};

	rig_start(&r, 0, 4, 8, 1);
	data.req = ask(16, false);
	data.flags = WIRE_PAGE_EXCL | flags;
	UT_EQ(rig_msg(&r, 1, 16, data), 0);
	UT_EQ(rig_state(&r, 16), CACHE_E);
	UT_CHECK(rig_act(&r, CORE_ACT_MAP_RO) != NULL);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DONE, 1)->msg.flags, flags);
	r.retired[0]++;
}

UT_TEST(a_page_given_whole_is_written_without_asking)
{
	struct core_stats st;
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETM, .third = {2}, .req = 5, .version = 3};

	given_whole(0);
	UT_EQ(rig_fault(&r, 0, 16, true), 0);
	UT_EQ(rig_state(&r, 16), CACHE_M);
	UT_CHECK(rig_act(&r, CORE_ACT_MAP_RW) != NULL);
	UT_CHECK(rig_act(&r, CORE_ACT_SEND) == NULL);
	core_stats_get(r.core, &st);
	UT_EQ(st.silent, 1);
	r.retired[0]++;
	UT_EQ(rig_msg(&r, 1, 16, fwd), 0);
	UT_EQ(rig_revoked(&r, 16), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DATA, 2)->msg.flags, WIRE_PAGE_EXCL);
	rig_end(&r);
}

UT_TEST(who_gives_it_up_unwritten_says_so)
{
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETM, .third = {2}, .req = 5, .version = 3};

	given_whole(WIRE_PAGE_CLEAN);
	UT_EQ(rig_msg(&r, 1, 16, fwd), 0);
	UT_EQ(rig_revoked(&r, 16), 0);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DATA, 2)->msg.flags, WIRE_PAGE_EXCL | WIRE_PAGE_CLEAN);
	UT_EQ(rig_sent(&r, WIRE_PAGE_DATA, 2)->msg.version, 4);
	UT_EQ(rig_state(&r, 16), CACHE_I);
	rig_end(&r);
}

UT_TEST(a_page_given_whole_can_be_read_by_others)
{
	struct wire_page fwd = {.type = WIRE_PAGE_FWD_GETS, .third = {2}, .req = 5, .version = 3};

	given_whole(0);
	UT_EQ(rig_msg(&r, 1, 16, fwd), 0);
	/* Nobody can write it here, so there is nothing to wait for. */
	UT_EQ(rig_sent(&r, WIRE_PAGE_DATA, 2)->msg.flags, 0);
	UT_EQ(rig_state(&r, 16), CACHE_O);
	rig_end(&r);
}

static void refused(bool write, unsigned from, struct wire_page m)
{
	rig_start(&r, 0, 4, 8, 1);
	m.req += ask(16, write);
	UT_EQ(rig_msg(&r, from, 16, m), ERR_PROTOCOL);
	UT_CHECK(rig_act(&r, CORE_ACT_INSTALL) == NULL);
	UT_EQ(rig_act(&r, CORE_ACT_WAKE)->a.err, ERR_VM_STOPPED);
	rig_end(&r);
}

UT_TEST(answers_that_do_not_fit_are_refused)
{
	const uint8_t excl = WIRE_PAGE_EXCL;

	refused(false, 1, (struct wire_page){.type = WIRE_PAGE_DATA, .req = 1});
	refused(false, 1, (struct wire_page){.type = WIRE_PAGE_DATA, .flags = excl, .acks = 1});
	refused(true, 1, (struct wire_page){.type = WIRE_PAGE_DATA});
	refused(true, 1,
		(struct wire_page){.type = WIRE_PAGE_DATA, .flags = excl | WIRE_PAGE_UNCHANGED});
	refused(false, 1, (struct wire_page){.type = WIRE_PAGE_INV_ACK});
	refused(true, 1, (struct wire_page){.type = WIRE_PAGE_INV_ACK, .req = 1});
	refused(true, 1, (struct wire_page){.type = WIRE_PAGE_FWD_GETM, .third = {2}});
	refused(true, 1, (struct wire_page){.type = WIRE_PAGE_PUT_ACK});
	/* Only the home may order us about. */
	refused(true, 2, (struct wire_page){.type = WIRE_PAGE_INV, .third = {3}});
}
