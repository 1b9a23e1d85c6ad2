/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/xport_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lk.h"
#include "base/log.h"
#include "proto/outq.h"

#define MEM_EP_MAGIC  UINT32_C(0x4d454d45)
#define MEM_HUB_MAGIC UINT32_C(0x4d454d48)

/*
 *	UP --cut, death of the peer--> ENDING --its event delivered--> GONE
 *	 `--own disconnect, violation---------------------------------^
 */
enum mem_state {
	MEM_UP,
	MEM_ENDING, /* nothing more is sent; what has arrived is delivered, then the `down` event */
	MEM_GONE,
};

/* One endpoint's view of another. All under the hub's lock. */
struct mem_peer {
	struct mem_ep *ep;    /* whose view */
	struct mem_ep *other; /* of whom */
	enum mem_state state;
	struct outq out;
	struct outq_msg
		*end; /* goes into the inbox as the last of this peer; taken from here then */
};

struct mem_ep {
	struct xport xport;
	uint32_t magic;
	struct xport_mem_hub *hub;
	slice_id_t self;
	unsigned index;
	const struct xport_handler *handler; /* const after open */
	void *arg;
	int fd;
	bool open;
	bool dead;         /* [lk: hub] killed: hears and says nothing */
	bool armed;        /* [lk: hub] the owner may sleep: the next event writes to fd */
	bool signaled;     /* [lk: hub] fd is readable */
	struct list inbox; /* [lk: hub] of struct outq_msg; `from` is the struct mem_peer of the
			      sender */
	struct mem_peer *peers;   /* n of them, the own one unused */
	struct xport_stats stats; /* [lk: hub] */
};

struct xport_mem_hub {
	uint32_t magic;
	unsigned n;
	struct lk lk;
	struct mem_ep eps[];
};

static struct mem_ep *mem_ep_of(struct xport *x)
{
	struct mem_ep *ep = container_of(x, struct mem_ep, xport);
	OBJ_CHECK(ep, MEM_EP_MAGIC);
	return ep;
}

static struct mem_ep *mem_find(struct xport_mem_hub *hub, slice_id_t id)
{
	for (unsigned i = 0; i < hub->n; i++)
		if (slice_eq(hub->eps[i].self, id))
			return &hub->eps[i];
	return NULL;
}

/* The view that the other side has of the one that holds `p`. */
static struct mem_peer *mem_mirror(struct mem_peer *p)
{
	return &p->other->peers[p->ep->index];
}

static void mem_deliver_locked(struct mem_peer *from, struct outq_msg *m)
{
	struct mem_ep *to = from->ep;
	m->from = from;
	list_push_back(&to->inbox, &m->link);
	if (to->armed) {
		to->armed = false;
		to->signaled = true;
		CHECK(eventfd_write(to->fd, 1) == 0);
	}
}

/* Move what may go from `p`'s queue to the other's inbox. */
static void mem_push_locked(struct mem_peer *p)
{
	struct mem_peer *there = mem_mirror(p);
	for (struct outq_msg *m; (m = outq_take(&p->out)) != NULL;) {
		p->ep->stats.frames_out++;
		p->ep->stats.bytes_out += (uint64_t)m->head_bytes + m->data_bytes;
		CHECK(credit_arrived(&there->out.credit, m->class) == 0);
		mem_deliver_locked(there, m);
	}
}

/* `p`'s owner is to learn that the other is gone, after what it has sent. */
static void mem_end_locked(struct mem_peer *p)
{
	if (p->state != MEM_UP)
		return;
	p->state = MEM_ENDING;
	outq_fini(&p->out);
	if (p->ep->dead)
		return;
	struct outq_msg *end = p->end;
	p->end = NULL;
	mem_deliver_locked(p, end);
}

/* `p`'s owner wants nothing more of the other, who learns that. */
static void mem_leave_locked(struct mem_peer *p)
{
	if (p->state == MEM_GONE)
		return;
	p->state = MEM_GONE;
	outq_fini(&p->out);
	mem_end_locked(mem_mirror(p));
}

