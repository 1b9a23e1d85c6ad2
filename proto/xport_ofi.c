/* SPDX-License-Identifier: Apache-2.0 */
/* xport_ofi: life of a transport, joining, progress. */
#include "proto/xport_ofi_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define JOIN_POLL_MS 2 /* joining looks at its deadlines so often */

static struct xport_ofi *ofi_of(struct xport *xp)
{
	struct xport_ofi *x = container_of(xp, struct xport_ofi, xport);
	OBJ_CHECK(x, OFI_MAGIC);
	return x;
}

uint64_t ofi_now_ns(void)
{
	return clock_now_ns(clock_host());
}

void ofi_wake(struct xport_ofi *x)
{
	/* acq_rel, with ofi_drain(): whoever clears it sees what we did before. */
	if (!atomic_exchange_explicit(&x->woken, true, memory_order_acq_rel))
		CHECK(eventfd_write(x->wake_fd, 1) == 0);
}

void ofi_timer_arm(struct xport_ofi *x)
{
	const struct itimerspec in = {.it_value = {.tv_nsec = OFI_RETRY_NS}};
	x->timer_armed = true;
	CHECK(timerfd_settime(x->timer_fd, 0, &in, NULL) == 0);
}

/* Take back what made the descriptor readable, before looking at what there is to do. */
static void ofi_drain(struct xport_ofi *x)
{
	if (atomic_load_explicit(&x->woken, memory_order_relaxed)) {
		eventfd_t v;
		CHECK(eventfd_read(x->wake_fd, &v) == 0 || errno == EAGAIN);
		/* acq_rel, with ofi_wake() */
		(void)atomic_exchange_explicit(&x->woken, false, memory_order_acq_rel);
	}
	uint64_t ticks;
	if (x->timer_armed && read(x->timer_fd, &ticks, sizeof(ticks)) > 0)
		x->timer_armed = false;
}

/* --- events ----------------------------------------------------------------------------------- */

/* The fabric may still speak of endpoints that are closed: only known ones count. */
static struct ofi_conn *ofi_conn_find(struct xport_ofi *x, const struct fid *fid)
{
	list_foreach(it, &x->conns)
	{
		struct ofi_conn *c = list_entry(it, struct ofi_conn, link);
		if (c->ep != NULL && &c->ep->fid == fid)
			return c;
	}
	return NULL;
}

static void ofi_eq_error(struct xport_ofi *x)
{
	struct fi_eq_err_entry e = {0};
	if (fi_eq_readerr(x->eq, &e, 0) <= 0)
		return;
	struct ofi_conn *c = ofi_conn_find(x, e.fid);
	log_debug(xport, "connection event, slice %u: %s", x->cfg.self.v, fi_strerror(e.err));
	if (c != NULL)
		ofi_conn_end(c, ofi_err(e.err), false);
}

static unsigned ofi_eq_poll(struct xport_ofi *x)
{
	unsigned done = 0;
	for (;; done++) {
		union {
			struct fi_eq_cm_entry cm;
			uint8_t room[sizeof(struct fi_eq_cm_entry) + 256];
		} buf;
		uint32_t event;
		ssize_t n = fi_eq_read(x->eq, &event, &buf, sizeof(buf), 0);
		if (n == -FI_EAVAIL) {
			ofi_eq_error(x);
			continue;
		}
		if (n < (ssize_t)sizeof(buf.cm))
			return done;
		if (event == FI_CONNREQ) {
			ofi_conn_accept(x, buf.cm.info);
			fi_freeinfo(buf.cm.info);
			continue;
		}
		struct ofi_conn *c = ofi_conn_find(x, buf.cm.fid);
		if (c == NULL)
			continue;
		if (event == FI_CONNECTED)
			ofi_hs_connected(c);
		else if (event == FI_SHUTDOWN)
			ofi_conn_end(c, ERR_LINK_DOWN, true);
	}
}

static void ofi_cq_error(struct xport_ofi *x)
{
	struct fi_cq_err_entry e = {0};
	if (fi_cq_readerr(x->cq, &e, 0) <= 0 || e.op_context == NULL)
		return;
	struct ofi_slot *s = e.op_context;
	if (ofi_conn_state(s->conn) >= OFI_ENDING)
		return;
	/* A flushed buffer is how the end of a connection looks from here; others are violations.
	 */
	ofi_conn_end(s->conn, e.err == FI_ECANCELED ? ERR_LINK_DOWN : ofi_err(e.err), true);
}

