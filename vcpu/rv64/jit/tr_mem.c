/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/tr.h"

/*
 * Loads and stores. The look into the soft TLB is inline (rv_tlb.h); what misses is a helper's.
 * Accesses of a group share one look: its first leaves the host address of the base register in
 * HOST_GROUP.
 */

/* The entry's offset in the table for the address in `at`: into rcx. */
static void emit_index(struct tr *t, unsigned at)
{
	const unsigned shift = PAGE_SHIFT - 5, fold = shift + RV_TLB_BITS;

	STATIC_CHECK(sizeof(struct rv_tlb_entry) == 32, "the shift leaves index * 32");
	if (t->has.bmi2) {
		x86_vex_i8(&t->e, X86_RORX | X86_W, RCX, 0, x86_r(at), shift);
		x86_vex_i8(&t->e, X86_RORX | X86_W, RDX, 0, x86_r(at), fold);
	} else {
		x86_op(&t->e, X86_MOV_LOAD | X86_W, RCX, x86_r(at));
		x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, x86_r(at));
		x86_shift_i(&t->e, SH_SHR, true, RCX, shift);
		x86_shift_i(&t->e, SH_SHR, true, RDX, fold);
	}
	x86_op(&t->e, X86_XOR, RCX, x86_r(RDX));
	x86_alu_i(&t->e, ALU_AND, false, x86_r(RCX), (RV_TLB_ENTRIES - 1) << 5);
}

/* A field of the entry whose place in the table is in rcx. */
#define RV_TAG(access) (offsetof(struct rv_tlb_entry, tag) + sizeof(uint64_t) * (access))
#define RV_ADDEND      offsetof(struct rv_tlb_entry, addend)
static struct x86_rm entry_field(size_t offset)
{
	return x86_mx(HOST_TLB, RCX, 0, (int32_t)offset);
}

/*
 * `at`: a register with an address, aligned to `align` in a hit; at + span is in the same page in a
 * hit. Leaves the place of the entry in the table in rcx, and `at` as it is; clobbers rdx. Returns
 * the jump of a miss.
 */
static uint8_t *emit_look(struct tr *t, unsigned at, bool write, unsigned align, int32_t span)
{
	emit_index(t, at);
	if (span == 0)
		x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, x86_r(at));
	else
		x86_op(&t->e, X86_LEA | X86_W, RDX, x86_m(at, span));
	x86_alu_i(&t->e, ALU_AND, true, x86_r(RDX), (int32_t)(-PAGE_BYTES | (int32_t)(align - 1)));
	x86_op(&t->e, X86_OR | X86_W, RDX, HART(tlb_ctx));
	x86_op(&t->e, X86_CMP | X86_W, RDX,
		entry_field(write ? RV_TAG(RV_WRITE) : RV_TAG(RV_READ)));
	return x86_jcc(&t->e, CC_NE);
}

/* After a hit: the address in `reg` becomes the host's. */
static void emit_translate(struct tr *t, unsigned reg)
{
	x86_op(&t->e, X86_ADD | X86_W, reg, entry_field(RV_ADDEND));
}

static uint8_t *emit_reservations(struct tr *t)
{
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, HART(jit_live));
	x86_op_i8(&t->e, 0x83, ALU_CMP, x86_m(RDX, 0), 0);
	return x86_jcc(&t->e, CC_NE);
}

/* The access itself, at a host address. */
static void emit_load(struct tr *t, struct x86_rm from)
{
	static const struct {
		uint16_t op;
		uint32_t x86;
	} loads[] = {
		{RV_OP_lb, X86_MOVSX8},
		{RV_OP_lh, X86_MOVSX16},
		{RV_OP_lw, X86_MOVSXD},
		{RV_OP_ld, X86_MOV_LOAD | X86_W},
		{RV_OP_lbu, X86_MOVZX8},
		{RV_OP_lhu, X86_MOVZX16},
		{RV_OP_lwu, X86_MOV_LOAD},
	};
	const struct rv_insn *d = &t->in->d;

	for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
		if (loads[i].op != d->op)
			continue;
		unsigned dst = d->rd == RV_REG_SINK ? RAX : tr_dst(t, d->rd, RAX);
		x86_op(&t->e, loads[i].x86, dst, from);
		tr_put(t, d->rd, dst);
		return;
	}
	bool single = d->op == RV_OP_flw;
	unsigned xmm = host_f[d->rd] != X86_NO_REG ? host_f[d->rd] : 0;
	x86_op(&t->e, single ? X86_MOVSS : X86_MOVSD, xmm, from);
	if (single)
		x86_op(&t->e, X86_ORPS, xmm, x86_rip(t->fixed->box));
	if (host_f[d->rd] == X86_NO_REG)
		x86_op(&t->e, X86_MOVSD_ST, xmm, tr_f(d->rd));
	if (single)
		t->boxed |= UINT32_C(1) << d->rd;
	else
		t->boxed &= ~(UINT32_C(1) << d->rd);
}

