/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases that `gen` wrote: random registers, then the case, then one line with hashes of
 * the registers, the traps and the memory. With VERBOSE_CASE defined, that case prints its whole
 * state too.
 */
#include "rt.h"

extern const struct {
	uint64_t start, end;
} cases[];
extern const uint64_t cases_n, cases_seed;
extern uint8_t sandbox[8192];

#ifndef VERBOSE_CASE
#define VERBOSE_CASE (-1)
#endif

static uint64_t state;
static uint64_t case_start, case_end, traps, traps_hash;
static bool verbose;

static uint64_t rnd(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x100000001b3;
	return h ^ h >> 29;
}

static uint64_t random_x(void)
{
	static const uint64_t special[] = {0, 1, 2, -1UL, -2UL, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffff80000000, 0x100000000, 31, 32, 63,
		64, 0x7ff, -0x800UL};
	uint64_t r = rnd();
	if (r % 3 == 0)
		return special[r / 3 % ARRAY_SIZE(special)];
	return r % 3 == 1 ? rnd() >> (r >> 8 & 63) : rnd();
}

static uint64_t random_d(void)
{
	static const uint64_t special[] = {0, 0x8000000000000000, 0x3ff0000000000000,
		0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
		0x7ff0000000000001, 0xfff8dead00000000, 1, 0x8000000000000001, 0x000fffffffffffff,
		0x0010000000000000, 0x8010000000000000, 0x7fefffffffffffff, 0xffefffffffffffff,
		0x43e0000000000000, 0xc3e0000000000000, 0x43f0000000000000, 0x41e0000000000000,
		0x41dfffffffc00000, 0xc1e0000000000000, 0xc1e0000000200000, 0x3fe0000000000000,
		0xbfe0000000000000, 0x3ff8000000000000, 0x4004000000000000, 0x4330000000000001,
		0x3ca0000000000000, 0x3cb0000000000000, 0x7fdfffffffffffff, 0x0020000000000000,
		0x36a0000000000000, 0x47efffffe0000000, 0x380fffffe0000000};
	uint64_t r = rnd();
	if (r % 4 < 2)
		return special[r / 4 % ARRAY_SIZE(special)] + (r % 4 == 1 ? (r >> 20 & 3) - 1 : 0);
	if (r % 4 == 2) /* near 1, few bits: sums and products that are exact or ties */
		return 0x3fe0000000000000 + ((r >> 10 & 0x3f) << 50) +
		       ((r >> 20 & 7) << (r >> 24 & 48));
	return rnd();
}

static uint64_t random_s(void)
{
	static const uint32_t special[] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
		0xff800000, 0x7fc00000, 0x7f800001, 0xffc12345, 1, 0x80000001, 0x007fffff,
		0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x5f000000, 0xdf000000, 0x5f800000,
		0x4f000000, 0xcf000000, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000, 0x4b000001,
		0x33800000, 0x34000000, 0x7effffff, 0x01000000};
	uint64_t r = rnd();
	uint64_t box = r % 16 == 0 ? rnd() << 32 : 0xffffffff00000000;
	if (r % 4 < 2)
		return box | (uint32_t)(special[r / 4 % ARRAY_SIZE(special)] +
					(r % 4 == 1 ? (r >> 20 & 3) - 1 : 0));
	if (r % 4 == 2)
		return box | (0x3f000000 + (uint32_t)((r >> 10 & 0x3f) << 21) +
				     (uint32_t)((r >> 20 & 7) << (r >> 24 & 16)));
	return box | (uint32_t)rnd();
}

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	uint64_t cause = csr_read(scause), tval = csr_read(stval);

	if (f->pc == case_end)
		return false;
	traps++;
	traps_hash = mix(mix(mix(mix(traps_hash, cause), f->pc), tval), sstatus);
	if (verbose)
		print("  trap cause %lx pc+%lx tval %lx sstatus %lx\n", cause, f->pc - case_start,
			tval, sstatus);
	f->pc += insn_len(f->pc);
	return true;
}

static void run_case(uint64_t n)
{
	static struct frame f;
	uint64_t hx = 0, hf = 0, hm = 0;

	state = cases_seed * 0x9e3779b97f4a7c15 + n;
	for (unsigned i = 1; i < 32; i++)
		f.x[i] = random_x();
	for (unsigned i = 0; i < 32; i++)
		f.f[i] = (rnd() & 1) != 0 ? random_d() : random_s();
	for (unsigned i = 0; i < sizeof(sandbox) / 8; i++)
		((uint64_t *)sandbox)[i] = rnd();
	f.fcsr = (uint32_t)(rnd() % 6) << 5; /* a reserved mode now and then */
	f.pc = case_start = cases[n].start;
	case_end = cases[n].end;
	traps = traps_hash = 0;
	verbose = n == (uint64_t)(long)VERBOSE_CASE;
	csr_write(scounteren, 0);
	csr_write(senvcfg, 0);
	csr_set(sstatus, 0x100);
	frame_run(&f);
	for (unsigned i = 1; i < 32; i++)
		hx = mix(hx, f.x[i]);
	for (unsigned i = 0; i < 32; i++)
		hf = mix(hf, f.f[i]);
	for (unsigned i = 0; i < sizeof(sandbox) / 8; i++)
		hm = mix(hm, ((uint64_t *)sandbox)[i]);
	print("case %lu x %016lx f %016lx fcsr %x mem %016lx traps %lu %016lx\n", n, hx, hf, f.fcsr,
		hm, traps, traps_hash);
	for (unsigned i = 0; verbose && i < 32; i++)
		print("  x%d %016lx f%d %016lx\n", (int)i, f.x[i], (int)i, f.f[i]);
}

int main(void)
{
	print("begin\n");
	for (uint64_t n = 0; n < cases_n; n++)
		run_case(n);
	print("end\n");
	return 0;
}
