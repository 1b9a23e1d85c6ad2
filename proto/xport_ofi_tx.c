/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xport_ofi: sending. Any thread sends under the peer's lock: the frame gets its number, is sealed,
 * and goes to the fabric in that order. What the fabric does not take stays in `stuck`, which
 * nothing may pass, and the progress thread tries again until it gives up on the peer (R-XP-40). A
 * fabric that takes frames and completes none comes to the same: then all buffers are with it.
 */
#include "proto/xport_ofi_int.h"

#include "base/err.h"
#include "base/log.h"
#include "proto/wire_msgs.h"

static void tx_trouble(struct xport_ofi *x)
{
	/* release, with the exchange in ofi_tx_retry() */
	atomic_store_explicit(&x->trouble, true, memory_order_release);
	ofi_wake(x);
}

static struct ofi_slot *tx_slot(struct ofi_conn *c)
{
	struct ofi_slot *s = list_first(&c->tx_free, struct ofi_slot, link);
	if (s != NULL)
		list_remove(&s->link);
	return s;
}

/* To the fabric. 0: it has it, and `s` is free again or comes back as a completion. */
static int tx_post(struct ofi_slot *s)
{
	struct ofi_conn *c = s->conn;
	if (s->len > c->x->inject_bytes)
		return (int)fi_send(c->ep, s->bytes, s->len, NULL, 0, &s->context);
	int rc = (int)fi_inject(c->ep, s->bytes, s->len, 0);
	if (rc == 0)
		list_push_front(&c->tx_free, &s->link);
	return rc;
}

int ofi_tx_control(struct ofi_conn *c, uint16_t type, const void *head, size_t bytes)
{
	struct ofi_slot *s = tx_slot(c);
	if (s == NULL)
		return ERR_FULL;
	struct wire_frame f = {
		.type = type,
		.head_bytes = (uint16_t)bytes,
		.sender = c->x->cfg.self,
		.incarnation = wire_frame_incarnation(&c->x->cfg.incarnation),
		.epoch = c->x->cfg.epoch,
	};
	CHECK(wire_msg_class(type, &f.class) == 0);
	wire_frame_encode(&f, s->bytes);
	memcpy(s->bytes + WIRE_FRAME_BYTES, head, bytes);
	s->len = wire_frame_size(&f);
	int rc = tx_post(s);
	if (rc == 0)
		return 0;
	/* The first frames of a connection always find room; without, it is of no use. */
	list_push_front(&c->tx_free, &s->link);
	return ofi_err(rc);
}

/* A sealed frame was made: hand it over, in order. */
static void tx_frame_locked(struct ofi_peer *p, struct ofi_slot *s)
{
	lk_assert_held(&p->lk);
	int rc = tx_post(s);
	if (rc == 0)
		return;
	if (rc == -FI_EAGAIN) {
		p->stuck = s;
		p->stuck_since = ofi_now_ns();
	} else {
		p->failed = ofi_err(rc);
		p->up = false;
		list_push_front(&s->conn->tx_free, &s->link);
	}
	tx_trouble(s->conn->x);
}

struct tx_body {
	uint16_t type;
	enum msg_class class;
	const void *head, *data;
	size_t head_bytes, data_bytes;
	uint64_t guest_ns;
};

static void tx_seal_locked(struct ofi_peer *p, struct ofi_slot *s, const struct tx_body *b)
{
	const struct xport_ofi *x = s->conn->x;
	struct wire_frame f = {
		.type = b->type,
		.class = b->class,
		.head_bytes = (uint16_t)b->head_bytes,
		.data_bytes = (uint16_t)b->data_bytes,
		.sender = x->cfg.self,
		.incarnation = wire_frame_incarnation(&x->cfg.incarnation),
		.epoch = x->cfg.epoch,
		.sequence = seal_next(p->sealer),
		.guest_ns = b->guest_ns,
		.sealed = !x->cfg.plain,
	};
	credit_collect(&p->out.credit, f.credit);
	wire_frame_encode(&f, s->bytes);
	seal_seal(p->sealer, s->bytes, WIRE_FRAME_BYTES, b->head, b->head_bytes, b->data,
		b->data_bytes, s->bytes + WIRE_FRAME_BYTES);
	s->len = wire_frame_size(&f);
	p->stats.frames_out++;
	p->stats.bytes_out += s->len;
	tx_frame_locked(p, s);
}

static void tx_msg_locked(struct ofi_peer *p, struct ofi_slot *s, const struct outq_msg *m)
{
	const struct tx_body b = {
		.type = m->type,
		.class = m->class,
		.head = m->bytes,
		.head_bytes = m->head_bytes,
		.data = m->bytes + m->head_bytes,
		.data_bytes = m->data_bytes,
		.guest_ns = m->guest_ns,
	};
	tx_seal_locked(p, s, &b);
}

/* Does the fabric have all buffers? From the first time on the progress thread looks by itself. */
static void tx_full_locked(struct ofi_peer *p)
{
	if (!p->up || p->stuck != NULL || !list_empty(&p->conn->tx_free)) {
		p->full_since = 0;
	} else if (p->full_since == 0) {
		p->full_since = ofi_now_ns();
		tx_trouble(p->conn->x);
	}
}

