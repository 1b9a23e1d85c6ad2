/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/tr.h"
#include "vcpu/rv64/rv_fp.h"

/*
 * Floating point in the host's unit, whose flags gather in MXCSR as for the interpreter, rounding
 * to nearest. Results that are NaN are made canonical out of line. What rounds otherwise, and what
 * the host does differently, is a helper's. Emitters are told what sets their instructions apart,
 * with these beside it.
 */
#define SINGLE 0x10000000u
#define WIDE   0x20000000u /* a 64-bit integer */
#define HOW(x) ((x) & ~(SINGLE | WIDE))

void tr_fp_on(struct tr *t)
{
	if (t->fp_on)
		return;
	x86_op_i8(&t->e, 0x80, ALU_CMP, HART(jit_fp), 0);
	tr_leave_stub(t, x86_jcc(&t->e, CC_E), RV_JIT_INTERPRET);
	t->fp_on = true;
}

static bool nearest(const struct rv_insn *d)
{
	return d->rm == RV_RNE || d->rm == RV_DYN; /* frm is RNE here */
}

/* f[reg] in some xmm register. */
static unsigned f_in(struct tr *t, unsigned reg, unsigned scratch)
{
	if (host_f[reg] != X86_NO_REG)
		return host_f[reg];
	x86_op(&t->e, X86_MOVSD, scratch, tr_f(reg));
	return scratch;
}

static void f_get(struct tr *t, unsigned xmm, unsigned reg)
{
	if (host_f[reg] == X86_NO_REG)
		x86_op(&t->e, X86_MOVSD, xmm, tr_f(reg));
	else if (host_f[reg] != xmm)
		x86_op(&t->e, X86_MOVAPS, xmm, tr_f(reg));
}

static unsigned f_dst(unsigned reg, unsigned scratch)
{
	return host_f[reg] != X86_NO_REG ? host_f[reg] : scratch;
}

static void f_put(struct tr *t, unsigned reg, unsigned xmm, bool single)
{
	if (host_f[reg] == X86_NO_REG)
		x86_op(&t->e, X86_MOVSD_ST, xmm, tr_f(reg));
	else if (host_f[reg] != xmm)
		x86_op(&t->e, X86_MOVAPS, host_f[reg], x86_r(xmm));
	if (single)
		t->boxed |= UINT32_C(1) << reg;
	else
		t->boxed &= ~(UINT32_C(1) << reg);
}

/* An instruction with stubs that do all of it: they come back behind it. */
struct whole {
	const struct code_call *call;
	struct stub *stub[5];
	unsigned n;
};

static void whole_stub(struct tr *t, struct whole *w, uint8_t *site)
{
	CHECK(w->n < ARRAY_SIZE(w->stub));
	if (w->call == NULL)
		w->call = tr_call(t, op_fp);
	w->stub[w->n++] = tr_call_stub(t, site, w->call);
}

static void whole_end(struct tr *t, const struct whole *w)
{
	for (unsigned i = 0; i < w->n; i++)
		w->stub[i]->resume = t->e.at;
}

/* A single that is not boxed properly counts as a NaN: the helper's. */
static void want_boxed(struct tr *t, struct whole *w, unsigned reg)
{
	if ((t->boxed >> reg & 1) != 0)
		return;
	if (host_f[reg] == X86_NO_REG) {
		struct x86_rm high = tr_f(reg);
		high.disp += 4;
		x86_op_i8(&t->e, 0x83, ALU_CMP, high, 0xff);
	} else {
		x86_op(&t->e, X86_MOVQ_RX | X86_W, host_f[reg], x86_r(RAX));
		x86_shift_i(&t->e, SH_SHR, true, RAX, 32);
		x86_alu_i(&t->e, ALU_CMP, false, x86_r(RAX), -1);
	}
	whole_stub(t, w, x86_jcc(&t->e, CC_NE));
	/* From here on it is known, so what comes by the stub must not come here. */
	w->stub[w->n - 1]->leave_after = true;
	t->boxed |= UINT32_C(1) << reg;
}

/* A NaN becomes the canonical one. */
static void canonical(struct tr *t, unsigned xmm, bool single)
{
	x86_op(&t->e, single ? X86_UCOMISS : X86_UCOMISD, xmm, x86_r(xmm));
	struct stub *s = tr_stub(t, STUB_LOAD, x86_jcc(&t->e, CC_P));
	s->xmm = xmm;
	s->constant = single ? t->fixed->nan_s : t->fixed->nan_d;
	s->resume = t->e.at;
}

