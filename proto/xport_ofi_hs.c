/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xport_ofi: the handshake (docs/protocol.md R-XP-10 ff).
 *
 *	lower id (dials)                      higher id (accepts)
 *	   HELLO(version, ids, incarnation, nonce ...) ------->   checks, or REFUSE
 *	   <---------------------------------------- HELLO
 *	   PROOF (HMAC over both HELLOs) --------------------->   checks, or REFUSE
 *	   <---------------------------------------- PROOF        is up
 *	   is up
 */
#include "proto/xport_ofi_int.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "proto/wire_msgs.h"

static unsigned hs_peer(const struct ofi_conn *c)
{
	return c->peer != NULL ? c->peer->id.v : c->theirs.from.v;
}

/* The connection can not be: tell the peer why, and let it hang up first so that it can read that.
 */
static void hs_refuse(struct ofi_conn *c, int why, const char *text)
{
	uint8_t head[WIRE_REFUSE_BYTES];
	log_limited(xport, "refused a connection, slice %u, peer %u: %s: %s", c->x->cfg.self.v,
		hs_peer(c), err_text(why), text);
	wire_refuse_encode(why, head);
	c->why = why;
	if (c->peer != NULL) {
		c->peer->join_err = why;
		c->peer->fatal |= c->dialer;
	}
	if (ofi_tx_control(c, WIRE_XPORT_REFUSE, head, sizeof(head)) != 0) {
		ofi_conn_end(c, why, false);
		return;
	}
	sm_move(&c->sm, OFI_REFUSED);
}

static int hs_send_hello(struct ofi_conn *c)
{
	struct xport_ofi *x = c->x;
	struct wire_hello *h = &c->ours;
	*h = (struct wire_hello){
		.version = x->version,
		.sealed = !x->cfg.plain,
		.from = x->cfg.self,
		.to = c->peer->id,
		.incarnation = x->cfg.incarnation,
		.epoch = x->cfg.epoch,
	};
	rng_system(h->nonce, sizeof(h->nonce));
	memcpy(h->window, x->cfg.credit.window, sizeof(h->window));
	memcpy(h->provider, x->provider, sizeof(h->provider));
	wire_hello_encode(h, c->hello_out);
	return ofi_tx_control(c, WIRE_XPORT_HELLO, c->hello_out, sizeof(c->hello_out));
}

static struct seal_origin hs_origin(const struct ofi_conn *c)
{
	bool we_lo = c->dialer;
	struct seal_origin o = {
		.secret = &c->x->cfg.secret,
		.incarnation = &c->x->cfg.incarnation,
		.lo = we_lo ? c->ours.from : c->theirs.from,
		.hi = we_lo ? c->theirs.from : c->ours.from,
	};
	memcpy(o.nonce_lo, we_lo ? c->ours.nonce : c->theirs.nonce, SEAL_NONCE_BYTES);
	memcpy(o.nonce_hi, we_lo ? c->theirs.nonce : c->ours.nonce, SEAL_NONCE_BYTES);
	return o;
}

static void hs_proof(const struct ofi_conn *c, slice_id_t by, uint8_t proof[WIRE_PROOF_BYTES])
{
	const struct seal_origin o = hs_origin(c);
	wire_hello_proof(&o, by, c->dialer ? c->hello_out : c->hello_in,
		c->dialer ? c->hello_in : c->hello_out, proof);
}

static int hs_send_proof(struct ofi_conn *c)
{
	uint8_t proof[WIRE_PROOF_BYTES];
	hs_proof(c, c->ours.from, proof);
	return ofi_tx_control(c, WIRE_XPORT_PROOF, proof, sizeof(proof));
}

void ofi_hs_connected(struct ofi_conn *c)
{
	if (ofi_conn_state(c) != OFI_DIALING && ofi_conn_state(c) != OFI_ACCEPTING)
		return;
	sm_move(&c->sm, OFI_HELLO);
	if (!c->dialer)
		return;
	int rc = hs_send_hello(c);
	if (rc != 0)
		ofi_conn_end(c, rc, false);
}

/* The peer that a HELLO says it is from; it is only a claim. */
static struct ofi_peer *hs_claimed(struct ofi_conn *c)
{
	struct xport_ofi *x = c->x;
	/* R-XP-10: the lower id connects, so one that connects to us has a lower id. */
	if (c->theirs.from.v >= x->cfg.self.v)
		return NULL;
	return x->by_id[c->theirs.from.v];
}

