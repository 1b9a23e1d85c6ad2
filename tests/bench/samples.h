/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_SAMPLES_H
#define TESTS_BENCH_SAMPLES_H

#include <stddef.h>

#include "base/clock.h"

/*
 * One repetition of an operation gives many times; what is kept of it is this. A figure is then the
 * median of such numbers over all repetitions, its spread the smallest and the largest.
 */
struct bench_times {
	uint64_t p50_ns, p99_ns;
	uint64_t total_ns; /* from the first to the last, what lies between included */
	uint64_t n;
};

/* Summarise `n` times; sorts them. `total_ns` is left to the caller. n > 0. */
struct bench_times bench_times_of(uint64_t *ns, size_t n);

#define SERIES_MAX 64u

struct series {
	double v[SERIES_MAX];
	unsigned n;
};

void series_add(struct series *s, double v);
/* Of a series that is not empty. */
double series_median(const struct series *s);
double series_low(const struct series *s);
double series_high(const struct series *s);

static inline uint64_t bench_now_ns(void)
{
	return clock_now_ns(clock_host());
}

#endif
