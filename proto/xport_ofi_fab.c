/* SPDX-License-Identifier: Apache-2.0 */
/* xport_ofi: the objects of libfabric, addresses, making and closing connections. */
#include "proto/xport_ofi_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#define OFI_FI_VERSION FI_VERSION(1, 17)

static const struct sm_state ofi_states[OFI_STATE_N] = {
	[OFI_DIALING] = {"dialing", SM_NEXT(OFI_HELLO) | SM_NEXT(OFI_ENDING)},
	[OFI_ACCEPTING] = {"accepting", SM_NEXT(OFI_HELLO) | SM_NEXT(OFI_ENDING)},
	[OFI_HELLO] = {"hello", SM_NEXT(OFI_PROOF) | SM_NEXT(OFI_REFUSED) | SM_NEXT(OFI_ENDING)},
	[OFI_PROOF] = {"proof", SM_NEXT(OFI_UP) | SM_NEXT(OFI_REFUSED) | SM_NEXT(OFI_ENDING)},
	[OFI_UP] = {"up", SM_NEXT(OFI_ENDING)},
	[OFI_REFUSED] = {"refused", SM_NEXT(OFI_ENDING)},
	[OFI_ENDING] = {"ending", SM_NEXT(OFI_CLOSED)},
	[OFI_CLOSED] = {"closed", 0},
};
static const struct sm_table ofi_conn_table = {"xport_ofi_conn", ofi_states, OFI_STATE_N, NULL};

int ofi_err(int fi_err)
{
	switch (fi_err < 0 ? -fi_err : fi_err) {
	case FI_ECONNREFUSED:
	case FI_EADDRINUSE:
	case FI_EADDRNOTAVAIL:
	case FI_EHOSTUNREACH:
		return ERR_CONNECT;
	case FI_ETIMEDOUT:
		return ERR_TIMEOUT;
	case FI_ENOMEM:
		return ERR_NO_MEMORY;
	case FI_EMFILE:
		return ERR_NO_FD;
	case FI_ENODATA:
	case FI_ENOSYS:
		return ERR_UNSUPPORTED;
	case FI_ETRUNC:
	case FI_EMSGSIZE:
		return ERR_FORMAT;
	default:
		return ERR_LINK_DOWN;
	}
}

/* Ask libfabric for connected message endpoints of one provider with our own address. */
static struct fi_info *ofi_info_of(const struct xport_ofi *x, const char *provider)
{
	struct fi_info *hints = fi_allocinfo(), *info = NULL;
	if (hints == NULL)
		return NULL;
	hints->ep_attr->type = FI_EP_MSG;
	hints->caps = FI_MSG;
	hints->mode = FI_CONTEXT | FI_CONTEXT2;
	hints->addr_format = x->bind.ss_family == AF_INET6 ? FI_SOCKADDR_IN6 : FI_SOCKADDR_IN;
	hints->domain_attr->threading = FI_THREAD_SAFE;
	/* Our threads drive it: a progress thread of the provider would fight them for a core. */
	hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
	hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
	hints->tx_attr->msg_order = FI_ORDER_SAS;
	hints->rx_attr->msg_order = FI_ORDER_SAS;
	hints->fabric_attr->prov_name = strdup(provider);
	hints->src_addrlen = net_addr_len(&x->bind);
	hints->src_addr = malloc(hints->src_addrlen);
	if (hints->fabric_attr->prov_name == NULL || hints->src_addr == NULL)
		goto undo_hints;
	memcpy(hints->src_addr, &x->bind, hints->src_addrlen);
	int rc = fi_getinfo(OFI_FI_VERSION, NULL, NULL, 0, hints, &info);
	if (rc != 0) {
		log_debug(xport, "provider %s is not there: %s", provider, fi_strerror(-rc));
		info = NULL;
	}
undo_hints:
	fi_freeinfo(hints);
	return info;
}

/* The first of the list that is there. */
static int ofi_provider_choose(struct xport_ofi *x, const char *list)
{
	for (const char *p = list; *p != '\0';) {
		size_t len = strcspn(p, ",");
		if (len > 0 && len < WIRE_PROVIDER_BYTES) {
			char name[WIRE_PROVIDER_BYTES] = {0};
			memcpy(name, p, len);
			x->info = ofi_info_of(x, name);
			if (x->info != NULL) {
				memcpy(x->provider, name, sizeof(name));
				return 0;
			}
		}
		p += len + (p[len] == ',');
	}
	log_error(xport, "no fabric provider of \"%s\" has connected message endpoints here", list);
	return ERR_UNSUPPORTED;
}

#define OFI_TRY(call)                                                                              \
	do {                                                                                       \
		int rc_ = (call);                                                                  \
		if (rc_ != 0) {                                                                    \
			log_error(xport, "fabric %s: %s: %s", x->provider, #call,                  \
				fi_strerror(-rc_));                                                \
			return ofi_err(rc_);                                                       \
		}                                                                                  \
	} while (0)

