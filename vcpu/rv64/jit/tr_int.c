/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/tr.h"

/*
 * Integer computation. `w` in names: 32-bit forms, whose results are sign-extended. Each emitter
 * takes what tells its instructions apart: an opcode, a condition, a shift, with these beside it.
 */
#define WIDE      0x100u /* 64 bits */
#define SIGNED    0x200u
#define REMAINDER 0x400u
#define IMMEDIATE 0x800u

static unsigned size_of(unsigned how)
{
	return (how & WIDE) != 0 ? X86_W : 0;
}

/* The result of a 32-bit operation, in eax or a guest's register, becomes rd. */
static void put_w(struct tr *t, unsigned rd, unsigned host)
{
	unsigned dst = tr_dst(t, rd, RAX);

	x86_op(&t->e, X86_MOVSXD, dst, x86_r(host));
	tr_put(t, rd, dst);
}

/* Where to compute rd = rs1 op rs2, so that rs2 is not overwritten before it is read. */
static unsigned dst_beside(const struct tr *t, const struct rv_insn *d)
{
	return d->rd == d->rs2 && d->rd != d->rs1 ? RAX : tr_dst(t, d->rd, RAX);
}

static void alu(struct tr *t, unsigned opcode)
{
	const struct rv_insn *d = &t->in->d;
	unsigned rs1 = d->rs1, rs2 = d->rs2;

	if (opcode != X86_SUB && d->rd == rs2) {
		rs1 = d->rs2;
		rs2 = d->rs1;
	}
	unsigned dst = d->rd == rs2 && d->rd != rs1 ? RAX : tr_dst(t, d->rd, RAX);
	tr_get(t, dst, rs1);
	if (rs2 == 0) {
		x86_mov_i(&t->e, RDX, 0);
		x86_op(&t->e, opcode | X86_W, dst, x86_r(RDX));
	} else {
		x86_op(&t->e, opcode | X86_W, dst, tr_x(t, rs2));
	}
	tr_put(t, d->rd, dst);
}

static void move(struct tr *t, unsigned rd, unsigned rs)
{
	unsigned dst = tr_dst(t, rd, RAX);

	if (rs == 0) {
		tr_put_const(t, rd, 0);
	} else if (t->host_x[rd] == X86_NO_REG && t->host_x[rs] != X86_NO_REG) {
		tr_put(t, rd, t->host_x[rs]);
	} else {
		tr_get(t, dst, rs);
		tr_put(t, rd, dst);
	}
}

/* rd = rs1 << shift + rs2 */
static void add_shifted(struct tr *t, unsigned shift)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = tr_dst(t, d->rd, RAX);

	if (d->rs1 == 0 || d->rs2 == 0) {
		if (shift == 0) {
			move(t, d->rd, d->rs1 == 0 ? d->rs2 : d->rs1);
			return;
		}
		if (d->rs1 == 0) {
			move(t, d->rd, d->rs2);
			return;
		}
	}
	unsigned a = tr_in(t, d->rs1, RCX), b = tr_in(t, d->rs2, RDX);
	x86_op(&t->e, X86_LEA | X86_W, dst, x86_mx(b, a, shift, 0));
	tr_put(t, d->rd, dst);
}

/* The same with the low 32 bits of rs1. */
static void add_shifted_uw(struct tr *t, unsigned shift)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = tr_dst(t, d->rd, RAX);
	unsigned a = tr_in(t, d->rs1, RCX);

	x86_op(&t->e, X86_MOV_LOAD, RCX, x86_r(a));
	unsigned b = tr_in(t, d->rs2, RDX);
	x86_op(&t->e, X86_LEA | X86_W, dst, x86_mx(b, RCX, shift, 0));
	tr_put(t, d->rd, dst);
}

