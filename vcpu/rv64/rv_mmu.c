/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_mmu.h"

#include <string.h>

/* What a walk found. */
struct leaf {
	uint64_t pa;
	uint64_t bytes; /* of the leaf */
	bool global;
	bool may[RV_ACCESS_N];
};

static enum rv_cause page_fault(enum rv_access access)
{
	return access == RV_READ    ? RV_CAUSE_LOAD_PAGE
	       : access == RV_WRITE ? RV_CAUSE_STORE_PAGE
				    : RV_CAUSE_FETCH_PAGE;
}

static enum rv_cause access_fault(enum rv_access access)
{
	return access == RV_READ    ? RV_CAUSE_LOAD_ACCESS
	       : access == RV_WRITE ? RV_CAUSE_STORE_ACCESS
				    : RV_CAUSE_FETCH_ACCESS;
}

static unsigned satp_mode(const struct rv_hart *h)
{
	return (unsigned)(h->satp >> RV_SATP_MODE_SHIFT);
}

static unsigned satp_asid(const struct rv_hart *h)
{
	return (h->satp >> RV_SATP_ASID_SHIFT) & 0xffff;
}

static enum rv_view data_view(const struct rv_hart *h)
{
	if (h->priv == RV_PRIV_U)
		return RV_VIEW_U;
	return (h->sstatus & RV_SSTATUS_SUM) != 0 ? RV_VIEW_S_SUM : RV_VIEW_S;
}

static enum rv_view view_of(const struct rv_hart *h, enum rv_access access)
{
	return access == RV_EXEC && h->priv == RV_PRIV_S ? RV_VIEW_S : data_view(h);
}

/*
 * A supervisor without SUM sees its own pages only, and kernels map those alike in all address
 * spaces. So this view has one context for all, until a page without G turns up in it.
 */
static uint64_t view_ctx(const struct rv_hart *h, enum rv_view view)
{
	return view == RV_VIEW_S ? h->ctx_s : h->ctx_space;
}

uint64_t rv_mmu_fetch_ctx(const struct rv_hart *h)
{
	return view_ctx(h, view_of(h, RV_EXEC));
}

void rv_mmu_update_view(struct rv_hart *h)
{
	h->tlb = h->mmu.table[data_view(h)];
	h->tlb_ctx = view_ctx(h, data_view(h));
	h->fetch_limit = 0;
	rv_jit_context(h);
}

void rv_mmu_update(struct rv_hart *h)
{
	uint64_t before = h->mmu.wipes, wipes;

	/* Taking the second may wipe the first away, but not twice in a row. */
	do {
		wipes = h->mmu.wipes;
		h->ctx_s = rv_tlb_context(&h->mmu, satp_mode(h), RV_TLB_GLOBAL);
		h->ctx_space = rv_tlb_context(&h->mmu, satp_mode(h), satp_asid(h));
	} while (h->mmu.wipes != wipes);
	if (h->s_not_global)
		h->ctx_s = h->ctx_space;
	if (wipes != before)
		rv_jit_forget(h);
	rv_mmu_update_view(h);
}

/* Pages of a fence that are dropped one by one; more, and everything goes. */
#define FENCE_PAGES_MAX 64

void rv_mmu_fence(struct rv_hart *h, const struct vcpu_fence *f)
{
	uint64_t end;

	if (f->kind == VCPU_FENCE_I) {
		rv_jit_fence_i(h); /* the interpreter reads instructions from memory each time */
		return;
	}
	if (f->bytes / PAGE_BYTES <= FENCE_PAGES_MAX && !add_overflows(f->start, f->bytes, &end)) {
		for (uint64_t va = f->start & RV_PAGE_MASK; va < end; va += PAGE_BYTES)
			rv_jit_unmap(h, va, rv_tlb_drop_page(&h->mmu, va));
	} else if (f->kind == VCPU_FENCE_VMA_ASID) {
		rv_tlb_drop_asid(&h->mmu, f->asid);
	} else {
		rv_tlb_drop_all(&h->mmu);
	}
	rv_mmu_update(h);
}

/* ---- the walk (privileged specification, "Virtual Address Translation Process") ------------ */

static bool leaf_allowed(const struct rv_hart *h, uint64_t pte, enum rv_access access)
{
	bool user = (pte & RV_PTE_U) != 0;

	if (h->priv == RV_PRIV_U
			? !user
			: user && (access == RV_EXEC || (h->sstatus & RV_SSTATUS_SUM) == 0))
		return false;
	if (access == RV_WRITE)
		return (pte & RV_PTE_W) != 0;
	if (access == RV_EXEC)
		return (pte & RV_PTE_X) != 0;
	return (pte & RV_PTE_R) != 0 ||
	       ((pte & RV_PTE_X) != 0 && (h->sstatus & RV_SSTATUS_MXR) != 0);
}

