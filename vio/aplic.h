/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_APLIC_H
#define VIO_APLIC_H

#include "vio/vio.h"

/*
 * Advanced platform-level interrupt controller (RISC-V AIA 1.0, chapter 4): one supervisor-level
 * domain in MSI delivery mode. It turns wired interrupts into memory writes to the IMSIC files.
 */
struct aplic;
extern const struct vio_range_ops aplic_range_ops;

struct aplic_cfg {
	struct vio_irq irq;
	unsigned sources; /* wired interrupts 1..sources */
	unsigned harts;
	/* Where the harts' interrupt files are. The domain has no smsiaddrcfg: that belongs to the
	 * machine level, which set it before the guest began. */
	gpa_t imsic_base;
	uint64_t imsic_stride;
};

MUST_CHECK int aplic_create(const struct aplic_cfg *cfg, struct aplic **out);
void aplic_destroy(struct aplic *a);
void aplic_reset(struct aplic *a);

/* The line of one source, for the device that drives it. */
struct vio_line aplic_line(struct aplic *a, unsigned source);

#endif