static void addi(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;

	if (d->rs1 == 0) {
		tr_put_const(t, d->rd, (uint64_t)(int64_t)d->imm);
	} else if (d->imm == 0) {
		move(t, d->rd, d->rs1);
	} else if (d->rd == d->rs1) {
		x86_alu_i(&t->e, ALU_ADD, true, tr_x(t, d->rd), d->imm);
	} else {
		unsigned dst = tr_dst(t, d->rd, RAX), a = tr_in(t, d->rs1, RCX);
		x86_op(&t->e, X86_LEA | X86_W, dst, x86_m(a, d->imm));
		tr_put(t, d->rd, dst);
	}
}

static void alu_imm(struct tr *t, unsigned which)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = tr_dst(t, d->rd, RAX);

	tr_get(t, dst, d->rs1);
	x86_alu_i(&t->e, (enum x86_alu)which, true, x86_r(dst), d->imm);
	tr_put(t, d->rd, dst);
}

static void addiw(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;

	if (d->rs1 == 0) {
		tr_put_const(t, d->rd, (uint64_t)(int64_t)d->imm);
	} else if (d->imm == 0) { /* sext.w */
		unsigned dst = tr_dst(t, d->rd, RAX);
		x86_op(&t->e, X86_MOVSXD, dst, tr_x(t, d->rs1));
		tr_put(t, d->rd, dst);
	} else {
		x86_op(&t->e, X86_LEA, RAX, x86_m(tr_in(t, d->rs1, RCX), d->imm));
		put_w(t, d->rd, RAX);
	}
}

static void addw(struct tr *t, unsigned opcode)
{
	const struct rv_insn *d = &t->in->d;

	tr_get(t, RAX, d->rs1);
	if (d->rs2 != 0)
		x86_op(&t->e, opcode, RAX, tr_x(t, d->rs2));
	put_w(t, d->rd, RAX);
}

static void shift_imm(struct tr *t, unsigned which)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = tr_dst(t, d->rd, RAX);

	tr_get(t, dst, d->rs1);
	x86_shift_i(&t->e, (enum x86_shift)which, true, dst, (unsigned)d->imm);
	tr_put(t, d->rd, dst);
}

static void shift_imm_w(struct tr *t, unsigned which)
{
	const struct rv_insn *d = &t->in->d;
	/* Zeros come in from above: there is no sign to extend. */
	bool positive = which == SH_SHR && d->imm != 0;
	unsigned dst = positive ? tr_dst(t, d->rd, RAX) : RAX;

	if (d->rs1 == 0)
		x86_mov_i(&t->e, dst, 0);
	else
		x86_op(&t->e, X86_MOV_LOAD, dst, tr_x(t, d->rs1));
	x86_shift_i(&t->e, (enum x86_shift)which, false, dst, (unsigned)d->imm);
	if (positive)
		tr_put(t, d->rd, dst);
	else
		put_w(t, d->rd, RAX);
}

static void shift_reg(struct tr *t, unsigned how)
{
	static const unsigned bmi2[] = {
		[SH_SHL] = X86_SHLX, [SH_SHR] = X86_SHRX, [SH_SAR] = X86_SARX};
	const struct rv_insn *d = &t->in->d;
	enum x86_shift which = (enum x86_shift)(how & 7);
	bool wide = (how & WIDE) != 0, rotate = which == SH_ROL || which == SH_ROR;
	unsigned dst = wide ? tr_dst(t, d->rd, RAX) : RAX;

	if (t->has.bmi2 && !rotate && d->rs1 != 0 && d->rs2 != 0) {
		unsigned by = tr_in(t, d->rs2, RCX);
		x86_vex(&t->e, bmi2[which] | size_of(how), dst, by, tr_x(t, d->rs1));
	} else {
		tr_get(t, RCX, d->rs2);
		tr_get(t, RAX, d->rs1);
		x86_shift_cl(&t->e, which, wide, RAX);
		dst = RAX;
	}
	if (wide)
		tr_put(t, d->rd, dst);
	else
		put_w(t, d->rd, RAX);
}

