/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "coordinator/coord.h"

#define QUERY_NS UINT64_C(3000000000) /* a slice that does not answer is left out, not waited for */

/* The figures of all slices of a VM on their way in. */
struct gather {
	struct coord *coord;
	uint64_t peer;
	uint16_t type;
	uint32_t id;
	unsigned awaiting;
	struct ctl_vm_stats msg;
};

struct query {
	struct gather *gather;
	uint32_t index;
};

static void gather_done(struct gather *g)
{
	struct peer *peer = coord_peer(g->coord, g->peer);

	if (peer != NULL)
		ctl_conn_reply(peer->conn, g->type, g->id, &g->msg);
	ctl_msg_fini(CTL_MSG_vm_stats, &g->msg);
	free(g);
}

static void query_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct query q = *(struct query *)arg;
	struct ctl_slice_stats copy;

	free(arg);
	if (err == 0 && ctl_msg_copy(CTL_MSG_slice_stats, &copy, msg) == 0) {
		ctl_msg_fini(CTL_MSG_slice_stats, &q.gather->msg.slices[q.index]);
		q.gather->msg.slices[q.index] = copy;
	}
	if (--q.gather->awaiting == 0)
		gather_done(q.gather);
}

static void ask(struct gather *g, const struct ctl_vm_slice *s, uint32_t index)
{
	struct ctl_conn *conn = host_conn(g->coord, s->part.host);
	struct query *q = conn == NULL ? NULL : malloc(sizeof(*q));

	if (q == NULL)
		return;
	*q = (struct query){g, index};
	g->awaiting++;
	if (ctl_conn_request(conn, CTL_SLICE_QUERY, &s->status.ref, NULL, 0, QUERY_NS, query_reply,
		    q, NULL) == 0)
		return;
	g->awaiting--;
	free(q);
}

void vm_stats(struct vm *vm, struct peer *peer, const struct ctl_rx *rx)
{
	struct gather *g = calloc(1, sizeof(*g));

	if (g == NULL || ctl_msg_copy(CTL_MSG_vm_info, &g->msg.vm, &vm->info) != 0)
		goto no_memory;
	g->coord = vm->coord;
	g->peer = peer->serial;
	g->type = rx->type;
	g->id = rx->id;
	g->msg.slices = calloc(vm->info.n_slices + 1, sizeof(*g->msg.slices));
	if (g->msg.slices == NULL) {
		ctl_msg_fini(CTL_MSG_vm_stats, &g->msg);
		goto no_memory;
	}
	g->msg.n_slices = vm->info.n_slices;
	g->awaiting = 1; /* ours, so that it does not end before all are asked */
	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		g->msg.slices[i].status = vm->info.slices[i].status;
		if (vm_alive(vm))
			ask(g, &vm->info.slices[i], i);
	}
	if (--g->awaiting == 0)
		gather_done(g);
	return;
no_memory:
	free(g);
	ctl_conn_refuse(peer->conn, rx->type, rx->id, ERR_NO_MEMORY, NULL,
		"out of memory in the coordinator");
}
