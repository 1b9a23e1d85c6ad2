/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_RV64_RV_TLB_H
#define VCPU_RV64_RV_TLB_H

#include "base/check.h"
#include "proto/ids.h"

struct rv_hart;
struct vcpu_fence;

/*
 * The soft TLB: guest virtual page -> host address. One table for each way to look at memory
 * (user, supervisor, supervisor with SUM), so that a hit needs one comparison: a tag is the page's
 * address with a context number in bits 3..11; bits 0..2 stay 0, so a misaligned address never
 * hits.
 *
 * A context stands for (mode, ASID). Dropping an ASID, or everything, only forgets the number; the
 * tables are wiped when the numbers have been used up. Entries hold no page of the DSM: when a
 * page leaves this slice its host address stays, and the access stops in the kernel.
 */
enum rv_access { RV_READ, RV_WRITE, RV_EXEC, RV_ACCESS_N };
enum rv_view { RV_VIEW_U, RV_VIEW_S, RV_VIEW_S_SUM, RV_VIEW_N };

#define RV_TLB_BITS         15
#define RV_TLB_ENTRIES      (1u << RV_TLB_BITS)
#define RV_TLB_CTX_SHIFT    3
#define RV_TLB_CTX_N        512u
#define RV_TLB_NO_TAG       UINT64_C(0xff8) /* context RV_TLB_CTX_N - 1 is never given out */
#define RV_TLB_REGIONS      2
#define RV_TLB_REGION_WORDS 16
#define RV_PAGE_MASK        (~(uint64_t)(PAGE_BYTES - 1))

struct rv_tlb_entry {
	uint64_t tag[RV_ACCESS_N];
	uint64_t addend; /* host address = guest virtual address + addend, modulo 2^64 */
};
STATIC_CHECK(sizeof(struct rv_tlb_entry) == 32, "two entries fill a cache line");

struct rv_tlb {
	struct rv_tlb_entry table[RV_VIEW_N][RV_TLB_ENTRIES];
	uint32_t ctx_key[RV_TLB_CTX_N]; /* mode << 17 | asid, or RV_TLB_GLOBAL */
	bool ctx_live[RV_TLB_CTX_N];
	uint32_t ctx_next; /* first number not yet given out since the tables were wiped */
	/* Regions of 2 MiB and of 1 GiB (hashed) with entries from leaves of up to that size. */
	uint64_t large[RV_TLB_REGIONS][RV_TLB_REGION_WORDS];
	uint64_t wipes; /* how often the numbers of contexts began anew */
	bool huge;      /* there are entries from still larger leaves */
};

/* The two address bits of the hash keep buffers that lie megabytes apart from sharing an entry. */
static inline unsigned rv_tlb_index(uint64_t va)
{
	return (unsigned)((va >> PAGE_SHIFT) ^ (va >> (PAGE_SHIFT + RV_TLB_BITS))) &
	       (RV_TLB_ENTRIES - 1);
}

/*
 *  Translated code takes the index from the lower and the tag from the upper end of what it is
 *  about to access (jit/tr_mem.c): across two pages with one index it would hit. So of such
 *  neighbours, one pair in some TiB, the upper page is not held.
 */
static inline bool rv_tlb_may_hold(uint64_t va)
{
	return rv_tlb_index(va) != rv_tlb_index(va - PAGE_BYTES);
}

/* Context of all: the vCPU's thread. */
void rv_tlb_init(struct rv_tlb *t);
/*
 *  The context for (mode, asid), in tag position. May wipe the tables. RV_TLB_GLOBAL in place of an
 *  ASID: what is mapped alike in all spaces, and survives rv_tlb_drop_asid.
 */
#define RV_TLB_GLOBAL 0x10000u
uint64_t rv_tlb_context(struct rv_tlb *t, unsigned mode, unsigned asid);
/* Forget contexts; the caller takes a new one with rv_tlb_context. */
void rv_tlb_drop_asid(struct rv_tlb *t, unsigned asid);
void rv_tlb_drop_all(struct rv_tlb *t);
/*
 *  Drop what came from the leaf entry for one address, in every context. Returns how much that can
 *  have been: log2 of bytes around the address, 63 for all.
 */
unsigned rv_tlb_drop_page(struct rv_tlb *t, uint64_t va);
/* Remember that an entry for `va` came from a leaf of `leaf_bytes`, more than a page. */
void rv_tlb_note_large(struct rv_tlb *t, uint64_t va, uint64_t leaf_bytes);

#endif
