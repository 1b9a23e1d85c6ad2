/* SPDX-License-Identifier: Apache-2.0 */
/* What the SBI answers, invalid parameters included. Two harts; hart 1 stays stopped. */
#include "rt.h"

#define HARTS 2

static void call(const char *name, unsigned long ext, unsigned long fn, unsigned long a0,
	unsigned long a1, unsigned long a2)
{
	struct sbi_ret r = sbi(ext, fn, a0, a1, a2, 0, 0);
	print("%s(%lx, %lx, %lx): %ld %lx\n", name, a0, a1, a2, r.error, r.value);
}

static void base(void)
{
	static const unsigned long ids[] = {SBI_BASE, SBI_TIME, SBI_IPI, SBI_RFENCE, SBI_HSM,
		SBI_SRST, SBI_DBCN, 0x0a000000, 0x12345678};

	call("version", SBI_BASE, 0, 0, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		call("probe", SBI_BASE, 3, ids[i], 0, 0);
	call("mvendorid", SBI_BASE, 4, 0, 0, 0);
	call("base 7", SBI_BASE, 7, 0, 0, 0);
	call("no extension", 0x12345678, 0, 0, 0, 0);
}

static void masks(void)
{
	static const struct {
		unsigned long mask, base;
	} m[] = {{1, 0}, {0, 0}, {0, -1UL}, {3, 0}, {1, 1}};

	for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
		call("ipi", SBI_IPI, 0, m[i].mask, m[i].base, 0);
		print("ssip %lx\n", csr_read(sip) & 2);
		csr_clear(sip, 2);
		for (unsigned fn = 0; fn < 3; fn++)
			call("rfence", SBI_RFENCE, fn, m[i].mask, m[i].base, 0);
	}
	call("ipi 1", SBI_IPI, 1, 1, 0, 0);
	call("rfence 9", SBI_RFENCE, 9, 1, 0, 0);
	call("time 1", SBI_TIME, 1, -1UL, 0, 0);
}

static void hsm(void)
{
	call("status", SBI_HSM, 2, 0, 0, 0);
	call("status", SBI_HSM, 2, 1, 0, 0);
	call("status", SBI_HSM, 2, 2, 0, 0);
	call("status", SBI_HSM, 2, -1UL, 0, 0);
	call("start", SBI_HSM, 0, 0, 0x80200000, 0);
	call("start", SBI_HSM, 0, 2, 0x80200000, 0);
	call("suspend", SBI_HSM, 3, 1, 0x80200000, 0);
	/* Not compared: types for platforms (0x10000000...). OpenSBI says not supported. */
	call("suspend", SBI_HSM, 3, 0x80000001, 0x80200000, 0);
	call("hsm 9", SBI_HSM, 9, 0, 0, 0);
}

static void suspend(void)
{
	/* Something pending already, so that it returns. */
	csr_write(sie, 2);
	csr_set(sip, 2);
	call("suspend", SBI_HSM, 3, 0, 0, 0);
	csr_clear(sip, 2);
	csr_write(sie, 0x20);
	csr_write(stimecmp, csr_read(time) + 20000);
	call("suspend until the timer", SBI_HSM, 3, 0, 0, 0);
	print("sip %lx\n", csr_read(sip) & 0x20);
	csr_write(stimecmp, -1UL);
	csr_write(sie, 0);
}

static void console_and_reset(void)
{
	static const char text[] = "bytes from DBCN\n";

	call("write", SBI_DBCN, 0, 0, (unsigned long)text, 0);
	call("write", SBI_DBCN, 0, sizeof(text) - 1, (unsigned long)text, 0);
	call("write_byte", SBI_DBCN, 2, '\n', 0, 0);
	call("dbcn 7", SBI_DBCN, 7, 0, 0, 0);
	call("reset type", SBI_SRST, 0, 3, 0, 0);
	call("reset type", SBI_SRST, 0, 0xe0000000, 0, 0);
	call("srst 5", SBI_SRST, 5, 0, 0, 0);
}

bool frame_handler(struct frame *f, uint64_t sstatus)
{
	return false;
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
	base();
	masks();
	hsm();
	suspend();
	console_and_reset();
	print("end\n");
	return 0;
}
