/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_tlb.h"

#include "tests/lib/ut.h"

static struct rv_tlb tlb;

static void before(void)
{
	rv_tlb_init(&tlb);
}

UT_SUITE_WITH(tlb, before, NULL);

static struct rv_tlb_entry *put(unsigned view, uint64_t va, uint64_t ctx)
{
	struct rv_tlb_entry *e = &tlb.table[view][rv_tlb_index(va)];
	e->tag[RV_READ] = (va & RV_PAGE_MASK) | ctx;
	return e;
}

UT_TEST(one_context_for_each_space)
{
	uint64_t a = rv_tlb_context(&tlb, 8, 1), b = rv_tlb_context(&tlb, 8, 2);
	UT_CHECK(a != b);
	UT_EQ(rv_tlb_context(&tlb, 8, 1), a);
	UT_CHECK(rv_tlb_context(&tlb, 9, 1) != a);
	UT_EQ(a & 7, 0);
}

UT_TEST(dropping_gives_a_new_number)
{
	uint64_t a = rv_tlb_context(&tlb, 8, 1), b = rv_tlb_context(&tlb, 8, 2);
	rv_tlb_drop_asid(&tlb, 1);
	UT_CHECK(rv_tlb_context(&tlb, 8, 1) != a);
	UT_EQ(rv_tlb_context(&tlb, 8, 2), b);
	rv_tlb_drop_all(&tlb);
	UT_CHECK(rv_tlb_context(&tlb, 8, 2) != b);
}

UT_TEST(numbers_used_up_wipe_the_tables)
{
	uint64_t first = rv_tlb_context(&tlb, 8, 1);
	struct rv_tlb_entry *e = put(RV_VIEW_S, 0x5000, first);
	for (unsigned i = 0; i < 3 * RV_TLB_CTX_N; i++) {
		rv_tlb_drop_all(&tlb);
		UT_CHECK(rv_tlb_context(&tlb, 8, 1) < RV_TLB_CTX_N << RV_TLB_CTX_SHIFT);
	}
	UT_EQ(e->tag[RV_READ], RV_TLB_NO_TAG);
}

UT_TEST(a_page_goes_in_every_view_and_context)
{
	struct rv_tlb_entry *u = put(RV_VIEW_U, 0x5000, 8), *s = put(RV_VIEW_S_SUM, 0x5000, 16);
	struct rv_tlb_entry *other = put(RV_VIEW_S, 0x6000, 8);
	rv_tlb_drop_page(&tlb, 0x5abc);
	UT_EQ(u->tag[RV_READ], RV_TLB_NO_TAG);
	UT_EQ(s->tag[RV_READ], RV_TLB_NO_TAG);
	UT_EQ(other->tag[RV_READ], 0x6000 | 8);
}

UT_TEST(a_large_leaf_goes_as_a_whole)
{
	struct rv_tlb_entry *far = put(RV_VIEW_S, 0x1ff000, 8);
	rv_tlb_note_large(&tlb, 0x1ff000, UINT64_C(2) << 20);
	rv_tlb_drop_page(&tlb, 0);
	UT_EQ(far->tag[RV_READ], RV_TLB_NO_TAG);
}

UT_TEST(pages_beside_large_leaves_go_alone)
{
	struct rv_tlb_entry *other = put(RV_VIEW_S, 0x201000, 8);
	rv_tlb_note_large(&tlb, 0x1ff000, UINT64_C(2) << 20);
	rv_tlb_drop_page(&tlb, 0x200000);
	UT_EQ(other->tag[RV_READ], 0x201000 | 8);
	rv_tlb_note_large(&tlb, 0x1ff000, UINT64_C(1) << 30);
	rv_tlb_drop_page(&tlb, 0x200000);
	UT_EQ(other->tag[RV_READ], RV_TLB_NO_TAG);
}

UT_TEST(a_huge_leaf_takes_everything)
{
	uint64_t ctx = rv_tlb_context(&tlb, 9, 0);
	rv_tlb_note_large(&tlb, UINT64_C(5) << 30, UINT64_C(512) << 30);
	rv_tlb_drop_page(&tlb, 0);
	UT_CHECK(rv_tlb_context(&tlb, 9, 0) != ctx);
}
