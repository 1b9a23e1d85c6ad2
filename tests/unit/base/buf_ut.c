/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdlib.h>

#include "base/rng.h"
#include "tests/lib/ut.h"

UT_SUITE(buf);

static const uint8_t bytes[] = {
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

UT_TEST(reads_little_endian)
{
	struct rcur c = rcur_of(bytes, sizeof(bytes));
	UT_EQ(rcur_u8(&c), 0x01);
	UT_EQ(rcur_u16(&c), 0x0302);
	UT_EQ(rcur_u32(&c), 0x07060504);
	UT_EQ(rcur_u64(&c), UINT64_C(0xffeeddccbbaa9988));
	UT_CHECK(rcur_done(&c));
}

UT_TEST(writes_little_endian)
{
	uint8_t out[15];
	struct wcur c = wcur_of(out, sizeof(out));
	wcur_u8(&c, 0x01);
	wcur_u16(&c, 0x0302);
	wcur_u32(&c, 0x07060504);
	wcur_u64(&c, UINT64_C(0xffeeddccbbaa9988));
	UT_CHECK(!c.bad);
	UT_EQ(c.used, sizeof(out));
	UT_EQ(c.left, 0);
	UT_EQ_MEM(out, bytes, sizeof(out));
}

static uint64_t read_width(struct rcur *c, size_t width)
{
	return width == 1   ? rcur_u8(c)
	       : width == 2 ? rcur_u16(c)
	       : width == 4 ? rcur_u32(c)
			    : rcur_u64(c);
}

static void write_width(struct wcur *c, size_t width)
{
	if (width == 1)
		wcur_u8(c, UINT8_MAX);
	else if (width == 2)
		wcur_u16(c, UINT16_MAX);
	else if (width == 4)
		wcur_u32(c, UINT32_MAX);
	else
		wcur_u64(c, UINT64_MAX);
}

/* Each width with each number of bytes left. The input is on the heap for the sanitizers. */
UT_TEST(read_at_every_boundary)
{
	for (size_t width = 1; width <= 8; width *= 2) {
		for (size_t len = 0; len <= 9; len++) {
			uint8_t *in = malloc(len + 1);
			UT_CHECK(in != NULL);
			memset(in, 0xff, len);
			struct rcur c = rcur_of(in, len);
			uint64_t v = read_width(&c, width);
			UT_EQ(c.bad, len < width);
			UT_EQ(c.left, len < width ? len : len - width);
			UT_EQ(v, len < width ? 0 : UINT64_MAX >> (64 - 8 * width));
			UT_EQ(rcur_done(&c), len == width);
			free(in);
		}
	}
}

UT_TEST(write_at_every_boundary)
{
	for (size_t width = 1; width <= 8; width *= 2) {
		for (size_t len = 0; len <= 9; len++) {
			uint8_t out[10] = {0};
			struct wcur c = wcur_of(out, len);
			write_width(&c, width);
			UT_EQ(c.bad, len < width);
			UT_EQ(c.used, len < width ? 0 : width);
			for (size_t i = 0; i < sizeof(out); i++)
				UT_EQ(out[i], len >= width && i < width ? 0xff : 0);
		}
	}
}

UT_TEST(bad_is_for_ever)
{
	struct rcur r = rcur_of(bytes, 3);
	UT_EQ(rcur_u32(&r), 0);
	UT_EQ(rcur_u8(&r), 0);
	UT_CHECK(rcur_bytes(&r, 0) == NULL);
	UT_CHECK(r.bad && r.left == 3 && r.p == bytes);

	uint8_t out[3] = {0};
	struct wcur w = wcur_of(out, 3);
	wcur_u32(&w, UINT32_MAX);
	wcur_u8(&w, 0xff);
	wcur_bytes(&w, bytes, 1);
	UT_CHECK(w.bad && w.used == 0 && out[0] == 0);
}

UT_TEST(bytes_in_place)
{
	struct rcur c = rcur_of(bytes, 4);
	UT_CHECK(rcur_bytes(&c, 3) == bytes);
	UT_CHECK(rcur_bytes(&c, 0) == bytes + 3);
	UT_CHECK(!rcur_done(&c));
	UT_CHECK(rcur_bytes(&c, 1) == bytes + 3);
	UT_CHECK(rcur_done(&c));
	UT_CHECK(rcur_bytes(&c, SIZE_MAX) == NULL);
	UT_CHECK(!rcur_done(&c));
}

UT_TEST(empty_cursors)
{
	struct rcur r = rcur_of(NULL, 0);
	UT_CHECK(rcur_done(&r));
	UT_EQ(rcur_u8(&r), 0);
	UT_CHECK(r.bad);
	struct wcur w = wcur_of(NULL, 0);
	wcur_bytes(&w, NULL, 0);
	UT_CHECK(!w.bad);
	wcur_u8(&w, 1);
	UT_CHECK(w.bad);
}

UT_TEST(random_round_trips)
{
	struct rng rng;
	rng_init(&rng, ut_seed());
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t out[15];
		uint64_t v[4] = {rng_u64(&rng), rng_u64(&rng), rng_u64(&rng), rng_u64(&rng)};
		struct wcur w = wcur_of(out, sizeof(out));
		wcur_u64(&w, v[0]);
		wcur_u8(&w, (uint8_t)v[1]);
		wcur_u32(&w, (uint32_t)v[2]);
		wcur_u16(&w, (uint16_t)v[3]);
		UT_CHECK(!w.bad);
		struct rcur r = rcur_of(out, w.used);
		UT_EQ(rcur_u64(&r), v[0]);
		UT_EQ(rcur_u8(&r), (uint8_t)v[1]);
		UT_EQ(rcur_u32(&r), (uint32_t)v[2]);
		UT_EQ(rcur_u16(&r), (uint16_t)v[3]);
		UT_CHECK(rcur_done(&r));
	}
}
