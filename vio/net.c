/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/net.h"

#include <errno.h>
#include <libslirp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "vio/net_filter.h"

#define NET_MAGIC 0x766e6574u

#define NET_F_MAC    (UINT64_C(1) << 5)
#define NET_F_STATUS (UINT64_C(1) << 16)

#define NET_QUEUE_SIZE   256u
#define NET_HEADER_BYTES 12u /* 5.1.6 */
#define NET_FRAME_MAX    1600u
#define NET_TX_BATCH     64u  /* frames, then the sockets get their turn */
#define NET_BACKLOG      256u /* frames for the guest that wait for a buffer */
#define NET_POLL_MAX     1024u
#define NET_NS_PER_MS    UINT64_C(1000000)

enum { NET_QUEUE_RX = 0, NET_QUEUE_TX = 1 };

#define NET_VIRTUAL       0x0a000200u /* 10.0.2.0/24 */
#define NET_VIRTUAL_MASK  0xffffff00u
#define NET_VIRTUAL_HOST  (NET_VIRTUAL | 2)
#define NET_VIRTUAL_DNS   (NET_VIRTUAL | 3)
#define NET_VIRTUAL_GUEST (NET_VIRTUAL | 15)

struct net_frame {
	size_t len;
	uint8_t bytes[NET_FRAME_MAX];
};

struct net {
	struct virtio_dev dev; /* first: the core finds it by this address */
	uint32_t magic;
	struct net_filter filter;
	_Atomic uint64_t refused;
	_Atomic bool fresh; /* after a reset: connections of the guest's last life are to end */
	/* [owner: worker] */
	Slirp *slirp;
	struct virtq_chain chain;
	struct net_frame tx;
	struct net_frame backlog[NET_BACKLOG];
	unsigned backlog_first, backlog_used;
	struct pollfd polls[NET_POLL_MAX]; /* the first is our own wake-up */
	unsigned n_polls;
	bool polled; /* `polls` holds results that the NAT has not seen */
	bool poll_failed;
};

/* A timer of the NAT. It only asks for them with IPv6, which is off. */
struct net_timer {
	SlirpTimerCb cb;
	void *arg;
};

static struct net *net_of(struct virtio_dev *dev)
{
	struct net *net = container_of(dev, struct net, dev);
	OBJ_CHECK(net, NET_MAGIC);
	return net;
}

/* ---- what the NAT asks of us; all on the worker thread ---- */

static ssize_t net_slirp_send(const void *buf, size_t len, void *opaque)
{
	struct net *net = opaque;
	OBJ_CHECK(net, NET_MAGIC);
	if (len > NET_FRAME_MAX || net->backlog_used == NET_BACKLOG)
		return (ssize_t)len; /* dropped: TCP sends it again */
	struct net_frame *f = &net->backlog[(net->backlog_first + net->backlog_used) % NET_BACKLOG];
	memcpy(f->bytes, buf, len);
	f->len = len;
	net->backlog_used++;
	return (ssize_t)len;
}

static void net_slirp_guest_error(const char *msg, void *opaque)
{
	log_debug(vio, "user-mode network: %s", msg);
}

static int64_t net_slirp_clock(void *opaque)
{
	return (int64_t)clock_now_ns(clock_host());
}

static void *net_slirp_timer_new(SlirpTimerCb cb, void *arg, void *opaque)
{
	struct net_timer *t = calloc(1, sizeof(*t));
	if (t != NULL)
		*t = (struct net_timer){cb, arg};
	return t;
}

static void net_slirp_timer_free(void *timer, void *opaque)
{
	free(timer);
}

static void net_slirp_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
}

static void net_slirp_poll_fd(int fd, void *opaque)
{
}

static void net_slirp_notify(void *opaque)
{
	struct net *net = opaque;
	OBJ_CHECK(net, NET_MAGIC);
	virtio_dev_kick(&net->dev, 0);
}

static const SlirpCb net_slirp_cb = {
	.send_packet = net_slirp_send,
	.guest_error = net_slirp_guest_error,
	.clock_get_ns = net_slirp_clock,
	.timer_new = net_slirp_timer_new,
	.timer_free = net_slirp_timer_free,
	.timer_mod = net_slirp_timer_mod,
	.register_poll_fd = net_slirp_poll_fd,
	.unregister_poll_fd = net_slirp_poll_fd,
	.notify = net_slirp_notify,
};