static int mem_send(struct xport *x, const struct xport_msg *msg)
{
	struct mem_ep *ep = mem_ep_of(x);
	struct mem_ep *other = mem_find(ep->hub, msg->peer);
	xport_msg_check(msg);
	if (other == NULL || other == ep)
		return ERR_PEER_DOWN;
	uint64_t guest_ns = ep->handler->now != NULL ? ep->handler->now(ep->arg) : 0;
	struct outq_msg *m;
	int rc = outq_msg_new(msg, guest_ns, &m);
	if (rc != 0)
		return rc;
	struct mem_peer *p = &ep->peers[other->index];
	lk_lock(&ep->hub->lk);
	if (ep->dead || p->state != MEM_UP) {
		rc = ERR_PEER_DOWN;
		goto undo_msg;
	}
	bool now;
	rc = outq_admit(&p->out, m->class, &now);
	if (rc != 0)
		goto undo_msg;
	if (now) {
		outq_add_ready(&p->out, m);
		mem_push_locked(p);
	} else {
		outq_add_waiting(&p->out, m);
		ep->stats.credit_waits++;
	}
	lk_unlock(&ep->hub->lk);
	return 0;

undo_msg:
	lk_unlock(&ep->hub->lk);
	outq_msg_free(m);
	return rc;
}

/* The next event that is still of interest, or NULL. */
static struct outq_msg *mem_next_locked(struct mem_ep *ep)
{
	for (;;) {
		struct outq_msg *m = list_first(&ep->inbox, struct outq_msg, link);
		if (m == NULL)
			return NULL;
		list_remove(&m->link);
		struct mem_peer *p = m->from;
		if (!ep->dead && p->state != MEM_GONE)
			return m;
		outq_msg_free(m);
	}
}

/* Message `m` to the owner; its error, if it takes it for a violation. No lock. */
static int mem_handle(struct mem_ep *ep, const struct mem_peer *p, const struct outq_msg *m)
{
	const struct xport_handler *h = ep->handler;
	const struct xport_rx rx = {
		.peer = p->other->self,
		.class = m->class,
		.type = m->type,
		.head = m->bytes,
		.head_bytes = m->head_bytes,
		.data = m->data_bytes > 0 ? m->bytes + m->head_bytes : NULL,
		.data_bytes = m->data_bytes,
	};
	int rc = 0;
	if (h->observe != NULL)
		rc = h->observe(ep->arg, rx.peer, m->guest_ns);
	if (rc == 0)
		rc = h->message(ep->arg, &rx);
	return rc;
}

/* After `m` was handled with `rc`: its credit goes back, or the connection ends. */
static void mem_after_locked(struct mem_ep *ep, struct mem_peer *p, const struct outq_msg *m)
{
	ep->stats.frames_in++;
	ep->stats.bytes_in += (uint64_t)m->head_bytes + m->data_bytes;
	if (p->state != MEM_UP)
		return;
	uint16_t back[MSG_CLASS_N];
	struct mem_peer *there = mem_mirror(p);
	credit_consumed(&p->out.credit, m->class);
	credit_collect(&p->out.credit, back);
	CHECK(credit_returned(&there->out.credit, back) == 0);
	mem_push_locked(there);
}

static void mem_event(struct mem_ep *ep, struct outq_msg *m)
{
	struct lk *lk = &ep->hub->lk;
	struct mem_peer *p = m->from;
	slice_id_t peer = p->other->self;
	if (m->type == 0) {
		lk_lock(lk);
		p->state = MEM_GONE;
		lk_unlock(lk);
		log_info(xport, "peer is gone, slice %u, peer %u: connection lost", ep->self.v,
			peer.v);
		ep->handler->down(ep->arg, peer, ERR_LINK_DOWN);
		return;
	}
	int rc = mem_handle(ep, p, m);
	lk_lock(lk);
	bool closes = rc != 0 && p->state != MEM_GONE;
	if (closes)
		mem_leave_locked(p);
	else
		mem_after_locked(ep, p, m);
	lk_unlock(lk);
	if (!closes)
		return;
	log_warn(xport, "closing a connection, slice %u, peer %u, message %u: %s", ep->self.v,
		peer.v, m->type, err_text(rc));
	ep->handler->down(ep->arg, peer, rc);
}