/* At most `budget` completions. *empty: there is no more. The number of events to the owner. */
static unsigned ofi_cq_poll(struct xport_ofi *x, unsigned budget, bool *empty)
{
	struct fi_cq_msg_entry e[OFI_CQ_BATCH];
	unsigned events = 0;
	*empty = false;
	while (budget > 0 && !*empty) {
		unsigned want = MIN(budget, OFI_CQ_BATCH);
		ssize_t n = fi_cq_read(x->cq, e, want);
		if (n == -FI_EAVAIL) {
			ofi_cq_error(x);
			budget--;
			continue;
		}
		if (n <= 0) {
			*empty = true;
			break;
		}
		for (ssize_t i = 0; i < n; i++) {
			struct ofi_slot *s = e[i].op_context;
			if ((e[i].flags & FI_RECV) == 0) {
				ofi_tx_complete(s);
				continue;
			}
			s->len = e[i].len;
			events += ofi_rx_complete(s);
		}
		budget -= (unsigned)n;
		*empty = (unsigned)n < want;
	}
	return events;
}

/* Close the endpoint of one that ends, and say so where it has to be said. */
static bool ofi_reap_one(struct xport_ofi *x, struct ofi_conn *c)
{
	struct ofi_peer *p = c->peer;
	ofi_conn_shut(c);
	list_remove(&c->link);
	list_push_back(&x->dead, &c->link);
	if (!c->dialer)
		x->n_incoming--;
	if (p == NULL)
		return false;
	if (p->dial == c) {
		p->dial = NULL;
		p->redial_ns = ofi_now_ns() + OFI_REDIAL_NS;
	}
	lk_lock(&p->lk);
	bool tell = p->conn == c;
	if (tell)
		p->conn = NULL;
	lk_unlock(&p->lk);
	if (!tell)
		return false;
	log_info(xport, "peer is gone, slice %u, peer %u: %s", x->cfg.self.v, p->id.v,
		err_text(c->why));
	if (x->running)
		x->cfg.handler->down(x->cfg.arg, p->id, c->why);
	return x->running;
}

/*
 * The completion queue has been seen empty: nothing refers to the buffers of closed endpoints any
 * more, and all that came from the ending ones has been delivered.
 */
static unsigned ofi_reap(struct xport_ofi *x)
{
	unsigned told = 0;
	while (!list_empty(&x->dead))
		ofi_conn_free(list_first(&x->dead, struct ofi_conn, link));
	while (!list_empty(&x->ending))
		told += ofi_reap_one(x, list_first(&x->ending, struct ofi_conn, link));
	return told;
}

/* Frames that came while others were still joining. */
static unsigned ofi_held(struct xport_ofi *x, unsigned budget)
{
	unsigned done = 0;
	while (done < budget && !list_empty(&x->held)) {
		struct ofi_slot *s = list_first(&x->held, struct ofi_slot, link);
		list_remove(&s->link);
		done += ofi_rx_complete(s);
	}
	return done;
}

static unsigned ofi_progress(struct xport *xp, unsigned budget)
{
	struct xport_ofi *x = ofi_of(xp);
	bool empty;
	x->running = true;
	ofi_drain(x);
	ofi_tx_retry(x);
	unsigned done = ofi_held(x, budget);
	if (!list_empty(&x->held))
		return done;
	done += ofi_cq_poll(x, budget - done, &empty);
	if (!empty)
		return done;
	if (done == 0 && (x->eq_due || ++x->idle_rounds >= OFI_EQ_EVERY)) {
		x->eq_due = false;
		x->idle_rounds = 0;
		(void)ofi_eq_poll(x);
		/* What an ending connection had brought before it ended. */
		done += ofi_cq_poll(x, budget, &empty);
	}
	if (empty && !(list_empty(&x->ending) && list_empty(&x->dead)))
		done += ofi_reap(x);
	return done;
}

static int ofi_fd(struct xport *xp)
{
	return ofi_of(xp)->epoll_fd;
}

static bool ofi_may_sleep(struct xport *xp)
{
	struct xport_ofi *x = ofi_of(xp);
	x->eq_due = true;
	if (!list_empty(&x->held) || !list_empty(&x->ending) ||
		atomic_load_explicit(&x->woken, memory_order_relaxed))
		return false;
	struct fid *fids[] = {&x->cq->fid, &x->eq->fid};
	return fi_trywait(x->fabric, fids, ARRAY_SIZE(fids)) == FI_SUCCESS;
}

static void ofi_disconnect(struct xport *xp, slice_id_t peer)
{
	struct xport_ofi *x = ofi_of(xp);
	struct ofi_peer *p = peer.v < SLICE_MAX ? x->by_id[peer.v] : NULL;
	if (p == NULL || p->conn == NULL)
		return;
	struct ofi_conn *c = p->conn;
	ofi_conn_end(c, ERR_CANCELED, false);
	c->drains = false;
	lk_lock(&p->lk);
	p->conn = NULL;
	lk_unlock(&p->lk);
	ofi_wake(x);
}

