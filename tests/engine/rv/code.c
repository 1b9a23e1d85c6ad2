/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that changes: by stores and fence.i, by another mapping, by another hart and a remote fence;
 * and calls, loops and jumps between pages. An engine that keeps translations must not show it.
 */
#include "rt.h"

#define HARTS  2
#define ROUNDS 300

#define V  1UL
#define RW 6UL
#define X  8UL
#define AD 192UL

static uint64_t root[512] __attribute__((aligned(4096)));
static uint64_t mid[512] __attribute__((aligned(4096)));
static uint64_t low[512] __attribute__((aligned(4096)));
static uint32_t page[4][1024] __attribute__((aligned(4096)));
static volatile uint64_t ready, version, finished, stale;
#define MAPPED 0x40000000UL

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	return false;
}

typedef uint64_t fn(uint64_t a);

static uint32_t addi(unsigned rd, unsigned rs1, unsigned imm)
{
	return imm << 20 | rs1 << 15 | rd << 7 | 0x13;
}

#define RET 0x8067u
#define A0  10u

static void fence_i(void)
{
	__asm__ volatile("fence.i" ::: "memory");
}

static void sfence(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}

static void sfence_page(uint64_t va)
{
	__asm__ volatile("sfence.vma %0, x0" ::"r"(va) : "memory");
}

static uint64_t call(const void *code, uint64_t a)
{
	fn *f = (fn *)(uintptr_t)code;
	return f(a);
}

/* A function that grows and shrinks, in the middle of one page. */
static void rewrite(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t *at = &page[0][100];
		for (unsigned k = 0; k <= i % 7; k++)
			*at++ = addi(A0, A0, i % 31 + k);
		*at = RET;
		fence_i();
		for (unsigned k = 0; k < 40; k++)
			sum = sum * 3 + call(&page[0][100], k);
	}
	print("rewrite %lx\n", sum);
}

/* Two functions in one page that call on each other by jumps; only one is rewritten. */
static void neighbours(void)
{
	uint64_t sum = 0;

	page[1][0] = addi(A0, A0, 1);
	page[1][1] = 0x00c0006f; /* j +12 */
	page[1][4] = addi(A0, A0, 2);
	page[1][5] = RET;
	for (unsigned i = 0; i < ROUNDS; i++) {
		page[1][4] = addi(A0, A0, i & 0x7ff);
		fence_i();
		for (unsigned k = 0; k < 40; k++)
			sum = sum * 5 + call(&page[1][0], k);
	}
	print("neighbours %lx\n", sum);
}

/* A loop that rewrites an instruction of itself, and executes fence.i each time round. */
static void self(void)
{
	uint64_t count = 50, sum = 0, at, word = addi(11, 11, 0);

	__asm__ volatile(".option push\n"
			 ".option norvc\n"
			 ".balign 4\n"
			 "la %2, 2f\n"
			 "mv a1, zero\n"
			 "1: add %3, %3, %4\n"
			 "sw %3, 0(%2)\n"
			 "fence.i\n"
			 "2: addi a1, a1, 0\n"
			 "addi %1, %1, -1\n"
			 "bnez %1, 1b\n"
			 "mv %0, a1\n"
			 ".option pop\n"
			 : "=r"(sum), "+r"(count), "=&r"(at), "+r"(word)
			 : "r"(1UL << 20)
			 : "a1", "memory");
	print("self %lu\n", sum);
}

/* The same address, other pages behind it. */
static void remap(void)
{
	uint64_t sum = 0;

	for (unsigned p = 0; p < 2; p++) {
		page[2 + p][0] = addi(A0, A0, 100 + p);
		page[2 + p][1] = RET;
	}
	fence_i();
	for (unsigned i = 0; i < ROUNDS; i++) {
		low[0] = (uint64_t)page[2 + (i & 1)] >> 2 | V | RW | X | AD;
		if ((i & 2) != 0)
			sfence();
		else
			sfence_page(MAPPED);
		for (unsigned k = 0; k < 40; k++)
			sum = sum * 7 + call((void *)MAPPED, k);
	}
	print("remap %lx\n", sum);
}

