/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine that translates can get wrong and an interpreter cannot. Every case was a bug of
 * ours once.
 */
#include "rt.h"

#define V  1UL
#define RW 6UL
#define X  8UL
#define AD 192UL

static uint64_t root[512] __attribute__((aligned(4096)));
static uint64_t mid[2][512] __attribute__((aligned(4096)));
static uint64_t low[2][512] __attribute__((aligned(4096)));
static uint64_t top[512] __attribute__((aligned(4096)));
static uint64_t data[4][512] __attribute__((aligned(4096)));
static uint32_t code[3][1024] __attribute__((aligned(4096)));
static volatile uint64_t step, ready, result;

typedef uint64_t fn(uint64_t a, uint64_t b);

#define ADDI_A0(imm) ((uint32_t)(imm) << 20 | 0x00050513)
#define RET          0x8067u

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	return false;
}

static uint64_t table(void *t)
{
	return (uint64_t)t >> 2 | V;
}

static uint64_t leaf(void *page)
{
	return (uint64_t)page >> 2 | V | RW | X | AD;
}

static void fences(void)
{
	__asm__ volatile("sfence.vma; fence.i" ::: "memory");
}

/* Through a pointer that the compiler does not know. */
static uint64_t call(uint64_t at, uint64_t a, uint64_t b)
{
	fn *volatile f = (fn *)at;
	return f(a, b);
}

/*
 * Two loads through one register, in two pages that an index of a soft TLB, taken from folded
 * address bits, may not tell apart. `border` is where the upper page begins.
 */
static void border(uint64_t at)
{
	uint64_t a, b;

	mid[0][(at - 4096) >> 21 & 511] = table(low[0]);
	low[0][(at - 4096) >> 12 & 511] = leaf(data[0]);
	mid[1][at >> 21 & 511] = table(low[1]);
	low[1][at >> 12 & 511] = leaf(data[3]);
	top[(at - 4096) >> 39 & 511] = table(root);
	top[at >> 39 & 511] = table(root);
	root[(at - 4096) >> 30 & 511] = table(mid[0]);
	root[at >> 30 & 511] = table(mid[1]);
	root[2] = leaf((void *)0x80000000);
	top[0] = table(root);
	data[0][511] = 1;
	data[2][511] = 66; /* below the upper page in physical memory */
	data[3][0] = 2;
	csr_write(satp, 9UL << 60 | (uint64_t)top >> 12);
	fences();
	for (int i = 0; i < 3; i++) {
		(void)*(volatile uint64_t *)at;
		__asm__ volatile("ld %0, -8(%2)\n\tld %1, 0(%2)"
				 : "=&r"(a), "=&r"(b)
				 : "r"(at)
				 : "memory");
	}
	print("border %lx: %lu %lu\n", at, a, b);
	csr_write(satp, 0);
	fences();
}

/* No loop without a look at interrupts, whatever it jumps with. */
void tick_trap(void);
__asm__(".balign 4\n"
	"tick_trap: la t3, tick_done\n"
	"csrw sepc, t3\n"
	"li t3, -1\n"
	"csrw 0x14d, t3\n"
	"sret\n");

static void loops(void)
{
	uint64_t was = csr_read(stvec);

	csr_write(stvec, (uint64_t)tick_trap);
	csr_set(sie, 0x20);
	__asm__ volatile("csrw 0x14d, %0" ::"r"(csr_read(time) + 1000));
	csr_set(sstatus, 2);
	__asm__ volatile(".option push\n.option norvc\n.option norelax\n"
			 "li t0, 50\n"
			 "1: addi t0, t0, -1\n"
			 "bnez t0, 1b\n"
			 "j 2f\n"
			 "2: beqz x0, 3f\n"
			 "nop\n"
			 "3: nop\n"
			 "jal t1, 3b\n"
			 ".globl tick_done\n"
			 "tick_done:\n"
			 ".option pop\n" ::
				 : "t0", "t1", "t3", "memory");
	csr_clear(sstatus, 2);
	csr_clear(sie, 0x20);
	csr_write(stvec, was);
	print("loops end\n");
}

/* Addresses that differ from code that was called in bits which no address may have. */
void alias_trap(void);
uint64_t alias_code(uint64_t a, uint64_t b);
__asm__(".balign 4\n"
	"alias_code: addi a0, a0, 1\n"
	"ret\n"
	".balign 4\n"
	"alias_trap: csrw sepc, ra\n"
	"li a0, -1\n"
	"sret\n");

static void aliases(void)
{
	uint64_t was = csr_read(stvec), sum = 0, bad = 0;

	root[2] = leaf((void *)0x80000000);
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	csr_write(stvec, (uint64_t)alias_trap);
	for (int i = 0; i < 100; i++)
		sum += call((uint64_t)alias_code, i, 0);
	fences();
	for (uint64_t d = 1; d < 1024; d++)
		bad += call((uint64_t)alias_code ^ d << 50, 5, 0) != -1UL;
	csr_write(stvec, was);
	csr_write(satp, 0);
	fences();
	print("aliases: sum %lu, no fault %lu\n", sum, bad);
}

/* A jump inside a page, first taken while the page table is being changed. */
#define PAGE_VA 0x40000000UL
#define OTHER   0x48001000UL /* shares an entry of the soft TLB with it */