static void ofi_stats(struct xport *xp, struct xport_stats *out)
{
	struct xport_ofi *x = ofi_of(xp);
	struct xport_stats sum = {0};
	for (unsigned i = 0; i < x->n_peers; i++) {
		struct ofi_peer *p = &x->peers[i];
		lk_lock(&p->lk);
		sum.frames_out += p->stats.frames_out;
		sum.frames_in += p->stats.frames_in;
		sum.bytes_out += p->stats.bytes_out;
		sum.bytes_in += p->stats.bytes_in;
		sum.credit_waits += p->stats.credit_waits;
		lk_unlock(&p->lk);
	}
	*out = sum;
}

/* --- life ------------------------------------------------------------------------------------- */

void xport_ofi_close(struct xport_ofi *x)
{
	OBJ_CHECK(x, OFI_MAGIC);
	bool empty = false;
	x->running = false;
	while (!list_empty(&x->held))
		list_remove(x->held.next);
	while (!list_empty(&x->conns))
		ofi_conn_end(list_first(&x->conns, struct ofi_conn, link), ERR_CANCELED, false);
	while (!list_empty(&x->ending)) {
		struct ofi_conn *c = list_first(&x->ending, struct ofi_conn, link);
		ofi_conn_shut(c);
		list_remove(&c->link);
		list_push_back(&x->dead, &c->link);
	}
	/* Nothing comes in any more, so this ends. */
	while (x->cq != NULL && !empty)
		(void)ofi_cq_poll(x, OFI_CQ_BATCH, &empty);
	while (!list_empty(&x->dead))
		ofi_conn_free(list_first(&x->dead, struct ofi_conn, link));
	ofi_fab_close(x);
	for (unsigned i = 0; i < x->n_peers; i++) {
		seal_destroy(x->peers[i].sealer);
		lk_fini(&x->peers[i].lk);
	}
	free(x->peers);
	seal_wipe(&x->cfg.secret, sizeof(x->cfg.secret));
	OBJ_FINI(x, OFI_MAGIC);
	free(x);
}

static void ofi_destroy(struct xport *xp)
{
	xport_ofi_close(ofi_of(xp));
}

static const struct xport_ops ofi_ops = {
	.name = "ofi",
	.send = ofi_tx_send,
	.progress = ofi_progress,
	.fd = ofi_fd,
	.may_sleep = ofi_may_sleep,
	.disconnect = ofi_disconnect,
	.stats = ofi_stats,
	.destroy = ofi_destroy,
};

