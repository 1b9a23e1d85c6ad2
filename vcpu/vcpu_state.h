/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_VCPU_STATE_H
#define VCPU_VCPU_STATE_H

#include "proto/rv64_map.h"
#include "vcpu/vcpu.h"

/*
 * The architectural state of one rv64 vCPU. Plain data in host byte order: whoever sends it
 * encodes it field by field. Reservations of load-reserved do not travel: a store-conditional
 * after a move fails, as the architecture allows.
 */
struct vcpu_state_rv64 {
	uint64_t x[32]; /* x[0] is 0 */
	uint64_t f[32];
	uint64_t pc;
	uint64_t sstatus; /* as software reads it */
	uint64_t sie, stvec, scounteren, senvcfg, sscratch, sepc, scause, stval, satp, stimecmp;
	uint64_t instret;
	uint32_t fcsr;
	uint32_t siselect;
	uint8_t priv; /* 0 U, 1 S */
	uint8_t ssip;
	uint8_t hsm;                     /* enum vcpu_hsm */
	uint64_t start_pc, start_opaque; /* when hsm is START_PENDING */
	uint32_t eidelivery, eithreshold;
	uint64_t eip[(RV64_IMSIC_IDS + 1) / 64];
	uint64_t eie[(RV64_IMSIC_IDS + 1) / 64];
};

#endif
