/* SPDX-License-Identifier: Apache-2.0 */
/* xport_ofi: receiving, all on the progress thread. */
#include "proto/xport_ofi_int.h"

#include "base/err.h"
#include "base/log.h"
#include "proto/wire_msgs.h"

void ofi_rx_post(struct ofi_slot *s)
{
	struct ofi_conn *c = s->conn;
	if (ofi_conn_state(c) >= OFI_ENDING)
		return;
	int rc = (int)fi_recv(c->ep, s->bytes, sizeof(s->bytes), NULL, 0, &s->context);
	if (rc == 0)
		return;
	if (rc != -FI_EAGAIN) {
		log_limited(
			xport, "cannot receive, slice %u: %s", c->x->cfg.self.v, fi_strerror(-rc));
		ofi_conn_end(c, ofi_err(rc), false);
		return;
	}
	list_push_back(&c->rx_unposted, &s->link);
	/* No partner: only this thread reads it before it sleeps. */
	atomic_store_explicit(&c->x->trouble, true, memory_order_relaxed);
	ofi_timer_arm(c->x);
}

void ofi_rx_retry(struct ofi_conn *c)
{
	while (!list_empty(&c->rx_unposted)) {
		struct ofi_slot *s = list_first(&c->rx_unposted, struct ofi_slot, link);
		list_remove(&s->link);
		ofi_rx_post(s);
		/* It came back at the end of the list: there is no room for the others either. */
		if (!list_empty(&s->link))
			break;
	}
}

static void rx_violation(struct ofi_conn *c, int rc, const char *what)
{
	log_limited(xport, "closing a connection, slice %u, peer %u: %s: %s", c->x->cfg.self.v,
		c->peer->id.v, what, err_text(rc));
	ofi_conn_end(c, rc, false);
}

/* Header, origin, sequence, seal. */
static int rx_open(struct ofi_slot *s, struct wire_frame *f)
{
	struct ofi_conn *c = s->conn;
	const struct wire_frame_want want = {
		.sender = c->peer->id,
		.incarnation = wire_frame_incarnation(&c->x->cfg.incarnation),
		.epoch = c->x->cfg.epoch,
		.sealed = !c->x->cfg.plain,
	};
	int rc = wire_frame_decode(s->bytes, s->len, f);
	if (rc == 0)
		rc = wire_frame_accept(f, &want);
	if (rc == 0)
		rc = seal_open(c->opener, f->sequence, s->bytes, WIRE_FRAME_BYTES,
			s->bytes + WIRE_FRAME_BYTES, s->len - WIRE_FRAME_BYTES);
	return rc;
}

/* Credits that came, and the one that was used. */
static int rx_account(struct ofi_conn *c, const struct wire_frame *f, size_t bytes)
{
	struct ofi_peer *p = c->peer;
	int rc = 0;
	lk_lock(&p->lk);
	p->stats.frames_in++;
	p->stats.bytes_in += bytes;
	if (p->up && p->conn == c) {
		bool any = false;
		for (unsigned i = 0; i < MSG_CLASS_N; i++)
			any |= f->credit[i] != 0;
		rc = credit_returned(&p->out.credit, f->credit);
		if (rc == 0 && f->type >= WIRE_XPORT_END)
			rc = credit_arrived(&p->out.credit, f->class);
		if (rc == 0 && any)
			ofi_tx_flush_locked(p);
	}
	lk_unlock(&p->lk);
	return rc;
}

/* Its buffer is free again: the credit goes back. */
static void rx_consumed(struct ofi_conn *c, enum msg_class class)
{
	struct ofi_peer *p = c->peer;
	lk_lock(&p->lk);
	if (p->up && p->conn == c) {
		credit_consumed(&p->out.credit, class);
		if (credit_due(&p->out.credit))
			ofi_tx_flush_locked(p);
	}
	lk_unlock(&p->lk);
}

static int rx_handle(struct ofi_slot *s, const struct wire_frame *f)
{
	struct ofi_conn *c = s->conn;
	const struct xport_handler *h = c->x->cfg.handler;
	const uint8_t *head = s->bytes + WIRE_FRAME_BYTES;
	const struct xport_rx rx = {
		.peer = c->peer->id,
		.class = f->class,
		.type = f->type,
		.head = head,
		.head_bytes = f->head_bytes,
		.data = f->data_bytes > 0 ? head + f->head_bytes : NULL,
		.data_bytes = f->data_bytes,
	};
	int rc = 0;
	if (h->observe != NULL)
		rc = h->observe(c->x->cfg.arg, rx.peer, f->guest_ns);
	if (rc == 0)
		rc = h->message(c->x->cfg.arg, &rx);
	return rc;
}

bool ofi_rx_frame(struct ofi_slot *s)
{
	struct ofi_conn *c = s->conn;
	struct wire_frame f;
	int rc = rx_open(s, &f);
	if (rc != 0) {
		rx_violation(c, rc, "bad frame");
		return true;
	}
	rc = rx_account(c, &f, s->len);
	if (rc != 0) {
		rx_violation(c, rc, "credits");
		return true;
	}
	if (f.type == WIRE_XPORT_CREDIT && f.head_bytes + f.data_bytes == 0) {
		ofi_rx_post(s);
		return true;
	}
	if (f.type < WIRE_XPORT_END) {
		rx_violation(c, ERR_PROTOCOL, wire_msg_name(f.type));
		return true;
	}
	rc = rx_handle(s, &f);
	if (rc != 0) {
		rx_violation(c, rc, wire_msg_name(f.type));
		return true;
	}
	ofi_rx_post(s);
	rx_consumed(c, f.class);
	return true;
}

bool ofi_rx_complete(struct ofi_slot *s)
{
	struct ofi_conn *c = s->conn;
	switch (ofi_conn_state(c)) {
	case OFI_DIALING:
	case OFI_ACCEPTING:
	case OFI_HELLO:
	case OFI_PROOF:
		ofi_hs_frame(c, s->bytes, s->len);
		ofi_rx_post(s);
		return false;
	case OFI_UP:
		break;
	case OFI_ENDING:
		if (c->drains)
			break;
		return false;
	case OFI_REFUSED:
	case OFI_CLOSED:
	case OFI_STATE_N:
		return false;
	}
	if (c->x->running)
		return ofi_rx_frame(s);
	list_push_back(&c->x->held, &s->link);
	return false;
}
