/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator beside the interpreter: random programs of all instructions that compute, access
 * memory, branch forwards and loop, on hart 0 (interpreted) and a hart that translates from the
 * first arrival, from the same state. Everything must end alike: registers, traps, counts, memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/vcpu/rig.h"
#include "vcpu/rv64/rv_mmu.h"

#define PROGRAMS   3000 /* and twenty times as many in the long form */
#define INSNS      48   /* of most programs */
#define INSNS_MAX  320  /* of some: more than a region has */
#define DATA_BYTES 16384u
#define SAVE       (RIG_DATA + DATA_BYTES)
#define HANDLER    (RIG_CODE + 0x10000)

static uint64_t state, executed;

static void before(void)
{
	rig_up();
	rv_decode_init();
}

UT_SUITE_WITH(jit, before, rig_down);

static uint32_t rnd(uint32_t below)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(state >> 33) % below;
}

static uint64_t rnd64(void)
{
	uint64_t high = (uint64_t)rnd(UINT32_C(1) << 31) << 33;
	return high ^ (uint64_t)rnd(UINT32_C(1) << 31) << 16 ^ rnd(UINT32_C(1) << 31);
}

/* ---- programs ------------------------------------------------------------------------------ */

/* Registers that programs never write: the loop's counter, pointers, and where the end saves. */
#define COUNTER 31u
#define SAVER   3u
/* Of auipc and jalr pairs, between which nothing goes; and what links are in. */
#define AUIPC_RD 6u
static const uint8_t links[] = {0, 1, 5, 10, 30};
static const uint8_t pointers[] = {2, 8, 9, 20};

static bool may_write(unsigned rd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++)
		if (rd == pointers[i])
			return false;
	return rd != COUNTER && rd != SAVER;
}

/* Points into the program, as far as one instruction knows. */
static bool is_code(unsigned reg)
{
	for (unsigned i = 1; i < ARRAY_SIZE(links); i++)
		if (reg == links[i])
			return true;
	return reg == AUIPC_RD;
}

static bool computes(enum rv_op op)
{
	switch (op) {
	case RV_OP_illegal:
	case RV_OP_jal:
	case RV_OP_jalr:
	case RV_OP_beq:
	case RV_OP_bne:
	case RV_OP_blt:
	case RV_OP_bge:
	case RV_OP_bltu:
	case RV_OP_bgeu:
	case RV_OP_ecall:
	case RV_OP_sret:
	case RV_OP_wfi:
		return false;
	default:
		return true;
	}
}

/* CSRs whose values do not depend on when the hart looked up. */
static uint32_t with_csr(uint32_t word)
{
	static const uint16_t numbers[] = {1, 2, 3, 0x100, 0x140, 0x141, 0x142, 0x143, 0xc02};
	return (word & 0xfffff) | (uint32_t)numbers[rnd(ARRAY_SIZE(numbers))] << 20;
}

static bool accesses(enum rv_format fmt)
{
	switch (fmt) {
	case RV_FMT_L:
	case RV_FMT_S:
	case RV_FMT_FL:
	case RV_FMT_FS:
	case RV_FMT_AMO:
	case RV_FMT_LR:
	case RV_FMT_CBO:
	case RV_FMT_CL_W:
	case RV_FMT_CL_D:
	case RV_FMT_CFL_D:
	case RV_FMT_CS_W:
	case RV_FMT_CS_D:
	case RV_FMT_CFS_D:
		return true;
	default:
		return false;
	}
}

/* A base that points to memory; often an offset that keeps it aligned. */
static uint32_t with_pointer(uint32_t word)
{
	if (rv_word_is_compressed(word))
		return (word & ~(7u << 7)) | rnd(2) << 7; /* s0, s1 */
	word = (word & ~(31u << 15)) | (uint32_t)pointers[rnd(ARRAY_SIZE(pointers))] << 15;
	if ((word & 0x7f) == 0x03 || (word & 0x7f) == 0x07) /* loads: bits 31:20 */
		return rnd(8) == 0 ? word : word & ~(UINT32_C(7) << 20);
	if ((word & 0x7f) == 0x23 || (word & 0x7f) == 0x27) /* stores: low bits in 11:7 */
		return rnd(8) == 0 ? word : word & ~(UINT32_C(7) << 7);
	return word;
}

