/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "vcpu/vcpu_ops.h"

#define GROUP_MAGIC UINT32_C(0x76677270)

int vcpu_group_create(unsigned n_slots, struct vcpu_group **out)
{
	CHECK(n_slots > 0 && n_slots <= VCPU_MAX);
	size_t bytes = sizeof(struct vcpu_group) + n_slots * sizeof(struct vcpu_res);
	struct vcpu_group *g = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (g == NULL)
		return ERR_NO_MEMORY;
	memset(g, 0, bytes);
	OBJ_INIT(g, GROUP_MAGIC);
	g->n = n_slots;
	*out = g;
	return 0;
}

void vcpu_group_destroy(struct vcpu_group *g)
{
	if (g == NULL)
		return;
	OBJ_FINI(g, GROUP_MAGIC);
	free(g);
}

/* Take a slot from `from` to 0; the one who succeeds counts it off. */
static bool release(struct vcpu_group *g, struct vcpu_res *r, uint64_t from)
{
	if (!atomic_compare_exchange_strong(&r->unit, &from, 0))
		return false;
	atomic_fetch_sub(&g->live, 1);
	return true;
}

void vcpu_res_drop(struct vcpu_group *g, unsigned slot)
{
	CHECK(slot < g->n);
	struct vcpu_res *r = &g->slot[slot];
	uint64_t was = atomic_load_explicit(&r->unit, memory_order_relaxed);

	if (was != 0)
		(void)release(g, r, was); /* failing means that somebody has killed it: also gone */
}

void vcpu_res_hold(struct vcpu_group *g, unsigned slot, uint64_t unit)
{
	CHECK(slot < g->n && unit % VCPU_RES_UNIT == 0);
	vcpu_res_drop(g, slot);
	/*
	 *  Counted before it can be seen, and both before the load-reserved reads (sequentially
	 *  consistent).
	 */
	atomic_fetch_add(&g->live, 1);
	atomic_store(&g->slot[slot].unit, unit | VCPU_RES_HELD);
}

/* Another vCPU commits to a unit that we are about to write: its compare-and-swap comes first. */
static void await_commit(struct vcpu_res *r, uint64_t committing)
{
	for (unsigned spins = 1; atomic_load_explicit(&r->unit, memory_order_acquire) == committing;
		spins++) {
		/* Pairs with the release in vcpu_res_drop. Its thread may have lost its core. */
		if (spins % 64 == 0)
			sched_yield();
	}
}

/*
 * Others who hold the unit lose it. Of two that commit at once the one in the lower slot goes on,
 * and is returned: the other sees it, because each became COMMITTING before it looked. (A
 * committing one that looked before we held the unit does not see us; then the compare-and-swap
 * decides.)
 */
static struct vcpu_res *begin_against(struct vcpu_group *g, unsigned slot, uint64_t unit)
{
	for (unsigned i = 0; i < g->n; i++) {
		struct vcpu_res *r = &g->slot[i];
		uint64_t was = atomic_load(&r->unit);
		if (i == slot || align_down(was, VCPU_RES_UNIT) != unit || was == 0)
			continue;
		if ((was & VCPU_RES_COMMITTING) == VCPU_RES_HELD && release(g, r, was))
			continue;
		if (i < slot && atomic_load(&r->unit) == (unit | VCPU_RES_COMMITTING))
			return r;
	}
	return NULL;
}

bool vcpu_res_begin(struct vcpu_group *g, unsigned slot, uint64_t unit)
{
	CHECK(slot < g->n);
	struct vcpu_res *r = &g->slot[slot];
	uint64_t held = unit | VCPU_RES_HELD;
	struct vcpu_res *first = NULL;

	if (atomic_compare_exchange_strong(&r->unit, &held, unit | VCPU_RES_COMMITTING)) {
		first = atomic_load(&g->live) == 1 ? NULL : begin_against(g, slot, unit);
		if (first == NULL)
			return true;
	}
	vcpu_res_drop(g, slot);
	/* The guest asks again at once, and would fail as often as it asks. */
	if (first != NULL)
		await_commit(first, unit | VCPU_RES_COMMITTING);
	return false;
}

void vcpu_res_kill(struct vcpu_group *g, unsigned slot, uint64_t gpa, unsigned bytes)
{
	uint64_t first = align_down(gpa, VCPU_RES_UNIT);
	uint64_t last = align_down(gpa + bytes - 1, VCPU_RES_UNIT);

	vcpu_res_drop(g, slot);
	for (unsigned i = 0; i < g->n; i++) {
		struct vcpu_res *r = &g->slot[i];
		uint64_t was = atomic_load_explicit(&r->unit, memory_order_relaxed);
		uint64_t unit = align_down(was, VCPU_RES_UNIT);
		if (i == slot || was == 0 || unit < first || unit > last)
			continue;
		if ((was & VCPU_RES_COMMITTING) == VCPU_RES_COMMITTING || !release(g, r, was))
			await_commit(r, unit | VCPU_RES_COMMITTING);
	}
}
