/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_VM_H
#define PROTO_WIRE_VM_H

#include "base/check.h"
#include "proto/ids.h"
#include "proto/wire_msgs.h"

/*
 * Messages between the slices of a VM that are not about memory: interrupts, accesses to device
 * registers, fences, hart state, and the life of the VM. Plain structs here; fixed little-endian on
 * the wire (docs/protocol.md, R-VM-*).
 *
 * Every request names the asking slice's own call number, which its answer repeats; the asker keeps
 * what it asked.
 */

#define WIRE_VM_INTR_WORDS                                                                         \
	4 /* interrupt identities 0..255; 0 stands for the software interrupt of SBI IPI */
#define WIRE_VM_TARGET_WORDS (VCPU_MAX / 64)
#define WIRE_VM_HEAD_MAX     192 /* bytes of the longest message */
#define WIRE_VM_CONSOLE_MAX  128
#define WIRE_VM_WHY_MAX      96

/*
 * Why a VM ended, most telling first: of several reasons that meet, every slice keeps the smallest
 * (R-VM-31).
 */
enum vm_end {
	VM_END_POWER_OFF = 1,  /* the guest powered off */
	VM_END_PANIC = 2,      /* the guest's kernel panicked */
	VM_END_STOPPED = 3,    /* an operator stopped it */
	VM_END_SLICE_LOST = 4, /* a slice died, or is cut off from another */
	VM_END_FAILED =
		5, /* a slice cannot go on: a protocol violation, a failing kernel, no memory */
};

struct wire_vm_msg {
	enum wire_msg_type type; /* WIRE_VM_* */
	uint32_t call;           /* the asker's number for this request */
	vcpu_id_t vcpu;  /* INTR, HART_START, HART_STATUS: the target; else the asking vCPU */
	vcpu_id_t asker; /* HART_START, HART_STATUS: the asking vCPU */
	union {
		uint64_t intr[WIRE_VM_INTR_WORDS]; /* INTR: bit i sets identity i */
		struct {
			gpa_t addr;
			uint8_t size;   /* 1, 2, 4, 8 */
			uint64_t value; /* STORE */
		} access;               /* LOAD, STORE */
		struct {
			bool ok; /* false: nothing answers there */
			uint64_t value;
		} load; /* LOAD_ANSWER */
		struct {
			uint8_t kind; /* enum vcpu_fence_kind */
			uint16_t asid;
			uint64_t start, bytes;
			uint64_t targets[WIRE_VM_TARGET_WORDS];
		} fence; /* FENCE */
		struct {
			uint64_t pc, opaque;
		} start; /* HART_START */
		struct {
			int32_t error;  /* SBI error code */
			uint32_t state; /* enum vcpu_hsm, for HART_STATUS */
		} hart;                 /* HART_ANSWER */
		struct {
			uint16_t len;
			uint8_t bytes[WIRE_VM_CONSOLE_MAX];
		} console; /* CONSOLE: output of the SBI debug console */
		struct {
			uint64_t origin_ns; /* slice 0's host clock at guest time 0 */
		} go;                       /* GO */
		struct {
			uint8_t kind;    /* enum vcpu_reset */
			uint32_t reason; /* SBI reset reason */
		} reset;                 /* RESET: asks the leader */
		struct {
			uint8_t end; /* enum vm_end */
			slice_id_t a,
				b; /* SLICE_LOST: the pair, a <= b; else the slice that saw it */
			char why[WIRE_VM_WHY_MAX + 1];
		} end; /* END */
	} u;
};

/* Encode into `buf` (at least WIRE_VM_HEAD_MAX bytes); the number of bytes. Context: any. */
size_t wire_vm_encode(const struct wire_vm_msg *m, void *buf);

/*
 * Decode and check everything that can be checked without the VM's configuration. ERR_PROTOCOL.
 * Context: any.
 */
MUST_CHECK int wire_vm_decode(uint16_t type, const void *buf, size_t len, struct wire_vm_msg *out);

/* Is `type` in the ranges of this file? */
bool wire_vm_has(uint16_t type);

/* "power-off", "panic", ... for people and for the control plane. */
const char *vm_end_name(enum vm_end end);

#endif
