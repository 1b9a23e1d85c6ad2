/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_MMU_H
#define VCPU_RV64_RV_MMU_H

#include "vcpu/rv64/rv_hart.h"

/*
 *  Address translation and the accesses that do not hit the soft TLB. Context of all: the vCPU's
 *  thread, inside an instruction whose pc is in h->pc. True means: an exception was raised.
 */

/* Privilege or SUM have changed. */
void rv_mmu_update_view(struct rv_hart *h);
/* The address space has changed too, or translations were forgotten. */
void rv_mmu_update(struct rv_hart *h);
/* The context of instruction fetches (rv_tlb.h). */
uint64_t rv_mmu_fetch_ctx(const struct rv_hart *h);
void rv_mmu_fence(struct rv_hart *h, const struct vcpu_fence *f);

/* Any alignment; sizes 1, 2, 4, 8; the value is zero-extended. */
bool rv_mmu_load(struct rv_hart *h, uint64_t va, unsigned size, uint64_t *out);
bool rv_mmu_store(struct rv_hart *h, uint64_t va, unsigned size, uint64_t value);

/* Host address of RAM for an aligned access within one page. Devices raise an access fault. */
bool rv_mmu_host(
	struct rv_hart *h, uint64_t va, enum rv_access access, uint8_t **host, uint64_t *pa);
/*
 *  May this page be accessed so? Raises what the access would, for anything but an access fault of
 *  a device.
 */
bool rv_mmu_probe(struct rv_hart *h, uint64_t va, enum rv_access access);

/* The instruction word at `pc`; also makes its page the one that the interpreter fetches from. */
bool rv_mmu_fetch(struct rv_hart *h, uint64_t pc, uint32_t *word);

/*
 *  rv_mmio.c: aligned accesses to what is not RAM: interrupt files of all harts, then the
 *  machine's devices.
 */
bool rv_mmio_load(struct rv_hart *h, uint64_t va, uint64_t pa, unsigned size, uint64_t *out);
bool rv_mmio_store(struct rv_hart *h, uint64_t va, uint64_t pa, unsigned size, uint64_t value);

/* x86 loads and stores at any address; the compiler must be told. */
#define RV_UNALIGNED(bits)                                                                         \
	struct rv_unaligned_##bits {                                                               \
		uint##bits##_t v;                                                                  \
	} __attribute__((packed))
RV_UNALIGNED(8);
RV_UNALIGNED(16);
RV_UNALIGNED(32);
RV_UNALIGNED(64);
#undef RV_UNALIGNED

/* An instruction word, which may begin at any even address. */
static inline uint32_t rv_host_word(const uint8_t *p)
{
	return ((const volatile struct rv_unaligned_32 *)(const void *)p)->v;
}

static inline struct rv_tlb_entry *rv_tlb_slot(struct rv_tlb_entry *table, uint64_t va)
{
	return &table[rv_tlb_index(va)];
}

/* Does an aligned access of `size` bytes hit? */
static inline bool rv_tlb_hit(const struct rv_tlb_entry *e, enum rv_access access, uint64_t va,
	unsigned size, uint64_t ctx)
{
	return e->tag[access] == ((va & (RV_PAGE_MASK | (size - 1))) | ctx);
}

static inline uint8_t *rv_tlb_addr(const struct rv_tlb_entry *e, uint64_t va)
{
	return (uint8_t *)(uintptr_t)(va + e->addend);
}

/* Must a store look at reservations first? */
static inline bool rv_reservations(const struct rv_hart *h)
{
	return atomic_load_explicit(&h->vcpu.env.group->live, memory_order_relaxed) != 0;
}

#endif
