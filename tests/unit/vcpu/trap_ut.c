/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(trap, rig_up, rig_down);

UT_TEST(entry_and_return)
{
	struct rv_hart *h = rig.h[0];

	h->priv = RV_PRIV_U;
	h->sstatus = RV_SSTATUS_SIE;
	h->stvec = 0x80300001; /* vectored: exceptions go to the base all the same */
	h->pc = 0x1234;
	rv_trap_enter(h, RV_CAUSE_LOAD_PAGE, 0x5678);
	UT_EQ(h->pc, 0x80300000);
	UT_EQ(h->sepc, 0x1234);
	UT_EQ(h->scause, RV_CAUSE_LOAD_PAGE);
	UT_EQ(h->stval, 0x5678);
	UT_EQ(h->sstatus, RV_SSTATUS_SPIE);
	UT_EQ(h->priv, RV_PRIV_S);
	UT_CHECK(!rv_sret(h, I_SRET));
	UT_EQ(h->pc, 0x1234);
	UT_EQ(h->priv, RV_PRIV_U);
	UT_EQ(h->sstatus, RV_SSTATUS_SIE | RV_SSTATUS_SPIE);
	UT_CHECK(rv_sret(h, I_SRET)); /* not for user mode */
	UT_EQ(h->trap_cause, RV_CAUSE_ILLEGAL);
}

UT_TEST(interrupts_by_priority)
{
	struct rv_hart *h = rig.h[0];

	h->sie = RV_IP_ALL;
	h->stvec = 0x80300001;
	atomic_store(&h->ssip, true);
	h->stip = true;
	h->imsic.eidelivery = 1;
	h->imsic.eie[0] = UINT64_MAX;
	rv_imsic_set(&h->imsic, 3);
	UT_CHECK(!rv_trap_interrupt(h)); /* SIE is off in S mode */
	h->sstatus = RV_SSTATUS_SIE;
	UT_CHECK(rv_trap_interrupt(h));
	UT_EQ(h->scause, RV_CAUSE_INTERRUPT | RV_IRQ_SEI);
	UT_EQ(h->pc, 0x80300000 + 4 * RV_IRQ_SEI);
	h->imsic.eidelivery = 0;
	h->sstatus = RV_SSTATUS_SIE;
	UT_CHECK(rv_trap_interrupt(h));
	UT_EQ(h->scause, RV_CAUSE_INTERRUPT | RV_IRQ_SSI);
	atomic_store(&h->ssip, false);
	h->priv = RV_PRIV_U;
	h->sstatus = 0; /* irrelevant in user mode */
	UT_CHECK(rv_trap_interrupt(h));
	UT_EQ(h->scause, RV_CAUSE_INTERRUPT | RV_IRQ_STI);
}

UT_TEST(a_trap_ends_a_reservation)
{
	struct rv_hart *h = rig.h[0];
	vcpu_res_hold(rig.group, 0, RIG_DATA);
	rv_trap_enter(h, RV_CAUSE_BREAKPOINT, 0);
	UT_EQ(rig.group->live, 0);
}
