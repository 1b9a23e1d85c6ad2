/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/tr.h"

/*
 * CSR instructions. Those that a kernel executes at every trap and around every lock are in line:
 * the registers that only hold a value, and sstatus where nothing but interrupt enable, the state
 * of the floating-point unit and the previous mode change. The rest calls what the interpreter
 * calls.
 */
#define CSR_SSTATUS  0x100
#define CSR_SSCRATCH 0x140
#define CSR_SEPC     0x141
#define CSR_SCAUSE   0x142
#define CSR_STVAL    0x143

enum csr_op { CSR_WRITE = 1, CSR_SET, CSR_CLEAR }; /* funct3, low bits */

static enum csr_op op_of(const struct rv_insn *d)
{
	return (enum csr_op)(d->rm & 3);
}

static bool immediate(const struct rv_insn *d)
{
	return (d->rm & 4) != 0;
}

/* "... if rs1=x0, then the instruction will not write to the CSR at all" */
static bool writes(const struct rv_insn *d)
{
	return op_of(d) == CSR_WRITE || d->rs1 != 0;
}

static void get_operand(struct tr *t, unsigned host)
{
	const struct rv_insn *d = &t->in->d;

	if (immediate(d))
		x86_mov_i(&t->e, host, d->rs1);
	else
		tr_get(t, host, d->rs1);
}

/* The helper's, unless in supervisor mode. */
static struct stub *want_supervisor(struct tr *t, const struct code_call *c)
{
	x86_alu_i(&t->e, ALU_CMP, false, HART(priv), RV_PRIV_S);
	return tr_call_stub(t, x86_jcc(&t->e, CC_NE), c);
}

/* A register that holds what is written to it. */
static bool plain(struct tr *t, struct x86_rm csr, bool even)
{
	const struct rv_insn *d = &t->in->d;

	if (writes(d) && op_of(d) != CSR_WRITE)
		return false;
	struct stub *s = want_supervisor(t, tr_call(t, op_csr));
	if (writes(d)) {
		get_operand(t, RCX);
		if (even)
			x86_alu_i(&t->e, ALU_AND, true, x86_r(RCX), -2);
	}
	if (d->rd != RV_REG_SINK)
		x86_op(&t->e, X86_MOV_LOAD | X86_W, RAX, csr);
	if (writes(d))
		x86_op(&t->e, X86_MOV_STORE | X86_W, RCX, csr);
	tr_put(t, d->rd, RAX);
	s->resume = t->e.at;
	return true;
}

/* The new value into rcx; rdx: the old. */
static void new_status(struct tr *t)
{
	const struct rv_insn *d = &t->in->d;

	get_operand(t, RCX);
	if (op_of(d) == CSR_SET) {
		x86_op(&t->e, X86_OR | X86_W, RCX, x86_r(RDX));
	} else if (op_of(d) == CSR_CLEAR) {
		x86_group3(&t->e, G3_NOT, true, x86_r(RCX));
		x86_op(&t->e, X86_AND | X86_W, RCX, x86_r(RDX));
	}
	x86_alu_i(&t->e, ALU_AND, true, x86_r(RCX), (int32_t)RV_SSTATUS_WRITE);
}

/*
 *  Interrupts may become enabled: not while one may be pending, which has to be taken at once. eax:
 *  bits that change; clobbers it.
 */
static struct stub *want_quiet(struct tr *t, const struct code_call *c)
{
	struct x86_rm eip = HART(imsic.eip[0]);

	x86_test_i(&t->e, false, x86_r(RAX), (int32_t)RV_SSTATUS_SIE);
	uint8_t *stays = x86_jcc(&t->e, CC_E);
	x86_op(&t->e, X86_MOVZX8, RAX, HART(ssip));
	x86_op(&t->e, X86_OR8, RAX, HART(stip));
	for (unsigned i = 0; i < RV_IMSIC_WORDS; i++, eip.disp += 8)
		x86_op(&t->e, X86_OR | X86_W, RAX, eip);
	x86_op(&t->e, X86_TEST | X86_W, RAX, x86_r(RAX));
	struct stub *s = tr_call_stub(t, x86_jcc(&t->e, CC_NE), c);
	x86_patch(stays, t->e.at);
	return s;
}

/* rv_jit_fp_look, of the value in rcx. */
static void look_at_fp(struct tr *t)
{
	x86_op(&t->e, X86_MOV_LOAD, RAX, x86_r(RCX));
	x86_alu_i(&t->e, ALU_AND, false, x86_r(RAX), (int32_t)RV_SSTATUS_FS);
	x86_op(&t->e, X86_OR, RAX, HART(frm));
	x86_alu_i(&t->e, ALU_CMP, false, x86_r(RAX), (int32_t)RV_SSTATUS_FS_DIRTY);
	x86_op(&t->e, X86_SETCC_M(CC_E), 0, HART(jit_fp));
	t->fp_on = false;
}

/* What sstatus reads as: with UXL, and SD when the floating-point unit is dirty. rdx: the value. */
static void put_status(struct tr *t)
{
	if (t->in->d.rd == RV_REG_SINK)
		return;
	/* FS + 1 carries into bit 15 when FS is 3; there is nothing in sstatus. */
	x86_op(&t->e, X86_LEA, RAX, x86_m(RDX, (int32_t)(RV_SSTATUS_FS & -RV_SSTATUS_FS)));
	x86_alu_i(&t->e, ALU_AND, false, x86_r(RAX), 1 << 15);
	x86_shift_i(&t->e, SH_SHL, true, RAX, 63 - 15);
	x86_op(&t->e, X86_OR | X86_W, RAX, x86_r(RDX));
	x86_bit_i(&t->e, 5, RAX, 33);
	STATIC_CHECK(RV_SSTATUS_UXL_64 == UINT64_C(1) << 33, "the bit that is set");
	tr_put(t, t->in->d.rd, RAX);
}

static bool status(struct tr *t)
{
	const struct code_call *c = tr_call(t, op_csr);
	struct stub *s[3];
	unsigned n = 0;

	s[n++] = want_supervisor(t, c);
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, HART(sstatus));
	if (writes(&t->in->d)) {
		new_status(t);
		x86_op(&t->e, X86_MOV_LOAD | X86_W, RAX, x86_r(RCX));
		x86_op(&t->e, X86_XOR | X86_W, RAX, x86_r(RDX));
		x86_test_i(&t->e, false, x86_r(RAX), (int32_t)(RV_SSTATUS_SUM | RV_SSTATUS_MXR));
		s[n++] = tr_call_stub(t, x86_jcc(&t->e, CC_NE), c);
		if (op_of(&t->in->d) != CSR_CLEAR)
			s[n++] = want_quiet(t, c);
		x86_op(&t->e, X86_MOV_STORE | X86_W, RCX, HART(sstatus));
		look_at_fp(t);
	}
	put_status(t);
	while (n > 0)
		s[--n]->resume = t->e.at;
	return true;
}

bool tr_csr(struct tr *t)
{
	unsigned op = t->in->d.op;

	if (op < RV_OP_csrrw || op > RV_OP_csrrci)
		return false;
	switch (t->in->d.imm) {
	case CSR_SSTATUS:
		return status(t);
	case CSR_SSCRATCH:
		return plain(t, HART(sscratch), false);
	case CSR_SEPC:
		return plain(t, HART(sepc), true);
	case CSR_SCAUSE:
		return plain(t, HART(scause), false);
	case CSR_STVAL:
		return plain(t, HART(stval), false);
	default:
		return false;
	}
}