int xport_ofi_listen(const struct xport_ofi_cfg *cfg, struct xport_ofi **out)
{
	CHECK(cfg->self.v < SLICE_MAX && cfg->handler->message != NULL &&
		cfg->handler->down != NULL);
	struct xport_ofi *x = calloc(1, sizeof(*x));
	if (x == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(x, OFI_MAGIC);
	x->xport.ops = &ofi_ops;
	x->cfg = *cfg;
	x->version = WIRE_HELLO_VERSION;
	if (x->cfg.n_slices == 0)
		x->cfg.n_slices = 16;
	if (x->cfg.stuck_ns == 0)
		x->cfg.stuck_ns = OFI_STUCK_NS;
	if (x->cfg.credit.window[0] == 0)
		x->cfg.credit = OUTQ_CREDIT_DEFAULT;
	x->epoll_fd = x->wake_fd = x->timer_fd = -1;
	list_init(&x->conns);
	list_init(&x->ending);
	list_init(&x->dead);
	list_init(&x->held);
	int rc = net_addr_parse(cfg->bind, &x->bind);
	if (rc == 0)
		rc = ofi_fab_open(x);
	/* They are the caller's strings, and not looked at again. */
	x->cfg.bind = x->cfg.providers = NULL;
	if (rc != 0) {
		xport_ofi_close(x);
		return rc;
	}
	if (cfg->plain)
		log_warn(xport,
			"slice %u: frames are NOT SEALED, whoever sees the network can read "
			"and change the guest's memory",
			cfg->self.v);
	*out = x;
	return 0;
}

const char *xport_ofi_address(const struct xport_ofi *x)
{
	OBJ_CHECK(x, OFI_MAGIC);
	return x->address;
}

const char *xport_ofi_provider(const struct xport_ofi *x)
{
	OBJ_CHECK(x, OFI_MAGIC);
	return x->provider;
}

/* --- joining ---------------------------------------------------------------------------------- */

static int ofi_peers_set(struct xport_ofi *x, const struct xport_ofi_peer *peers, unsigned n)
{
	CHECK(x->peers == NULL && n < SLICE_MAX);
	x->peers = calloc(MAX(n, 1), sizeof(*x->peers));
	if (x->peers == NULL)
		return ERR_NO_MEMORY;
	for (unsigned i = 0; i < n; i++) {
		struct ofi_peer *p = &x->peers[i];
		CHECK(peers[i].slice.v < SLICE_MAX && !slice_eq(peers[i].slice, x->cfg.self));
		CHECK(x->by_id[peers[i].slice.v] == NULL);
		if (net_addr_parse(peers[i].address, &p->addr) != 0) {
			log_error(xport, "slice %u: \"%s\" of peer %u is not an address",
				x->cfg.self.v, peers[i].address, peers[i].slice.v);
			return ERR_INVAL;
		}
		p->id = peers[i].slice;
		lk_init(&p->lk, LK_xport_peer);
		x->n_peers++;
		x->by_id[p->id.v] = p;
	}
	return 0;
}

/* Where joining stands: 0 all are there, ERR_AGAIN not yet, or why it can not be. */
static int ofi_join_state(const struct xport_ofi *x)
{
	bool all = true;
	for (unsigned i = 0; i < x->n_peers; i++) {
		const struct ofi_peer *p = &x->peers[i];
		if (p->fatal)
			return p->join_err;
		if (p->was_up && (p->conn == NULL || ofi_conn_state(p->conn) != OFI_UP))
			return ERR_PEER_DOWN;
		all &= p->was_up;
	}
	return all ? 0 : ERR_AGAIN;
}

static int ofi_join_late(const struct xport_ofi *x)
{
	int rc = ERR_TIMEOUT;
	for (unsigned i = 0; i < x->n_peers; i++) {
		const struct ofi_peer *p = &x->peers[i];
		if (p->was_up)
			continue;
		log_error(xport, "slice %u: no connection with slice %u in time: %s", x->cfg.self.v,
			p->id.v, p->join_err != 0 ? err_text(p->join_err) : "no answer");
		if (p->join_err != 0)
			rc = p->join_err;
	}
	return rc;
}

/* Start what is due, end what has taken too long. */
static void ofi_join_due(struct xport_ofi *x, uint64_t now)
{
	for (unsigned i = 0; i < x->n_peers; i++) {
		struct ofi_peer *p = &x->peers[i];
		if (p->was_up || p->id.v < x->cfg.self.v || p->dial != NULL || now < p->redial_ns)
			continue;
		p->redial_ns = now + OFI_REDIAL_NS;
		int rc = ofi_conn_dial(x, p);
		if (rc != 0)
			log_debug(xport, "dialing, slice %u, peer %u: %s", x->cfg.self.v, p->id.v,
				err_text(rc));
	}
	list_foreach_safe(it, &x->conns)
	{
		struct ofi_conn *c = list_entry(it, struct ofi_conn, link);
		if (ofi_conn_state(c) != OFI_UP && now >= c->deadline_ns)
			ofi_conn_end(c, ERR_TIMEOUT, false);
	}
}

static void ofi_join_round(struct xport_ofi *x)
{
	bool empty;
	ofi_drain(x);
	ofi_tx_retry(x);
	unsigned events = ofi_eq_poll(x);
	(void)ofi_cq_poll(x, OFI_CQ_BATCH, &empty);
	if (empty && !(list_empty(&x->ending) && list_empty(&x->dead)))
		(void)ofi_reap(x);
	struct pollfd pfd = {.fd = x->epoll_fd, .events = POLLIN};
	if (events == 0 && empty)
		(void)poll(&pfd, 1, JOIN_POLL_MS);
}

/* Nobody else is awaited: close the door, and whoever still stands in it. */
static void ofi_join_done(struct xport_ofi *x)
{
	list_foreach_safe(it, &x->conns)
	{
		struct ofi_conn *c = list_entry(it, struct ofi_conn, link);
		if (ofi_conn_state(c) != OFI_UP)
			ofi_conn_end(c, ERR_CANCELED, false);
	}
	int rc = fi_close(&x->pep->fid);
	if (rc != 0)
		log_warn(xport, "fi_close: %s", fi_strerror(-rc));
	x->pep = NULL;
	seal_wipe(&x->cfg.secret, sizeof(x->cfg.secret));
	/* Whatever came in meanwhile is looked at by the first progress. */
	ofi_wake(x);
}

int xport_ofi_join(struct xport_ofi *x, const struct xport_ofi_peer *peers, unsigned n,
	uint64_t deadline_ns, struct xport **out)
{
	OBJ_CHECK(x, OFI_MAGIC);
	int rc = ofi_peers_set(x, peers, n);
	if (rc != 0)
		return rc;
	while ((rc = ofi_join_state(x)) == ERR_AGAIN) {
		uint64_t now = ofi_now_ns();
		if (now >= deadline_ns)
			return ofi_join_late(x);
		ofi_join_due(x, now);
		ofi_join_round(x);
	}
	if (rc != 0)
		return rc;
	ofi_join_done(x);
	*out = &x->xport;
	return 0;
}
