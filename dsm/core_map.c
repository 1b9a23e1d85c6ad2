/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "dsm/core_int.h"

#include "base/err.h"

/* Who is home: ranges known at creation, and single pages that have moved since (R-DSM-3). */

int core_map_init(struct core *k, const struct core_cfg *cfg)
{
	uint64_t next = 0;

	if (cfg->n_slices == 0 || cfg->n_slices > SLICE_MAX || cfg->n_ranges == 0)
		return ERR_INVAL;
	for (size_t i = 0; i < cfg->n_slices; i++) {
		if (cfg->slices[i].v >= SLICE_MAX || k->known[cfg->slices[i].v])
			return ERR_INVAL;
		k->known[cfg->slices[i].v] = true;
	}
	if (cfg->self.v >= SLICE_MAX || !k->known[cfg->self.v])
		return ERR_INVAL;
	for (size_t i = 0; i < cfg->n_ranges; i++) {
		const struct core_range *r = &cfg->ranges[i];
		if (r->pages == 0 || r->home.v >= SLICE_MAX || !k->known[r->home.v] ||
			(i != 0 && r->start.v != next) ||
			add_overflows(r->start.v, r->pages, &next))
			return ERR_INVAL;
	}
	k->first = cfg->ranges[0].start.v;
	if (next - k->first >= CORE_NONE)
		return ERR_INVAL;
	k->n_pages = (uint32_t)(next - k->first);
	k->ranges = calloc(cfg->n_ranges, sizeof(*k->ranges));
	k->moves = calloc(CORE_MOVES_MAX, sizeof(*k->moves));
	if (k->ranges == NULL || k->moves == NULL)
		return ERR_NO_MEMORY;
	memcpy(k->ranges, cfg->ranges, cfg->n_ranges * sizeof(*k->ranges));
	return 0;
}

void core_map_fini(struct core *k)
{
	free(k->ranges);
	free(k->moves);
}

/* The entry of `p`, or a free one for it, or NULL: full. */
static struct core_move *move_find(const struct core *k, uint32_t p)
{
	uint32_t at = (p * 2654435761u) % CORE_MOVES_MAX;

	for (unsigned i = 0; i < CORE_MOVES_MAX; i++, at = (at + 1) % CORE_MOVES_MAX) {
		if (!k->moves[at].used || k->moves[at].p == p)
			return &k->moves[at];
	}
	return NULL;
}

static const struct core_range *range_find(const struct core *k, uint32_t p)
{
	uint64_t page = k->first + p;
	size_t lo = 0, hi = k->cfg.n_ranges;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (k->ranges[mid].start.v <= page)
			lo = mid;
		else
			hi = mid;
	}
	return &k->ranges[lo];
}

unsigned core_map_home(const struct core *k, uint32_t p, uint32_t *gen)
{
	if (k->n_moves != 0) {
		const struct core_move *m = move_find(k, p);
		if (m != NULL && m->used) {
			if (gen != NULL)
				*gen = m->gen;
			return m->home;
		}
	}
	const struct core_range *r = range_find(k, p);
	if (gen != NULL)
		*gen = r->gen;
	return r->home.v;
}

int core_map_learn(struct core *k, uint32_t p, unsigned home, uint32_t gen)
{
	uint32_t known;
	unsigned now = core_map_home(k, p, &known);

	if (gen == known && home == now)
		return 0; /* the answer to another request for the page has told us already */
	/* Generations only grow, so that a request can not be sent round in a circle. */
	if (gen <= known || home == k->cfg.self.v)
		return ERR_PROTOCOL;
	struct core_move *m = move_find(k, p);
	if (m == NULL)
		return ERR_PROTOCOL;
	if (!m->used)
		k->n_moves++;
	*m = (struct core_move){.p = p, .gen = gen, .home = (uint16_t)home, .used = true};
	return 0;
}

bool core_has_page(const struct core *k, gpage_t page)
{
	return page.v >= k->first && page.v - k->first < k->n_pages;
}

slice_id_t core_home_of(const struct core *k, gpage_t page, uint32_t *gen)
{
	OBJ_CHECK(k, CORE_MAGIC);
	CHECK(core_has_page(k, page));
	return (slice_id_t){(uint16_t)core_map_home(k, (uint32_t)(page.v - k->first), gen)};
}
