/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_softfp.h"

#include "base/rng.h"
#include "tests/lib/ut.h"
#include "vcpu/rv64/rv_fp.h"

UT_SUITE(softfp);

/* The host's unit is the reference for its four modes. */
static unsigned host_begin(enum rv_rm rm)
{
	static const unsigned mode[] = {0, 3, 1, 2};
	unsigned saved = _mm_getcsr();
	_mm_setcsr(RV_MXCSR_DEFAULT | mode[rm] << 13);
	return saved;
}

static uint32_t host_end(unsigned saved)
{
	unsigned c = _mm_getcsr();
	_mm_setcsr(saved);
	return ((c & 1) != 0 ? RV_NV : 0) | ((c & 4) != 0 ? RV_DZ : 0) |
	       ((c & 8) != 0 ? RV_OF : 0) | ((c & 16) != 0 ? RV_UF : 0) |
	       ((c & 32) != 0 ? RV_NX : 0);
}

static uint64_t random_d(struct rng *rng)
{
	static const uint64_t special[] = {0, 1, 0x000fffffffffffff, 0x0010000000000000,
		0x3ff0000000000000, 0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff8000000000000,
		0x7ff0000000000001, 0x3ca0000000000000, 0x4340000000000000};
	uint64_t sign = rng_u64(rng) << 63;
	switch (rng_below(rng, 4)) {
	case 0:
		return special[rng_below(rng, ARRAY_SIZE(special))] | sign;
	case 1: /* near each other, few bits */
		return (0x3fd0000000000000 + (rng_below(rng, 64) << 49)) | sign;
	case 2:
		return (rng_below(rng, 60) << 52 | rng_u64(rng) >> 12) | sign;
	default:
		return rng_u64(rng);
	}
}

static uint32_t random_s(struct rng *rng)
{
	static const uint32_t special[] = {0, 1, 0x007fffff, 0x00800000, 0x3f800000, 0x7f7fffff,
		0x7f800000, 0x7fc00000, 0x7f800001, 0x33800000};
	uint32_t sign = (uint32_t)rng_u64(rng) << 31;
	switch (rng_below(rng, 4)) {
	case 0:
		return special[rng_below(rng, ARRAY_SIZE(special))] | sign;
	case 1:
		return (0x3e800000 + ((uint32_t)rng_below(rng, 64) << 20)) | sign;
	case 2:
		return ((uint32_t)rng_below(rng, 30) << 23 | (uint32_t)rng_u64(rng) >> 9) | sign;
	default:
		return (uint32_t)rng_u64(rng);
	}
}

#define ROUNDS 60000

