/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_HOT_H
#define DSM_HOT_H

#include <stddef.h>

#include "base/check.h"
#include "proto/ids.h"

/*
 * The pages of a home that are asked for most, in bounded memory: Space-Saving (Metwally, Agrawal
 * and El Abbadi, "Efficient computation of frequent and top-k elements in data streams", 2005) in
 * sets of eight, so that a request costs a look at eight entries. A page that is not there takes
 * the place of its set's coldest one and inherits its weight: an upper bound of its requests, so
 * that one page does not push out another just because it came later. Counts begin with 0.
 *
 * All numbers are halved every HOT_HALF_NS, when the set is next looked at: the list says what is
 * hot now. Context: one thread at a time.
 */
#define HOT_SETS    128u
#define HOT_WAYS    8u
#define HOT_HALF_NS UINT64_C(10000000000)

/* What a request to the home came to. */
enum hot_kind {
	HOT_READ,    /* a copy to read */
	HOT_WRITE,   /* the page, with its bytes */
	HOT_UPGRADE, /* the right to write to a copy that was there */
	HOT_MIGRATE, /* a read that was given the whole page */
	HOT_KIND_N
};

enum hot_pattern {
	HOT_PRIVATE,     /* one slice alone asks for it */
	HOT_READ_MOSTLY, /* eight reads or more for each change */
	HOT_PRODUCER,    /* producer-consumer: one writes, others read */
	HOT_MIGRATORY,   /* who reads it writes it next, one after the other */
	HOT_WRITE_SHARED,
	HOT_PATTERN_N
};

/* A page of the list. */
struct hot_view {
	gpage_t page;
	slice_id_t owner; /* has the newest bytes */
	bool migratory;   /* policy in force: whoever reads it gets it whole */
	enum hot_pattern pattern;
	uint32_t weight; /* its rank */
	uint32_t n[HOT_KIND_N];
	uint32_t queued;           /* found the page busy with another request */
	uint32_t turns;            /* the one who writes is another than before */
	unsigned readers, writers; /* slices, 64 at most */
};

struct hot;

MUST_CHECK int hot_create(struct hot **out); /* ERR_NO_MEMORY */
void hot_destroy(struct hot *h);             /* NULL is fine */

/* `slice` has asked for page `p`. O(1), allocates nothing. `now_ns` never goes back. */
void hot_note(struct hot *h, uint64_t now_ns, uint32_t p, enum hot_kind kind, unsigned slice);
/* A request for `p` had to wait. */
void hot_queued(struct hot *h, uint64_t now_ns, uint32_t p);

/* The `max` hottest pages, hottest first, and how many they are. `page` is what hot_note was given;
 * owner and policy are left to the caller. */
size_t hot_top(struct hot *h, uint64_t now_ns, struct hot_view *out, size_t max);

/* From counts and writers; the thresholds are in docs/coherence.md. `only`: no second slice is
 * among readers and writers. */
enum hot_pattern hot_pattern_of(const struct hot_view *v, bool only);
const char *hot_pattern_text(enum hot_pattern pattern);

#endif
