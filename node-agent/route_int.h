/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_ROUTE_INT_H
#define NODE_AGENT_ROUTE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lk.h"
#include "node-agent/route.h"

/* Posted stores that one vCPU may have outstanding; more wait. Bounds the device home's queue. */
#define ROUTE_STORE_WINDOW 16u
#define ROUTE_SLICE_WORDS  (SLICE_MAX / 64)

/* A fence being carried out on this slice's vCPUs, for a local vCPU or for a peer's. */
struct route_job {
	struct route *route;
	vcpu_id_t asker;
	_Atomic unsigned
		left; /* acknowledgements still to come, plus one while they are being asked for */
	bool busy;    /* [lk route] */
	slice_id_t peer; /* whom to answer; self: wake the asker */
	uint32_t call;
};

/*
 * What a local vCPU waits for: at most one call at a time, answered by one slice or, for fences, by
 * several.
 */
struct route_call {
	uint32_t number;                     /* of the latest call [lk route] */
	enum wire_msg_type answer;           /* that it waits for [lk route] */
	uint64_t awaited[ROUTE_SLICE_WORDS]; /* slices that have not answered [lk route] */
	_Atomic unsigned left;               /* how many those are: what the vCPU polls */
	struct wire_vm_msg result;           /* the latest answer [lk route] */
	_Atomic unsigned stores;             /* posted and not acknowledged */
};

/*
 * Interrupts for a vCPU of another slice: one message in flight, what comes meanwhile is merged.
 * [lk route]
 */
struct route_outbox {
	uint64_t pending[WIRE_VM_INTR_WORDS];
	bool in_flight;
};

struct route_vcpu {
	slice_id_t slice;
	struct vcpu *local;         /* NULL: on another slice */
	struct route_call call;     /* local vCPUs */
	struct route_outbox outbox; /* remote vCPUs */
	struct route_job job;       /* fences asked by this vCPU, carried out here */
};

/* A register access that came as a message. */
struct route_access {
	slice_id_t peer;
	struct wire_vm_msg msg;
};

/* The device thread and its queue. */
struct route_devices {
	struct lk lock;
	struct lk_cond more;
	struct route_access *ring;    /* [lk dev_queue] */
	size_t capacity, head, count; /* [lk dev_queue] */
	bool stop;                    /* [lk dev_queue] */
	bool started;
	pthread_t thread;
};

struct route {
	uint32_t magic;
	struct route_cfg cfg;
	struct xport *xport;
	struct lk lock;
	unsigned n;
	struct route_vcpu *vcpus;
	struct route_devices dev;
	_Atomic uint64_t intr_out, intr_in, loads, stores, fences, hart_calls;
};

#define ROUTE_MAGIC 0x726f7574u

#define ROUTE_COUNT(r, what) atomic_fetch_add_explicit(&(r)->what, 1, memory_order_relaxed)

/* Send, or report that the VM can not go on. A peer that is down ends the VM by another way. */
void route_send(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);

static inline bool route_here(const struct route *r, slice_id_t s)
{
	return slice_eq(r->cfg.self, s);
}

/*
 * route_call.c: a vCPU's call. begin: the number to send; wait: false when the vCPU is being
 * stopped.
 */
uint32_t route_call_begin(struct route *r, struct route_vcpu *rv, enum wire_msg_type answer,
	const uint64_t *slices, unsigned n);
bool route_call_wait(struct route *r, struct route_vcpu *rv);
int route_call_answer(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);

/* route_mmio.c */
MUST_CHECK int route_devices_start(struct route *r);
void route_devices_stop(struct route *r);
int route_devices_queue(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);
int route_store_ack(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);

/* route_fence.c */
int route_fence_message(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);
int route_hart_message(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);

/* route_intr.c */
int route_intr_message(struct route *r, const struct wire_vm_msg *m);
int route_intr_ack(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);

#endif
