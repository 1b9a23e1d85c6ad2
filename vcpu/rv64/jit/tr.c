/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/tr.h"

/* ---- guest registers ----------------------------------------------------------------------- */

void tr_get(struct tr *t, unsigned host, unsigned reg)
{
	if (reg == 0)
		x86_mov_i(&t->e, host, 0);
	else if (t->host_x[reg] != host)
		x86_op(&t->e, X86_MOV_LOAD | X86_W, host, tr_x(t, reg));
}

unsigned tr_in(struct tr *t, unsigned reg, unsigned scratch)
{
	if (t->host_x[reg] != X86_NO_REG)
		return t->host_x[reg];
	tr_get(t, scratch, reg);
	return scratch;
}

void tr_put(struct tr *t, unsigned reg, unsigned host)
{
	if (reg != RV_REG_SINK && t->host_x[reg] != host)
		x86_op(&t->e, X86_MOV_STORE | X86_W, host, tr_x(t, reg));
}

void tr_put_const(struct tr *t, unsigned reg, uint64_t value)
{
	if (reg == RV_REG_SINK)
		return;
	if (t->host_x[reg] == X86_NO_REG && (uint64_t)(int64_t)(int32_t)value == value) {
		x86_mov_mi(&t->e, true, tr_x(t, reg), (int32_t)value);
		return;
	}
	unsigned host = tr_dst(t, reg, RAX);
	x86_mov_i(&t->e, host, value);
	tr_put(t, reg, host);
}

/* lea: the flags may be in use. */
static void retire(struct tr *t, unsigned n)
{
	if (n != 0)
		x86_op(&t->e, X86_LEA | X86_W, HOST_RETIRED, x86_m(HOST_RETIRED, (int32_t)n));
}

void tr_flush_pending(struct tr *t)
{
	retire(t, t->pending);
	t->pending = 0;
}

/* ---- stubs --------------------------------------------------------------------------------- */

struct stub *tr_stub(struct tr *t, enum stub_kind kind, uint8_t *site)
{
	CHECK(t->n_stubs < TR_STUBS);
	struct stub *s = &t->stub[t->n_stubs++];
	*s = (struct stub){.kind = kind, .site = site, .pc = t->pc, .pending = t->pending};
	return s;
}

void tr_leave_stub(struct tr *t, uint8_t *site, enum rv_jit_exit why)
{
	tr_stub(t, STUB_LEAVE, site)->why = why;
}

struct code_call *tr_call(
	struct tr *t, enum rv_jit_exit (*fn)(struct rv_hart *h, const struct code_call *c))
{
	CHECK(t->calls < t->calls_end);
	struct code_call *c = t->calls++;
	*c = (struct code_call){.fn = fn,
		.pc = t->pc,
		.pending = t->pending,
		.insn = t->in->d,
		.paired = t->in->paired};
	return c;
}

struct stub *tr_call_stub(struct tr *t, uint8_t *site, const struct code_call *c)
{
	struct stub *s = tr_stub(t, STUB_CALL, site);
	s->call = c;
	return s;
}

static void emit_call(struct tr *t, const struct code_call *c)
{
	x86_mov_i(&t->e, RDX, (uint64_t)(uintptr_t)c);
	x86_call_to(&t->e, t->help);
}

static void forget(struct tr *t)
{
	t->fp_on = false;
	t->boxed = 0;
	t->group_last = -1;
	t->drained = false;
}

void tr_call_now(struct tr *t, const struct code_call *c)
{
	emit_call(t, c);
	forget(t);
}

/* As wherever a region is left. Where it is rare: by a call, which is shorter. */
static void put_back_far(struct tr *t)
{
	if (t->n_exchanges != 0)
		x86_call_to(&t->e, t->put_back);
}

/* The registers have been put back. */
static void emit_leave(struct tr *t, uint64_t pc, enum rv_jit_exit why)
{
	x86_mov_i(&t->e, RAX, pc);
	x86_jmp_to(&t->e, t->fixed->leave[why]);
}

/* ---- edges: jumps with a known target ------------------------------------------------------ */

/* Jump to pc, which is in rax, through its entry of the jump cache. */
static void emit_through(struct tr *t, struct x86_rm entry)
{
	struct x86_rm ctx = entry, code = entry;

	ctx.disp += (int32_t)offsetof(struct rv_jc_entry, ctx);
	code.disp += (int32_t)offsetof(struct rv_jc_entry, code);
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, HART(jit_ctx));
	x86_op(&t->e, X86_CMP | X86_W, RAX, entry);
	x86_jcc_to(&t->e, CC_NE, t->fixed->leave[RV_JIT_LOOKUP]);
	x86_op(&t->e, X86_CMP | X86_W, RDX, ctx);
	x86_jcc_to(&t->e, CC_NE, t->fixed->leave[RV_JIT_LOOKUP]);
	x86_jmp_rm(&t->e, code);
}

