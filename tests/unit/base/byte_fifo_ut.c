/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byte_fifo.h"

#include "tests/lib/ut.h"

UT_SUITE(byte_fifo);

UT_TEST(wraps_and_bounds)
{
	struct byte_fifo f;
	uint8_t next_in = 0, next_out = 0, buf[7];

	byte_fifo_init(&f, 10);
	UT_CHECK(f.p == NULL);
	for (int round = 0; round < 100; round++) {
		size_t want = (size_t)round % 8 + 1;
		for (size_t i = 0; i < want && i < sizeof(buf); i++)
			buf[i] = (uint8_t)(next_in + i);
		size_t room = 10 - f.len, put = byte_fifo_put(&f, buf, MIN(want, sizeof(buf)));
		UT_EQ(put, MIN(MIN(want, sizeof(buf)), room));
		next_in = (uint8_t)(next_in + put);
		size_t got = byte_fifo_get(&f, buf, (size_t)round % 5);
		for (size_t i = 0; i < got; i++)
			UT_EQ(buf[i], next_out++);
	}
	while (byte_fifo_get(&f, buf, sizeof(buf)) > 0)
		;
	UT_EQ(f.len, 0);
	byte_fifo_fini(&f);
	UT_EQ(f.cap, 10);
	byte_fifo_fini(&f);
}

UT_TEST(peek_and_drop)
{
	struct byte_fifo f;
	size_t n;

	byte_fifo_init(&f, 4);
	UT_CHECK(byte_fifo_peek(&f, &n) == NULL && n == 0);
	UT_EQ(byte_fifo_put(&f, "abcdef", 6), 4);
	UT_EQ(byte_fifo_put(&f, "x", 1), 0);
	byte_fifo_drop(&f, 3);
	UT_EQ(byte_fifo_put(&f, "gh", 2), 2);
	UT_EQ_MEM(byte_fifo_peek(&f, &n), "d", 1);
	UT_EQ(n, 1); /* up to the ring's end */
	byte_fifo_drop(&f, 1);
	UT_EQ_MEM(byte_fifo_peek(&f, &n), "gh", 2);
	UT_EQ(n, 2);
	byte_fifo_fini(&f);
}

static void drop_too_much(void *arg)
{
	byte_fifo_drop(arg, 1);
}

UT_TEST(drop_beyond_the_end)
{
	struct byte_fifo f;

	byte_fifo_init(&f, 4);
	UT_ABORTS(drop_too_much, &f, "len <= f->len");
}