static void halfway(void)
{
	for (unsigned i = 0; i < 2; i++) {
		code[i][0] = 0x04058063; /* beqz a1, +64 */
		code[i][1] = RET;
		code[i][16] = ADDI_A0(i ? 7 : 1);
		code[i][17] = RET;
	}
	code[2][8] = RET;
	root[1] = table(mid[0]);
	mid[0][0] = table(low[0]);
	mid[0][64] = table(low[1]);
	low[0][0] = leaf(code[0]);
	low[1][1] = leaf(code[2]);
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	fences();
	for (int i = 0; i < 100; i++) {
		call(PAGE_VA, 0, 1);
		call(OTHER + 32, 0, 0);
	}
	*(volatile uint64_t *)low[0] = leaf(code[1]);
	call(OTHER + 32, 0, 0);
	call(PAGE_VA, 0, 0); /* the fence is still to come: 1 and 7 are both right */
	*(volatile uint64_t *)low[0] = leaf(code[0]);
	__asm__ volatile("sfence.vma" ::: "memory");
	uint64_t first = call(PAGE_VA, 0, 0);
	fences();
	print("halfway %lu %lu\n", first, call(PAGE_VA, 0, 0));
	csr_write(satp, 0);
	fences();
}

/* ---- a hart that sleeps or is stopped while its code is changed ---------------------------- */

enum how { SLEEP, STOP, AGAIN, ORDER }; /* ORDER + n: orders[n] */

static void stop(void)
{
	sbi(SBI_HSM, 1, 0, 0, 0, 0, 0);
}

/* ---- stores, fences and loads -------------------------------------------------------------- */

/*
 * Each hart stores the number of its round, and after a fence loads the other's. When a load of
 * round i finds v, the other's round v + 1 was not stored yet, so its load comes later still and
 * finds i or more.
 */
#define ROUNDS 1000000u
static uint32_t word[2][64] __attribute__((aligned(256))); /* in cache lines of their own */
static uint32_t *const seen[2] = {(uint32_t *)0x84000000, (uint32_t *)0x85000000};

/* A locked instruction of the host may be the fence, unless a store comes after it. */
#define ORDERS(X)                                                                                  \
	X(0, "store", "sw %1, (%2); fence; lw %0, (%3)")                                           \
	X(1, "amo, store", "amoadd.w zero, %1, (%4); sw %1, (%2); fence; lw %0, (%3)")             \
	X(2, "amo", "amoswap.w zero, %1, (%2); fence; lw %0, (%3)")                                \
	X(3, "store, two fences", "sw %1, (%2); fence w, r; fence; lw %0, (%3)")                   \
	X(4, "fence, store", "fence; sw %1, (%2); fence; lw %0, (%3)")

#define ORDER_BODY(n, name, insns)                                                                 \
	static void order_##n(unsigned me)                                                         \
	{                                                                                          \
		uint32_t v, own;                                                                   \
		for (uint32_t i = 1; i <= ROUNDS; i++) {                                           \
			__asm__ volatile(insns                                                     \
					 : "=&r"(v)                                                \
					 : "r"(i), "r"(word[me]), "r"(word[!me]), "r"(&own)        \
					 : "memory");                                              \
			seen[me][i] = v;                                                           \
		}                                                                                  \
	}
ORDERS(ORDER_BODY)

static const struct {
	const char *name;
	void (*body)(unsigned me);
} orders[] = {
#define ORDER_ENTRY(n, name, insns) {name, order_##n},
	ORDERS(ORDER_ENTRY)};

void secondary(unsigned long hart, unsigned long how)
{
	if (how >= ORDER) {
		ready = 1;
		while (step == 0)
			;
		orders[how - ORDER].body(1);
		stop();
	}
	if (how != AGAIN) {
		for (int i = 0; i < 200; i++)
			call((uint64_t)code[0], i, 0);
		csr_set(sie, 2);
		ready = 1;
		if (how == STOP)
			stop();
		while (step == 0) {
			__asm__ volatile("wfi");
			csr_clear(sip, 2);
		}
	}
	result = call((uint64_t)code[0], 0, 0);
	stop();
}

static void await_stop(void)
{
	while (sbi(SBI_HSM, 2, 1, 0, 0, 0, 0).value != 1)
		;
}

static void start(enum how how)
{
	sbi(SBI_HSM, 0, 1, (unsigned long)hart_entry, how, 0, 0);
}

static void prepare(enum how how)
{
	code[0][0] = ADDI_A0(1);
	code[0][1] = RET;
	fences();
	step = ready = result = 0;
	start(how);
	while (!ready)
		;
}

/* `n` other fences first: more than a mailbox may hold. */
static void asleep(unsigned n)
{
	prepare(SLEEP);
	code[0][0] = ADDI_A0(7);
	__asm__ volatile("fence" ::: "memory");
	for (unsigned i = 0; i < n; i++)
		sbi(SBI_RFENCE, 1, 2, 0, 0x1000, 0x1000, 0);
	sbi(SBI_RFENCE, 0, 2, 0, 0, 0, 0);
	step = 1;
	sbi(SBI_IPI, 0, 2, 0, 0, 0, 0);
	await_stop();
	print("asleep, %u fences: %lu\n", n, result);
}

static void stopped(void)
{
	prepare(STOP);
	await_stop();
	code[0][0] = ADDI_A0(7);
	__asm__ volatile("fence" ::: "memory");
	start(AGAIN);
	await_stop();
	while (result == 0)
		await_stop();
	print("stopped: %lu\n", result);
}

static void order(unsigned n)
{
	unsigned bad = 0;

	word[0][0] = word[1][0] = 0;
	step = ready = 0;
	start((enum how)(ORDER + n));
	while (!ready)
		;
	step = 1;
	orders[n].body(0);
	await_stop();
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t next = seen[0][i] + 1;
		bad += next <= ROUNDS && seen[1][next] < i;
	}
	print("%s: %u out of order\n", orders[n].name, bad);
}

int main(void)
{
	print("begin\n");
	await_stop();
	border(0x800000000);
	border(0x20000000000);
	loops();
	aliases();
	halfway();
	asleep(10);
	asleep(2100);
	stopped();
	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		order(i);
	print("end\n");
	return 0;
}
