/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "tests/lib/ut.h"

UT_SUITE(rng);

/*
 * xoshiro256** from the state 1, 2, 3, 4, worked out by hand from the published algorithm for the
 * first two: rotl(2 * 5, 7) * 9 = 11520; then s1 = 0, so 0.
 */
UT_TEST(known_first_values)
{
	struct rng rng = {{1, 2, 3, 4}};
	UT_EQ(rng_u64(&rng), 11520);
	UT_EQ(rng_u64(&rng), 0);
	UT_EQ(rng_u64(&rng), 1509978240);
	UT_EQ(rng_u64(&rng), UINT64_C(1215971899390074240));
}

/* splitmix64 of seed 0, as in the test vectors of several languages' libraries. */
UT_TEST(seeding_is_splitmix)
{
	struct rng rng;
	rng_init(&rng, 0);
	UT_EQ(rng.s[0], UINT64_C(0xe220a8397b1dcdaf));
	UT_EQ(rng.s[1], UINT64_C(0x6e789e6aa1b965f4));
	UT_EQ(rng.s[2], UINT64_C(0x06c45d188009454f));
	UT_EQ(rng.s[3], UINT64_C(0xf88bb8a8724c81ec));
}

UT_TEST(the_seed_decides)
{
	struct rng a, b, c;
	bool differ = false;
	rng_init(&a, 42);
	rng_init(&b, 42);
	rng_init(&c, 43);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t v = rng_u64(&a);
		UT_EQ(v, rng_u64(&b));
		differ |= v != rng_u64(&c);
	}
	UT_CHECK(differ);
}

UT_TEST(below_stays_below)
{
	static const uint64_t edges[] = {
		1, 2, 3, 7, 255, 256, UINT32_MAX, (UINT64_C(1) << 63) + 1, UINT64_MAX};
	struct rng rng;
	rng_init(&rng, ut_seed());
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		for (unsigned k = 0; k < 1000; k++)
			UT_CHECK(rng_below(&rng, edges[i]) < edges[i]);
}

/* A fixed seed, so that a test of chance does not fail by chance. */
UT_TEST(below_is_uniform)
{
	unsigned n[7] = {0};
	struct rng rng;
	rng_init(&rng, 1);
	for (unsigned i = 0; i < 70000; i++)
		n[rng_below(&rng, ARRAY_SIZE(n))]++;
	for (size_t i = 0; i < ARRAY_SIZE(n); i++)
		UT_CHECK(n[i] > 9600 && n[i] < 10400);
}

/* Three quarters of the range: without rejection every second value would be a multiple of 3. */
UT_TEST(below_rejects_what_would_bias)
{
	unsigned n[3] = {0};
	struct rng rng;
	rng_init(&rng, 1);
	for (unsigned i = 0; i < 30000; i++)
		n[rng_below(&rng, UINT64_C(3) << 62) % 3]++;
	for (size_t i = 0; i < ARRAY_SIZE(n); i++)
		UT_CHECK(n[i] > 9500 && n[i] < 10500);
}

static void below_zero(UNUSED void *arg)
{
	struct rng rng;
	rng_init(&rng, 1);
	rng_below(&rng, 0);
}

UT_TEST(below_zero_aborts)
{
	UT_ABORTS(below_zero, NULL, "n > 0");
}

UT_TEST(system_fills_exactly)
{
	uint8_t a[1024 + 1], b[1024];
	memset(a, 0, sizeof(a));
	rng_system(a, 1024);
	rng_system(b, sizeof(b));
	UT_EQ(a[1024], 0);
	UT_CHECK(memcmp(a, b, sizeof(b)) != 0);
	rng_system(a, 0);
	unsigned zeroes = 0;
	for (size_t i = 0; i < 1024; i++)
		zeroes += a[i] == 0;
	UT_CHECK(zeroes < 64);
}
