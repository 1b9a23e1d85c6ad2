/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core_look);

static struct rig r;

UT_TEST(statistics_count_what_happened)
{
	struct core_stats st;

	rig_start(&r, 0, 2, 8, 1);
	rig_get(&r, 0, 16, false, 0);
	r.retired[0]++;
	rig_get(&r, 0, 16, true, 1);
	core_stats_get(r.core, &st);
	UT_EQ(st.read_faults, 1);
	UT_EQ(st.write_faults, 1);
	UT_EQ(st.upgrades, 1);
	UT_EQ(st.fetched, 1);
	UT_EQ(st.unchanged, 1);
	UT_EQ(st.pages_owned, 1);
	UT_EQ(st.pages_shared, 0);
	UT_EQ(st.frames, 1);
	rig_end(&r);
}

UT_TEST(a_page_can_be_looked_at)
{
	struct core_page_info info;

	rig_start(&r, 0, 2, 8, 1);
	core_page_info(r.core, rig_page(0), &info);
	UT_EQ(info.state, CACHE_M);
	UT_CHECK(info.zero && !info.mapped && !info.frame);
	rig_get(&r, 0, 16, true, 6);
	core_page_info(r.core, rig_page(16), &info);
	UT_EQ(info.state, CACHE_M);
	UT_EQ(info.version, 6);
	UT_CHECK(!info.zero && info.mapped && info.frame && !info.pinned && !info.revoking);
	rig_end(&r);
}

static void ask(unsigned from, uint16_t type, uint32_t req)
{
	UT_EQ(rig_msg(&r, from, 3, (struct wire_page){.type = type, .req = req, .stamp = req}), 0);
}

UT_TEST(hot_pages_are_those_asked_for_at_their_home)
{
	struct hot_view v[2];

	rig_start(&r, 0, 3, 8, 1);
	UT_EQ(core_hot(r.core, v, 2), 0);
	ask(1, WIRE_PAGE_GETS, 5);
	ask(2, WIRE_PAGE_GETM, 6);
	ask(1, WIRE_PAGE_DONE, 5);
	ask(2, WIRE_PAGE_DONE, 6);
	UT_EQ(core_hot(r.core, v, 2), 1);
	UT_EQ(v[0].page.v, rig_page(3).v);
	UT_EQ(v[0].owner.v, 2);
	UT_EQ(v[0].pattern, HOT_PRODUCER);
	UT_EQ(v[0].n[HOT_READ], 1);
	UT_EQ(v[0].n[HOT_WRITE], 1);
	UT_EQ(v[0].queued, 1);
	UT_CHECK(!v[0].migratory);
	rig_end(&r);
}

UT_TEST(rows_of_the_tables_are_counted)
{
	static struct core_row rows[256];
	uint64_t taken = 0;

	rig_start(&r, 0, 2, 8, 1);
	rig_get(&r, 0, 16, false, 0);
	size_t n = core_rows(r.core, rows, ARRAY_SIZE(rows));
	UT_CHECK(n > 50 && n < ARRAY_SIZE(rows));
	for (size_t i = 0; i < n; i++)
		taken += rows[i].taken;
	UT_EQ(taken, 2); /* I x MISS_R, IS_D x DATA */
	UT_EQ(core_rows(r.core, rows, 3), 3);
	rig_end(&r);
}