static unsigned mem_progress(struct xport *x, unsigned budget)
{
	struct mem_ep *ep = mem_ep_of(x);
	unsigned done = 0;
	while (done < budget) {
		lk_lock(&ep->hub->lk);
		ep->armed = false;
		if (ep->signaled) {
			eventfd_t v;
			CHECK(eventfd_read(ep->fd, &v) == 0);
			ep->signaled = false;
		}
		struct outq_msg *m = mem_next_locked(ep);
		lk_unlock(&ep->hub->lk);
		if (m == NULL)
			break;
		mem_event(ep, m);
		outq_msg_free(m);
		done++;
	}
	return done;
}

static int mem_fd(struct xport *x)
{
	return mem_ep_of(x)->fd;
}

static bool mem_may_sleep(struct xport *x)
{
	struct mem_ep *ep = mem_ep_of(x);
	lk_lock(&ep->hub->lk);
	bool idle = list_empty(&ep->inbox) || ep->dead;
	ep->armed = idle && !ep->dead;
	lk_unlock(&ep->hub->lk);
	return idle;
}

static void mem_disconnect(struct xport *x, slice_id_t peer)
{
	struct mem_ep *ep = mem_ep_of(x);
	struct mem_ep *other = mem_find(ep->hub, peer);
	if (other == NULL || other == ep)
		return;
	lk_lock(&ep->hub->lk);
	mem_leave_locked(&ep->peers[other->index]);
	lk_unlock(&ep->hub->lk);
}

static void mem_stats(struct xport *x, struct xport_stats *out)
{
	struct mem_ep *ep = mem_ep_of(x);
	lk_lock(&ep->hub->lk);
	*out = ep->stats;
	lk_unlock(&ep->hub->lk);
}

static void mem_kill_locked(struct mem_ep *ep)
{
	ep->dead = true;
	ep->armed = false;
	for (unsigned i = 0; i < ep->hub->n; i++)
		if (i != ep->index)
			mem_leave_locked(&ep->peers[i]);
	/* All its peers are GONE: this frees what they had sent. */
	CHECK(mem_next_locked(ep) == NULL);
}

static void mem_destroy(struct xport *x)
{
	struct mem_ep *ep = mem_ep_of(x);
	lk_lock(&ep->hub->lk);
	mem_kill_locked(ep);
	lk_unlock(&ep->hub->lk);
	CHECK(close(ep->fd) == 0);
	ep->open = false;
	OBJ_FINI(ep, MEM_EP_MAGIC);
}

static const struct xport_ops mem_ops = {
	.name = "mem",
	.send = mem_send,
	.progress = mem_progress,
	.fd = mem_fd,
	.may_sleep = mem_may_sleep,
	.disconnect = mem_disconnect,
	.stats = mem_stats,
	.destroy = mem_destroy,
};

int xport_mem_open(struct xport_mem_hub *hub, slice_id_t self, const struct xport_handler *handler,
	void *arg, struct xport **out)
{
	OBJ_CHECK(hub, MEM_HUB_MAGIC);
	CHECK(handler->message != NULL && handler->down != NULL);
	struct mem_ep *ep = mem_find(hub, self);
	if (ep == NULL)
		return ERR_NOT_FOUND;
	if (ep->open || ep->dead)
		return ERR_EXISTS;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	ep->fd = fd;
	ep->handler = handler;
	ep->arg = arg;
	ep->open = true;
	ep->xport.ops = &mem_ops;
	OBJ_INIT(ep, MEM_EP_MAGIC);
	*out = &ep->xport;
	return 0;
}