static void hs_hello(struct ofi_conn *c, const uint8_t *head, size_t len)
{
	int rc = wire_hello_decode(head, len, &c->theirs);
	if (rc != 0) {
		hs_refuse(c, rc, "handshake");
		return;
	}
	memcpy(c->hello_in, head, WIRE_HELLO_BYTES);
	if (!c->dialer) {
		c->peer = hs_claimed(c);
		if (c->peer == NULL || c->peer->was_up) {
			hs_refuse(c, ERR_PROTOCOL, "no such slice is awaited");
			return;
		}
	}
	/* What ours says is known before it is sent; an acceptor has to look before it answers. */
	struct wire_hello want = c->ours;
	if (!c->dialer)
		want = (struct wire_hello){.sealed = !c->x->cfg.plain,
			.from = c->x->cfg.self,
			.to = c->peer->id,
			.incarnation = c->x->cfg.incarnation,
			.epoch = c->x->cfg.epoch};
	memcpy(want.provider, c->x->provider, sizeof(want.provider));
	const char *text;
	rc = wire_hello_match(&want, &c->theirs, &text);
	if (rc != 0) {
		hs_refuse(c, rc, text);
		return;
	}
	rc = c->dialer ? hs_send_proof(c) : hs_send_hello(c);
	if (rc != 0)
		ofi_conn_end(c, rc, false);
	else
		sm_move(&c->sm, OFI_PROOF);
}

/* Both have proved themselves: make the keys, and let messages through. */
static int hs_up(struct ofi_conn *c)
{
	struct xport_ofi *x = c->x;
	struct ofi_peer *p = c->peer;
	const struct seal_origin o = hs_origin(c);
	uint8_t key[SEAL_KEY_BYTES];
	struct seal *sealer, *opener;
	/* R-XP-21: a key for each direction. */
	seal_derive(&o, c->dialer ? "frames lo-hi" : "frames hi-lo", key);
	int rc = seal_create(x->cfg.plain ? NULL : key, &sealer);
	if (rc != 0)
		goto undo_key;
	seal_derive(&o, c->dialer ? "frames hi-lo" : "frames lo-hi", key);
	rc = seal_create(x->cfg.plain ? NULL : key, &opener);
	if (rc != 0)
		goto undo_sealer;
	seal_wipe(key, sizeof(key));
	c->opener = opener;
	lk_lock(&p->lk);
	CHECK(p->conn == NULL && p->sealer == NULL);
	outq_init(&p->out, &x->cfg.credit);
	/* wire_hello_match() has seen to it that no window is 0. */
	CHECK(credit_open(&p->out.credit, c->theirs.window) == 0);
	p->sealer = sealer;
	p->conn = c;
	p->up = true;
	lk_unlock(&p->lk);
	p->was_up = true;
	sm_move(&c->sm, OFI_UP);
	log_info(xport, "connected, slice %u, peer %u, provider %s, %s", x->cfg.self.v, p->id.v,
		x->provider, x->cfg.plain ? "NOT SEALED" : "sealed");
	return 0;

undo_sealer:
	seal_destroy(sealer);
undo_key:
	seal_wipe(key, sizeof(key));
	return rc;
}

static void hs_proved(struct ofi_conn *c, const uint8_t *head, size_t len)
{
	uint8_t want[WIRE_PROOF_BYTES];
	hs_proof(c, c->theirs.from, want);
	/* R-XP-14 */
	if (len != sizeof(want) || !seal_mac_equal(head, want)) {
		hs_refuse(c, ERR_AUTH, "the peer has another key");
		return;
	}
	if (c->peer->was_up) {
		hs_refuse(c, ERR_PROTOCOL, "it is connected already");
		return;
	}
	int rc = c->dialer ? 0 : hs_send_proof(c);
	if (rc == 0)
		rc = hs_up(c);
	if (rc != 0)
		ofi_conn_end(c, rc, false);
}

static void hs_refused(struct ofi_conn *c, const uint8_t *head, size_t len)
{
	int why;
	if (wire_refuse_decode(head, len, &why) != 0)
		why = ERR_FORMAT;
	log_limited(xport, "the peer refused the connection, slice %u, peer %u: %s",
		c->x->cfg.self.v, hs_peer(c), err_text(why));
	if (c->peer != NULL) {
		c->peer->join_err = why;
		c->peer->fatal |= c->dialer;
	}
	ofi_conn_end(c, why, false);
}

void ofi_hs_frame(struct ofi_conn *c, const uint8_t *bytes, size_t len)
{
	/* The event that we are connected can be later than what comes over the connection. */
	ofi_hs_connected(c);
	struct wire_frame f;
	if (ofi_conn_state(c) >= OFI_ENDING)
		return;
	int rc = wire_frame_decode(bytes, len, &f);
	if (rc == 0 && (f.sealed || f.sequence != 0))
		rc = ERR_PROTOCOL;
	const uint8_t *head = bytes + WIRE_FRAME_BYTES;
	enum ofi_state state = ofi_conn_state(c);
	if (rc != 0)
		hs_refuse(c, rc, "not a frame of a handshake");
	else if (f.type == WIRE_XPORT_REFUSE && c->dialer)
		hs_refused(c, head, f.head_bytes);
	else if (f.type == WIRE_XPORT_REFUSE)
		/* A dialer that does not like what we said; it may come back. */
		ofi_conn_end(c, ERR_CONNECT, false);
	else if (f.type == WIRE_XPORT_HELLO && state == OFI_HELLO)
		hs_hello(c, head, f.head_bytes);
	else if (f.type == WIRE_XPORT_PROOF && state == OFI_PROOF)
		hs_proved(c, head, f.head_bytes);
	else
		hs_refuse(c, ERR_PROTOCOL, wire_msg_name(f.type));
}