/* rd = flags of (rs1 - rs2 or imm) */
static void set_if(struct tr *t, unsigned how)
{
	const struct rv_insn *d = &t->in->d;
	unsigned a = tr_in(t, d->rs1, RAX), dst = tr_dst(t, d->rd, RAX);

	if ((how & IMMEDIATE) != 0)
		x86_alu_i(&t->e, ALU_CMP, true, x86_r(a), d->imm);
	else if (d->rs2 == 0)
		x86_alu_i(&t->e, ALU_CMP, true, x86_r(a), 0);
	else
		x86_op(&t->e, X86_CMP | X86_W, a, tr_x(t, d->rs2));
	x86_setcc(&t->e, (enum x86_cc)(how & 15), RAX);
	x86_op(&t->e, X86_MOVZX8, dst, x86_r(RAX));
	tr_put(t, d->rd, dst);
}

static void mul(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = dst_beside(t, d), b = tr_in(t, d->rs2, RDX);

	tr_get(t, dst, d->rs1);
	x86_op(&t->e, X86_IMUL | X86_W, dst, x86_r(b));
	tr_put(t, d->rd, dst);
}

static void mulw(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;
	unsigned b = tr_in(t, d->rs2, RDX);

	tr_get(t, RAX, d->rs1);
	x86_op(&t->e, X86_IMUL, RAX, x86_r(b));
	put_w(t, d->rd, RAX);
}

static void mul_high(struct tr *t, unsigned which)
{
	const struct rv_insn *d = &t->in->d;
	unsigned b = tr_in(t, d->rs2, RCX);

	tr_get(t, RAX, d->rs1);
	x86_group3(&t->e, (enum x86_muldiv)which, true, x86_r(b));
	tr_put(t, d->rd, RDX);
}

/*
 * x86 traps where RISC-V has defined results: divisor 0, and the most negative number by -1. Both
 * are the helper's.
 */
static void divide(struct tr *t, unsigned how)
{
	bool is_signed = (how & SIGNED) != 0, wide = (how & WIDE) != 0;
	const struct rv_insn *d = &t->in->d;
	const struct code_call *c = tr_call(t, op_int);
	struct stub *s[2];
	unsigned n = 0;

	tr_get(t, RCX, d->rs2);
	x86_op(&t->e, X86_TEST | size_of(how), RCX, x86_r(RCX));
	s[n++] = tr_call_stub(t, x86_jcc(&t->e, CC_E), c);
	if (is_signed) {
		x86_alu_i(&t->e, ALU_CMP, wide, x86_r(RCX), -1);
		s[n++] = tr_call_stub(t, x86_jcc(&t->e, CC_E), c);
	}
	tr_get(t, RAX, d->rs1);
	if (is_signed)
		x86_cdq(&t->e, wide);
	else
		x86_mov_i(&t->e, RDX, 0);
	x86_group3(&t->e, is_signed ? G3_IDIV : G3_DIV, wide, x86_r(RCX));
	unsigned result = (how & REMAINDER) != 0 ? RDX : RAX;
	if (wide)
		tr_put(t, d->rd, result);
	else
		put_w(t, d->rd, result);
	while (n > 0)
		s[--n]->resume = t->e.at;
}

/* rd = rs1 op ~rs2 */
static void alu_not(struct tr *t, unsigned opcode)
{
	const struct rv_insn *d = &t->in->d;

	tr_get(t, RAX, d->rs2);
	x86_group3(&t->e, G3_NOT, true, x86_r(RAX));
	unsigned a = tr_in(t, d->rs1, RDX);
	x86_op(&t->e, opcode | X86_W, RAX, x86_r(a));
	tr_put(t, d->rd, RAX);
}

static void xnor(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;
	unsigned b = tr_in(t, d->rs2, RDX);

	tr_get(t, RAX, d->rs1);
	x86_op(&t->e, X86_XOR | X86_W, RAX, x86_r(b));
	x86_group3(&t->e, G3_NOT, true, x86_r(RAX));
	tr_put(t, d->rd, RAX);
}

