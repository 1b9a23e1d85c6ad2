/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_hello.h"

#include "base/buf.h"
#include "base/err.h"

STATIC_CHECK(
	2 + 2 + 2 + 2 + 16 + 4 + 16 + 2 * MSG_CLASS_N + 2 + WIRE_PROVIDER_BYTES == WIRE_HELLO_BYTES,
	"R-XP-10: size of a HELLO");
STATIC_CHECK(WIRE_HELLO_BYTES <= XPORT_HEAD_MAX, "a HELLO is the head of a frame");

void wire_hello_encode(const struct wire_hello *h, uint8_t out[WIRE_HELLO_BYTES])
{
	struct wcur c = wcur_of(out, WIRE_HELLO_BYTES);
	wcur_u16(&c, h->version);
	wcur_u16(&c, h->sealed ? WIRE_HELLO_SEALED : 0);
	wcur_u16(&c, h->from.v);
	wcur_u16(&c, h->to.v);
	wcur_bytes(&c, h->incarnation.b, sizeof(h->incarnation.b));
	wcur_u32(&c, h->epoch);
	wcur_bytes(&c, h->nonce, sizeof(h->nonce));
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		wcur_u16(&c, h->window[i]);
	wcur_u16(&c, 0);
	wcur_bytes(&c, h->provider, sizeof(h->provider));
	CHECK(!c.bad && c.left == 0);
}

static void hello_bytes(struct rcur *c, void *out, size_t len)
{
	const void *p = rcur_bytes(c, len);
	if (p != NULL)
		memcpy(out, p, len);
}

int wire_hello_decode(const void *bytes, size_t len, struct wire_hello *out)
{
	struct rcur c = rcur_of(bytes, len);
	struct wire_hello h = {.version = rcur_u16(&c)};
	/* R-XP-11: a later version may have another layout behind its number. */
	if (c.bad)
		return ERR_FORMAT;
	if (h.version != WIRE_HELLO_VERSION)
		return ERR_VERSION;
	uint16_t flags = rcur_u16(&c);
	h.sealed = (flags & WIRE_HELLO_SEALED) != 0;
	h.from.v = rcur_u16(&c);
	h.to.v = rcur_u16(&c);
	hello_bytes(&c, h.incarnation.b, sizeof(h.incarnation.b));
	h.epoch = rcur_u32(&c);
	hello_bytes(&c, h.nonce, sizeof(h.nonce));
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		h.window[i] = rcur_u16(&c);
	uint16_t zero = rcur_u16(&c);
	hello_bytes(&c, h.provider, sizeof(h.provider));
	if (!rcur_done(&c) || zero != 0 || (flags & ~WIRE_HELLO_SEALED) != 0 ||
		h.from.v >= SLICE_MAX || h.to.v >= SLICE_MAX ||
		h.provider[WIRE_PROVIDER_BYTES - 1] != '\0')
		return ERR_FORMAT;
	*out = h;
	return 0;
}

int wire_hello_match(
	const struct wire_hello *ours, const struct wire_hello *theirs, const char **text)
{
	/* R-XP-12 */
	if (memcmp(&ours->incarnation, &theirs->incarnation, sizeof(ours->incarnation)) != 0) {
		*text = "another incarnation of the VM";
		return ERR_STALE;
	}
	if (ours->epoch != theirs->epoch) {
		*text = "another epoch";
		return ERR_STALE;
	}
	if (strcmp(ours->provider, theirs->provider) != 0) {
		*text = "another fabric provider";
		return ERR_VERSION;
	}
	if (ours->sealed != theirs->sealed) {
		*text = "only one side seals";
		return ERR_PROTOCOL;
	}
	if (!slice_eq(ours->from, theirs->to) || !slice_eq(ours->to, theirs->from)) {
		*text = "not the slice it should be";
		return ERR_PROTOCOL;
	}
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		if (theirs->window[i] == 0) {
			*text = "a window of zero";
			return ERR_PROTOCOL;
		}
	}
	return 0;
}

void wire_hello_proof(const struct seal_origin *o, slice_id_t by,
	const uint8_t lo[WIRE_HELLO_BYTES], const uint8_t hi[WIRE_HELLO_BYTES],
	uint8_t proof[WIRE_PROOF_BYTES])
{
	uint8_t key[SEAL_KEY_BYTES], both[2 * WIRE_HELLO_BYTES];
	memcpy(both, lo, WIRE_HELLO_BYTES);
	memcpy(both + WIRE_HELLO_BYTES, hi, WIRE_HELLO_BYTES);
	/* R-XP-13: each side has a key of its own, so that a proof can not be sent back. */
	seal_derive(o, slice_eq(by, o->lo) ? "proof lo" : "proof hi", key);
	seal_mac(key, both, sizeof(both), proof);
	seal_wipe(key, sizeof(key));
}

void wire_refuse_encode(int err, uint8_t out[WIRE_REFUSE_BYTES])
{
	CHECK(err < 0);
	struct wcur c = wcur_of(out, WIRE_REFUSE_BYTES);
	wcur_u32(&c, (uint32_t)-err);
}

int wire_refuse_decode(const void *bytes, size_t len, int *err)
{
	struct rcur c = rcur_of(bytes, len);
	uint32_t number = rcur_u32(&c);
	if (!rcur_done(&c))
		return ERR_FORMAT;
	*err = ERR_CONNECT;
	/* R-XP-15: only what concerns a link or a peer may be said. */
	if (number <= INT16_MAX) {
		enum err_class class = err_class(-(int)number);
		if (class == ERR_CLASS_LINK || class == ERR_CLASS_PEER)
			*err = -(int)number;
	}
	return 0;
}