enum walk { WALK_LEAF, WALK_DOWN, WALK_PAGE_FAULT };

/* Steps 3 to 6 of the process for one entry; bytes of the leaf, which Svnapot may enlarge. */
static enum walk pte_classify(uint64_t pte, unsigned level, uint64_t *bytes)
{
	uint64_t ppn = (pte >> RV_PTE_PPN_SHIFT) & RV_SATP_PPN_MASK;

	if ((pte & RV_PTE_V) == 0 || (pte & (RV_PTE_R | RV_PTE_W)) == RV_PTE_W ||
		(pte & RV_PTE_RESERVED) != 0)
		return WALK_PAGE_FAULT;
	if ((pte & (RV_PTE_R | RV_PTE_X)) == 0) {
		/* "For non-leaf PTEs, the D, A, and U bits are reserved", and so are N and PBMT. */
		bool bad = (pte & (RV_PTE_D | RV_PTE_A | RV_PTE_U | RV_PTE_N | RV_PTE_PBMT)) != 0;
		return bad || level == 0 ? WALK_PAGE_FAULT : WALK_DOWN;
	}
	if ((pte & RV_PTE_PBMT) == RV_PTE_PBMT)
		return WALK_PAGE_FAULT;
	if ((ppn & ((UINT64_C(1) << (9 * level)) - 1)) != 0)
		return WALK_PAGE_FAULT; /* misaligned superpage */
	*bytes = (uint64_t)PAGE_BYTES << (9 * level);
	if ((pte & RV_PTE_N) != 0) {
		if (level != 0 || (ppn & 0xf) != 0x8) /* Svnapot: only 64 KiB is defined */
			return WALK_PAGE_FAULT;
		*bytes = 16 * PAGE_BYTES;
	}
	return WALK_LEAF;
}

static void leaf_fill(const struct rv_hart *h, uint64_t pte, uint64_t va, struct leaf *out)
{
	uint64_t base = ((pte >> RV_PTE_PPN_SHIFT) & RV_SATP_PPN_MASK) << PAGE_SHIFT;

	out->pa = (base & ~(out->bytes - 1)) | (va & (out->bytes - 1));
	for (int a = 0; a < RV_ACCESS_N; a++)
		out->may[a] = leaf_allowed(h, pte, (enum rv_access)a);
	/* Without D the next store must come back here. */
	out->may[RV_WRITE] = out->may[RV_WRITE] && (pte & RV_PTE_D) != 0;
}

/*
 * A and D. The entry is written only when a bit really changes, or page tables would bounce
 * between slices: read it plainly, and compare-and-swap if need be. False: it has changed
 * meanwhile, walk again.
 */
static bool pte_update(_Atomic uint64_t *at, uint64_t *pte, enum rv_access access)
{
	uint64_t want = *pte | RV_PTE_A | (access == RV_WRITE ? RV_PTE_D : 0);
	uint64_t was = *pte;

	if (!atomic_compare_exchange_strong(at, &was, want))
		return false;
	*pte = want;
	return true;
}

static bool pte_stale(uint64_t pte, enum rv_access access)
{
	return (pte & RV_PTE_A) == 0 || (access == RV_WRITE && (pte & RV_PTE_D) == 0);
}

/* True: exception raised. */
static bool walk(struct rv_hart *h, uint64_t va, enum rv_access access, struct leaf *out)
{
	unsigned levels = satp_mode(h) == RV_SATP_SV48 ? 4 : 3;
	unsigned va_bits = 12 + 9 * levels;

	if ((uint64_t)((int64_t)(va << (64 - va_bits)) >> (64 - va_bits)) != va)
		return rv_raise(h, page_fault(access), va);
again:;
	uint64_t table = (h->satp & RV_SATP_PPN_MASK) << PAGE_SHIFT;
	out->global = false;
	for (unsigned level = levels; level-- > 0;) {
		uint64_t index = (va >> (PAGE_SHIFT + 9 * level)) & 511;
		_Atomic uint64_t *at = (void *)rv_ram_at(h, table + index * 8, 8);
		if (at == NULL)
			return rv_raise(h, access_fault(access), va);
		uint64_t pte = atomic_load_explicit(at, memory_order_relaxed);
		/* "... implies that all mappings in the subsequent levels ... are global" */
		out->global |= (pte & RV_PTE_G) != 0;
		switch (pte_classify(pte, level, &out->bytes)) {
		case WALK_PAGE_FAULT:
			return rv_raise(h, page_fault(access), va);
		case WALK_DOWN:
			table = ((pte >> RV_PTE_PPN_SHIFT) & RV_SATP_PPN_MASK) << PAGE_SHIFT;
			continue;
		case WALK_LEAF:
			break;
		}
		if (!leaf_allowed(h, pte, access))
			return rv_raise(h, page_fault(access), va);
		if (pte_stale(pte, access)) {
			if (!h->vcpu.cfg.svadu)
				return rv_raise(h, page_fault(access), va);
			if (!pte_update(at, &pte, access))
				goto again;
		}
		leaf_fill(h, pte, va, out);
		return false;
	}
	UNREACHABLE(); /* level 0 never goes down */
}

