/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_JIT_JIT_H
#define VCPU_RV64_JIT_JIT_H

#include "base/check.h"

/*
 * The translator from rv64 to x86-64: what the interpreter and the soft MMU see of it
 * (docs/engine.md). One for each hart; all of it belongs to the vCPU's thread.
 */
struct rv_hart;
struct rv_jit;

/*
 * The jump cache: guest virtual address of an instruction, address space and privilege ->
 * translated code. Translated code looks here itself.
 */
#define RV_JC_BITS    12
#define RV_JC_ENTRIES (1u << RV_JC_BITS)
struct rv_jc_entry {
	uint64_t pc;  /* RV_JC_NONE is no pc: those are even */
	uint64_t ctx; /* as rv_hart.jit_ctx */
	const void *code;
	uint64_t pad; /* one entry never lies in two cache lines */
};
#define RV_JC_NONE UINT64_C(1)

static inline unsigned rv_jc_index(uint64_t pc)
{
	return (unsigned)((pc >> 1) ^ (pc >> (1 + RV_JC_BITS))) & (RV_JC_ENTRIES - 1);
}

/* Why translated code has come back. rv_hart.pc is the next instruction in every case. */
enum rv_jit_exit {
	RV_JIT_GO_ON,     /* never returned: what a helper says when the code may continue */
	RV_JIT_LOOKUP,    /* no translation is known for pc */
	RV_JIT_LINK,      /* inside only: the same, and the jump can be made to go to it */
	RV_JIT_INTERPRET, /* at least one instruction has to be interpreted */
	RV_JIT_ATTENTION, /* the poll word says so */
	RV_JIT_TRAP,      /* an exception is in trap_cause and trap_tval */
	RV_JIT_EXITS
};

/*
 *  As h->vcpu.cfg says. ERR_NO_MEMORY, or why memory cannot be made executable. Context: any
 *  thread.
 */
MUST_CHECK int rv_jit_create(struct rv_hart *h);
void rv_jit_destroy(struct rv_hart *h);

/*
 *  Code for h->pc, which lies in the page that the interpreter fetches from; NULL: interpret. May
 *  translate. Context of all that follow: the vCPU's thread.
 */
const void *rv_jit_find(struct rv_hart *h);
/* Run it. h->pc and the count of retired instructions are right before and after. */
enum rv_jit_exit rv_jit_enter(struct rv_hart *h, const void *code);

/* Address space or privilege have changed. All that follow may be called without a translator. */
void rv_jit_context(struct rv_hart *h);
/* Translations of [va, va + 2^shift), aligned, may no longer be what is mapped there. */
void rv_jit_unmap(struct rv_hart *h, uint64_t va, unsigned shift);
/* The numbers of contexts begin anew (rv_tlb.h). */
void rv_jit_forget(struct rv_hart *h);
/* fence.i: code may have changed anywhere. */
void rv_jit_fence_i(struct rv_hart *h);
/* Look whether the floating-point unit is in the state that code is translated for. */
void rv_jit_fp_look(struct rv_hart *h);

#endif
