/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "dsm/core_int.h"

#include "base/err.h"

/*
 * Page table and pools. Own share: two dense arrays and the copysets, 16 bytes and n/8 a page.
 * Remote pages: a hash of the pages that something is known of, bounded by the memory limit and the
 * requests that can be on their way. Big arrays are allocated once and touched as they fill.
 */

static int own_init(struct core *k)
{
	unsigned max_id = 0;

	k->own = calloc(k->cfg.n_ranges, sizeof(*k->own));
	if (k->own == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < k->cfg.n_ranges; i++) {
		const struct core_range *r = &k->ranges[i];
		if (r->home.v != k->cfg.self.v)
			continue;
		k->own[k->n_own++] = (struct own_range){
			.start = (uint32_t)(r->start.v - k->first),
			.n = (uint32_t)r->pages,
			.off = k->n_own_pages,
		};
		k->n_own_pages += (uint32_t)r->pages;
	}
	for (unsigned i = 0; i < SLICE_MAX; i++) {
		if (k->known[i])
			max_id = i;
	}
	k->copyset_bytes = max_id / 8 + 1;
	k->own_c = calloc((size_t)k->n_own_pages + 1, sizeof(*k->own_c));
	k->own_h = calloc((size_t)k->n_own_pages + 1, sizeof(*k->own_h));
	k->copysets = calloc((size_t)k->n_own_pages + 1, k->copyset_bytes);
	if (k->own_c == NULL || k->own_h == NULL || k->copysets == NULL)
		return ERR_NO_MEMORY;
	/* A page that nobody has touched is owned by its home, as zeros. */
	for (uint32_t i = 0; i < k->n_own_pages; i++) {
		k->own_c[i].state = CACHE_M;
		k->own_c[i].flags = CP_ZERO;
		k->own_h[i].owner = (uint8_t)k->cfg.self.v;
		core_copyset_set(k, i, k->cfg.self.v, true);
	}
	return 0;
}

static int remote_init(struct core *k)
{
	uint64_t remote_pages = k->n_pages - k->n_own_pages;
	uint64_t buckets = 16;

	k->frames_max = MIN(k->cfg.cache_pages, remote_pages);
	/* Without a frame an entry lives only as long as a request or a put of ours. */
	k->n_remote = (uint32_t)MIN(remote_pages, k->frames_max + CORE_REQS_MAX);
	while (buckets < k->n_remote)
		buckets *= 2;
	k->hash_mask = (uint32_t)(buckets - 1);
	k->remote = calloc((size_t)k->n_remote + 1, sizeof(*k->remote));
	k->hash = malloc(buckets * sizeof(*k->hash));
	if (k->remote == NULL || k->hash == NULL)
		return ERR_NO_MEMORY;
	memset(k->hash, 0xff, buckets * sizeof(*k->hash)); /* CORE_NONE */
	k->remote_free = k->lru_first = k->lru_last = CORE_NONE;
	return 0;
}

int core_pages_init(struct core *k)
{
	int err = own_init(k);
	if (err == 0)
		err = remote_init(k);
	if (err != 0)
		return err;
	/* Every request of every slice could be one that revokes a page here, every put one that
	 * our directory pulls. */
	k->n_pends = CORE_REQS_MAX + (uint32_t)k->cfg.n_slices * (CORE_REQS_MAX + CORE_EVICTS_MAX);
	k->n_txns = k->n_pends;
	STATIC_CHECK(CORE_REQS_MAX + SLICE_MAX * (CORE_REQS_MAX + CORE_EVICTS_MAX) < UINT16_MAX,
		"16-bit indices");
	k->pends = calloc((size_t)k->n_pends + 1, sizeof(*k->pends));
	k->txns = calloc((size_t)k->n_txns + 1, sizeof(*k->txns));
	return k->pends == NULL || k->txns == NULL ? ERR_NO_MEMORY : 0;
}

void core_pages_fini(struct core *k)
{
	free(k->own);
	free(k->own_c);
	free(k->own_h);
	free(k->copysets);
	free(k->remote);
	free(k->hash);
	free(k->pends);
	free(k->txns);
}

void core_adopt(struct core *k, gpage_t page)
{
	OBJ_CHECK(k, CORE_MAGIC);
	CHECK(core_has_page(k, page) && k->now_ns == 0);
	uint32_t p = (uint32_t)(page.v - k->first), own = core_own(k, p);
	CHECK(own != CORE_NONE);
	core_page_change(k, p, &k->own_c[own], CACHE_M, 0);
}

