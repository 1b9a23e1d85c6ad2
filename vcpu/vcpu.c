/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/trace.h"
#include "vcpu/vcpu_ops.h"

int vcpu_init(struct vcpu *v, const struct vcpu_engine_ops *engine, const struct vcpu_cfg *cfg,
	const struct vcpu_env *env)
{
	CHECK(env->group != NULL && cfg->slot < env->group->n && cfg->id.v < env->n_vcpus.v);
	CHECK(!env->fenceless || env->n_vcpus.v == 1);
	v->mail = calloc(VCPU_FENCES_MAX, sizeof(*v->mail));
	if (v->mail == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(v, VCPU_MAGIC);
	v->engine = engine;
	v->cfg = *cfg;
	v->env = *env;
	lk_init(&v->lock, LK_vcpu);
	lk_cond_init(&v->cond);
	v->parked = true;
	atomic_init(&v->at_rest, true);
	atomic_init(&v->hsm, VCPU_STOPPED);
	atomic_init(&v->flags, VCPU_FLAG_HSM);
	return 0;
}

void vcpu_fini(struct vcpu *v)
{
	OBJ_FINI(v, VCPU_MAGIC);
	lk_cond_fini(&v->cond);
	lk_fini(&v->lock);
	free(v->mail);
}

void vcpu_destroy(struct vcpu *v)
{
	if (v == NULL)
		return;
	OBJ_CHECK(v, VCPU_MAGIC);
	CHECK(atomic_load(&v->at_rest));
	v->engine->destroy(v);
}

/* ---- flags and sleep ----------------------------------------------------------------------- */

static void raise_flag_locked(struct vcpu *v, uint32_t flag)
{
	lk_assert_held(&v->lock);
	atomic_fetch_or(&v->flags, flag);
	atomic_store(&v->poll_at, 0);
	if (atomic_load(&v->sleeping))
		lk_cond_broadcast(&v->cond);
}

static void raise_flag(struct vcpu *v, uint32_t flag)
{
	atomic_fetch_or(&v->flags, flag);
	atomic_store(&v->poll_at, 0);
	/*
	 *  The sleeper says so before it reads the flags for the last time, so one of the two sees
	 *  the other.
	 */
	if (atomic_load(&v->sleeping)) {
		lk_lock(&v->lock);
		lk_cond_broadcast(&v->cond);
		lk_unlock(&v->lock);
	}
}

void vcpu_kick(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	raise_flag(v, VCPU_FLAG_KICK);
}

void vcpu_time_changed(struct vcpu *v)
{
	vcpu_kick(v);
}

void vcpu_stop(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	raise_flag(v, VCPU_FLAG_STOP);
}

bool vcpu_stopping(const struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	return (atomic_load(&v->flags) & VCPU_FLAG_STOP) != 0;
}

/*
 * Sleep until a flag of `wake` is up or guest time has reached the deadline. Guest time may run at
 * another rate than the host's clock, and may jump: the host's deadline is computed anew after
 * each wake-up.
 */
static void sleep_locked(struct vcpu *v, uint32_t wake, uint64_t deadline_ns)
{
	lk_assert_held(&v->lock);
	atomic_store(&v->sleeping, true);
	while ((atomic_load(&v->flags) & wake) == 0) {
		if (deadline_ns == UINT64_MAX) {
			lk_cond_wait(&v->cond, &v->lock);
			continue;
		}
		uint64_t now = v->env.ops->time_ns(v->env.ctx);
		if (now >= deadline_ns)
			break;
		/* An hour at most, so that the sum can not overflow; the loop asks again. */
		uint64_t left = MIN(deadline_ns - now, UINT64_C(3600) * 1000000000);
		(void)lk_cond_wait_until(&v->cond, &v->lock, clock_now_ns(clock_host()) + left);
	}
	atomic_store(&v->sleeping, false);
}

/* Take one batch of mail out under the lock, acknowledge without it. False: there was none. */
static bool take_batch(struct vcpu *v)
{
	struct vcpu_mail batch[32];
	uint32_t n;

	lk_lock(&v->lock);
	n = MIN(v->mail_n, (uint32_t)ARRAY_SIZE(batch));
	memcpy(batch, v->mail, n * sizeof(batch[0]));
	v->mail_n -= n;
	memmove(v->mail, v->mail + n, v->mail_n * sizeof(batch[0]));
	bool all = v->flush_all;
	v->flush_all = false;
	if (v->mail_n == 0)
		atomic_fetch_and(&v->flags, ~VCPU_FLAG_MAIL);
	lk_unlock(&v->lock);

	if (all) {
		v->engine->fence(v, &(struct vcpu_fence){.kind = VCPU_FENCE_I});
		v->engine->fence(
			v, &(struct vcpu_fence){.kind = VCPU_FENCE_VMA, .bytes = UINT64_MAX});
	}
	for (uint32_t i = 0; i < n; i++) {
		v->engine->fence(v, &batch[i].fence);
		vcpu_count(&v->counts.fences);
		if (batch[i].done != NULL)
			batch[i].done(batch[i].arg);
	}
	return n > 0 || all;
}

void vcpu_take_mail(struct vcpu *v)
{
	while (take_batch(v))
		;
}

/*
 * Park, and return with the lock held. While parked the vCPU uses no translation, so fences posted
 * then count as done at once; those posted before must be answered first, as nobody will wake us
 * for them.
 */
static void park_lock(struct vcpu *v)
{
	lk_lock(&v->lock);
	while (v->mail_n > 0 || v->flush_all) {
		lk_unlock(&v->lock);
		vcpu_take_mail(v);
		lk_lock(&v->lock);
	}
	v->parked = true;
}

static void unpark(struct vcpu *v)
{
	lk_lock(&v->lock);
	v->parked = false;
	lk_unlock(&v->lock);
	vcpu_take_mail(v);
}

void vcpu_wait(struct vcpu *v, uint64_t deadline_ns)
{
	park_lock(v);
	sleep_locked(v, VCPU_FLAG_KICK | VCPU_FLAGS_LEAVE, deadline_ns);
	lk_unlock(&v->lock);
	unpark(v);
}

void vcpu_idle(struct vcpu *v, uint64_t deadline_ns)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	if (vcpu_stopping(v))
		return;
	park_lock(v);
	sleep_locked(v, VCPU_FLAG_KICK | VCPU_FLAG_STOP, deadline_ns);
	/*
	 *  The kick has been seen here, but an interrupt may have come with it: look up after the
	 *  instruction.
	 */
	atomic_fetch_and(&v->flags, ~VCPU_FLAG_KICK);
	lk_unlock(&v->lock);
	vcpu_look_up(v);
	unpark(v);
}

