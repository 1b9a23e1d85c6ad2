/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/stats.h"

#define SUB_BITS 3u
STATIC_CHECK(STATS_SUB == 1u << SUB_BITS, "eight buckets per doubling");

/* Values below STATS_SUB have a bucket each; above, the top SUB_BITS bits behind the leading one.
 */
static unsigned bucket_of(uint64_t ns)
{
	if (ns < STATS_SUB)
		return (unsigned)ns;
	unsigned top = 63u - (unsigned)__builtin_clzll(ns);
	return (top - SUB_BITS + 1) * STATS_SUB + ((unsigned)(ns >> (top - SUB_BITS)) - STATS_SUB);
}

static uint64_t bucket_middle(unsigned b)
{
	if (b < STATS_SUB)
		return b;
	unsigned shift = b / STATS_SUB - 1;
	uint64_t low = (uint64_t)(STATS_SUB + b % STATS_SUB) << shift;
	return low + ((UINT64_C(1) << shift) >> 1);
}

void stats_hist_add(struct stats_hist *h, uint64_t ns)
{
	atomic_fetch_add_explicit(&h->n[bucket_of(ns)], 1, memory_order_relaxed);
}

uint64_t stats_hist_at(const struct stats_hist *h, unsigned permille)
{
	uint64_t n[STATS_BUCKETS], all = 0, below = 0;
	CHECK(permille <= 1000);
	for (unsigned b = 0; b < STATS_BUCKETS; b++) {
		n[b] = atomic_load_explicit(&h->n[b], memory_order_relaxed);
		all += n[b];
	}
	if (all == 0)
		return 0;
	/* The rank, rounded up, in a form that does not overflow. */
	uint64_t rank = all / 1000 * permille + (all % 1000 * permille + 999) / 1000;
	for (unsigned b = 0; b < STATS_BUCKETS; b++) {
		below += n[b];
		if (below >= MAX(rank, 1))
			return bucket_middle(b);
	}
	UNREACHABLE();
}