static int net_open_slirp(struct net *net)
{
	const SlirpConfig cfg = {
		.version = 3,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(NET_VIRTUAL),
		.vnetmask.s_addr = htonl(NET_VIRTUAL_MASK),
		.vhost.s_addr = htonl(NET_VIRTUAL_HOST),
		.vnameserver.s_addr = htonl(NET_VIRTUAL_DNS),
		.vdhcp_start.s_addr = htonl(NET_VIRTUAL_GUEST),
		.disable_host_loopback = !net->filter.open,
	};
	net->slirp = slirp_new(&cfg, &net_slirp_cb, net);
	return net->slirp != NULL ? 0 : ERR_NO_MEMORY;
}

/* ---- waiting for sockets and notifications ---- */

static int net_poll_add(int fd, int events, void *opaque)
{
	struct net *net = opaque;
	if (net->n_polls == NET_POLL_MAX)
		return -1;
	short want = 0;
	if ((events & SLIRP_POLL_IN) != 0)
		want |= POLLIN;
	if ((events & SLIRP_POLL_OUT) != 0)
		want |= POLLOUT;
	if ((events & SLIRP_POLL_PRI) != 0)
		want |= POLLPRI;
	net->polls[net->n_polls] = (struct pollfd){.fd = fd, .events = want};
	return (int)net->n_polls++;
}

static int net_poll_result(int idx, void *opaque)
{
	struct net *net = opaque;
	if (idx < 0 || (unsigned)idx >= net->n_polls)
		return 0;
	short got = net->polls[idx].revents;
	int events = 0;
	if ((got & POLLIN) != 0)
		events |= SLIRP_POLL_IN;
	if ((got & POLLOUT) != 0)
		events |= SLIRP_POLL_OUT;
	if ((got & POLLPRI) != 0)
		events |= SLIRP_POLL_PRI;
	if ((got & POLLERR) != 0)
		events |= SLIRP_POLL_ERR;
	if ((got & POLLHUP) != 0)
		events |= SLIRP_POLL_HUP;
	return events;
}

static void net_wait(struct virtio_dev *dev, unsigned w, int kick_fd, uint64_t timeout_ns)
{
	struct net *net = net_of(dev);
	uint32_t timeout_ms = timeout_ns / NET_NS_PER_MS < UINT32_MAX
				      ? (uint32_t)(timeout_ns / NET_NS_PER_MS)
				      : UINT32_MAX;
	net->polls[0] = (struct pollfd){.fd = kick_fd, .events = POLLIN};
	net->n_polls = 1;
	slirp_pollfds_fill(net->slirp, &timeout_ms, net_poll_add, net);
	int n = poll(net->polls, net->n_polls, timeout_ms > INT32_MAX ? -1 : (int)timeout_ms);
	net->poll_failed = n < 0;
	net->polled = true;
}

/* ---- frames ---- */

static int net_send_frame(struct net *net, struct virtq *vq)
{
	const struct virtq_chain *chain = &net->chain;
	if (chain->out_bytes < NET_HEADER_BYTES)
		return ERR_FORMAT;
	uint64_t len = chain->out_bytes - NET_HEADER_BYTES;
	if (len > NET_FRAME_MAX) /* larger than any MTU that was offered */
		return 0;
	int err = virtq_chain_read(vq, chain, NET_HEADER_BYTES, net->tx.bytes, (size_t)len);
	if (err != 0)
		return err;
	if (net_filter_passes(&net->filter, net->tx.bytes, (size_t)len))
		slirp_input(net->slirp, net->tx.bytes, (int)len);
	else
		atomic_fetch_add_explicit(&net->refused, 1, memory_order_relaxed);
	return 0;
}

static int net_run_tx(struct net *net, bool *more)
{
	struct virtq *vq = virtio_dev_queue(&net->dev, NET_QUEUE_TX);
	*more = false;
	for (unsigned i = 0; vq != NULL && !virtio_dev_yield(&net->dev); i++) {
		if (i == NET_TX_BATCH) {
			*more = true;
			break;
		}
		int err = virtq_pop(vq, &net->chain);
		if (err != 0)
			return err == ERR_AGAIN ? 0 : err;
		err = net_send_frame(net, vq);
		if (err == 0)
			err = virtq_push(vq, &net->chain, 0);
		if (err == 0)
			err = virtio_dev_notify(&net->dev, NET_QUEUE_TX);
		if (err != 0)
			return err;
	}
	return 0;
}

