/* SPDX-License-Identifier: Apache-2.0 */
/* Floating point, compiled twice: REAL is double or float, SUFFIX ends the names. */
#include <math.h>
#include <string.h>

#include "yardstick.h"

#ifndef REAL
#define REAL   double
#define TABLE  yard_double
#define SUFFIX "-d"
#endif

static uint64_t bits(const REAL *v, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t b = 0;
		memcpy(&b, &v[i], sizeof(v[i]));
		sum = sum * 31 + b;
	}
	return sum;
}

/* Within 1 of 0, and of all bits: work on it is seldom exact, as in most programs. */
static REAL some(uint64_t *r)
{
	return (REAL)((int)(yard_random(r) >> 48) - 32768) / 32769;
}

/* ---- matrix multiply ------------------------------------------------------------------------- */

#define SIDE 96

static uint64_t matmul(uint64_t n)
{
	struct square {
		REAL at[SIDE][SIDE];
	} *a = yard_alloc(sizeof(*a)), *b = yard_alloc(sizeof(*b)), *c = yard_alloc(sizeof(*c));
	uint64_t r = 11;

	for (int i = 0; i < SIDE; i++)
		for (int k = 0; k < SIDE; k++) {
			a->at[i][k] = some(&r);
			b->at[i][k] = some(&r);
		}
	yard_begin();
	for (uint64_t round = 0; round < n; round++)
		for (int i = 0; i < SIDE; i++)
			for (int k = 0; k < SIDE; k++) {
				REAL sum = 0;
				for (int m = 0; m < SIDE; m++)
					sum += a->at[i][m] * b->at[m][k];
				c->at[i][k] = sum + c->at[i][k] / 2;
			}
	yard_end();
	return bits(&c->at[0][0], SIDE * SIDE);
}

/* ---- FFT, radix 2 ---------------------------------------------------------------------------- */

#define FFT_BITS 12
#define FFT_LEN  (1u << FFT_BITS)

struct complex_real {
	REAL re, im;
};

static void fft_once(struct complex_real *v, const struct complex_real *root)
{
	for (unsigned i = 0, k = 0; i < FFT_LEN; i++) {
		if (i < k) {
			struct complex_real t = v[i];
			v[i] = v[k];
			v[k] = t;
		}
		unsigned bit = FFT_LEN >> 1;
		while ((k & bit) != 0) {
			k ^= bit;
			bit >>= 1;
		}
		k |= bit;
	}
	for (unsigned half = 1; half < FFT_LEN; half *= 2)
		for (unsigned from = 0; from < FFT_LEN; from += 2 * half)
			for (unsigned i = 0; i < half; i++) {
				struct complex_real w = root[i * (FFT_LEN / 2 / half)];
				struct complex_real *a = &v[from + i], *b = a + half;
				REAL re = b->re * w.re - b->im * w.im,
				     im = b->re * w.im + b->im * w.re;
				b->re = a->re - re;
				b->im = a->im - im;
				a->re += re;
				a->im += im;
			}
}

static uint64_t fft(uint64_t n)
{
	struct complex_real *v = yard_alloc(FFT_LEN * sizeof(*v)),
			    *root = yard_alloc(FFT_LEN / 2 * sizeof(*root));
	uint64_t r = 12;

	for (unsigned i = 0; i < FFT_LEN / 2; i++) {
		root[i].re = (REAL)cos(2 * M_PI * i / FFT_LEN);
		root[i].im = (REAL)-sin(2 * M_PI * i / FFT_LEN);
	}
	for (unsigned i = 0; i < FFT_LEN; i++)
		v[i].re = some(&r);
	yard_begin();
	for (uint64_t round = 0; round < n; round++) {
		fft_once(v, root);
		for (unsigned i = 0; i < FFT_LEN; i++) {
			v[i].re /= FFT_LEN / 64;
			v[i].im /= FFT_LEN / 64;
		}
	}
	yard_end();
	return bits(&v[0].re, 2 * FFT_LEN);
}

/* ---- Mandelbrot: everything in registers ----------------------------------------------------- */

static uint64_t mandel(uint64_t n)
{
	uint64_t sum = 0;
	const int side = 64;

	for (uint64_t round = 0; round < n; round++)
		for (int y = 0; y < side; y++)
			for (int x = 0; x < side; x++) {
				REAL cr = (REAL)x * 3 / side - 2, ci = (REAL)y * 2 / side - 1,
				     zr = 0, zi = 0;
				unsigned i = 0;
				for (; i < 100 && zr * zr + zi * zi < 4; i++) {
					REAL t = zr * zr - zi * zi + cr;
					zi = 2 * zr * zi + ci;
					zr = t;
				}
				sum += i;
			}
	return sum;
}

/* ---- bodies that attract each other: division and square root -------------------------------- */

#define BODIES 5

static uint64_t nbody(uint64_t n)
{
	struct {
		REAL at[3], v[3], mass;
	} b[BODIES];
	uint64_t r = 13;
	REAL last[BODIES * 3];

	for (int i = 0; i < BODIES; i++) {
		for (int k = 0; k < 3; k++) {
			b[i].at[k] = some(&r) * 10 + (REAL)(i * 7);
			b[i].v[k] = some(&r);
		}
		b[i].mass = 1 + some(&r) / 2;
	}
	for (uint64_t step = 0; step < n * 1000; step++) {
		for (int i = 0; i < BODIES; i++)
			for (int k = i + 1; k < BODIES; k++) {
				REAL d[3], square = (REAL)0.01;
				for (int m = 0; m < 3; m++) {
					d[m] = b[i].at[m] - b[k].at[m];
					square += d[m] * d[m];
				}
				REAL f = (REAL)0.001 / (square * (REAL)__builtin_sqrt(square));
				for (int m = 0; m < 3; m++) {
					b[i].v[m] -= d[m] * b[k].mass * f;
					b[k].v[m] += d[m] * b[i].mass * f;
				}
			}
		for (int i = 0; i < BODIES; i++)
			for (int m = 0; m < 3; m++)
				b[i].at[m] += b[i].v[m] * (REAL)0.001;
	}
	for (int i = 0; i < BODIES; i++)
		memcpy(&last[i * 3], b[i].at, sizeof(b[i].at));
	return bits(last, BODIES * 3);
}

const struct yard_kernel TABLE[] = {
	{"matmul" SUFFIX, matmul},
	{"fft" SUFFIX, fft},
	{"mandel" SUFFIX, mandel},
	{"nbody" SUFFIX, nbody},
	{NULL, NULL},
};
