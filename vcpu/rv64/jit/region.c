/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/region.h"

#include <string.h>

unsigned region_access_bytes(unsigned op)
{
	switch (op) {
	case RV_OP_lb:
	case RV_OP_lbu:
	case RV_OP_sb:
		return 1;
	case RV_OP_lh:
	case RV_OP_lhu:
	case RV_OP_sh:
		return 2;
	case RV_OP_lw:
	case RV_OP_lwu:
	case RV_OP_sw:
	case RV_OP_flw:
	case RV_OP_fsw:
		return 4;
	case RV_OP_ld:
	case RV_OP_sd:
	case RV_OP_fld:
	case RV_OP_fsd:
		return 8;
	default:
		return 0;
	}
}

bool region_is_store(unsigned op)
{
	return op == RV_OP_sb || op == RV_OP_sh || op == RV_OP_sw || op == RV_OP_sd ||
	       op == RV_OP_fsw || op == RV_OP_fsd;
}

bool region_is_fp_access(unsigned op)
{
	return op == RV_OP_flw || op == RV_OP_fld || op == RV_OP_fsw || op == RV_OP_fsd;
}

static enum region_kind kind_of(const struct rv_insn *d)
{
	if (region_access_bytes(d->op) != 0)
		return KIND_MEMORY;
	if (d->op >= RV_OP_lr_w && d->op <= RV_OP_amomaxu_d)
		return KIND_HELPER;
	if (d->op >= RV_OP_csrrw && d->op <= RV_OP_csrrci)
		return KIND_HELPER;
	switch (d->op) {
	case RV_OP_ecall:
	case RV_OP_sret:
		return KIND_SYSTEM;
	case RV_OP_illegal:
	case RV_OP_ebreak:
	case RV_OP_fence_i:
	case RV_OP_wfi:
	case RV_OP_sfence_vma:
	case RV_OP_sinval_vma:
	case RV_OP_sfence_w_inval:
	case RV_OP_sfence_inval_ir:
	case RV_OP_cbo_inval:
	case RV_OP_cbo_clean:
	case RV_OP_cbo_flush:
	case RV_OP_cbo_zero:
		return KIND_NONE;
	case RV_OP_jal:
	case RV_OP_jalr:
		return KIND_JUMP;
	case RV_OP_beq:
	case RV_OP_bne:
	case RV_OP_blt:
	case RV_OP_bge:
	case RV_OP_bltu:
	case RV_OP_bgeu:
		return KIND_BRANCH;
	default:
		return KIND_PLAIN;
	}
}

/* Letters of rv_format.def. */
static const char *operands_of(const struct rv_insn *d)
{
	return rv_format_operands(rv_row((enum rv_op)d->op)->fmt);
}

struct region_regs region_regs(const struct rv_insn *d)
{
	const char *operands = operands_of(d);
	struct region_regs regs = {0};

	if (strpbrk(operands, "sma") != NULL)
		regs.read |= UINT32_C(1) << d->rs1;
	if (strchr(operands, 't') != NULL)
		regs.read |= UINT32_C(1) << d->rs2;
	if (strchr(operands, 'd') != NULL && d->rd != RV_REG_SINK)
		regs.written |= UINT32_C(1) << d->rd;
	regs.read &= ~UINT32_C(1);
	return regs;
}

static bool writes(const struct rv_insn *d, unsigned reg)
{
	return (region_regs(d).written >> reg & 1) != 0;
}

