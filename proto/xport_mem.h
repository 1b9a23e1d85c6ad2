/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_XPORT_MEM_H
#define PROTO_XPORT_MEM_H

#include "proto/credit.h"
#include "proto/xport.h"

/*
 * The transport between slices of one process: a hub joins N endpoints, all pairs connected. Same
 * classes, credits, bounded queues and handler calls as over a network. For VMs on one slice and
 * for tests. It neither seals nor encodes.
 */
struct xport_mem_hub;

/*
 * Between `n` slices, all different. `credit` NULL: the default windows and queues. ERR_NO_MEMORY.
 * Context: any.
 */
MUST_CHECK int xport_mem_hub_create(const slice_id_t *slices, unsigned n,
	const struct credit_cfg *credit, struct xport_mem_hub **out);

/* Every endpoint that was opened must have been destroyed. */
void xport_mem_hub_destroy(struct xport_mem_hub *hub);

/*
 * The endpoint of one slice, to be opened once. Messages that others sent before wait in it.
 * `handler` must outlive it. It is freed by ops->destroy, which its peers see as its death.
 * ERR_NO_FD, ERR_NO_MEMORY, ERR_NOT_FOUND (no such slice), ERR_EXISTS.
 */
MUST_CHECK int xport_mem_open(struct xport_mem_hub *hub, slice_id_t self,
	const struct xport_handler *handler, void *arg, struct xport **out);

/*
 * For tests: the connection between a and b breaks; both see the other go down (ERR_LINK_DOWN)
 * after the messages that had arrived. Context: any thread.
 */
void xport_mem_cut(struct xport_mem_hub *hub, slice_id_t a, slice_id_t b);

/*
 * For tests: slice `a` dies. The others see it go down; `a` itself sees nothing any more, sends
 * fail with ERR_PEER_DOWN. Context: any thread.
 */
void xport_mem_kill(struct xport_mem_hub *hub, slice_id_t a);

#endif
