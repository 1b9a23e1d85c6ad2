/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/bench/samples.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static int by_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

struct bench_times bench_times_of(uint64_t *ns, size_t n)
{
	CHECK(n > 0);
	qsort(ns, n, sizeof(*ns), by_ns);
	return (struct bench_times){.p50_ns = ns[n / 2], .p99_ns = ns[n * 99 / 100], .n = n};
}

void series_add(struct series *s, double v)
{
	CHECK(s->n < SERIES_MAX);
	s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double at(const struct series *s, unsigned i)
{
	double v[SERIES_MAX];
	CHECK(s->n > 0);
	memcpy(v, s->v, s->n * sizeof(v[0]));
	qsort(v, s->n, sizeof(v[0]), by_value);
	return v[i];
}

double series_median(const struct series *s)
{
	return at(s, s->n / 2);
}

double series_low(const struct series *s)
{
	return at(s, 0);
}

double series_high(const struct series *s)
{
	return at(s, s->n - 1);
}
