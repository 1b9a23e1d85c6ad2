/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_SOFTFP_H
#define VCPU_RV64_RV_SOFTFP_H

#include "base/check.h"

/*
 * IEEE 754 arithmetic in integers, for what the host's unit has not: rounding to nearest with ties
 * away from zero, conversions with RISC-V saturation, and fused multiply-add without FMA3. Numbers
 * are bit patterns; every function ORs the RISC-V flags it raises into *flags. Results that are NaN
 * are the canonical one. Pure functions.
 */
enum rv_rm { RV_RNE = 0, RV_RTZ = 1, RV_RDN = 2, RV_RUP = 3, RV_RMM = 4, RV_DYN = 7 };
enum rv_fflag { RV_NX = 1, RV_UF = 2, RV_OF = 4, RV_DZ = 8, RV_NV = 16 };

struct rv_fmt {
	unsigned exp_bits, frac_bits;
};
extern const struct rv_fmt rv_fmt_s, rv_fmt_d;

uint64_t rv_softfp_add(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags);
uint64_t rv_softfp_sub(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags);
uint64_t rv_softfp_mul(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags);
uint64_t rv_softfp_div(
	const struct rv_fmt *f, uint64_t a, uint64_t b, enum rv_rm rm, uint32_t *flags);
uint64_t rv_softfp_sqrt(const struct rv_fmt *f, uint64_t a, enum rv_rm rm, uint32_t *flags);
/* a * b + c, rounded once. */
uint64_t rv_softfp_fma(
	const struct rv_fmt *f, uint64_t a, uint64_t b, uint64_t c, enum rv_rm rm, uint32_t *flags);
uint64_t rv_softfp_convert(const struct rv_fmt *from, const struct rv_fmt *to, uint64_t a,
	enum rv_rm rm, uint32_t *flags);
/* (-1)^sign * magnitude */
uint64_t rv_softfp_from_int(
	const struct rv_fmt *f, bool sign, uint64_t magnitude, enum rv_rm rm, uint32_t *flags);
/* To an integer of `bits` 32 or 64, saturating as fcvt does; 32-bit results are sign-extended. */
uint64_t rv_softfp_to_int(const struct rv_fmt *f, uint64_t a, unsigned bits, bool is_signed,
	enum rv_rm rm, uint32_t *flags);

bool rv_softfp_is_nan(const struct rv_fmt *f, uint64_t a);
bool rv_softfp_is_snan(const struct rv_fmt *f, uint64_t a);
/* The 10-bit mask of fclass. */
uint64_t rv_softfp_classify(const struct rv_fmt *f, uint64_t a);

#endif
