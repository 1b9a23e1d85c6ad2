/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/skew.h"

/* An exchange that took longer says nothing that is worth keeping. */
#define RTT_MAX_NS UINT64_C(10000000000)
#define PPB        1000000000

/* i = 0 is the oldest. */
static const struct skew_point *point(const struct skew *k, unsigned i)
{
	return &k->points[(k->first + i) % SKEW_POINTS];
}

static void push(struct skew *k, const struct skew_point *p)
{
	unsigned at = (k->first + k->n) % SKEW_POINTS;
	if (k->n == SKEW_POINTS)
		k->first = (k->first + 1) % SKEW_POINTS;
	else
		k->n++;
	k->points[at] = *p;
	k->span_end_ns = p->at_ns + SKEW_SPAN_NS;
}

bool skew_add(struct skew *k, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
	const uint64_t last = UINT64_C(1) << 62; /* 146 years: sums of two fit */
	if (t1 > t4 || t2 > t3 || t4 > last || t3 > last || t4 - t1 > RTT_MAX_NS)
		return false;
	/* The other's clock may be slower, so its share may seem longer than the whole. */
	uint64_t held = t3 - t2, whole = t4 - t1;
	if (held > whole && held - whole > whole / 1000 + 1000)
		return false;
	int64_t there = (int64_t)t2 - (int64_t)t1, back = (int64_t)t3 - (int64_t)t4;
	struct skew_point p = {
		.at_ns = t4,
		.offset_ns = there / 2 + back / 2,
		.rtt_ns = held > whole ? 0 : whole - held,
	};
	struct skew_point *cur = &k->points[(k->first + k->n + SKEW_POINTS - 1) % SKEW_POINTS];
	if (k->n == 0 || t4 >= k->span_end_ns)
		push(k, &p);
	else if (p.rtt_ns < cur->rtt_ns && p.at_ns >= cur->at_ns)
		*cur = p;
	return true;
}

/* By how much the drift from `a` to the later `b` may be wrong, in parts per billion. */
static __int128 drift_error(const struct skew_point *a, const struct skew_point *b)
{
	if (b->at_ns <= a->at_ns)
		return SKEW_DRIFT_PPB;
	return (__int128)(a->rtt_ns / 2 + b->rtt_ns / 2) * PPB / (__int128)(b->at_ns - a->at_ns) +
	       SKEW_WANDER_PPB;
}

/* Between the two exchanges that tell most: quick ones, and far apart. */
static void drift(const struct skew *k, int64_t *ppb, uint64_t *error_ppb)
{
	__int128 least = SKEW_DRIFT_PPB, d = 0;
	for (unsigned j = 1; j < k->n; j++) {
		for (unsigned i = 0; i < j; i++) {
			const struct skew_point *a = point(k, i), *b = point(k, j);
			__int128 error = drift_error(a, b);
			if (error >= least)
				continue;
			least = error;
			d = ((__int128)b->offset_ns - a->offset_ns) * PPB /
			    (__int128)(b->at_ns - a->at_ns);
		}
	}
	/* A clock that runs at more than twice our rate, or backwards, is none. */
	*ppb = (int64_t)MIN(MAX(d, (__int128)-PPB), (__int128)PPB);
	*error_ppb = (uint64_t)least;
}

/* `age` times a rate in parts per billion. */
static __int128 grow(uint64_t age, __int128 ppb)
{
	return (__int128)age * ppb / PPB;
}

bool skew_get(const struct skew *k, uint64_t now_ns, struct skew_estimate *out)
{
	int64_t ppb;
	uint64_t error_ppb;
	if (k->n == 0)
		return false;
	drift(k, &ppb, &error_ppb);
	*out = (struct skew_estimate){.drift_ppb = ppb, .error_ns = UINT64_MAX};
	for (unsigned i = 0; i < k->n; i++) {
		const struct skew_point *p = point(k, i);
		uint64_t age = now_ns > p->at_ns ? now_ns - p->at_ns : 0;
		uint64_t error = p->rtt_ns / 2 + (uint64_t)grow(age, (__int128)error_ppb);
		if (error > out->error_ns)
			continue;
		out->error_ns = error;
		out->rtt_ns = p->rtt_ns;
		out->offset_ns = (int64_t)((__int128)p->offset_ns + grow(age, ppb));
	}
	return true;
}
