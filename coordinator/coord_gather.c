/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "base/err.h"
#include "coordinator/coord.h"

#define QUERY_NS UINT64_C(3000000000) /* a slice that does not answer is left out, not waited for */

struct query {
	struct gather *gather;
	uint32_t index;
};

/* The answers of all slices of a VM on their way in, for a peer that waits for their sum. */
struct gather {
	struct coord *coord;
	uint64_t peer;
	uint16_t type;
	uint32_t id;
	unsigned awaiting;
	const struct gather_ops *ops;
	void *sum;
	struct query queries[SLICE_MAX];
};

static void one_less(struct gather *g)
{
	if (--g->awaiting != 0)
		return;
	struct peer *peer = coord_peer(g->coord, g->peer);
	if (peer != NULL)
		ctl_conn_reply(peer->conn, g->type, g->id, g->sum);
	ctl_msg_fini(g->ops->reply, g->sum);
	free(g->sum);
	free(g);
}

static void query_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	const struct query *q = arg;

	q->gather->ops->answer(q->gather->sum, q->index, err, msg);
	one_less(q->gather);
}

static int ask(struct gather *g, const struct ctl_vm_slice *s, uint32_t index)
{
	struct ctl_conn *conn = host_conn(g->coord, s->part.host);

	g->queries[index] = (struct query){g, index};
	if (conn == NULL)
		return ERR_NOT_FOUND;
	return ctl_conn_request(conn, g->ops->request, &s->status.ref, NULL, 0, QUERY_NS,
		query_reply, &g->queries[index], NULL);
}

void vm_gather(struct vm *vm, struct peer *peer, const struct ctl_rx *rx,
	const struct gather_ops *ops, void *sum)
{
	struct gather *g = sum == NULL ? NULL : calloc(1, sizeof(*g));

	if (g == NULL) {
		if (sum != NULL)
			ctl_msg_fini(ops->reply, sum);
		free(sum);
		ctl_conn_refuse(peer->conn, rx->type, rx->id, ERR_NO_MEMORY, NULL,
			"out of memory in the coordinator");
		return;
	}
	*g = (struct gather){.coord = vm->coord,
		.peer = peer->serial,
		.type = rx->type,
		.id = rx->id,
		.ops = ops,
		.sum = sum,
		.awaiting = 1}; /* ours, so that it does not end before all are asked */
	for (uint32_t i = 0; i < MIN(vm->info.n_slices, SLICE_MAX) && vm_alive(vm); i++) {
		g->awaiting++;
		int err = ask(g, &vm->info.slices[i], i);
		if (err == 0)
			continue;
		ops->answer(sum, i, err, NULL);
		one_less(g);
	}
	one_less(g);
}
