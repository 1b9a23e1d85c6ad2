/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_softfp.h"

const struct rv_fmt rv_fmt_s = {8, 23};
const struct rv_fmt rv_fmt_d = {11, 52};

typedef unsigned __int128 u128;

/* A finite number: (-1)^sign * m * 2^e; m may carry a sticky bit as its lowest. */
struct num {
	bool sign;
	int e;
	u128 m;
};

enum kind { KIND_ZERO, KIND_FINITE, KIND_INF, KIND_NAN };

static uint64_t low_mask(unsigned bits)
{
	return (UINT64_C(1) << bits) - 1;
}

static int bias_of(const struct rv_fmt *f)
{
	return (int)low_mask(f->exp_bits - 1);
}

static uint64_t sign_bit(const struct rv_fmt *f)
{
	return UINT64_C(1) << (f->exp_bits + f->frac_bits);
}

static uint64_t inf_of(const struct rv_fmt *f, bool sign)
{
	return low_mask(f->exp_bits) << f->frac_bits | (sign ? sign_bit(f) : 0);
}

static uint64_t zero_of(const struct rv_fmt *f, bool sign)
{
	return sign ? sign_bit(f) : 0;
}

static uint64_t nan_of(const struct rv_fmt *f)
{
	return inf_of(f, false) | UINT64_C(1) << (f->frac_bits - 1);
}

bool rv_softfp_is_nan(const struct rv_fmt *f, uint64_t a)
{
	return (a & (sign_bit(f) - 1)) > inf_of(f, false);
}

bool rv_softfp_is_snan(const struct rv_fmt *f, uint64_t a)
{
	return rv_softfp_is_nan(f, a) && (a >> (f->frac_bits - 1) & 1) == 0;
}

static unsigned msb(u128 m)
{
	uint64_t hi = (uint64_t)(m >> 64);
	return hi != 0 ? 127 - (unsigned)__builtin_clzll(hi)
		       : 63 - (unsigned)__builtin_clzll((uint64_t)m);
}

/* Take apart; a finite number's m has exactly frac_bits + 1 bits, subnormals too. */
static enum kind unpack(const struct rv_fmt *f, uint64_t a, struct num *n)
{
	uint64_t exp = a >> f->frac_bits & low_mask(f->exp_bits);
	uint64_t frac = a & low_mask(f->frac_bits);

	n->sign = (a & sign_bit(f)) != 0;
	if (exp == low_mask(f->exp_bits))
		return frac != 0 ? KIND_NAN : KIND_INF;
	if (exp == 0 && frac == 0)
		return KIND_ZERO;
	n->m = exp == 0 ? frac : frac | UINT64_C(1) << f->frac_bits;
	n->e = (exp == 0 ? 1 : (int)exp) - bias_of(f) - (int)f->frac_bits;
	unsigned up = f->frac_bits - msb(n->m);
	n->m <<= up;
	n->e -= (int)up;
	return KIND_FINITE;
}

/* Drop `shift` low bits, keeping a sticky one. */
static u128 shift_jam(u128 m, int shift)
{
	if (shift <= 0)
		return m;
	if (shift > 127)
		return m != 0;
	return m >> shift | ((m & (((u128)1 << shift) - 1)) != 0);
}

/* Does rounding away the low `shift` bits (1..127) of m go up in magnitude? */
static bool rounds_up(u128 m, int shift, bool sign, enum rv_rm rm)
{
	u128 rem = m & (((u128)1 << shift) - 1);
	u128 half = (u128)1 << (shift - 1);
	bool odd = (m >> shift & 1) != 0;

	switch (rm) {
	case RV_RNE:
		return rem > half || (rem == half && odd);
	case RV_RMM:
		return rem >= half;
	case RV_RDN:
		return sign && rem != 0;
	case RV_RUP:
		return !sign && rem != 0;
	default:
		return false;
	}
}

static uint64_t overflow(const struct rv_fmt *f, bool sign, enum rv_rm rm, uint32_t *flags)
{
	bool to_inf =
		rm == RV_RNE || rm == RV_RMM || (rm == RV_RDN && sign) || (rm == RV_RUP && !sign);

	*flags |= RV_OF | RV_NX;
	return to_inf ? inf_of(f, sign) : inf_of(f, sign) - 1;
}

