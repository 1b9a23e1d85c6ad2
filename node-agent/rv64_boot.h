/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_RV64_BOOT_H
#define NODE_AGENT_RV64_BOOT_H

#include "base/check.h"
#include "node-agent/rv64_fdt.h"

/* What is booted. The descriptors are read with pread from offset 0 and stay the caller's. */
struct rv64_boot {
	int kernel_fd; /* a flat RISC-V Linux Image */
	int initrd_fd; /* or -1 */
};

#define RV64_BOOT_ERROR_MAX 160

/*
 * Load kernel, initrd and device tree into guest memory. `fdt` describes the machine; its initrd
 * fields are filled in here. *pc and *fdt_addr are where hart 0 starts and its a1. On error `why`
 * (RV64_BOOT_ERROR_MAX bytes) says what is wrong with which file. Context: a thread that may block
 * on guest memory.
 */
MUST_CHECK int rv64_boot_load(const struct rv64_boot *boot, struct rv64_fdt_cfg *fdt,
	const struct dsm_gate *gate, gpa_t *pc, gpa_t *fdt_addr, char *why);

#endif
