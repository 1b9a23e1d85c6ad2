/* SPDX-License-Identifier: Apache-2.0 */
/* What each CSR keeps of what is written, and which numbers are illegal. */
#include "rt.h"

static struct frame f;
static uint64_t cause, tval;
static uint32_t code[4] __attribute__((aligned(16)));

bool frame_handler(struct frame *fr, uint64_t sstatus)
{
	cause = csr_read(scause);
	tval = csr_read(stval);
	return false;
}

/* One CSR instruction in S mode: funct3, number; a1 in, a0 out. */
static bool access(unsigned funct3, unsigned number, uint64_t in, uint64_t *out)
{
	code[0] = number << 20 | 11 << 15 | funct3 << 12 | 10 << 7 | 0x73;
	code[1] = 0x00100073;
	__asm__ volatile("fence.i" ::: "memory");
	f.pc = (uint64_t)code;
	f.x[11] = in;
	f.x[10] = 0x55;
	csr_set(sstatus, 0x100);
	frame_run(&f);
	*out = f.x[10];
	return cause == 3;
}

static const uint64_t values[] = {0, -1UL, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 1, 2, 3,
	0x123456789, 0x80000000, 0x8000000000000000};

static void keeps(const char *name, unsigned number, uint64_t mask)
{
	uint64_t was, got, dummy;

	if (!access(2, number, 0, &was)) {
		print("%s: illegal\n", name);
		return;
	}
	print("%s:", name);
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		for (unsigned fn = 1; fn < 4; fn++) {
			if (fn == 1)
				access(1, number, values[i] & mask, &dummy);
			else
				access(fn, number, (values[i] >> 3) & mask, &dummy);
			access(2, number, 0, &got);
			print(" %lx", got);
		}
	}
	access(1, number, was & mask, &dummy);
	print("\n");
}

int main(void)
{
	uint64_t got;

	print("begin\n");
	keeps("sie", 0x104, 0x222);
	keeps("scounteren", 0x106, 7);
	keeps("senvcfg", 0x10a, 0xc1);
	keeps("scause", 0x142, -1UL);
	keeps("stval", 0x143, -1UL);
	keeps("sip", 0x144, 2);
	keeps("stimecmp", 0x14d, -1UL);
	keeps("siselect", 0x150, 0xff);
	keeps("satp", 0x180, 0x0ffff00000000000);
	keeps("fflags", 1, -1UL);
	keeps("frm", 2, 7);
	keeps("fcsr", 3, 0xff);
	/* Those that frame_run needs. */
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		csr_write(sscratch, values[i]);
		csr_write(sepc, values[i] & ~1UL); /* QEMU keeps bit 0, which is always 0 */
		csr_write(stvec, values[i] & ~0xfeUL & ~2UL);
		print("sscratch %lx sepc %lx stvec %lx\n", csr_read(sscratch), csr_read(sepc),
			csr_read(stvec));
		csr_write(sstatus, values[i] & ~0x600ULL & ~0x2UL & ~0x18000UL & ~0x300000000UL);
		csr_set(sstatus, 0x6000);
		print("sstatus %lx\n", csr_read(sstatus));
	}
	csr_write(sstatus, 0x6000);
	/* Machine and hypervisor numbers, read-only ones, and holes. */
	static const unsigned illegal[] = {0x000, 0x004, 0x007, 0x102, 0x103, 0x107, 0x10b, 0x145,
		0x146, 0x14c, 0x14e, 0x152, 0x158, 0x15d, 0x181, 0x1ff, 0x200, 0x280, 0x300, 0x304,
		0x305, 0x341, 0x344, 0x3a0, 0x5a9, 0x600, 0x643, 0x680, 0x7b0, 0x800, 0xb00, 0xb02,
		0xc80, 0xc9f, 0xcff, 0xf11, 0xf14, 0xfff};
	for (unsigned i = 0; i < ARRAY_SIZE(illegal); i++) {
		bool ok = access(2, illegal[i], 0, &got);
		print("csr %x: %s %lx\n", illegal[i], ok ? "there" : "illegal", ok ? 0 : tval);
	}
	static const unsigned read_only[] = {0xc00, 0xc01, 0xc02, 0xdb0};
	for (unsigned i = 0; i < ARRAY_SIZE(read_only); i++)
		for (unsigned fn = 1; fn < 8; fn++)
			if (fn != 4)
				print("write %x by %u: %s\n", read_only[i], fn,
					access(fn, read_only[i], 1, &got) ? "ok" : "illegal");
	print("end\n");
	return 0;
}
