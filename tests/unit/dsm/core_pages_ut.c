/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_pages);

static struct rig r;

UT_TEST(a_page_never_touched_is_here_at_its_home)
{
	struct core_stats st;

	rig_start(&r, 0, 2, 8, 1);
	core_stats_get(r.core, &st);
	UT_EQ(st.pages_owned, 0);
	UT_EQ(rig_fault(&r, 0, 3, false), 0);
	UT_EQ(r.n, 2);
	UT_EQ(r.acts[0].a.type, CORE_ACT_MAP_RW);
	UT_EQ(r.acts[0].page, 3);
	UT_EQ(r.acts[1].a.type, CORE_ACT_WAKE);
	core_stats_get(r.core, &st);
	UT_EQ(st.pages_owned, 1);
	UT_EQ(st.frames, 0);
	rig_end(&r);
}

/* Bytes from before there was another slice: sent as they are, others as zeros. */
UT_TEST(an_adopted_page_has_bytes)
{
	struct core_stats st;
	struct core_page_info info;

	rig_start(&r, 0, 2, 8, 1);
	core_adopt(r.core, rig_page(3));
	core_stats_get(r.core, &st);
	UT_EQ(st.pages_owned, 1);
	core_page_info(r.core, rig_page(3), &info);
	UT_EQ(info.state, CACHE_M);
	UT_CHECK(!info.zero && !info.mapped);
	for (uint32_t page = 3; page < 5; page++) {
		struct wire_page get = {.type = WIRE_PAGE_GETM, .req = page, .stamp = page};
		UT_EQ(rig_msg(&r, 1, page, get), 0);
		if (rig_act(&r, CORE_ACT_UNMAP) != NULL)
			UT_EQ(rig_revoked(&r, page), 0);
		const struct rig_act *data = rig_sent(&r, WIRE_PAGE_DATA, 1);
		UT_CHECK(data != NULL);
		UT_EQ(wire_page_has_data(&data->msg), page == 3);
	}
	rig_end(&r);
}

UT_TEST(remote_pages_come_and_go_within_the_frames)
{
	struct core_stats st;

	rig_start(&r, 0, 4, 5, 1);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t page = RIG_SHARE + (i * 7) % (3 * RIG_SHARE);
		r.retired[0]++;
		UT_EQ(rig_fault(&r, 0, page, false), 0);
		const struct rig_act *out = rig_act(&r, CORE_ACT_UNMAP);
		if (out != NULL)
			UT_EQ(rig_revoked(&r, out->page), 0);
		const struct rig_act *get = rig_sent(&r, WIRE_PAGE_GETS, page / RIG_SHARE);
		UT_CHECK(get != NULL);
		struct wire_page data = {.type = WIRE_PAGE_DATA, .req = get->msg.req};
		struct wire_page ack = {.type = WIRE_PAGE_DROP_ACK};
		if (out != NULL)
			UT_EQ(rig_msg(&r, out->page / RIG_SHARE, out->page, ack), 0);
		UT_EQ(rig_msg(&r, page / RIG_SHARE, page, data), 0);
		core_stats_get(r.core, &st);
		UT_CHECK(st.frames <= 5);
		UT_EQ(st.pages_shared, st.frames);
	}
	UT_EQ(st.dropped, 195);
	UT_CHECK(core_idle(r.core));
	rig_end(&r);
}

UT_TEST(copysets_hold_the_highest_slice)
{
	struct core_home_info h;

	rig_start(&r, 0, 256, 8, 1);
	for (unsigned s = 1; s < 256; s += 127) {
		struct wire_page get = {.type = WIRE_PAGE_GETS, .req = s, .stamp = s};
		UT_EQ(rig_msg(&r, s, 0, get), 0);
		UT_CHECK(rig_sent(&r, WIRE_PAGE_DATA, s) != NULL);
		UT_EQ(rig_msg(&r, s, 0, (struct wire_page){.type = WIRE_PAGE_DONE, .req = s}), 0);
	}
	UT_EQ(core_home_info(r.core, rig_page(0), &h), 0);
	UT_EQ(h.copyset[0], 3);
	UT_EQ(h.copyset[2], 1);
	UT_EQ(h.copyset[3], UINT64_C(1) << 63);
	UT_EQ(core_home_info(r.core, rig_page(16), &h), ERR_NOT_FOUND);
	rig_end(&r);
}
