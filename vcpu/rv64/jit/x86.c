/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/jit/x86.h"

#include <string.h>

static void put8(struct x86 *e, unsigned v)
{
	*e->at++ = (uint8_t)v;
}

static void put32(struct x86 *e, uint32_t v)
{
	memcpy(e->at, &v, sizeof(v));
	e->at += sizeof(v);
}

static void put64(struct x86 *e, uint64_t v)
{
	memcpy(e->at, &v, sizeof(v));
	e->at += sizeof(v);
}

static bool fits8(int32_t v)
{
	return v >= INT8_MIN && v <= INT8_MAX;
}

/* ModRM, SIB and displacement; `behind`: bytes of the instruction that follow them. */
static void put_rm(struct x86 *e, unsigned reg, struct x86_rm rm, unsigned behind)
{
	unsigned r = (reg & 7) << 3;

	if (!rm.mem) {
		put8(e, 0xc0 | r | (rm.reg & 7));
		return;
	}
	if (rm.reg == X86_NO_REG) {
		put8(e, r | 5);
		put32(e, (uint32_t)(rm.target - (e->at + 4 + behind)));
		return;
	}
	/* rsp and r12 as a base need a SIB byte; rbp and r13 always a displacement. */
	bool sib = rm.index != X86_NO_REG || (rm.reg & 7) == RSP;
	unsigned mod = rm.disp == 0 && (rm.reg & 7) != RBP ? 0 : fits8(rm.disp) ? 1 : 2;
	put8(e, mod << 6 | r | (sib ? 4 : rm.reg & 7));
	if (sib) {
		unsigned index = rm.index == X86_NO_REG ? 4 : rm.index & 7;
		put8(e, (unsigned)rm.scale << 6 | index << 3 | (rm.reg & 7));
	}
	if (mod == 1)
		put8(e, (uint8_t)rm.disp);
	else if (mod == 2)
		put32(e, (uint32_t)rm.disp);
}

static unsigned ext(unsigned reg)
{
	return reg != X86_NO_REG && reg >= 8 ? 1 : 0;
}

/* spl, bpl, sil and dil exist only with a REX prefix. */
static bool byte_needs_rex(unsigned opcode, unsigned reg, struct x86_rm rm)
{
	bool dst_byte = (opcode & X86_MAP_0F) == 0 && reg >= RSP && reg <= RDI;
	return (opcode & X86_BYTE) != 0 &&
	       (dst_byte || (!rm.mem && rm.reg >= RSP && rm.reg <= RDI));
}

static void op_behind(
	struct x86 *e, unsigned opcode, unsigned reg, struct x86_rm rm, unsigned behind)
{
	static const uint8_t prefix[4] = {0, 0x66, 0xf3, 0xf2};
	unsigned pp = opcode >> 12 & 3, map = opcode >> 8 & 3;
	unsigned rex = (opcode & X86_W) != 0 ? 8 : 0;

	rex |= ext(reg) << 2 | ext(rm.reg);
	if (rm.mem)
		rex |= ext(rm.index) << 1;
	if (pp != 0)
		put8(e, prefix[pp]);
	if (rex != 0 || byte_needs_rex(opcode, reg, rm))
		put8(e, 0x40 | rex);
	if (map != 0)
		put8(e, 0x0f);
	if (map > 1)
		put8(e, map == 2 ? 0x38 : 0x3a);
	put8(e, opcode & 0xff);
	put_rm(e, reg, rm, behind);
}

void x86_op(struct x86 *e, unsigned opcode, unsigned reg, struct x86_rm rm)
{
	op_behind(e, opcode, reg, rm, 0);
}

void x86_op_i8(struct x86 *e, unsigned opcode, unsigned reg, struct x86_rm rm, uint8_t imm)
{
	op_behind(e, opcode, reg, rm, 1);
	put8(e, imm);
}