/* rd = rs1, or rs2 when (rs1 cc rs2) does not hold */
static void pick(struct tr *t, unsigned cc)
{
	const struct rv_insn *d = &t->in->d;
	unsigned a = tr_in(t, d->rs1, RCX);

	tr_get(t, RAX, d->rs2);
	x86_op(&t->e, X86_CMP | X86_W, a, x86_r(RAX));
	x86_op(&t->e, X86_CMOV(cc) | X86_W, RAX, x86_r(a));
	tr_put(t, d->rd, RAX);
}

/* What the host has no instruction for. */
static void helper(struct tr *t, unsigned unused)
{
	const struct code_call *c = tr_call(t, op_int);

	x86_mov_i(&t->e, RDX, (uint64_t)(uintptr_t)c);
	x86_call_to(&t->e, t->help);
}

/* Counts of bits: the host's instruction does what RISC-V wants, also for 0. */
static void count_bits(struct tr *t, unsigned opcode)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = tr_dst(t, d->rd, RAX);

	unsigned insn = opcode & ~X86_W;
	if (!(insn == X86_LZCNT ? t->has.lzcnt : insn == X86_TZCNT ? t->has.bmi1 : t->has.popcnt)) {
		helper(t, 0);
		return;
	}
	unsigned a = tr_in(t, d->rs1, RCX);
	x86_op(&t->e, opcode, dst, x86_r(a));
	tr_put(t, d->rd, dst);
}

static void extend(struct tr *t, unsigned opcode)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst = tr_dst(t, d->rd, RAX);
	unsigned a = tr_in(t, d->rs1, RCX);

	x86_op(&t->e, opcode, dst, x86_r(a));
	tr_put(t, d->rd, dst);
}

static void bit_reg(struct tr *t, unsigned opcode)
{
	const struct rv_insn *d = &t->in->d;
	unsigned by = tr_in(t, d->rs2, RCX);

	tr_get(t, RAX, d->rs1);
	x86_op(&t->e, opcode | X86_W, by, x86_r(RAX));
	tr_put(t, d->rd, RAX);
}

/* Group 8. */
#define G8_BTS 5u
#define G8_BTR 6u
#define G8_BTC 7u
static void bit_imm(struct tr *t, unsigned which)
{
	const struct rv_insn *d = &t->in->d;

	tr_get(t, RAX, d->rs1);
	x86_bit_i(&t->e, which, RAX, (unsigned)d->imm);
	tr_put(t, d->rd, RAX);
}

static void bext(struct tr *t, unsigned how)
{
	const struct rv_insn *d = &t->in->d;

	if ((how & IMMEDIATE) != 0) {
		tr_get(t, RAX, d->rs1);
		x86_shift_i(&t->e, SH_SHR, true, RAX, (unsigned)d->imm);
	} else {
		tr_get(t, RCX, d->rs2);
		tr_get(t, RAX, d->rs1);
		x86_shift_cl(&t->e, SH_SHR, true, RAX);
	}
	x86_alu_i(&t->e, ALU_AND, false, x86_r(RAX), 1);
	tr_put(t, d->rd, RAX);
}

/*
 *  FENCE: x86 keeps all orders but that of a store and a later load. A locked instruction keeps
 *  that, too; it may have been an AMO. What concerns posted device stores, or may because FIOM is
 *  set, is the interpreter's.
 */
