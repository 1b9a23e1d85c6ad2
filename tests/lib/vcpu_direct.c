/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/vcpu_direct.h"

static struct vcpu *target(void *ctx, vcpu_id_t to)
{
	const struct vcpu_direct *d = ctx;
	return d->v[to.v];
}

void vcpu_direct_msi(void *ctx, vcpu_id_t self, vcpu_id_t to, uint32_t id)
{
	vcpu_deliver_msi(target(ctx, to), id);
}

void vcpu_direct_ipi(void *ctx, vcpu_id_t self, vcpu_id_t to)
{
	vcpu_deliver_ipi(target(ctx, to));
}

int vcpu_direct_hart_start(void *ctx, vcpu_id_t self, vcpu_id_t to, uint64_t pc, uint64_t opaque)
{
	return vcpu_hsm_start(target(ctx, to), pc, opaque);
}

int vcpu_direct_hart_status(void *ctx, vcpu_id_t self, vcpu_id_t to, enum vcpu_hsm *out)
{
	*out = vcpu_hsm_status(target(ctx, to));
	return 0;
}
