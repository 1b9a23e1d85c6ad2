/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_RV64_FDT_H
#define NODE_AGENT_RV64_FDT_H

#include "base/check.h"
#include "dsm/dsm.h"
#include "proto/ids.h"

/* What the guest is told about its machine. All pointers stay the caller's. */
struct rv64_fdt_cfg {
	const struct dsm_node *nodes; /* guest nodes in order; node i is NUMA node i */
	size_t n_nodes;
	unsigned vcpus;
	const uint16_t *vcpu_node; /* index into nodes, per vCPU */
	bool svadu;
	const char *append; /* kernel command line */
	gpa_t initrd;
	uint64_t initrd_bytes; /* 0: none */
	unsigned device_node;  /* the node whose slice has the devices */
};

#define RV64_FDT_MAX_BYTES (UINT64_C(1) << 20)

/*
 * Build the flattened device tree of the rv64 machine (docs/guest-machine.md). The blob is
 * malloc'd, the caller frees it. ERR_NO_SPACE: larger than RV64_FDT_MAX_BYTES. Context: any.
 */
MUST_CHECK int rv64_fdt_build(const struct rv64_fdt_cfg *cfg, void **out, size_t *out_bytes);

#endif
