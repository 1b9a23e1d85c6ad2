/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "dsm/core_int.h"

#include "base/err.h"

/* Statistics, and views for tests and tools. */

void core_stats_get(const struct core *k, struct core_stats *out)
{
	OBJ_CHECK(k, CORE_MAGIC);
	*out = k->stats;
	out->frames = k->frames;
}

void core_page_info(const struct core *k, gpage_t page, struct core_page_info *out)
{
	OBJ_CHECK(k, CORE_MAGIC);
	CHECK(core_has_page(k, page));
	uint32_t p = (uint32_t)(page.v - k->first);
	const struct cpage *c = core_page_find(k, p);

	*out = (struct core_page_info){.state = CACHE_I};
	if (c == NULL)
		return;
	out->state = c->state;
	out->version = c->version;
	out->zero = (c->flags & CP_ZERO) != 0;
	out->mapped = (c->flags & CP_MAPPED) != 0;
	out->frame = (c->flags & CP_FRAME) != 0;
	out->revoking = c->pend != 0 && k->pends[c->pend].rev_issued;
	out->pinned = core_pinned(k, p, false);
}

int core_home_info(const struct core *k, gpage_t page, struct core_home_info *out)
{
	OBJ_CHECK(k, CORE_MAGIC);
	CHECK(core_has_page(k, page));
	uint32_t own = core_own(k, (uint32_t)(page.v - k->first));

	if (own == CORE_NONE)
		return ERR_NOT_FOUND;
	const struct hpage *h = &k->own_h[own];
	*out = (struct core_home_info){
		.state = h->state, .owner = {h->owner}, .version = h->version};
	if (h->head != 0)
		out->requester.v = k->txns[h->head].slice;
	for (unsigned i = h->head; i != 0; i = k->txns[i].next)
		out->waiting++;
	for (unsigned s = 0; s < k->copyset_bytes * 8; s++) {
		if (core_copyset_has(k, own, s))
			out->copyset[s / 64] |= UINT64_C(1) << (s % 64);
	}
	return 0;
}

size_t core_hot(const struct core *k, struct hot_view *out, size_t max)
{
	OBJ_CHECK(k, CORE_MAGIC);
	size_t n = hot_top(k->hot, k->now_ns, out, max);

	for (size_t i = 0; i < n; i++) {
		uint32_t p = (uint32_t)out[i].page.v;
		const struct hpage *h = &k->own_h[core_own(k, p)];
		out[i].page = core_gpage(k, p);
		out[i].owner.v = h->owner;
		out[i].migratory = h->migratory;
	}
	return n;
}

struct row_name {
	unsigned state, event;
	const char *state_name, *event_name;
};

static const struct row_name cache_rows[] = {
#define CACHE_ROW(state, event, handler, text) {CACHE_##state, CACHE_EV_##event, #state, #event},
#include "dsm/cache.def"
};

static const struct row_name home_rows[] = {
#define HOME_ROW(state, event, handler, text) {HOME_##state, HOME_EV_##event, #state, #event},
#include "dsm/home.def"
};

size_t core_rows(const struct core *k, struct core_row *out, size_t max)
{
	OBJ_CHECK(k, CORE_MAGIC);
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cache_rows) && n < max; i++) {
		const struct row_name *r = &cache_rows[i];
		out[n++] = (struct core_row){
			"cache", r->state_name, r->event_name, k->cache_taken[r->state][r->event]};
	}
	for (size_t i = 0; i < ARRAY_SIZE(home_rows) && n < max; i++) {
		const struct row_name *r = &home_rows[i];
		out[n++] = (struct core_row){
			"home", r->state_name, r->event_name, k->home_taken[r->state][r->event]};
	}
	return n;
}
