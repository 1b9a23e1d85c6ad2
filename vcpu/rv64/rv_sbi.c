/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <xmmintrin.h>

#include "vcpu/rv64/rv_mmu.h"

/*
 * The SBI, version 2.0, BASE TIME IPI RFENCE HSM SRST DBCN. Calling convention: a7 extension, a6
 * function, a0.. the arguments; a0 error and a1 value come back, nothing else changes.
 */
struct sbi_ret {
	int64_t error;
	uint64_t value;
};

#define SPEC_VERSION (UINT64_C(2) << 24)
/* No number is registered for us with the specification; this one is outside the list. */
#define IMPL_ID      UINT64_C(0x6d6972726f72)
#define IMPL_VERSION 1

enum { A0 = 10, A1, A2, A3, A4, A5, A6, A7 };

static struct sbi_ret error(enum rv_sbi_err e)
{
	return (struct sbi_ret){e, 0};
}

static struct sbi_ret value(uint64_t v)
{
	return (struct sbi_ret){RV_SBI_OK, v};
}

static bool extension_known(uint64_t id)
{
	static const uint64_t known[] = {RV_SBI_EXT_BASE, RV_SBI_EXT_TIME, RV_SBI_EXT_IPI,
		RV_SBI_EXT_RFENCE, RV_SBI_EXT_HSM, RV_SBI_EXT_SRST, RV_SBI_EXT_DBCN};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i] == id)
			return true;
	return false;
}

static struct sbi_ret call_base(struct rv_hart *h, uint64_t fn)
{
	switch (fn) {
	case 0:
		return value(SPEC_VERSION);
	case 1:
		return value(IMPL_ID);
	case 2:
		return value(IMPL_VERSION);
	case 3:
		return value(extension_known(h->x[A0]) ? 1 : 0);
	case 4: /* mvendorid, marchid, mimpid: 0 is "not implemented" */
	case 5:
	case 6:
		return value(0);
	default:
		return error(RV_SBI_NOT_SUPPORTED);
	}
}

static struct sbi_ret call_time(struct rv_hart *h, uint64_t fn)
{
	if (fn != 0)
		return error(RV_SBI_NOT_SUPPORTED);
	h->stimecmp = h->x[A0];
	rv_timer_look(h);
	return error(RV_SBI_OK);
}

#define MASK_WORDS (VCPU_MAX / 64)

/*
 * The harts of (hart_mask, hart_mask_base) as a bit mask over vCPUs. "Any function ... that takes
 * a hart mask": base -1 means all; a hart that does not exist makes the whole call fail.
 */
static bool hart_mask(const struct rv_hart *h, uint64_t mask, uint64_t base, uint64_t *out)
{
	unsigned n = h->vcpu.env.n_vcpus.v;

	memset(out, 0, MASK_WORDS * sizeof(*out));
	if (base == UINT64_MAX) {
		for (unsigned i = 0; i < n; i++)
			out[i / 64] |= UINT64_C(1) << (i % 64);
		return true;
	}
	for (; mask != 0; mask &= mask - 1) {
		uint64_t id = base + (uint64_t)__builtin_ctzll(mask);
		if (base >= n || id >= n)
			return false;
		out[id / 64] |= UINT64_C(1) << (id % 64);
	}
	return base < n;
}

static struct sbi_ret call_ipi(struct rv_hart *h, uint64_t fn)
{
	const struct vcpu_env *env = &h->vcpu.env;
	uint64_t targets[MASK_WORDS];

	if (fn != 0)
		return error(RV_SBI_NOT_SUPPORTED);
	if (!hart_mask(h, h->x[A0], h->x[A1], targets))
		return error(RV_SBI_INVALID_PARAM);
	for (unsigned i = 0; i < env->n_vcpus.v; i++)
		if ((targets[i / 64] >> (i % 64) & 1) != 0)
			env->ops->ipi(env->ctx, h->vcpu.cfg.id, (vcpu_id_t){(uint16_t)i});
	return error(RV_SBI_OK);
}