/* ---- translation through the soft TLB ------------------------------------------------------ */

static void tlb_fill(struct rv_hart *h, uint64_t va, enum rv_access access, const struct leaf *leaf,
	const uint8_t *host)
{
	enum rv_view view = view_of(h, access);
	struct rv_tlb_entry *e = rv_tlb_slot(h->mmu.table[view], va);

	if (view == RV_VIEW_S && !leaf->global && !h->s_not_global) {
		h->s_not_global = true;
		rv_mmu_update(h);
	}
	uint64_t tag = (va & RV_PAGE_MASK) | view_ctx(h, view);

	vcpu_count(&h->vcpu.counts.tlb_fills);
	if (leaf->bytes > PAGE_BYTES && satp_mode(h) != RV_SATP_BARE)
		rv_tlb_note_large(&h->mmu, va, leaf->bytes);
	e->addend = (uint64_t)(uintptr_t)host - va;
	for (int a = 0; a < RV_ACCESS_N; a++)
		e->tag[a] = leaf->may[a] && rv_tlb_may_hold(va) ? tag : RV_TLB_NO_TAG;
	/*
	 *  The view with SUM may read user pages that the fetch view must not, so it holds no
	 *  fetches.
	 */
	if (view == RV_VIEW_S_SUM)
		e->tag[RV_EXEC] = RV_TLB_NO_TAG;
	/* A fetch fills the plain view, where user data is out of reach whatever SUM says now. */
	if (access == RV_EXEC && view != data_view(h))
		e->tag[RV_READ] = e->tag[RV_WRITE] = RV_TLB_NO_TAG;
}

/* Physical address, and host address when it is RAM. True: exception raised. */
static bool translate(
	struct rv_hart *h, uint64_t va, enum rv_access access, uint64_t *pa, uint8_t **host)
{
	enum rv_view view = view_of(h, access);
	const struct rv_tlb_entry *e = rv_tlb_slot(h->mmu.table[view], va);
	struct leaf leaf = {
		.pa = va, .bytes = PAGE_BYTES, .global = true, .may = {true, true, true}};

	if (rv_tlb_hit(e, access, va & RV_PAGE_MASK, 1, view_ctx(h, view))) {
		*host = rv_tlb_addr(e, va);
		*pa = (uint64_t)(*host - rv_ram(h)->host) + rv_ram(h)->base.v;
		return false;
	}
	if (satp_mode(h) != RV_SATP_BARE && walk(h, va, access, &leaf))
		return true;
	uint64_t page = leaf.pa & RV_PAGE_MASK;
	const uint8_t *base = rv_ram_at(h, page, PAGE_BYTES);
	*pa = leaf.pa;
	*host = NULL;
	if (base != NULL) {
		*host = (uint8_t *)base + (va & ~RV_PAGE_MASK);
		tlb_fill(h, va, access, &leaf, *host);
	}
	return false;
}

bool rv_mmu_host(
	struct rv_hart *h, uint64_t va, enum rv_access access, uint8_t **host, uint64_t *pa)
{
	if (translate(h, va, access, pa, host))
		return true;
	return *host == NULL && rv_raise(h, access_fault(access), va);
}

bool rv_mmu_probe(struct rv_hart *h, uint64_t va, enum rv_access access)
{
	uint8_t *host;
	uint64_t pa;
	return translate(h, va, access, &pa, &host);
}

/* ---- loads and stores ---------------------------------------------------------------------- */

