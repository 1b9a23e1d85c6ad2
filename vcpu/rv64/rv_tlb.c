/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_tlb.h"

#include <string.h>

static const unsigned region_shift[RV_TLB_REGIONS] = {21, 30};

static void wipe(struct rv_tlb *t)
{
	for (unsigned v = 0; v < RV_VIEW_N; v++)
		for (unsigned i = 0; i < RV_TLB_ENTRIES; i++)
			for (unsigned a = 0; a < RV_ACCESS_N; a++)
				t->table[v][i].tag[a] = RV_TLB_NO_TAG;
	memset(t->ctx_live, 0, sizeof(t->ctx_live));
	memset(t->large, 0, sizeof(t->large));
	t->huge = false;
	t->ctx_next = 0;
	t->wipes++;
}

void rv_tlb_init(struct rv_tlb *t)
{
	memset(t, 0, sizeof(*t));
	wipe(t);
}

uint64_t rv_tlb_context(struct rv_tlb *t, unsigned mode, unsigned asid)
{
	uint32_t key = (uint32_t)(mode << 17 | asid);

	CHECK(mode < 16 && asid <= RV_TLB_GLOBAL);
	/* The newest first: after a flush only new numbers are live. */
	for (unsigned i = t->ctx_next; i-- > 0;)
		if (t->ctx_live[i] && t->ctx_key[i] == key)
			return (uint64_t)i << RV_TLB_CTX_SHIFT;
	if (t->ctx_next == RV_TLB_CTX_N - 1)
		wipe(t);
	t->ctx_key[t->ctx_next] = key;
	t->ctx_live[t->ctx_next] = true;
	return (uint64_t)t->ctx_next++ << RV_TLB_CTX_SHIFT;
}

void rv_tlb_drop_asid(struct rv_tlb *t, unsigned asid)
{
	for (unsigned i = 0; i < t->ctx_next; i++)
		if ((t->ctx_key[i] & 0x1ffff) == asid)
			t->ctx_live[i] = false;
}

void rv_tlb_drop_all(struct rv_tlb *t)
{
	memset(t->ctx_live, 0, sizeof(t->ctx_live));
}

static uint64_t *region_word(struct rv_tlb *t, unsigned region, uint64_t va, uint64_t *bit)
{
	unsigned n = (unsigned)(va >> region_shift[region]) % (64 * RV_TLB_REGION_WORDS);
	*bit = UINT64_C(1) << (n % 64);
	return &t->large[region][n / 64];
}

void rv_tlb_note_large(struct rv_tlb *t, uint64_t va, uint64_t leaf_bytes)
{
	uint64_t bit;

	for (unsigned r = 0; r < RV_TLB_REGIONS; r++) {
		if (leaf_bytes <= UINT64_C(1) << region_shift[r]) {
			uint64_t *word = region_word(t, r, va, &bit);
			*word |= bit;
			return;
		}
	}
	t->huge = true;
}

static void drop_entry(struct rv_tlb_entry *e)
{
	for (unsigned a = 0; a < RV_ACCESS_N; a++)
		e->tag[a] = RV_TLB_NO_TAG;
}

static void drop_in_region(struct rv_tlb *t, unsigned index, unsigned shift, uint64_t va)
{
	for (unsigned v = 0; v < RV_VIEW_N; v++) {
		struct rv_tlb_entry *e = &t->table[v][index];
		for (unsigned a = 0; a < RV_ACCESS_N; a++)
			if ((e->tag[a] ^ va) >> shift == 0)
				e->tag[a] = RV_TLB_NO_TAG;
	}
}

/* Entries are pages; the leaf that they came from may be larger, so its whole region goes. */
static void drop_region(struct rv_tlb *t, unsigned shift, uint64_t va)
{
	uint64_t pages = UINT64_C(1) << (shift - PAGE_SHIFT), first = va >> shift << shift;

	if (pages >= RV_TLB_ENTRIES) {
		for (unsigned i = 0; i < RV_TLB_ENTRIES; i++)
			drop_in_region(t, i, shift, va);
		return;
	}
	for (uint64_t i = 0; i < pages; i++)
		drop_in_region(t, rv_tlb_index(first + (i << PAGE_SHIFT)), shift, va);
}

static void drop_exact(struct rv_tlb *t, uint64_t va)
{
	for (unsigned v = 0; v < RV_VIEW_N; v++) {
		struct rv_tlb_entry *e = &t->table[v][rv_tlb_index(va)];
		for (unsigned a = 0; a < RV_ACCESS_N; a++) {
			if (((e->tag[a] ^ va) & RV_PAGE_MASK) == 0) {
				drop_entry(e);
				break;
			}
		}
	}
}

unsigned rv_tlb_drop_page(struct rv_tlb *t, uint64_t va)
{
	uint64_t bit;

	if (t->huge) {
		rv_tlb_drop_all(t);
		return 63;
	}
	for (unsigned r = RV_TLB_REGIONS; r-- > 0;) {
		const uint64_t *word = region_word(t, r, va, &bit);
		if ((*word & bit) != 0) {
			drop_region(t, region_shift[r], va);
			return region_shift[r];
		}
	}
	drop_exact(t, va);
	return PAGE_SHIFT;
}