static void emit_store(struct tr *t, struct x86_rm to)
{
	const struct rv_insn *d = &t->in->d;
	unsigned size = region_access_bytes(d->op);

	if (region_is_fp_access(d->op)) {
		unsigned xmm = host_f[d->rs2];
		if (xmm == X86_NO_REG) {
			xmm = 0;
			x86_op(&t->e, X86_MOVSD, xmm, tr_f(d->rs2));
		}
		x86_op(&t->e, size == 4 ? X86_MOVSS_ST : X86_MOVSD_ST, xmm, to);
		return;
	}
	if (d->rs2 == 0 && size >= 4) {
		x86_mov_mi(&t->e, size == 8, to, 0);
		return;
	}
	unsigned value = tr_in(t, d->rs2, RDX);
	x86_op(&t->e,
		size == 1   ? X86_MOV_STORE8
		: size == 2 ? X86_MOV_STORE | X86_P66
		: size == 4 ? X86_MOV_STORE
			    : X86_MOV_STORE | X86_W,
		value, to);
}

static void emit_access(struct tr *t, struct x86_rm host)
{
	if (region_is_store(t->in->d.op))
		emit_store(t, host);
	else
		emit_load(t, host);
}

/* A helper does the access; HOST_GROUP may be stale after it. */
static struct stub *access_stub(struct tr *t, uint8_t *site, const struct code_call *c)
{
	struct stub *s = tr_call_stub(t, site, c);
	s->leave_after = t->group_last > (int)t->index;
	return s;
}

static const struct code_call *access_call(struct tr *t)
{
	bool store = region_is_store(t->in->d.op);
	struct code_call *c = tr_call(t, store ? op_store : op_load);
	c->size = (uint8_t)region_access_bytes(t->in->d.op);
	return c;
}

static void emit_single(struct tr *t)
{
	const struct rv_insn *d = &t->in->d;
	bool store = region_is_store(d->op);
	const struct code_call *c = access_call(t);
	struct stub *missed, *reserved = NULL;
	unsigned at = RAX;

	if (d->rs1 == 0)
		x86_mov_i(&t->e, RAX, (uint64_t)(int64_t)d->imm);
	else if (d->imm == 0)
		at = tr_in(t, d->rs1, RAX);
	else
		x86_op(&t->e, X86_LEA | X86_W, RAX, x86_m(tr_in(t, d->rs1, RAX), d->imm));
	missed = access_stub(t, emit_look(t, at, store, c->size, 0), c);
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RCX, entry_field(RV_ADDEND));
	if (store)
		reserved = access_stub(t, emit_reservations(t), c);
	emit_access(t, x86_mx(at, RCX, 0, 0));
	missed->resume = t->e.at;
	if (reserved != NULL)
		reserved->resume = t->e.at;
}

/* The look for all of a group. Missing, the entry is filled and looked at again. */
static void emit_group_look(struct tr *t)
{
	const struct region_group *g = &t->in->group;
	struct code_call *c = tr_call(t, op_fill);
	uint8_t *again;

	c->size = (uint8_t)region_access_bytes(t->in->d.op);
	c->write = region_is_store(t->in->d.op);
	c->write_all = g->write;
	c->low = g->low;
	c->span = g->span;
	c->align = g->align;
	again = t->e.at;
	unsigned base = tr_in(t, t->in->d.rs1, HOST_GROUP), at = base;
	if (g->low != 0) {
		at = RAX;
		x86_op(&t->e, X86_LEA | X86_W, at, x86_m(base, g->low));
	}
	tr_call_stub(t, emit_look(t, at, g->write, g->align, g->span), c)->resume = again;
	if (base != HOST_GROUP)
		x86_op(&t->e, X86_MOV_LOAD | X86_W, HOST_GROUP, x86_r(base));
	emit_translate(t, HOST_GROUP);
}

static void emit_member(struct tr *t)
{
	struct stub *reserved = NULL;

	if (region_is_store(t->in->d.op))
		reserved = access_stub(t, emit_reservations(t), access_call(t));
	emit_access(t, x86_m(HOST_GROUP, t->in->d.imm));
	if (reserved != NULL)
		reserved->resume = t->e.at;
}