/* Code in another page: which that is in this address space is known only when it runs. */
static void emit_far_edge(struct tr *t, uint64_t to)
{
	struct x86_rm entry = HART(jc[0]);

	entry.disp += (int32_t)(rv_jc_index(to) * sizeof(struct rv_jc_entry));
	x86_mov_i(&t->e, RAX, to);
	emit_through(t, entry);
}

static bool same_page(const struct tr *t, uint64_t to)
{
	return ((to ^ t->r->va) & ~(uint64_t)(PAGE_BYTES - 1)) == 0;
}

/* The jump at `site` goes to `to`, in the page: directly, or to come back here until it can. */
static void emit_near_edge(struct tr *t, uint8_t *site, uint64_t to)
{
	const uint8_t *code = t->known(t->ctx, to);

	if (code != NULL) {
		x86_patch(site, code);
		return;
	}
	x86_patch(site, t->e.at);
	x86_mov_i(&t->e, RDX, (uint64_t)(site - t->cache));
	emit_leave(t, to, RV_JIT_LINK);
}

static void jump_inside(struct tr *t, uint8_t *site, int to)
{
	CHECK(t->n_jumps < REGION_INSNS);
	t->jump[t->n_jumps].site = site;
	t->jump[t->n_jumps++].to = (unsigned)to;
}

static bool is_label(const struct tr *t, int index)
{
	return index >= 0 && t->r->insn[index].label;
}

/* From here to `to`, always. */
static void emit_goto(struct tr *t, uint64_t to)
{
	int inside = region_index(t->r, to);

	tr_flush_pending(t);
	if (is_label(t, inside)) {
		jump_inside(t, x86_jmp(&t->e), inside);
		return;
	}
	tr_put_back(t);
	if (same_page(t, to)) {
		struct stub *s = tr_stub(t, STUB_EDGE, x86_jmp(&t->e));
		s->pc = to;
		s->exchanged = true;
	} else {
		emit_far_edge(t, to);
	}
}

static void emit_branch(struct tr *t)
{
	static const uint8_t cc[] = {
		[0] = CC_E, [1] = CC_NE, [4] = CC_L, [5] = CC_GE, [6] = CC_B, [7] = CC_AE};
	const struct rv_insn *d = &t->in->d;
	uint64_t to = t->pc + (uint64_t)(int64_t)d->imm;
	int inside = region_index(t->r, to);
	unsigned which = d->op == RV_OP_beq    ? 0
			 : d->op == RV_OP_bne  ? 1
			 : d->op == RV_OP_blt  ? 4
			 : d->op == RV_OP_bge  ? 5
			 : d->op == RV_OP_bltu ? 6
					       : 7;

	t->pending++;
	tr_flush_pending(t);
	unsigned a = tr_in(t, d->rs1, RAX);
	if (d->rs2 == 0 && which < 2)
		x86_op(&t->e, X86_TEST | X86_W, a, x86_r(a));
	else if (d->rs2 == 0)
		x86_alu_i(&t->e, ALU_CMP, true, x86_r(a), 0);
	else
		x86_op(&t->e, X86_CMP | X86_W, a, tr_x(t, d->rs2));
	uint8_t *site = x86_jcc(&t->e, cc[which]);
	if (is_label(t, inside))
		jump_inside(t, site, inside);
	else
		tr_stub(t, STUB_EDGE, site)->pc = to;
}

static void emit_jalr(struct tr *t)
{
	const struct rv_insn *d = &t->in->d;
	struct x86_rm entry = HART(jc[0]);

	/* The target first: rd may be the same register. */
	x86_op(&t->e, X86_LEA | X86_W, RAX, x86_m(tr_in(t, d->rs1, RAX), d->imm));
	x86_alu_i(&t->e, ALU_AND, true, x86_r(RAX), -2);
	if (d->rd != RV_REG_SINK && t->host_x[d->rd] == X86_NO_REG) {
		x86_mov_i(&t->e, RDX, t->pc + d->len);
		tr_put(t, d->rd, RDX);
	} else {
		tr_put_const(t, d->rd, t->pc + d->len);
	}
	t->pending++;
	tr_flush_pending(t);
	/* rv_jc_index, times four; entries are 32 bytes. */
	STATIC_CHECK(sizeof(struct rv_jc_entry) == 32, "scaled by 8 in the code");
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RCX, x86_r(RAX));
	x86_shift_i(&t->e, SH_SHR, true, RCX, RV_JC_BITS - 1);
	x86_op(&t->e, X86_LEA, RDX, x86_mx(RAX, RAX, 0, 0));
	x86_op(&t->e, X86_XOR, RCX, x86_r(RDX));
	x86_alu_i(&t->e, ALU_AND, false, x86_r(RCX), (RV_JC_ENTRIES - 1) << 2);
	tr_put_back(t);
	emit_through(t, x86_mx(HOST_HART, RCX, 3, entry.disp));
}

static void emit_jump(struct tr *t)
{
	const struct rv_insn *d = &t->in->d;

	if (d->op == RV_OP_jalr) {
		emit_jalr(t);
		return;
	}
	tr_put_const(t, d->rd, t->pc + d->len);
	t->pending++;
	emit_goto(t, t->pc + (uint64_t)(int64_t)d->imm);
}

