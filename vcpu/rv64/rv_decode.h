/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_DECODE_H
#define VCPU_RV64_RV_DECODE_H

#include "base/check.h"

/*
 *  Rows of rv_insn.def. Compressed rows have numbers too, but a decoded instruction names what
 *  executes it.
 */
enum rv_op {
	RV_OP_illegal,
#define INSN(id, text, match, mask, fmt, ext, op) RV_OP_##id,
#include "vcpu/rv64/rv_insn.def"
#undef INSN
	RV_OP_N
};

enum rv_format {
#define FORMAT(name, operands) RV_FMT_##name,
#include "vcpu/rv64/rv_format.def"
#undef FORMAT
	RV_FMT_N
};

/* Register number that takes what is written to x0, so that no handler needs to ask. */
#define RV_REG_SINK 32

/*
 *  A decoded instruction: a pure function of `word`, so a cached one is valid whenever the word is
 *  the same.
 */
struct rv_insn {
	uint32_t word; /* as fetched; a compressed one has the next 16 bits of memory above it */
	int32_t imm;
	uint16_t op; /* enum rv_op */
	uint8_t rd, rs1, rs2, rs3;
	uint8_t rm;  /* rounding mode field */
	uint8_t len; /* 2 or 4 */
};
STATIC_CHECK(sizeof(struct rv_insn) == 16, "four decoded instructions fill a cache line");

/* One row of the table, for tests and the disassembler. */
struct rv_row {
	const char *text;
	const char *ext;
	uint32_t match, mask;
	enum rv_format fmt;
	enum rv_op op;
};
/* Rows are numbered as enum rv_op; row 0 (illegal) matches nothing. Context: any. */
const struct rv_row *rv_row(enum rv_op id);
const char *rv_format_operands(enum rv_format fmt);

/*
 *  Build the look-up lists. Context: once before the first decode; further calls do nothing. Any
 *  thread.
 */
void rv_decode_init(void);

/*
 *  Decode any word; what is no instruction becomes RV_OP_illegal. Context: any thread, after
 *  rv_decode_init.
 */
void rv_decode(uint32_t word, struct rv_insn *out);

/* The table row of a word, RV_OP_illegal when there is none. Context: as rv_decode. */
enum rv_op rv_decode_row(uint32_t word);

/* Text of an instruction ("addi a0,a0,-1"), cut at `size`. Context: as rv_decode. */
void rv_disas(uint32_t word, uint64_t pc, char *buf, size_t size);

static inline bool rv_word_is_compressed(uint32_t word)
{
	return (word & 3) != 3;
}

#endif
