/* SPDX-License-Identifier: Apache-2.0 */
/*
 *  Run time of the bare-metal S-mode test programs. They run on bare RISC-V, so no header of the
 *  project fits.
 */
#ifndef RT_H
#define RT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sbi_ret {
	long error;
	unsigned long value;
};

#define SBI_BASE   0x10
#define SBI_TIME   0x54494d45
#define SBI_IPI    0x735049
#define SBI_RFENCE 0x52464e43
#define SBI_HSM    0x48534d
#define SBI_SRST   0x53525354
#define SBI_DBCN   0x4442434e

void sbi_raw(unsigned long a0, unsigned long a1, unsigned long a2, unsigned long a3,
	unsigned long a4, unsigned long ext, unsigned long fn, struct sbi_ret *ret);
void hart_entry(void);

static inline struct sbi_ret sbi(unsigned long ext, unsigned long fn, unsigned long a0,
	unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4)
{
	struct sbi_ret r;
	sbi_raw(a0, a1, a2, a3, a4, ext, fn, &r);
	return r;
}

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* Console output: %d %u %x %lx %s %c, widths with leading zeros for %x. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One trap as it was taken. */
struct trap_record {
	uint64_t cause, epc, tval, status;
};

#define csr_read(csr)                                                                              \
	({                                                                                         \
		uint64_t v_;                                                                       \
		__asm__ volatile("csrr %0, " #csr : "=r"(v_)::"memory");                           \
		v_;                                                                                \
	})
#define csr_write(csr, v) __asm__ volatile("csrw " #csr ", %0" ::"r"((uint64_t)(v)) : "memory")
#define csr_set(csr, v)   __asm__ volatile("csrs " #csr ", %0" ::"r"((uint64_t)(v)) : "memory")
#define csr_clear(csr, v) __asm__ volatile("csrc " #csr ", %0" ::"r"((uint64_t)(v)) : "memory")

/* The register file of code that runs under frame_run (trap.S knows the offsets). */
struct frame {
	uint64_t x[32];
	uint64_t f[32];
	uint64_t pc;
	uint32_t fcsr;
	uint32_t pad;
	uint64_t context[16];
};
_Static_assert(offsetof(struct frame, f) == 256 && offsetof(struct frame, pc) == 512 &&
		       offsetof(struct frame, fcsr) == 520 &&
		       offsetof(struct frame, context) == 528,
	"offsets in trap.S");

/* Run from f->pc, in the privilege that sstatus.SPP names, until frame_handler says stop. */
void frame_run(struct frame *f);
/* Of the program: called on a trap, with sstatus as it was; true resumes at f->pc. */
bool frame_handler(struct frame *f, uint64_t sstatus);

/* Bytes of the instruction at pc. */
static inline unsigned insn_len(uint64_t pc)
{
	return (*(const volatile uint16_t *)pc & 3) == 3 ? 4 : 2;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
