/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "vcpu/rv64/rv_mmu.h"

/*
 * Delegation is total: every exception and interrupt goes to S mode. (ECALL from S mode is not a
 * trap here but a call of the SBI.)
 */
void rv_trap_enter(struct rv_hart *h, uint64_t cause, uint64_t tval)
{
	uint64_t base = h->stvec & ~UINT64_C(3);
	bool vectored = (h->stvec & 3) == 1 && (cause & RV_CAUSE_INTERRUPT) != 0;

	log_debug(vcpu, "trap, hart %u, cause %#lx, pc %#lx, tval %#lx", h->vcpu.cfg.id.v,
		(unsigned long)cause, (unsigned long)h->pc, (unsigned long)tval);
	vcpu_count(&h->vcpu.counts.traps);
	vcpu_res_drop(h->vcpu.env.group, h->vcpu.cfg.slot);
	h->res_size = 0;
	h->lr_bare = false;
	h->scause = cause;
	h->stval = tval;
	h->sepc = h->pc;
	uint64_t s = h->sstatus & ~(RV_SSTATUS_SPIE | RV_SSTATUS_SPP | RV_SSTATUS_SIE);
	if ((h->sstatus & RV_SSTATUS_SIE) != 0)
		s |= RV_SSTATUS_SPIE;
	if (h->priv == RV_PRIV_S)
		s |= RV_SSTATUS_SPP;
	h->sstatus = s;
	h->priv = RV_PRIV_S;
	h->pc = base + (vectored ? 4 * (cause & 63) : 0);
	rv_mmu_update_view(h);
}

bool rv_trap_interrupt(struct rv_hart *h)
{
	/*
	 *  AIA, default priority order of the major interrupts that we have: external, software,
	 *  timer.
	 */
	static const unsigned order[] = {RV_IRQ_SEI, RV_IRQ_SSI, RV_IRQ_STI};
	uint64_t due = rv_pending(h) & h->sie;

	if (!rv_interrupt_due(h))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		if ((due & RV_IP(order[i])) == 0)
			continue;
		vcpu_count(&h->vcpu.counts.interrupts);
		rv_trap_enter(h, RV_CAUSE_INTERRUPT | order[i], 0);
		return true;
	}
	return false;
}

bool rv_sret(struct rv_hart *h, uint32_t word)
{
	if (h->priv != RV_PRIV_S)
		return rv_raise(h, RV_CAUSE_ILLEGAL, word);
	uint64_t s = h->sstatus & ~(RV_SSTATUS_SIE | RV_SSTATUS_SPP);
	if ((h->sstatus & RV_SSTATUS_SPIE) != 0)
		s |= RV_SSTATUS_SIE;
	h->priv = (h->sstatus & RV_SSTATUS_SPP) != 0 ? RV_PRIV_S : RV_PRIV_U;
	h->sstatus = s | RV_SSTATUS_SPIE;
	h->pc = h->sepc;
	rv_mmu_update_view(h);
	return false;
}
