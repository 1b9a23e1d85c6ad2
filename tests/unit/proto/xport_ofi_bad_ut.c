/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/ofi_rig.h"

#include "proto/wire_msgs.h"

/* A peer that misbehaves: slice 0 of three, whose endpoint is written to behind its back. */

UT_SUITE_WITH(xport_ofi_bad, ofi_before, ofi_after);

static struct ofi_conn *conn_to(unsigned from, unsigned to)
{
	return nodes[from].o->by_id[to]->conn;
}

static void raw_send(unsigned from, unsigned to, const void *bytes, size_t len)
{
	uint64_t end = side_now_ns() + PATIENCE_NS;
	static uint8_t copy[2 * WIRE_FRAME_MAX];
	static struct ofi_slot done;
	memcpy(copy, bytes, len);
	struct ofi_conn *c = conn_to(from, to);
	/* The completion goes to a slot that is thrown away. */
	done.conn = c;
	list_init(&done.link);
	while (fi_send(c->ep, copy, len, NULL, 0, &done.context) != 0)
		CHECK(side_now_ns() < end);
}

/* Slice 1 has closed the connection to slice 0 with `err`, and nothing else has happened. */
static void only_that_one_closed(int err)
{
	RUN_UNTIL(sides[1].n_down[0] == 1 && sides[0].n_down[1] == 1);
	UT_EQ(sides[1].down_err[0], err);
	unsigned had = sides[1].n_got;
	UT_OK(side_post(2, 1, WIRE_PROBE_REQUEST, 77));
	UT_OK(side_post(0, 2, WIRE_PROBE_REQUEST, 78));
	RUN_UNTIL(sides[1].n_got == had + 1 && sides[2].n_got == 1);
	UT_EQ(sides[1].n_down[2], 0);
	UT_EQ(sides[2].n_down[0], 0);
}

UT_TEST(garbage_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t junk[300];
	for (unsigned i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(i * 31);
	raw_send(0, 1, junk, sizeof(junk));
	only_that_one_closed(ERR_FORMAT);
	UT_EQ(sides[1].n_got, 1);
}

UT_TEST(an_empty_frame_closes_only_that_connection)
{
	ofi_start(3, NULL);
	raw_send(0, 1, "x", 1);
	only_that_one_closed(ERR_FORMAT);
}

UT_TEST(too_long_a_frame_closes_only_that_connection)
{
	ofi_start(3, NULL);
	static const uint8_t big[2 * WIRE_FRAME_MAX];
	raw_send(0, 1, big, sizeof(big));
	RUN_UNTIL(sides[1].n_down[0] == 1 && sides[0].n_down[1] == 1);
	UT_OK(side_post(2, 1, WIRE_PROBE_REQUEST, 77));
	RUN_UNTIL(sides[1].n_got == 1);
}

/* A right frame of slice 0 to slice 1, not sent. */
static size_t make_frame(uint8_t *out, uint32_t value)
{
	struct ofi_peer *p = nodes[0].o->by_id[1];
	struct wire_frame f = {
		.type = WIRE_PROBE_REQUEST,
		.class = MSG_REQUEST,
		.head_bytes = 4,
		.sender = {0},
		.incarnation = wire_frame_incarnation(&nodes[0].o->cfg.incarnation),
		.epoch = 3,
		.sequence = seal_next(p->sealer),
		.sealed = true,
	};
	wire_frame_encode(&f, out);
	seal_seal(p->sealer, out, WIRE_FRAME_BYTES, &value, 4, NULL, 0, out + WIRE_FRAME_BYTES);
	return wire_frame_size(&f);
}

UT_TEST(a_replayed_frame_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	raw_send(0, 1, frame, len);
	RUN_UNTIL(sides[1].n_got == 1);
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_REPLAY);
	UT_EQ(sides[1].n_got, 2);
}

UT_TEST(a_gap_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	(void)make_frame(frame, 5);
	size_t len = make_frame(frame, 6);
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_REPLAY);
}

UT_TEST(a_truncated_frame_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	raw_send(0, 1, frame, len - 1);
	only_that_one_closed(ERR_FORMAT);
}

UT_TEST(a_changed_frame_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	frame[WIRE_FRAME_BYTES] ^= 1;
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_AUTH);
}

UT_TEST(a_changed_header_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	frame[32] ^= 1; /* guest time */
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_AUTH);
}

UT_TEST(returning_credits_that_were_not_used_closes_only_that_connection)
{
	ofi_start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	struct ofi_peer *p = nodes[0].o->by_id[1];
	struct wire_frame f = {
		.type = WIRE_XPORT_CREDIT,
		.class = MSG_RESPONSE,
		.sender = {0},
		.incarnation = wire_frame_incarnation(&nodes[0].o->cfg.incarnation),
		.epoch = 3,
		.sequence = seal_next(p->sealer),
		.credit = {1},
		.sealed = true,
	};
	wire_frame_encode(&f, frame);
	seal_seal(p->sealer, frame, WIRE_FRAME_BYTES, NULL, 0, NULL, 0, frame + WIRE_FRAME_BYTES);
	raw_send(0, 1, frame, wire_frame_size(&f));
	only_that_one_closed(ERR_PROTOCOL);
}

/*
 * Sending without credit. A receiver that handles what comes gives credit back at once; to see one
 * run out, its answers find no buffer of the fabric.
 */
UT_TEST(sending_without_credit_closes_only_that_connection)
{
	const struct credit_cfg few = {.window = {2, 2, 2}, .queue_max = {9, 9, 9}};
	uint8_t frame[WIRE_FRAME_MAX];
	ofi_start(3, &few);
	list_init(&conn_to(1, 0)->tx_free);
	for (uint32_t i = 0; i < 3; i++) {
		raw_send(0, 1, frame, make_frame(frame, i));
		RUN_UNTIL(sides[1].n_got == i + 1 || sides[1].n_down[0] == 1);
	}
	/* What had credit was handled; the third was not. */
	UT_EQ(sides[1].n_got, 2);
	only_that_one_closed(ERR_PROTOCOL);
}

UT_TEST(a_handler_error_closes_only_that_connection)
{
	ofi_start(3, NULL);
	const struct xport_msg m = {.peer = {1},
		.class = MSG_REQUEST,
		.type = WIRE_PROBE_REQUEST,
		.head = "xyz",
		.head_bytes = 3};
	UT_OK(xport_send(sides[0].x, &m));
	only_that_one_closed(ERR_PROTOCOL);
}
