/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "vcpu/rv64/jit/tr.h"
#include "vcpu/rv64/rv_amo.h"
#include "vcpu/rv64/rv_fp.h"
#include "vcpu/rv64/rv_mmu.h"

/*
 * What translated code calls. Results go to the hart, from which the code loads its registers
 * again.
 */

static enum rv_jit_exit trap_if(bool raised)
{
	return raised ? RV_JIT_TRAP : RV_JIT_GO_ON;
}

/* The instruction has been executed; code must be found anew. */
static enum rv_jit_exit done(struct rv_hart *h, const struct code_call *c, enum rv_jit_exit why)
{
	uint64_t n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);

	h->pc += c->insn.len;
	atomic_store_explicit(&h->vcpu.retired, n + 1, memory_order_relaxed);
	return why;
}

/*
 *  A device may have made us wait, and a waiting vCPU answers fences: then this code may not be
 *  what is mapped here any more.
 */
static enum rv_jit_exit unless_fenced(struct rv_hart *h, const struct code_call *c, uint64_t maps)
{
	return likely(h->jit_maps == maps) ? RV_JIT_GO_ON : done(h, c, RV_JIT_LOOKUP);
}

static uint64_t extended(unsigned op, uint64_t v)
{
	switch (op) {
	case RV_OP_lb:
		return (uint64_t)(int64_t)(int8_t)v;
	case RV_OP_lh:
		return (uint64_t)(int64_t)(int16_t)v;
	case RV_OP_lw:
		return (uint64_t)(int64_t)(int32_t)v;
	default:
		return v;
	}
}

enum rv_jit_exit op_load(struct rv_hart *h, const struct code_call *c)
{
	const struct rv_insn *d = &c->insn;
	uint64_t v, maps = h->jit_maps;

	if (rv_mmu_load(h, h->x[d->rs1] + (uint64_t)(int64_t)d->imm, c->size, &v))
		return RV_JIT_TRAP;
	if (d->op == RV_OP_fld)
		h->f[d->rd] = v;
	else if (d->op == RV_OP_flw)
		h->f[d->rd] = RV_BOX | v;
	else
		h->x[d->rd] = extended(d->op, v);
	return unless_fenced(h, c, maps);
}

enum rv_jit_exit op_store(struct rv_hart *h, const struct code_call *c)
{
	const struct rv_insn *d = &c->insn;
	uint64_t v = d->op == RV_OP_fsw || d->op == RV_OP_fsd ? h->f[d->rs2] : h->x[d->rs2];
	uint64_t maps = h->jit_maps;

	if (rv_mmu_store(h, h->x[d->rs1] + (uint64_t)(int64_t)d->imm, c->size, v))
		return RV_JIT_TRAP;
	return unless_fenced(h, c, maps);
}

/*
 * Fill the soft TLB for a group. Only what its first access may do is done on behalf of it; where
 * the group does not hit even then (a device, two pages, not aligned, not yet writable), the
 * interpreter takes it apart.
 */
enum rv_jit_exit op_fill(struct rv_hart *h, const struct code_call *c)
{
	uint64_t base = h->x[c->insn.rs1];
	uint64_t low = base + (uint64_t)(int64_t)c->low;
	enum rv_access all = c->write_all ? RV_WRITE : RV_READ;

	if (rv_mmu_probe(h, base + (uint64_t)(int64_t)c->insn.imm, c->write ? RV_WRITE : RV_READ))
		return RV_JIT_TRAP;
	if (((low ^ (low + (uint64_t)(int64_t)c->span)) & RV_PAGE_MASK) != 0)
		return RV_JIT_INTERPRET;
	if (!rv_tlb_hit(rv_tlb_slot(h->tlb, low), all, low, c->align, h->tlb_ctx))
		return RV_JIT_INTERPRET;
	return RV_JIT_GO_ON;
}

static uint64_t sext_w(uint32_t v)
{
	return (uint64_t)(int64_t)(int32_t)v;
}

