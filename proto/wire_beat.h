/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_BEAT_H
#define PROTO_WIRE_BEAT_H

#include "base/check.h"
#include "proto/ids.h"
#include "proto/seal.h"

/*
 * A beat, the datagram by which slices show each other that they live and how their clocks differ
 * (docs/protocol.md, R-BEAT-1 ff). Fixed size, little-endian:
 *
 *	 0  u32 magic       "MBB1"          24  u64 sent_ns   sender's clock at sending
 *	 4  u8  version                     32  u64 asked_ns  answers: sent_ns of the beat answered
 *	 5  u8  kind                        40  u64 got_ns    answers: sender's clock at its arrival
 *	 6  u16 from                        48  tag, 16 bytes
 *	 8  u16 to
 *	10  u16 zero
 *	12  u32 incarnation tag
 *	16  u64 sequence
 *
 * The first 24 bytes stay readable and are authenticated, the next 24 are encrypted.
 */
#define WIRE_BEAT_MAGIC      UINT32_C(0x3142424d)
#define WIRE_BEAT_VERSION    1
#define WIRE_BEAT_HEAD_BYTES 24u
#define WIRE_BEAT_BODY_BYTES 24u
#define WIRE_BEAT_BYTES      (WIRE_BEAT_HEAD_BYTES + WIRE_BEAT_BODY_BYTES + SEAL_TAG_BYTES)

/* An ASK is answered at once by an ANSWER, which is not answered. */
enum wire_beat_kind { WIRE_BEAT_ASK = 1, WIRE_BEAT_ANSWER = 2 };

struct wire_beat {
	enum wire_beat_kind kind;
	slice_id_t from, to;
	uint32_t incarnation; /* wire_frame_incarnation() */
	uint64_t sequence;
	uint64_t sent_ns, asked_ns, got_ns; /* below 2^63 */
};

/* Seal a beat with the sequence that is the sealer's turn. Context: any. */
void wire_beat_seal(const struct wire_beat *b, struct seal *seal, uint8_t out[WIRE_BEAT_BYTES]);

/*
 * Read the head of a datagram of `len` bytes: whose key opens it. ERR_FORMAT, ERR_VERSION. Nothing
 * is authenticated yet. Context: any.
 */
MUST_CHECK int wire_beat_head(const void *bytes, size_t len, struct wire_beat *out);

/*
 * Open, in place, the datagram that wire_beat_head() has read into `b`, and fill in the rest.
 * ERR_REPLAY: not later than one opened before; ERR_AUTH; ERR_PROTOCOL: times that no slice sends.
 */
MUST_CHECK int wire_beat_open(
	uint8_t bytes[WIRE_BEAT_BYTES], struct seal *seal, struct wire_beat *b);

/* What is encrypted, in the clear; for the fuzzer. */
MUST_CHECK int wire_beat_body(const uint8_t body[WIRE_BEAT_BODY_BYTES], struct wire_beat *b);

#endif