/* Two address spaces, each with its own page at one address, and no fence between them. */
static void spaces(void)
{
	static uint64_t root2[512] __attribute__((aligned(4096)));
	static uint64_t mid2[512] __attribute__((aligned(4096)));
	static uint64_t low2[512] __attribute__((aligned(4096)));
	uint64_t sum = 0, one = 8UL << 60 | 1UL << 44 | (uint64_t)root >> 12;
	uint64_t two = 8UL << 60 | 2UL << 44 | (uint64_t)root2 >> 12, was = csr_read(satp);

	root2[2] = root[2];
	root2[1] = (uint64_t)mid2 >> 2 | V;
	mid2[0] = (uint64_t)low2 >> 2 | V;
	low[0] = (uint64_t)page[2] >> 2 | V | RW | X | AD;
	low2[0] = (uint64_t)page[3] >> 2 | V | RW | X | AD;
	sfence();
	for (unsigned i = 0; i < ROUNDS; i++) {
		csr_write(satp, (i & 1) != 0 ? two : one);
		for (unsigned k = 0; k < 40; k++)
			sum = sum * 11 + call((void *)MAPPED, k);
	}
	csr_write(satp, was);
	print("spaces %lx\n", sum);
}

/* Straight code over the end of a page, with an instruction that lies in both. */
static void across(void)
{
	uint16_t *half = (uint16_t *)&page[0][1022];
	uint64_t sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t words[2] = {addi(A0, A0, i & 1023), addi(A0, A0, 5)};
		half[0] = 0x0505; /* c.addi a0, 1 */
		half[1] = 0x0505;
		half[2] = 0x0505;
		__builtin_memcpy(&half[3], words, 8); /* page[0] ends after half[3] */
		half[7] = 0x8082;                     /* c.jr ra */
		fence_i();
		for (unsigned k = 0; k < 40; k++)
			sum = sum * 13 + call(half, k);
	}
	print("across %lx\n", sum);
}

/* The other hart runs what this one writes; after the remote fence it must not see the old. */
void secondary(unsigned long hart, unsigned long opaque)
{
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	sfence();
	ready = 1;
	while (!finished) {
		uint64_t before = version;
		__asm__ volatile("fence" ::: "memory");
		if (before != 0 && call(&page[0][500], 0) < before)
			stale++;
	}
	csr_write(satp, 0);
	sbi(SBI_HSM, 1, 0, 0, 0, 0, 0);
}

static void remote(void)
{
	page[0][500] = addi(A0, 0, 0);
	page[0][501] = RET;
	fence_i();
	print("start %ld\n", sbi(SBI_HSM, 0, 1, (unsigned long)hart_entry, 0, 0, 0).error);
	while (!ready)
		;
	for (unsigned i = 1; i < 1000; i++) {
		page[0][500] = addi(A0, 0, i);
		__asm__ volatile("fence" ::: "memory");
		sbi(SBI_RFENCE, 0, 2, 0, 0, 0, 0);
		version = i;
	}
	finished = 1;
	while (sbi(SBI_HSM, 2, 1, 0, 0, 0, 0).value != 1)
		;
	/*
	 *  QEMU 10 goes on with old code here now and then, though the fence has been answered: the
	 *  oracle, under OpenSBI, is not asked.
	 */
	bool oracle = sbi(SBI_BASE, 1, 0, 0, 0, 0, 0).value == 1;
	print("remote: stale %lu\n", oracle ? 0 : stale);
}

int main(void)
{
	print("begin\n");
	while (sbi(SBI_HSM, 2, 1, 0, 0, 0, 0).value != 1)
		;
	root[1] = (uint64_t)mid >> 2 | V;
	root[2] = 0x80000000UL >> 2 | V | RW | X | AD;
	mid[0] = (uint64_t)low >> 2 | V;
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	sfence();
	rewrite();
	neighbours();
	self();
	remap();
	spaces();
	across();
	remote();
	print("end\n");
	return 0;
}