/* Guest memory is accessed by other harts at the same time: one host instruction each. */
#define HOST_ACCESS(bits)                                                                          \
	static uint64_t host_load_##bits(const uint8_t *p)                                         \
	{                                                                                          \
		if ((uintptr_t)p % (bits / 8) == 0)                                                \
			return __atomic_load_n(                                                    \
				(const uint##bits##_t *)(const void *)p, __ATOMIC_RELAXED);        \
		return ((const volatile struct rv_unaligned_##bits *)p)->v;                        \
	}                                                                                          \
	static void host_store_##bits(uint8_t *p, uint64_t v)                                      \
	{                                                                                          \
		if ((uintptr_t)p % (bits / 8) == 0)                                                \
			__atomic_store_n(                                                          \
				(uint##bits##_t *)(void *)p, (uint##bits##_t)v, __ATOMIC_RELAXED); \
		else                                                                               \
			((volatile struct rv_unaligned_##bits *)p)->v = (uint##bits##_t)v;         \
	}
HOST_ACCESS(8)
HOST_ACCESS(16)
HOST_ACCESS(32)
HOST_ACCESS(64)
#undef HOST_ACCESS

static uint64_t host_load(const uint8_t *p, unsigned size)
{
	return size == 1   ? host_load_8(p)
	       : size == 2 ? host_load_16(p)
	       : size == 4 ? host_load_32(p)
			   : host_load_64(p);
}

static void host_store(uint8_t *p, unsigned size, uint64_t v)
{
	if (size == 1)
		host_store_8(p, v);
	else if (size == 2)
		host_store_16(p, v);
	else if (size == 4)
		host_store_32(p, v);
	else
		host_store_64(p, v);
}

/* Bytes of the access that lie in its first page; `size` when it does not straddle. */
static unsigned first_part(uint64_t va, unsigned size)
{
	uint64_t left = PAGE_BYTES - (va & ~RV_PAGE_MASK);
	return left < size ? (unsigned)left : size;
}

/* Both pages of a straddling access, before either is touched. */
static bool straddle_host(struct rv_hart *h, uint64_t va, unsigned n1, enum rv_access access,
	uint8_t *host[2], uint64_t pa[2])
{
	return rv_mmu_host(h, va, access, &host[0], &pa[0]) ||
	       rv_mmu_host(h, va + n1, access, &host[1], &pa[1]);
}

static bool load_straddling(struct rv_hart *h, uint64_t va, unsigned size, uint64_t *out)
{
	unsigned n1 = first_part(va, size);
	uint8_t *host[2];
	uint64_t pa[2], v = 0;

	if (straddle_host(h, va, n1, RV_READ, host, pa))
		return true;
	for (unsigned i = 0; i < size; i++)
		v |= host_load(i < n1 ? host[0] + i : host[1] + (i - n1), 1) << (8 * i);
	*out = v;
	return false;
}

static void kill_reservations(struct rv_hart *h, uint64_t pa, unsigned bytes)
{
	if (rv_reservations(h))
		vcpu_res_kill(h->vcpu.env.group, h->vcpu.cfg.slot, pa, bytes);
}

static bool store_straddling(struct rv_hart *h, uint64_t va, unsigned size, uint64_t value)
{
	unsigned n1 = first_part(va, size);
	uint8_t *host[2];
	uint64_t pa[2];

	if (straddle_host(h, va, n1, RV_WRITE, host, pa))
		return true;
	kill_reservations(h, pa[0], n1);
	kill_reservations(h, pa[1], size - n1);
	for (unsigned i = 0; i < size; i++)
		host_store(i < n1 ? host[0] + i : host[1] + (i - n1), 1, value >> (8 * i));
	return false;
}

bool rv_mmu_load(struct rv_hart *h, uint64_t va, unsigned size, uint64_t *out)
{
	uint8_t *host;
	uint64_t pa;

	if (first_part(va, size) < size)
		return load_straddling(h, va, size, out);
	if (translate(h, va, RV_READ, &pa, &host))
		return true;
	if (host == NULL)
		return rv_mmio_load(h, va, pa, size, out);
	*out = host_load(host, size);
	return false;
}

bool rv_mmu_store(struct rv_hart *h, uint64_t va, unsigned size, uint64_t value)
{
	uint8_t *host;
	uint64_t pa;

	if (first_part(va, size) < size)
		return store_straddling(h, va, size, value);
	if (translate(h, va, RV_WRITE, &pa, &host))
		return true;
	if (host == NULL)
		return rv_mmio_store(h, va, pa, size, value);
	kill_reservations(h, pa, size);
	host_store(host, size, value);
	return false;
}

/* ---- instruction fetch --------------------------------------------------------------------- */

bool rv_mmu_fetch(struct rv_hart *h, uint64_t pc, uint32_t *word)
{
	uint8_t *host, *next;
	uint64_t pa;

	if (rv_mmu_host(h, pc, RV_EXEC, &host, &pa))
		return true;
	h->fetch_page = pc & RV_PAGE_MASK;
	h->fetch_host = host - (pc & ~RV_PAGE_MASK);
	h->fetch_limit = PAGE_BYTES - 3;
	if ((pc & ~RV_PAGE_MASK) <= PAGE_BYTES - 4) {
		*word = (uint32_t)host_load(host, 4);
		return false;
	}
	/* The last two bytes of a page: the rest of the instruction, if any, is in the next. */
	uint32_t low = (uint32_t)host_load(host, 2);
	if (rv_word_is_compressed(low)) {
		*word = low;
		return false;
	}
	if (rv_mmu_host(h, pc + 2, RV_EXEC, &next, &pa))
		return true;
	*word = low | (uint32_t)host_load(next, 2) << 16;
	return false;
}