#define FENCE_PRED_O 0x40
#define FENCE_PRED_W 0x10
#define FENCE_SUCC_R 0x02
static void fence(struct tr *t, unsigned unused)
{
	unsigned sets = (unsigned)t->in->d.imm & 0xff;

	if ((sets & FENCE_PRED_O) != 0)
		x86_op_i8(&t->e, 0x80, ALU_CMP, HART(posted), 0);
	else
		x86_test_i(&t->e, false, HART(senvcfg), (int32_t)RV_ENVCFG_FIOM);
	tr_leave_stub(t, x86_jcc(&t->e, CC_NE), RV_JIT_INTERPRET);
	if ((sets & FENCE_PRED_W) != 0 && (sets & FENCE_SUCC_R) != 0 && !t->drained &&
		!t->fenceless) {
		x86_lock(&t->e);
		/* Below the stack, so that no return waits for it. */
		x86_alu_i(&t->e, ALU_OR, false, x86_m(RSP, -64), 0);
		t->drained = true;
	}
}

static void lui(struct tr *t, unsigned unused)
{
	tr_put_const(t, t->in->d.rd, (uint64_t)(int64_t)t->in->d.imm);
}

static void auipc(struct tr *t, unsigned unused)
{
	tr_put_const(t, t->in->d.rd, t->pc + (uint64_t)(int64_t)t->in->d.imm);
}

static void slli_uw(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;

	x86_op(&t->e, X86_MOV_LOAD, RAX, x86_r(tr_in(t, d->rs1, RCX)));
	x86_shift_i(&t->e, SH_SHL, true, RAX, (unsigned)d->imm);
	tr_put(t, d->rd, RAX);
}

static void rev8(struct tr *t, unsigned unused)
{
	tr_get(t, RAX, t->in->d.rs1);
	x86_bswap(&t->e, RAX);
	tr_put(t, t->in->d.rd, RAX);
}

