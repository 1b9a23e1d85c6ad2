/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "node-agent/route_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/xport.h"

void route_send(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	uint8_t head[WIRE_VM_HEAD_MAX];
	struct xport_msg x = {.peer = peer, .type = (uint16_t)m->type, .head = head};
	x.head_bytes = wire_vm_encode(m, head);
	int err = wire_msg_class(x.type, &x.class);
	CHECK(err == 0);
	err = r->xport == NULL ? ERR_PEER_DOWN : xport_send(r->xport, &x);
	if (err == 0 || err == ERR_PEER_DOWN)
		return;
	r->cfg.failed(r->cfg.arg, err, "a message to another slice could not be queued");
}

int route_create(const struct route_cfg *cfg, struct route **out)
{
	CHECK(cfg->n_vcpus > 0 && cfg->n_vcpus <= VCPU_MAX);
	CHECK((cfg->bus != NULL) == slice_eq(cfg->self, cfg->device_home));
	struct route *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return ERR_NO_MEMORY;
	r->vcpus = calloc(cfg->n_vcpus, sizeof(*r->vcpus));
	if (r->vcpus == NULL) {
		free(r);
		return ERR_NO_MEMORY;
	}
	OBJ_INIT(r, ROUTE_MAGIC);
	r->cfg = *cfg;
	r->n = cfg->n_vcpus;
	lk_init(&r->lock, LK_route);
	for (unsigned i = 0; i < r->n; i++) {
		struct route_vcpu *rv = &r->vcpus[i];
		rv->slice = cfg->vcpu_slice[i];
		rv->local = cfg->local[i];
		CHECK((rv->local != NULL) == route_here(r, rv->slice));
		rv->job.route = r;
		rv->job.asker = (vcpu_id_t){(uint16_t)i};
	}
	int err = cfg->bus != NULL ? route_devices_start(r) : 0;
	if (err != 0) {
		lk_fini(&r->lock);
		free(r->vcpus);
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

void route_start(struct route *r, struct xport *xport)
{
	OBJ_CHECK(r, ROUTE_MAGIC);
	r->xport = xport;
}

void route_destroy(struct route *r)
{
	OBJ_CHECK(r, ROUTE_MAGIC);
	route_devices_stop(r);
	OBJ_FINI(r, ROUTE_MAGIC);
	lk_fini(&r->lock);
	free(r->vcpus);
	free(r);
}

/* Does `m` ask about, or come from, a vCPU that the message's rules allow? */
static bool vcpu_allowed(const struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	if (m->type == WIRE_VM_CONSOLE)
		return true;
	if (m->vcpu.v >= r->n)
		return false;
	const struct route_vcpu *rv = &r->vcpus[m->vcpu.v];
	switch ((int)m->type) {
	case WIRE_VM_LOAD:
	case WIRE_VM_STORE:
	case WIRE_VM_FENCE:
		return slice_eq(rv->slice, peer); /* the asking vCPU must be the sender's */
	case WIRE_VM_INTR_ACK:
		return slice_eq(rv->slice, peer); /* the target was the sender's */
	default:
		return rv->local != NULL;
	}
}

int route_message(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	OBJ_CHECK(r, ROUTE_MAGIC);
	if (!vcpu_allowed(r, peer, m))
		return ERR_PROTOCOL;
	switch ((int)m->type) {
	case WIRE_VM_INTR:
		route_send(
			r, peer, &(struct wire_vm_msg){.type = WIRE_VM_INTR_ACK, .vcpu = m->vcpu});
		return route_intr_message(r, m);
	case WIRE_VM_INTR_ACK:
		return route_intr_ack(r, peer, m);
	case WIRE_VM_LOAD:
	case WIRE_VM_STORE:
		return route_devices_queue(r, peer, m);
	case WIRE_VM_STORE_ACK:
		return route_store_ack(r, peer, m);
	case WIRE_VM_FENCE:
		return route_fence_message(r, peer, m);
	case WIRE_VM_HART_START:
	case WIRE_VM_HART_STATUS:
		return route_hart_message(r, peer, m);
	case WIRE_VM_LOAD_ANSWER:
	case WIRE_VM_FENCE_ACK:
	case WIRE_VM_HART_ANSWER:
		return route_call_answer(r, peer, m);
	case WIRE_VM_CONSOLE:
		if (!route_here(r, r->cfg.device_home))
			return ERR_PROTOCOL;
		r->cfg.console(r->cfg.arg, m->u.console.bytes, m->u.console.len);
		return 0;
	}
	return ERR_PROTOCOL;
}

void route_console(struct route *r, const void *buf, size_t len)
{
	if (route_here(r, r->cfg.device_home)) {
		r->cfg.console(r->cfg.arg, buf, len);
		return;
	}
	while (len > 0) {
		struct wire_vm_msg m = {.type = WIRE_VM_CONSOLE};
		m.u.console.len = (uint16_t)MIN(len, (size_t)WIRE_VM_CONSOLE_MAX);
		memcpy(m.u.console.bytes, buf, m.u.console.len);
		route_send(r, r->cfg.device_home, &m);
		buf = (const char *)buf + m.u.console.len;
		len -= m.u.console.len;
	}
}

void route_stats_get(struct route *r, struct route_stats *out)
{
	OBJ_CHECK(r, ROUTE_MAGIC);
	*out = (struct route_stats){
		.intr_out = atomic_load_explicit(&r->intr_out, memory_order_relaxed),
		.intr_in = atomic_load_explicit(&r->intr_in, memory_order_relaxed),
		.loads = atomic_load_explicit(&r->loads, memory_order_relaxed),
		.stores = atomic_load_explicit(&r->stores, memory_order_relaxed),
		.fences = atomic_load_explicit(&r->fences, memory_order_relaxed),
		.hart_calls = atomic_load_explicit(&r->hart_calls, memory_order_relaxed),
	};
}
