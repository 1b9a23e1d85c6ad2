/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_VCPU_RIG_H
#define TESTS_UNIT_VCPU_RIG_H

#include "tests/lib/ut.h"
#include "vcpu/rv64/rv_hart.h"

/*
 *  Harts on 16 MiB of plain memory with an environment that notes what it is asked. One at a time.
 */
#define RIG_HARTS 4
/* Harts that translate, at the first arrival, the second for any x86-64; the others interpret. */
#define RIG_TRANSLATED 1
#define RIG_BASELINE   2
#define RIG_RAM_BYTES  (UINT64_C(16) << 20)
#define RIG_CODE       (RV64_RAM_BASE + 0x200000)
#define RIG_DATA       (RV64_RAM_BASE + 0x400000)
#define RIG_TABLES     (RV64_RAM_BASE + 0x800000)
/* The environment has one device: a 64-bit register that keeps what is stored. Reads from the next
 * one fail. */
#define RIG_DEV     UINT64_C(0x10000000)
#define RIG_DEV_BAD UINT64_C(0x10000008)

struct rig {
	struct dsm_ram ram;
	struct vcpu_group *group;
	struct vcpu_env env;
	struct vcpu *v[RIG_HARTS];
	struct rv_hart *h[RIG_HARTS];
	_Atomic uint64_t now_ns;
	uint64_t dev;
	unsigned dev_size, io_fences, resets, fences;
	uint64_t fence_targets;
	char console[64];
	size_t console_n;
	const char *input;
	/* For the DSM operations, which are used when ram.ops is set. */
	uint32_t generation;
	unsigned readonly_times, begins, ends;
	bool lost;
	bool readonly;
};
extern struct rig rig;
extern const struct dsm_ram_ops rig_ram_ops;

void rig_up(void);
void rig_down(void);

/* A word in guest memory. */
uint64_t *rig_at(uint64_t gpa);
/* Put instructions at RIG_CODE, followed by an SBI shutdown, and run hart 0 through them. */
void rig_code(const uint32_t *words, unsigned n);
void rig_run(void);
#define RIG_RUN(...)                                                                               \
	do {                                                                                       \
		const uint32_t words_[] = {__VA_ARGS__};                                           \
		rig_code(words_, ARRAY_SIZE(words_));                                              \
		rig_run();                                                                         \
	} while (0)

/* Instructions. */
#define I_ADDI(rd, rs, imm)  (0x13u | (rd) << 7 | (rs) << 15 | ((uint32_t)(imm)&0xfff) << 20)
#define I_LUI(rd, imm20)     (0x37u | (rd) << 7 | (uint32_t)(imm20) << 12)
#define I_LD(rd, rs, imm)    (0x3003u | (rd) << 7 | (rs) << 15 | ((uint32_t)(imm)&0xfff) << 20)
#define I_SW(rs2, rs1)       (0x2023u | (rs1) << 15 | (rs2) << 20)
#define I_SD(rs2, rs1)       (0x3023u | (rs1) << 15 | (rs2) << 20)
#define I_CSRRW(rd, csr, rs) (0x1073u | (rd) << 7 | (rs) << 15 | (uint32_t)(csr) << 20)
#define I_CSRR(rd, csr)      (0x2073u | (rd) << 7 | (uint32_t)(csr) << 20)
#define I_LR_D(rd, rs)       (0x1000302fu | (rd) << 7 | (rs) << 15)
#define I_SC_D(rd, rs1, rs2) (0x1800302fu | (rd) << 7 | (rs1) << 15 | (rs2) << 20)
#define I_FENCE              0x0330000fu
#define I_WFI                0x10500073u
#define I_ECALL              0x73u
#define I_SRET               0x10200073u

#endif
