/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "node-agent/route_int.h"

/*
 * Fences and hart calls. A fence is complete when every target has passed a point behind which it
 * uses no older translation; vCPUs that wait for something go on acknowledging in vcpu_idle, so
 * fences in both directions can not block each other.
 */

/* SBI error codes (SBI specification 2.0, table 1). */
#define SBI_ERR_FAILED        (-1)
#define SBI_ERR_INVALID_PARAM (-3)

static bool target(const uint64_t *targets, unsigned i)
{
	return (targets[i / 64] >> (i % 64) & 1) != 0;
}

/* One acknowledgement less to wait for. Context: any thread. */
static void job_done(void *arg)
{
	struct route_job *job = arg;
	struct route *r = job->route;
	/* acq_rel: whoever takes the last one answers for what all targets did before. */
	if (atomic_fetch_sub_explicit(&job->left, 1, memory_order_acq_rel) != 1)
		return;
	lk_lock(&r->lock);
	slice_id_t peer = job->peer;
	struct wire_vm_msg ack = {.type = WIRE_VM_FENCE_ACK, .call = job->call, .vcpu = job->asker};
	job->busy = false;
	lk_unlock(&r->lock);
	if (route_here(r, peer))
		vcpu_kick(r->vcpus[job->asker.v].local);
	else
		route_send(r, peer, &ack);
}

#ifdef PLANT_BUGS
_Atomic bool route_plant_early_fence;

static void nobody_waits(void *arg)
{
}
#endif

/* Ask one target; the job waits for its answer. */
static int job_ask(struct route_job *job, struct vcpu *v, const struct vcpu_fence *f)
{
#ifdef PLANT_BUGS
	if (atomic_load(&route_plant_early_fence)) {
		/* Nobody counts them, so they may be more than a vCPU can hold. */
		int full = vcpu_post_fence(v, f, nobody_waits, NULL);
		return full == ERR_FULL ? 0 : full;
	}
#endif
	atomic_fetch_add_explicit(&job->left, 1, memory_order_relaxed);
	return vcpu_post_fence(v, f, job_done, job);
}

/* Ask the targets on this slice. ERR_PROTOCOL: the asker has a fence under way already. */
static int job_start(struct route *r, struct route_job *job, slice_id_t peer, uint32_t call,
	const uint64_t *targets, const struct vcpu_fence *f)
{
	lk_lock(&r->lock);
	if (job->busy) {
		lk_unlock(&r->lock);
		return ERR_PROTOCOL;
	}
	job->busy = true;
	job->peer = peer;
	job->call = call;
	atomic_store_explicit(&job->left, 1, memory_order_relaxed);
	lk_unlock(&r->lock);
	for (unsigned i = 0; i < r->n; i++) {
		struct vcpu *v = r->vcpus[i].local;
		if (v == NULL || !target(targets, i))
			continue;
		/* Each vCPU of the VM has one fence under way at most, and VCPU_MAX of them fit. */
		int err = job_ask(job, v, f);
		CHECK(err == 0);
	}
	job_done(job);
	return 0;
}

STATIC_CHECK(VCPU_MAX <= VCPU_FENCES_MAX, "a vCPU can hold one fence of each other");

/* Which slices have targets; how many of them are not this one. */
static unsigned slices_of(
	const struct route *r, const uint64_t *targets, uint64_t slices[ROUTE_SLICE_WORDS])
{
	unsigned n = 0;
	memset(slices, 0, ROUTE_SLICE_WORDS * sizeof(*slices));
	for (unsigned i = 0; i < r->n; i++) {
		slice_id_t s = r->vcpus[i].slice;
		uint64_t bit = UINT64_C(1) << (s.v % 64);
		if (!target(targets, i) || route_here(r, s) || (slices[s.v / 64] & bit) != 0)
			continue;
		slices[s.v / 64] |= bit;
		n++;
	}
	return n;
}

