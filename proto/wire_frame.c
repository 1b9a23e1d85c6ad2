/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_frame.h"

#include "base/buf.h"
#include "base/err.h"
#include "proto/wire_msgs.h"

/*
 * The layout as a struct of bytes: it is only there for its offsets, which are asserted against
 * what the header file says. No struct is ever laid over the wire.
 */
struct frame_layout {
	uint8_t magic[4], version[1], class[1], type[2];
	uint8_t head_bytes[2], data_bytes[2], sender[2], zero[2];
	uint8_t incarnation[4], epoch[4];
	uint8_t sequence[8], guest_ns[8];
	uint8_t credit[MSG_CLASS_N][2], flags[2];
};
STATIC_CHECK(sizeof(struct frame_layout) == WIRE_FRAME_BYTES, "R-XP-1: size of the header");
STATIC_CHECK(offsetof(struct frame_layout, type) == 6, "R-XP-1");
STATIC_CHECK(offsetof(struct frame_layout, sender) == 12, "R-XP-1");
STATIC_CHECK(offsetof(struct frame_layout, incarnation) == 16, "R-XP-1");
STATIC_CHECK(offsetof(struct frame_layout, sequence) == 24, "R-XP-1");
STATIC_CHECK(offsetof(struct frame_layout, guest_ns) == 32, "R-XP-1");
STATIC_CHECK(offsetof(struct frame_layout, credit) == 40, "R-XP-1");
STATIC_CHECK(offsetof(struct frame_layout, flags) == 46, "R-XP-1");
STATIC_CHECK(XPORT_DATA_MAX <= UINT16_MAX && XPORT_HEAD_MAX <= UINT16_MAX, "lengths are u16");

uint32_t wire_frame_incarnation(const struct vm_incarnation *inc)
{
	struct rcur c = rcur_of(inc->b, sizeof(inc->b));
	return rcur_u32(&c);
}

void wire_frame_encode(const struct wire_frame *f, uint8_t out[WIRE_FRAME_BYTES])
{
	CHECK(f->class < MSG_CLASS_N);
	CHECK(f->head_bytes <= XPORT_HEAD_MAX && f->data_bytes <= XPORT_DATA_MAX);
	struct wcur c = wcur_of(out, WIRE_FRAME_BYTES);
	wcur_u32(&c, WIRE_FRAME_MAGIC);
	wcur_u8(&c, WIRE_FRAME_VERSION);
	wcur_u8(&c, (uint8_t)f->class);
	wcur_u16(&c, f->type);
	wcur_u16(&c, f->head_bytes);
	wcur_u16(&c, f->data_bytes);
	wcur_u16(&c, f->sender.v);
	wcur_u16(&c, 0);
	wcur_u32(&c, f->incarnation);
	wcur_u32(&c, f->epoch);
	wcur_u64(&c, f->sequence);
	wcur_u64(&c, f->guest_ns);
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		wcur_u16(&c, f->credit[i]);
	wcur_u16(&c, f->sealed ? WIRE_FRAME_SEALED : 0);
	CHECK(!c.bad && c.left == 0);
}

int wire_frame_decode(const void *bytes, size_t len, struct wire_frame *out)
{
	struct rcur c = rcur_of(bytes, MIN(len, WIRE_FRAME_BYTES));
	struct wire_frame f;
	uint32_t magic = rcur_u32(&c);
	uint8_t version = rcur_u8(&c);
	uint8_t class = rcur_u8(&c);
	f.type = rcur_u16(&c);
	f.head_bytes = rcur_u16(&c);
	f.data_bytes = rcur_u16(&c);
	f.sender.v = rcur_u16(&c);
	uint16_t zero = rcur_u16(&c);
	f.incarnation = rcur_u32(&c);
	f.epoch = rcur_u32(&c);
	f.sequence = rcur_u64(&c);
	f.guest_ns = rcur_u64(&c);
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		f.credit[i] = rcur_u16(&c);
	uint16_t flags = rcur_u16(&c);

	/* R-XP-2: the version is looked at before anything that it may have changed. */
	if (c.bad || magic != WIRE_FRAME_MAGIC)
		return ERR_FORMAT;
	if (version != WIRE_FRAME_VERSION)
		return ERR_VERSION;
	f.sealed = (flags & WIRE_FRAME_SEALED) != 0;
	if ((flags & ~WIRE_FRAME_SEALED) != 0 || zero != 0)
		return ERR_FORMAT;
	if (f.head_bytes > XPORT_HEAD_MAX || f.data_bytes > XPORT_DATA_MAX ||
		wire_frame_size(&f) != len || f.sender.v >= SLICE_MAX)
		return ERR_FORMAT;
	/* R-XP-3 */
	if (wire_msg_class(f.type, &f.class) != 0 || class != (uint8_t)f.class)
		return ERR_PROTOCOL;
	*out = f;
	return 0;
}

int wire_frame_accept(const struct wire_frame *f, const struct wire_frame_want *want)
{
	/* R-XP-4 */
	if (f->incarnation != want->incarnation || f->epoch != want->epoch)
		return ERR_STALE;
	if (!slice_eq(f->sender, want->sender) || f->sealed != want->sealed)
		return ERR_PROTOCOL;
	return 0;
}
