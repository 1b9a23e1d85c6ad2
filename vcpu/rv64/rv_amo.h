/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_AMO_H
#define VCPU_RV64_RV_AMO_H

#include "vcpu/rv64/rv_hart.h"

/* Atomic memory operations of one decoded instruction, rd written. True: an exception was raised.
 * Context: the vCPU's thread, inside the instruction. */
bool rv_amo(struct rv_hart *h, const struct rv_insn *d);
bool rv_lr(struct rv_hart *h, const struct rv_insn *d, unsigned size);
/* The store-conditional of a pair without a reservation: by the value that was loaded. */
bool rv_sc_bare(struct rv_hart *h, const struct rv_insn *d, unsigned size);
bool rv_sc(struct rv_hart *h, const struct rv_insn *d, unsigned size);

#endif
