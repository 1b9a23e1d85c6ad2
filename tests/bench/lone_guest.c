/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory as a bare-metal S-mode program sees it: what `tests/bench/run --only lone` times. A line
 * for each kernel: name, ticks, and a sum of what it has computed.
 */
#include "rt.h"

#define AREA       ((uint64_t *)0x84000000)
#define AREA_WORDS (64u << 20 >> 3)
#define LINE_WORDS 8u
#define LINES      (AREA_WORDS / LINE_WORDS)

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	return false;
}

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 32) * n >> 32);
}

/* One circle through all lines (Sattolo): each load needs the one before. */
static void circle_make(void)
{
	for (uint32_t i = 0; i < LINES; i++)
		AREA[i * LINE_WORDS] = i;
	for (uint32_t i = LINES - 1; i > 0; i--) {
		uint32_t j = random_below(i);
		uint64_t t = AREA[i * LINE_WORDS];
		AREA[i * LINE_WORDS] = AREA[j * LINE_WORDS];
		AREA[j * LINE_WORDS] = t;
	}
}

static uint64_t chase(void)
{
	uint64_t at = 0;
	for (unsigned i = 0; i < 2000000; i++)
		at = AREA[at * LINE_WORDS];
	return at;
}

static uint64_t stream(void)
{
	uint64_t sum = 0;
	for (unsigned round = 0; round < 40; round++)
		for (uint32_t i = 0; i < AREA_WORDS; i++)
			sum += AREA[i] ^ round;
	return sum;
}

static uint64_t copy(void)
{
	uint64_t *to = AREA + AREA_WORDS;
	for (unsigned round = 0; round < 24; round++)
		for (uint32_t i = 0; i < AREA_WORDS; i++)
			to[i] = AREA[i] + round;
	return to[AREA_WORDS / 2];
}

static uint64_t update(void)
{
	for (unsigned i = 0; i < 14000000; i++)
		AREA[random_below(AREA_WORDS)] += i;
	return AREA[12345];
}

/* Store-conditionals take another way when there are other slices. */
static uint64_t atomics(void)
{
	for (unsigned i = 0; i < 25000000; i++) {
		uint64_t *p = &AREA[i % 4096 * LINE_WORDS], v, failed;
		__asm__ volatile(
			"1: lr.d %0, (%2)\n\taddi %0, %0, 1\n\tsc.d %1, %0, (%2)\n\tbnez %1, 1b"
			: "=&r"(v), "=&r"(failed)
			: "r"(p)
			: "memory");
		__asm__ volatile("amoadd.d zero, %0, (%1)" ::"r"(v), "r"(p + 1) : "memory");
	}
	return AREA[LINE_WORDS + 1];
}

/* No memory: what is left is noise. */
static uint64_t registers(void)
{
	uint64_t x = 88172645463325252u;
	for (unsigned i = 0; i < 200000000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

int main(void)
{
	static const struct {
		const char *name;
		uint64_t (*run)(void);
	} kernels[] = {
		{"chase", chase},
		{"stream", stream},
		{"copy", copy},
		{"update", update},
		{"atomics", atomics},
		{"registers", registers},
	};
	for (uint32_t i = 0; i < 2 * AREA_WORDS; i++)
		AREA[i] = i; /* plain memory is not here before */
	circle_make();
	for (unsigned i = 0; i < ARRAY_SIZE(kernels); i++) {
		uint64_t from = csr_read(time), sum = kernels[i].run();
		uint64_t ticks = csr_read(time) - from;
		print("%s %u %lx\n", kernels[i].name, (unsigned)ticks, sum);
	}
	return 0;
}