static void vex_behind(struct x86 *e, unsigned opcode, unsigned dst, unsigned src, struct x86_rm rm,
	unsigned behind)
{
	unsigned pp = opcode >> 12 & 3, map = opcode >> 8 & 3;
	unsigned b = ext(rm.reg), x = rm.mem ? ext(rm.index) : 0;

	put8(e, 0xc4);
	put8(e, (ext(dst) ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | map);
	put8(e, ((opcode & X86_W) != 0 ? 0x80 : 0) | (~src & 15) << 3 | pp);
	put8(e, opcode & 0xff);
	put_rm(e, dst, rm, behind);
}

void x86_vex(struct x86 *e, unsigned opcode, unsigned dst, unsigned src, struct x86_rm rm)
{
	vex_behind(e, opcode, dst, src, rm, 0);
}

void x86_vex_i8(
	struct x86 *e, unsigned opcode, unsigned dst, unsigned src, struct x86_rm rm, uint8_t imm)
{
	vex_behind(e, opcode, dst, src, rm, 1);
	put8(e, imm);
}

void x86_alu_i(struct x86 *e, enum x86_alu which, bool w, struct x86_rm rm, int32_t imm)
{
	unsigned size = w ? X86_W : 0;

	if (fits8(imm)) {
		x86_op_i8(e, 0x83 | size, which, rm, (uint8_t)imm);
		return;
	}
	op_behind(e, 0x81 | size, which, rm, 4);
	put32(e, (uint32_t)imm);
}

void x86_test_i(struct x86 *e, bool w, struct x86_rm rm, int32_t imm)
{
	op_behind(e, 0xf7 | (w ? X86_W : 0), 0, rm, 4);
	put32(e, (uint32_t)imm);
}

void x86_shift_i(struct x86 *e, enum x86_shift which, bool w, unsigned reg, unsigned by)
{
	if (by != 0)
		x86_op_i8(e, 0xc1 | (w ? X86_W : 0), which, x86_r(reg), (uint8_t)by);
}

void x86_shift_cl(struct x86 *e, enum x86_shift which, bool w, unsigned reg)
{
	x86_op(e, 0xd3 | (w ? X86_W : 0), which, x86_r(reg));
}

void x86_group3(struct x86 *e, enum x86_muldiv which, bool w, struct x86_rm rm)
{
	x86_op(e, 0xf7 | (w ? X86_W : 0), which, rm);
}

void x86_cdq(struct x86 *e, bool w)
{
	if (w)
		put8(e, 0x48);
	put8(e, 0x99);
}

void x86_bswap(struct x86 *e, unsigned reg)
{
	put8(e, 0x48 | ext(reg));
	put8(e, 0x0f);
	put8(e, 0xc8 | (reg & 7));
}

void x86_bit_i(struct x86 *e, unsigned which, unsigned reg, unsigned bit)
{
	x86_op_i8(e, X86_MAP_0F | X86_W | 0xba, which, x86_r(reg), (uint8_t)bit);
}

void x86_setcc(struct x86 *e, enum x86_cc cc, unsigned reg)
{
	x86_op(e, X86_MAP_0F | X86_BYTE | 0x90 | cc, 0, x86_r(reg));
}

void x86_mov_i(struct x86 *e, unsigned reg, uint64_t value)
{
	if (value <= UINT32_MAX) {
		if (ext(reg))
			put8(e, 0x41);
		put8(e, 0xb8 | (reg & 7));
		put32(e, (uint32_t)value);
	} else if ((uint64_t)(int64_t)(int32_t)value == value) {
		x86_mov_mi(e, true, x86_r(reg), (int32_t)value);
	} else {
		put8(e, 0x48 | ext(reg));
		put8(e, 0xb8 | (reg & 7));
		put64(e, value);
	}
}

void x86_mov_mi(struct x86 *e, bool w, struct x86_rm rm, int32_t imm)
{
	op_behind(e, 0xc7 | (w ? X86_W : 0), 0, rm, 4);
	put32(e, (uint32_t)imm);
}

void x86_mov_mi8(struct x86 *e, struct x86_rm rm, uint8_t imm)
{
	x86_op_i8(e, 0xc6, 0, rm, imm);
}

void x86_jmp_rm(struct x86 *e, struct x86_rm rm)
{
	x86_op(e, 0xff, 4, rm);
}

void x86_call_rm(struct x86 *e, struct x86_rm rm)
{
	x86_op(e, 0xff, 2, rm);
}

uint8_t *x86_jmp(struct x86 *e)
{
	put8(e, 0xe9);
	put32(e, 0);
	return e->at - 4;
}

uint8_t *x86_jcc(struct x86 *e, enum x86_cc cc)
{
	put8(e, 0x0f);
	put8(e, 0x80 | cc);
	put32(e, 0);
	return e->at - 4;
}

uint8_t *x86_call(struct x86 *e)
{
	put8(e, 0xe8);
	put32(e, 0);
	return e->at - 4;
}

void x86_patch(uint8_t *rel32, const uint8_t *target)
{
	int32_t v = (int32_t)(target - (rel32 + 4));
	memcpy(rel32, &v, sizeof(v));
}

void x86_jmp_to(struct x86 *e, const uint8_t *target)
{
	x86_patch(x86_jmp(e), target);
}

void x86_jcc_to(struct x86 *e, enum x86_cc cc, const uint8_t *target)
{
	x86_patch(x86_jcc(e, cc), target);
}

void x86_call_to(struct x86 *e, const uint8_t *target)
{
	x86_patch(x86_call(e), target);
}

void x86_push(struct x86 *e, unsigned reg)
{
	if (ext(reg))
		put8(e, 0x41);
	put8(e, 0x50 | (reg & 7));
}

void x86_pop(struct x86 *e, unsigned reg)
{
	if (ext(reg))
		put8(e, 0x41);
	put8(e, 0x58 | (reg & 7));
}

void x86_ret(struct x86 *e)
{
	put8(e, 0xc3);
}

void x86_lock(struct x86 *e)
{
	put8(e, 0xf0);
}