static void helper(struct tr *t, unsigned unused)
{
	const struct code_call *c = tr_call(t, op_fp);

	x86_mov_i(&t->e, RDX, (uint64_t)(uintptr_t)c);
	x86_call_to(&t->e, t->help);
	t->boxed = 0;
}

static void arith(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0;
	const struct rv_insn *d = &t->in->d;
	unsigned op = (single ? X86_FP_S : X86_FP_D) | HOW(how);
	struct whole w = {0};

	if (!nearest(d)) {
		helper(t, 0);
		return;
	}
	if (single) {
		want_boxed(t, &w, d->rs1);
		want_boxed(t, &w, d->rs2);
	}
	unsigned dst = f_dst(d->rd, 0);
	if (t->has.avx) {
		x86_vex(&t->e, op, dst, f_in(t, d->rs1, 1), tr_f(d->rs2));
	} else {
		dst = d->rd == d->rs2 ? 0 : dst;
		f_get(t, dst, d->rs1);
		x86_op(&t->e, op, dst, tr_f(d->rs2));
	}
	canonical(t, dst, single);
	f_put(t, d->rd, dst, single);
	whole_end(t, &w);
}

static void sqrt_(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0;
	const struct rv_insn *d = &t->in->d;
	struct whole w = {0};

	if (!nearest(d)) {
		helper(t, 0);
		return;
	}
	if (single)
		want_boxed(t, &w, d->rs1);
	f_get(t, 0, d->rs1); /* the upper half of the single's box stays */
	x86_op(&t->e, single ? X86_SQRTSS : X86_SQRTSD, 0, x86_r(0));
	canonical(t, 0, single);
	f_put(t, d->rd, 0, single);
	whole_end(t, &w);
}

/* With a NaN as the result the helper decides about the flags (rv_fp.c). */
static void fused(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0;
	const struct rv_insn *d = &t->in->d;
	struct whole w = {0};

	if (!nearest(d) || !t->has.fma) {
		helper(t, 0);
		return;
	}
	if (single) {
		want_boxed(t, &w, d->rs1);
		want_boxed(t, &w, d->rs2);
		want_boxed(t, &w, d->rs3);
	}
	f_get(t, 0, d->rs3);
	x86_vex(&t->e, X86_FMA_BASE | HOW(how) | (single ? 0 : X86_W), 0, f_in(t, d->rs1, 1),
		tr_f(d->rs2));
	x86_op(&t->e, single ? X86_UCOMISS : X86_UCOMISD, 0, x86_r(0));
	whole_stub(t, &w, x86_jcc(&t->e, CC_P));
	f_put(t, d->rd, 0, single);
	whole_end(t, &w);
}

/* fsgnj, fsgnjn, fsgnjx: by how the sign comes out of rs2. */
enum inject { INJECT, INJECT_NOT, INJECT_XOR };

static void inject(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0;
	enum inject what = (enum inject)HOW(how);
	const struct rv_insn *d = &t->in->d;
	const uint8_t *sign = single ? t->fixed->sign_s : t->fixed->sign_d;
	const uint8_t *magnitude = single ? t->fixed->magnitude_s : t->fixed->magnitude_d;
	bool same = d->rs1 == d->rs2;
	struct whole w = {0};

	if (single) {
		want_boxed(t, &w, d->rs1);
		want_boxed(t, &w, d->rs2);
	}
	f_get(t, 0, d->rs1);
	if (same && what == INJECT_NOT) {
		x86_op(&t->e, X86_XORPS, 0, x86_rip(sign));
	} else if (same && what == INJECT_XOR) {
		x86_op(&t->e, X86_ANDPS, 0, x86_rip(magnitude));
	} else if (!same) {
		f_get(t, 1, d->rs2);
		x86_op(&t->e, what == INJECT_NOT ? X86_ANDNPS : X86_ANDPS, 1, x86_rip(sign));
		if (what != INJECT_XOR)
			x86_op(&t->e, X86_ANDPS, 0, x86_rip(magnitude));
		x86_op(&t->e, what == INJECT_XOR ? X86_XORPS : X86_ORPS, 0, x86_r(1));
	}
	f_put(t, d->rd, 0, single);
	whole_end(t, &w);
}

