/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_beat.h"

#include "base/buf.h"
#include "base/err.h"

STATIC_CHECK(4 + 1 + 1 + 2 + 2 + 2 + 4 + 8 == WIRE_BEAT_HEAD_BYTES, "R-BEAT-1: the head");
STATIC_CHECK(3 * 8 == WIRE_BEAT_BODY_BYTES, "R-BEAT-1: the body");

void wire_beat_seal(const struct wire_beat *b, struct seal *seal, uint8_t out[WIRE_BEAT_BYTES])
{
	uint8_t body[WIRE_BEAT_BODY_BYTES];
	struct wcur c = wcur_of(out, WIRE_BEAT_HEAD_BYTES);
	wcur_u32(&c, WIRE_BEAT_MAGIC);
	wcur_u8(&c, WIRE_BEAT_VERSION);
	wcur_u8(&c, (uint8_t)b->kind);
	wcur_u16(&c, b->from.v);
	wcur_u16(&c, b->to.v);
	wcur_u16(&c, 0);
	wcur_u32(&c, b->incarnation);
	wcur_u64(&c, seal_next(seal));
	CHECK(!c.bad && c.left == 0);
	c = wcur_of(body, sizeof(body));
	wcur_u64(&c, b->sent_ns);
	wcur_u64(&c, b->asked_ns);
	wcur_u64(&c, b->got_ns);
	CHECK(!c.bad && c.left == 0);
	seal_seal(seal, out, WIRE_BEAT_HEAD_BYTES, body, sizeof(body), NULL, 0,
		out + WIRE_BEAT_HEAD_BYTES);
}

int wire_beat_head(const void *bytes, size_t len, struct wire_beat *out)
{
	struct rcur c = rcur_of(bytes, len);
	uint32_t magic = rcur_u32(&c);
	uint8_t version = rcur_u8(&c);
	if (c.bad || magic != WIRE_BEAT_MAGIC)
		return ERR_FORMAT;
	/* R-BEAT-1: a later version may have another layout behind its number. */
	if (version != WIRE_BEAT_VERSION)
		return ERR_VERSION;
	uint8_t kind = rcur_u8(&c);
	struct wire_beat b = {.kind = (enum wire_beat_kind)kind};
	b.from.v = rcur_u16(&c);
	b.to.v = rcur_u16(&c);
	uint16_t zero = rcur_u16(&c);
	b.incarnation = rcur_u32(&c);
	b.sequence = rcur_u64(&c);
	if (c.bad || len != WIRE_BEAT_BYTES || zero != 0 || b.from.v >= SLICE_MAX ||
		b.to.v >= SLICE_MAX || (kind != WIRE_BEAT_ASK && kind != WIRE_BEAT_ANSWER))
		return ERR_FORMAT;
	*out = b;
	return 0;
}

int wire_beat_body(const uint8_t body[WIRE_BEAT_BODY_BYTES], struct wire_beat *b)
{
	struct rcur c = rcur_of(body, WIRE_BEAT_BODY_BYTES);
	uint64_t sent_ns = rcur_u64(&c);
	uint64_t asked_ns = rcur_u64(&c);
	uint64_t got_ns = rcur_u64(&c);
	/* R-BEAT-2 */
	if (sent_ns > INT64_MAX || asked_ns > INT64_MAX || got_ns > sent_ns)
		return ERR_PROTOCOL;
	if (b->kind == WIRE_BEAT_ASK && (asked_ns != 0 || got_ns != 0))
		return ERR_PROTOCOL;
	b->sent_ns = sent_ns;
	b->asked_ns = asked_ns;
	b->got_ns = got_ns;
	return 0;
}

int wire_beat_open(uint8_t bytes[WIRE_BEAT_BYTES], struct seal *seal, struct wire_beat *b)
{
	uint8_t *body = bytes + WIRE_BEAT_HEAD_BYTES;
	int err = seal_open_later(seal, b->sequence, bytes, WIRE_BEAT_HEAD_BYTES, body,
		WIRE_BEAT_BODY_BYTES + SEAL_TAG_BYTES);
	return err != 0 ? err : wire_beat_body(body, b);
}
