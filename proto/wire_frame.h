/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_FRAME_H
#define PROTO_WIRE_FRAME_H

#include "proto/xport.h"

/*
 * The header in front of every data-plane message, docs/protocol.md R-XP-1 ff. Fixed size,
 *little-endian:
 *
 *	 0  u32 magic          "MBF1"             20  u32 epoch
 *	 4  u8  version                           24  u64 sequence
 *	 5  u8  class                             32  u64 guest_ns
 *	 6  u16 type                              40  u16 credit[3]
 *	 8  u16 head_bytes                        46  u16 flags
 *	10  u16 data_bytes                        48  head, then data, then the tag (16 bytes) when
 *sealed 12  u16 sender 14  u16 zero 16  u32 incarnation tag
 */
#define WIRE_FRAME_MAGIC   UINT32_C(0x3146424d)
#define WIRE_FRAME_VERSION 1
#define WIRE_FRAME_BYTES   48u
#define WIRE_FRAME_TAG     16u
#define WIRE_FRAME_MAX     (WIRE_FRAME_BYTES + XPORT_HEAD_MAX + XPORT_DATA_MAX + WIRE_FRAME_TAG)

#define WIRE_FRAME_SEALED                                                                          \
	0x0001u /* flags: what follows the header is encrypted and ends with a tag */

struct wire_frame {
	uint16_t type;
	enum msg_class class;
	uint16_t head_bytes, data_bytes;
	slice_id_t sender;
	uint32_t incarnation; /* wire_frame_incarnation() */
	uint32_t epoch;
	uint64_t sequence;
	uint64_t guest_ns; /* 0: not stamped */
	uint16_t credit[MSG_CLASS_N];
	bool sealed;
};

/* What a receiver knows of its peer and compares every frame with. */
struct wire_frame_want {
	slice_id_t sender;
	uint32_t incarnation;
	uint32_t epoch;
	bool sealed;
};

/* The tag of an incarnation: its first four bytes. The whole is proved by the handshake. Context:
 * any. */
uint32_t wire_frame_incarnation(const struct vm_incarnation *inc);

/* Bytes of a frame on the wire. Context: any. */
static inline size_t wire_frame_size(const struct wire_frame *f)
{
	return WIRE_FRAME_BYTES + f->head_bytes + (size_t)f->data_bytes +
	       (f->sealed ? WIRE_FRAME_TAG : 0);
}

/* Write the header. Context: any. */
void wire_frame_encode(const struct wire_frame *f, uint8_t out[WIRE_FRAME_BYTES]);

/*
 * Read the header of a frame of `len` bytes. ERR_FORMAT: too short, lengths that do not add up,
 * reserved bits; ERR_VERSION; ERR_PROTOCOL: unknown type, or not of its class. Says nothing about
 * the sender. Context: any.
 */
MUST_CHECK int wire_frame_decode(const void *bytes, size_t len, struct wire_frame *out);

/*
 * Is a decoded frame from the one we talk with? ERR_STALE: another incarnation or epoch;
 * ERR_PROTOCOL: another sender, or plain where sealed was agreed (or the reverse). Context: any.
 */
MUST_CHECK int wire_frame_accept(const struct wire_frame *f, const struct wire_frame_want *want);

#endif
