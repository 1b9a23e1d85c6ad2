/* SPDX-License-Identifier: Apache-2.0 */
#include <xmmintrin.h>

#include "base/err.h"
#include "vcpu/rv64/rv_mmu.h"

/*
 * The register of an interrupt file's page (AIA 3.5). The big-endian one beside it does not exist,
 * as our harts are little-endian only; other offsets read 0 and ignore writes.
 */
#define SETEIPNUM_LE 0

static bool is_imsic(const struct rv_hart *h, uint64_t pa, vcpu_id_t *file)
{
	uint64_t off = pa - RV64_IMSIC_S_BASE;

	if (pa < RV64_IMSIC_S_BASE || off / RV64_IMSIC_STRIDE >= h->vcpu.env.n_vcpus.v)
		return false;
	*file = (vcpu_id_t){(uint16_t)(off / RV64_IMSIC_STRIDE)};
	return true;
}

/* Device accesses are naturally aligned: the regions' PMAs say so. */
static bool is_aligned(uint64_t pa, unsigned size)
{
	return (pa & (size - 1)) == 0;
}

bool rv_mmio_load(struct rv_hart *h, uint64_t va, uint64_t pa, unsigned size, uint64_t *out)
{
	const struct vcpu_env *env = &h->vcpu.env;
	vcpu_id_t file;
	uint64_t value = 0;

	if (!is_aligned(pa, size))
		return rv_raise(h, RV_CAUSE_LOAD_ACCESS, va);
	if (is_imsic(h, pa, &file)) {
		/*
		 *  "A read of an interrupt file's memory-mapped page returns zero"; 32-bit
		 *  accesses only.
		 */
		if (size != 4)
			return rv_raise(h, RV_CAUSE_LOAD_ACCESS, va);
		*out = 0;
		return false;
	}
	vcpu_count(&h->vcpu.counts.mmio);
	unsigned mxcsr = _mm_getcsr();
	int rc = env->ops->mmio_read(env->ctx, h->vcpu.cfg.id, (gpa_t){pa}, size, &value);
	_mm_setcsr(mxcsr);
	if (rc == ERR_NOT_FOUND)
		return rv_raise(h, RV_CAUSE_LOAD_ACCESS, va);
	*out = rc == 0 ? value : UINT64_MAX;
	if (size < 8)
		*out &= (UINT64_C(1) << (8 * size)) - 1;
	return false;
}

static void imsic_store(struct rv_hart *h, uint64_t pa, vcpu_id_t file, uint32_t id)
{
	const struct vcpu_env *env = &h->vcpu.env;

	/* "If ... not an implemented interrupt identity number, the write is ignored" */
	if (pa % RV64_IMSIC_STRIDE == SETEIPNUM_LE && id != 0 && id <= RV64_IMSIC_IDS)
		env->ops->msi(env->ctx, h->vcpu.cfg.id, file, id);
}

bool rv_mmio_store(struct rv_hart *h, uint64_t va, uint64_t pa, unsigned size, uint64_t value)
{
	const struct vcpu_env *env = &h->vcpu.env;
	vcpu_id_t file;

	if (!is_aligned(pa, size))
		return rv_raise(h, RV_CAUSE_STORE_ACCESS, va);
	unsigned mxcsr = _mm_getcsr();
	int rc = 0;
	if (is_imsic(h, pa, &file)) {
		if (size != 4)
			return rv_raise(h, RV_CAUSE_STORE_ACCESS, va);
		imsic_store(h, pa, file, (uint32_t)value);
	} else {
		vcpu_count(&h->vcpu.counts.mmio);
		h->posted = true;
		rc = env->ops->mmio_write(env->ctx, h->vcpu.cfg.id, (gpa_t){pa}, size, value);
	}
	_mm_setcsr(mxcsr);
	return rc == ERR_NOT_FOUND && rv_raise(h, RV_CAUSE_STORE_ACCESS, va);
}
