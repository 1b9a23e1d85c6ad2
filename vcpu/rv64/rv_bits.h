/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_BITS_H
#define VCPU_RV64_RV_BITS_H

#include <stdint.h>

/* Numbers of the privileged architecture (version 1.13), the AIA (1.0) and the SBI (2.0). */

/* scause, exceptions (table "Supervisor cause (scause) register values"). */
enum rv_cause {
	RV_CAUSE_FETCH_MISALIGNED = 0,
	RV_CAUSE_FETCH_ACCESS = 1,
	RV_CAUSE_ILLEGAL = 2,
	RV_CAUSE_BREAKPOINT = 3,
	RV_CAUSE_LOAD_MISALIGNED = 4,
	RV_CAUSE_LOAD_ACCESS = 5,
	RV_CAUSE_STORE_MISALIGNED = 6,
	RV_CAUSE_STORE_ACCESS = 7,
	RV_CAUSE_ECALL_U = 8,
	RV_CAUSE_ECALL_S = 9,
	RV_CAUSE_FETCH_PAGE = 12,
	RV_CAUSE_LOAD_PAGE = 13,
	RV_CAUSE_STORE_PAGE = 15,
};
#define RV_CAUSE_INTERRUPT (UINT64_C(1) << 63)

/* Major interrupts. */
#define RV_IRQ_SSI 1
#define RV_IRQ_STI 5
#define RV_IRQ_SEI 9
#define RV_IP(n)   (UINT64_C(1) << (n))
#define RV_IP_ALL  (RV_IP(RV_IRQ_SSI) | RV_IP(RV_IRQ_STI) | RV_IP(RV_IRQ_SEI))

/* sstatus */
#define RV_SSTATUS_SIE      UINT64_C(0x2)
#define RV_SSTATUS_SPIE     UINT64_C(0x20)
#define RV_SSTATUS_SPP      UINT64_C(0x100)
#define RV_SSTATUS_FS       UINT64_C(0x6000)
#define RV_SSTATUS_FS_DIRTY UINT64_C(0x6000)
#define RV_SSTATUS_SUM      UINT64_C(0x40000)
#define RV_SSTATUS_MXR      UINT64_C(0x80000)
#define RV_SSTATUS_UXL_64   UINT64_C(0x200000000)
#define RV_SSTATUS_SD       (UINT64_C(1) << 63)
/* What software can write. */
#define RV_SSTATUS_WRITE                                                                           \
	(RV_SSTATUS_SIE | RV_SSTATUS_SPIE | RV_SSTATUS_SPP | RV_SSTATUS_FS | RV_SSTATUS_SUM |      \
		RV_SSTATUS_MXR)

/* senvcfg */
#define RV_ENVCFG_FIOM       UINT64_C(0x1)
#define RV_ENVCFG_CBIE       UINT64_C(0x30)
#define RV_ENVCFG_CBIE_FLUSH UINT64_C(0x10)
#define RV_ENVCFG_CBCFE      UINT64_C(0x40)
#define RV_ENVCFG_CBZE       UINT64_C(0x80)
/* scounteren: CY, TM, IR */
#define RV_COUNTEREN_ALL 7u
#define RV_ENVCFG_WRITE  (RV_ENVCFG_FIOM | RV_ENVCFG_CBIE | RV_ENVCFG_CBCFE | RV_ENVCFG_CBZE)

/* satp */
#define RV_SATP_MODE_SHIFT 60
#define RV_SATP_ASID_SHIFT 44
#define RV_SATP_PPN_MASK   ((UINT64_C(1) << 44) - 1)
enum rv_satp_mode { RV_SATP_BARE = 0, RV_SATP_SV39 = 8, RV_SATP_SV48 = 9 };

/* Page-table entries, with Svnapot and Svpbmt. */
#define RV_PTE_V         UINT64_C(0x1)
#define RV_PTE_R         UINT64_C(0x2)
#define RV_PTE_W         UINT64_C(0x4)
#define RV_PTE_X         UINT64_C(0x8)
#define RV_PTE_U         UINT64_C(0x10)
#define RV_PTE_G         UINT64_C(0x20)
#define RV_PTE_A         UINT64_C(0x40)
#define RV_PTE_D         UINT64_C(0x80)
#define RV_PTE_PPN_SHIFT 10
#define RV_PTE_PBMT      (UINT64_C(3) << 61)
#define RV_PTE_N         (UINT64_C(1) << 63)
#define RV_PTE_RESERVED  (UINT64_C(0x7f) << 54)

/* AIA: values of siselect. */
#define RV_ISEL_IPRIO_FIRST 0x30
#define RV_ISEL_IPRIO_LAST  0x3f
#define RV_ISEL_EIDELIVERY  0x70
#define RV_ISEL_EITHRESHOLD 0x72
#define RV_ISEL_IMSIC_LAST  0xff
#define RV_ISEL_EIP0        0x80
#define RV_ISEL_EIE0        0xc0

/* SBI error codes (chapter "Binary encoding") and extension ids. */
enum rv_sbi_err {
	RV_SBI_OK = 0,
	RV_SBI_FAILED = -1,
	RV_SBI_NOT_SUPPORTED = -2,
	RV_SBI_INVALID_PARAM = -3,
	RV_SBI_DENIED = -4,
	RV_SBI_INVALID_ADDRESS = -5,
	RV_SBI_ALREADY_AVAILABLE = -6,
};
#define RV_SBI_EXT_BASE   0x10
#define RV_SBI_EXT_TIME   0x54494d45
#define RV_SBI_EXT_IPI    0x735049
#define RV_SBI_EXT_RFENCE 0x52464e43
#define RV_SBI_EXT_HSM    0x48534d
#define RV_SBI_EXT_SRST   0x53525354
#define RV_SBI_EXT_DBCN   0x4442434e

#endif
