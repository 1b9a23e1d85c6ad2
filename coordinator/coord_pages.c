/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "base/err.h"
#include "coordinator/coord.h"

#define QUERY_NS UINT64_C(3000000000) /* a slice that does not answer is left out, not waited for */

struct gather;

struct query {
	struct gather *gather;
	uint32_t slice;
};

/* The hottest pages of all slices of a VM on their way in. */
struct gather {
	struct coord *coord;
	uint64_t peer;
	uint16_t type;
	uint32_t id;
	uint32_t top;
	unsigned awaiting;
	struct ctl_vm_pages msg;
	struct query queries[SLICE_MAX];
};

static void gather_done(struct gather *g)
{
	struct peer *peer = coord_peer(g->coord, g->peer);

	if (peer != NULL)
		ctl_conn_reply(peer->conn, g->type, g->id, &g->msg);
	ctl_msg_fini(CTL_MSG_vm_pages, &g->msg);
	free(g);
}

static int by_weight(const void *a, const void *b)
{
	const struct ctl_hot_page *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Of those we have and these the hottest stay: never more than `top`, whatever slices send. */
static void merge(struct gather *g, const struct ctl_slice_pages *from, uint32_t slice)
{
	struct ctl_hot_page both[2 * CTL_PAGES_MAX];
	uint32_t n = 0;

	CHECK(g->msg.n_pages <= CTL_PAGES_MAX && from->n_pages <= CTL_PAGES_MAX);
	for (uint32_t i = 0; i < g->msg.n_pages; i++)
		both[n++] = g->msg.pages[i];
	for (uint32_t i = 0; i < from->n_pages; i++) {
		both[n] = from->pages[i];
		both[n++].home = slice; /* a slice speaks for itself only */
	}
	qsort(both, n, sizeof(both[0]), by_weight);
	g->msg.n_pages = MIN(n, g->top);
	for (uint32_t i = 0; i < g->msg.n_pages; i++)
		g->msg.pages[i] = both[i];
}

static void query_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	const struct query *q = arg;
	struct gather *g = q->gather;

	if (err == 0)
		merge(g, msg, q->slice);
	else
		g->msg.missing++;
	if (--g->awaiting == 0)
		gather_done(g);
}

static void ask(struct gather *g, const struct ctl_vm_slice *s, struct query *q)
{
	struct ctl_conn *conn = host_conn(g->coord, s->part.host);

	*q = (struct query){g, s->status.ref.slice};
	g->awaiting++;
	if (conn != NULL && ctl_conn_request(conn, CTL_SLICE_PAGES, &s->status.ref, NULL, 0,
				    QUERY_NS, query_reply, q, NULL) == 0)
		return;
	g->awaiting--;
	g->msg.missing++;
}

void vm_pages(struct vm *vm, struct peer *peer, const struct ctl_rx *rx)
{
	const struct ctl_vm_pages_query *query = rx->msg;
	struct gather *g = calloc(1, sizeof(*g));

	if (g == NULL || ctl_msg_copy(CTL_MSG_vm_info, &g->msg.vm, &vm->info) != 0)
		goto no_memory;
	g->coord = vm->coord;
	g->peer = peer->serial;
	g->type = rx->type;
	g->id = rx->id;
	g->top = MIN(query->top, CTL_PAGES_MAX);
	g->msg.pages = calloc(CTL_PAGES_MAX, sizeof(*g->msg.pages));
	if (g->msg.pages == NULL) {
		ctl_msg_fini(CTL_MSG_vm_pages, &g->msg);
		goto no_memory;
	}
	g->awaiting = 1; /* ours, so that it does not end before all are asked */
	for (uint32_t i = 0; i < MIN(vm->info.n_slices, SLICE_MAX) && vm_alive(vm); i++)
		ask(g, &vm->info.slices[i], &g->queries[i]);
	if (--g->awaiting == 0)
		gather_done(g);
	return;
no_memory:
	free(g);
	ctl_conn_refuse(peer->conn, rx->type, rx->id, ERR_NO_MEMORY, NULL,
		"out of memory in the coordinator");
}
