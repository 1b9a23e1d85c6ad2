/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_fp.h"

#include <emmintrin.h>

#define MXCSR_ROUND_SHIFT 13

bool rv_fp_has_fma(void)
{
	static int known = -1; /* racing first callers write the same */

	if (known < 0)
		known = __builtin_cpu_supports("fma") != 0;
	return known > 0;
}

unsigned rv_fp_enter(void)
{
	unsigned saved = _mm_getcsr();
	_mm_setcsr(RV_MXCSR_DEFAULT);
	return saved;
}

void rv_fp_collect(struct rv_hart *h)
{
	/* MXCSR: invalid, denormal, divide by zero, overflow, underflow, inexact from bit 0. */
	unsigned csr = _mm_getcsr();

	if ((csr & RV_MXCSR_FLAGS) == 0)
		return;
	h->fflags |= ((csr & 1) != 0 ? RV_NV : 0) | ((csr & 4) != 0 ? RV_DZ : 0) |
		     ((csr & 8) != 0 ? RV_OF : 0) | ((csr & 16) != 0 ? RV_UF : 0) |
		     ((csr & 32) != 0 ? RV_NX : 0);
	_mm_setcsr(csr & ~RV_MXCSR_FLAGS);
}

void rv_fp_leave(struct rv_hart *h, unsigned saved)
{
	rv_fp_collect(h);
	_mm_setcsr(saved);
}

/* ---- arithmetic in the host's unit, any of its four rounding modes ------------------------- */

static void host_round(unsigned rm)
{
	static const unsigned mode[] = {[RV_RNE] = 0, [RV_RTZ] = 3, [RV_RDN] = 1, [RV_RUP] = 2};
	_mm_setcsr((_mm_getcsr() & ~(3u << MXCSR_ROUND_SHIFT)) | mode[rm] << MXCSR_ROUND_SHIFT);
}

enum arith { ADD, SUB, MUL, DIV, SQRT, FMA };

static double host_d(enum arith op, double a, double b, double c)
{
	switch (op) {
	case ADD:
		return rv_host_add_d(a, b);
	case SUB:
		return rv_host_sub_d(a, b);
	case MUL:
		return rv_host_mul_d(a, b);
	case DIV:
		return rv_host_div_d(a, b);
	case SQRT:
		__asm__ volatile("sqrtsd %1, %0" : "=x"(a) : "x"(a));
		return a;
	default:
		return rv_host_fma_d(a, b, c);
	}
}

static float host_s(enum arith op, float a, float b, float c)
{
	switch (op) {
	case ADD:
		return rv_host_add_s(a, b);
	case SUB:
		return rv_host_sub_s(a, b);
	case MUL:
		return rv_host_mul_s(a, b);
	case DIV:
		return rv_host_div_s(a, b);
	case SQRT:
		__asm__ volatile("sqrtss %1, %0" : "=x"(a) : "x"(a));
		return a;
	default:
		return rv_host_fma_s(a, b, c);
	}
}

static uint64_t soft(
	const struct rv_fmt *f, enum arith op, const uint64_t v[3], enum rv_rm rm, uint32_t *flags)
{
	switch (op) {
	case ADD:
		return rv_softfp_add(f, v[0], v[1], rm, flags);
	case SUB:
		return rv_softfp_sub(f, v[0], v[1], rm, flags);
	case MUL:
		return rv_softfp_mul(f, v[0], v[1], rm, flags);
	case DIV:
		return rv_softfp_div(f, v[0], v[1], rm, flags);
	case SQRT:
		return rv_softfp_sqrt(f, v[0], rm, flags);
	default:
		return rv_softfp_fma(f, v[0], v[1], v[2], rm, flags);
	}
}

/* x86 gives no invalid for infinity * 0 + quiet NaN; RISC-V does. So FMA with a NaN result goes the
 * soft way. */
static bool fma_special(const struct rv_fmt *f, const uint64_t v[3])
{
	return rv_softfp_is_nan(f, v[2]);
}

static uint64_t arith_d(struct rv_hart *h, enum arith op, const uint64_t v[3], unsigned rm)
{
	if (rm == RV_RMM || (op == FMA && (!rv_fp_has_fma() || fma_special(&rv_fmt_d, v))))
		return soft(&rv_fmt_d, op, v, (enum rv_rm)rm, &h->fflags);
	host_round(rm);
	double r = host_d(op, rv_as_double(v[0]), rv_as_double(v[1]), rv_as_double(v[2]));
	host_round(RV_RNE);
	return rv_result_d(r);
}

