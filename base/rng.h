/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Seeded pseudo-random numbers (xoshiro256**): the same seed gives the same run. Not for keys. */
struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_u64(struct rng *rng);
/* Uniform in [0, n), n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/*
 * Bytes from the kernel (getrandom), for keys and identifiers. Never fails: a kernel without it is
 * a CHECK.
 */
void rng_system(void *buf, size_t len);

#endif
