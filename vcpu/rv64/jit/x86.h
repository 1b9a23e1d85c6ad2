/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_JIT_X86_H
#define VCPU_RV64_JIT_X86_H

#include "base/check.h"

/*
 * An assembler for the x86-64 instructions that the translator uses (AMD64 Architecture
 * Programmer's Manual, volumes 3 and 4). It writes into memory that is not executable;
 * displacements are relative, so the code may run at another address. Whoever emits checks for
 * room before.
 */
struct x86 {
	uint8_t *at;
	uint8_t *end;
};

enum x86_reg {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
	X86_NO_REG = 0xff,
};

/* Conditions, as they are encoded in Jcc, SETcc and CMOVcc. */
enum x86_cc {
	CC_O,
	CC_NO,
	CC_B,
	CC_AE,
	CC_E,
	CC_NE,
	CC_BE,
	CC_A,
	CC_S,
	CC_NS,
	CC_P,
	CC_NP,
	CC_L,
	CC_GE,
	CC_LE,
	CC_G,
};

/* The operand that may be a register or memory: [base + index * 2^scale + disp]. */
struct x86_rm {
	bool mem;
	uint8_t reg; /* or base; X86_NO_REG with mem: relative to the instruction pointer */
	uint8_t index;
	uint8_t scale;
	int32_t disp;
	const uint8_t *target; /* rip-relative: what is meant, in the memory that is written */
};

static inline struct x86_rm x86_r(unsigned reg)
{
	return (struct x86_rm){.reg = (uint8_t)reg};
}

static inline struct x86_rm x86_m(unsigned base, int32_t disp)
{
	return (struct x86_rm){
		.mem = true, .reg = (uint8_t)base, .index = X86_NO_REG, .disp = disp};
}

static inline struct x86_rm x86_mx(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
	return (struct x86_rm){.mem = true,
		.reg = (uint8_t)base,
		.index = (uint8_t)index,
		.scale = (uint8_t)scale,
		.disp = disp};
}

static inline struct x86_rm x86_rip(const uint8_t *target)
{
	return (struct x86_rm){
		.mem = true, .reg = X86_NO_REG, .index = X86_NO_REG, .target = target};
}

/*
 * An opcode: the byte, its map, mandatory prefix, and operand size.
 */
#define X86_MAP_0F   0x100u
#define X86_MAP_0F38 0x200u
#define X86_MAP_0F3A 0x300u
#define X86_P66      0x1000u
#define X86_PF3      0x2000u
#define X86_PF2      0x3000u
#define X86_W        0x10000u /* 64-bit operands */
#define X86_BYTE     0x20000u /* `reg` (and rm, when a register) is a byte register */

/* reg, rm: two operands, the first is the destination. */
#define X86_MOV_LOAD   0x8bu
#define X86_MOV_STORE  0x89u
#define X86_MOV_STORE8 (0x88u | X86_BYTE)
#define X86_MOVZX8     (X86_MAP_0F | 0xb6u | X86_BYTE)
#define X86_MOVZX16    (X86_MAP_0F | 0xb7u)
#define X86_MOVSX8     (X86_MAP_0F | 0xbeu | X86_BYTE | X86_W)
#define X86_MOVSX16    (X86_MAP_0F | 0xbfu | X86_W)
#define X86_MOVSXD     (0x63u | X86_W)
#define X86_LEA        0x8du
#define X86_ADD        0x03u
#define X86_OR         0x0bu
#define X86_OR8        (0x0au | X86_BYTE)
#define X86_AND        0x23u
#define X86_SUB        0x2bu
#define X86_XOR        0x33u
#define X86_CMP        0x3bu
#define X86_TEST       0x85u
#define X86_IMUL       (X86_MAP_0F | 0xafu)
#define X86_LZCNT      (X86_MAP_0F | X86_PF3 | 0xbdu)
#define X86_TZCNT      (X86_MAP_0F | X86_PF3 | 0xbcu)
#define X86_POPCNT     (X86_MAP_0F | X86_PF3 | 0xb8u)
#define X86_BTS        (X86_MAP_0F | 0xabu)
#define X86_BTR        (X86_MAP_0F | 0xb3u)
#define X86_BTC        (X86_MAP_0F | 0xbbu)
#define X86_CMOV(cc)   (X86_MAP_0F | 0x40u | (cc))
#define X86_XADD       (X86_MAP_0F | 0xc1u)
#define X86_XCHG       0x87u
#define X86_CMPXCHG    (X86_MAP_0F | 0xb1u) /* rax: what is expected, then what was there */