/* Our own part of a fence is done here; the environment has only the others to ask. */
static void fence_harts(struct rv_hart *h, uint64_t *targets, const struct vcpu_fence *f)
{
	const struct vcpu_env *env = &h->vcpu.env;
	unsigned self = h->vcpu.cfg.id.v;
	bool others = false;

	if ((targets[self / 64] >> (self % 64) & 1) != 0) {
		rv_mmu_fence(h, f);
		targets[self / 64] &= ~(UINT64_C(1) << (self % 64));
	}
	for (unsigned i = 0; i < MASK_WORDS; i++)
		others |= targets[i] != 0;
	if (others)
		env->ops->fence(env->ctx, h->vcpu.cfg.id, targets, f);
}

static struct sbi_ret call_rfence(struct rv_hart *h, uint64_t fn)
{
	struct vcpu_fence f = {.start = h->x[A2], .bytes = h->x[A3], .asid = (uint16_t)h->x[A4]};
	uint64_t targets[MASK_WORDS];

	switch (fn) {
	case 0:
		f = (struct vcpu_fence){.kind = VCPU_FENCE_I};
		break;
	case 1:
		f.kind = VCPU_FENCE_VMA;
		f.asid = 0;
		break;
	case 2:
		f.kind = VCPU_FENCE_VMA_ASID;
		break;
	default: /* 3..6 need the hypervisor extension */
		return error(RV_SBI_NOT_SUPPORTED);
	}
	if (!hart_mask(h, h->x[A0], h->x[A1], targets))
		return error(RV_SBI_INVALID_PARAM);
	/* "start_addr and size are both 0", or size all ones: the whole space. */
	if (f.start == 0 && f.bytes == 0)
		f.bytes = UINT64_MAX;
	fence_harts(h, targets, &f);
	return error(RV_SBI_OK);
}

#define SUSPEND_RETENTIVE     UINT32_C(0)
#define SUSPEND_NON_RETENTIVE UINT32_C(0x80000000)

static struct sbi_ret hart_suspend(struct rv_hart *h)
{
	uint32_t type = (uint32_t)h->x[A0];
	uint64_t pc = h->x[A1], opaque = h->x[A2];

	if (type != SUSPEND_RETENTIVE && type != SUSPEND_NON_RETENTIVE)
		return error(RV_SBI_INVALID_PARAM); /* reserved, or a platform's own */
	if (type == SUSPEND_NON_RETENTIVE && (rv_ram_at(h, pc, 2) == NULL || (pc & 1) != 0))
		return error(RV_SBI_INVALID_ADDRESS);
	atomic_store(&h->vcpu.hsm, VCPU_SUSPENDED);
	rv_wfi(h);
	atomic_store(&h->vcpu.hsm, VCPU_STARTED);
	if (type == SUSPEND_NON_RETENTIVE) {
		/* pc is set past the ECALL by our caller; see rv_sbi_call. */
		h->vcpu.engine->start(&h->vcpu, pc, opaque);
		return (struct sbi_ret){(int64_t)h->vcpu.cfg.id.v, opaque};
	}
	return error(RV_SBI_OK);
}

static struct sbi_ret call_hsm(struct rv_hart *h, uint64_t fn)
{
	const struct vcpu_env *env = &h->vcpu.env;
	uint64_t id = h->x[A0];
	enum vcpu_hsm state;

