/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_decode.h"

#include "base/rng.h"
#include "tests/lib/ut.h"

UT_SUITE_WITH(decode, rv_decode_init, NULL);

static uint32_t significant(const struct rv_row *row)
{
	return rv_word_is_compressed(row->match) ? 0xffff : UINT32_MAX;
}

UT_TEST(every_row_matches_itself)
{
	for (unsigned id = 1; id < RV_OP_N; id++) {
		const struct rv_row *row = rv_row((enum rv_op)id);
		UT_EQ(row->match & ~row->mask, 0);
		UT_EQ(row->mask & ~significant(row), 0);
		/* Or a more special row does: c.mv with rs2 = 0 is c.jr. */
		const struct rv_row *got = rv_row(rv_decode_row(row->match));
		UT_CHECK(got == row || ((got->mask & row->mask) == row->mask && got < row));
		UT_CHECK(strlen(row->text) > 0);
	}
}

/* A word that two rows match belongs to the more special one, which must come first. */
UT_TEST(rows_overlap_only_where_one_is_special)
{
	for (unsigned i = 1; i < RV_OP_N; i++) {
		for (unsigned j = i + 1; j < RV_OP_N; j++) {
			const struct rv_row *a = rv_row((enum rv_op)i), *b = rv_row((enum rv_op)j);
			if (rv_word_is_compressed(a->match) != rv_word_is_compressed(b->match))
				continue;
			uint32_t both = a->mask & b->mask;
			if ((a->match & both) == (b->match & both) &&
				((a->mask | b->mask) != a->mask))
				UT_FAIL("%s and %s overlap", a->text, b->text);
		}
	}
}

UT_TEST(random_fields_stay_with_their_row)
{
	struct rng rng;
	rng_init(&rng, ut_seed());
	for (unsigned n = 0; n < 200000; n++) {
		const struct rv_row *row = rv_row((enum rv_op)(1 + rng_below(&rng, RV_OP_N - 1)));
		uint32_t w = ((uint32_t)rng_u64(&rng) & significant(row) & ~row->mask) | row->match;
		const struct rv_row *got = rv_row(rv_decode_row(w));
		UT_CHECK((w & got->mask) == got->match);
		UT_CHECK((got->mask & row->mask) == row->mask);
		struct rv_insn d;
		rv_decode(w, &d);
		UT_CHECK(d.op == RV_OP_illegal || d.op == (uint16_t)got->op);
		UT_EQ(d.len, rv_word_is_compressed(w) ? 2 : 4);
		UT_CHECK(d.rd <= RV_REG_SINK && d.rs1 < 32 && d.rs2 < 32 && d.rs3 < 32);
	}
}

UT_TEST(reserved_words_are_illegal)
{
	static const uint32_t words[] = {
		0x00000000,             /* all zeros */
		0x00008000,             /* the reserved row of quadrant 0 */
		0x00002001,             /* c.addiw x0 */
		0x00004002,             /* c.lwsp x0 */
		0x00006002,             /* c.ldsp x0 */
		0x00008002,             /* c.jr x0 */
		0x00006101,             /* c.addi16sp 0 */
		0x00006081,             /* c.lui ra, 0 */
		0x0000000c,             /* c.addi4spn with a zero immediate */
		0xffffffff, 0x00005053, /* fadd.s with rounding mode 5 */
		0x02006053,             /* fadd.d with rounding mode 6 */
		0x0000205b, 0x30200073, /* mret */
		0x06000053,             /* quad precision */
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct rv_insn d;
		rv_decode(words[i], &d);
		UT_EQ(d.op, RV_OP_illegal);
	}
}

UT_TEST(compressed_expand)
{
	struct rv_insn d;

	rv_decode(0x1141, &d); /* c.addi sp, -16 */
	UT_CHECK(d.op == RV_OP_addi && d.rd == 2 && d.rs1 == 2 && d.imm == -16 && d.len == 2);
	rv_decode(0xabcd8082, &d); /* c.jr ra, with what follows above it */
	UT_CHECK(d.op == RV_OP_jalr && d.rd == RV_REG_SINK && d.rs1 == 1 && d.imm == 0);
	rv_decode(0x60e2, &d); /* c.ldsp ra, 24(sp) */
	UT_CHECK(d.op == RV_OP_ld && d.rd == 1 && d.rs1 == 2 && d.imm == 24);
	rv_decode(0xbfd9, &d); /* c.j -42 */
	UT_CHECK(d.op == RV_OP_jal && d.imm == -42);
	rv_decode(0x717d, &d); /* c.addi16sp -16 */
	UT_CHECK(d.op == RV_OP_addi && d.rd == 2 && d.imm == -16);
}

UT_TEST(writes_to_x0_go_to_the_sink)
{
	struct rv_insn d;
	rv_decode(0x00000013, &d); /* addi x0, x0, 0 */
	UT_EQ(d.rd, RV_REG_SINK);
	rv_decode(0x00007053, &d); /* fadd.s ft0, ft0, ft0: a real register 0 */
	UT_EQ(d.rd, 0);
}
