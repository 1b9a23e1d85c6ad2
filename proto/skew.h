/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_SKEW_H
#define PROTO_SKEW_H

#include "base/check.h"

/*
 * How another slice's clock differs from ours, from exchanges of four timestamps as in NTP (RFC
 * 5905 section 8): we ask at t1 (our clock), it gets that at t2 and answers at t3 (its clock), we
 * get the answer at t4. Pure: no clock, no I/O.
 *
 * An exchange is wrong by half of its round trip at most, whatever the two ways took, so of all
 * exchanges of a span of time the quickest is kept. From the kept ones of some spans comes the
 * drift; an older exchange counts with its error grown by what the drift may be wrong.
 */
#define SKEW_POINTS  16u
#define SKEW_SPAN_NS UINT64_C(2000000000)
/* Before it has been measured: how fast two clocks may part. Oscillators of hosts are within 100
 * ppm each; the tests set them 400 ppm apart. */
#define SKEW_DRIFT_PPB 500000
/* How much a measured drift may change with temperature: RFC 5905's PHI. */
#define SKEW_WANDER_PPB 15000

struct skew_point {
	uint64_t at_ns; /* our clock */
	int64_t offset_ns;
	uint64_t rtt_ns;
};

/* The ring is empty when all zero. */
struct skew {
	struct skew_point points[SKEW_POINTS]; /* oldest at `first`, the present span's last */
	unsigned first, n;
	uint64_t span_end_ns;
};

struct skew_estimate {
	int64_t offset_ns; /* its clock minus ours, now */
	int64_t drift_ppb; /* how much faster its clock is; 0 until known */
	uint64_t error_ns; /* of the offset, at most */
	uint64_t rtt_ns;   /* of the exchange that it comes from */
};

/* Take one exchange; false: no clock can have shown that, nothing is changed. Context: one thread.
 */
bool skew_add(struct skew *k, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4);

/* What is known at `now_ns` of our clock; false: nothing. Context: one thread. */
bool skew_get(const struct skew *k, uint64_t now_ns, struct skew_estimate *out);

#endif
