/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round trips over libfabric alone: the same kind of endpoint, the same attributes and the same
 * wait as proto/xport_ofi, and nothing of ours in between. All other figures are stated as
 * ratios to this one.
 */
#include "config.h"

#include <arpa/inet.h>
#include <poll.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#undef container_of /* base/check.h has the same */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/link.h"

#define OFI_RX (LINK_WINDOW_MAX * 2)
#define OFI_TX (LINK_WINDOW_MAX * 2)

struct ofi_buf {
	struct fi_context2 context; /* first: what completions carry */
	uint8_t bytes[LINK_ANSWER_BYTES];
	bool busy;
};

struct ofi {
	bool asks;
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_eq *eq;
	struct fid_cq *cq;
	struct fid_pep *pep;
	struct fid_ep *ep;
	int wait_fd;
	struct ofi_buf rx[OFI_RX], tx[OFI_TX];
};

#define OFI_TRY(call)                                                                              \
	do {                                                                                       \
		int rc_ = (int)(call);                                                             \
		if (rc_ != 0)                                                                      \
			return bench_complain(#call, fi_strerror(rc_ < 0 ? -rc_ : rc_));           \
	} while (0)

/* As ofi_info_of() in proto/xport_ofi_fab.c asks, for the first provider that it would take. */
static struct fi_info *ofi_info(const char *provider, const char *ip)
{
	struct fi_info *hints = fi_allocinfo(), *info = NULL;
	struct sockaddr_in *a = calloc(1, sizeof(*a));
	CHECK(hints != NULL && a != NULL);
	a->sin_family = AF_INET;
	CHECK(inet_pton(AF_INET, ip, &a->sin_addr) == 1);
	hints->ep_attr->type = FI_EP_MSG;
	hints->caps = FI_MSG;
	hints->mode = FI_CONTEXT | FI_CONTEXT2;
	hints->addr_format = FI_SOCKADDR_IN;
	hints->domain_attr->threading = FI_THREAD_SAFE;
	hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
	hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
	hints->tx_attr->msg_order = FI_ORDER_SAS;
	hints->rx_attr->msg_order = FI_ORDER_SAS;
	hints->fabric_attr->prov_name = strdup(provider);
	hints->src_addr = a;
	hints->src_addrlen = sizeof(*a);
	if (fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &info) != 0)
		info = NULL;
	fi_freeinfo(hints);
	return info;
}

static int ofi_objects(struct ofi *o)
{
	struct fi_eq_attr eq = {.wait_obj = FI_WAIT_FD};
	struct fi_cq_attr cq = {
		.size = OFI_RX + OFI_TX, .format = FI_CQ_FORMAT_MSG, .wait_obj = FI_WAIT_FD};
	OFI_TRY(fi_fabric(o->info->fabric_attr, &o->fabric, NULL));
	OFI_TRY(fi_eq_open(o->fabric, &eq, &o->eq, NULL));
	OFI_TRY(fi_domain(o->fabric, o->info, &o->domain, NULL));
	OFI_TRY(fi_cq_open(o->domain, &cq, &o->cq, NULL));
	OFI_TRY(fi_control(&o->cq->fid, FI_GETWAIT, &o->wait_fd));
	OFI_TRY(fi_passive_ep(o->fabric, o->info, &o->pep, NULL));
	OFI_TRY(fi_pep_bind(o->pep, &o->eq->fid, 0));
	OFI_TRY(fi_listen(o->pep));
	return 0;
}

static int ofi_open(const char *ip, bool asks, void **out, char *address)
{
	char list[] = XPORT_OFI_PROVIDERS, *next = list, *name;
	struct sockaddr_in a;
	size_t len = sizeof(a);
	struct ofi *o = calloc(1, sizeof(*o));
	CHECK(o != NULL);
	*out = o;
	o->asks = asks;
	while (o->info == NULL && (name = strsep(&next, ",")) != NULL)
		o->info = ofi_info(name, ip);
	if (o->info == NULL)
		return bench_complain("libfabric", "none of " XPORT_OFI_PROVIDERS " is there");
	if (ofi_objects(o) != 0)
		return -1;
	OFI_TRY(fi_getname(&o->pep->fid, &a, &len));
	snprintf(address, XPORT_OFI_ADDR_BYTES, "%s:%u", ip, ntohs(a.sin_port));
	return 0;
}

static int ofi_post(struct ofi *o, struct ofi_buf *b)
{
	OFI_TRY(fi_recv(o->ep, b->bytes, sizeof(b->bytes), NULL, 0, &b->context));
	return 0;
}

static int ofi_endpoint(struct ofi *o, struct fi_info *info)
{
	OFI_TRY(fi_endpoint(o->domain, info, &o->ep, NULL));
	OFI_TRY(fi_ep_bind(o->ep, &o->eq->fid, 0));
	OFI_TRY(fi_ep_bind(o->ep, &o->cq->fid, FI_TRANSMIT | FI_RECV));
	OFI_TRY(fi_enable(o->ep));
	for (unsigned i = 0; i < OFI_RX; i++)
		if (ofi_post(o, &o->rx[i]) != 0)
			return -1;
	return 0;
}

