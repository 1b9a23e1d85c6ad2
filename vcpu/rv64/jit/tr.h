/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_JIT_TR_H
#define VCPU_RV64_JIT_TR_H

#include "vcpu/rv64/jit/code.h"
#include "vcpu/rv64/jit/region.h"

/*
 * The translation of one region, in one pass from its first instruction to its last. What is rare
 * is a stub behind the code: the fast path falls through or jumps out of line.
 *
 * HOST_RETIRED lags behind by `pending` instructions, which are added before every jump and label;
 * stubs know their own.
 */
enum stub_kind {
	STUB_LEAVE, /* back to the interpreter at `pc` */
	STUB_EDGE,  /* to code at `pc`, outside the region */
	STUB_CALL,  /* a helper; then back, or away when `leave_after` */
	STUB_LOAD,  /* a constant into an xmm register; then back */
};

struct stub {
	enum stub_kind kind;
	uint8_t *site;   /* displacement of the jump that comes here */
	uint8_t *resume; /* CALL, LOAD: where the code goes on */
	uint64_t pc;
	unsigned pending;
	enum rv_jit_exit why; /* LEAVE */
	const struct code_call *call;
	bool leave_after;
	bool exchanged;          /* EDGE: the registers have been put back */
	const uint8_t *constant; /* LOAD */
	unsigned xmm;
};

#define TR_STUBS (REGION_INSNS * 6)
/* What one instruction may need of the cache, its stubs included. */
#define TR_INSN_BYTES 512u
/* ... and a region besides. */
#define TR_REGION_BYTES 512u

struct host_features {
	bool bmi1, bmi2, lzcnt, popcnt, avx, fma;
};

struct tr {
	struct x86 e;
	const struct code_fixed *fixed;
	struct host_features has;
	bool shared;    /* memory is, with other slices */
	bool fenceless; /* as vcpu_env says */
	bool single;    /* no other hart: its atomics need no lock, since devices have none */
	struct region *r;
	/* Where calls are kept; they live as long as the code. */
	struct code_call *calls, *calls_end;
	/* Address in the writable mapping of code that begins at `va`, in the page; or NULL. */
	const uint8_t *(*known)(void *ctx, uint64_t va);
	void *ctx;
	const uint8_t *cache; /* start of the cache, from which link sites are counted */

	/* Where x[i] lives in this region; what is exchanged for that; and code that does it. */
	uint8_t host_x[32];
	struct exchange {
		uint8_t out, in; /* the guest registers */
		bool written;    /* `in` is, in this region */
	} exchange[CODE_HOST_X];
	unsigned n_exchanges;
	const uint8_t *help, *put_back;

	const struct region_insn *in; /* the one being translated */
	uint64_t pc;
	unsigned index;
	unsigned pending;
	bool fp_on;     /* checked since the last label */
	uint32_t boxed; /* f registers that are known to hold a boxed single */
	/* No store since a locked instruction, which is as good as a fence, on any way here. */
	bool drained;
	int group_last; /* HOST_GROUP is valid up to this instruction, -1: it is not */
	unsigned group_rs1;

	uint8_t *label[REGION_INSNS];
	unsigned n_stubs, n_jumps;
	struct stub stub[TR_STUBS];
	struct {
		uint8_t *site;
		unsigned to;
	} jump[REGION_INSNS]; /* inside the region */
};

/* Translate t->r. Returns where it begins, which is not where t->e pointed before. */
const uint8_t *tr_region(struct tr *t);

/* ---- for the parts ------------------------------------------------------------------------- */

static inline struct x86_rm tr_x(const struct tr *t, unsigned reg)
{
	return t->host_x[reg] != X86_NO_REG ? x86_r(t->host_x[reg]) : hart_x(reg);
}

static inline struct x86_rm tr_f(unsigned reg)
{
	struct x86_rm rm = HART(f[0]);

	if (host_f[reg] != X86_NO_REG)
		return x86_r(host_f[reg]);
	rm.disp += (int32_t)reg * 8;
	return rm;
}

/* The host register of rd, or a scratch one: then tr_put stores it. Not for RV_REG_SINK. */
static inline unsigned tr_dst(const struct tr *t, unsigned reg, unsigned scratch)
{
	return t->host_x[reg] != X86_NO_REG ? t->host_x[reg] : scratch;
}

void tr_get(struct tr *t, unsigned host, unsigned reg);       /* x[reg] into this host register */
unsigned tr_in(struct tr *t, unsigned reg, unsigned scratch); /* x[reg] in some register */
void tr_put(struct tr *t, unsigned reg, unsigned host);       /* and back */
void tr_put_const(struct tr *t, unsigned reg, uint64_t value);
void tr_flush_pending(struct tr *t);

/* tr_regs.c: which guest registers the region has in the host's, and code that makes it so. */
void tr_choose(struct tr *t);
void tr_exchange(struct tr *t);
void tr_put_back(struct tr *t);

struct stub *tr_stub(struct tr *t, enum stub_kind kind, uint8_t *site);
/* A stub that leaves at this instruction when the jump at `site` is taken. */
void tr_leave_stub(struct tr *t, uint8_t *site, enum rv_jit_exit why);
/* The call of a helper for this instruction. */
struct code_call *tr_call(
	struct tr *t, enum rv_jit_exit (*fn)(struct rv_hart *h, const struct code_call *c));
/* Out of line. */
struct stub *tr_call_stub(struct tr *t, uint8_t *site, const struct code_call *c);
/* In line. */
void tr_call_now(struct tr *t, const struct code_call *c);

/* True: done. False: not known here. */
bool tr_int(struct tr *t);
bool tr_fp(struct tr *t);
void tr_memory(struct tr *t);
/* The floating-point unit is on and dirty, and frm is 0; else the interpreter goes on here. */
void tr_fp_on(struct tr *t);
bool tr_atomic(struct tr *t);
bool tr_csr(struct tr *t);
void tr_helper(struct tr *t);

/* ops.c */
enum rv_jit_exit op_load(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_store(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_fill(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_int(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_fp(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_atomic(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_csr(struct rv_hart *h, const struct code_call *c);
enum rv_jit_exit op_system(struct rv_hart *h, const struct code_call *c);

#endif