void x86_op(struct x86 *e, unsigned opcode, unsigned reg, struct x86_rm rm);
/* The same with an immediate byte behind it. */
void x86_op_i8(struct x86 *e, unsigned opcode, unsigned reg, struct x86_rm rm, uint8_t imm);

/* VEX-encoded, three operands: dst, src, rm. L is 0. */
void x86_vex(struct x86 *e, unsigned opcode, unsigned dst, unsigned src, struct x86_rm rm);
void x86_vex_i8(
	struct x86 *e, unsigned opcode, unsigned dst, unsigned src, struct x86_rm rm, uint8_t imm);
#define X86_SHLX (X86_MAP_0F38 | X86_P66 | 0xf7u) /* dst = rm << src */
#define X86_SHRX (X86_MAP_0F38 | X86_PF2 | 0xf7u)
#define X86_SARX (X86_MAP_0F38 | X86_PF3 | 0xf7u)
#define X86_RORX (X86_MAP_0F3A | X86_PF2 | 0xf0u) /* with an immediate; src is 0 */

/* ALU with an immediate: `which` is the opcode extension of group 1. */
enum x86_alu {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
};
void x86_alu_i(struct x86 *e, enum x86_alu which, bool w, struct x86_rm rm, int32_t imm);
void x86_test_i(struct x86 *e, bool w, struct x86_rm rm, int32_t imm);

/* Shifts and rotates, group 2: by an immediate, or by CL. */
enum x86_shift { SH_ROL = 0, SH_ROR = 1, SH_SHL = 4, SH_SHR = 5, SH_SAR = 7 };
void x86_shift_i(struct x86 *e, enum x86_shift which, bool w, unsigned reg, unsigned by);
void x86_shift_cl(struct x86 *e, enum x86_shift which, bool w, unsigned reg);

/* Group 3 on rdx:rax. */
enum x86_muldiv { G3_NOT = 2, G3_NEG = 3, G3_MUL = 4, G3_IMUL = 5, G3_DIV = 6, G3_IDIV = 7 };
void x86_group3(struct x86 *e, enum x86_muldiv which, bool w, struct x86_rm rm);
void x86_cdq(struct x86 *e, bool w); /* sign of (r|e)ax into (r|e)dx */
void x86_bswap(struct x86 *e, unsigned reg);
void x86_bit_i(
	struct x86 *e, unsigned which, unsigned reg, unsigned bit); /* 4 bt 5 bts 6 btr 7 btc */
/* As an opcode, for a byte in memory. */
#define X86_SETCC_M(cc) (X86_MAP_0F | 0x90u | (cc))
void x86_setcc(struct x86 *e, enum x86_cc cc, unsigned reg);

/* The shortest move of a constant. Leaves the flags alone. */
void x86_mov_i(struct x86 *e, unsigned reg, uint64_t value);
void x86_mov_mi8(struct x86 *e, struct x86_rm rm, uint8_t imm);
/* Store a sign-extended immediate, 64 or 32 bits wide. */
void x86_mov_mi(struct x86 *e, bool w, struct x86_rm rm, int32_t imm);

