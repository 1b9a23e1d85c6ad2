/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_WIRE_HELLO_H
#define PROTO_WIRE_HELLO_H

#include "proto/credit.h"
#include "proto/seal.h"

/*
 * What two slices say before they exchange messages (docs/protocol.md R-XP-10 ff): the heads of
 *XPORT_HELLO, XPORT_PROOF and XPORT_REFUSE. Little-endian; a HELLO is
 *
 *	 0  u16 version       8  u8 incarnation[16]     44  u16 window[3]
 *	 2  u16 flags        24  u32 epoch              50  u16 zero
 *	 4  u16 from         28  u8 nonce[16]           52  u8 provider[16], padded with zeros
 *	 6  u16 to
 */
#define WIRE_HELLO_VERSION  3
#define WIRE_HELLO_BYTES    68u
#define WIRE_PROOF_BYTES    32u
#define WIRE_REFUSE_BYTES   4u
#define WIRE_PROVIDER_BYTES 16u

#define WIRE_HELLO_SEALED 0x0001u /* flags: frames are to be sealed */

struct wire_hello {
	uint16_t version;
	bool sealed;
	slice_id_t from, to;
	struct vm_incarnation incarnation;
	uint32_t epoch;
	uint8_t nonce[SEAL_NONCE_BYTES];
	uint16_t window[MSG_CLASS_N]; /* messages that `from` has room for */
	char provider[WIRE_PROVIDER_BYTES];
};

/* Context of all: any thread. */
void wire_hello_encode(const struct wire_hello *h, uint8_t out[WIRE_HELLO_BYTES]);

/* ERR_VERSION when the version is not ours, whatever follows it; ERR_FORMAT. */
MUST_CHECK int wire_hello_decode(const void *bytes, size_t len, struct wire_hello *out);

/*
 * Does the peer's HELLO fit ours? ERR_STALE: another incarnation or epoch; ERR_VERSION: another
 * provider; ERR_PROTOCOL: not from or to the right slice, a window of 0, or sealing on one side
 * only. `text` says what it was.
 */
MUST_CHECK int wire_hello_match(
	const struct wire_hello *ours, const struct wire_hello *theirs, const char **text);

/*
 * The proof of `by`, one of the two, that it has the secret: over both HELLOs as they were on the
 * wire.
 */
void wire_hello_proof(const struct seal_origin *o, slice_id_t by,
	const uint8_t lo[WIRE_HELLO_BYTES], const uint8_t hi[WIRE_HELLO_BYTES],
	uint8_t proof[WIRE_PROOF_BYTES]);

/* A REFUSE carries a code of base/err.def. Decoding gives ERR_CONNECT for what no sender may say.
 */
void wire_refuse_encode(int err, uint8_t out[WIRE_REFUSE_BYTES]);
MUST_CHECK int wire_refuse_decode(const void *bytes, size_t len, int *err);

#endif