/* ---- fences -------------------------------------------------------------------------------- */

int vcpu_post_fence(struct vcpu *v, const struct vcpu_fence *f, void (*done)(void *arg), void *arg)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	lk_lock(&v->lock);
	bool parked = v->parked;
	if (v->mail_n == VCPU_FENCES_MAX && !parked) {
		lk_unlock(&v->lock);
		return ERR_FULL;
	}
	if (v->mail_n == VCPU_FENCES_MAX)
		v->flush_all = true;
	else
		v->mail[v->mail_n++] =
			(struct vcpu_mail){.fence = *f, .done = parked ? NULL : done, .arg = arg};
	if (parked)
		atomic_fetch_or(&v->flags, VCPU_FLAG_MAIL); /* no need to wake it */
	else
		raise_flag_locked(v, VCPU_FLAG_MAIL);
	lk_unlock(&v->lock);
	if (parked && done != NULL)
		done(arg);
	return 0;
}

/* ---- interrupts ---------------------------------------------------------------------------- */

void vcpu_deliver_msi(struct vcpu *v, uint32_t id)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	v->engine->msi(v, id);
	vcpu_kick(v);
}

void vcpu_deliver_ipi(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	v->engine->ipi(v);
	vcpu_kick(v);
}

/* ---- HSM ----------------------------------------------------------------------------------- */

/* Error numbers of the SBI specification, chapter "Binary encoding". */
#define SBI_ERR_INVALID_ADDRESS   (-5)
#define SBI_ERR_ALREADY_AVAILABLE (-6)

int vcpu_hsm_start(struct vcpu *v, uint64_t pc, uint64_t opaque)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	const struct dsm_ram *ram = v->env.ram;
	int rc = SBI_ERR_ALREADY_AVAILABLE;

	if ((pc & 1) != 0 || pc < ram->base.v || !range_inside(pc - ram->base.v, 2, ram->bytes))
		return SBI_ERR_INVALID_ADDRESS;
	lk_lock(&v->lock);
	if (atomic_load(&v->hsm) == VCPU_STOPPED) {
		v->start_pc = pc;
		v->start_opaque = opaque;
		atomic_store(&v->hsm, VCPU_START_PENDING);
		raise_flag_locked(v, VCPU_FLAG_KICK);
		rc = 0;
	}
	lk_unlock(&v->lock);
	return rc;
}

enum vcpu_hsm vcpu_hsm_status(const struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	return (enum vcpu_hsm)atomic_load(&v->hsm);
}

void vcpu_hsm_stop_self(struct vcpu *v)
{
	lk_lock(&v->lock);
	atomic_store(&v->hsm, VCPU_STOPPED);
	raise_flag_locked(v, VCPU_FLAG_HSM);
	lk_unlock(&v->lock);
}

/* ---- run, pause ---------------------------------------------------------------------------- */

