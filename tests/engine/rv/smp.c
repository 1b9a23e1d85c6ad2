/* SPDX-License-Identifier: Apache-2.0 */
/* Several harts: HSM, IPI, remote fences, messages between interrupt files, atomics. */
#include "rt.h"

#define HARTS  4
#define ROUNDS 20000

#define V  1UL
#define RW 6UL
#define AD 192UL

static volatile uint64_t up, turn, seen[HARTS], go, done;
static uint64_t counter_amo, counter_lrsc, counter_lrsc_w;
static uint64_t root[512] __attribute__((aligned(4096)));
static uint64_t mid[512] __attribute__((aligned(4096)));
static uint64_t low[512] __attribute__((aligned(4096)));
static uint8_t pages[2][4096] __attribute__((aligned(4096)));
static volatile uint64_t mapped_reads[HARTS], stop_reading;
#define MAPPED 0x40000000UL

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	return false;
}

static uint64_t add_lrsc(uint64_t *p, uint64_t v)
{
	uint64_t old, fail;
	__asm__ volatile(
		"1: lr.d.aqrl %0, (%2)\n\tadd %1, %0, %3\n\tsc.d.aqrl %1, %1, (%2)\n\tbnez %1, 1b"
		: "=&r"(old), "=&r"(fail)
		: "r"(p), "r"(v)
		: "memory");
	return old;
}

static void add_lrsc_w(uint32_t *p, uint32_t v)
{
	uint64_t old, fail;
	__asm__ volatile("1: lr.w %0, (%2)\n\taddw %1, %0, %3\n\tsc.w %1, %1, (%2)\n\tbnez %1, 1b"
			 : "=&r"(old), "=&r"(fail)
			 : "r"(p), "r"(v)
			 : "memory");
}

static void counters(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		__atomic_fetch_add(&counter_amo, 1, __ATOMIC_RELAXED);
		(void)add_lrsc(&counter_lrsc, 1);
		/* Two counters in one reservation unit. */
		add_lrsc_w((uint32_t *)&counter_lrsc_w + (i & 1), 1);
	}
}

static void barrier(uint64_t *which, uint64_t n)
{
	__atomic_fetch_add(which, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(which, __ATOMIC_SEQ_CST) < n)
		;
}

static uint64_t bar[8];

/* A page whose translation hart 0 changes: after its fence nobody may read the old one. */
static void read_mapped(unsigned long hart)
{
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	__asm__ volatile("sfence.vma" ::: "memory");
	barrier(&bar[1], HARTS);
	while (!stop_reading) {
		uint64_t epoch_before = turn;
		__asm__ volatile("fence" ::: "memory");
		uint64_t v = *(volatile uint64_t *)MAPPED;
		if (v < epoch_before)
			seen[hart] |= 1UL << 63; /* a translation from before the fence */
		mapped_reads[hart]++;
	}
}

static void wait_ipis(unsigned long hart)
{
	csr_write(sie, 2);
	for (unsigned i = 0; i < 100; i++) {
		while ((csr_read(sip) & 2) == 0)
			__asm__ volatile("wfi");
		csr_clear(sip, 2);
		__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&go, __ATOMIC_SEQ_CST) <= i)
			;
	}
	csr_write(sie, 0);
}

static void wait_messages(unsigned long hart)
{
	csr_write(siselect, 0x70);
	csr_write(sireg, 1);
	csr_write(siselect, 0x72);
	csr_write(sireg, 0);
	csr_write(siselect, 0xc0);
	csr_write(sireg, -1UL);
	csr_write(sie, 0x200);
	barrier(&bar[2], HARTS);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t top;
		while ((csr_read(sip) & 0x200) == 0)
			__asm__ volatile("wfi");
		__asm__ volatile("csrrw %0, stopei, x0" : "=r"(top));
		seen[hart] += top >> 16;
		/* Pass it on. */
		*(volatile uint32_t *)(0x28000000UL + (hart + 1) % HARTS * 0x1000) = 1 + i % 60;
	}
	csr_write(sie, 0);
}

void secondary(unsigned long hart, unsigned long opaque)
{
	print("hart %lu opaque %lx satp %lx sie %d\n", hart, opaque, csr_read(satp),
		(int)(csr_read(sstatus) & 2));
	up = hart;
	if (opaque == 0xdead)
		sbi(SBI_HSM, 1, 0, 0, 0, 0, 0);
	barrier(&bar[0], HARTS);
	counters();
	barrier(&bar[3], HARTS);
	read_mapped(hart);
	csr_write(satp, 0);
	__asm__ volatile("sfence.vma" ::: "memory");
	barrier(&bar[4], HARTS);
	wait_messages(hart);
	barrier(&bar[5], HARTS);
	wait_ipis(hart);
	sbi(SBI_HSM, 1, 0, 0, 0, 0, 0);
}

