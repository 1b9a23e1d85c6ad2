/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "vcpu/rv64/rv_decode.h"

static const char *const xname[33] = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
	"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8",
	"s9", "s10", "s11", "t3", "t4", "t5", "t6", "zero"};
static const char *const fname[32] = {"ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0",
	"fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5",
	"fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};
static const char *const rmname[8] = {"rne", "rtz", "rdn", "rup", "rmm", "?", "?", "dyn"};

/* One operand, letters as in rv_format.def. Returns what snprintf would. */
static int operand(char letter, const struct rv_insn *d, uint64_t pc, char *buf, size_t size)
{
	switch (letter) {
	case 'd':
		return snprintf(buf, size, "%s", xname[d->rd]);
	case 's':
		return snprintf(buf, size, "%s", xname[d->rs1]);
	case 't':
		return snprintf(buf, size, "%s", xname[d->rs2]);
	case 'D':
		return snprintf(buf, size, "%s", fname[d->rd & 31]);
	case 'S':
		return snprintf(buf, size, "%s", fname[d->rs1]);
	case 'T':
		return snprintf(buf, size, "%s", fname[d->rs2]);
	case 'R':
		return snprintf(buf, size, "%s", fname[d->rs3]);
	case 'i':
		return snprintf(buf, size, "%d", d->imm);
	case 'u':
		return snprintf(buf, size, "0x%x", (uint32_t)d->imm >> 12);
	case 'o':
		return snprintf(
			buf, size, "0x%llx", (unsigned long long)(pc + (uint64_t)(int64_t)d->imm));
	case 'm':
		return snprintf(buf, size, "%d(%s)", d->imm, xname[d->rs1]);
	case 'a':
		return snprintf(buf, size, "(%s)", xname[d->rs1]);
	case 'c':
		return snprintf(buf, size, "0x%x", (unsigned)d->imm);
	case 'z':
		return snprintf(buf, size, "%u", d->rs1);
	case 'r':
		return snprintf(buf, size, "%s", rmname[d->rm]);
	default:
		UNREACHABLE();
	}
}

void rv_disas(uint32_t word, uint64_t pc, char *buf, size_t size)
{
	struct rv_insn d;
	rv_decode(word, &d);

	CHECK(size > 0);
	if (d.op == RV_OP_illegal) {
		snprintf(buf, size, "illegal 0x%x", d.len == 2 ? word & 0xffff : word);
		return;
	}
	const struct rv_row *row = rv_row(rv_decode_row(word));
	int n = snprintf(buf, size, "%s", row->text);
	const char *sep = " ";
	for (const char *p = rv_format_operands(row->fmt); *p != '\0'; p++) {
		if (n < 0 || (size_t)n >= size)
			return;
		n += snprintf(buf + n, size - (size_t)n, "%s", sep);
		if (n < 0 || (size_t)n >= size)
			return;
		n += operand(*p, &d, pc, buf + n, size - (size_t)n);
		sep = ",";
	}
}
