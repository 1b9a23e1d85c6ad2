/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_gate.h"

#include <stdlib.h>

#include "base/err.h"
#include "proto/rv64_map.h"

/* A second set while one is held could wait for a page for ever. */
static _Thread_local bool fake_gate_holds;

static bool fake_gate_inside(const struct fake_gate *g, gpa_t at, uint64_t bytes)
{
	return at.v >= g->gate.base.v && range_inside(at.v - g->gate.base.v, bytes, g->gate.bytes);
}

static int fake_gate_pin(void *ctx, struct dsm_seg *segs, size_t n)
{
	struct fake_gate *g = ctx;
	uint64_t total = 0;
	CHECK(!fake_gate_holds);
	if (g->before != NULL)
		g->before(g->arg);
	int err = atomic_load(&g->fail);
	if (err != 0)
		return err;
	if (n > DSM_SEGS_MAX)
		return ERR_RANGE;
	for (size_t i = 0; i < n; i++) {
		if (!fake_gate_inside(g, segs[i].gpa, segs[i].bytes))
			return ERR_RANGE;
		total += segs[i].bytes;
	}
	if (total > DSM_PIN_BYTES_MAX)
		return ERR_RANGE;
	for (size_t i = 0; i < n; i++)
		segs[i].host = g->ram + (segs[i].gpa.v - g->gate.base.v);
	fake_gate_holds = true;
	atomic_fetch_add(&g->pinned, 1);
	atomic_fetch_add(&g->pins, 1);
	return 0;
}

static void fake_gate_unpin(void *ctx, const struct dsm_seg *segs, size_t n)
{
	struct fake_gate *g = ctx;
	CHECK(fake_gate_holds);
	fake_gate_holds = false;
	CHECK(atomic_fetch_sub(&g->pinned, 1) > 0);
}

static const struct dsm_gate_ops fake_gate_ops = {fake_gate_pin, fake_gate_unpin};

void fake_gate_init(struct fake_gate *g, uint64_t bytes)
{
	*g = (struct fake_gate){.ram = calloc(1, bytes)};
	CHECK(g->ram != NULL);
	g->gate = (struct dsm_gate){
		.ops = &fake_gate_ops, .ctx = g, .base = {RV64_RAM_BASE}, .bytes = bytes};
}

void fake_gate_fini(struct fake_gate *g)
{
	CHECK(atomic_load(&g->pinned) == 0);
	free(g->ram);
	g->ram = NULL;
}

gpa_t fake_gate_alloc(struct fake_gate *g, uint64_t bytes, uint64_t align)
{
	uint64_t at = (g->next + align - 1) & ~(align - 1);
	CHECK(range_inside(at, bytes, g->gate.bytes));
	g->next = at + bytes;
	return (gpa_t){g->gate.base.v + at};
}

void *fake_gate_at(struct fake_gate *g, gpa_t at, uint64_t bytes)
{
	CHECK(fake_gate_inside(g, at, bytes));
	return g->ram + (at.v - g->gate.base.v);
}
