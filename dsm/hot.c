/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "dsm/hot.h"

#include "base/err.h"

#define NO_SLICE UINT16_MAX

struct entry {
	uint32_t p;
	uint32_t weight; /* 0: empty */
	uint32_t n[HOT_KIND_N];
	uint32_t queued, turns;
	/* Slices by their number modulo 64: since the last halving, and in the time before it. */
	uint64_t readers[2], writers[2];
	uint16_t writer; /* the last one */
};

struct set {
	uint64_t age; /* halvings */
	struct entry way[HOT_WAYS];
};

struct hot {
	struct set sets[HOT_SETS];
};

int hot_create(struct hot **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? ERR_NO_MEMORY : 0;
}

void hot_destroy(struct hot *h)
{
	free(h);
}

static void entry_age(struct entry *e, uint64_t by)
{
	unsigned shift = by < 31 ? (unsigned)by : 31;

	e->weight >>= shift;
	e->queued >>= shift;
	e->turns >>= shift;
	for (unsigned k = 0; k < HOT_KIND_N; k++)
		e->n[k] >>= shift;
	e->readers[1] = by == 1 ? e->readers[0] : 0;
	e->writers[1] = by == 1 ? e->writers[0] : 0;
	e->readers[0] = e->writers[0] = 0;
}

static void set_age(struct set *s, uint64_t now_ns)
{
	uint64_t age = now_ns / HOT_HALF_NS;

	if (likely(age == s->age))
		return;
	for (unsigned i = 0; i < HOT_WAYS; i++)
		entry_age(&s->way[i], age - s->age);
	s->age = age;
}

static struct set *set_of(struct hot *h, uint64_t now_ns, uint32_t p)
{
	/* Fibonacci hashing: neighbours, which are often hot together, go to different sets. */
	struct set *s = &h->sets[(p * UINT32_C(2654435769)) >> 25];

	STATIC_CHECK(HOT_SETS == 1u << (32 - 25), "the hash's upper bits number the sets");
	set_age(s, now_ns);
	return s;
}

static struct entry *find(struct set *s, uint32_t p)
{
	for (unsigned i = 0; i < HOT_WAYS; i++)
		if (s->way[i].weight != 0 && s->way[i].p == p)
			return &s->way[i];
	return NULL;
}

static struct entry *coldest(struct set *s)
{
	struct entry *e = &s->way[0];

	for (unsigned i = 1; i < HOT_WAYS; i++)
		if (s->way[i].weight < e->weight)
			e = &s->way[i];
	return e;
}

static void add(uint32_t *n)
{
	*n += *n != UINT32_MAX;
}

void hot_note(struct hot *h, uint64_t now_ns, uint32_t p, enum hot_kind kind, unsigned slice)
{
	struct set *s = set_of(h, now_ns, p);
	struct entry *e = find(s, p);
	uint64_t bit = UINT64_C(1) << slice % 64;

	if (e == NULL) {
		e = coldest(s);
		*e = (struct entry){.p = p, .weight = e->weight, .writer = NO_SLICE};
	}
	add(&e->weight);
	add(&e->n[kind]);
	if (kind == HOT_READ || kind == HOT_MIGRATE)
		e->readers[0] |= bit;
	if (kind == HOT_READ)
		return;
	e->writers[0] |= bit;
	if (e->writer != slice && e->writer != NO_SLICE)
		add(&e->turns);
	e->writer = (uint16_t)slice;
}

void hot_queued(struct hot *h, uint64_t now_ns, uint32_t p)
{
	struct entry *e = find(set_of(h, now_ns, p), p);

	if (e != NULL)
		add(&e->queued);
}

/* In docs/coherence.md, "Hot pages". */
enum hot_pattern hot_pattern_of(const struct hot_view *v, bool only)
{
	uint64_t reads = v->n[HOT_READ];
	uint64_t in_turn = (uint64_t)v->n[HOT_UPGRADE] + v->n[HOT_MIGRATE];
	uint64_t changes = in_turn + v->n[HOT_WRITE];

	if (only)
		return HOT_PRIVATE;
	if (reads >= 8 * changes)
		return HOT_READ_MOSTLY;
	if (v->writers <= 1)
		return HOT_PRODUCER;
	if (4 * in_turn >= 3 * changes && 4 * reads <= 5 * changes)
		return HOT_MIGRATORY;
	return HOT_WRITE_SHARED;
}

const char *hot_pattern_text(enum hot_pattern pattern)
{
	static const char *const text[HOT_PATTERN_N] = {
		[HOT_PRIVATE] = "private",
		[HOT_READ_MOSTLY] = "read-mostly",
		[HOT_PRODUCER] = "producer-consumer",
		[HOT_MIGRATORY] = "migratory",
		[HOT_WRITE_SHARED] = "write-shared",
	};

	CHECK(pattern < HOT_PATTERN_N);
	return text[pattern];
}

static struct hot_view view_of(const struct entry *e)
{
	uint64_t readers = e->readers[0] | e->readers[1];
	uint64_t writers = e->writers[0] | e->writers[1];
	struct hot_view v = {
		.page = {e->p},
		.weight = e->weight,
		.queued = e->queued,
		.turns = e->turns,
		.readers = (unsigned)__builtin_popcountll(readers),
		.writers = (unsigned)__builtin_popcountll(writers),
	};

	for (unsigned k = 0; k < HOT_KIND_N; k++)
		v.n[k] = e->n[k];
	v.pattern = hot_pattern_of(&v, __builtin_popcountll(readers | writers) <= 1);
	return v;
}

/* Hottest first; by address among equals, so that the list does not flicker. */
static int by_weight(const void *a, const void *b)
{
	const struct hot_view *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->page.v < y->page.v ? -1 : x->page.v > y->page.v;
}

size_t hot_top(struct hot *h, uint64_t now_ns, struct hot_view *out, size_t max)
{
	struct hot_view all[HOT_SETS * HOT_WAYS];
	size_t n = 0;

	for (unsigned i = 0; i < HOT_SETS; i++) {
		struct set *s = &h->sets[i];
		set_age(s, now_ns);
		for (unsigned w = 0; w < HOT_WAYS; w++) {
			const struct entry *e = &s->way[w];
			/* With an inherited weight alone there is nothing to say about a page. */
			uint64_t seen = 0;
			for (unsigned k = 0; k < HOT_KIND_N; k++)
				seen += e->n[k];
			if (seen != 0)
				all[n++] = view_of(e);
		}
	}
	qsort(all, n, sizeof(all[0]), by_weight);
	n = MIN(n, max);
	for (size_t i = 0; i < n; i++)
		out[i] = all[i];
	return n;
}
