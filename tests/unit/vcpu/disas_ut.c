/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/ut.h"
#include "vcpu/rv64/rv_decode.h"

UT_SUITE_WITH(disas, rv_decode_init, NULL);

static const char *text(uint32_t word)
{
	static char buf[64];
	rv_disas(word, 0x1000, buf, sizeof(buf));
	return buf;
}

UT_TEST(texts)
{
	UT_EQ_STR(text(0xfff50513), "addi a0,a0,-1");
	UT_EQ_STR(text(0x0005b503), "ld a0,0(a1)");
	UT_EQ_STR(text(0x00b53423), "sd a1,8(a0)");
	UT_EQ_STR(text(0x00000063), "beq zero,zero,0x1000");
	UT_EQ_STR(text(0x0080006f), "jal zero,0x1008");
	UT_EQ_STR(text(0x000015b7), "lui a1,0x1");
	UT_EQ_STR(text(0x02b57553), "fadd.d fa0,fa0,fa1,dyn");
	UT_EQ_STR(text(0x180515f3), "csrrw a1,0x180,a0");
	UT_EQ_STR(text(0x100522af), "lr.w t0,(a0)");
	UT_EQ_STR(text(0x0000), "illegal 0x0");
	UT_EQ_STR(text(0x1141), "c.addi sp,sp,-16");
}

UT_TEST(a_short_buffer_cuts)
{
	char buf[6] = "xxxxx";
	rv_disas(0xfff50513, 0, buf, sizeof(buf));
	UT_EQ_STR(buf, "addi ");
}

UT_TEST(every_row_has_text)
{
	for (unsigned id = 1; id < RV_OP_N; id++) {
		char buf[64];
		/* Nonzero fields, as most formats want some. */
		uint32_t match = rv_row((enum rv_op)id)->match;
		rv_disas(match, 0, buf, sizeof(buf));
		UT_CHECK(strlen(buf) > 0);
	}
}