static bool in_group(const struct tr *t)
{
	const struct rv_insn *d = &t->in->d;
	int32_t size = (int32_t)region_access_bytes(d->op);

	return t->group_last >= (int)t->index && d->rs1 == t->group_rs1 &&
	       (d->imm & (size - 1)) == 0;
}

void tr_memory(struct tr *t)
{
	if (region_is_fp_access(t->in->d.op))
		tr_fp_on(t);
	if (region_is_store(t->in->d.op))
		t->drained = false;
	if (t->in->leads) {
		emit_group_look(t);
		t->group_last = t->in->group.last;
		t->group_rs1 = t->in->d.rs1;
	}
	if (in_group(t))
		emit_member(t);
	else
		emit_single(t);
}

/* ---- atomics ------------------------------------------------------------------------------- */

static void emit_lock(struct tr *t)
{
	if (!t->single)
		x86_lock(&t->e);
}

/* The old value ends up in one of the scratch registers. rax: the host address. */
static unsigned emit_exchange(struct tr *t, unsigned opcode, unsigned size)
{
	tr_get(t, RDX, t->in->d.rs2);
	if (t->single) { /* XCHG locks by itself, XADD is slow without a lock, too */
		x86_op(&t->e, X86_MOV_LOAD | size, RCX, x86_m(RAX, 0));
		if (opcode == X86_XADD)
			x86_op(&t->e, X86_ADD | size, RDX, x86_r(RCX));
		x86_op(&t->e, X86_MOV_STORE | size, RDX, x86_m(RAX, 0));
		return RCX;
	}
	x86_lock(&t->e);
	x86_op(&t->e, opcode | size, RDX, x86_m(RAX, 0));
	return RDX;
}

static unsigned emit_swap_loop(struct tr *t, unsigned opcode, unsigned size)
{
	const struct rv_insn *d = &t->in->d;

	x86_op(&t->e, X86_MOV_LOAD | X86_W, RCX, x86_r(RAX));
	x86_op(&t->e, X86_MOV_LOAD | size, RAX, x86_m(RCX, 0));
	const uint8_t *again = t->e.at;
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, x86_r(RAX));
	if (d->rs2 == 0 && opcode == X86_AND)
		x86_mov_i(&t->e, RDX, 0);
	else if (d->rs2 != 0)
		x86_op(&t->e, opcode | X86_W, RDX, tr_x(t, d->rs2));
	emit_lock(t);
	x86_op(&t->e, X86_CMPXCHG | size, RDX, x86_m(RCX, 0));
	x86_jcc_to(&t->e, CC_NE, again);
	return RAX;
}

static const struct {
	unsigned (*emit)(struct tr *t, unsigned opcode, unsigned size);
	unsigned opcode;
} atomics[RV_OP_N] = {
	[RV_OP_amoswap_w] = {emit_exchange, X86_XCHG},
	[RV_OP_amoswap_d] = {emit_exchange, X86_XCHG},
	[RV_OP_amoadd_w] = {emit_exchange, X86_XADD},
	[RV_OP_amoadd_d] = {emit_exchange, X86_XADD},
	[RV_OP_amoxor_w] = {emit_swap_loop, X86_XOR},
	[RV_OP_amoxor_d] = {emit_swap_loop, X86_XOR},
	[RV_OP_amoand_w] = {emit_swap_loop, X86_AND},
	[RV_OP_amoand_d] = {emit_swap_loop, X86_AND},
	[RV_OP_amoor_w] = {emit_swap_loop, X86_OR},
	[RV_OP_amoor_d] = {emit_swap_loop, X86_OR},
};

/* ---- pairs of load-reserved and store-conditional ------------------------------------------ */

/*
 * What the pair computes depends on the one value that it loads, and on no other memory. So when
 * the compare-and-swap finds that value, the load might as well have been then: nothing is between
 * them, and ABA cannot be seen. No reservation is made; others' are killed as by any store.
 *
 * A program may leave between the two and come to another store-conditional: that one fails, having
 * no reservation, and the next load-reserved make one (rv_amo.c).
 */
