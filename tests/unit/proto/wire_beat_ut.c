/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_beat.h"

#include "tests/lib/ut.h"

static struct seal *sealer, *opener;
static const struct wire_beat answer = {
	.kind = WIRE_BEAT_ANSWER,
	.from = {3},
	.to = {255},
	.incarnation = 0xdeadbeef,
	.sent_ns = UINT64_C(0x0102030405060708),
	.asked_ns = 77,
	.got_ns = 99,
};

static void before(void)
{
	static const uint8_t key[SEAL_KEY_BYTES] = {1, 2, 3};
	UT_OK(seal_create(key, &sealer));
	UT_OK(seal_create(key, &opener));
}

static void after(void)
{
	seal_destroy(sealer);
	seal_destroy(opener);
}

UT_SUITE_WITH(wire_beat, before, after);

UT_TEST(what_is_sealed_opens_the_same_and_only_once)
{
	uint8_t bytes[WIRE_BEAT_BYTES], copy[WIRE_BEAT_BYTES];
	struct wire_beat b;
	wire_beat_seal(&answer, sealer, bytes);
	/* The layout is fixed: "MBB1", version, kind. */
	UT_EQ_MEM(bytes, "MBB1\1\2\3\0\377\0\0\0", 12);
	memcpy(copy, bytes, sizeof(copy));
	UT_OK(wire_beat_head(bytes, sizeof(bytes), &b));
	UT_EQ(b.from.v, 3);
	UT_EQ(b.to.v, 255);
	UT_EQ(b.incarnation, 0xdeadbeef);
	UT_EQ(b.sequence, 1);
	UT_OK(wire_beat_open(bytes, opener, &b));
	UT_EQ(b.sent_ns, answer.sent_ns);
	UT_EQ(b.asked_ns, 77);
	UT_EQ(b.got_ns, 99);
	UT_ERR(wire_beat_open(copy, opener, &b), REPLAY);
}

UT_TEST(no_byte_can_be_changed)
{
	for (unsigned i = 0; i < WIRE_BEAT_BYTES; i++) {
		uint8_t bytes[WIRE_BEAT_BYTES];
		struct wire_beat b;
		wire_beat_seal(&answer, sealer, bytes);
		bytes[i] ^= 0x10;
		int err = wire_beat_head(bytes, sizeof(bytes), &b);
		if (err == 0)
			err = wire_beat_open(bytes, opener, &b);
		UT_CHECK(err != 0);
	}
}

UT_TEST(no_other_length_passes)
{
	uint8_t bytes[WIRE_BEAT_BYTES + 1] = {0};
	struct wire_beat b;
	wire_beat_seal(&answer, sealer, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		if (len != WIRE_BEAT_BYTES)
			UT_ERR(wire_beat_head(bytes, len, &b), FORMAT);
	}
	bytes[4] = 9;
	UT_ERR(wire_beat_head(bytes, 5, &b), VERSION);
}

UT_TEST(times_that_no_slice_sends_are_refused)
{
	struct wire_beat bad[] = {answer, answer, answer, answer};
	bad[0].got_ns = bad[0].sent_ns + 1;
	bad[1].sent_ns = UINT64_C(1) << 63;
	bad[2].asked_ns = UINT64_MAX;
	bad[3].kind = WIRE_BEAT_ASK; /* and answers something */
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t bytes[WIRE_BEAT_BYTES];
		struct wire_beat b;
		wire_beat_seal(&bad[i], sealer, bytes);
		UT_OK(wire_beat_head(bytes, sizeof(bytes), &b));
		UT_ERR(wire_beat_open(bytes, opener, &b), PROTOCOL);
	}
}
