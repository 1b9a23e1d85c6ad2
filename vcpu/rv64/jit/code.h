/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_JIT_CODE_H
#define VCPU_RV64_JIT_CODE_H

#include "vcpu/rv64/jit/jit.h"
#include "vcpu/rv64/jit/x86.h"
#include "vcpu/rv64/rv_hart.h"

/*
 * Memory for translated code. It is mapped twice: one mapping can be written, the other executed,
 * and no mapping both.
 */
struct code_mem {
	uint8_t *write;
	const uint8_t *exec;
	size_t bytes;
};
MUST_CHECK int code_mem_map(struct code_mem *m, size_t bytes);
void code_mem_unmap(struct code_mem *m);

static inline const void *code_exec(const struct code_mem *m, const uint8_t *written)
{
	return m->exec + (written - m->write);
}

/*
 * Host registers. The translated code has the guest's most used registers in the host's all the
 * time; rbp points into struct rv_hart at x[16], so that x[0..31] have displacements of one byte.
 *   rax rcx rdx, xmm0..xmm3   scratch
 *   rbp                       the hart
 *   r13                       rv_hart.tlb
 *   r14                       host address of a group's base register (tr_mem.c)
 *   r15                       instructions retired, up to what the translator has pending
 * rbx rsi rdi r8..r12 and xmm4..xmm15 hold guest registers.
 */
#define HOST_HART    RBP
#define HOST_TLB     R13
#define HOST_GROUP   R14
#define HOST_RETIRED R15

/*
 * Host register of x[i] or f[i], X86_NO_REG when it lives in memory. So it is wherever code is
 * entered or left; a region may have other x registers in the same host registers (tr_regs.c).
 */
#define CODE_HOST_X 8
extern const uint8_t host_x[32];
extern const uint8_t host_f[32];

/* A field of struct rv_hart as an operand. */
#define HART_BASE offsetof(struct rv_hart, x[16])
#define HART(field)                                                                                \
	x86_m(HOST_HART,                                                                           \
		(int32_t)((ptrdiff_t)offsetof(struct rv_hart, field) - (ptrdiff_t)HART_BASE))

static inline struct x86_rm hart_x(unsigned reg)
{
	return x86_m(HOST_HART, ((int32_t)reg - 16) * 8);
}

/*
 * A call from translated code: h->pc, the count of retired instructions and all guest registers are
 * in the hart while it runs. It continues the code with RV_JIT_GO_ON.
 */
struct code_call {
	enum rv_jit_exit (*fn)(struct rv_hart *h, const struct code_call *c);
	uint64_t pc;
	uint64_t pending; /* retired instructions that HOST_RETIRED does not have yet */
	struct rv_insn insn;
	/* Groups of accesses (tr_mem.c): addresses from x[rs1] + low to x[rs1] + low + span. */
	int32_t low, span;
	uint8_t size, align;
	bool write, write_all;
	bool paired; /* region_insn.paired */
};

/* The fixed code at the start of the cache, and constants. Addresses in the writable mapping. */
struct code_fixed {
	const uint8_t *enter;               /* C: (char *hart_base, const void *code) */
	const uint8_t *leave[RV_JIT_EXITS]; /* rax: pc; LINK: edx offset of the jump */
	const uint8_t *help;                /* call it with rdx: struct code_call */
	const uint8_t *help_far;            /* the same, from a routine that the code calls */
	const uint8_t *nan_d, *nan_s, *box, *sign_d, *sign_s, *magnitude_d, *magnitude_s;
	const uint8_t *end;
};
void code_fixed_emit(struct code_mem *m, struct code_fixed *f);

#endif
