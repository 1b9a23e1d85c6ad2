/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_decode.h"

#include <pthread.h>
#include <string.h>

static const struct rv_row rows[RV_OP_N] = {
	[RV_OP_illegal] = {"illegal", "", 0, 0, RV_FMT_NONE, RV_OP_illegal},
#define INSN(id, text, match, mask, fmt, ext, op)                                                  \
	[RV_OP_##id] = {text, #ext, match, mask, RV_FMT_##fmt, RV_OP_##op},
#include "vcpu/rv64/rv_insn.def"
#undef INSN
};

static const char *const operands[RV_FMT_N] = {
#define FORMAT(name, ops) [RV_FMT_##name] = ops,
#include "vcpu/rv64/rv_format.def"
#undef FORMAT
};

/*
 * Rows are looked up in short lists: 32-bit words by their major opcode (bits 6:2), compressed
 * ones by bits 15:13 and 1:0. Both are inside the mask of every row.
 */
#define LISTS    64
#define LIST_MAX 64
static uint8_t lists[LISTS][LIST_MAX];
static uint8_t list_len[LISTS];
static pthread_once_t lists_once = PTHREAD_ONCE_INIT;

STATIC_CHECK(RV_OP_N <= 256, "row numbers fit a byte");

static unsigned list_of(uint32_t word)
{
	if (!rv_word_is_compressed(word))
		return (word >> 2) & 31;
	return 32 + ((word & 3) << 3 | ((word >> 13) & 7));
}

static void lists_build(void)
{
	for (unsigned id = 1; id < RV_OP_N; id++) {
		unsigned l = list_of(rows[id].match);
		CHECK(list_len[l] < LIST_MAX);
		lists[l][list_len[l]++] = (uint8_t)id;
	}
}

void rv_decode_init(void)
{
	CHECK(pthread_once(&lists_once, lists_build) == 0);
}

const struct rv_row *rv_row(enum rv_op id)
{
	CHECK(id < RV_OP_N);
	return &rows[id];
}

const char *rv_format_operands(enum rv_format fmt)
{
	CHECK(fmt < RV_FMT_N);
	return operands[fmt];
}

/* Bits hi..lo of the word. */
static inline uint32_t bits(uint32_t w, unsigned hi, unsigned lo)
{
	return (w >> lo) & ((UINT32_C(2) << (hi - lo)) - 1);
}

/* Sign-extend an n-bit number. */
static inline int32_t sext(uint32_t v, unsigned n)
{
	return (int32_t)(v << (32 - n)) >> (32 - n);
}

static inline uint8_t xd(uint32_t r)
{
	return r == 0 ? RV_REG_SINK : (uint8_t)r;
}

/* Registers x8..x15 of compressed formats. */
static inline uint8_t creg(uint32_t w, unsigned lo)
{
	return (uint8_t)(8 + bits(w, lo + 2, lo));
}

static int32_t imm_j(uint32_t w)
{
	return sext(bits(w, 31, 31) << 20 | bits(w, 19, 12) << 12 | bits(w, 20, 20) << 11 |
			    bits(w, 30, 21) << 1,
		21);
}

static int32_t imm_b(uint32_t w)
{
	return sext(bits(w, 31, 31) << 12 | bits(w, 7, 7) << 11 | bits(w, 30, 25) << 5 |
			    bits(w, 11, 8) << 1,
		13);
}

static int32_t imm_cj(uint32_t w)
{
	return sext(bits(w, 12, 12) << 11 | bits(w, 8, 8) << 10 | bits(w, 10, 9) << 8 |
			    bits(w, 6, 6) << 7 | bits(w, 7, 7) << 6 | bits(w, 2, 2) << 5 |
			    bits(w, 11, 11) << 4 | bits(w, 5, 3) << 1,
		12);
}

static int32_t imm_cb(uint32_t w)
{
	return sext(bits(w, 12, 12) << 8 | bits(w, 6, 5) << 6 | bits(w, 2, 2) << 5 |
			    bits(w, 11, 10) << 3 | bits(w, 4, 3) << 1,
		9);
}

/* Static rounding modes 5 and 6 are reserved; 7 is dynamic. */
static bool rm_ok(uint8_t rm)
{
	return rm != 5 && rm != 6;
}

/* Fields of the 32-bit formats. False: the fields make it no instruction. */
static bool fields_32(uint32_t w, enum rv_format fmt, struct rv_insn *d)
{
	uint8_t rd = (uint8_t)bits(w, 11, 7);

	d->rd = xd(rd);
	d->rs1 = (uint8_t)bits(w, 19, 15);
	d->rs2 = (uint8_t)bits(w, 24, 20);
	d->rs3 = (uint8_t)bits(w, 31, 27);
	d->rm = (uint8_t)bits(w, 14, 12);
	switch (fmt) {
	case RV_FMT_I:
	case RV_FMT_L:
		d->imm = sext(bits(w, 31, 20), 12);
		return true;
	case RV_FMT_FL:
		d->imm = sext(bits(w, 31, 20), 12);
		d->rd = rd;
		return true;
	case RV_FMT_SH:
		d->imm = (int32_t)bits(w, 25, 20);
		return true;
	case RV_FMT_S:
	case RV_FMT_FS:
		d->imm = sext(bits(w, 31, 25) << 5 | bits(w, 11, 7), 12);
		return true;
	case RV_FMT_B:
		d->imm = imm_b(w);
		return true;
	case RV_FMT_U:
		d->imm = (int32_t)(w & 0xfffff000);
		return true;
	case RV_FMT_J:
		d->imm = imm_j(w);
		return true;
	case RV_FMT_CSR:
	case RV_FMT_CSRI:
	case RV_FMT_FENCE:
		d->imm = (int32_t)bits(w, 31, 20);
		return true;
	case RV_FMT_FR:
	case RV_FMT_FX:
		d->rd = rd;
		return true;
	case RV_FMT_FRM:
	case RV_FMT_FUM:
	case RV_FMT_FR4:
	case RV_FMT_FXM:
		d->rd = rd;
		return rm_ok(d->rm);
	case RV_FMT_XFM:
		return rm_ok(d->rm);
	default:
		return true;
	}
}

/* Compressed loads, stores and their sp-relative forms. */
static bool fields_16_mem(uint32_t w, enum rv_format fmt, struct rv_insn *d)
{
	int32_t off_w = (int32_t)(bits(w, 5, 5) << 6 | bits(w, 12, 10) << 3 | bits(w, 6, 6) << 2);
	int32_t off_d = (int32_t)(bits(w, 6, 5) << 6 | bits(w, 12, 10) << 3);

	d->rs1 = creg(w, 7);
	d->rd = d->rs2 = creg(w, 2);
	switch (fmt) {
	case RV_FMT_CL_W:
	case RV_FMT_CS_W:
		d->imm = off_w;
		return true;
	case RV_FMT_CL_D:
	case RV_FMT_CS_D:
	case RV_FMT_CFL_D:
	case RV_FMT_CFS_D:
		d->imm = off_d;
		return true;
	case RV_FMT_CLSP_W:
	case RV_FMT_CLSP_D:
	case RV_FMT_CFLSP_D:
		d->rs1 = 2;
		d->rd = (uint8_t)bits(w, 11, 7);
		d->imm = fmt == RV_FMT_CLSP_W
				 ? (int32_t)(bits(w, 3, 2) << 6 | bits(w, 12, 12) << 5 |
					     bits(w, 6, 4) << 2)
				 : (int32_t)(bits(w, 4, 2) << 6 | bits(w, 12, 12) << 5 |
					     bits(w, 6, 5) << 3);
		return fmt == RV_FMT_CFLSP_D || d->rd != 0; /* c.lwsp, c.ldsp with rd=0: reserved */
	case RV_FMT_CSSP_W:
	case RV_FMT_CSSP_D:
	case RV_FMT_CFSSP_D:
		d->rs1 = 2;
		d->rs2 = (uint8_t)bits(w, 6, 2);
		d->imm = fmt == RV_FMT_CSSP_W
				 ? (int32_t)(bits(w, 8, 7) << 6 | bits(w, 12, 9) << 2)
				 : (int32_t)(bits(w, 9, 7) << 6 | bits(w, 12, 10) << 3);
		return true;
	default:
		UNREACHABLE();
	}
}

/* Compressed arithmetic, jumps and branches. */
static bool fields_16(uint32_t w, enum rv_format fmt, struct rv_insn *d)
{
	uint8_t r = (uint8_t)bits(w, 11, 7);
	uint32_t imm6 = bits(w, 12, 12) << 5 | bits(w, 6, 2);

	d->rd = xd(r);
	d->rs1 = r;
	d->rs2 = (uint8_t)bits(w, 6, 2);
	d->imm = sext(imm6, 6);
	switch (fmt) {
	case RV_FMT_NONE:
	case RV_FMT_CI:
	case RV_FMT_CADD:
		return true;
	case RV_FMT_CI_RD:
		return r != 0;
	case RV_FMT_CLI:
		d->rs1 = 0;
		return true;
	case RV_FMT_CMV:
		d->rs1 = 0;
		return true;
	case RV_FMT_CIW:
		d->rd = creg(w, 2);
		d->rs1 = 2;
		d->imm = (int32_t)(bits(w, 10, 7) << 6 | bits(w, 12, 11) << 4 | bits(w, 5, 5) << 3 |
				   bits(w, 6, 6) << 2);
		return d->imm != 0;
	case RV_FMT_CI_16SP:
		d->imm = sext(bits(w, 12, 12) << 9 | bits(w, 4, 3) << 7 | bits(w, 5, 5) << 6 |
				      bits(w, 2, 2) << 5 | bits(w, 6, 6) << 4,
			10);
		return d->imm != 0;
	case RV_FMT_CLUI:
		d->imm = (int32_t)((uint32_t)sext(imm6, 6) << 12);
		return d->imm != 0;
	case RV_FMT_CI_SH:
		d->imm = (int32_t)imm6;
		return true;
	case RV_FMT_CB_SH:
		d->rd = d->rs1 = creg(w, 7);
		d->imm = (int32_t)imm6;
		return true;
	case RV_FMT_CB_I:
		d->rd = d->rs1 = creg(w, 7);
		return true;
	case RV_FMT_CA:
		d->rd = d->rs1 = creg(w, 7);
		d->rs2 = creg(w, 2);
		return true;
	case RV_FMT_CJ:
		d->rd = RV_REG_SINK;
		d->imm = imm_cj(w);
		return true;
	case RV_FMT_CB:
		d->rs1 = creg(w, 7);
		d->rs2 = 0;
		d->imm = imm_cb(w);
		return true;
	case RV_FMT_CJR:
		d->rd = RV_REG_SINK;
		d->imm = 0;
		return r != 0;
	case RV_FMT_CJALR:
		d->rd = 1;
		d->imm = 0;
		return r != 0;
	default:
		return fields_16_mem(w, fmt, d);
	}
}

enum rv_op rv_decode_row(uint32_t word)
{
	unsigned l = list_of(word);
	uint32_t w = rv_word_is_compressed(word) ? word & 0xffff : word;

	for (unsigned i = 0; i < list_len[l]; i++) {
		const struct rv_row *row = &rows[lists[l][i]];
		if ((w & row->mask) == row->match)
			return (enum rv_op)lists[l][i];
	}
	return RV_OP_illegal;
}

void rv_decode(uint32_t word, struct rv_insn *out)
{
	enum rv_op id = rv_decode_row(word);
	const struct rv_row *row = &rows[id];
	bool compressed = rv_word_is_compressed(word);

	memset(out, 0, sizeof(*out));
	out->word = word;
	out->len = compressed ? 2 : 4;
	if (id == RV_OP_illegal)
		return;
	if (compressed ? fields_16(word & 0xffff, row->fmt, out) : fields_32(word, row->fmt, out))
		out->op = (uint16_t)row->op;
}
