/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_map);

static struct rig r;

UT_TEST(a_home_is_found_by_its_range)
{
	uint32_t gen = 9;

	rig_start(&r, 1, 3, 8, 1);
	UT_EQ(core_home_of(r.core, rig_page(0), &gen).v, 0);
	UT_EQ(gen, 0);
	UT_EQ(core_home_of(r.core, rig_page(31), NULL).v, 1);
	UT_EQ(core_home_of(r.core, rig_page(32), NULL).v, 2);
	UT_CHECK(!core_has_page(r.core, rig_page(48)));
	UT_CHECK(!core_has_page(r.core, (gpage_t){RIG_FIRST - 1}));
	rig_end(&r);
}

UT_TEST(a_redirected_request_goes_to_the_new_home)
{
	rig_start(&r, 0, 3, 8, 1);
	UT_EQ(rig_fault(&r, 0, 16, true), 0);
	const struct rig_act *get = rig_sent(&r, WIRE_PAGE_GETM, 1);
	UT_CHECK(get != NULL);
	struct wire_page moved = {
		.type = WIRE_PAGE_REDIRECT,
		.req = get->msg.req,
		.gen = 4,
		.third = {2},
		.kind = WIRE_PAGE_GETM,
	};
	UT_EQ(rig_msg(&r, 1, 16, moved), 0);
	get = rig_sent(&r, WIRE_PAGE_GETM, 2);
	UT_CHECK(get != NULL);
	UT_EQ(get->msg.gen, 4);
	UT_EQ(get->msg.req, moved.req);
	UT_EQ(core_home_of(r.core, rig_page(16), NULL).v, 2);
	UT_EQ(core_home_of(r.core, rig_page(17), NULL).v, 1);
	/* Back again needs a later generation, or requests could go round for ever. */
	moved.third.v = 1;
	UT_EQ(rig_msg(&r, 2, 16, moved), ERR_PROTOCOL);
	rig_end(&r);
}

UT_TEST(a_home_can_not_be_the_asker_nor_an_unknown_slice)
{
	for (unsigned third = 0; third < 8; third += 7) {
		rig_start(&r, 0, 3, 8, 1);
		UT_EQ(rig_fault(&r, 0, 16, false), 0);
		uint32_t req = rig_sent(&r, WIRE_PAGE_GETS, 1)->msg.req;
		struct wire_page moved = {
			.type = WIRE_PAGE_REDIRECT,
			.req = req,
			.gen = 4,
			.third = {(uint16_t)third},
			.kind = WIRE_PAGE_GETS,
		};
		UT_EQ(rig_msg(&r, 1, 16, moved), ERR_PROTOCOL);
		rig_end(&r);
	}
}

UT_TEST(who_knows_better_redirects_and_who_does_not_complains)
{
	rig_start(&r, 0, 3, 8, 1);
	UT_EQ(rig_fault(&r, 0, 16, false), 0);
	struct wire_page moved = {
		.type = WIRE_PAGE_REDIRECT,
		.req = rig_sent(&r, WIRE_PAGE_GETS, 1)->msg.req,
		.gen = 4,
		.third = {2},
		.kind = WIRE_PAGE_GETS,
	};
	UT_EQ(rig_msg(&r, 1, 16, moved), 0);
	/* Slice 1 itself asks us, with old knowledge. */
	UT_EQ(rig_msg(&r, 1, 16, (struct wire_page){.type = WIRE_PAGE_DROP, .req = 7}), 0);
	const struct rig_act *answer = rig_sent(&r, WIRE_PAGE_REDIRECT, 1);
	UT_CHECK(answer != NULL);
	UT_EQ(answer->msg.third.v, 2);
	UT_EQ(answer->msg.kind, WIRE_PAGE_DROP);
	UT_EQ(answer->msg.req, 7);
	UT_EQ(rig_msg(&r, 1, 17, (struct wire_page){.type = WIRE_PAGE_GETS}), ERR_PROTOCOL);
	rig_end(&r);
}