static long status(unsigned hart)
{
	return (long)sbi(SBI_HSM, 2, hart, 0, 0, 0, 0).value;
}

static void start(unsigned hart, unsigned long opaque)
{
	up = 0;
	long e = sbi(SBI_HSM, 0, hart, (unsigned long)hart_entry, opaque, 0, 0).error;
	while (up != hart)
		;
	print("start %u: %ld\n", hart, e);
	if (opaque == 0xdead)
		while (status(hart) != 1)
			;
}

static void remap(void)
{
	uint64_t bad = 0;

	for (unsigned i = 0; i < 200; i++) {
		unsigned p = i & 1;
		*(volatile uint64_t *)pages[p] = i + 1;
		low[0] = (uint64_t)pages[p] >> 2 | V | RW | AD;
		__asm__ volatile("sfence.vma" ::: "memory");
		long e;
		if (i % 3 == 0)
			e = sbi(SBI_RFENCE, 1, 0, -1UL, 0, 0, 0).error;
		else if (i % 3 == 1)
			e = sbi(SBI_RFENCE, 1, (1 << HARTS) - 2, 0, MAPPED, 4096, 0).error;
		else
			e = sbi(SBI_RFENCE, 2, (1 << HARTS) - 2, 0, MAPPED, 4096, 0).error;
		bad += e != 0;
		turn = i + 1;
	}
	uint64_t reads[HARTS];
	for (unsigned h = 1; h < HARTS; h++) {
		reads[h] = mapped_reads[h];
		while (mapped_reads[h] == reads[h])
			;
	}
	stop_reading = 1;
	print("remap: errors %lu", bad);
}

/* The hart that the firmware has booted on may still be on its way out. */
static void others_stopped(void)
{
	for (unsigned h = 1; h < HARTS; h++)
		while (sbi(SBI_HSM, 2, h, 0, 0, 0, 0).value != 1)
			;
}

int main(void)
{
	print("begin\n");
	others_stopped();
	root[1] = (uint64_t)mid >> 2 | V;
	root[2] = 0x80000000UL >> 2 | V | RW | 8 | AD;
	mid[0] = (uint64_t)low >> 2 | V;
	low[0] = (uint64_t)pages[1] >> 2 | V | RW | AD;
	for (unsigned h = 0; h < HARTS; h++)
		print("status %u: %ld\n", h, status(h));
	for (unsigned h = 1; h < HARTS; h++)
		start(h, 0xdead);
	for (unsigned h = 1; h < HARTS; h++)
		start(h, 0x1000 + h);
	print("start again: %ld\n", sbi(SBI_HSM, 0, 1, (unsigned long)hart_entry, 0, 0, 0).error);
	for (unsigned h = 0; h < HARTS; h++)
		print("status %u: %ld\n", h, status(h));

	barrier(&bar[0], HARTS);
	counters();
	barrier(&bar[3], HARTS);
	print("counters %lu %lu %lx\n", counter_amo, counter_lrsc, counter_lrsc_w);

	barrier(&bar[1], HARTS);
	remap();
	barrier(&bar[4], HARTS);
	for (unsigned h = 1; h < HARTS; h++)
		print(" stale %lu", seen[h] >> 63);
	print("\n");

	/* A message goes round the harts; hart 0 has the file of the ring's start. */
	for (unsigned h = 0; h < HARTS; h++)
		seen[h] = 0;
	csr_write(siselect, 0x70);
	csr_write(sireg, 1);
	csr_write(siselect, 0xc0);
	csr_write(sireg, -1UL);
	csr_write(sie, 0x200);
	barrier(&bar[2], HARTS);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t top;
		*(volatile uint32_t *)0x28001000UL = 1 + i % 60;
		while ((csr_read(sip) & 0x200) == 0)
			__asm__ volatile("wfi");
		__asm__ volatile("csrrw %0, stopei, x0" : "=r"(top));
		seen[0] += top >> 16;
	}
	csr_write(sie, 0);
	barrier(&bar[5], HARTS);
	print("messages %lu %lu %lu %lu\n", seen[0], seen[1], seen[2], seen[3]);

	for (unsigned i = 0; i < 100; i++) {
		sbi(SBI_IPI, 0, (1 << HARTS) - 2, 0, 0, 0, 0);
		while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < (i + 1) * (HARTS - 1))
			;
		__atomic_store_n(&go, i + 1, __ATOMIC_SEQ_CST);
	}
	print("ipis %lu\n", done);
	for (unsigned h = 1; h < HARTS; h++) {
		while (status(h) != 1)
			;
		print("stopped %u\n", h);
	}
	print("end\n");
	return 0;
}