static int ofi_queues_open(struct xport_ofi *x)
{
	struct fi_eq_attr eq = {.size = 4 * SLICE_MAX, .wait_obj = FI_WAIT_FD};
	struct fi_cq_attr cq = {.size = (size_t)x->cfg.n_slices * 256,
		.format = FI_CQ_FORMAT_MSG,
		.wait_obj = FI_WAIT_FD};
	OFI_TRY(fi_eq_open(x->fabric, &eq, &x->eq, NULL));
	OFI_TRY(fi_domain(x->fabric, x->info, &x->domain, NULL));
	OFI_TRY(fi_cq_open(x->domain, &cq, &x->cq, NULL));
	return 0;
}

static int ofi_pep_open(struct xport_ofi *x)
{
	struct sockaddr_storage bound;
	size_t len = sizeof(bound);
	memset(&bound, 0, sizeof(bound));
	OFI_TRY(fi_passive_ep(x->fabric, x->info, &x->pep, NULL));
	OFI_TRY(fi_pep_bind(x->pep, &x->eq->fid, 0));
	OFI_TRY(fi_listen(x->pep));
	OFI_TRY(fi_getname(&x->pep->fid, &bound, &len));
	return net_addr_format(&bound, x->address);
}

static int ofi_epoll_add(struct xport_ofi *x, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
		return err_from_errno(errno);
	return 0;
}