static uint32_t random_insn(void)
{
	for (;;) {
		enum rv_op id = (enum rv_op)(1 + rnd(RV_OP_N - 1));
		const struct rv_row *row = rv_row(id);
		uint32_t word = row->match | (rnd(UINT32_C(1) << 31) << 1 & ~row->mask);
		struct rv_insn d;

		if (rv_word_is_compressed(word))
			word &= 0xffff;
		if (!computes(row->op))
			continue;
		if (row->fmt == RV_FMT_CSR || row->fmt == RV_FMT_CSRI)
			word = with_csr(word);
		rv_decode(word, &d);
		if (d.op != RV_OP_illegal && accesses(row->fmt) && rnd(24) != 0)
			word = with_pointer(word);
		rv_decode(word, &d);
		/* c.mv of x0 is c.jr. */
		if (!computes((enum rv_op)d.op) || (accesses(row->fmt) && is_code(d.rs1)))
			continue;
		if (d.op != RV_OP_illegal && may_write(d.rd) &&
			(d.op != RV_OP_ebreak || rnd(8) == 0))
			return word;
	}
}

static uint32_t branch(unsigned how, unsigned rs1, unsigned rs2, int32_t by)
{
	uint32_t o = (uint32_t)by;

	return 0x63 | how << 12 | rs1 << 15 | rs2 << 20 | (o >> 12 & 1) << 31 |
	       (o >> 5 & 63) << 25 | (o >> 1 & 15) << 8 | (o >> 11 & 1) << 7;
}

static uint32_t jal(unsigned rd, int32_t by)
{
	uint32_t o = (uint32_t)by;

	return 0x6f | rd << 7 | (o & 0xff000) | (o >> 11 & 1) << 20 | (o >> 1 & 1023) << 21 |
	       (o >> 20 & 1) << 31;
}

struct program {
	unsigned n;
	uint32_t word[INSNS_MAX];
	uint16_t at[INSNS_MAX + 1];
};

static unsigned length(uint32_t word)
{
	return rv_word_is_compressed(word) ? 2 : 4;
}

/* How control goes on from an instruction. */
enum flow { ON, BRANCH, JAL, AUIPC, JALR };

static uint32_t jump(enum flow flow, int32_t by)
{
	static const uint8_t how[] = {0, 1, 4, 5, 6, 7};
	unsigned link = links[rnd(ARRAY_SIZE(links))];

	switch (flow) {
	case BRANCH:
		return branch(how[rnd(6)], rnd(32), rnd(32), by);
	case JAL:
		return jal(link, by);
	default: /* from where the auipc before it was */
		return (I_ADDI(link, AUIPC_RD, by + 4) & ~UINT32_C(0x7f)) | 0x67;
	}
}

/* What instruction i is; the loop's own are none of these. */
static enum flow choose_flow(unsigned i, enum flow before, unsigned head, unsigned tail)
{
	bool last = i + 1 == head - 1 || i + 1 == tail || i + 1 == tail + 1;

	if (before == AUIPC)
		return JALR;
	if (i == head - 1 || i == tail || i == tail + 1 || rnd(7) != 0)
		return ON;
	return rnd(3) != 0 ? BRANCH : rnd(2) == 0 || last ? JAL : AUIPC;
}

