/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(sbi, rig_up, rig_down);

static uint64_t returned;

static int64_t call(uint64_t ext, uint64_t fn, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct rv_hart *h = rig.h[0];
	h->x[17] = ext;
	h->x[16] = fn;
	h->x[10] = a0;
	h->x[11] = a1;
	h->x[12] = a2;
	h->x[13] = h->x[14] = 0;
	rv_sbi_call(h);
	returned = h->x[11];
	return (int64_t)h->x[10];
}

UT_TEST(base)
{
	UT_EQ(call(RV_SBI_EXT_BASE, 0, 0, 0, 0), 0);
	UT_EQ(returned, 2 << 24);
	UT_EQ(call(RV_SBI_EXT_BASE, 3, RV_SBI_EXT_DBCN, 0, 0), 0);
	UT_EQ(returned, 1);
	UT_EQ(call(RV_SBI_EXT_BASE, 3, 0x10000, 0, 0), 0);
	UT_EQ(returned, 0);
	UT_EQ(call(1, 0, 'x', 0, 0), RV_SBI_NOT_SUPPORTED); /* legacy console */
	UT_EQ(call(0x504d55, 0, 0, 0, 0), RV_SBI_NOT_SUPPORTED);
}

UT_TEST(hart_masks)
{
	UT_EQ(call(RV_SBI_EXT_IPI, 0, 5, 0, 0), 0);
	UT_CHECK(rig.h[0]->ssip && !rig.h[1]->ssip && rig.h[2]->ssip);
	UT_EQ(call(RV_SBI_EXT_IPI, 0, 1, RIG_HARTS, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_IPI, 0, 16, 0, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_IPI, 0, UINT64_C(1) << 63, 3, 0), RV_SBI_INVALID_PARAM);
	UT_CHECK(!rig.h[1]->ssip);
	UT_EQ(call(RV_SBI_EXT_IPI, 0, 0, UINT64_MAX, 0), 0);
	UT_CHECK(rig.h[1]->ssip && rig.h[3]->ssip);
}

UT_TEST(remote_fences_leave_ourselves_out)
{
	UT_EQ(call(RV_SBI_EXT_RFENCE, 1, 1, 0, 0), 0);
	UT_EQ(rig.fences, 0);
	UT_EQ(call(RV_SBI_EXT_RFENCE, 1, 7, 0, 0), 0);
	UT_EQ(rig.fences, 1);
	UT_EQ(rig.fence_targets, 6);
	UT_EQ(call(RV_SBI_EXT_RFENCE, 0, 0, UINT64_MAX, 0), 0);
	UT_EQ(rig.fence_targets, 14);
	UT_EQ(call(RV_SBI_EXT_RFENCE, 3, 1, 0, 0), RV_SBI_NOT_SUPPORTED);
}

UT_TEST(hart_start_and_status)
{
	UT_EQ(call(RV_SBI_EXT_HSM, 2, 1, 0, 0), 0);
	UT_EQ(returned, VCPU_STOPPED);
	UT_EQ(call(RV_SBI_EXT_HSM, 0, 1, 0x1000, 0), RV_SBI_INVALID_ADDRESS);
	UT_EQ(call(RV_SBI_EXT_HSM, 0, 1, RIG_CODE + 1, 0), RV_SBI_INVALID_ADDRESS);
	UT_EQ(call(RV_SBI_EXT_HSM, 0, RIG_HARTS, RIG_CODE, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_HSM, 0, 1, RIG_CODE, 7), 0);
	UT_EQ(call(RV_SBI_EXT_HSM, 0, 1, RIG_CODE, 7), RV_SBI_ALREADY_AVAILABLE);
	UT_EQ(call(RV_SBI_EXT_HSM, 2, 1, 0, 0), 0);
	UT_EQ(returned, VCPU_START_PENDING);
	UT_EQ(call(RV_SBI_EXT_HSM, 3, 0x10000000, 0, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_HSM, 3, 0x80000000, 0, 0), RV_SBI_INVALID_ADDRESS);
}

UT_TEST(a_suspend_that_forgets)
{
	struct rv_hart *h = rig.h[0];

	h->sie = RV_IP(RV_IRQ_SSI);
	atomic_store(&h->ssip, true);
	h->x[5] = 99;
	UT_EQ(call(RV_SBI_EXT_HSM, 3, 0x80000000, RIG_CODE, 1234), 0); /* a0 is the hart id */
	UT_EQ(returned, 1234);
	UT_EQ(h->pc, RIG_CODE);
	UT_EQ(h->x[5], 0);
}

UT_TEST(console)
{
	memcpy(rig_at(RIG_DATA), "text", 4);
	UT_EQ(call(RV_SBI_EXT_DBCN, 0, 4, RIG_DATA, 0), 0);
	UT_EQ(returned, 4);
	UT_EQ(call(RV_SBI_EXT_DBCN, 2, '!', 0, 0), 0);
	UT_EQ_MEM(rig.console, "text!", 5);
	UT_EQ(call(RV_SBI_EXT_DBCN, 0, 4, 0x1000, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_DBCN, 0, 4, RIG_DATA, 1), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_DBCN, 0, UINT64_MAX, RIG_DATA, 0), RV_SBI_INVALID_PARAM);
	rig.input = "in";
	UT_EQ(call(RV_SBI_EXT_DBCN, 1, 8, RIG_DATA, 0), 0);
	UT_EQ(returned, 2);
	UT_EQ_MEM(rig_at(RIG_DATA), "in", 2);
}

UT_TEST(reset)
{
	UT_EQ(call(RV_SBI_EXT_SRST, 0, 3, 0, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_SRST, 0, 0, 2, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(call(RV_SBI_EXT_SRST, 0, 0xf0000000, 0, 0), RV_SBI_INVALID_PARAM);
	UT_EQ(rig.resets, 0);
	(void)call(RV_SBI_EXT_SRST, 0, 1, 0, 0);
	UT_EQ(rig.resets, 1);
}

UT_TEST(timer)
{
	UT_EQ(call(RV_SBI_EXT_TIME, 0, 0, 0, 0), 0);
	UT_CHECK(rig.h[0]->stip);
	UT_EQ(call(RV_SBI_EXT_TIME, 0, UINT64_MAX, 0, 0), 0);
	UT_CHECK(!rig.h[0]->stip);
}