static void emit_lr(struct tr *t, bool wide)
{
	const struct rv_insn *d = &t->in->d;
	const struct code_call *c = tr_call(t, op_atomic);
	struct stub *s[3];

	x86_op_i8(&t->e, 0x80, ALU_CMP, HART(lr_by_reservation), 0);
	s[0] = tr_call_stub(t, x86_jcc(&t->e, CC_NE), c);
	x86_op_i8(&t->e, 0x80, ALU_CMP, HART(res_size), 0);
	s[1] = tr_call_stub(t, x86_jcc(&t->e, CC_NE), c);
	tr_get(t, RAX, d->rs1);
	s[2] = tr_call_stub(t, emit_look(t, RAX, false, wide ? 8 : 4, 0), c);
	if (t->shared) {
		/* Where it may be written, ask for that at once: one request, not two. */
		x86_op(&t->e, X86_MOV_LOAD | X86_W, RDX, entry_field(RV_TAG(RV_WRITE)));
		x86_op(&t->e, X86_CMP | X86_W, RDX, entry_field(RV_TAG(RV_READ)));
		uint8_t *readonly = x86_jcc(&t->e, CC_NE);
		emit_translate(t, RAX);
		x86_lock(&t->e);
		x86_alu_i(&t->e, ALU_OR, false, x86_m(RAX, 0), 0);
		x86_op(&t->e, X86_SUB | X86_W, RAX, entry_field(RV_ADDEND));
		x86_patch(readonly, t->e.at);
	}
	emit_translate(t, RAX);
	x86_op(&t->e, wide ? X86_MOV_LOAD | X86_W : X86_MOVSXD, RAX, x86_m(RAX, 0));
	x86_op(&t->e, X86_MOV_STORE | X86_W, RAX, HART(res_value));
	x86_mov_mi8(&t->e, HART(lr_bare), 1);
	tr_put(t, d->rd, RAX);
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
		s[i]->resume = t->e.at;
}

static void emit_sc(struct tr *t, bool wide)
{
	const struct rv_insn *d = &t->in->d;
	const struct code_call *c = tr_call(t, op_atomic);
	struct stub *s[3];

	x86_op_i8(&t->e, 0x80, ALU_CMP, HART(lr_bare), 0);
	s[0] = tr_call_stub(t, x86_jcc(&t->e, CC_E), c);
	tr_get(t, RAX, d->rs1);
	s[1] = tr_call_stub(t, emit_look(t, RAX, true, wide ? 8 : 4, 0), c);
	emit_translate(t, RAX);
	s[2] = tr_call_stub(t, emit_reservations(t), c);
	x86_mov_mi8(&t->e, HART(lr_bare), 0);
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RCX, x86_r(RAX));
	x86_op(&t->e, X86_MOV_LOAD | X86_W, RAX, HART(res_value));
	tr_get(t, RDX, d->rs2);
	emit_lock(t);
	x86_op(&t->e, X86_CMPXCHG | (wide ? X86_W : 0), RDX, x86_m(RCX, 0));
	if (d->rd != RV_REG_SINK) {
		unsigned dst = tr_dst(t, d->rd, RAX);
		x86_setcc(&t->e, CC_NE, RAX);
		x86_op(&t->e, X86_MOVZX8, dst, x86_r(RAX));
		tr_put(t, d->rd, dst);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
		s[i]->resume = t->e.at;
}

bool tr_atomic(struct tr *t)
{
	const struct rv_insn *d = &t->in->d;
	bool wide = d->rm == 3; /* funct3 */

	if (t->in->paired) {
		t->drained = false; /* the helper may fail the store, and lock nothing */
		if (d->op == RV_OP_lr_w || d->op == RV_OP_lr_d)
			emit_lr(t, wide);
		else
			emit_sc(t, wide);
		return true;
	}
	if (atomics[d->op].emit == NULL)
		return false;
	const struct code_call *c = tr_call(t, op_atomic);
	tr_get(t, RAX, d->rs1);
	struct stub *missed = tr_call_stub(t, emit_look(t, RAX, true, wide ? 8 : 4, 0), c);
	emit_translate(t, RAX);
	struct stub *reserved = tr_call_stub(t, emit_reservations(t), c);
	unsigned old = atomics[d->op].emit(t, atomics[d->op].opcode, wide ? X86_W : 0);
	if (d->rd != RV_REG_SINK) {
		unsigned dst = tr_dst(t, d->rd, RAX);
		x86_op(&t->e, wide ? X86_MOV_LOAD | X86_W : X86_MOVSXD, dst, x86_r(old));
		tr_put(t, d->rd, dst);
	}
	missed->resume = reserved->resume = t->e.at;
	t->drained = !t->single; /* by the helper, too: it does the same in C */
	return true;
}