/* A loop in the middle, jumps forward anywhere. */
static void make(struct program *p)
{
	enum flow flow[INSNS_MAX];

	p->n = rnd(4) == 0 ? INSNS + rnd(INSNS_MAX - INSNS) : INSNS;
	unsigned head = 4 + rnd(p->n / 3), tail = head + 3 + rnd(p->n / 3);
	p->at[0] = 0;
	for (unsigned i = 0; i < p->n; i++) {
		flow[i] = choose_flow(i, i == 0 ? ON : flow[i - 1], head, tail);
		p->word[i] = flow[i] == ON ? random_insn() : 0x63;
		if (flow[i] == AUIPC)
			p->word[i] = 0x17 | AUIPC_RD << 7;
		if (i == head - 1)
			p->word[i] = I_ADDI(COUNTER, 0, 1 + rnd(5));
		else if (i == tail)
			p->word[i] = I_ADDI(COUNTER, COUNTER, -1);
		else if (i == tail + 1)
			p->word[i] = 0x63;
		p->at[i + 1] = (uint16_t)(p->at[i] + length(p->word[i]));
	}
	for (unsigned i = 0; i < p->n; i++) {
		unsigned to = i + 1 + rnd(p->n - i);
		/* Past the count it would never end, and without its auipc a jalr may go back. */
		to += to == tail + 1 || (to < p->n && flow[to] == JALR);
		if (flow[i] != ON && flow[i] != AUIPC)
			p->word[i] = jump(flow[i], p->at[to] - p->at[i]);
	}
	p->word[tail + 1] = branch(1, COUNTER, 0, p->at[head] - p->at[tail + 1]);
}

/* At `gpa`, and behind it an ebreak: every end is a trap. */
static void put(const struct program *p, uint64_t gpa)
{
	static const uint32_t ebreak = 0x100073;
	uint8_t *to = rig.ram.host + (gpa - RV64_RAM_BASE);

	for (unsigned i = 0; i < p->n; i++)
		memcpy(to + p->at[i], &p->word[i], length(p->word[i]));
	memcpy(to + p->at[p->n], &ebreak, sizeof(ebreak));
}

static bool is_there(const struct program *p, uint64_t gpa)
{
	const uint8_t *at = rig.ram.host + (gpa - RV64_RAM_BASE);

	for (unsigned i = 0; i < p->n; i++)
		if (memcmp(at + p->at[i], &p->word[i], length(p->word[i])) != 0)
			return false;
	return true;
}

/* Save what the shutdown overwrites, then shut down. */
static void put_handler(void)
{
	static const uint32_t words[] = {0x00a1b023, 0x00b1b423, 0x0101b823,
		0x0111bc23, /* sd a0, 0(gp); a1, 8; a6, 16; a7, 24 */
		I_LUI(17, 0x53525), I_ADDI(17, 17, 0x354), I_ADDI(16, 0, 0), I_ADDI(10, 0, 0),
		I_ADDI(11, 0, 0), I_ECALL};
	memcpy(rig_at(HANDLER), words, sizeof(words));
}

/* ---- running ------------------------------------------------------------------------------- */

static void choose(struct vcpu_state_rv64 *s, uint64_t pc)
{
	static const uint64_t odd[] = {0, 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63, INT32_MIN,
		UINT64_C(0x7ff0000000000000), UINT64_C(0x7ff8000000000001),
		UINT64_C(0xffffffff7f800001), UINT64_C(0xffffffff3f800000),
		UINT64_C(0x3ff0000000000000)};

	memset(s, 0, sizeof(*s));
	for (unsigned i = 1; i < 32; i++)
		s->x[i] = rnd(3) == 0 ? odd[rnd(ARRAY_SIZE(odd))] : rnd64();
	for (unsigned i = 0; i < 32; i++) {
		s->f[i] = rnd(2) == 0 ? odd[rnd(ARRAY_SIZE(odd))] : rnd64();
		if (rnd(2) == 0)
			s->f[i] |= UINT64_C(0xffffffff00000000);
	}
	/* Aligned, odd, near the end of a page, at a device. */
	for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++)
		s->x[pointers[i]] = RIG_DATA + rnd(2) * PAGE_BYTES + 2048 + rnd(128) * 8;
	s->x[pointers[rnd(ARRAY_SIZE(pointers))]] += rnd(3) == 0 ? rnd(8) : 0;
	if (rnd(3) == 0)
		s->x[pointers[rnd(ARRAY_SIZE(pointers))]] = RIG_DATA + PAGE_BYTES - rnd(16);
	if (rnd(8) == 0)
		s->x[pointers[rnd(ARRAY_SIZE(pointers))]] = RIG_DEV;
	s->x[COUNTER] = 3;
	s->x[SAVER] = SAVE;
	s->pc = pc;
	s->stvec = HANDLER;
	s->priv = RV_PRIV_S;
	s->sstatus = rnd(16) == 0 ? 0 : rnd(8) == 0 ? 0x2000 : RV_SSTATUS_FS_DIRTY;
	s->fcsr = rnd(4) == 0 ? rnd(256) : 0;
	s->scounteren = 7;
	s->stimecmp = UINT64_MAX;
	s->hsm = VCPU_STARTED;
	if (rnd(2) == 0) { /* the same addresses, through tables; no devices */
		*rig_at(RIG_TABLES + 16) = RV64_RAM_BASE >> 2 | 0xef;
		s->satp = UINT64_C(8) << 60 | RIG_TABLES >> 12;
	}
}

