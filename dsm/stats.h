/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_STATS_H
#define DSM_STATS_H

#include <stdatomic.h>

#include "base/check.h"

/*
 * How long faults take: a histogram with eight buckets per doubling (steps of at most 13 %). One
 * thread adds, any thread asks.
 */
#define STATS_SUB     8u
#define STATS_BUCKETS (64u * STATS_SUB)

struct stats_hist {
	_Atomic uint64_t n[STATS_BUCKETS];
};

/* Context: the owner's thread. */
void stats_hist_add(struct stats_hist *h, uint64_t ns);

/* The value below which `permille` of the additions lie, to the precision of a bucket (its middle);
 * 0 when there is none. Context: any thread. */
uint64_t stats_hist_at(const struct stats_hist *h, unsigned permille);

#endif