void ofi_tx_flush_locked(struct ofi_peer *p)
{
	lk_assert_held(&p->lk);
	struct ofi_conn *c = p->conn;
	while (p->up && p->stuck == NULL && !list_empty(&c->tx_free)) {
		struct outq_msg *m = outq_take(&p->out);
		if (m == NULL)
			break;
		tx_msg_locked(p, tx_slot(c), m);
		outq_msg_free(m);
	}
	/* R-XP-34: credits go back with whatever else goes, and alone when half a window is owed.
	 */
	if (p->up && p->stuck == NULL && !list_empty(&c->tx_free) && credit_due(&p->out.credit)) {
		const struct tx_body b = {.type = WIRE_XPORT_CREDIT, .class = MSG_RESPONSE};
		tx_seal_locked(p, tx_slot(c), &b);
	}
	tx_full_locked(p);
}

/* `msg` is admitted and nothing waits before it: straight into a buffer of the fabric. */
static bool tx_direct_locked(struct ofi_peer *p, const struct xport_msg *msg, uint64_t guest_ns)
{
	if (p->stuck != NULL || outq_has_ready(&p->out, msg->class) ||
		list_empty(&p->conn->tx_free))
		return false;
	const struct tx_body b = {
		.type = msg->type,
		.class = msg->class,
		.head = msg->head,
		.head_bytes = msg->head_bytes,
		.data = msg->data,
		.data_bytes = msg->data_bytes,
		.guest_ns = guest_ns,
	};
	tx_seal_locked(p, tx_slot(p->conn), &b);
	return true;
}

int ofi_tx_send(struct xport *xp, const struct xport_msg *msg)
{
	struct xport_ofi *x = container_of(xp, struct xport_ofi, xport);
	OBJ_CHECK(x, OFI_MAGIC);
	xport_msg_check(msg);
	struct ofi_peer *p = msg->peer.v < SLICE_MAX ? x->by_id[msg->peer.v] : NULL;
	if (p == NULL)
		return ERR_PEER_DOWN;
	/* Before the lock: the owner's clock may have one of its own. */
	uint64_t guest_ns = x->cfg.handler->now != NULL ? x->cfg.handler->now(x->cfg.arg) : 0;
	struct outq_msg *m = NULL;
	bool now;
	lk_lock(&p->lk);
	int rc = p->up ? outq_admit(&p->out, msg->class, &now) : ERR_PEER_DOWN;
	if (rc != 0 || (now && tx_direct_locked(p, msg, guest_ns)))
		goto undo_lock;
	rc = outq_msg_new(msg, guest_ns, &m);
	if (rc != 0) {
		/* Admitted and then lost: the stream has a hole, so it has to end. */
		p->failed = rc;
		p->up = false;
		tx_trouble(x);
		goto undo_lock;
	}
	if (now) {
		outq_add_ready(&p->out, m);
		tx_full_locked(p);
	} else {
		outq_add_waiting(&p->out, m);
		p->stats.credit_waits++;
	}
undo_lock:
	lk_unlock(&p->lk);
	return rc;
}

void ofi_tx_complete(struct ofi_slot *s)
{
	struct ofi_conn *c = s->conn;
	struct ofi_peer *p = c->peer;
	if (p == NULL) {
		list_push_front(&c->tx_free, &s->link);
		return;
	}
	lk_lock(&p->lk);
	list_push_front(&c->tx_free, &s->link);
	if (p->up && p->conn == c) {
		if (p->full_since != 0)
			p->full_since = ofi_now_ns();
		ofi_tx_flush_locked(p);
	}
	lk_unlock(&p->lk);
}

/* One peer's share of ofi_tx_retry(); true: still stuck. */
static bool tx_retry_peer(struct xport_ofi *x, struct ofi_peer *p)
{
	struct ofi_conn *c;
	bool stuck = false;
	int failed;
	lk_lock(&p->lk);
	c = p->conn;
	struct ofi_slot *s = p->up ? p->stuck : NULL;
	if (s != NULL) {
		p->stuck = NULL;
		uint64_t since = p->stuck_since;
		tx_frame_locked(p, s);
		if (p->stuck != NULL) {
			p->stuck_since = since;
			stuck = true;
			if (ofi_now_ns() - since > x->cfg.stuck_ns)
				p->failed = ERR_TIMEOUT;
		} else {
			ofi_tx_flush_locked(p);
		}
	}
	if (p->up && p->full_since != 0) {
		stuck = true;
		if (ofi_now_ns() - p->full_since > x->cfg.stuck_ns)
			p->failed = ERR_TIMEOUT;
	}
	failed = p->failed;
	p->failed = 0;
	lk_unlock(&p->lk);
	if (failed != 0 && c != NULL) {
		log_limited(xport, "cannot send, slice %u, peer %u: %s", x->cfg.self.v, p->id.v,
			err_text(failed));
		ofi_conn_end(c, failed, false);
	}
	return stuck && failed == 0;
}

void ofi_tx_retry(struct xport_ofi *x)
{
	/* acquire, with the store in tx_trouble() */
	if (!atomic_exchange_explicit(&x->trouble, false, memory_order_acq_rel))
		return;
	bool still = false;
	for (unsigned i = 0; i < x->n_peers; i++)
		still |= tx_retry_peer(x, &x->peers[i]);
	list_foreach_safe(it, &x->conns)
	{
		struct ofi_conn *c = list_entry(it, struct ofi_conn, link);
		ofi_rx_retry(c);
		still |= !list_empty(&c->rx_unposted);
	}
	if (!still)
		return;
	atomic_store_explicit(&x->trouble, true, memory_order_release);
	ofi_timer_arm(x);
}
