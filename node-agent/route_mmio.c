/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/trace.h"
#include "node-agent/route_int.h"
#include "proto/rv64_map.h"
#include "proto/xport.h"
#include "vio/vio.h"

/*
 * Device registers. A vCPU on the device home calls the bus itself. From elsewhere a load is a
 * call, a store is posted: both travel in one class over one connection and are performed by one
 * thread in the order of arrival, so each vCPU's accesses keep their order.
 */

/* A PCI bus answers reads that no function claims with all ones; elsewhere nothing answers. */
static bool on_pci(gpa_t a)
{
	return range_inside(a.v - RV64_PCI32_BASE, 1, RV64_PCI32_BYTES) ||
	       range_inside(a.v - RV64_PCI64_BASE, 1, RV64_PCI64_BYTES) ||
	       range_inside(a.v - RV64_ECAM_BASE, 1, RV64_ECAM_BYTES);
}

static int bus_load(struct route *r, gpa_t addr, unsigned size, uint64_t *value)
{
	int err = vio_bus_read(r->cfg.bus, addr, size, value);
	if (err == ERR_NOT_FOUND && on_pci(addr)) {
		*value = vio_ones(size);
		return 0;
	}
	return err;
}

int route_load(struct route *r, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value)
{
	ROUTE_COUNT(r, loads);
	if (r->cfg.bus != NULL)
		return bus_load(r, addr, size, value);
	struct route_vcpu *rv = &r->vcpus[self.v];
	slice_id_t home = r->cfg.device_home;
	uint64_t slices[ROUTE_SLICE_WORDS] = {0};
	slices[home.v / 64] = UINT64_C(1) << (home.v % 64);
	struct wire_vm_msg m = {.type = WIRE_VM_LOAD, .vcpu = self};
	m.call = route_call_begin(r, rv, WIRE_VM_LOAD_ANSWER, slices, 1);
	m.u.access.addr = addr;
	m.u.access.size = (uint8_t)size;
	route_send(r, home, &m);
	if (!route_call_wait(r, rv))
		return ERR_VM_STOPPED;
	lk_lock(&r->lock);
	bool ok = rv->call.result.u.load.ok;
	uint64_t v = rv->call.result.u.load.value;
	lk_unlock(&r->lock);
	if (!ok)
		return ERR_NOT_FOUND;
	*value = v & vio_ones(size);
	return 0;
}

int route_store(struct route *r, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value)
{
	ROUTE_COUNT(r, stores);
	if (r->cfg.bus != NULL)
		return vio_bus_write(r->cfg.bus, addr, size, value);
	struct route_vcpu *rv = &r->vcpus[self.v];
	while (atomic_load_explicit(&rv->call.stores, memory_order_acquire) >= ROUTE_STORE_WINDOW) {
		if (vcpu_stopping(rv->local))
			return ERR_VM_STOPPED;
		vcpu_idle(rv->local, UINT64_MAX);
	}
	atomic_fetch_add_explicit(&rv->call.stores, 1, memory_order_relaxed);
	struct wire_vm_msg m = {.type = WIRE_VM_STORE, .vcpu = self};
	m.u.access.addr = addr;
	m.u.access.size = (uint8_t)size;
	m.u.access.value = value;
	route_send(r, r->cfg.device_home, &m);
	return 0;
}

void route_io_fence(struct route *r, vcpu_id_t self)
{
	if (r->cfg.bus != NULL)
		return;
	struct route_vcpu *rv = &r->vcpus[self.v];
	/* acquire: partner is the release in route_store_ack. */
	while (atomic_load_explicit(&rv->call.stores, memory_order_acquire) != 0 &&
		!vcpu_stopping(rv->local))
		vcpu_idle(rv->local, UINT64_MAX);
}

int route_store_ack(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	struct route_vcpu *rv = &r->vcpus[m->vcpu.v];
	if (!slice_eq(peer, r->cfg.device_home))
		return ERR_PROTOCOL;
	/* Only this thread lowers it, so the test and the subtraction need not be one step. */
	if (atomic_load_explicit(&rv->call.stores, memory_order_relaxed) == 0)
		return ERR_PROTOCOL;
	/* release: partner in route_io_fence and route_store. */
	atomic_fetch_sub_explicit(&rv->call.stores, 1, memory_order_release);
	vcpu_kick(rv->local);
	return 0;
}

/* ---- the device home's side ----------------------------------------------------------- */

static void perform(struct route *r, const struct route_access *a)
{
	const struct wire_vm_msg *m = &a->msg;
	struct wire_vm_msg answer = {.call = m->call, .vcpu = m->vcpu};
	if (m->type == WIRE_VM_STORE) {
		answer.type = WIRE_VM_STORE_ACK;
		if (vio_bus_write(
			    r->cfg.bus, m->u.access.addr, m->u.access.size, m->u.access.value) != 0)
			trace("store to nothing", m->u.access.addr.v, m->vcpu.v, 0);
	} else {
		answer.type = WIRE_VM_LOAD_ANSWER;
		answer.u.load.ok =
			bus_load(r, m->u.access.addr, m->u.access.size, &answer.u.load.value) == 0;
	}
	route_send(r, a->peer, &answer);
}

static void *device_thread(void *arg)
{
	struct route *r = arg;
	OBJ_CHECK(r, ROUTE_MAGIC);
	struct route_devices *d = &r->dev;
	trace_thread("devices");
	lk_lock(&d->lock);
	while (!d->stop) {
		if (d->count == 0) {
			lk_cond_wait(&d->more, &d->lock);
			continue;
		}
		struct route_access a = d->ring[d->head];
		d->head = (d->head + 1) % d->capacity;
		d->count--;
		lk_unlock(&d->lock);
		perform(r, &a);
		lk_lock(&d->lock);
	}
	lk_unlock(&d->lock);
	return NULL;
}

int route_devices_start(struct route *r)
{
	struct route_devices *d = &r->dev;
	/* Each remote vCPU: its window of stores, and one load. */
	d->capacity = (size_t)r->n * (ROUTE_STORE_WINDOW + 1);
	d->ring = calloc(d->capacity, sizeof(*d->ring));
	if (d->ring == NULL)
		return ERR_NO_MEMORY;
	lk_init(&d->lock, LK_dev_queue);
	lk_cond_init(&d->more);
	int e = pthread_create(&d->thread, NULL, device_thread, r);
	if (e != 0) {
		lk_cond_fini(&d->more);
		lk_fini(&d->lock);
		free(d->ring);
		return err_from_errno(e);
	}
	d->started = true;
	return 0;
}

void route_devices_stop(struct route *r)
{
	struct route_devices *d = &r->dev;
	if (!d->started)
		return;
	lk_lock(&d->lock);
	d->stop = true;
	lk_cond_signal(&d->more);
	lk_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	lk_cond_fini(&d->more);
	lk_fini(&d->lock);
	free(d->ring);
	d->started = false;
}

int route_devices_queue(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	struct route_devices *d = &r->dev;
	if (!d->started)
		return ERR_PROTOCOL;
	lk_lock(&d->lock);
	bool full = d->count == d->capacity; /* then the peer does not keep its window */
	if (!full) {
		d->ring[(d->head + d->count) % d->capacity] =
			(struct route_access){.peer = peer, .msg = *m};
		d->count++;
		lk_cond_signal(&d->more);
	}
	lk_unlock(&d->lock);
	return full ? ERR_PROTOCOL : 0;
}
