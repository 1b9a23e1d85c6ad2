/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor interrupt file: registers, claims, delivery, threshold, messages from memory. */
#include "rt.h"

#define FILE_0 0x28000000UL

extern char snip_storew[], snip_storeb[], snip_storeh[], snip_store[], snip_loadw[], snip_load[],
	snip_loadb[], snip_amo[];
static struct frame f;
static uint64_t cause, tval;

bool frame_handler(struct frame *fr, uint64_t sstatus)
{
	cause = csr_read(scause);
	tval = csr_read(stval);
	return false;
}

static void run(const char *snip, uint64_t a1, uint64_t a2)
{
	f.pc = (uint64_t)snip;
	f.x[11] = a1;
	f.x[12] = a2;
	csr_set(sstatus, 0x100);
	frame_run(&f);
}

static uint32_t code[4] __attribute__((aligned(16)));

static void reg(unsigned select, unsigned funct3, uint64_t in)
{
	csr_write(siselect, select);
	code[0] = 0x151u << 20 | 11 << 15 | funct3 << 12 | 10 << 7 | 0x73;
	code[1] = 0x00100073;
	__asm__ volatile("fence.i" ::: "memory");
	f.x[10] = 0;
	run((const char *)code, in, 0);
}

#define sel_write(s, v)                                                                            \
	do {                                                                                       \
		csr_write(siselect, s);                                                            \
		csr_write(sireg, v);                                                               \
	} while (0)

static uint64_t sel_read(unsigned s)
{
	csr_write(siselect, s);
	return csr_read(sireg);
}

static void registers(void)
{
	for (unsigned s = 0x70; s < 0x100; s++) {
		/*
		 *  Reserved ones and those beyond 255 identities read 0 by the specification; QEMU
		 *  traps.
		 */
		if (s < 0x80 ? s != 0x70 && s != 0x72 : (s & 0x3f) > 7)
			continue;
		reg(s, 2, 0);
		uint64_t c0 = cause, v0 = f.x[10];
		reg(s, 1, s < 0x80 ? 1 : -1UL);
		uint64_t c1 = cause;
		reg(s, 2, 0);
		print("sireg %x: %lx %lx, write %lx, then %lx\n", s, c0, v0, c1, f.x[10]);
		reg(s, 1, 0);
	}
	reg(0x31, 2, 0);
	print("iprio odd: %lx\n", cause);
}

static void state(const char *what)
{
	print("%s: sip %lx stopei %lx stopi %lx eip %lx %lx %lx %lx\n", what, csr_read(sip),
		csr_read(stopei), csr_read(stopi) >> 16, sel_read(0x80), sel_read(0x82),
		sel_read(0x84), sel_read(0x86));
}

static void store_file(unsigned offset, uint32_t v)
{
	*(volatile uint32_t *)(FILE_0 + offset) = v;
	__asm__ volatile("fence iorw, iorw");
}

static void flow(void)
{
	csr_write(sie, 0x200);
	sel_write(0xc0, 0);
	for (unsigned i = 0; i < 8; i += 2) {
		sel_write(0x80 + i, 0);
		sel_write(0xc0 + i, 0);
	}
	sel_write(0x70, 0);
	sel_write(0x72, 0);
	state("clear");
	store_file(0, 5);
	store_file(0, 200);
	store_file(0, 255);
	state("three pending, none enabled");
	sel_write(0xc6, -1UL);
	state("high ones enabled");
	sel_write(0x70, 1);
	state("delivery on");
	sel_write(0xc0, 1 << 5);
	state("five enabled");
	sel_write(0x72, 5);
	state("threshold 5");
	sel_write(0x72, 6);
	state("threshold 6");
	sel_write(0x72, 201);
	print("claim %lx\n", ({
		uint64_t v;
		__asm__ volatile("csrrw %0, stopei, x0" : "=r"(v));
		v;
	}));
	state("claimed");
	csr_write(stopei, 0);
	state("claimed by a plain write");
	sel_write(0x72, 0);
	state("threshold off");
	print("claim %lx\n", ({
		uint64_t v;
		__asm__ volatile("csrrw %0, stopei, x0" : "=r"(v));
		v;
	}));
	state("all claimed");
	print("claim nothing %lx\n", ({
		uint64_t v;
		__asm__ volatile("csrrw %0, stopei, x0" : "=r"(v));
		v;
	}));
	store_file(0, 0);
	store_file(0, 256);
	store_file(0, 0xffffffff);
	state("ignored numbers");
	store_file(4, 7 << 24);
	sel_write(0xc0, 1 << 7);
	state("big endian");
	store_file(8, 9);
	store_file(0x800, 9);
	state("other registers");
	csr_set(sip, 2);
	csr_write(sie, 0x222);
	csr_write(stimecmp, 0);
	state("all three kinds");
	csr_write(sie, 0x022);
	state("without external");
	csr_write(sie, 0x020);
	state("timer only");
	csr_write(stimecmp, -1UL);
	csr_clear(sip, 2);
	csr_write(sie, 0);
	sel_write(0xc0, -1UL);
	for (unsigned i = 1; i < 255; i += 50)
		store_file(0, i);
	for (unsigned i = 0; i < 8; i += 2)
		sel_write(0xc0 + i, -1UL);
	for (unsigned i = 0; i < 7; i++)
		print("drain %lx\n", ({
			uint64_t v;
			__asm__ volatile("csrrw %0, stopei, x0" : "=r"(v));
			v;
		}));
	csr_write(siselect, 0x80);
	csr_set(sireg, 0x3f);
	csr_clear(sireg, 0xc);
	state("set and clear");
	csr_write(sireg, 0);
}

static void memory(void)
{
	for (unsigned off = 0; off < 16; off += 4) {
		run(snip_storew, FILE_0 + off, 0);
		uint64_t c0 = cause;
		run(snip_loadw, FILE_0 + off, 0);
		print("file +%x: store %lx load %lx value %lx\n", off, c0, cause, f.x[10]);
	}
	run(snip_amo, FILE_0, 0);
	print("amo %lx\n", cause);
}

int main(void)
{
	print("begin\n");
	registers();
	flow();
	memory();
	print("end\n");
	return 0;
}
