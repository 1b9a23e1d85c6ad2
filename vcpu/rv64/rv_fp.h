/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_FP_H
#define VCPU_RV64_RV_FP_H

#include <xmmintrin.h>

#include "vcpu/rv64/rv_hart.h"
#include "vcpu/rv64/rv_softfp.h"

/*
 * Floating point. While a hart runs, its exception flags gather in the host's MXCSR (rounding to
 * nearest there); rv_fp_collect brings them to h->fflags. Context of all: the vCPU's thread.
 */
#define RV_MXCSR_DEFAULT 0x1f80u /* all exceptions masked, round to nearest */
#define RV_MXCSR_FLAGS   0x3fu

#define RV_NAN_S UINT32_C(0x7fc00000)
#define RV_NAN_D UINT64_C(0x7ff8000000000000)
#define RV_BOX   UINT64_C(0xffffffff00000000)

/* Before and after the hart executes on this thread. Enter returns what leave puts back. */
unsigned rv_fp_enter(void);
void rv_fp_leave(struct rv_hart *h, unsigned saved);
void rv_fp_collect(struct rv_hart *h);

/* A single held in a register: not boxed properly, it is the canonical NaN. */
static inline uint32_t rv_unbox(uint64_t f)
{
	return f >= RV_BOX ? (uint32_t)f : RV_NAN_S;
}

/* Any floating-point computation, in any rounding mode 0..4; results go to the registers of `d`. */
void rv_fp_execute(struct rv_hart *h, const struct rv_insn *d, unsigned rm);

/* Does this host have FMA3? Constant while the program runs. */
bool rv_fp_has_fma(void);

/* One host instruction each, rounding and flags as MXCSR says; volatile, so that they stay in order
 * with accesses to it. */
#define RV_FP_BINARY(name, insn, type)                                                             \
	static inline type name(type a, type b)                                                    \
	{                                                                                          \
		__asm__ volatile(insn " %1, %0" : "+x"(a) : "x"(b));                               \
		return a;                                                                          \
	}
RV_FP_BINARY(rv_host_add_d, "addsd", double)
RV_FP_BINARY(rv_host_sub_d, "subsd", double)
RV_FP_BINARY(rv_host_mul_d, "mulsd", double)
RV_FP_BINARY(rv_host_div_d, "divsd", double)
RV_FP_BINARY(rv_host_add_s, "addss", float)
RV_FP_BINARY(rv_host_sub_s, "subss", float)
RV_FP_BINARY(rv_host_mul_s, "mulss", float)
RV_FP_BINARY(rv_host_div_s, "divss", float)
#undef RV_FP_BINARY

/* a * b + c */
static inline double rv_host_fma_d(double a, double b, double c)
{
	__asm__ volatile("vfmadd213sd %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
	return a;
}

static inline float rv_host_fma_s(float a, float b, float c)
{
	__asm__ volatile("vfmadd213ss %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
	return a;
}

static inline double rv_as_double(uint64_t v)
{
	double d;
	__builtin_memcpy(&d, &v, sizeof(d));
	return d;
}

static inline float rv_as_float(uint32_t v)
{
	float f;
	__builtin_memcpy(&f, &v, sizeof(f));
	return f;
}

/* Bits of a result, NaNs made canonical. */
static inline uint64_t rv_result_d(double d)
{
	uint64_t v;
	__builtin_memcpy(&v, &d, sizeof(v));
	return unlikely((v & INT64_MAX) > UINT64_C(0x7ff0000000000000)) ? RV_NAN_D : v;
}

static inline uint64_t rv_result_s(float f)
{
	uint32_t v;
	__builtin_memcpy(&v, &f, sizeof(v));
	return RV_BOX | (unlikely((v & INT32_MAX) > UINT32_C(0x7f800000)) ? RV_NAN_S : v);
}

#endif