/* Parked for HSM: until started, stopped or paused. */
static void wait_started(struct vcpu *v)
{
	uint64_t pc, opaque;

	park_lock(v);
	while (atomic_load(&v->hsm) != VCPU_START_PENDING &&
		(atomic_load(&v->flags) & (VCPU_FLAG_STOP | VCPU_FLAG_PAUSE)) == 0) {
		sleep_locked(v, VCPU_FLAG_KICK | VCPU_FLAG_STOP | VCPU_FLAG_PAUSE, UINT64_MAX);
		atomic_fetch_and(&v->flags, ~VCPU_FLAG_KICK);
	}
	if (atomic_load(&v->hsm) != VCPU_START_PENDING ||
		(atomic_load(&v->flags) & (VCPU_FLAG_STOP | VCPU_FLAG_PAUSE)) != 0) {
		lk_unlock(&v->lock);
		return;
	}
	pc = v->start_pc;
	opaque = v->start_opaque;
	v->parked = false;
	atomic_store(&v->hsm, VCPU_STARTED);
	atomic_fetch_and(&v->flags, ~VCPU_FLAG_HSM);
	lk_unlock(&v->lock);
	vcpu_take_mail(v);
	v->engine->start(v, pc, opaque);
}

static void wait_resumed(struct vcpu *v)
{
	park_lock(v);
	atomic_store(&v->at_rest, true);
	atomic_store(&v->sleeping, true);
	while ((atomic_load(&v->flags) & (VCPU_FLAG_PAUSE | VCPU_FLAG_STOP)) == VCPU_FLAG_PAUSE)
		lk_cond_wait(&v->cond, &v->lock);
	atomic_store(&v->sleeping, false);
	atomic_store(&v->at_rest, false);
	lk_unlock(&v->lock);
}

void vcpu_run(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	trace("vcpu run", v->cfg.id.v, 0, 0);
	atomic_store(&v->at_rest, false);
	for (;;) {
		uint32_t flags = atomic_load(&v->flags);
		if ((flags & VCPU_FLAG_STOP) != 0)
			break;
		if ((flags & VCPU_FLAG_PAUSE) != 0)
			wait_resumed(v);
		else if ((flags & VCPU_FLAG_HSM) != 0)
			wait_started(v);
		else {
			unpark(v);
			v->engine->run(v);
		}
	}
	park_lock(v);
	atomic_fetch_and(&v->flags, ~VCPU_FLAG_STOP);
	lk_unlock(&v->lock);
	vcpu_res_drop(v->env.group, v->cfg.slot);
	atomic_store(&v->at_rest, true);
	trace("vcpu left", v->cfg.id.v, atomic_load(&v->retired), 0);
}

void vcpu_pause(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	raise_flag(v, VCPU_FLAG_PAUSE);
}

bool vcpu_paused(const struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	return (atomic_load(&v->flags) & VCPU_FLAG_PAUSE) != 0 && atomic_load(&v->at_rest);
}

void vcpu_resume(struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	lk_lock(&v->lock);
	atomic_fetch_and(&v->flags, ~VCPU_FLAG_PAUSE);
	lk_cond_broadcast(&v->cond);
	lk_unlock(&v->lock);
}

const _Atomic uint64_t *vcpu_retired(const struct vcpu *v)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	return &v->retired;
}

void vcpu_stats_get(const struct vcpu *v, struct vcpu_stats *out)
{
	OBJ_CHECK(v, VCPU_MAGIC);
	*out = (struct vcpu_stats){
		.instructions = atomic_load_explicit(&v->retired, memory_order_relaxed),
		.traps = atomic_load_explicit(&v->counts.traps, memory_order_relaxed),
		.interrupts = atomic_load_explicit(&v->counts.interrupts, memory_order_relaxed),
		.wfi = atomic_load_explicit(&v->counts.wfi, memory_order_relaxed),
		.mmio = atomic_load_explicit(&v->counts.mmio, memory_order_relaxed),
		.fences = atomic_load_explicit(&v->counts.fences, memory_order_relaxed),
		.sc_failed = atomic_load_explicit(&v->counts.sc_failed, memory_order_relaxed),
		.tlb_fills = atomic_load_explicit(&v->counts.tlb_fills, memory_order_relaxed),
		.blocks = atomic_load_explicit(&v->counts.blocks, memory_order_relaxed),
		.code_ns = atomic_load_explicit(&v->counts.code_ns, memory_order_relaxed),
		.code_bytes = atomic_load_explicit(&v->counts.code_bytes, memory_order_relaxed),
		.code_flushes = atomic_load_explicit(&v->counts.code_flushes, memory_order_relaxed),
		.code_dropped = atomic_load_explicit(&v->counts.code_dropped, memory_order_relaxed),
	};
}

uint64_t vcpu_stats_fill_rate(const struct vcpu_stats *s)
{
	if (s->instructions == 0)
		return 0;
	return (uint64_t)((unsigned __int128)s->tlb_fills * 1000000 / s->instructions);
}