uint32_t core_own(const struct core *k, uint32_t p)
{
	for (unsigned i = 0; i < k->n_own; i++) {
		if (p - k->own[i].start < k->own[i].n)
			return k->own[i].off + (p - k->own[i].start);
	}
	return CORE_NONE;
}

/* ---- remote pages ---- */

static uint32_t bucket(const struct core *k, uint32_t p)
{
	return (p * 2654435761u >> 7) & k->hash_mask;
}

static uint32_t remote_find(const struct core *k, uint32_t p)
{
	uint32_t i = k->hash[bucket(k, p)];

	while (i != CORE_NONE && k->remote[i].p != p)
		i = k->remote[i].hash_next;
	return i;
}

struct cpage *core_page_find(const struct core *k, uint32_t p)
{
	uint32_t own = core_own(k, p);
	if (own != CORE_NONE)
		return &k->own_c[own];
	uint32_t i = remote_find(k, p);
	return i == CORE_NONE ? NULL : &k->remote[i].c;
}

struct cpage *core_page_get(struct core *k, uint32_t p)
{
	struct cpage *c = core_page_find(k, p);
	if (c != NULL)
		return c;
	uint32_t i = k->remote_free;
	if (i != CORE_NONE)
		k->remote_free = k->remote[i].hash_next;
	else if (k->remote_used < k->n_remote)
		i = k->remote_used++;
	else
		return NULL;
	struct rpage *r = &k->remote[i];
	uint32_t b = bucket(k, p);
	*r = (struct rpage){.p = p, .hash_next = k->hash[b]};
	k->hash[b] = i;
	return &r->c;
}

void core_page_settle(struct core *k, uint32_t p)
{
	if (core_own(k, p) != CORE_NONE)
		return;
	uint32_t b = bucket(k, p);
	uint32_t *link = &k->hash[b];

	while (*link != CORE_NONE && k->remote[*link].p != p)
		link = &k->remote[*link].hash_next;
	if (*link == CORE_NONE)
		return;
	uint32_t i = *link;
	struct rpage *r = &k->remote[i];
	if (r->c.state != CACHE_I || r->c.pend != 0 || (r->c.flags & CP_FRAME) != 0)
		return;
	*link = r->hash_next;
	r->hash_next = k->remote_free;
	k->remote_free = i;
}

/* +1 owned, +2 shared: how a page counts in the statistics. */
static unsigned counts(const struct core *k, uint32_t p, const struct cpage *c)
{
	switch (c->state) {
	case CACHE_O:
	case CACHE_E:
	case CACHE_M:
	case CACHE_OM_AD:
	case CACHE_MI_A:
	case CACHE_OI_A:
		/* The home's zero pages are no pages yet. */
		return (c->flags & CP_ZERO) != 0 && core_own(k, p) != CORE_NONE ? 0 : 1;
	case CACHE_S:
	case CACHE_SM_AD:
		return 2;
	default:
		return 0;
	}
}

void core_page_change(struct core *k, uint32_t p, struct cpage *c, unsigned state, unsigned flags)
{
	unsigned before = counts(k, p, c);
	c->state = (uint8_t)state;
	c->flags = (uint8_t)flags;
	unsigned after = counts(k, p, c);

	k->stats.pages_owned += (after == 1) - (uint64_t)(before == 1);
	k->stats.pages_shared += (after == 2) - (uint64_t)(before == 2);
}

static void lru_unlink(struct core *k, struct rpage *r)
{
	if (r->lru_prev != CORE_NONE)
		k->remote[r->lru_prev].lru_next = r->lru_next;
	else
		k->lru_first = r->lru_next;
	if (r->lru_next != CORE_NONE)
		k->remote[r->lru_next].lru_prev = r->lru_prev;
	else
		k->lru_last = r->lru_prev;
}

static void lru_append(struct core *k, struct rpage *r)
{
	uint32_t i = (uint32_t)(r - k->remote);

	r->lru_prev = k->lru_last;
	r->lru_next = CORE_NONE;
	if (k->lru_last != CORE_NONE)
		k->remote[k->lru_last].lru_next = i;
	else
		k->lru_first = i;
	k->lru_last = i;
}