int region_index(const struct region *r, uint64_t va)
{
	uint64_t at = va - r->va;
	unsigned lo = 0, hi = r->n;

	if (at >= r->bytes)
		return -1;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (r->insn[mid].at == at)
			return (int)mid;
		if (r->insn[mid].at < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

int region_target(const struct region *r, unsigned index)
{
	const struct region_insn *in = &r->insn[index];

	if (in->kind != KIND_BRANCH && in->d.op != RV_OP_jal)
		return -1;
	return region_index(r, r->va + in->at + (uint64_t)(int64_t)in->d.imm);
}

static void find_labels(struct region *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		int to = region_target(r, i);
		if (to < 0)
			continue;
		r->insn[to].label = true;
		r->insn[to].loop |= (unsigned)to <= i;
	}
}

/* ---- groups -------------------------------------------------------------------------------- */

#define GROUP_REACH 2048

static int32_t floor_to(int32_t v, int32_t align)
{
	return v & -align;
}

/* Can this access, at a multiple of its size, be one of a group? */
static bool groupable(const struct region_insn *in)
{
	int32_t size = (int32_t)region_access_bytes(in->d.op);
	return size != 0 && in->d.rs1 != 0 && floor_to(in->d.imm, size) == in->d.imm;
}

/* Group what follows insn[i], as far as it is straight. */
static void group_from(struct region *r, unsigned i)
{
	struct region_insn *lead = &r->insn[i];
	int32_t low = lead->d.imm, high = low, align = 0;
	unsigned members = 0, last = i;
	bool write = false;

	for (unsigned k = i; k < r->n; k++) {
		const struct region_insn *in = &r->insn[k];
		if (k > i && in->label)
			break;
		if (in->kind != KIND_PLAIN && in->kind != KIND_MEMORY)
			break;
		if (groupable(in) && in->d.rs1 == lead->d.rs1) {
			int32_t size = (int32_t)region_access_bytes(in->d.op);
			int32_t lo = MIN(low, in->d.imm), hi = MAX(high, in->d.imm);
			if (hi - lo > GROUP_REACH)
				break;
			low = lo;
			high = hi;
			align = MAX(align, size);
			write |= region_is_store(in->d.op);
			members++;
			last = k;
		}
		if (writes(&in->d, lead->d.rs1))
			break;
	}
	if (members < 2)
		return;
	lead->leads = true;
	lead->group = (struct region_group){.last = (uint8_t)last,
		.align = (uint8_t)align,
		.write = write,
		.low = floor_to(low, align),
		.span = floor_to(high, align) - floor_to(low, align)};
}

static void find_groups(struct region *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		if (!groupable(&r->insn[i]))
			continue;
		group_from(r, i);
		if (r->insn[i].leads)
			i = r->insn[i].group.last;
	}
}

/* ---- pairs of load-reserved and store-conditional ------------------------------------------ */

/* "... at most 16 instructions", of constrained LR/SC loops, is as far as we look. */
#define PAIR_REACH 16u

static bool is_sc_of(const struct region_insn *in, const struct region_insn *lr)
{
	unsigned sc = lr->d.op == RV_OP_lr_w ? RV_OP_sc_w : RV_OP_sc_d;
	return in->d.op == sc && in->d.rs1 == lr->d.rs1;
}

/* Computes, and always goes on. Floating point may end in the interpreter (tr_fp_on). */
static bool goes_on(const struct region_insn *in)
{
	bool fp = in->d.op >= RV_OP_flw && in->d.op <= RV_OP_fmv_d_x;
	return in->kind == KIND_BRANCH ||
	       (in->kind == KIND_PLAIN && !fp && in->d.op != RV_OP_fence);
}

static void pair_from(struct region *r, unsigned i)
{
	struct region_insn *lr = &r->insn[i];

	if (lr->d.rd == lr->d.rs1)
		return;
	for (unsigned k = i + 1; k < r->n && k <= i + PAIR_REACH; k++) {
		struct region_insn *in = &r->insn[k];
		if (in->label)
			return;
		if (is_sc_of(in, lr)) {
			lr->paired = in->paired = true;
			return;
		}
		if (!goes_on(in) || writes(&in->d, lr->d.rs1))
			return;
	}
}

static void find_pairs(struct region *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->insn[i].d.op == RV_OP_lr_w || r->insn[i].d.op == RV_OP_lr_d)
			pair_from(r, i);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* False: the instruction does not end inside the page. */
static bool read_insn(const uint8_t *host, unsigned left, struct rv_insn *d)
{
	uint16_t half[2] = {0, 0};

	if (left < 2)
		return false;
	memcpy(&half[0], host, 2);
	if (!rv_word_is_compressed(half[0])) {
		if (left < 4)
			return false;
		memcpy(&half[1], host + 2, 2);
	}
	rv_decode((uint32_t)half[0] | (uint32_t)half[1] << 16, d);
	return true;
}

void region_read(struct region *r, uint64_t va, unsigned most, const uint8_t *host, unsigned bytes,
	bool (*stop)(void *ctx, uint64_t va), void *ctx)
{
	r->va = va;
	r->n = 0;
	r->bytes = 0;
	r->most = MIN(most, REGION_INSNS);
	while (r->n < r->most) {
		struct region_insn *in = &r->insn[r->n];
		if (r->n > 0 && stop(ctx, va + r->bytes))
			break;
		memset(in, 0, sizeof(*in));
		if (!read_insn(host + r->bytes, bytes - r->bytes, &in->d))
			break;
		in->kind = kind_of(&in->d);
		if (in->kind == KIND_NONE)
			break;
		in->at = (uint16_t)r->bytes;
		r->bytes += in->d.len;
		r->n++;
		if (in->kind == KIND_JUMP || in->kind == KIND_SYSTEM)
			break;
	}
	find_labels(r);
	find_groups(r);
	find_pairs(r);
}