/* "Tininess is detected after rounding": as if the exponent had no lower bound. */
static bool tiny_after_rounding(const struct rv_fmt *f, const struct num *n, enum rv_rm rm)
{
	int top = n->e + (int)msb(n->m), emin = 1 - bias_of(f);
	int shift = (int)msb(n->m) - (int)f->frac_bits;

	if (top != emin - 1 || shift <= 0)
		return top < emin;
	u128 kept = (n->m >> shift) + rounds_up(n->m, shift, n->sign, rm);
	return msb(kept) == f->frac_bits; /* no carry into the smallest normal number */
}

/* Round a nonzero number into the format. */
static uint64_t round_pack(const struct rv_fmt *f, struct num n, enum rv_rm rm, uint32_t *flags)
{
	int emin = 1 - bias_of(f), top = n.e + (int)msb(n.m);
	int lsb = (top < emin ? emin : top) - (int)f->frac_bits;
	int shift = lsb - n.e;
	bool inexact = false;
	uint64_t r;

	if (shift <= 0) {
		r = (uint64_t)(n.m << -shift);
	} else {
		bool tiny = tiny_after_rounding(f, &n, rm);
		if (shift > 126) { /* all of it is far below the last place */
			n.m = 1;
			shift = 126;
		}
		inexact = (n.m & (((u128)1 << shift) - 1)) != 0;
		r = (uint64_t)(n.m >> shift) + rounds_up(n.m, shift, n.sign, rm);
		if (inexact)
			*flags |= RV_NX | (tiny ? RV_UF : 0);
	}
	if (r >> (f->frac_bits + 1) != 0) { /* the carry made it a power of two */
		r >>= 1;
		lsb++;
	}
	uint64_t sign = zero_of(f, n.sign);
	if (r >> f->frac_bits == 0)
		return sign | r; /* subnormal, or rounded to zero */
	int exp = lsb + (int)f->frac_bits + bias_of(f);
	if (exp >= (int)low_mask(f->exp_bits))
		return overflow(f, n.sign, rm, flags);
	return sign | (uint64_t)exp << f->frac_bits | (r & low_mask(f->frac_bits));
}

static uint64_t invalid(const struct rv_fmt *f, uint32_t *flags)
{
	*flags |= RV_NV;
	return nan_of(f);
}

/* The result when a or b is NaN; signaling ones raise NV. */
static uint64_t propagate(const struct rv_fmt *f, uint64_t a, uint64_t b, uint32_t *flags)
{
	if (rv_softfp_is_snan(f, a) || rv_softfp_is_snan(f, b))
		*flags |= RV_NV;
	return nan_of(f);
}

/* Sum of two finite nonzero numbers. Both have their top bit near 2^124, so nothing overflows and
 * bits are lost only where they are far below the last place. */
static uint64_t sum(
	const struct rv_fmt *f, struct num a, struct num b, enum rv_rm rm, uint32_t *flags)
{
	struct num r;

	if (a.e < b.e) {
		struct num t = a;
		a = b;
		b = t;
	}
	b.m = shift_jam(b.m, a.e - b.e);
	r.e = a.e;
	if (a.sign == b.sign) {
		r.sign = a.sign;
		r.m = a.m + b.m;
	} else if (a.m == b.m) {
		return zero_of(f, rm == RV_RDN); /* an exact zero difference */
	} else {
		r.sign = a.m > b.m ? a.sign : b.sign;
		r.m = a.m > b.m ? a.m - b.m : b.m - a.m;
	}
	return round_pack(f, r, rm, flags);
}

static struct num raise_to(struct num n, unsigned top)
{
	unsigned up = top - msb(n.m);
	n.m <<= up;
	n.e -= (int)up;
	return n;
}

#define SUM_TOP 124

uint64_t rv_softfp_add(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags)
{
	struct num na, nb;
	enum kind ka = unpack(f, a, &na), kb = unpack(f, b, &nb);

	if (ka == KIND_NAN || kb == KIND_NAN)
		return propagate(f, a, b, flags);
	if (ka == KIND_INF && kb == KIND_INF && na.sign != nb.sign)
		return invalid(f, flags);
	if (ka == KIND_INF)
		return a;
	if (kb == KIND_INF)
		return b;
	if (ka == KIND_ZERO && kb == KIND_ZERO)
		return na.sign == nb.sign ? a : zero_of(f, rm == RV_RDN);
	if (ka == KIND_ZERO)
		return b;
	if (kb == KIND_ZERO)
		return a;
	return sum(f, raise_to(na, SUM_TOP), raise_to(nb, SUM_TOP), rm, flags);
}