static uint64_t arith_s(struct rv_hart *h, enum arith op, const uint64_t boxed[3], unsigned rm)
{
	uint64_t v[3] = {rv_unbox(boxed[0]), rv_unbox(boxed[1]), rv_unbox(boxed[2])};

	if (rm == RV_RMM || (op == FMA && (!rv_fp_has_fma() || fma_special(&rv_fmt_s, v))))
		return RV_BOX | soft(&rv_fmt_s, op, v, (enum rv_rm)rm, &h->fflags);
	host_round(rm);
	float r = host_s(op, rv_as_float((uint32_t)v[0]), rv_as_float((uint32_t)v[1]),
		rv_as_float((uint32_t)v[2]));
	host_round(RV_RNE);
	return rv_result_s(r);
}

/* ---- sign, min and max, comparisons: integers ---------------------------------------------- */

static uint64_t top_bit(const struct rv_fmt *f)
{
	return UINT64_C(1) << (f->exp_bits + f->frac_bits);
}

/* Total order of non-NaN numbers with -0 < +0. */
static int64_t order_key(const struct rv_fmt *f, uint64_t a)
{
	return (a & top_bit(f)) != 0 ? -(int64_t)(a & (top_bit(f) - 1)) - 1 : (int64_t)a;
}

static uint64_t minmax(struct rv_hart *h, const struct rv_fmt *f, uint64_t a, uint64_t b, bool max)
{
	bool nan_a = rv_softfp_is_nan(f, a), nan_b = rv_softfp_is_nan(f, b);

	if (rv_softfp_is_snan(f, a) || rv_softfp_is_snan(f, b))
		h->fflags |= RV_NV;
	if (nan_a && nan_b)
		return f == &rv_fmt_d ? RV_NAN_D : RV_NAN_S;
	if (nan_a)
		return b;
	if (nan_b)
		return a;
	return (order_key(f, a) > order_key(f, b)) == max ? a : b;
}

enum compare { EQ, LT, LE };

static uint64_t compare(
	struct rv_hart *h, const struct rv_fmt *f, enum compare op, uint64_t a, uint64_t b)
{
	bool nan = rv_softfp_is_nan(f, a) || rv_softfp_is_nan(f, b);
	bool snan = rv_softfp_is_snan(f, a) || rv_softfp_is_snan(f, b);

	/* feq is a quiet comparison, flt and fle are signaling ones. */
	if (snan || (nan && op != EQ))
		h->fflags |= RV_NV;
	if (nan)
		return 0;
	bool zeros = ((a | b) & (top_bit(f) - 1)) == 0;
	int64_t ka = order_key(f, a), kb = order_key(f, b);
	if (zeros)
		return op != LT;
	return op == EQ ? ka == kb : op == LT ? ka < kb : ka <= kb;
}

static uint64_t inject(const struct rv_fmt *f, uint64_t a, uint64_t b, unsigned how)
{
	uint64_t s = top_bit(f), sign = how == 0 ? b : how == 1 ? ~b : a ^ b;
	return (a & (s - 1)) | (sign & s);
}

/* ---- conversions --------------------------------------------------------------------------- */

static uint64_t from_int(
	struct rv_hart *h, const struct rv_fmt *f, unsigned kind, uint64_t x, unsigned rm)
{
	bool is_signed = (kind & 1) == 0; /* the rs2 field: w wu l lu */
	uint64_t v = kind == 0 ? (uint64_t)(int64_t)(int32_t)x : kind == 1 ? (uint32_t)x : x;
	bool sign = is_signed && (int64_t)v < 0;

	return rv_softfp_from_int(f, sign, sign ? -v : v, (enum rv_rm)rm, &h->fflags);
}

static uint64_t to_int(
	struct rv_hart *h, const struct rv_fmt *f, unsigned kind, uint64_t a, unsigned rm)
{
	return rv_softfp_to_int(
		f, a, kind < 2 ? 32 : 64, (kind & 1) == 0, (enum rv_rm)rm, &h->fflags);
}

/* ---- by instruction ------------------------------------------------------------------------ */

/* The fused ones differ by the signs of product and addend: fmadd, fmsub, fnmsub, fnmadd. */
static uint64_t fused(
	struct rv_hart *h, const struct rv_insn *d, bool dbl, bool neg_p, bool neg_c, unsigned rm)
{
	uint64_t v[3] = {h->f[d->rs1], h->f[d->rs2], h->f[d->rs3]};
	uint64_t sign = dbl ? UINT64_C(1) << 63 : UINT64_C(1) << 31;

	if (!dbl)
		for (unsigned i = 0; i < 3; i++)
			v[i] = RV_BOX | rv_unbox(v[i]);
	v[0] ^= neg_p ? sign : 0;
	v[2] ^= neg_c ? sign : 0;
	return dbl ? arith_d(h, FMA, v, rm) : arith_s(h, FMA, v, rm);
}

static uint64_t double_of(struct rv_hart *h, const struct rv_insn *d)
{
	return rv_softfp_convert(&rv_fmt_s, &rv_fmt_d, rv_unbox(h->f[d->rs1]), RV_RNE, &h->fflags);
}