static int net_receive_frame(struct net *net, struct virtq *vq, const struct net_frame *f)
{
	static const uint8_t header[NET_HEADER_BYTES] = {[10] = 1}; /* num_buffers */
	/* 5.1.6.3.1: without merged buffers each takes the largest frame. */
	if (net->chain.in_bytes < NET_HEADER_BYTES + f->len)
		return ERR_FORMAT;
	int err = virtq_chain_write(vq, &net->chain, 0, header, sizeof(header));
	if (err == 0)
		err = virtq_chain_write(vq, &net->chain, NET_HEADER_BYTES, f->bytes, f->len);
	if (err == 0)
		err = virtq_push(vq, &net->chain, (uint32_t)(NET_HEADER_BYTES + f->len));
	return err;
}

static int net_run_rx(struct net *net)
{
	struct virtq *vq = virtio_dev_queue(&net->dev, NET_QUEUE_RX);
	while (vq != NULL && net->backlog_used != 0 && !virtio_dev_yield(&net->dev)) {
		int err = virtq_pop(vq, &net->chain);
		if (err != 0)
			return err == ERR_AGAIN ? 0 : err;
		err = net_receive_frame(net, vq, &net->backlog[net->backlog_first]);
		if (err == 0)
			err = virtio_dev_notify(&net->dev, NET_QUEUE_RX);
		if (err != 0)
			return err;
		net->backlog_first = (net->backlog_first + 1) % NET_BACKLOG;
		net->backlog_used--;
	}
	return 0;
}

static int net_begin_life(struct net *net)
{
	slirp_cleanup(net->slirp);
	net->backlog_used = 0;
	net->polled = false;
	return net_open_slirp(net);
}

static uint64_t net_run(struct virtio_dev *dev, unsigned w)
{
	struct net *net = net_of(dev);
	bool more = false;
	int err = 0;
	if (atomic_exchange_explicit(&net->fresh, false, memory_order_relaxed))
		err = net_begin_life(net);
	if (err == 0 && net->polled) {
		net->polled = false;
		slirp_pollfds_poll(net->slirp, net->poll_failed, net_poll_result, net);
	}
	if (err == 0)
		err = net_run_tx(net, &more);
	if (err == 0)
		err = net_run_rx(net);
	if (err != 0)
		virtio_dev_failed(dev, err, "frame");
	return more ? 0 : VIRTIO_RUN_WHEN_NOTIFIED;
}

static void net_reset(struct virtio_dev *dev)
{
	struct net *net = net_of(dev);
	atomic_store_explicit(&net->fresh, true, memory_order_relaxed);
}

static void net_destroy(struct virtio_dev *dev)
{
	struct net *net = net_of(dev);
	if (net->slirp != NULL)
		slirp_cleanup(net->slirp);
	virtio_dev_fini(dev);
	OBJ_FINI(net, NET_MAGIC);
	free(net);
}

static const struct virtio_dev_ops net_ops = {"net", net_run, net_wait, net_reset, net_destroy};

/* 5.1.4: mac, status */
static size_t net_config(const struct vio_net_cfg *cfg, uint8_t *buf, size_t len)
{
	struct wcur c = wcur_of(buf, len);
	wcur_bytes(&c, cfg->mac, sizeof(cfg->mac));
	wcur_u16(&c, 1); /* the link is up */
	CHECK(!c.bad);
	return c.used;
}

int net_create(const struct dsm_gate *gate, const struct vio_net_cfg *cfg, struct virtio_dev **out)
{
	struct net *net = calloc(1, sizeof(*net));
	if (net == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(net, NET_MAGIC);
	const struct vio_net_range virtual = {NET_VIRTUAL, 24};
	int err = net_filter_init(&net->filter, cfg->open, virtual, cfg->denied, cfg->n_denied);
	if (err != 0)
		goto undo_alloc;
	uint8_t config[VIRTIO_CONFIG_MAX];
	const struct virtio_dev_cfg dev = {
		.ops = &net_ops,
		.gate = gate,
		.id = VIRTIO_ID_NET,
		.features = NET_F_MAC | NET_F_STATUS,
		.config = config,
		.config_bytes = net_config(cfg, config, sizeof(config)),
		.n_queues = 2,
		.n_workers = 1,
		.queue_size = NET_QUEUE_SIZE,
	};
	err = virtio_dev_init(&net->dev, &dev);
	if (err != 0)
		goto undo_alloc;
	err = net_open_slirp(net);
	if (err != 0)
		goto undo_dev;
	*out = &net->dev;
	return 0;
undo_dev:
	virtio_dev_fini(&net->dev);
undo_alloc:
	free(net);
	return err;
}

uint64_t net_refused(struct virtio_dev *dev)
{
	return atomic_load_explicit(&net_of(dev)->refused, memory_order_relaxed);
}