uint64_t rv_softfp_sub(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags)
{
	return rv_softfp_add(f, a, b ^ sign_bit(f), rm, flags);
}

uint64_t rv_softfp_mul(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags)
{
	struct num na, nb;
	enum kind ka = unpack(f, a, &na), kb = unpack(f, b, &nb);
	bool sign = na.sign != nb.sign;

	if (ka == KIND_NAN || kb == KIND_NAN)
		return propagate(f, a, b, flags);
	if ((ka == KIND_INF && kb == KIND_ZERO) || (ka == KIND_ZERO && kb == KIND_INF))
		return invalid(f, flags);
	if (ka == KIND_INF || kb == KIND_INF)
		return inf_of(f, sign);
	if (ka == KIND_ZERO || kb == KIND_ZERO)
		return zero_of(f, sign);
	return round_pack(f, (struct num){sign, na.e + nb.e, na.m * nb.m}, rm, flags);
}

uint64_t rv_softfp_div(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags)
{
	struct num na, nb;
	enum kind ka = unpack(f, a, &na), kb = unpack(f, b, &nb);
	bool sign = na.sign != nb.sign;

	if (ka == KIND_NAN || kb == KIND_NAN)
		return propagate(f, a, b, flags);
	if ((ka == KIND_INF && kb == KIND_INF) || (ka == KIND_ZERO && kb == KIND_ZERO))
		return invalid(f, flags);
	if (ka == KIND_INF)
		return inf_of(f, sign);
	if (kb == KIND_INF || ka == KIND_ZERO)
		return zero_of(f, sign);
	if (kb == KIND_ZERO) {
		*flags |= RV_DZ;
		return inf_of(f, sign);
	}
	u128 wide = na.m << 64; /* leaves a quotient of at least 64 bits */
	u128 q = wide / nb.m | (wide % nb.m != 0);
	return round_pack(f, (struct num){sign, na.e - nb.e - 64, q}, rm, flags);
}

/* Largest r with r * r <= m, bit by bit. */
static uint64_t isqrt(u128 m, bool *exact)
{
	u128 r = 0, rest = m;

	for (int bit = 126; bit >= 0; bit -= 2) {
		u128 try = r + ((u128)1 << bit);
		r >>= 1;
		if (rest >= try) {
			rest -= try;
			r += (u128)1 << bit;
		}
	}
	*exact = rest == 0;
	return (uint64_t)r;
}

uint64_t rv_softfp_sqrt(const struct rv_fmt *f, uint64_t a, enum rv_rm rm, uint32_t *flags)
{
	struct num n;
	enum kind k = unpack(f, a, &n);
	bool exact;

	if (k == KIND_NAN)
		return propagate(f, a, 0, flags);
	if (k == KIND_ZERO)
		return a;
	if (n.sign)
		return invalid(f, flags);
	if (k == KIND_INF)
		return a;
	n = raise_to(n, 125);
	if ((n.e & 1) != 0) {
		n.m <<= 1;
		n.e--;
	}
	uint64_t r = isqrt(n.m, &exact);
	return round_pack(f, (struct num){false, n.e / 2 - 1, (u128)r << 1 | !exact}, rm, flags);
}

