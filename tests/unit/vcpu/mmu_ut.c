/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_mmu.h"

#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(mmu, rig_up, rig_down);

#define V  UINT64_C(1)
#define R  UINT64_C(2)
#define W  UINT64_C(4)
#define X  UINT64_C(8)
#define U  UINT64_C(16)
#define A  UINT64_C(64)
#define D  UINT64_C(128)
#define VA UINT64_C(0x40000000)

#define ROOT RIG_TABLES
#define MID  (RIG_TABLES + 0x1000)
#define LOW  (RIG_TABLES + 0x2000)

static uint64_t entry(uint64_t pa, uint64_t flags)
{
	return pa >> 2 | flags;
}

/* Tables for VA -> RIG_DATA; hart 0 in S mode with Sv39. */
static struct rv_hart *hart(uint64_t leaf)
{
	struct rv_hart *h = rig.h[0];
	uint64_t old;

	*rig_at(ROOT + 8) = entry(MID, V);
	*rig_at(MID) = entry(LOW, V);
	*rig_at(LOW) = leaf;
	*rig_at(LOW + 8) = 0;
	UT_OK(rv_csr_access(h, 0x180, RV_CSR_WRITE, UINT64_MAX,
		(uint64_t)RV_SATP_SV39 << 60 | ROOT >> 12, &old));
	rv_tlb_drop_all(&h->mmu);
	rv_mmu_update(h);
	return h;
}

static void faults(struct rv_hart *h, bool raised, enum rv_cause cause, uint64_t tval)
{
	UT_CHECK(raised);
	UT_EQ(h->trap_cause, cause);
	UT_EQ(h->trap_tval, tval);
}

UT_TEST(load_and_store)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W | A | D));
	uint64_t v;

	*rig_at(RIG_DATA + 16) = 0x1122334455667788;
	UT_CHECK(!rv_mmu_load(h, VA + 16, 8, &v));
	UT_EQ(v, 0x1122334455667788);
	UT_CHECK(!rv_mmu_load(h, VA + 17, 4, &v));
	UT_EQ(v, 0x44556677);
	UT_CHECK(!rv_mmu_store(h, VA + 18, 2, 0xabcd));
	UT_EQ(*rig_at(RIG_DATA + 16), 0x11223344abcd7788);
}

UT_TEST(a_and_d_are_written_when_they_change)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W));
	uint64_t v;

	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	UT_EQ(*rig_at(LOW), entry(RIG_DATA, V | R | W | A));
	UT_CHECK(!rv_mmu_store(h, VA, 8, 1));
	UT_EQ(*rig_at(LOW), entry(RIG_DATA, V | R | W | A | D));
}

UT_TEST(without_svadu_they_fault)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W));
	uint64_t v;

	h->vcpu.cfg.svadu = false;
	faults(h, rv_mmu_load(h, VA, 8, &v), RV_CAUSE_LOAD_PAGE, VA);
	*rig_at(LOW) |= A;
	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	faults(h, rv_mmu_store(h, VA, 8, 1), RV_CAUSE_STORE_PAGE, VA);
	UT_EQ(*rig_at(LOW), entry(RIG_DATA, V | R | W | A));
}

UT_TEST(superpages_and_their_alignment)
{
	struct rv_hart *h = hart(0);
	uint64_t v;

	*rig_at(RIG_DATA + 0x1008) = 7;
	*rig_at(MID) = entry(RIG_DATA, V | R | A);
	UT_CHECK(!rv_mmu_load(h, VA + 0x1008, 8, &v));
	UT_EQ(v, 7);
	*rig_at(MID) = entry(RIG_DATA + 0x1000, V | R | A);
	rv_mmu_fence(
		h, &(struct vcpu_fence){.kind = VCPU_FENCE_VMA, .start = VA, .bytes = PAGE_BYTES});
	faults(h, rv_mmu_load(h, VA + 0x1008, 8, &v), RV_CAUSE_LOAD_PAGE, VA + 0x1008);
}

UT_TEST(napot)
{
	struct rv_hart *h = hart(0);
	uint64_t v;

	*rig_at(RIG_DATA + 0x7000) = 42;
	for (unsigned i = 0; i < 16; i++)
		*rig_at(LOW + 8 * i) = entry(RIG_DATA + 0x8000, V | R | A) | UINT64_C(1) << 63;
	UT_CHECK(!rv_mmu_load(h, VA + 0x7000, 8, &v));
	UT_EQ(v, 42);
	*rig_at(LOW + 8) = entry(RIG_DATA + 0x4000, V | R | A) | UINT64_C(1) << 63;
	faults(h, rv_mmu_load(h, VA + 0x1000, 8, &v), RV_CAUSE_LOAD_PAGE, VA + 0x1000);
}

UT_TEST(straddling_touches_nothing_when_the_second_page_is_missing)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W | A | D));
	uint64_t v;

	*rig_at(RIG_DATA + 0xff8) = 0;
	faults(h, rv_mmu_store(h, VA + 0xffc, 8, UINT64_MAX), RV_CAUSE_STORE_PAGE, VA + 0x1000);
	UT_EQ(*rig_at(RIG_DATA + 0xff8), 0);
	*rig_at(LOW + 8) = entry(RIG_DATA + 0x2000, V | R | W | A | D);
	UT_CHECK(!rv_mmu_store(h, VA + 0xffc, 8, 0x1122334455667788));
	UT_CHECK(!rv_mmu_load(h, VA + 0xffc, 8, &v));
	UT_EQ(v, 0x1122334455667788);
	UT_EQ(*rig_at(RIG_DATA + 0x2000), 0x11223344);
}