	if ((fn == 0 || fn == 2) && id >= env->n_vcpus.v)
		return error(RV_SBI_INVALID_PARAM);
	switch (fn) {
	case 0:
		if (rv_ram_at(h, h->x[A1], 2) == NULL || (h->x[A1] & 1) != 0)
			return error(RV_SBI_INVALID_ADDRESS);
		return error((enum rv_sbi_err)env->ops->hart_start(
			env->ctx, h->vcpu.cfg.id, (vcpu_id_t){(uint16_t)id}, h->x[A1], h->x[A2]));
	case 1:
		vcpu_hsm_stop_self(&h->vcpu);
		return error(RV_SBI_OK);
	case 2:
		if (env->ops->hart_status(
			    env->ctx, h->vcpu.cfg.id, (vcpu_id_t){(uint16_t)id}, &state) != 0)
			return error(RV_SBI_FAILED);
		return value(state);
	case 3:
		return hart_suspend(h);
	default:
		return error(RV_SBI_NOT_SUPPORTED);
	}
}

static struct sbi_ret call_srst(struct rv_hart *h, uint64_t fn)
{
	static const enum vcpu_reset types[] = {
		VCPU_RESET_SHUTDOWN, VCPU_RESET_COLD, VCPU_RESET_WARM};
	const struct vcpu_env *env = &h->vcpu.env;
	uint32_t type = (uint32_t)h->x[A0], reason = (uint32_t)h->x[A1];

	if (fn != 0)
		return error(RV_SBI_NOT_SUPPORTED);
	/* The rest is reserved or for platforms. */
	if (type >= ARRAY_SIZE(types) || reason > 1)
		return error(RV_SBI_INVALID_PARAM);
	h->leave = true;
	env->ops->reset(env->ctx, h->vcpu.cfg.id, types[type], reason);
	return error(RV_SBI_OK);
}

#define CONSOLE_CHUNK 256

/*
 *  The console's buffers are guest-physical; they pass through a buffer of ours, as no system call
 *  may see them.
 */
static struct sbi_ret call_dbcn(struct rv_hart *h, uint64_t fn)
{
	const struct vcpu_env *env = &h->vcpu.env;
	char buf[CONSOLE_CHUNK];
	uint64_t n = h->x[A0];

	if (fn == 2) { /* write one byte */
		buf[0] = (char)n;
		env->ops->console_write(env->ctx, buf, 1);
		return error(RV_SBI_OK);
	}
	if (fn > 2)
		return error(RV_SBI_NOT_SUPPORTED);
	uint8_t *mem = rv_ram_at(h, h->x[A1], n);
	if (h->x[A2] != 0 || mem == NULL)
		return error(RV_SBI_INVALID_PARAM);
	/* A short count is allowed: "may write a limited number of bytes". */
	n = MIN(n, sizeof(buf));
	if (fn == 0) {
		memcpy(buf, mem, n);
		if (n > 0)
			env->ops->console_write(env->ctx, buf, n);
		return value(n);
	}
	size_t got = n > 0 ? env->ops->console_read(env->ctx, buf, n) : 0;
	CHECK(got <= n);
	memcpy(mem, buf, got);
	return value(got);
}

static struct sbi_ret dispatch(struct rv_hart *h)
{
	uint64_t fn = h->x[A6];

	switch (h->x[A7]) {
	case RV_SBI_EXT_BASE:
		return call_base(h, fn);
	case RV_SBI_EXT_TIME:
		return call_time(h, fn);
	case RV_SBI_EXT_IPI:
		return call_ipi(h, fn);
	case RV_SBI_EXT_RFENCE:
		return call_rfence(h, fn);
	case RV_SBI_EXT_HSM:
		return call_hsm(h, fn);
	case RV_SBI_EXT_SRST:
		return call_srst(h, fn);
	case RV_SBI_EXT_DBCN:
		return call_dbcn(h, fn);
	default:
		return error(RV_SBI_NOT_SUPPORTED);
	}
}

void rv_sbi_call(struct rv_hart *h)
{
	unsigned mxcsr = _mm_getcsr();
	h->pc += 4; /* a non-retentive suspend sets another */
	struct sbi_ret ret = dispatch(h);
	h->x[A0] = (uint64_t)ret.error;
	h->x[A1] = ret.value;
	_mm_setcsr(mxcsr);
	vcpu_look_up(&h->vcpu);
}