static uint64_t single_of(struct rv_hart *h, const struct rv_insn *d, unsigned rm)
{
	return RV_BOX |
	       rv_softfp_convert(&rv_fmt_d, &rv_fmt_s, h->f[d->rs1], (enum rv_rm)rm, &h->fflags);
}

#define BOTH(op)                                                                                   \
	case RV_OP_##op##_s:                                                                       \
	case RV_OP_##op##_d

/* Results to a floating register. */
static bool execute_f(
	struct rv_hart *h, const struct rv_insn *d, bool dbl, unsigned rm, uint64_t *out)
{
	const struct rv_fmt *f = dbl ? &rv_fmt_d : &rv_fmt_s;
	uint64_t v[3] = {h->f[d->rs1], h->f[d->rs2], 0};
	uint64_t a = dbl ? v[0] : rv_unbox(v[0]), b = dbl ? v[1] : rv_unbox(v[1]);
	uint64_t box = dbl ? 0 : RV_BOX;

#define ARITH(op) (dbl ? arith_d(h, op, v, rm) : arith_s(h, op, v, rm))
	switch ((enum rv_op)d->op) {
		BOTH(fadd) : *out = ARITH(ADD);
		return true;
		BOTH(fsub) : *out = ARITH(SUB);
		return true;
		BOTH(fmul) : *out = ARITH(MUL);
		return true;
		BOTH(fdiv) : *out = ARITH(DIV);
		return true;
		BOTH(fsqrt) : *out = ARITH(SQRT);
		return true;
		BOTH(fmadd) : *out = fused(h, d, dbl, false, false, rm);
		return true;
		BOTH(fmsub) : *out = fused(h, d, dbl, false, true, rm);
		return true;
		BOTH(fnmsub) : *out = fused(h, d, dbl, true, false, rm);
		return true;
		BOTH(fnmadd) : *out = fused(h, d, dbl, true, true, rm);
		return true;
		BOTH(fsgnj) : *out = box | inject(f, a, b, 0);
		return true;
		BOTH(fsgnjn) : *out = box | inject(f, a, b, 1);
		return true;
		BOTH(fsgnjx) : *out = box | inject(f, a, b, 2);
		return true;
		BOTH(fmin) : *out = box | minmax(h, f, a, b, false);
		return true;
		BOTH(fmax) : *out = box | minmax(h, f, a, b, true);
		return true;
	case RV_OP_fcvt_s_d:
		*out = single_of(h, d, rm);
		return true;
	case RV_OP_fcvt_d_s:
		*out = double_of(h, d);
		return true;
	default: /* the other function's */
		return false;
	}
#undef ARITH
}

/* Conversions from integers, and results to an integer register. */
static void execute_x(struct rv_hart *h, const struct rv_insn *d, bool dbl, unsigned rm)
{
	const struct rv_fmt *f = dbl ? &rv_fmt_d : &rv_fmt_s;
	uint64_t box = dbl ? 0 : RV_BOX, x = h->x[d->rs1];
	uint64_t a = dbl ? h->f[d->rs1] : rv_unbox(h->f[d->rs1]);
	uint64_t b = dbl ? h->f[d->rs2] : rv_unbox(h->f[d->rs2]);

	switch ((enum rv_op)d->op) {
		BOTH(fcvt_w)
		    : BOTH(fcvt_wu)
		    : BOTH(fcvt_l) : BOTH(fcvt_lu) : h->x[d->rd] = to_int(h, f, d->rs2, a, rm);
		return;
	case RV_OP_fcvt_s_w:
	case RV_OP_fcvt_s_wu:
	case RV_OP_fcvt_s_l:
	case RV_OP_fcvt_s_lu:
	case RV_OP_fcvt_d_w:
	case RV_OP_fcvt_d_wu:
	case RV_OP_fcvt_d_l:
	case RV_OP_fcvt_d_lu:
		h->f[d->rd] = box | from_int(h, f, d->rs2, x, rm);
		return;
		BOTH(feq) : h->x[d->rd] = compare(h, f, EQ, a, b);
		return;
		BOTH(flt) : h->x[d->rd] = compare(h, f, LT, a, b);
		return;
		BOTH(fle) : h->x[d->rd] = compare(h, f, LE, a, b);
		return;
		BOTH(fclass) : h->x[d->rd] = rv_softfp_classify(f, a);
		return;
	default:
		UNREACHABLE();
	}
}

void rv_fp_execute(struct rv_hart *h, const struct rv_insn *d, unsigned rm)
{
	/*
	 *  Bits 26:25 of the word are the format; conversions between formats look at their
	 *  operands.
	 */
	bool dbl = (d->word >> 25 & 3) == 1;
	uint64_t out;

	CHECK(rm <= RV_RMM);
	if (execute_f(h, d, dbl, rm, &out))
		h->f[d->rd] = out;
	else
		execute_x(h, d, dbl, rm);
}