#define BINARY(op, host_d, host_s)                                                                 \
	do {                                                                                       \
		for (unsigned n = 0; n < ROUNDS; n++) {                                            \
			enum rv_rm rm = (enum rv_rm)(n % 4);                                       \
			uint64_t a = random_d(&rng), b = random_d(&rng);                           \
			uint32_t flags = 0;                                                        \
			unsigned saved = host_begin(rm);                                           \
			uint64_t want = rv_result_d(host_d(rv_as_double(a), rv_as_double(b)));     \
			uint32_t want_flags = host_end(saved);                                     \
			UT_EQ(rv_softfp_##op(&rv_fmt_d, a, b, rm, &flags), want);                  \
			UT_EQ(flags, want_flags);                                                  \
			uint32_t sa = random_s(&rng), sb = random_s(&rng);                         \
			flags = 0;                                                                 \
			saved = host_begin(rm);                                                    \
			want = rv_result_s(host_s(rv_as_float(sa), rv_as_float(sb)));              \
			want_flags = host_end(saved);                                              \
			UT_EQ(RV_BOX | rv_softfp_##op(&rv_fmt_s, sa, sb, rm, &flags), want);       \
			UT_EQ(flags, want_flags);                                                  \
		}                                                                                  \
	} while (0)

UT_TEST(as_the_host_does)
{
	struct rng rng;
	rng_init(&rng, ut_seed());
	BINARY(add, rv_host_add_d, rv_host_add_s);
	BINARY(sub, rv_host_sub_d, rv_host_sub_s);
	BINARY(mul, rv_host_mul_d, rv_host_mul_s);
	BINARY(div, rv_host_div_d, rv_host_div_s);
}

UT_TEST(fused_as_the_host_does)
{
	struct rng rng;

	if (!rv_fp_has_fma())
		UT_SKIP("this host has no FMA3");
	rng_init(&rng, ut_seed());
	for (unsigned n = 0; n < 4 * ROUNDS; n++) {
		enum rv_rm rm = (enum rv_rm)(n % 4);
		uint64_t a = random_d(&rng), b = random_d(&rng), c = random_d(&rng);
		uint32_t flags = 0;
		if (rv_softfp_is_nan(&rv_fmt_d, c))
			continue; /* x86 and RISC-V differ on invalid there */
		unsigned saved = host_begin(rm);
		uint64_t want = rv_result_d(
			rv_host_fma_d(rv_as_double(a), rv_as_double(b), rv_as_double(c)));
		uint32_t want_flags = host_end(saved);
		UT_EQ(rv_softfp_fma(&rv_fmt_d, a, b, c, rm, &flags), want);
		UT_EQ(flags, want_flags);
	}
}

UT_TEST(infinity_times_zero_is_invalid_even_with_a_quiet_nan)
{
	uint32_t flags = 0;
	UT_EQ(rv_softfp_fma(&rv_fmt_d, UINT64_C(0x7ff0000000000000), 0, RV_NAN_D, RV_RNE, &flags),
		RV_NAN_D);
	UT_EQ(flags, RV_NV);
}

UT_TEST(ties_go_away_from_zero)
{
	uint32_t flags = 0;
	/* 1 + 2^-53 is a tie between 1 and its successor; nearest-even stays at 1. */
	UT_EQ(rv_softfp_add(&rv_fmt_d, 0x3ff0000000000000, 0x3ca0000000000000, RV_RMM, &flags),
		0x3ff0000000000001);
	UT_EQ(flags, RV_NX);
	UT_EQ(rv_softfp_add(&rv_fmt_d, 0x3ff0000000000000, 0x3ca0000000000000, RV_RNE, &flags),
		0x3ff0000000000000);
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0x4004000000000000, 64, true, RV_RMM, &flags),
		3); /* 2.5 */
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0xc004000000000000, 64, true, RV_RMM, &flags),
		(uint64_t)-3);
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0x4004000000000000, 64, true, RV_RNE, &flags), 2);
}

UT_TEST(conversions_saturate)
{
	uint32_t flags = 0;
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, RV_NAN_D, 32, true, RV_RTZ, &flags), INT32_MAX);
	UT_EQ(flags, RV_NV);
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0xfff0000000000000, 64, true, RV_RTZ, &flags),
		(uint64_t)INT64_MIN);
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0xbff0000000000000, 64, false, RV_RTZ, &flags), 0);
	flags = 0;
	/* -0.5 to unsigned is 0, inexact and not invalid. */
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0xbfe0000000000000, 32, false, RV_RTZ, &flags), 0);
	UT_EQ(flags, RV_NX);
	/* 2^32 - 1 to a 32-bit unsigned integer is sign-extended. */
	flags = 0;
	UT_EQ(rv_softfp_to_int(&rv_fmt_d, 0x41efffffffe00000, 32, false, RV_RNE, &flags),
		UINT64_MAX);
	UT_EQ(flags, 0);
}

UT_TEST(square_roots)
{
	struct rng rng;
	rng_init(&rng, ut_seed());
	for (unsigned n = 0; n < ROUNDS / 4; n++) {
		enum rv_rm rm = (enum rv_rm)(n % 4);
		uint64_t a = random_d(&rng);
		uint32_t flags = 0;
		double r = rv_as_double(a);
		unsigned saved = host_begin(rm);
		__asm__ volatile("sqrtsd %1, %0" : "=x"(r) : "x"(r));
		uint64_t want = rv_result_d(r);
		uint32_t want_flags = host_end(saved);
		UT_EQ(rv_softfp_sqrt(&rv_fmt_d, a, rm, &flags), want);
		UT_EQ(flags, want_flags);
	}
}

UT_TEST(classes)
{
	static const uint64_t v[] = {0xfff0000000000000, 0xbff0000000000000, 0x8000000000000001,
		0x8000000000000000, 0, 1, 0x3ff0000000000000, 0x7ff0000000000000,
		0x7ff0000000000001, 0x7ff8000000000000};
	for (unsigned i = 0; i < ARRAY_SIZE(v); i++)
		UT_EQ(rv_softfp_classify(&rv_fmt_d, v[i]), 1u << i);
}