void x86_jmp_rm(struct x86 *e, struct x86_rm rm);
void x86_call_rm(struct x86 *e, struct x86_rm rm);
/*
 *  Jumps with a 32-bit displacement: they return where it is, and x86_patch sets it. Jumping to a
 *  known place does both.
 */
uint8_t *x86_jmp(struct x86 *e);
uint8_t *x86_jcc(struct x86 *e, enum x86_cc cc);
uint8_t *x86_call(struct x86 *e);
void x86_patch(uint8_t *rel32, const uint8_t *target);
void x86_jmp_to(struct x86 *e, const uint8_t *target);
void x86_jcc_to(struct x86 *e, enum x86_cc cc, const uint8_t *target);
void x86_call_to(struct x86 *e, const uint8_t *target);
void x86_push(struct x86 *e, unsigned reg);
void x86_pop(struct x86 *e, unsigned reg);
void x86_ret(struct x86 *e);
void x86_lock(struct x86 *e);

/* SSE scalar. `dst`, `src` and registers of rm are xmm unless the name says otherwise. */
#define X86_MOVAPS    (X86_MAP_0F | 0x28u)
#define X86_MOVSD     (X86_MAP_0F | X86_PF2 | 0x10u) /* load */
#define X86_MOVSS     (X86_MAP_0F | X86_PF3 | 0x10u)
#define X86_MOVSD_ST  (X86_MAP_0F | X86_PF2 | 0x11u)
#define X86_MOVSS_ST  (X86_MAP_0F | X86_PF3 | 0x11u)
#define X86_MOVQ_XR   (X86_MAP_0F | X86_P66 | 0x6eu) /* xmm <- general; W: 64 bits */
#define X86_MOVQ_RX   (X86_MAP_0F | X86_P66 | 0x7eu) /* `reg` xmm -> rm general */
#define X86_ANDPS     (X86_MAP_0F | 0x54u)
#define X86_ANDNPS    (X86_MAP_0F | 0x55u)
#define X86_ORPS      (X86_MAP_0F | 0x56u)
#define X86_XORPS     (X86_MAP_0F | 0x57u)
#define X86_PCMPEQD   (X86_MAP_0F | X86_P66 | 0x76u)
#define X86_UCOMISD   (X86_MAP_0F | X86_P66 | 0x2eu)
#define X86_UCOMISS   (X86_MAP_0F | 0x2eu)
#define X86_COMISD    (X86_MAP_0F | X86_P66 | 0x2fu)
#define X86_COMISS    (X86_MAP_0F | 0x2fu)
#define X86_CVTSI2SD  (X86_MAP_0F | X86_PF2 | 0x2au)
#define X86_CVTSI2SS  (X86_MAP_0F | X86_PF3 | 0x2au)
#define X86_CVTTSD2SI (X86_MAP_0F | X86_PF2 | 0x2cu)
#define X86_CVTTSS2SI (X86_MAP_0F | X86_PF3 | 0x2cu)
#define X86_CVTSD2SS  (X86_MAP_0F | X86_PF2 | 0x5au)
#define X86_CVTSS2SD  (X86_MAP_0F | X86_PF3 | 0x5au)
#define X86_SQRTSD    (X86_MAP_0F | X86_PF2 | 0x51u)
#define X86_SQRTSS    (X86_MAP_0F | X86_PF3 | 0x51u)
#define X86_FP_D      (X86_MAP_0F | X86_PF2)
#define X86_FP_S      (X86_MAP_0F | X86_PF3)
#define X86_FP_ADD    0x58u
#define X86_FP_MUL    0x59u
#define X86_FP_SUB    0x5cu
#define X86_FP_DIV    0x5eu
#define X86_FMA_BASE  (X86_MAP_0F38 | X86_P66) /* VEX; W: double. dst = +-(src * rm) +- dst */
#define X86_FMADD231  0xb9u
#define X86_FMSUB231  0xbbu
#define X86_FNMADD231 0xbdu
#define X86_FNMSUB231 0xbfu

#endif