static void compare(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0;
	const struct rv_insn *d = &t->in->d;
	struct whole w = {0};

	if (single) {
		want_boxed(t, &w, d->rs1);
		want_boxed(t, &w, d->rs2);
	}
	if (HOW(how) == CC_E) {
		x86_op(&t->e, single ? X86_UCOMISS : X86_UCOMISD, f_in(t, d->rs1, 0), tr_f(d->rs2));
		x86_setcc(&t->e, CC_NP, RAX);
		x86_setcc(&t->e, CC_E, RCX);
		x86_op(&t->e, X86_AND, RAX, x86_r(RCX));
	} else {
		/* b > a, b >= a: false when unordered, and a quiet NaN is signaled. */
		x86_op(&t->e, single ? X86_COMISS : X86_COMISD, f_in(t, d->rs2, 0), tr_f(d->rs1));
		x86_setcc(&t->e, (enum x86_cc)HOW(how), RAX);
	}
	if (d->rd != RV_REG_SINK) {
		unsigned dst = tr_dst(t, d->rd, RAX);
		x86_op(&t->e, X86_MOVZX8, dst, x86_r(RAX));
		tr_put(t, d->rd, dst);
	}
	whole_end(t, &w);
}

/*
 *  To a signed integer, towards zero. The host answers what does not fit with the most negative
 *  number.
 */
static void to_int(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0, wide = (how & WIDE) != 0;
	const struct rv_insn *d = &t->in->d;
	struct whole w = {0};

	if (d->rm != RV_RTZ) {
		helper(t, 0);
		return;
	}
	if (single)
		want_boxed(t, &w, d->rs1);
	x86_op(&t->e, (single ? X86_CVTTSS2SI : X86_CVTTSD2SI) | (wide ? X86_W : 0), RAX,
		tr_f(d->rs1));
	if (wide) {
		x86_mov_i(&t->e, RDX, UINT64_C(1) << 63);
		x86_op(&t->e, X86_CMP | X86_W, RAX, x86_r(RDX));
	} else {
		x86_alu_i(&t->e, ALU_CMP, false, x86_r(RAX), INT32_MIN);
	}
	whole_stub(t, &w, x86_jcc(&t->e, CC_E));
	if (!wide)
		x86_op(&t->e, X86_MOVSXD, RAX, x86_r(RAX));
	tr_put(t, d->rd, RAX);
	whole_end(t, &w);
}

enum int_kind { FROM_W, FROM_WU, FROM_L };

static void from_int(struct tr *t, unsigned how)
{
	bool single = (how & SINGLE) != 0;
	enum int_kind kind = (enum int_kind)HOW(how);
	const struct rv_insn *d = &t->in->d;
	unsigned op = single ? X86_CVTSI2SS : X86_CVTSI2SD;

	if ((single || kind == FROM_L) && !nearest(d)) {
		helper(t, 0);
		return;
	}
	/* All ones: the box of a single. The conversion replaces the low part. */
	x86_op(&t->e, X86_PCMPEQD, 0, x86_r(0));
	if (d->rs1 == 0)
		x86_mov_i(&t->e, RAX, 0);
	else
		x86_op(&t->e, X86_MOV_LOAD | (kind == FROM_L ? X86_W : 0), RAX, tr_x(t, d->rs1));
	x86_op(&t->e, op | (kind == FROM_W ? 0 : X86_W), 0, x86_r(RAX));
	f_put(t, d->rd, 0, single);
}

static void narrow(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;

	if (!nearest(d)) {
		helper(t, 0);
		return;
	}
	x86_op(&t->e, X86_PCMPEQD, 0, x86_r(0));
	x86_op(&t->e, X86_CVTSD2SS, 0, tr_f(d->rs1));
	canonical(t, 0, true);
	f_put(t, d->rd, 0, true);
}

static void widen(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;
	struct whole w = {0};

	want_boxed(t, &w, d->rs1);
	x86_op(&t->e, X86_CVTSS2SD, 0, tr_f(d->rs1));
	canonical(t, 0, false);
	f_put(t, d->rd, 0, false);
	whole_end(t, &w);
}

