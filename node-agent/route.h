/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_ROUTE_H
#define NODE_AGENT_ROUTE_H

#include "base/check.h"
#include "proto/ids.h"
#include "proto/wire_vm.h"
#include "vcpu/vcpu.h"

struct vio_bus;
struct xport;

/*
 * Where vCPUs and devices are, and the one path by which interrupts, register accesses, fences and
 * hart calls get there: directly when the target is on this slice, else as a message
 * (docs/protocol.md, R-VM-*).
 *
 * The functions that a vCPU calls through its environment run on that vCPU's thread; those that
 * wait for another slice wait in vcpu_idle(). Messages are handled on the transport's progress
 * thread, which never waits here. Register accesses that arrive as messages are performed by a
 * thread of their own, in order, because a device's lock may be held for a while.
 */
struct route;

struct route_cfg {
	slice_id_t self;
	slice_id_t device_home;
	unsigned n_vcpus;             /* of the VM */
	const slice_id_t *vcpu_slice; /* per vCPU; copied */
	struct vcpu *const *local;    /* per vCPU: this slice's vCPU, or NULL; copied */
	struct vio_bus *bus;          /* the devices; NULL unless self is device_home */
	/* SBI debug console output, on the device home. Any thread, does not wait. */
	void (*console)(void *arg, const void *buf, size_t len);
	/*
	 * A message could not be sent though the protocol bounds what is in flight: the VM can not
	 * go on. Any thread.
	 */
	void (*failed)(void *arg, int err, const char *why);
	void *arg;
};

struct route_stats {
	uint64_t intr_out, intr_in, loads, stores, fences, hart_calls;
};

MUST_CHECK int route_create(const struct route_cfg *cfg, struct route **out);
/* With the transport (NULL: this slice is alone). Before any vCPU runs. */
void route_start(struct route *r, struct xport *xport);
/* Nobody calls in any more: vCPUs have stopped and the transport's thread is gone. */
void route_destroy(struct route *r);

/*
 * A message of this file's range. ERR_PROTOCOL: the peer broke the rules. Context: progress thread,
 * does not wait.
 */
MUST_CHECK int route_message(struct route *r, slice_id_t peer, const struct wire_vm_msg *m);

/* For the environment of a vCPU: see vcpu_env_ops. */
int route_load(struct route *r, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value);
int route_store(struct route *r, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value);
void route_io_fence(struct route *r, vcpu_id_t self);
void route_fence(
	struct route *r, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f);
int route_hart_start(struct route *r, vcpu_id_t self, vcpu_id_t to, uint64_t pc, uint64_t opaque);
int route_hart_status(struct route *r, vcpu_id_t self, vcpu_id_t to, enum vcpu_hsm *out);
void route_console(struct route *r, const void *buf, size_t len);

/*
 * Set interrupt identity `id` (0: the software interrupt) of vCPU `to`; unknown vCPUs and
 * identities are ignored, as the hardware would. Context: any thread, does not wait.
 */
void route_interrupt(struct route *r, vcpu_id_t to, uint32_t id);

void route_stats_get(struct route *r, struct route_stats *out);

#ifdef PLANT_BUGS
/* For builds with --enable-plant: fences are acknowledged before their targets have passed them. */
extern _Atomic bool route_plant_early_fence;
#endif

#endif