void route_fence(
	struct route *r, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f)
{
	ROUTE_COUNT(r, fences);
	struct route_vcpu *rv = &r->vcpus[self.v];
	uint64_t slices[ROUTE_SLICE_WORDS];
	unsigned n = slices_of(r, targets, slices);
	struct wire_vm_msg m = {.type = WIRE_VM_FENCE, .vcpu = self};
	m.call = route_call_begin(r, rv, WIRE_VM_FENCE_ACK, slices, n);
	m.u.fence.kind = (uint8_t)f->kind;
	m.u.fence.asid = f->asid;
	m.u.fence.start = f->start;
	m.u.fence.bytes = f->bytes;
	memcpy(m.u.fence.targets, targets, sizeof(m.u.fence.targets));
	for (unsigned s = 0; n > 0 && s < SLICE_MAX; s++) {
		if (target(slices, s))
			route_send(r, (slice_id_t){(uint16_t)s}, &m);
	}
	int err = job_start(r, &rv->job, r->cfg.self, 0, targets, f);
	CHECK(err == 0 || vcpu_stopping(rv->local));
	if (err != 0)
		return;
	/* acquire: partner is job_done. */
	while (atomic_load_explicit(&rv->job.left, memory_order_acquire) != 0 &&
		!vcpu_stopping(rv->local))
		vcpu_idle(rv->local, UINT64_MAX);
	route_call_wait(r, rv);
}

int route_fence_message(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	struct vcpu_fence f = {
		.kind = (enum vcpu_fence_kind)m->u.fence.kind,
		.asid = m->u.fence.asid,
		.start = m->u.fence.start,
		.bytes = m->u.fence.bytes,
	};
	return job_start(r, &r->vcpus[m->vcpu.v].job, peer, m->call, m->u.fence.targets, &f);
}

static bool hart_call(
	struct route *r, vcpu_id_t self, struct wire_vm_msg *m, struct wire_vm_msg *answer)
{
	struct route_vcpu *rv = &r->vcpus[self.v];
	slice_id_t to = r->vcpus[m->vcpu.v].slice;
	uint64_t slices[ROUTE_SLICE_WORDS] = {0};
	slices[to.v / 64] = UINT64_C(1) << (to.v % 64);
	ROUTE_COUNT(r, hart_calls);
	/* The answer must find the asker; the target is named in the message. */
	m->call = route_call_begin(r, rv, WIRE_VM_HART_ANSWER, slices, 1);
	route_send(r, to, m);
	if (!route_call_wait(r, rv))
		return false;
	lk_lock(&r->lock);
	*answer = rv->call.result;
	lk_unlock(&r->lock);
	return true;
}

int route_hart_start(struct route *r, vcpu_id_t self, vcpu_id_t to, uint64_t pc, uint64_t opaque)
{
	if (to.v >= r->n)
		return SBI_ERR_INVALID_PARAM;
	if (r->vcpus[to.v].local != NULL)
		return vcpu_hsm_start(r->vcpus[to.v].local, pc, opaque);
	struct wire_vm_msg answer, m = {.type = WIRE_VM_HART_START, .vcpu = to, .asker = self};
	m.u.start.pc = pc;
	m.u.start.opaque = opaque;
	return hart_call(r, self, &m, &answer) ? answer.u.hart.error : SBI_ERR_FAILED;
}

int route_hart_status(struct route *r, vcpu_id_t self, vcpu_id_t to, enum vcpu_hsm *out)
{
	if (to.v >= r->n)
		return SBI_ERR_INVALID_PARAM;
	if (r->vcpus[to.v].local != NULL) {
		*out = vcpu_hsm_status(r->vcpus[to.v].local);
		return 0;
	}
	struct wire_vm_msg answer, m = {.type = WIRE_VM_HART_STATUS, .vcpu = to, .asker = self};
	if (!hart_call(r, self, &m, &answer))
		return SBI_ERR_FAILED;
	*out = (enum vcpu_hsm)answer.u.hart.state;
	return answer.u.hart.error;
}

int route_hart_message(struct route *r, slice_id_t peer, const struct wire_vm_msg *m)
{
	struct vcpu *v = r->vcpus[m->vcpu.v].local;
	struct wire_vm_msg answer = {
		.type = WIRE_VM_HART_ANSWER, .call = m->call, .vcpu = m->asker};
	if (m->asker.v >= r->n || !slice_eq(r->vcpus[m->asker.v].slice, peer))
		return ERR_PROTOCOL;
	if (m->type == WIRE_VM_HART_START)
		answer.u.hart.error = vcpu_hsm_start(v, m->u.start.pc, m->u.start.opaque);
	answer.u.hart.state = vcpu_hsm_status(v);
	route_send(r, peer, &answer);
	return 0;
}