static void fill(uint64_t seed)
{
	uint64_t *to = rig_at(RIG_DATA);

	for (unsigned i = 0; i < DATA_BYTES / 8; i++)
		to[i] = seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	memset(rig_at(SAVE), 0, 32);
	rig.dev = 0x55;
}

static void run(unsigned hart, const struct vcpu_state_rv64 *from, struct vcpu_state_rv64 *to)
{
	UT_OK(vcpu_rv64_set_state(rig.v[hart], from));
	vcpu_run(rig.v[hart]);
	UT_OK(vcpu_rv64_get_state(rig.v[hart], to));
}

static bool same(const char *what, uint64_t seed, const void *a, const void *b, size_t bytes)
{
	const uint64_t *x = a, *y = b;

	if (memcmp(a, b, bytes) == 0)
		return true;
	for (size_t i = 0; i < bytes / 8; i++)
		if (x[i] != y[i])
			printf("seed %lu: %s, word %zu: %#lx interpreted, %#lx translated\n",
				(unsigned long)seed, what, i, (unsigned long)x[i],
				(unsigned long)y[i]);
	return false;
}

static void dump(const struct program *p)
{
	char text[64];

	for (unsigned i = 0; i < p->n; i++) {
		rv_disas(p->word[i], p->at[i], text, sizeof(text));
		printf("%4x: %s\n", p->at[i], text);
	}
}

static bool one(uint64_t seed, unsigned translated)
{
	static uint8_t memory[DATA_BYTES + 32];
	struct vcpu_state_rv64 s, a, b;
	struct program p;

	state = seed;
	uint64_t pc = RIG_CODE + rnd(2) * (4096 - 100) + rnd(64) * 2;
	make(&p);
	put(&p, pc);
	put_handler();
	choose(&s, pc);
	fill(seed);
	run(0, &s, &a);
	if (!is_there(&p, pc))
		return true; /* It has changed itself, and knows no fence.i. */
	memcpy(memory, rig_at(RIG_DATA), sizeof(memory));
	uint64_t dev = rig.dev;
	fill(seed);
	run(translated, &s, &b);
	executed += b.instret - s.instret;
	bool ok = same("state", seed, &a, &b, sizeof(a) / 8 * 8);
	ok &= same("memory", seed, memory, rig_at(RIG_DATA), sizeof(memory));
	ok &= same("device", seed, &dev, &rig.dev, 8);
	if (!ok)
		dump(&p);
	return ok;
}

static void compare(unsigned translated)
{
	const char *text = getenv("JIT_SEED");
	uint64_t first = text != NULL ? strtoull(text, NULL, 0) : 1;
	const char *longer = getenv("MB_LONG");
	uint64_t n = text != NULL                          ? 1
		     : longer != NULL && longer[0] != '\0' ? PROGRAMS * 20
							   : PROGRAMS;
	struct vcpu_stats st;

	executed = 0;
	for (uint64_t seed = first; seed < first + n; seed++)
		if (!one(seed, translated)) {
			UT_CHECK(!"the two differ; JIT_SEED=N repeats it");
			return;
		}
	vcpu_stats_get(rig.v[translated], &st);
	UT_CHECK(st.blocks >= n);
	/* Programs that trap at once would show nothing. */
	UT_CHECK(n == 1 || executed > n * INSNS / 2);
}

UT_TEST(random_programs_end_alike)
{
	compare(RIG_TRANSLATED);
}

UT_TEST(also_without_the_newer_instructions_of_the_host)
{
	compare(RIG_BASELINE);
}

