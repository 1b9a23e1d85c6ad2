/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_IMSIC_H
#define VCPU_RV64_RV_IMSIC_H

#include <stdatomic.h>

#include "base/check.h"
#include "proto/rv64_map.h"

#define RV_IMSIC_WORDS ((RV64_IMSIC_IDS + 1) / 64)
STATIC_CHECK((RV64_IMSIC_IDS + 1) % 64 == 0,
	"AIA: the number of identities is one less than a multiple of 64");

/*
 *  The supervisor-level interrupt file of one hart (AIA chapter 3). Any thread sets eip; the rest
 *  is the vCPU's.
 */
struct rv_imsic {
	_Atomic uint64_t eip[RV_IMSIC_WORDS];
	uint64_t eie[RV_IMSIC_WORDS];
	uint32_t eidelivery;  /* 0 or 1 */
	uint32_t eithreshold; /* 0: none */
};

/*
 *  Set a pending bit; identities outside 1..RV64_IMSIC_IDS are ignored, as the file does. Any
 *  thread.
 */
void rv_imsic_set(struct rv_imsic *f, uint32_t id);
/*
 *  Highest-priority pending and enabled identity under the threshold, 0: none. Independent of
 *  eidelivery.
 */
uint32_t rv_imsic_top(const struct rv_imsic *f);
/* Clear a pending bit. */
void rv_imsic_claim(struct rv_imsic *f, uint32_t id);
/* Registers behind siselect 0x70..0xff. ERR_INVAL: an illegal instruction. */
MUST_CHECK int rv_imsic_read(const struct rv_imsic *f, uint32_t sel, uint64_t *out);
MUST_CHECK int rv_imsic_modify(struct rv_imsic *f, uint32_t sel, uint64_t clear, uint64_t set);

#endif
