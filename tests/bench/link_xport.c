/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips over our own transport, sealed as slices use it, or plain. */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/wire_msgs.h"
#include "tests/bench/link.h"

#define ASKER  1u /* slice ids: the lower one connects */
#define SERVER 2u
/* With the frame's own header and tag it is as long as the raw message. */
#define HEAD_BYTES 16u
#define BUDGET     64u

struct xlink {
	bool asks;
	struct xport_ofi *ofi;
	struct xport *x;
	struct xport_handler handler;
	uint8_t page[PAGE_BYTES];
	unsigned got;
	unsigned base; /* `got` when this series of requests began */
	uint64_t *ns;  /* of each of them */
	int err;
};

static int xlink_send(struct xlink *l, uint64_t number, bool answer)
{
	uint8_t head[HEAD_BYTES] = {0};
	memcpy(head, &number, sizeof(number));
	const struct xport_msg msg = {
		.peer = {answer ? ASKER : SERVER},
		.class = answer ? MSG_RESPONSE : MSG_REQUEST,
		.type = answer ? WIRE_PROBE_RESPONSE : WIRE_PROBE_REQUEST,
		.head = head,
		.head_bytes = sizeof(head),
		.data = answer ? l->page : NULL,
		.data_bytes = answer ? PAGE_BYTES : 0,
	};
	return xport_send(l->x, &msg);
}

static int xlink_message(void *arg, const struct xport_rx *rx)
{
	struct xlink *l = arg;
	if (rx->type != (l->asks ? WIRE_PROBE_RESPONSE : WIRE_PROBE_REQUEST) ||
		rx->head_bytes != HEAD_BYTES || rx->data_bytes != (l->asks ? PAGE_BYTES : 0))
		return ERR_PROTOCOL;
	uint64_t number;
	memcpy(&number, rx->head, sizeof(number));
	if (!l->asks) {
		l->got++;
		return xlink_send(l, number, true);
	}
	if (number != l->got - l->base) /* an answer to another request */
		return ERR_PROTOCOL;
	l->got++;
	l->ns[number] = bench_now_ns() - l->ns[number];
	return 0;
}

static void xlink_down(void *arg, slice_id_t peer, int err)
{
	struct xlink *l = arg;
	l->err = err;
}

static int xlink_open(const char *ip, bool asks, bool plain, void **out, char *address)
{
	char bind[XPORT_OFI_ADDR_BYTES];
	struct xlink *l = calloc(1, sizeof(*l));
	CHECK(l != NULL);
	*out = l;
	l->asks = asks;
	l->handler = (struct xport_handler){.message = xlink_message, .down = xlink_down};
	snprintf(bind, sizeof(bind), "%s:0", ip);
	const struct xport_ofi_cfg cfg = {
		.self = {asks ? ASKER : SERVER},
		.incarnation = {{plain ? 1 : 2}},
		.plain = plain,
		.bind = bind,
		.n_slices = 2,
		.handler = &l->handler,
		.arg = l,
	};
	int err = xport_ofi_listen(&cfg, &l->ofi);
	if (err != 0)
		return bench_complain("transport", err_text(err));
	snprintf(address, XPORT_OFI_ADDR_BYTES, "%s", xport_ofi_address(l->ofi));
	return 0;
}

static int sealed_open(const char *ip, bool asks, void **out, char *address)
{
	return xlink_open(ip, asks, false, out, address);
}

static int plain_open(const char *ip, bool asks, void **out, char *address)
{
	return xlink_open(ip, asks, true, out, address);
}

static int xlink_join(void *link, const char *peer)
{
	struct xlink *l = link;
	const struct xport_ofi_peer p = {{l->asks ? SERVER : ASKER}, peer};
	uint64_t deadline_ns = bench_now_ns() + LINK_WAIT_MS * UINT64_C(1000000);
	int err = xport_ofi_join(l->ofi, &p, 1, deadline_ns, &l->x);
	return err == 0 ? 0 : bench_complain("transport", err_text(err));
}

/* Until `n` messages have come in all. */
static int xlink_until(struct xlink *l, unsigned n)
{
	struct pollfd p = {.fd = l->x->ops->fd(l->x), .events = POLLIN};
	while (l->got < n && l->err == 0) {
		if (l->x->ops->progress(l->x, BUDGET) != 0 || !l->x->ops->may_sleep(l->x))
			continue;
		if (poll(&p, 1, LINK_WAIT_MS) < 1)
			return bench_complain("transport", "the other side is silent");
	}
	return l->err == 0 ? 0 : bench_complain("transport", err_text(l->err));
}

static int xlink_serve(void *link, unsigned n)
{
	struct xlink *l = link;
	return xlink_until(l, l->got + n);
}

static int xlink_ask(void *link, unsigned n, unsigned window, uint64_t *ns)
{
	struct xlink *l = link;
	l->ns = ns;
	l->base = l->got;
	for (unsigned sent = 0; l->got - l->base < n;) {
		for (; sent < n && sent < l->got - l->base + window; sent++) {
			ns[sent] = bench_now_ns();
			int err = xlink_send(l, sent, false);
			if (err != 0)
				return bench_complain("transport", err_text(err));
		}
		if (xlink_until(l, l->got + 1) != 0)
			return -1;
	}
	return 0;
}

static void xlink_close(void *link)
{
	struct xlink *l = link;
	if (l->x != NULL)
		l->x->ops->destroy(l->x);
	else if (l->ofi != NULL)
		xport_ofi_close(l->ofi);
	free(l);
}

const struct link_ops link_sealed = {sealed_open, xlink_join, xlink_serve, xlink_ask, xlink_close};
const struct link_ops link_plain = {plain_open, xlink_join, xlink_serve, xlink_ask, xlink_close};