/* Divisors 0 and -1: what the host would trap at. */
static uint64_t divide(unsigned op, uint64_t a, uint64_t b)
{
	switch (op) {
	case RV_OP_div:
		return b == 0 ? UINT64_MAX : 0 - a;
	case RV_OP_rem:
		return b == 0 ? a : 0;
	case RV_OP_divu:
		return UINT64_MAX;
	case RV_OP_remu:
		return a;
	case RV_OP_divw:
		return (uint32_t)b == 0 ? UINT64_MAX : sext_w(0 - (uint32_t)a);
	case RV_OP_remw:
		return (uint32_t)b == 0 ? sext_w((uint32_t)a) : 0;
	case RV_OP_divuw:
		return UINT64_MAX;
	case RV_OP_remuw:
		return sext_w((uint32_t)a);
	default:
		UNREACHABLE();
	}
}

enum rv_jit_exit op_int(struct rv_hart *h, const struct code_call *c)
{
	const struct rv_insn *d = &c->insn;
	uint64_t a = h->x[d->rs1], b = h->x[d->rs2], r;

	switch (d->op) {
	case RV_OP_mulhsu:
		r = (uint64_t)(((__int128)(int64_t)a * (__int128)b) >> 64);
		break;
	case RV_OP_orc_b:
		r = rv_orc_b(a);
		break;
	case RV_OP_clz:
		r = a == 0 ? 64 : (uint64_t)__builtin_clzll(a);
		break;
	case RV_OP_ctz:
		r = a == 0 ? 64 : (uint64_t)__builtin_ctzll(a);
		break;
	case RV_OP_clzw:
		r = (uint32_t)a == 0 ? 32 : (uint64_t)__builtin_clz((uint32_t)a);
		break;
	case RV_OP_ctzw:
		r = (uint32_t)a == 0 ? 32 : (uint64_t)__builtin_ctz((uint32_t)a);
		break;
	case RV_OP_cpop:
		r = (uint64_t)__builtin_popcountll(a);
		break;
	case RV_OP_cpopw:
		r = (uint64_t)__builtin_popcount((uint32_t)a);
		break;
	default:
		r = divide(d->op, a, b);
		break;
	}
	h->x[d->rd] = r;
	return RV_JIT_GO_ON;
}

enum rv_jit_exit op_fp(struct rv_hart *h, const struct code_call *c)
{
	const struct rv_insn *d = &c->insn;

	rv_fp_execute(h, d, d->rm == RV_DYN ? RV_RNE : d->rm); /* translated for frm 0 */
	return RV_JIT_GO_ON;
}

enum rv_jit_exit op_atomic(struct rv_hart *h, const struct code_call *c)
{
	const struct rv_insn *d = &c->insn;
	unsigned size = d->rm == 2 ? 4 : 8; /* funct3 */

	switch (d->op) {
	case RV_OP_lr_w:
	case RV_OP_lr_d:
		return trap_if(rv_lr(h, d, size));
	case RV_OP_sc_w:
	case RV_OP_sc_d:
		return trap_if(
			c->paired && h->lr_bare ? rv_sc_bare(h, d, size) : rv_sc(h, d, size));
	default:
		return trap_if(rv_amo(h, d));
	}
}

#define CSR_SATP 0x180

enum rv_jit_exit op_csr(struct rv_hart *h, const struct code_call *c)
{
	if (rv_csr_insn(h, &c->insn))
		return RV_JIT_TRAP;
	rv_jit_fp_look(h);
	if (rv_interrupt_due(h))
		return done(h, c, RV_JIT_ATTENTION);
	/* "... the next instruction" may be another one in the new address space */
	if (c->insn.imm == CSR_SATP)
		return done(h, c, RV_JIT_LOOKUP);
	return RV_JIT_GO_ON;
}

/* Never continues the code. */
enum rv_jit_exit op_system(struct rv_hart *h, const struct code_call *c)
{
	uint64_t n = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);

	if (c->insn.op == RV_OP_ecall) {
		if (h->priv != RV_PRIV_U)
			return RV_JIT_INTERPRET; /* the SBI */
		(void)rv_raise(h, RV_CAUSE_ECALL_U, 0);
		return RV_JIT_TRAP;
	}
	if (rv_sret(h, c->insn.word))
		return RV_JIT_TRAP;
	atomic_store_explicit(&h->vcpu.retired, n + 1, memory_order_relaxed);
	return rv_interrupt_due(h) ? RV_JIT_ATTENTION : RV_JIT_LOOKUP;
}

void tr_helper(struct tr *t)
{
	bool csr = t->in->d.op >= RV_OP_csrrw && t->in->d.op <= RV_OP_csrrci;
	tr_call_now(t, tr_call(t, csr ? op_csr : op_atomic));
}