void xport_mem_cut(struct xport_mem_hub *hub, slice_id_t a, slice_id_t b)
{
	OBJ_CHECK(hub, MEM_HUB_MAGIC);
	struct mem_ep *ea = mem_find(hub, a), *eb = mem_find(hub, b);
	CHECK(ea != NULL && eb != NULL && ea != eb);
	lk_lock(&hub->lk);
	mem_end_locked(&ea->peers[eb->index]);
	mem_end_locked(&eb->peers[ea->index]);
	lk_unlock(&hub->lk);
}

void xport_mem_kill(struct xport_mem_hub *hub, slice_id_t a)
{
	OBJ_CHECK(hub, MEM_HUB_MAGIC);
	struct mem_ep *ep = mem_find(hub, a);
	CHECK(ep != NULL);
	lk_lock(&hub->lk);
	mem_kill_locked(ep);
	lk_unlock(&hub->lk);
}

static int mem_ep_init(struct xport_mem_hub *hub, unsigned index, const slice_id_t *slices,
	const struct credit_cfg *credit)
{
	struct mem_ep *ep = &hub->eps[index];
	ep->hub = hub;
	ep->self = slices[index];
	ep->index = index;
	list_init(&ep->inbox);
	ep->peers = calloc(hub->n, sizeof(*ep->peers));
	if (ep->peers == NULL)
		return ERR_NO_MEMORY;
	for (unsigned i = 0; i < hub->n; i++) {
		struct mem_peer *p = &ep->peers[i];
		p->ep = ep;
		p->other = &hub->eps[i];
		outq_init(&p->out, credit);
		CHECK(credit_open(&p->out.credit, credit->window) == 0);
		const struct xport_msg none = {.peer = slices[i]};
		if (outq_msg_new(&none, 0, &p->end) != 0)
			return ERR_NO_MEMORY;
	}
	return 0;
}

static void mem_ep_fini(struct mem_ep *ep)
{
	CHECK(!ep->open);
	for (struct outq_msg *m; (m = list_first(&ep->inbox, struct outq_msg, link)) != NULL;) {
		list_remove(&m->link);
		outq_msg_free(m);
	}
	for (unsigned i = 0; ep->peers != NULL && i < ep->hub->n; i++) {
		if (ep->peers[i].ep == NULL)
			break;
		outq_fini(&ep->peers[i].out);
		outq_msg_free(ep->peers[i].end);
	}
	free(ep->peers);
}

int xport_mem_hub_create(const slice_id_t *slices, unsigned n, const struct credit_cfg *credit,
	struct xport_mem_hub **out)
{
	CHECK(n > 0 && n <= SLICE_MAX);
	struct xport_mem_hub *hub = calloc(1, sizeof(*hub) + n * sizeof(hub->eps[0]));
	if (hub == NULL)
		return ERR_NO_MEMORY;
	const struct credit_cfg usual = OUTQ_CREDIT_DEFAULT;
	OBJ_INIT(hub, MEM_HUB_MAGIC);
	hub->n = n;
	lk_init(&hub->lk, LK_xport_peer);
	for (unsigned i = 0; i < hub->n; i++) {
		int rc = mem_ep_init(hub, i, slices, credit != NULL ? credit : &usual);
		if (rc != 0) {
			xport_mem_hub_destroy(hub);
			return rc;
		}
	}
	*out = hub;
	return 0;
}

void xport_mem_hub_destroy(struct xport_mem_hub *hub)
{
	OBJ_CHECK(hub, MEM_HUB_MAGIC);
	for (unsigned i = 0; i < hub->n; i++)
		mem_ep_fini(&hub->eps[i]);
	lk_fini(&hub->lk);
	OBJ_FINI(hub, MEM_HUB_MAGIC);
	free(hub);
}