static void move(struct tr *t, unsigned unused)
{
	const struct rv_insn *d = &t->in->d;
	unsigned dst;

	switch (d->op) {
	case RV_OP_fmv_x_d:
	case RV_OP_fmv_x_w:
		if (d->rd == RV_REG_SINK)
			return;
		dst = tr_dst(t, d->rd, RAX);
		if (d->op == RV_OP_fmv_x_d) {
			x86_op(&t->e, X86_MOVQ_RX | X86_W, f_in(t, d->rs1, 0), x86_r(dst));
		} else {
			x86_op(&t->e, X86_MOVQ_RX, f_in(t, d->rs1, 0), x86_r(RAX));
			x86_op(&t->e, X86_MOVSXD, dst, x86_r(RAX));
		}
		tr_put(t, d->rd, dst);
		return;
	case RV_OP_fmv_d_x:
		x86_op(&t->e, X86_MOVQ_XR | X86_W, 0, x86_r(tr_in(t, d->rs1, RAX)));
		f_put(t, d->rd, 0, false);
		return;
	default: /* fmv.w.x */
		x86_op(&t->e, X86_MOVQ_XR, 0, x86_r(tr_in(t, d->rs1, RAX)));
		x86_op(&t->e, X86_ORPS, 0, x86_rip(t->fixed->box));
		f_put(t, d->rd, 0, true);
		return;
	}
}

#define BOTH(name, emitter, told)                                                                  \
	[RV_OP_##name##_d] = {emitter, (told)}, [RV_OP_##name##_s] = {emitter, (told) | SINGLE}

/* By instruction: the emitter, and what it is told. */
static const struct {
	void (*emit)(struct tr *t, unsigned how);
	unsigned how;
} rules[RV_OP_N] = {
	BOTH(fadd, arith, X86_FP_ADD),
	BOTH(fsub, arith, X86_FP_SUB),
	BOTH(fmul, arith, X86_FP_MUL),
	BOTH(fdiv, arith, X86_FP_DIV),
	BOTH(fsqrt, sqrt_, 0),
	/* By the signs of product and addend, which the two name differently. */
	BOTH(fmadd, fused, X86_FMADD231),
	BOTH(fmsub, fused, X86_FMSUB231),
	BOTH(fnmsub, fused, X86_FNMADD231),
	BOTH(fnmadd, fused, X86_FNMSUB231),
	BOTH(fsgnj, inject, INJECT),
	BOTH(fsgnjn, inject, INJECT_NOT),
	BOTH(fsgnjx, inject, INJECT_XOR),
	BOTH(feq, compare, CC_E),
	BOTH(flt, compare, CC_A),
	BOTH(fle, compare, CC_AE),
	BOTH(fmin, helper, 0),
	BOTH(fmax, helper, 0),
	BOTH(fclass, helper, 0),
	BOTH(fcvt_w, to_int, 0),
	BOTH(fcvt_l, to_int, WIDE),
	BOTH(fcvt_wu, helper, 0),
	BOTH(fcvt_lu, helper, 0),
	[RV_OP_fcvt_d_w] = {from_int, FROM_W},
	[RV_OP_fcvt_s_w] = {from_int, FROM_W | SINGLE},
	[RV_OP_fcvt_d_wu] = {from_int, FROM_WU},
	[RV_OP_fcvt_s_wu] = {from_int, FROM_WU | SINGLE},
	[RV_OP_fcvt_d_l] = {from_int, FROM_L},
	[RV_OP_fcvt_s_l] = {from_int, FROM_L | SINGLE},
	[RV_OP_fcvt_d_lu] = {helper, 0},
	[RV_OP_fcvt_s_lu] = {helper, 0},
	[RV_OP_fcvt_s_d] = {narrow, 0},
	[RV_OP_fcvt_d_s] = {widen, 0},
	[RV_OP_fmv_x_d] = {move, 0},
	[RV_OP_fmv_x_w] = {move, 0},
	[RV_OP_fmv_d_x] = {move, 0},
	[RV_OP_fmv_w_x] = {move, 0},
};

bool tr_fp(struct tr *t)
{
	if (rules[t->in->d.op].emit == NULL)
		return false;
	tr_fp_on(t);
	rules[t->in->d.op].emit(t, rules[t->in->d.op].how);
	return true;
}
