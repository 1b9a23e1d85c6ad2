/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "node-agent/route_int.h"

/*
 * A call: a vCPU asks one slice, or for a fence several, and waits. The number that the message
 * carries makes a late or invented answer recognisable; the bitmap of slices awaited makes each
 * answer count once.
 */

uint32_t route_call_begin(struct route *r, struct route_vcpu *rv, enum wire_msg_type answer,
	const uint64_t *slices, unsigned n)
{
	CHECK(rv->local != NULL);
	lk_lock(&r->lock);
	struct route_call *c = &rv->call;
	CHECK(atomic_load_explicit(&c->left, memory_order_relaxed) == 0 ||
		vcpu_stopping(rv->local));
	uint32_t number = ++c->number;
	c->answer = answer;
	memcpy(c->awaited, slices, sizeof(c->awaited));
	atomic_store_explicit(&c->left, n, memory_order_relaxed);
	lk_unlock(&r->lock);
	return number;
}

bool route_call_wait(struct route *r, struct route_vcpu *rv)
{
	/*
	 * acquire: partner is the release in route_call_answer; what the answering slice did is
	 * visible here.
	 */
	while (atomic_load_explicit(&rv->call.left, memory_order_acquire) != 0) {
		if (vcpu_stopping(rv->local))
			return false;
		vcpu_idle(rv->local, UINT64_MAX);
	}
	return true;
}

int route_call_answer(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	struct route_vcpu *rv = &r->vcpus[m->vcpu.v];
	struct route_call *c = &rv->call;
	uint64_t bit = UINT64_C(1) << (peer.v % 64);
	lk_lock(&r->lock);
	if (m->call != c->number || m->type != c->answer || (c->awaited[peer.v / 64] & bit) == 0) {
		lk_unlock(&r->lock);
		return ERR_PROTOCOL;
	}
	c->awaited[peer.v / 64] &= ~bit;
	c->result = *m;
	/* release: partner in route_call_wait. */
	bool last = atomic_fetch_sub_explicit(&c->left, 1, memory_order_release) == 1;
	lk_unlock(&r->lock);
	if (last)
		vcpu_kick(rv->local);
	return 0;
}
