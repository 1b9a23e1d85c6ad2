/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(csr, rig_up, rig_down);

static uint64_t swap(unsigned csr, uint64_t value)
{
	uint64_t old;
	UT_OK(rv_csr_access(rig.h[0], csr, RV_CSR_READ | RV_CSR_WRITE, UINT64_MAX, value, &old));
	return old;
}

static uint64_t get(unsigned csr)
{
	uint64_t v;
	UT_OK(rv_csr_access(rig.h[0], csr, RV_CSR_READ, 0, 0, &v));
	return v;
}

UT_TEST(legal_values_only)
{
	(void)swap(0x100, UINT64_MAX);
	UT_EQ(get(0x100), RV_SSTATUS_WRITE | RV_SSTATUS_UXL_64 | RV_SSTATUS_SD);
	(void)swap(0x141, UINT64_MAX);
	UT_EQ(get(0x141), UINT64_MAX - 1);
	(void)swap(0x10a, 0x10);
	(void)swap(0x10a, 0x20 | 0x40);
	UT_EQ(get(0x10a), 0x10 | 0x40);
	(void)swap(0x105, 0x1001);
	(void)swap(0x105, 0x2003);
	UT_EQ(get(0x105), 0x1001);
	(void)swap(0x104, UINT64_MAX);
	UT_EQ(get(0x104), RV_IP_ALL);
}

UT_TEST(names_and_holes)
{
	uint64_t v;
	UT_EQ_STR(rv_csr_name(0x180), "satp");
	UT_CHECK(rv_csr_name(0x300) == NULL);
	UT_ERR(rv_csr_access(rig.h[0], 0x300, RV_CSR_READ, 0, 0, &v), INVAL);
	UT_ERR(rv_csr_access(rig.h[0], 0xc00, RV_CSR_WRITE, 0, 1, &v), INVAL);
}

UT_TEST(user_mode)
{
	uint64_t v;
	rig.h[0]->priv = RV_PRIV_U;
	rig.h[0]->scounteren = 2;
	UT_ERR(rv_csr_access(rig.h[0], 0x140, RV_CSR_READ, 0, 0, &v), INVAL);
	UT_ERR(rv_csr_access(rig.h[0], 0xc00, RV_CSR_READ, 0, 0, &v), INVAL);
	UT_OK(rv_csr_access(rig.h[0], 0xc01, RV_CSR_READ, 0, 0, &v));
}

UT_TEST(time_is_the_environments)
{
	atomic_store(&rig.now_ns, 12345600);
	UT_EQ(get(0xc01), 123456);
	(void)swap(0x14d, 123457);
	UT_EQ(get(0x144), 0);
	atomic_store(&rig.now_ns, 12345700);
	UT_EQ(get(0x144), RV_IP(RV_IRQ_STI));
	(void)swap(0x14d, UINT64_MAX);
	UT_EQ(get(0x144), 0);
}

UT_TEST(floating_point_off)
{
	uint64_t v;
	(void)swap(0x100, 0);
	UT_ERR(rv_csr_access(rig.h[0], 0x003, RV_CSR_READ, 0, 0, &v), INVAL);
	(void)swap(0x100, UINT64_C(0x2000));
	UT_EQ(get(0x003), 0);
	UT_EQ(get(0x100), 0x2000 | RV_SSTATUS_UXL_64);
	(void)swap(0x003, 0xff);
	UT_EQ(get(0x002), 7);
	UT_EQ(get(0x001), 0x1f);
	UT_EQ(get(0x100) & RV_SSTATUS_SD, RV_SSTATUS_SD);
}

UT_TEST(claim_takes_what_was_read)
{
	rig.h[0]->imsic.eie[0] = UINT64_MAX;
	rv_imsic_set(&rig.h[0]->imsic, 9);
	UT_EQ(swap(0x15c, 0), 9 << 16 | 9);
	UT_EQ(swap(0x15c, 0), 0);
}

UT_TEST(indirect_register)
{
	uint64_t v;
	(void)swap(0x150, 0x70);
	(void)swap(0x151, 1);
	UT_EQ(rig.h[0]->imsic.eidelivery, 1);
	(void)swap(0x150, 0x30);
	(void)swap(0x151, UINT64_MAX);
	UT_EQ(get(0x151), 0);
	(void)swap(0x150, 0x31);
	UT_ERR(rv_csr_access(rig.h[0], 0x151, RV_CSR_READ, 0, 0, &v), INVAL);
	(void)swap(0x150, 0x100);
	UT_ERR(rv_csr_access(rig.h[0], 0x151, RV_CSR_READ, 0, 0, &v), INVAL);
}