bool core_frame_take(struct core *k, uint32_t p, struct cpage *c, bool reserved)
{
	uint64_t kept = k->pin_reserved + k->pin_waiting;

	if ((c->flags & CP_FRAME) != 0 || core_own(k, p) != CORE_NONE)
		return true;
	if (k->frames + (reserved ? 0 : kept) >= k->frames_max)
		return false;
	k->pin_reserved -= reserved;
	k->frames++;
	c->flags |= CP_FRAME;
	lru_append(k, container_of(c, struct rpage, c));
	return true;
}

void core_frame_drop(struct core *k, uint32_t p, struct cpage *c)
{
	if ((c->flags & CP_FRAME) == 0)
		return;
	lru_unlink(k, container_of(c, struct rpage, c));
	c->flags &= (uint8_t)~CP_FRAME;
	k->frames--;
	core_act(k, CORE_ACT_FREE, p);
}

void core_frame_touch(struct core *k, uint32_t p, struct cpage *c)
{
	if ((c->flags & CP_FRAME) == 0)
		return;
	struct rpage *r = container_of(c, struct rpage, c);
	lru_unlink(k, r);
	lru_append(k, r);
}

/* ---- pools ---- */

struct pend *core_pend(struct core *k, const struct cpage *c)
{
	return c == NULL || c->pend == 0 ? NULL : &k->pends[c->pend];
}

struct pend *core_pend_get(struct core *k, uint32_t p, struct cpage *c)
{
	if (c->pend != 0)
		return &k->pends[c->pend];
	uint16_t i = k->pend_free;
	if (i != 0)
		k->pend_free = k->pends[i].next_free;
	else if (k->pends_used < k->n_pends)
		i = (uint16_t)++k->pends_used;
	else
		return NULL;
	struct pend *d = &k->pends[i];
	*d = (struct pend){.p = p};
	list_init(&d->deferred);
	c->pend = i;
	k->pends_live++;
	return d;
}

void core_pend_settle(struct core *k, struct cpage *c)
{
	struct pend *d = core_pend(k, c);
	if (d == NULL || d->want != WANT_NONE || d->rev != REV_NONE)
		return;
	list_remove(&d->deferred);
	d->next_free = k->pend_free;
	k->pend_free = c->pend;
	c->pend = 0;
	k->pends_live--;
}

struct txn *core_txn(struct core *k, unsigned i)
{
	CHECK(i != 0 && i <= k->txns_used);
	return &k->txns[i];
}

unsigned core_txn_get(struct core *k)
{
	unsigned i = k->txn_free;
	if (i != 0)
		k->txn_free = k->txns[i].next;
	else if (k->txns_used < k->n_txns)
		i = ++k->txns_used;
	else
		return 0;
	k->txns[i] = (struct txn){0};
	k->txns_live++;
	return i;
}

void core_txn_put(struct core *k, unsigned i)
{
	core_txn(k, i)->next = k->txn_free;
	k->txn_free = (uint16_t)i;
	k->txns_live--;
}

/* ---- copysets ---- */

bool core_copyset_has(const struct core *k, uint32_t own, unsigned slice)
{
	if (slice / 8 >= k->copyset_bytes)
		return false;
	return (k->copysets[(size_t)own * k->copyset_bytes + slice / 8] >> (slice % 8) & 1) != 0;
}

void core_copyset_set(struct core *k, uint32_t own, unsigned slice, bool on)
{
	uint8_t *b = &k->copysets[(size_t)own * k->copyset_bytes + slice / 8];
	uint8_t bit = (uint8_t)(1u << (slice % 8));

	CHECK(slice / 8 < k->copyset_bytes);
	*b = (uint8_t)(on ? *b | bit : *b & ~bit);
}

void core_copyset_only(struct core *k, uint32_t own, unsigned slice)
{
	memset(&k->copysets[(size_t)own * k->copyset_bytes], 0, k->copyset_bytes);
	core_copyset_set(k, own, slice, true);
}

bool core_copyset_is(const struct core *k, uint32_t own, unsigned a, unsigned b)
{
	const uint8_t *set = &k->copysets[(size_t)own * k->copyset_bytes];

	for (unsigned i = 0; i < k->copyset_bytes; i++) {
		unsigned want = (a / 8 == i ? 1u << (a % 8) : 0) | (b / 8 == i ? 1u << (b % 8) : 0);
		if (set[i] != want)
			return false;
	}
	return true;
}