/* One descriptor for all that can happen. */
static int ofi_epoll_open(struct xport_ofi *x)
{
	int fds[2];
	x->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	x->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	x->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (x->epoll_fd < 0 || x->wake_fd < 0 || x->timer_fd < 0)
		return err_from_errno(errno);
	OFI_TRY(fi_control(&x->cq->fid, FI_GETWAIT, &fds[0]));
	OFI_TRY(fi_control(&x->eq->fid, FI_GETWAIT, &fds[1]));
	const int all[] = {fds[0], fds[1], x->wake_fd, x->timer_fd};
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		int rc = ofi_epoll_add(x, all[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Receive buffers of a connection (R-XP-35). */
static unsigned ofi_n_rx(const struct xport_ofi *x)
{
	unsigned n = OFI_RX_SPARE;
	for (unsigned i = 0; i < MSG_CLASS_N; i++)
		n += x->cfg.credit.window[i];
	return n;
}

/* More buffers than the provider takes would let no connection come up, without a word why. */
static int ofi_rx_fits(const struct xport_ofi *x)
{
	if (ofi_n_rx(x) <= x->info->rx_attr->size)
		return 0;
	log_error(xport, "credits of %u messages; provider \"%s\" has room for %zu a connection",
		ofi_n_rx(x) - OFI_RX_SPARE, x->provider, x->info->rx_attr->size - OFI_RX_SPARE);
	return ERR_RANGE;
}

int ofi_fab_open(struct xport_ofi *x)
{
	int rc = ofi_provider_choose(
		x, x->cfg.providers != NULL ? x->cfg.providers : XPORT_OFI_PROVIDERS);
	if (rc == 0)
		rc = ofi_rx_fits(x);
	if (rc != 0)
		return rc;
	x->inject_bytes = x->info->tx_attr->inject_size;
	OFI_TRY(fi_fabric(x->info->fabric_attr, &x->fabric, NULL));
	rc = ofi_queues_open(x);
	if (rc == 0)
		rc = ofi_pep_open(x);
	if (rc == 0)
		rc = ofi_epoll_open(x);
	return rc;
}

static void ofi_fid_close(struct fid *fid)
{
	int rc = fi_close(fid);
	if (rc != 0)
		log_warn(xport, "fi_close: %s", fi_strerror(-rc));
}

void ofi_fab_close(struct xport_ofi *x)
{
	if (x->pep != NULL)
		ofi_fid_close(&x->pep->fid);
	if (x->cq != NULL)
		ofi_fid_close(&x->cq->fid);
	if (x->domain != NULL)
		ofi_fid_close(&x->domain->fid);
	if (x->eq != NULL)
		ofi_fid_close(&x->eq->fid);
	if (x->fabric != NULL)
		ofi_fid_close(&x->fabric->fid);
	if (x->info != NULL)
		fi_freeinfo(x->info);
	const int fds[] = {x->epoll_fd, x->wake_fd, x->timer_fd};
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			CHECK(close(fds[i]) == 0);
}

static struct ofi_conn *ofi_conn_new(struct xport_ofi *x, struct ofi_peer *peer, bool dialer)
{
	unsigned n_rx = ofi_n_rx(x);
	unsigned n = n_rx + OFI_TX_SLOTS;
	struct ofi_conn *c = calloc(1, sizeof(*c) + n * sizeof(c->slots[0]));
	if (c == NULL)
		return NULL;
	OBJ_INIT(c, OFI_CONN_MAGIC);
	c->x = x;
	c->peer = peer;
	c->dialer = dialer;
	c->n_slots = n;
	c->deadline_ns = ofi_now_ns() + OFI_HANDSHAKE_NS;
	list_init(&c->link);
	list_init(&c->tx_free);
	list_init(&c->rx_unposted);
	for (unsigned i = 0; i < n; i++) {
		struct ofi_slot *s = &c->slots[i];
		list_init(&s->link);
		s->conn = c;
		s->is_rx = i < n_rx;
		list_push_back(s->is_rx ? &c->rx_unposted : &c->tx_free, &s->link);
	}
	static _Atomic uint64_t ids;
	sm_init(&c->sm, &ofi_conn_table, c,
		atomic_fetch_add_explicit(&ids, 1, memory_order_relaxed));
	if (!dialer) {
		/* State 0 is DIALING; one that was accepted starts elsewhere. */
		c->sm.state = OFI_ACCEPTING;
	}
	return c;
}

/* The endpoint of `c`, enabled, with all receive buffers posted. */
static int ofi_ep_open(struct ofi_conn *c, struct fi_info *info)
{
	struct xport_ofi *x = c->x;
	OFI_TRY(fi_endpoint(x->domain, info, &c->ep, c));
	OFI_TRY(fi_ep_bind(c->ep, &x->eq->fid, 0));
	OFI_TRY(fi_ep_bind(c->ep, &x->cq->fid, FI_TRANSMIT | FI_RECV));
	OFI_TRY(fi_enable(c->ep));
	ofi_rx_retry(c);
	return list_empty(&c->rx_unposted) ? 0 : ERR_FULL;
}

/* Give up a connection that never was in the fabric's hands. */
static int ofi_conn_undo(struct ofi_conn *c, int rc)
{
	if (c->ep != NULL)
		ofi_fid_close(&c->ep->fid);
	c->ep = NULL;
	/* Flushed buffers may still lie in the completion queue. */
	ofi_conn_end(c, rc, false);
	return rc;
}

int ofi_conn_dial(struct xport_ofi *x, struct ofi_peer *peer)
{
	struct ofi_conn *c = ofi_conn_new(x, peer, true);
	struct fi_info *info = fi_dupinfo(x->info);
	int rc = ERR_NO_MEMORY;
	if (c == NULL || info == NULL)
		goto undo_memory;
	list_push_back(&x->conns, &c->link);
	peer->dial = c;
	/* From our address, so that the peer sees who we are, but from any port. */
	struct sockaddr_storage *src = info->src_addr;
	if (src != NULL && src->ss_family == AF_INET)
		((struct sockaddr_in *)src)->sin_port = 0;
	else if (src != NULL && src->ss_family == AF_INET6)
		((struct sockaddr_in6 *)src)->sin6_port = 0;
	rc = ofi_ep_open(c, info);
	if (rc != 0)
		goto undo_conn;
	rc = fi_connect(c->ep, &peer->addr, NULL, 0);
	if (rc != 0) {
		rc = ofi_err(rc);
		goto undo_conn;
	}
	fi_freeinfo(info);
	return 0;

undo_conn:
	fi_freeinfo(info);
	return ofi_conn_undo(c, rc);
undo_memory:
	free(c);
	if (info != NULL)
		fi_freeinfo(info);
	return rc;
}

void ofi_conn_accept(struct xport_ofi *x, struct fi_info *req)
{
	if (x->pep == NULL)
		return;
	struct ofi_conn *c = NULL;
	if (x->n_incoming < OFI_INCOMING_MAX + x->n_peers)
		c = ofi_conn_new(x, NULL, false);
	if (c == NULL) {
		log_limited(xport, "refused a connection, slice %u: too many at once, or no memory",
			x->cfg.self.v);
		(void)fi_reject(x->pep, req->handle, NULL, 0);
		return;
	}
	x->n_incoming++;
	list_push_back(&x->conns, &c->link);
	int rc = ofi_ep_open(c, req);
	if (rc == 0) {
		rc = fi_accept(c->ep, NULL, 0);
		rc = rc != 0 ? ofi_err(rc) : 0;
	}
	if (rc != 0)
		(void)ofi_conn_undo(c, rc);
}

void ofi_conn_end(struct ofi_conn *c, int why, bool drains)
{
	OBJ_CHECK(c, OFI_CONN_MAGIC);
	CHECK(why != 0);
	if (ofi_conn_state(c) >= OFI_ENDING)
		return;
	bool was_up = ofi_conn_state(c) == OFI_UP;
	sm_move(&c->sm, OFI_ENDING);
	c->why = why;
	c->drains = drains && was_up;
	list_remove(&c->link);
	list_push_back(&c->x->ending, &c->link);
	if (!was_up)
		return;
	struct ofi_peer *p = c->peer;
	lk_lock(&p->lk);
	if (p->conn == c) {
		p->up = false;
		p->stuck = NULL;
		p->full_since = 0;
		outq_fini(&p->out);
	}
	lk_unlock(&p->lk);
}

void ofi_conn_shut(struct ofi_conn *c)
{
	sm_move(&c->sm, OFI_CLOSED);
	if (c->ep == NULL)
		return;
	(void)fi_shutdown(c->ep, 0);
	ofi_fid_close(&c->ep->fid);
	c->ep = NULL;
}

void ofi_conn_free(struct ofi_conn *c)
{
	CHECK(c->ep == NULL);
	list_remove(&c->link);
	seal_destroy(c->opener);
	OBJ_FINI(c, OFI_CONN_MAGIC);
	free(c);
}
