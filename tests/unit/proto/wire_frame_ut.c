/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_frame.h"

#include "proto/wire_msgs.h"
#include "tests/lib/ut.h"

UT_SUITE(wire_frame);

static const struct wire_frame usual = {
	.type = WIRE_PROBE_REQUEST,
	.class = MSG_REQUEST,
	.head_bytes = 4,
	.data_bytes = 8,
	.sender = {2},
	.incarnation = 0x11223344,
	.epoch = 5,
	.sequence = UINT64_C(0x0102030405060708),
	.guest_ns = 99,
	.credit = {1, 2, 3},
	.sealed = true,
};

static int decode_changed(size_t at, uint8_t value)
{
	uint8_t b[WIRE_FRAME_MAX] = {0};
	struct wire_frame f;
	wire_frame_encode(&usual, b);
	b[at] = value;
	return wire_frame_decode(b, wire_frame_size(&usual), &f);
}

UT_TEST(what_is_encoded_is_decoded)
{
	uint8_t b[WIRE_FRAME_MAX] = {0};
	struct wire_frame f;
	wire_frame_encode(&usual, b);
	UT_EQ(wire_frame_size(&usual), 48 + 4 + 8 + 16);
	UT_OK(wire_frame_decode(b, wire_frame_size(&usual), &f));
	UT_EQ(f.type, usual.type);
	UT_EQ(f.class, usual.class);
	UT_EQ(f.head_bytes, 4);
	UT_EQ(f.data_bytes, 8);
	UT_EQ(f.sender.v, 2);
	UT_EQ(f.incarnation, usual.incarnation);
	UT_EQ(f.epoch, 5);
	UT_EQ(f.sequence, usual.sequence);
	UT_EQ(f.guest_ns, 99);
	UT_EQ(f.credit[2], 3);
	UT_CHECK(f.sealed);
	/* Little-endian, at the documented places. */
	UT_EQ_MEM(b, "MBF1", 4);
	UT_EQ(b[24], 8);
	UT_EQ(b[31], 1);
}

UT_TEST(every_other_length_is_refused)
{
	uint8_t b[WIRE_FRAME_MAX] = {0};
	struct wire_frame f;
	wire_frame_encode(&usual, b);
	for (size_t len = 0; len < sizeof(b); len++)
		if (len != wire_frame_size(&usual))
			UT_ERR(wire_frame_decode(b, len, &f), FORMAT);
}

UT_TEST(bad_fields_are_refused)
{
	UT_ERR(decode_changed(0, 'X'), FORMAT);
	UT_ERR(decode_changed(4, 2), VERSION);
	UT_ERR(decode_changed(5, MSG_RESPONSE), PROTOCOL);
	UT_ERR(decode_changed(7, 0xff), PROTOCOL);
	UT_ERR(decode_changed(9, 0xff), FORMAT);
	UT_ERR(decode_changed(13, 0xff), FORMAT);
	UT_ERR(decode_changed(14, 1), FORMAT);
	UT_ERR(decode_changed(46, 3), FORMAT);
}

UT_TEST(only_the_agreed_peer_is_accepted)
{
	struct wire_frame_want want = {{2}, 0x11223344, 5, true};
	UT_OK(wire_frame_accept(&usual, &want));
	want.epoch = 6;
	UT_ERR(wire_frame_accept(&usual, &want), STALE);
	want.epoch = 5;
	want.incarnation = 1;
	UT_ERR(wire_frame_accept(&usual, &want), STALE);
	want.incarnation = 0x11223344;
	want.sender.v = 3;
	UT_ERR(wire_frame_accept(&usual, &want), PROTOCOL);
	want.sender.v = 2;
	want.sealed = false;
	UT_ERR(wire_frame_accept(&usual, &want), PROTOCOL);
}
