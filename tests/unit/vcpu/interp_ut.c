/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(interp, rig_up, rig_down);

UT_TEST(runs_and_counts)
{
	RIG_RUN(I_ADDI(5, 0, 7), I_ADDI(6, 5, -9));
	UT_EQ(rig.h[0]->x[5], 7);
	UT_EQ(rig.h[0]->x[6], (uint64_t)-2);
	UT_EQ(rig.resets, 1);
	UT_EQ(atomic_load(vcpu_retired(rig.v[0])), 2 + 6);
	UT_EQ(rig.h[0]->x[0], 0);
}

UT_TEST(code_that_changes_is_seen_without_a_fence)
{
	/* t0 = t0 + 1, then the same address with another word */
	RIG_RUN(I_ADDI(5, 5, 1));
	UT_EQ(rig.h[0]->x[5], 1);
	RIG_RUN(I_ADDI(5, 5, 100));
	UT_EQ(rig.h[0]->x[5], 101);
	/* By a store of its own: jal over a word that the store replaces. */
	rig.h[0]->x[7] = I_ADDI(5, 0, 55);
	rig.h[0]->x[8] = RIG_CODE + 8;
	RIG_RUN(I_SW(7, 8), I_ADDI(0, 0, 0), I_ADDI(5, 0, 1));
	UT_EQ(rig.h[0]->x[5], 55);
}

UT_TEST(the_last_halfword_of_a_page)
{
	struct vcpu_state_rv64 s;
	/*
	 *  At the end of a page: a 32-bit instruction over the boundary, then a jump to the
	 *  shutdown.
	 */
	uint64_t at = RIG_CODE + 0x1ffe;
	uint32_t word = I_ADDI(5, 0, 9);

	rig_code(NULL, 0);
	memcpy((uint8_t *)rig_at(RIG_CODE) + 0x1ffe, &word, 4);
	word = 0x00008067; /* ret */
	memcpy((uint8_t *)rig_at(RIG_CODE) + 0x2002, &word, 4);
	UT_OK(vcpu_rv64_get_state(rig.v[0], &s));
	s.pc = at;
	s.x[1] = RIG_CODE;
	s.hsm = VCPU_STARTED;
	UT_OK(vcpu_rv64_set_state(rig.v[0], &s));
	vcpu_run(rig.v[0]);
	UT_EQ(rig.h[0]->x[5], 9);
	UT_EQ(rig.resets, 1);
}

/* Illegal in U mode, which no oracle shows: see tests/engine/README.md. */
UT_TEST(svinval_fences_are_for_s_mode)
{
	static const uint32_t words[] = {0x18000073, 0x18100073, 0x16000073, 0x12000073, I_WFI};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		struct vcpu_state_rv64 s;
		/* The handler, at RIG_CODE, is the shutdown. */
		rig_code(NULL, 0);
		*(uint32_t *)(void *)rig_at(RIG_CODE + 0x100) = words[i];
		UT_OK(vcpu_rv64_get_state(rig.v[0], &s));
		s.pc = RIG_CODE + 0x100;
		s.priv = 0;
		s.stvec = RIG_CODE;
		s.hsm = VCPU_STARTED;
		UT_OK(vcpu_rv64_set_state(rig.v[0], &s));
		vcpu_run(rig.v[0]);
		UT_EQ(rig.h[0]->scause, RV_CAUSE_ILLEGAL);
		UT_EQ(rig.h[0]->stval, words[i]);
	}
}

UT_TEST(an_interrupt_comes_right_after_the_write_that_allows_it)
{
	struct rv_hart *h = rig.h[0];
	/* The handler is a shutdown; t0 must not be reached. */
	static const uint32_t words[] = {I_CSRRW(0, 0x100, 6), I_ADDI(5, 0, 1)};

	rig_code(words, 2);
	memcpy(rig_at(RIG_CODE + 0x200), rig_at(RIG_CODE + 8), 24);
	h->stvec = RIG_CODE + 0x200;
	h->x[6] = RV_SSTATUS_SIE;
	h->sie = RV_IP(RV_IRQ_SSI);
	atomic_store(&h->ssip, true);
	rig_run();
	UT_EQ(h->x[5], 0);
	UT_EQ(h->scause, RV_CAUSE_INTERRUPT | RV_IRQ_SSI);
	UT_EQ(h->sepc, RIG_CODE + 4);
}

UT_TEST(wfi_does_not_wait_for_what_is_pending)
{
	rig.h[0]->sie = RV_IP(RV_IRQ_SSI);
	atomic_store(&rig.h[0]->ssip, true);
	RIG_RUN(I_WFI, I_ADDI(5, 0, 3));
	UT_EQ(rig.h[0]->x[5], 3);
}
