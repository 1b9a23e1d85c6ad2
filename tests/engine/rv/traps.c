/* SPDX-License-Identifier: Apache-2.0 */
/*
 *  Every trap cause that S mode can see, what user mode may not do, interrupts and their order,
 *  wfi.
 */
#include "rt.h"

#define V         1UL
#define RWX       14UL
#define U         16UL
#define AD        192UL
#define USER_BASE 0x40000000UL /* user mapping of the gigabyte at 0x80000000 */
#define NO_RAM    0x300000000UL

static uint64_t root[512] __attribute__((aligned(4096)));
extern char snips[], snip_load[], snip_store[], snip_amo[], snip_lr[], snip_sc[], snip_jump[],
	snip_ecall[], snip_wfi[], snip_sret[], snip_sfence[], snip_sinval[], snip_sfence_w_inval[],
	snip_sfence_inval_ir[], snip_csr_s[], snip_csr_w[], snip_csr_cycle[], snip_csr_time[],
	snip_csr_instret[], snip_csr_ro[], snip_fadd[], snip_fence_i[], snip_mret[], snip_nop[],
	snip_cbo_zero[], snip_cbo_clean[], snip_loadb[], snip_storeb[], snip_loadw[];

static struct frame f;
static uint64_t cause, tval, status, taken;

bool frame_handler(struct frame *fr, uint64_t sstatus)
{
	cause = csr_read(scause);
	tval = csr_read(stval);
	status = sstatus;
	taken++;
	return false;
}

static void run(const char *snip, bool user, uint64_t a1)
{
	f.pc = (uint64_t)snip - (user ? 0x80000000UL - USER_BASE : 0);
	if (user)
		csr_clear(sstatus, 0x100);
	else
		csr_set(sstatus, 0x100);
	f.x[11] = a1;
	f.x[12] = 0x1122334455667788;
	frame_run(&f);
}

static void show(const char *what, const char *snip, uint64_t a1)
{
	for (int user = 0; user < 2; user++) {
		if (!user && snip == snip_ecall)
			continue; /* that is a call of the SBI */
		if (!user && (snip == snip_sret || snip == snip_wfi))
			continue;
		run(snip, user, a1);
		uint64_t base = (uint64_t)snip - (user ? 0x80000000UL - USER_BASE : 0);
		print("%s %c: cause %lx tval %lx epc+%lx status %lx\n", what, user ? 'U' : 'S',
			cause, tval, cause == 0 || cause == 1 || cause == 12 ? f.pc : f.pc - base,
			status);
	}
}

static void exceptions(void)
{
	static uint64_t data[4];
	uint64_t at = (uint64_t)data - (0x80000000UL - USER_BASE);

	show("nop", snip_nop, 0);
	show("ecall", snip_ecall, 0);
	show("wfi", snip_wfi, 0);
	show("sret", snip_sret, 0);
	show("mret", snip_mret, 0);
	show("sfence.vma", snip_sfence, 0);
	show("sinval.vma", snip_sinval, 0);
	/* In U mode these two are illegal; QEMU lets them pass. */
	run(snip_sfence_w_inval, false, 0);
	print("sfence.w.inval S: cause %lx\n", cause);
	run(snip_sfence_inval_ir, false, 0);
	print("sfence.inval.ir S: cause %lx\n", cause);
	show("csr s", snip_csr_s, 0);
	show("csr w", snip_csr_w, 0);
	show("csr ro", snip_csr_ro, 0);
	for (unsigned i = 0; i < 8; i++) {
		csr_write(scounteren, i);
		print("scounteren %x\n", i);
		show("cycle", snip_csr_cycle, 0);
		show("time", snip_csr_time, 0);
		show("instret", snip_csr_instret, 0);
	}
	show("fence.i", snip_fence_i, 0);
	for (unsigned i = 1; i < 8; i++) {
		show("amo misaligned", snip_amo, at + i);
		show("lr misaligned", snip_lr, at + i);
	}
	csr_set(sstatus, 0x40000);
	show("load", snip_load, at);
	show("lr", snip_lr, at);
	csr_clear(sstatus, 0x40000);
	show("load no sum", snip_load, at);
	show("store no sum", snip_store, at);
	static const uint64_t holes[] = {0, 8, 0x200000000, 0xfffffffffffffff8};
	for (unsigned i = 0; i < ARRAY_SIZE(holes); i++) {
		show("load hole", snip_load, holes[i]);
		show("store hole", snip_store, holes[i]);
		show("amo hole", snip_amo, holes[i]);
		show("lr hole", snip_lr, holes[i]);
		show("jump hole", snip_jump, holes[i]);
	}
	show("jump odd", snip_jump, (uint64_t)snip_nop | 1);
}

/* Without translation: physical addresses where nothing is. */
static void bare(void)
{
	csr_write(satp, 0);
	static const uint64_t holes[] = {NO_RAM, NO_RAM + 8, 0x1000000000000, 0xf000000000000000};
	for (unsigned i = 0; i < ARRAY_SIZE(holes); i++) {
		static const char *const name[] = {
			"load", "store", "amo", "lr", "jump", "cbo.zero", "loadb", "storeb"};
		const char *const snip[] = {snip_load, snip_store, snip_amo, snip_lr, snip_jump,
			snip_cbo_zero, snip_loadb, snip_storeb};
		for (unsigned k = 0; k < ARRAY_SIZE(snip); k++) {
			run(snip[k], false, holes[i]);
			print("bare %s %lx: cause %lx tval %lx\n", name[k], holes[i], cause, tval);
		}
	}
}

