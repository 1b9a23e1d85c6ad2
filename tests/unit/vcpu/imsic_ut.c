/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_imsic.h"

#include "tests/lib/ut.h"

static struct rv_imsic f;

static void before(void)
{
	memset(&f, 0, sizeof(f));
}

UT_SUITE_WITH(imsic, before, NULL);

static uint64_t reg(uint32_t sel)
{
	uint64_t v = 0xdead;
	UT_OK(rv_imsic_read(&f, sel, &v));
	return v;
}

UT_TEST(lowest_enabled_identity_wins)
{
	rv_imsic_set(&f, 200);
	rv_imsic_set(&f, 9);
	UT_EQ(rv_imsic_top(&f), 0);
	f.eie[3] = UINT64_MAX;
	UT_EQ(rv_imsic_top(&f), 200);
	f.eie[0] = 1 << 9;
	UT_EQ(rv_imsic_top(&f), 9);
	rv_imsic_claim(&f, 9);
	UT_EQ(rv_imsic_top(&f), 200);
}

UT_TEST(threshold_masks_itself_and_above)
{
	f.eie[0] = UINT64_MAX;
	rv_imsic_set(&f, 9);
	f.eithreshold = 9;
	UT_EQ(rv_imsic_top(&f), 0);
	f.eithreshold = 10;
	UT_EQ(rv_imsic_top(&f), 9);
}

UT_TEST(identities_out_of_range_are_ignored)
{
	rv_imsic_set(&f, 0);
	rv_imsic_set(&f, RV64_IMSIC_IDS + 1);
	rv_imsic_set(&f, UINT32_MAX);
	for (unsigned i = 0; i < RV_IMSIC_WORDS; i++)
		UT_EQ(f.eip[i], 0);
}

UT_TEST(reserved_registers_read_zero_and_odd_ones_are_illegal)
{
	uint64_t v;
	UT_EQ(reg(0x71), 0);
	UT_OK(rv_imsic_modify(&f, 0x7f, 0, UINT64_MAX));
	UT_EQ(reg(0x7f), 0);
	UT_ERR(rv_imsic_read(&f, 0x81, &v), INVAL);
	UT_ERR(rv_imsic_modify(&f, 0xc3, 0, 1), INVAL);
	UT_OK(rv_imsic_modify(&f, 0x88, 0, UINT64_MAX)); /* beyond 255 identities */
	UT_EQ(reg(0x88), 0);
}

UT_TEST(there_is_no_identity_zero)
{
	UT_OK(rv_imsic_modify(&f, 0x80, UINT64_MAX, UINT64_MAX));
	UT_OK(rv_imsic_modify(&f, 0xc0, UINT64_MAX, UINT64_MAX));
	UT_EQ(reg(0x80), UINT64_MAX - 1);
	UT_EQ(reg(0xc0), UINT64_MAX - 1);
}

UT_TEST(set_and_clear_leave_other_bits)
{
	rv_imsic_set(&f, 5);
	UT_OK(rv_imsic_modify(&f, 0x80, 0, 1 << 6));
	UT_EQ(reg(0x80), 1 << 5 | 1 << 6);
	UT_OK(rv_imsic_modify(&f, 0x80, 1 << 5, 0));
	UT_EQ(reg(0x80), 1 << 6);
	UT_OK(rv_imsic_modify(&f, 0x70, UINT64_MAX, 3));
	UT_EQ(reg(0x70), 1);
}