UT_TEST(user_pages_need_sum)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W | X | U | A | D));
	uint64_t v, old;
	uint32_t word;

	faults(h, rv_mmu_load(h, VA, 8, &v), RV_CAUSE_LOAD_PAGE, VA);
	UT_OK(rv_csr_access(h, 0x100, RV_CSR_WRITE, 0, RV_SSTATUS_SUM, &old));
	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	faults(h, rv_mmu_fetch(h, VA, &word), RV_CAUSE_FETCH_PAGE, VA);
	UT_OK(rv_csr_access(h, 0x100, RV_CSR_WRITE, RV_SSTATUS_SUM, 0, &old));
	faults(h, rv_mmu_load(h, VA, 8, &v), RV_CAUSE_LOAD_PAGE, VA);
	h->priv = RV_PRIV_U;
	rv_mmu_update(h);
	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	UT_CHECK(!rv_mmu_fetch(h, VA, &word));
}

UT_TEST(an_old_translation_lives_until_its_fence)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | A));
	static const struct vcpu_fence fences[] = {
		{.kind = VCPU_FENCE_VMA, .start = VA, .bytes = PAGE_BYTES},
		{.kind = VCPU_FENCE_VMA, .start = 0, .bytes = UINT64_MAX},
		{.kind = VCPU_FENCE_VMA_ASID, .start = 0, .bytes = UINT64_MAX, .asid = 0},
		{.kind = VCPU_FENCE_VMA_ASID, .start = VA - 0x100000, .bytes = 0x200000, .asid = 0},
	};
	uint64_t v;

	*rig_at(RIG_DATA) = 1;
	*rig_at(RIG_DATA + 0x1000) = 2;
	for (unsigned i = 0; i < ARRAY_SIZE(fences); i++) {
		*rig_at(LOW) = entry(RIG_DATA, V | R | A);
		rv_mmu_fence(h, &fences[1]);
		UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
		*rig_at(LOW) = entry(RIG_DATA + 0x1000, V | R | A);
		UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
		UT_EQ(v, 1);
		rv_mmu_fence(h, &fences[i]);
		UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
		UT_EQ(v, 2);
	}
}

static void asid(struct rv_hart *h, uint64_t n)
{
	uint64_t old;
	UT_OK(rv_csr_access(h, 0x180, RV_CSR_WRITE, UINT64_MAX,
		(uint64_t)RV_SATP_SV39 << 60 | n << RV_SATP_ASID_SHIFT | ROOT >> 12, &old));
}

UT_TEST(global_pages_of_the_supervisor_are_one_for_all_spaces)
{
	struct vcpu_fence f = {.kind = VCPU_FENCE_VMA_ASID, .bytes = UINT64_MAX, .asid = 2};
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W | A | D | RV_PTE_G));
	uint64_t v, fills;

	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	fills = atomic_load(&h->vcpu.counts.tlb_fills);
	asid(h, 2);
	rv_mmu_fence(h, &f);
	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	UT_EQ(atomic_load(&h->vcpu.counts.tlb_fills), fills);
	f.kind = VCPU_FENCE_VMA;
	rv_mmu_fence(h, &f);
	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	UT_EQ(atomic_load(&h->vcpu.counts.tlb_fills), fills + 1);
}

UT_TEST(pages_that_are_not_global_belong_to_their_space)
{
	struct rv_hart *h = hart(entry(RIG_DATA, V | R | W | A | D | RV_PTE_G));
	uint64_t v;

	*rig_at(LOW + 8) = entry(RIG_DATA, V | R | A | D);
	UT_CHECK(!rv_mmu_load(h, VA, 8, &v));
	UT_CHECK(!rv_mmu_load(h, VA + 4096, 8, &v));
	asid(h, 2);
	/* Another space may have nothing there. */
	*rig_at(LOW + 8) = 0;
	faults(h, rv_mmu_load(h, VA + 4096, 8, &v), RV_CAUSE_LOAD_PAGE, VA + 4096);
}

UT_TEST(tables_and_pages_outside_memory)
{
	struct rv_hart *h = hart(entry(UINT64_C(0x300000000), V | R | W | X | A | D));
	uint32_t word;
	uint64_t v;

	faults(h, rv_mmu_load(h, VA, 8, &v), RV_CAUSE_LOAD_ACCESS, VA);
	faults(h, rv_mmu_fetch(h, VA, &word), RV_CAUSE_FETCH_ACCESS, VA);
	*rig_at(MID) = entry(UINT64_C(0x300000000), V);
	faults(h, rv_mmu_store(h, VA, 8, 1), RV_CAUSE_STORE_ACCESS, VA);
	faults(h, rv_mmu_load(h, UINT64_C(1) << 38, 8, &v), RV_CAUSE_LOAD_PAGE, UINT64_C(1) << 38);
	/* The last bytes of memory, and the first behind. */
	UT_CHECK(rv_ram_at(h, RV64_RAM_BASE + RIG_RAM_BYTES - 8, 8) != NULL);
	UT_CHECK(rv_ram_at(h, RV64_RAM_BASE + RIG_RAM_BYTES - 7, 8) == NULL);
	UT_CHECK(rv_ram_at(h, RV64_RAM_BASE - 1, 1) == NULL);
	UT_CHECK(rv_ram_at(h, UINT64_MAX, UINT64_MAX) == NULL);
}

UT_TEST(sv57_is_refused)
{
	struct rv_hart *h = hart(0);
	uint64_t old, was = h->satp;

	UT_OK(rv_csr_access(h, 0x180, RV_CSR_WRITE, UINT64_MAX, UINT64_C(10) << 60, &old));
	UT_EQ(h->satp, was);
}
