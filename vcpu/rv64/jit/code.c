/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/code.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "vcpu/rv64/rv_fp.h"

/* Chosen by what compilers use most: gcc hands out a5..a0 first, then ft0 and so on. */
#define __ X86_NO_REG
const uint8_t host_x[32] = {__, __, RBX, __, __, __, __, __, R12, __, /* sp; s0 */
	RDI, RSI, R8, R9, R10, R11,                                   /* a0..a5 */
	__, __, __, __, __, __, __, __, __, __, __, __, __, __, __, __};
const uint8_t host_f[32] = {10, 11, 12, 13, 14, 15, __, __, __, __, /* ft0..ft5 */
	4, 5, 6, 7, 8, 9,                                           /* fa0..fa5 */
	__, __, __, __, __, __, __, __, __, __, __, __, __, __, __, __};
#undef __

/*
 * Shared anonymous memory, not a memfd: perf looks into its map file (jit.c) only for what it takes
 * to be anonymous, and goes by the name, which is /dev/zero here. A memfd's own name is not among
 * those. Of a shared mapping mremap() makes another one when the old size is given as 0.
 */
int code_mem_map(struct code_mem *m, size_t bytes)
{
	void *w = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (w == MAP_FAILED)
		return err_from_errno(errno);
	void *x = mremap(w, 0, bytes, MREMAP_MAYMOVE);
	if (x != MAP_FAILED && mprotect(x, bytes, PROT_READ | PROT_EXEC) == 0) {
		*m = (struct code_mem){.write = w, .exec = x, .bytes = bytes};
		return 0;
	}
	int rc = err_from_errno(errno);
	munmap(w, bytes);
	if (x != MAP_FAILED)
		munmap(x, bytes);
	return rc;
}

void code_mem_unmap(struct code_mem *m)
{
	if (m->write == NULL)
		return;
	munmap(m->write, m->bytes);
	munmap((void *)m->exec, m->bytes);
	memset(m, 0, sizeof(*m));
}

/* ---- the fixed code ------------------------------------------------------------------------ */

static struct x86_rm hart_f(unsigned i)
{
	struct x86_rm rm = HART(f[0]);
	rm.disp += (int32_t)i * 8;
	return rm;
}

static void load_guest(struct x86 *e)
{
	x86_op(e, X86_MOV_LOAD | X86_W, HOST_TLB, HART(tlb));
	for (unsigned i = 0; i < 32; i++) {
		if (host_x[i] != X86_NO_REG)
			x86_op(e, X86_MOV_LOAD | X86_W, host_x[i], hart_x(i));
		if (host_f[i] != X86_NO_REG)
			x86_op(e, X86_MOVSD, host_f[i], hart_f(i));
	}
}

static void store_guest(struct x86 *e)
{
	for (unsigned i = 0; i < 32; i++) {
		if (host_x[i] != X86_NO_REG)
			x86_op(e, X86_MOV_STORE | X86_W, host_x[i], hart_x(i));
		if (host_f[i] != X86_NO_REG)
			x86_op(e, X86_MOVSD_ST, host_f[i], hart_f(i));
	}
}

/* System V ABI, "Register usage": these belong to the caller of rv_jit_enter. */
static const uint8_t callee_saved[] = {RBP, RBX, R12, R13, R14, R15};

static void emit_enter(struct x86 *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(callee_saved); i++)
		x86_push(e, callee_saved[i]);
	x86_alu_i(e, ALU_SUB, true, x86_r(RSP), 8); /* calls from here find it aligned to 16 */
	x86_op(e, X86_MOV_LOAD | X86_W, HOST_HART, x86_r(RDI));
	x86_op(e, X86_MOV_LOAD | X86_W, RAX, x86_r(RSI));
	x86_op(e, X86_MOV_LOAD | X86_W, HOST_RETIRED, HART(vcpu.retired));
	load_guest(e);
	x86_jmp_rm(e, x86_r(RAX));
}