static void fs_states(void)
{
	for (unsigned fs = 0; fs < 4; fs++) {
		csr_clear(sstatus, 0x6000);
		csr_set(sstatus, (uint64_t)fs << 13);
		print("sstatus with fs %u: %lx\n", fs, csr_read(sstatus));
	}
	csr_set(sstatus, 0x6000);
}

/* ---- interrupts: a handler of their own, direct and vectored --------------------------------- */

static volatile uint64_t irq_cause, irq_count, irq_vector;

__attribute__((interrupt("supervisor"), aligned(4))) static void irq_handler(void)
{
	irq_cause = csr_read(scause);
	irq_count++;
	if ((irq_cause & 0xff) == 1)
		csr_clear(sip, 2);
	else if ((irq_cause & 0xff) == 5)
		csr_write(stimecmp, -1UL);
	else
		csr_write(sie, 0);
}

__asm__(".balign 256\n"
	"vectors:\n"
	".option push\n.option norvc\n"
	"j irq_stub0\n j irq_stub1\n j irq_stub0\n j irq_stub0\n j irq_stub0\n j irq_stub5\n"
	"j irq_stub0\n j irq_stub0\n j irq_stub0\n j irq_stub9\n"
	".option pop\n"
	"irq_stub0: sd a0, -8(sp)\n li a0, 100\n j 1f\n"
	"irq_stub1: sd a0, -8(sp)\n li a0, 101\n j 1f\n"
	"irq_stub5: sd a0, -8(sp)\n li a0, 105\n j 1f\n"
	"irq_stub9: sd a0, -8(sp)\n li a0, 109\n j 1f\n"
	"1: sd a1, -16(sp)\n la a1, irq_vector\n sd a0, 0(a1)\n ld a1, -16(sp)\n ld a0, -8(sp)\n"
	"j irq_handler\n");
extern char vectors[];

static void raise(void)
{
	csr_set(sip, 2);
	csr_write(stimecmp, 0);
}

static void interrupts(void)
{
	for (unsigned vectored = 0; vectored < 2; vectored++) {
		csr_write(stvec, vectored ? (uint64_t)vectors | 1 : (uint64_t)irq_handler);
		for (unsigned enable = 0; enable < 4; enable++) {
			uint64_t sie = ((enable & 1) != 0 ? 2 : 0) | ((enable & 2) != 0 ? 0x20 : 0);
			irq_count = irq_cause = irq_vector = 0;
			csr_write(sie, sie);
			csr_clear(sstatus, 2);
			raise();
			print("sip %lx sie %lx", csr_read(sip), csr_read(sie));
			uint64_t before = irq_count;
			csr_set(sstatus, 2);
			__asm__ volatile("nop");
			csr_clear(sstatus, 2);
			print(" before %lu taken %lu last %lx vector %lu sip %lx\n", before,
				irq_count, irq_cause, irq_vector, csr_read(sip));
			csr_clear(sip, 2);
			csr_write(stimecmp, -1UL);
		}
	}
	csr_write(stvec, (uint64_t)irq_handler);
	/* wfi wakes for what is enabled, also while interrupts are off. */
	csr_write(sie, 0x20);
	uint64_t due = csr_read(time) + 20000;
	csr_write(stimecmp, due);
	while ((csr_read(sip) & 0x20) == 0)
		__asm__ volatile("wfi");
	print("wfi: timer pending %lx, %s\n", csr_read(sip) & 0x20,
		csr_read(time) >= due ? "when due" : "early");
	csr_write(stimecmp, -1UL);
	csr_write(sie, 0x2);
	csr_set(sip, 2);
	__asm__ volatile("wfi");
	print("wfi: software pending %lx\n", csr_read(sip));
	csr_clear(sip, 2);
	/* The timer comes while user code loops. */
	csr_write(sie, 0x20);
	csr_write(stimecmp, csr_read(time) + 5000);
	irq_count = 0; /* before one may come */
	csr_set(sstatus, 2);
	while (irq_count == 0)
		;
	csr_clear(sstatus, 2);
	print("timer while running: %lx\n", irq_cause);
	/* SBI TIME does the same. */
	sbi(SBI_TIME, 0, csr_read(time) + 5000, 0, 0, 0, 0);
	irq_count = 0; /* before one may come */
	csr_set(sstatus, 2);
	while (irq_count == 0)
		;
	csr_clear(sstatus, 2);
	print("sbi timer: %lx\n", irq_cause);
	csr_write(sie, 0);
}

int main(void)
{
	print("begin\n");
	root[0] = 0;
	root[1] = 0x80000000UL >> 2 | V | RWX | U | AD;
	root[2] = 0x80000000UL >> 2 | V | RWX | AD;
	csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
	__asm__ volatile("sfence.vma");
	exceptions();
	fs_states();
	bare();
	interrupts();
	print("end\n");
	return 0;
}