/* ---- the region ---------------------------------------------------------------------------- */

static void emit_poll(struct tr *t)
{
	/* The DSM keeps a page for a vCPU until it sees it go on. */
	if (t->shared)
		x86_op(&t->e, X86_MOV_STORE | X86_W, HOST_RETIRED, HART(vcpu.retired));
	x86_op(&t->e, X86_CMP | X86_W, HOST_RETIRED, HART(vcpu.poll_at));
	tr_leave_stub(t, x86_jcc(&t->e, CC_AE), RV_JIT_ATTENTION);
}

/* Nothing is known where another jump may arrive. */
static void emit_label(struct tr *t)
{
	tr_flush_pending(t);
	t->label[t->index] = t->e.at;
	forget(t);
	if (t->in->loop || t->index == 0)
		emit_poll(t);
}

static void emit_insn(struct tr *t)
{
	switch ((enum region_kind)t->in->kind) {
	case KIND_PLAIN:
		if (!tr_int(t) && !tr_fp(t))
			UNREACHABLE();
		t->pending++;
		break;
	case KIND_MEMORY:
		tr_memory(t);
		t->pending++;
		break;
	case KIND_HELPER:
		if (!tr_atomic(t) && !tr_csr(t))
			tr_helper(t);
		t->pending++;
		break;
	case KIND_BRANCH:
		emit_branch(t);
		break;
	case KIND_JUMP:
		emit_jump(t);
		break;
	case KIND_SYSTEM:
		tr_call_now(t, tr_call(t, op_system));
		break;
	case KIND_NONE:
		UNREACHABLE();
	}
}

static void emit_edge(struct tr *t, const struct stub *s)
{
	uint8_t *site = s->site;

	if (t->n_exchanges != 0 && !s->exchanged) {
		x86_patch(site, t->e.at);
		tr_put_back(t);
		site = x86_jmp(&t->e);
	}
	if (same_page(t, s->pc)) {
		emit_near_edge(t, site, s->pc);
	} else {
		x86_patch(site, t->e.at);
		emit_far_edge(t, s->pc);
	}
}

static void emit_stub(struct tr *t, const struct stub *s)
{
	switch (s->kind) {
	case STUB_LEAVE:
		x86_patch(s->site, t->e.at);
		retire(t, s->pending);
		put_back_far(t);
		emit_leave(t, s->pc, s->why);
		break;
	case STUB_EDGE:
		emit_edge(t, s);
		break;
	case STUB_CALL:
		x86_patch(s->site, t->e.at);
		emit_call(t, s->call);
		if (s->leave_after) {
			retire(t, s->pending + 1);
			put_back_far(t);
			emit_leave(t, s->pc + s->call->insn.len, RV_JIT_INTERPRET);
		} else {
			x86_jmp_to(&t->e, s->resume);
		}
		break;
	case STUB_LOAD:
		x86_patch(s->site, t->e.at);
		x86_op(&t->e, X86_MOVSD, s->xmm, x86_rip(s->constant));
		x86_jmp_to(&t->e, s->resume);
		break;
	}
}

/* The helper's call and the way out of a region that exchanges registers. */
static void emit_routines(struct tr *t)
{
	t->help = t->fixed->help;
	if (t->n_exchanges == 0)
		return;
	t->help = t->e.at;
	tr_put_back(t);
	x86_call_to(&t->e, t->fixed->help_far);
	tr_exchange(t);
	x86_ret(&t->e);
	t->put_back = t->e.at;
	tr_put_back(t);
	x86_ret(&t->e);
}

const uint8_t *tr_region(struct tr *t)
{
	const struct region *r = t->r;

	t->n_stubs = t->n_jumps = 0;
	t->pending = 0;
	tr_choose(t);
	emit_routines(t);
	const uint8_t *start = t->e.at;
	tr_exchange(t);
	for (t->index = 0; t->index < r->n; t->index++) {
		t->in = &r->insn[t->index];
		t->pc = r->va + t->in->at;
		if (t->index == 0 || t->in->label)
			emit_label(t);
		emit_insn(t);
	}
	unsigned last = r->insn[r->n - 1].kind;
	if (last != KIND_JUMP && last != KIND_SYSTEM) {
		/* Full, or the next is the interpreter's, or a region of its own. */
		t->pc = r->va + r->bytes;
		if (r->n == r->most || !same_page(t, t->pc) || t->known(t->ctx, t->pc) != NULL) {
			emit_goto(t, t->pc);
		} else {
			tr_flush_pending(t);
			put_back_far(t);
			emit_leave(t, t->pc, RV_JIT_INTERPRET);
		}
	}
	for (unsigned i = 0; i < t->n_stubs; i++)
		emit_stub(t, &t->stub[i]);
	for (unsigned i = 0; i < t->n_jumps; i++)
		x86_patch(t->jump[i].site, t->label[t->jump[i].to]);
	return start;
}
