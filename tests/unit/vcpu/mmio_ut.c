/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vcpu/rig.h"
#include "vcpu/rv64/rv_mmu.h"

UT_SUITE_WITH(mmio, rig_up, rig_down);

UT_TEST(registers_of_the_machine)
{
	struct rv_hart *h = rig.h[0];
	uint64_t v;

	UT_CHECK(!rv_mmu_store(h, RIG_DEV, 4, 0x12345678));
	UT_EQ(rig.dev, 0x12345678);
	UT_EQ(rig.dev_size, 4);
	rig.dev = UINT64_MAX;
	UT_CHECK(!rv_mmu_load(h, RIG_DEV, 2, &v));
	UT_EQ(v, 0xffff);
	UT_CHECK(!rv_mmu_load(h, RIG_DEV_BAD, 4, &v));
	UT_EQ(v, UINT32_MAX);
}

UT_TEST(nothing_there_and_misaligned_are_access_faults)
{
	struct rv_hart *h = rig.h[0];
	uint64_t v;

	UT_CHECK(rv_mmu_load(h, 0x20000000, 4, &v));
	UT_EQ(h->trap_cause, RV_CAUSE_LOAD_ACCESS);
	UT_CHECK(rv_mmu_store(h, 0x20000000, 4, 0));
	UT_EQ(h->trap_cause, RV_CAUSE_STORE_ACCESS);
	UT_CHECK(rv_mmu_load(h, RIG_DEV + 2, 4, &v));
	UT_EQ(h->trap_cause, RV_CAUSE_LOAD_ACCESS);
	UT_CHECK(rv_mmu_load(h, RIG_DEV + 0xffe, 4, &v)); /* over two pages */
	UT_EQ(h->trap_cause, RV_CAUSE_LOAD_ACCESS);
}

UT_TEST(interrupt_files_of_all_harts)
{
	struct rv_hart *h = rig.h[0];
	uint64_t v = 1;

	UT_CHECK(!rv_mmu_store(h, RV64_IMSIC_S_BASE + 2 * RV64_IMSIC_STRIDE, 4, 77));
	UT_EQ(rig.h[2]->imsic.eip[1], UINT64_C(1) << 13);
	UT_CHECK(!rv_mmu_store(h, RV64_IMSIC_S_BASE + 4, 4, 0x4d000000));
	UT_CHECK(!rv_mmu_store(h, RV64_IMSIC_S_BASE, 4, 4000));
	UT_EQ(rig.h[0]->imsic.eip[1], 0);
	UT_CHECK(!rv_mmu_load(h, RV64_IMSIC_S_BASE, 4, &v));
	UT_EQ(v, 0);
	UT_CHECK(rv_mmu_store(h, RV64_IMSIC_S_BASE, 8, 77));
	UT_CHECK(rv_mmu_store(h, RV64_IMSIC_S_BASE + RIG_HARTS * RV64_IMSIC_STRIDE, 4, 77));
	UT_EQ(h->trap_cause, RV_CAUSE_STORE_ACCESS);
}

UT_TEST(posted_stores_are_fenced_once)
{
	/* a0 is the device: sw; fence o,w; fence o,w */
	rig.h[0]->x[10] = RIG_DEV;
	RIG_RUN(I_LUI(10, RIG_DEV >> 12), I_SW(10, 10), 0x0410000f, 0x0410000f);
	UT_EQ(rig.io_fences, 1);
	/* Loads and other sets ask for nothing. */
	RIG_RUN(I_LUI(10, RIG_DEV >> 12), I_LD(11, 10, 0), 0x0ff0000f);
	UT_EQ(rig.io_fences, 1);
}
