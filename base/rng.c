/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"

/* splitmix64, which its authors recommend for seeding: xoshiro must not start from all zeroes. */
static uint64_t rng_splitmix(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void rng_init(struct rng *rng, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_SIZE(rng->s); i++)
		rng->s[i] = rng_splitmix(&seed);
}

static uint64_t rng_rotl(uint64_t v, unsigned by)
{
	return (v << by) | (v >> (64 - by));
}

/* xoshiro256** 1.0, Blackman and Vigna, "Scrambled linear pseudorandom number generators". */
uint64_t rng_u64(struct rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t out = rng_rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rng_rotl(s[3], 45);
	return out;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	CHECK(n > 0);
	/*
	 * The high half of a 128-bit product, with the few low halves rejected that would favour
	 * some values (Lemire, "Fast random integer generation in an interval").
	 */
	uint64_t reject_below = (0 - n) % n;
	unsigned __int128 m;
	do {
		m = (unsigned __int128)rng_u64(rng) * n;
	} while ((uint64_t)m < reject_below);
	return (uint64_t)(m >> 64);
}

void rng_system(void *buf, size_t len)
{
	uint8_t *p = buf;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		CHECK(n > 0);
		p += n;
		len -= (size_t)n;
	}
}