/* The reason is in eax. */
static void emit_return(struct x86 *e)
{
	x86_alu_i(e, ALU_ADD, true, x86_r(RSP), 8);
	for (unsigned i = ARRAY_SIZE(callee_saved); i-- > 0;)
		x86_pop(e, callee_saved[i]);
	x86_ret(e);
}

static void emit_leave(struct x86 *e, struct code_fixed *f)
{
	uint8_t *to_common[RV_JIT_EXITS];

	for (unsigned why = 0; why < RV_JIT_EXITS; why++) {
		f->leave[why] = e->at;
		x86_mov_i(e, RCX, why);
		to_common[why] = x86_jmp(e);
	}
	for (unsigned why = 0; why < RV_JIT_EXITS; why++)
		x86_patch(to_common[why], e->at);
	x86_op(e, X86_MOV_STORE | X86_W, RAX, HART(pc));
	x86_op(e, X86_MOV_STORE, RDX, HART(jit_site));
	x86_op(e, X86_MOV_STORE | X86_W, HOST_RETIRED, HART(vcpu.retired));
	store_guest(e);
	x86_op(e, X86_MOV_LOAD, RAX, x86_r(RCX));
	emit_return(e);
}

/* `depth`: return addresses on the stack, all of which a helper that does not come back drops. */
static const uint8_t *emit_help(struct x86 *e, unsigned depth)
{
	const uint8_t *start = e->at;
	int32_t align = depth % 2 != 0 ? 8 : 0;

	x86_op(e, X86_MOV_LOAD | X86_W, RAX, x86_m(RDX, offsetof(struct code_call, pc)));
	x86_op(e, X86_MOV_LOAD | X86_W, RCX, x86_m(RDX, offsetof(struct code_call, pending)));
	x86_op(e, X86_ADD | X86_W, RCX, x86_r(HOST_RETIRED));
	x86_op(e, X86_MOV_STORE | X86_W, RAX, HART(pc));
	x86_op(e, X86_MOV_STORE | X86_W, RCX, HART(vcpu.retired));
	store_guest(e);
	x86_op(e, X86_LEA | X86_W, RDI, x86_m(HOST_HART, -(int32_t)HART_BASE));
	x86_op(e, X86_MOV_LOAD | X86_W, RSI, x86_r(RDX));
	x86_alu_i(e, ALU_SUB, true, x86_r(RSP), align);
	x86_call_rm(e, x86_m(RSI, offsetof(struct code_call, fn)));
	x86_alu_i(e, ALU_ADD, true, x86_r(RSP), align);
	x86_op(e, X86_TEST, RAX, x86_r(RAX));
	uint8_t *leave = x86_jcc(e, CC_NE);
	load_guest(e);
	x86_ret(e);
	x86_patch(leave, e->at);
	x86_alu_i(e, ALU_ADD, true, x86_r(RSP), (int32_t)depth * 8);
	emit_return(e);
	return start;
}

static const uint8_t *emit_const(struct x86 *e, uint64_t low, uint64_t high)
{
	const uint8_t *at = e->at;
	memcpy(e->at, &low, 8);
	memcpy(e->at + 8, &high, 8);
	e->at += 16;
	return at;
}

void code_fixed_emit(struct code_mem *m, struct code_fixed *f)
{
	struct x86 e = {.at = m->write, .end = m->write + m->bytes};
	uint64_t sign = UINT64_C(1) << 63;

	f->nan_d = emit_const(&e, RV_NAN_D, 0);
	f->nan_s = emit_const(&e, RV_BOX | RV_NAN_S, 0);
	f->box = emit_const(&e, RV_BOX, 0);
	f->sign_d = emit_const(&e, sign, 0);
	f->magnitude_d = emit_const(&e, ~sign, 0);
	f->sign_s = emit_const(&e, sign >> 32, 0);
	f->magnitude_s = emit_const(&e, ~(sign >> 32), 0);
	f->enter = e.at;
	emit_enter(&e);
	emit_leave(&e, f);
	f->help = emit_help(&e, 1);
	f->help_far = emit_help(&e, 2);
	f->end = e.at;
}
