/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_VCPU_DIRECT_H
#define TESTS_LIB_VCPU_DIRECT_H

#include "vcpu/vcpu.h"

/*
 * Environment of vCPUs that are all in this process: interrupts and hart calls reach their target
 * by a function call. The context is a struct vcpu_direct, or a struct that begins with one; a test
 * puts VCPU_DIRECT_OPS into its table beside what it wants to see or decide itself.
 */
struct vcpu_direct {
	struct vcpu *const *v; /* by id */
};

void vcpu_direct_msi(void *ctx, vcpu_id_t self, vcpu_id_t to, uint32_t id);
void vcpu_direct_ipi(void *ctx, vcpu_id_t self, vcpu_id_t to);
int vcpu_direct_hart_start(void *ctx, vcpu_id_t self, vcpu_id_t to, uint64_t pc, uint64_t opaque);
int vcpu_direct_hart_status(void *ctx, vcpu_id_t self, vcpu_id_t to, enum vcpu_hsm *out);

#define VCPU_DIRECT_OPS                                                                            \
	.msi = vcpu_direct_msi, .ipi = vcpu_direct_ipi, .hart_start = vcpu_direct_hart_start,      \
	.hart_status = vcpu_direct_hart_status

#endif