static int ofi_event(struct ofi *o, uint32_t want, struct fi_eq_cm_entry *entry)
{
	uint32_t event = 0;
	ssize_t n = fi_eq_sread(o->eq, &event, entry, sizeof(*entry), LINK_WAIT_MS, 0);
	if (n < 0 || event != want)
		return bench_complain("libfabric", "no connection");
	return 0;
}

static int ofi_dial(struct ofi *o, const char *peer)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char ip[XPORT_OFI_ADDR_BYTES];
	unsigned port;
	if (sscanf(peer, "%79[^:]:%u", ip, &port) != 2 || inet_pton(AF_INET, ip, &to.sin_addr) != 1)
		return bench_complain("libfabric", "bad address");
	to.sin_port = htons((uint16_t)port);
	((struct sockaddr_in *)o->info->src_addr)->sin_port = 0;
	if (ofi_endpoint(o, o->info) != 0)
		return -1;
	OFI_TRY(fi_connect(o->ep, &to, NULL, 0));
	return 0;
}

static int ofi_join(void *link, const char *peer)
{
	struct ofi *o = link;
	struct fi_eq_cm_entry entry;
	if (o->asks) {
		if (ofi_dial(o, peer) != 0)
			return -1;
		return ofi_event(o, FI_CONNECTED, &entry);
	}
	if (ofi_event(o, FI_CONNREQ, &entry) != 0)
		return -1;
	int rc = ofi_endpoint(o, entry.info);
	fi_freeinfo(entry.info);
	if (rc != 0)
		return rc;
	OFI_TRY(fi_accept(o->ep, NULL, 0));
	return ofi_event(o, FI_CONNECTED, &entry);
}

/* The next buffer that was filled; completions of sends free theirs. NULL: nobody speaks. */
static struct ofi_buf *ofi_next(struct ofi *o)
{
	for (;;) {
		struct fi_cq_msg_entry e;
		struct fid *fids[] = {&o->cq->fid};
		ssize_t n = fi_cq_read(o->cq, &e, 1);
		if (n == 1 && (e.flags & FI_RECV) != 0)
			return e.op_context;
		if (n == 1) {
			((struct ofi_buf *)e.op_context)->busy = false;
			continue;
		}
		if (n != -FI_EAGAIN)
			break;
		struct pollfd p = {.fd = o->wait_fd, .events = POLLIN};
		if (fi_trywait(o->fabric, fids, 1) == 0 && poll(&p, 1, LINK_WAIT_MS) < 1)
			break;
	}
	bench_complain("libfabric", "the other side is silent");
	return NULL;
}

static int ofi_give(struct ofi *o, uint64_t number, size_t len)
{
	struct ofi_buf *b = NULL;
	for (unsigned i = 0; i < OFI_TX && b == NULL; i++)
		if (!o->tx[i].busy)
			b = &o->tx[i];
	CHECK(b != NULL); /* more than can be under way */
	memcpy(b->bytes, &number, sizeof(number));
	if (len <= o->info->tx_attr->inject_size) {
		OFI_TRY(fi_inject(o->ep, b->bytes, len, 0));
		return 0;
	}
	b->busy = true;
	OFI_TRY(fi_send(o->ep, b->bytes, len, NULL, 0, &b->context));
	return 0;
}

static int ofi_serve(void *link, unsigned n)
{
	struct ofi *o = link;
	for (unsigned i = 0; i < n; i++) {
		struct ofi_buf *b = ofi_next(o);
		uint64_t number;
		if (b == NULL)
			return -1;
		memcpy(&number, b->bytes, sizeof(number));
		if (ofi_post(o, b) != 0 || ofi_give(o, number, LINK_ANSWER_BYTES) != 0)
			return -1;
	}
	return 0;
}

static int ofi_ask(void *link, unsigned n, unsigned window, uint64_t *ns)
{
	struct ofi *o = link;
	for (unsigned sent = 0, got = 0; got < n; got++) {
		for (; sent < n && sent < got + window; sent++) {
			ns[sent] = bench_now_ns();
			if (ofi_give(o, sent, LINK_ASK_BYTES) != 0)
				return -1;
		}
		struct ofi_buf *b = ofi_next(o);
		uint64_t number;
		if (b == NULL)
			return -1;
		memcpy(&number, b->bytes, sizeof(number));
		if (number != got)
			return bench_complain("libfabric", "an answer to another request");
		ns[got] = bench_now_ns() - ns[got];
		if (ofi_post(o, b) != 0)
			return -1;
	}
	return 0;
}

static void ofi_close(void *link)
{
	struct ofi *o = link;
	struct fid *fids[] = {o->ep != NULL ? &o->ep->fid : NULL,
		o->pep != NULL ? &o->pep->fid : NULL, o->cq != NULL ? &o->cq->fid : NULL,
		o->domain != NULL ? &o->domain->fid : NULL, o->eq != NULL ? &o->eq->fid : NULL,
		o->fabric != NULL ? &o->fabric->fid : NULL};
	for (unsigned i = 0; i < ARRAY_SIZE(fids); i++)
		if (fids[i] != NULL)
			(void)fi_close(fids[i]);
	if (o->info != NULL)
		fi_freeinfo(o->info);
	free(o);
}

const struct link_ops link_ofi = {ofi_open, ofi_join, ofi_serve, ofi_ask, ofi_close};
