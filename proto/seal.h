/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_SEAL_H
#define PROTO_SEAL_H

#include "base/check.h"
#include "proto/ids.h"

/*
 * Sealing of one direction of one connection: AES-256-GCM under a key of its own, with the frame
 * counter as nonce (docs/protocol.md R-XP-20 ff). One `struct seal` either seals or opens, and
 * counts. With a plain one nothing is encrypted, but the counting is the same. Context: the caller
 * serialises calls on one object. Nothing blocks.
 */
#define SEAL_KEY_BYTES    32u
#define SEAL_NONCE_BYTES  16u /* each side's random share of a key */
#define SEAL_TAG_BYTES    16u
#define SEAL_SECRET_BYTES 32u

struct seal;

/* The secret of a VM's incarnation, given by the control plane. */
struct seal_secret {
	uint8_t b[SEAL_SECRET_BYTES];
};

/* From what the keys of a connection are made. `lo` is the slice with the lower id. */
struct seal_origin {
	const struct seal_secret *secret;
	const struct vm_incarnation *incarnation;
	slice_id_t lo, hi;
	uint8_t nonce_lo[SEAL_NONCE_BYTES];
	uint8_t nonce_hi[SEAL_NONCE_BYTES];
};

/*
 * Derive a key (HKDF-SHA256) for one purpose ("frames lo-hi"): different purposes give independent
 * keys. Never fails with a working libcrypto (CHECK). Context: any.
 */
void seal_derive(const struct seal_origin *o, const char *purpose, uint8_t key[SEAL_KEY_BYTES]);

/* HMAC-SHA256 over a message, for proofs. Context: any. */
void seal_mac(const uint8_t key[SEAL_KEY_BYTES], const void *bytes, size_t len, uint8_t mac[32]);

/* Equal, in time that does not depend on where they differ. Context: any. */
bool seal_mac_equal(const uint8_t a[32], const uint8_t b[32]);

/* Overwrite a secret that is no longer needed, so that the compiler keeps the writes. Context: any.
 */
void seal_wipe(void *bytes, size_t len);

/* `key` NULL: plain. ERR_NO_MEMORY. The counter starts at 1. */
MUST_CHECK int seal_create(const uint8_t *key, struct seal **out);
void seal_destroy(struct seal *s); /* NULL is allowed */

/* The counter of the next frame to be sealed; it goes into the header before seal_seal(). */
uint64_t seal_next(const struct seal *s);

/*
 * Seal head and data behind the header `aad` (which stays readable and is authenticated) into
 * `out`: their bytes plus SEAL_TAG_BYTES, or just their bytes when plain. Advances the counter.
 */
void seal_seal(struct seal *s, const void *aad, size_t aad_bytes, const void *head,
	size_t head_bytes, const void *data, size_t data_bytes, uint8_t *out);

/*
 * Open what followed the header in place. `bytes` counts the tag, `sequence` is that of the header.
 * ERR_REPLAY: not the next one; ERR_AUTH: not sealed with this key, or changed; ERR_FORMAT: shorter
 * than a tag. After an error the connection is to be closed: nothing more will open.
 */
MUST_CHECK int seal_open(struct seal *s, uint64_t sequence, const void *aad, size_t aad_bytes,
	uint8_t *text, size_t bytes);

/*
 * The same for datagrams, which may be lost or overtake each other: any sequence later than all
 * that were opened. Errors concern this datagram only.
 */
MUST_CHECK int seal_open_later(struct seal *s, uint64_t sequence, const void *aad, size_t aad_bytes,
	uint8_t *text, size_t bytes);

#endif
