/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_IDS_H
#define PROTO_IDS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The scalar types that cross folders. Each is a struct of its own, so that a guest-physical
 * address can not be taken for a host pointer, nor a page number for an address.
 */
typedef struct {
	uint64_t v; /* guest-physical address, bytes */
} gpa_t;

typedef struct {
	uint64_t v; /* guest-physical page number: gpa >> PAGE_SHIFT */
} gpage_t;

typedef struct {
	uint16_t v; /* slice of one VM; neither dense nor fixed for the life of the VM */
} slice_id_t;

typedef struct {
	uint16_t v; /* vCPU of one VM, counted from 0; on rv64 this is also the hart id */
} vcpu_id_t;

/* One life of a VM, from start to stop; a restart is a new incarnation. Random. */
struct vm_incarnation {
	uint8_t b[16];
};

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u

/* Limits that decoders enforce. */
#define SLICE_MAX 256  /* slice ids are below this */
#define VCPU_MAX  1024 /* vCPU ids are below this */

static inline gpage_t gpa_page(gpa_t a)
{
	return (gpage_t){a.v >> PAGE_SHIFT};
}

static inline gpa_t gpage_addr(gpage_t p)
{
	return (gpa_t){p.v << PAGE_SHIFT};
}

static inline bool slice_eq(slice_id_t a, slice_id_t b)
{
	return a.v == b.v;
}

#endif
