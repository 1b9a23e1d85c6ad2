/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "node-agent/route_int.h"

/*
 * Interrupts. An identity that is set twice before it is taken is one interrupt, so a target needs
 * one message in flight and one bitmap of what came since: however fast a guest sends, nothing
 * grows and nothing is lost.
 */

static void deliver(struct vcpu *v, const uint64_t bits[WIRE_VM_INTR_WORDS])
{
	for (unsigned w = 0; w < WIRE_VM_INTR_WORDS; w++) {
		for (uint64_t left = bits[w]; left != 0; left &= left - 1) {
			uint32_t id = w * 64 + (uint32_t)__builtin_ctzll(left);
			if (id == 0)
				vcpu_deliver_ipi(v);
			else
				vcpu_deliver_msi(v, id);
		}
	}
}

static void send_pending(struct route *r, vcpu_id_t to, struct route_vcpu *rv)
{
	lk_assert_held(&r->lock);
	struct wire_vm_msg m = {.type = WIRE_VM_INTR, .vcpu = to};
	memcpy(m.u.intr, rv->outbox.pending, sizeof(m.u.intr));
	memset(rv->outbox.pending, 0, sizeof(rv->outbox.pending));
	rv->outbox.in_flight = true;
	route_send(r, rv->slice, &m);
}

void route_interrupt(struct route *r, vcpu_id_t to, uint32_t id)
{
	OBJ_CHECK(r, ROUTE_MAGIC);
	if (to.v >= r->n || id >= WIRE_VM_INTR_WORDS * 64)
		return;
	struct route_vcpu *rv = &r->vcpus[to.v];
	if (rv->local != NULL) {
		uint64_t bits[WIRE_VM_INTR_WORDS] = {0};
		bits[id / 64] = UINT64_C(1) << (id % 64);
		deliver(rv->local, bits);
		return;
	}
	ROUTE_COUNT(r, intr_out);
	lk_lock(&r->lock);
	rv->outbox.pending[id / 64] |= UINT64_C(1) << (id % 64);
	if (!rv->outbox.in_flight)
		send_pending(r, to, rv);
	lk_unlock(&r->lock);
}

int route_intr_message(struct route *r, const struct wire_vm_msg *m)
{
	ROUTE_COUNT(r, intr_in);
	deliver(r->vcpus[m->vcpu.v].local, m->u.intr);
	return 0;
}

int route_intr_ack(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	struct route_vcpu *rv = &r->vcpus[m->vcpu.v];
	uint64_t any = 0;
	lk_lock(&r->lock);
	bool expected = rv->outbox.in_flight;
	rv->outbox.in_flight = false;
	for (unsigned w = 0; w < WIRE_VM_INTR_WORDS; w++)
		any |= rv->outbox.pending[w];
	if (expected && any != 0)
		send_pending(r, m->vcpu, rv);
	lk_unlock(&r->lock);
	return expected ? 0 : ERR_PROTOCOL;
}