UT_TEST(seeds_that_once_differed)
{
	/* A pair of LR and SC with floating point between, for which the interpreter went on. */
	UT_CHECK(one(18651, RIG_TRANSLATED));
}

/* ---- the map file that perf reads ---------------------------------------------------------- */

/* Does code of the map lie in a mapping that perf takes for anonymous, and would look it up for? */
static bool perf_asks_for(uint64_t at, uint64_t bytes)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512], exec;
	bool found = false;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		found |= sscanf(line, "%lx-%lx %*c%*c%c", &from, &to, &exec) == 3 && exec == 'x' &&
			 from <= at && at + bytes <= to && strstr(line, " /dev/zero") != NULL;
	fclose(f);
	return found;
}

static void translated_again_with_map(void)
{
	struct vcpu_cfg cfg = {.id = {RIG_TRANSLATED},
		.slot = RIG_TRANSLATED,
		.svadu = true,
		.jit = true,
		.jit_threshold = 1,
		.jit_perf_map = true};

	vcpu_destroy(rig.v[RIG_TRANSLATED]);
	CHECK(vcpu_rv64_create(&cfg, &rig.env, &rig.v[RIG_TRANSLATED]) == 0);
	rig.h[RIG_TRANSLATED] = rv_hart_of(rig.v[RIG_TRANSLATED]);
}

UT_TEST(perf_map_has_every_block)
{
	char path[64], line[128], name[64];
	unsigned long at, bytes, known = 0, fixed = 0;
	struct vcpu_state_rv64 s, end;
	struct vcpu_stats st;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	(void)unlink(path);
	translated_again_with_map();
	rig_code(NULL, 0);
	choose(&s, RIG_CODE);
	run(RIG_TRANSLATED, &s, &end);
	vcpu_stats_get(rig.v[RIG_TRANSLATED], &st);
	UT_CHECK(st.blocks > 0);
	UT_CHECK(st.code_ns > 0);

	FILE *f = fopen(path, "r");
	(void)unlink(path);
	UT_CHECK(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx %lx %63[^\n]", &at, &bytes, name) != 3 ||
			!perf_asks_for(at, bytes))
			break;
		fixed += strncmp(name, "translator: ", 12) == 0;
		known += strncmp(name, "guest 0x", 8) == 0;
	}
	bool all = feof(f);
	fclose(f);
	UT_CHECK(all);
	UT_EQ(fixed, 1);
	UT_EQ(known, st.blocks);
}

/* ---- a lone vCPU ---------------------------------------------------------------------------- */

#define FENCES 8
/* Bytes of code of so many stores, fences and loads on a machine of one vCPU. */
static uint64_t fence_bytes(bool fenceless)
{
	uint32_t code[3 * FENCES];
	struct vcpu_env env = rig.env;
	struct vcpu_cfg cfg = {.jit = true, .jit_threshold = 1};
	struct vcpu_state_rv64 s, end;
	struct vcpu_stats st;

	env.n_vcpus.v = 1;
	env.fenceless = fenceless;
	vcpu_destroy(rig.v[0]);
	CHECK(vcpu_rv64_create(&cfg, &env, &rig.v[0]) == 0);
	rig.h[0] = rv_hart_of(rig.v[0]);
	for (unsigned i = 0; i < ARRAY_SIZE(code); i += 3) {
		code[i] = I_SD(12, 13);
		code[i + 1] = I_FENCE;
		code[i + 2] = I_LD(14, 13, 0);
	}
	rig_code(code, ARRAY_SIZE(code));
	s = (struct vcpu_state_rv64){
		.pc = RIG_CODE, .priv = RV_PRIV_S, .stimecmp = UINT64_MAX, .hsm = VCPU_STARTED};
	s.x[12] = 1;
	s.x[13] = RIG_DATA;
	run(0, &s, &end);
	UT_EQ(end.x[14], 1);
	vcpu_stats_get(rig.v[0], &st);
	return st.code_bytes;
}

UT_TEST(the_fences_of_a_lone_vcpu_go_where_devices_order_both_sides)
{
	/* lock orl $0, -64(%rsp); a block begins at a multiple of 16 */
	UT_EQ(fence_bytes(false), fence_bytes(true) + 6 * FENCES);
}
