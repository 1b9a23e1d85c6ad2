/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/trace.h"
#include "node-agent/slice.h"

/* The environment of the vCPUs, and the threads that run them. */

static uint64_t env_time_ns(void *ctx)
{
	struct slice *s = ctx;
	return gclock_now(&s->guest_clock);
}

static int env_mmio_read(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value)
{
	struct slice *s = ctx;
	return route_load(s->route, self, addr, size, value);
}

static int env_mmio_write(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value)
{
	struct slice *s = ctx;
	return route_store(s->route, self, addr, size, value);
}

static void env_io_fence(void *ctx, vcpu_id_t self)
{
	struct slice *s = ctx;
	route_io_fence(s->route, self);
}

static void env_msi(void *ctx, vcpu_id_t self, vcpu_id_t to, uint32_t id)
{
	struct slice *s = ctx;
	if (id != 0)
		route_interrupt(s->route, to, id);
}

static void env_ipi(void *ctx, vcpu_id_t self, vcpu_id_t to)
{
	struct slice *s = ctx;
	route_interrupt(s->route, to, 0);
}

static void env_fence(
	void *ctx, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f)
{
	struct slice *s = ctx;
	route_fence(s->route, self, targets, f);
}

static int env_hart_start(void *ctx, vcpu_id_t self, vcpu_id_t to, uint64_t pc, uint64_t opaque)
{
	struct slice *s = ctx;
	return route_hart_start(s->route, self, to, pc, opaque);
}

static int env_hart_status(void *ctx, vcpu_id_t self, vcpu_id_t to, enum vcpu_hsm *out)
{
	struct slice *s = ctx;
	return route_hart_status(s->route, self, to, out);
}

struct reset_request {
	enum vcpu_reset type;
	uint32_t reason;
};

static void reset_on_main(struct slice *s, const void *what)
{
	const struct reset_request *r = what;
	slice_life_reset(s, r->type, r->reason);
}

static void env_reset(void *ctx, vcpu_id_t self, enum vcpu_reset type, uint32_t reason)
{
	struct reset_request r = {.type = type, .reason = reason};
	slice_post(ctx, reset_on_main, &r, sizeof(r));
}

static void env_console_write(void *ctx, const void *buf, size_t len)
{
	struct slice *s = ctx;
	route_console(s->route, buf, len);
}

static size_t env_console_read(void *ctx, void *buf, size_t len)
{
	return 0; /* input belongs to the UART */
}

const struct vcpu_env_ops slice_env_ops = {
	.time_ns = env_time_ns,
	.mmio_read = env_mmio_read,
	.mmio_write = env_mmio_write,
	.io_fence = env_io_fence,
	.msi = env_msi,
	.ipi = env_ipi,
	.fence = env_fence,
	.hart_start = env_hart_start,
	.hart_status = env_hart_status,
	.reset = env_reset,
	.console_write = env_console_write,
	.console_read = env_console_read,
};

/* ---- threads ------------------------------------------------------------------------------ */

int slice_vcpus_create(struct slice *s)
{
	s->vcpus = calloc(s->n_vcpus, sizeof(*s->vcpus));
	s->vcpu_by_id = calloc(s->spec.vcpus, sizeof(struct vcpu *));
	if (s->vcpus == NULL || s->vcpu_by_id == NULL)
		return ERR_NO_MEMORY;
	unsigned slot = 0;
	for (unsigned id = 0; id < s->spec.vcpus; id++) {
		if (!slice_eq(s->vcpu_slice[id], s->self))
			continue;
		struct slice_vcpu *v = &s->vcpus[slot];
		struct vcpu_cfg cfg = s->vcpu_like;
		cfg.id = (vcpu_id_t){(uint16_t)id};
		cfg.slot = slot;
		int err = vcpu_rv64_create(&cfg, &s->env, &v->vcpu);
		if (err != 0)
			return err;
		v->slice = s;
		v->slot = slot++;
		s->vcpu_by_id[id] = v->vcpu;
	}
	CHECK(slot == s->n_vcpus);
	return 0;
}

static void *vcpu_thread(void *arg)
{
	struct slice_vcpu *v = arg;
	char name[16];
	snprintf(name, sizeof(name), "vcpu%u", v->slot);
	trace_thread(name);
	dsm_vcpu_attach(v->slice->dsm, v->slot, vcpu_retired(v->vcpu));
	vcpu_run(v->vcpu);
	return NULL;
}

int slice_vcpus_start(struct slice *s)
{
	for (unsigned i = 0; i < s->n_vcpus; i++) {
		struct slice_vcpu *v = &s->vcpus[i];
		int e = pthread_create(&v->thread, NULL, vcpu_thread, v);
		if (e != 0)
			return err_from_errno(e);
		v->started = true;
	}
	return 0;
}

void slice_vcpus_stop(struct slice *s)
{
	for (unsigned i = 0; s->vcpus != NULL && i < s->n_vcpus; i++) {
		if (s->vcpus[i].vcpu != NULL)
			vcpu_stop(s->vcpus[i].vcpu);
	}
}

void slice_vcpus_join(struct slice *s)
{
	for (unsigned i = 0; s->vcpus != NULL && i < s->n_vcpus; i++) {
		if (!s->vcpus[i].started)
			continue;
		pthread_join(s->vcpus[i].thread, NULL);
		s->vcpus[i].started = false;
	}
}

void slice_vcpus_destroy(struct slice *s)
{
	for (unsigned i = 0; s->vcpus != NULL && i < s->n_vcpus; i++) {
		if (s->vcpus[i].vcpu != NULL)
			vcpu_destroy(s->vcpus[i].vcpu);
	}
	free(s->vcpus);
	free(s->vcpu_by_id);
	s->vcpus = NULL;
	s->vcpu_by_id = NULL;
}