uint64_t rv_softfp_fma(
	const struct rv_fmt *f, uint64_t a, uint64_t b, uint64_t c, enum rv_rm rm, uint32_t *flags)
{
	struct num na, nb, nc;
	enum kind ka = unpack(f, a, &na), kb = unpack(f, b, &nb), kc = unpack(f, c, &nc);
	bool sign = na.sign != nb.sign;

	/* Infinity times zero is invalid even when c is a quiet NaN. */
	if ((ka == KIND_INF && kb == KIND_ZERO) || (ka == KIND_ZERO && kb == KIND_INF))
		return invalid(f, flags);
	if (ka == KIND_NAN || kb == KIND_NAN || kc == KIND_NAN) {
		(void)propagate(f, c, c, flags);
		return propagate(f, a, b, flags);
	}
	if (ka == KIND_INF || kb == KIND_INF) {
		if (kc == KIND_INF && nc.sign != sign)
			return invalid(f, flags);
		return inf_of(f, sign);
	}
	if (kc == KIND_INF)
		return c;
	if (ka == KIND_ZERO || kb == KIND_ZERO) {
		if (kc == KIND_ZERO && nc.sign != sign)
			return zero_of(f, rm == RV_RDN);
		return kc == KIND_ZERO ? zero_of(f, sign) : c;
	}
	struct num p = {sign, na.e + nb.e, na.m * nb.m};
	if (kc == KIND_ZERO)
		return round_pack(f, p, rm, flags);
	return sum(f, raise_to(p, SUM_TOP), raise_to(nc, SUM_TOP), rm, flags);
}

uint64_t rv_softfp_convert(const struct rv_fmt *from, const struct rv_fmt *to, uint64_t a,
	enum rv_rm rm, uint32_t *flags)
{
	struct num n;

	switch (unpack(from, a, &n)) {
	case KIND_NAN:
		(void)propagate(from, a, 0, flags);
		return nan_of(to);
	case KIND_INF:
		return inf_of(to, n.sign);
	case KIND_ZERO:
		return zero_of(to, n.sign);
	default:
		return round_pack(to, n, rm, flags);
	}
}

uint64_t rv_softfp_from_int(
	const struct rv_fmt *f, bool sign, uint64_t magnitude, enum rv_rm rm, uint32_t *flags)
{
	if (magnitude == 0)
		return 0;
	return round_pack(f, (struct num){sign, 0, magnitude}, rm, flags);
}

static uint64_t int_limit(unsigned bits, bool is_signed, bool negative)
{
	if (!is_signed)
		return negative ? 0 : UINT64_MAX; /* 32-bit all ones, sign-extended, is the same */
	uint64_t min = (uint64_t)(-1) << (bits - 1);
	return negative ? min : ~min;
}

uint64_t rv_softfp_to_int(const struct rv_fmt *f, uint64_t a, unsigned bits, bool is_signed,
	enum rv_rm rm, uint32_t *flags)
{
	struct num n;
	enum kind k = unpack(f, a, &n);
	uint32_t raised = 0;
	u128 v;

	if (k == KIND_ZERO)
		return 0;
	if (k == KIND_NAN || k == KIND_INF || n.e > 64) {
		*flags |= RV_NV;
		return int_limit(bits, is_signed, k != KIND_NAN && n.sign);
	}
	if (n.e >= 0) {
		v = n.m << n.e;
	} else {
		int shift = -n.e;
		if (shift > 126) {
			n.m = 1;
			shift = 126;
		}
		v = (n.m >> shift) + rounds_up(n.m, shift, n.sign, rm);
		raised = (n.m & (((u128)1 << shift) - 1)) != 0 ? RV_NX : 0;
	}
	u128 most = is_signed ? ((u128)1 << (bits - 1)) - !n.sign
		    : n.sign  ? 0
			      : ((u128)1 << bits) - 1;
	if (v > most) {
		*flags |= RV_NV;
		return int_limit(bits, is_signed, n.sign);
	}
	*flags |= raised;
	uint64_t r = n.sign ? -(uint64_t)v : (uint64_t)v;
	return bits == 32 ? (uint64_t)(int64_t)(int32_t)r : r;
}

uint64_t rv_softfp_classify(const struct rv_fmt *f, uint64_t a)
{
	struct num n;
	bool normal = (a >> f->frac_bits & low_mask(f->exp_bits)) != 0;

	switch (unpack(f, a, &n)) {
	case KIND_NAN:
		return rv_softfp_is_snan(f, a) ? 1u << 8 : 1u << 9;
	case KIND_INF:
		return n.sign ? 1u << 0 : 1u << 7;
	case KIND_ZERO:
		return n.sign ? 1u << 3 : 1u << 4;
	default:
		if (normal)
			return n.sign ? 1u << 1 : 1u << 6;
		return n.sign ? 1u << 2 : 1u << 5;
	}
}
