/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "vcpu/rv64/jit/tr.h"

/*
 * The guest registers of a region. All regions are entered and left with the same ones in the
 * host's (code.h). One that uses others more exchanges them behind its entry, and puts them back
 * wherever it is left or calls: what a host register had goes to memory, and what is there comes
 * in. In between, tr->host_x is all that knows of it.
 *
 * What it saves is guessed from how often an instruction may be executed for one entry, in 16ths.
 */
#define ONCE 16u
/* How often a loop goes round for one entry; and the most for loops in loops. */
#define ROUNDS 4u
#define MOST   (ONCE * 64)
/* Accesses of memory: two behind the entry, two where the region is left. */
#define COST 6u
/* A register's value is read by the instruction itself, but stored by one more. */
#define READ_SAVES  1u
#define WRITE_SAVES 2u

/* How often each instruction is executed. */
static void weigh(const struct region *r, unsigned *often)
{
	unsigned now = ONCE;

	for (unsigned i = 0; i < r->n; i++) {
		often[i] = now;
		/* Some leave here. */
		if (r->insn[i].kind == KIND_BRANCH && now > 1)
			now -= (now + 7) / 8;
	}
	for (unsigned i = 0; i < r->n; i++) {
		int to = region_target(r, i);
		if (to < 0 || (unsigned)to > i)
			continue;
		for (unsigned k = (unsigned)to; k <= i; k++)
			often[k] = MIN(often[k] * ROUNDS, MOST);
	}
}

struct use {
	unsigned saves; /* when the host has it */
	bool written;
};

/* Returns what the calls of helpers in line cost each register that is exchanged. */
static unsigned count_uses(const struct region *r, struct use *use)
{
	unsigned often[REGION_INSNS], calls = 0;

	weigh(r, often);
	for (unsigned i = 0; i < r->n; i++) {
		struct region_regs regs = region_regs(&r->insn[i].d);
		for (unsigned x = 1; x < 32; x++) {
			use[x].saves += (regs.read >> x & 1) * often[i] * READ_SAVES;
			use[x].saves += (regs.written >> x & 1) * often[i] * WRITE_SAVES;
			use[x].written |= (regs.written >> x & 1) != 0;
		}
		if (r->insn[i].kind == KIND_HELPER || r->insn[i].kind == KIND_SYSTEM)
			calls += often[i] * COST;
	}
	return calls;
}

/* The register that the host has and that saves least, or that it has not and that saves most. */
static unsigned extreme(const struct tr *t, const struct use *use, bool in_host)
{
	unsigned best = 0;

	for (unsigned x = 1; x < 32; x++) {
		if ((t->host_x[x] != X86_NO_REG) != in_host)
			continue;
		if (best == 0 ||
			(in_host ? use[x].saves < use[best].saves : use[x].saves > use[best].saves))
			best = x;
	}
	return best;
}

void tr_choose(struct tr *t)
{
	struct use use[32] = {0};
	unsigned calls = count_uses(t->r, use);

	memcpy(t->host_x, host_x, sizeof(t->host_x));
	t->n_exchanges = 0;
	while (t->n_exchanges < ARRAY_SIZE(t->exchange)) {
		unsigned out = extreme(t, use, true), in = extreme(t, use, false);
		if (use[in].saves <= use[out].saves + ONCE * COST + calls)
			break;
		t->exchange[t->n_exchanges++] = (struct exchange){
			.out = (uint8_t)out, .in = (uint8_t)in, .written = use[in].written};
		t->host_x[in] = t->host_x[out];
		t->host_x[out] = X86_NO_REG;
	}
}

void tr_exchange(struct tr *t)
{
	for (unsigned i = 0; i < t->n_exchanges; i++) {
		const struct exchange *x = &t->exchange[i];
		unsigned host = host_x[x->out];
		x86_op(&t->e, X86_MOV_STORE | X86_W, host, hart_x(x->out));
		x86_op(&t->e, X86_MOV_LOAD | X86_W, host, hart_x(x->in));
	}
}

void tr_put_back(struct tr *t)
{
	for (unsigned i = 0; i < t->n_exchanges; i++) {
		const struct exchange *x = &t->exchange[i];
		unsigned host = host_x[x->out];
		if (x->written)
			x86_op(&t->e, X86_MOV_STORE | X86_W, host, hart_x(x->in));
		x86_op(&t->e, X86_MOV_LOAD | X86_W, host, hart_x(x->out));
	}
}
