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

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