/* By instruction: the emitter, and what it is told. */
static const struct {
	void (*emit)(struct tr *t, unsigned how);
	unsigned how;
} rules[RV_OP_N] = {
	[RV_OP_lui] = {lui, 0},
	[RV_OP_auipc] = {auipc, 0},
	[RV_OP_addi] = {addi, 0},
	[RV_OP_slti] = {set_if, CC_L | IMMEDIATE},
	[RV_OP_sltiu] = {set_if, CC_B | IMMEDIATE},
	[RV_OP_xori] = {alu_imm, ALU_XOR},
	[RV_OP_ori] = {alu_imm, ALU_OR},
	[RV_OP_andi] = {alu_imm, ALU_AND},
	[RV_OP_slli] = {shift_imm, SH_SHL},
	[RV_OP_srli] = {shift_imm, SH_SHR},
	[RV_OP_srai] = {shift_imm, SH_SAR},
	[RV_OP_addiw] = {addiw, 0},
	[RV_OP_slliw] = {shift_imm_w, SH_SHL},
	[RV_OP_srliw] = {shift_imm_w, SH_SHR},
	[RV_OP_sraiw] = {shift_imm_w, SH_SAR},
	[RV_OP_add] = {add_shifted, 0},
	[RV_OP_sub] = {alu, X86_SUB},
	[RV_OP_sll] = {shift_reg, SH_SHL | WIDE},
	[RV_OP_slt] = {set_if, CC_L},
	[RV_OP_sltu] = {set_if, CC_B},
	[RV_OP_xor] = {alu, X86_XOR},
	[RV_OP_srl] = {shift_reg, SH_SHR | WIDE},
	[RV_OP_sra] = {shift_reg, SH_SAR | WIDE},
	[RV_OP_or] = {alu, X86_OR},
	[RV_OP_and] = {alu, X86_AND},
	[RV_OP_addw] = {addw, X86_ADD},
	[RV_OP_subw] = {addw, X86_SUB},
	[RV_OP_sllw] = {shift_reg, SH_SHL},
	[RV_OP_srlw] = {shift_reg, SH_SHR},
	[RV_OP_sraw] = {shift_reg, SH_SAR},
	[RV_OP_fence] = {fence, 0},
	/* M */
	[RV_OP_mul] = {mul, 0},
	[RV_OP_mulw] = {mulw, 0},
	[RV_OP_mulh] = {mul_high, G3_IMUL},
	[RV_OP_mulhu] = {mul_high, G3_MUL},
	[RV_OP_mulhsu] = {helper, 0},
	[RV_OP_div] = {divide, SIGNED | WIDE},
	[RV_OP_divu] = {divide, WIDE},
	[RV_OP_rem] = {divide, SIGNED | WIDE | REMAINDER},
	[RV_OP_remu] = {divide, WIDE | REMAINDER},
	[RV_OP_divw] = {divide, SIGNED},
	[RV_OP_divuw] = {divide, 0},
	[RV_OP_remw] = {divide, SIGNED | REMAINDER},
	[RV_OP_remuw] = {divide, REMAINDER},
	/* Zba */
	[RV_OP_add_uw] = {add_shifted_uw, 0},
	[RV_OP_sh1add] = {add_shifted, 1},
	[RV_OP_sh2add] = {add_shifted, 2},
	[RV_OP_sh3add] = {add_shifted, 3},
	[RV_OP_sh1add_uw] = {add_shifted_uw, 1},
	[RV_OP_sh2add_uw] = {add_shifted_uw, 2},
	[RV_OP_sh3add_uw] = {add_shifted_uw, 3},
	[RV_OP_slli_uw] = {slli_uw, 0},
	/* Zbb */
	[RV_OP_andn] = {alu_not, X86_AND},
	[RV_OP_orn] = {alu_not, X86_OR},
	[RV_OP_xnor] = {xnor, 0},
	[RV_OP_max] = {pick, CC_G},
	[RV_OP_maxu] = {pick, CC_A},
	[RV_OP_min] = {pick, CC_L},
	[RV_OP_minu] = {pick, CC_B},
	[RV_OP_rol] = {shift_reg, SH_ROL | WIDE},
	[RV_OP_ror] = {shift_reg, SH_ROR | WIDE},
	[RV_OP_rolw] = {shift_reg, SH_ROL},
	[RV_OP_rorw] = {shift_reg, SH_ROR},
	[RV_OP_rori] = {shift_imm, SH_ROR},
	[RV_OP_roriw] = {shift_imm_w, SH_ROR},
	[RV_OP_clz] = {count_bits, X86_LZCNT | X86_W},
	[RV_OP_clzw] = {count_bits, X86_LZCNT},
	[RV_OP_ctz] = {count_bits, X86_TZCNT | X86_W},
	[RV_OP_ctzw] = {count_bits, X86_TZCNT},
	[RV_OP_cpop] = {count_bits, X86_POPCNT | X86_W},
	[RV_OP_cpopw] = {count_bits, X86_POPCNT},
	[RV_OP_sext_b] = {extend, X86_MOVSX8},
	[RV_OP_sext_h] = {extend, X86_MOVSX16},
	[RV_OP_zext_h] = {extend, X86_MOVZX16},
	[RV_OP_rev8] = {rev8, 0},
	[RV_OP_orc_b] = {helper, 0},
	/* Zbs */
	[RV_OP_bclr] = {bit_reg, X86_BTR},
	[RV_OP_binv] = {bit_reg, X86_BTC},
	[RV_OP_bset] = {bit_reg, X86_BTS},
	[RV_OP_bclri] = {bit_imm, G8_BTR},
	[RV_OP_binvi] = {bit_imm, G8_BTC},
	[RV_OP_bseti] = {bit_imm, G8_BTS},
	[RV_OP_bext] = {bext, 0},
	[RV_OP_bexti] = {bext, IMMEDIATE},
};

bool tr_int(struct tr *t)
{
	const struct rv_insn *d = &t->in->d;

	if (rules[d->op].emit == NULL)
		return false;
	/* Hints: they compute nothing that anybody could see. */
	if (d->rd != RV_REG_SINK || d->op == RV_OP_fence)
		rules[d->op].emit(t, rules[d->op].how);
	return true;
}
