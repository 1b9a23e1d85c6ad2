/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: what a processor in software pays for reaching it. */
#include <string.h>

#include "yardstick.h"

/* Larger than any cache of a host's core, and than the reach of a small TLB. */
#define STREAM_WORDS (1u << 20)

static void stream_fill(double *a, double *b, double *c)
{
	for (size_t i = 0; i < STREAM_WORDS; i++) {
		a[i] = 1;
		b[i] = (double)(i % 64);
		c[i] = 0;
	}
}

static uint64_t stream_sum(const double *v)
{
	double sum = 0;

	for (size_t i = 0; i < STREAM_WORDS; i++)
		sum += v[i];
	return (uint64_t)sum;
}

static uint64_t stream(uint64_t n, void (*once)(double *, double *, double *))
{
	double *a = yard_alloc(STREAM_WORDS * sizeof(*a)),
	       *b = yard_alloc(STREAM_WORDS * sizeof(*b)),
	       *c = yard_alloc(STREAM_WORDS * sizeof(*c));

	stream_fill(a, b, c);
	yard_begin();
	for (uint64_t i = 0; i < n; i++)
		once(a, b, c);
	yard_end();
	return stream_sum(c);
}

static void copy_once(double *a, double *b, double *c)
{
	for (size_t i = 0; i < STREAM_WORDS; i++) {
		c[i] = b[i];
		__asm__ volatile("" ::: "memory"); /* or it becomes memcpy */
	}
}

static void scale_once(double *a, double *b, double *c)
{
	for (size_t i = 0; i < STREAM_WORDS; i++)
		c[i] = 3 * b[i];
}

static void add_once(double *a, double *b, double *c)
{
	for (size_t i = 0; i < STREAM_WORDS; i++)
		c[i] = a[i] + b[i];
}

static void triad_once(double *a, double *b, double *c)
{
	for (size_t i = 0; i < STREAM_WORDS; i++)
		c[i] = a[i] + 3 * b[i];
}

static uint64_t stream_copy(uint64_t n)
{
	return stream(n, copy_once);
}

static uint64_t stream_scale(uint64_t n)
{
	return stream(n, scale_once);
}

static uint64_t stream_add(uint64_t n)
{
	return stream(n, add_once);
}

static uint64_t stream_triad(uint64_t n)
{
	return stream(n, triad_once);
}

/* ---- a chain of pointers in random order ----------------------------------------------------- */

static uint64_t chase(uint64_t n, size_t bytes)
{
	size_t count = bytes / 64;
	uint64_t(*v)[8] = yard_alloc(bytes), r = 21, at = 0;

	for (size_t i = 0; i < count; i++)
		v[i][0] = i;
	/* Sattolo: one cycle through all. */
	for (size_t i = count - 1; i > 0; i--) {
		size_t k = yard_random(&r) % i;
		uint64_t t = v[i][0];
		v[i][0] = v[k][0];
		v[k][0] = t;
	}
	yard_begin();
	for (uint64_t i = 0; i < n * 1000; i++)
		at = v[at][0];
	yard_end();
	return at;
}

static uint64_t chase_1m(uint64_t n)
{
	return chase(n, 1u << 20);
}

static uint64_t chase_64m(uint64_t n)
{
	return chase(n, 64u << 20);
}

/* ---- the C library's copies ------------------------------------------------------------------ */

#define COPY_BYTES (1u << 20)
#define COPY_APART (2u << 20) /* the same line of a direct-mapped TLB */

static uint64_t copies(uint64_t n, size_t bytes)
{
	uint8_t *v = yard_alloc(COPY_APART + COPY_BYTES);
	uint64_t r = 22, sum = 0;

	for (size_t i = 0; i < COPY_BYTES; i++)
		v[i] = (uint8_t)yard_random(&r);
	yard_begin();
	for (uint64_t i = 0; i < n; i++)
		for (size_t at = 0; at + bytes <= COPY_BYTES; at += bytes) {
			memcpy(v + COPY_APART + at, v + at, bytes);
			__asm__ volatile("" ::: "memory");
		}
	yard_end();
	for (size_t i = 0; i < COPY_BYTES; i++)
		sum = sum * 31 + v[COPY_APART + i];
	return sum;
}

static uint64_t memcpy_large(uint64_t n)
{
	return copies(n, COPY_BYTES);
}

static uint64_t memcpy_small(uint64_t n)
{
	return copies(n, 100);
}

static uint64_t memset_large(uint64_t n)
{
	uint8_t *v = yard_alloc(COPY_BYTES);

	yard_begin();
	for (uint64_t i = 0; i < n; i++) {
		memset(v, (int)i, COPY_BYTES);
		__asm__ volatile("" ::: "memory");
	}
	return v[COPY_BYTES - 1];
}

/* ---- updates at random ----------------------------------------------------------------------- */

#define UPDATE_WORDS (4u << 20)

static uint64_t updates(uint64_t n)
{
	uint64_t *v = yard_alloc(UPDATE_WORDS * sizeof(*v)), r = 23;

	yard_begin();
	for (uint64_t i = 0; i < n * 1000; i++) {
		uint64_t x = yard_random(&r);
		v[x % UPDATE_WORDS] ^= x;
	}
	yard_end();
	for (size_t i = 0; i < UPDATE_WORDS; i++)
		r = r * 31 + v[i];
	return r;
}

const struct yard_kernel yard_memory[] = {
	{"stream-copy", stream_copy},
	{"stream-scale", stream_scale},
	{"stream-add", stream_add},
	{"stream-triad", stream_triad},
	{"chase-1m", chase_1m},
	{"chase-64m", chase_64m},
	{"memcpy", memcpy_large},
	{"memcpy-100", memcpy_small},
	{"memset", memset_large},
	{"updates", updates},
	{NULL, NULL},
};
