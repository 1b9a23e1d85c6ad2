/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>

#include "vcpu/rv64/rv_amo.h"

#include "vcpu/rv64/rv_mmu.h"

/*
 * AMOs are host atomics on the local copy of the page, correct because write access is exclusive
 * among slices.
 *
 * LR/SC must not fall for ABA. (A pair that is translated as one cannot, and needs none of
 * this: jit/tr_mem.c.) The store-conditional succeeds only if
 *  - no other vCPU of this slice has stored to the unit since: they kill the reservation
 *    (vcpu_ops.h);
 *  - the page has not left this slice since: its generation is the one read before the load;
 *  - and the value is still there, compared and swapped in one host instruction.
 *
 * One window is left, of a host's store buffer: a store of this slice that looked for reservations
 * before ours was made and becomes visible after our load. If it changes the value, the
 * compare-and-swap fails. Two such stores that put the old value back can be ordered before the
 * load by every observer that does not itself watch in those nanoseconds.
 */

static uint64_t res_unit(uint64_t pa)
{
	return align_down(pa, VCPU_RES_UNIT);
}

static void kill_reservations(struct rv_hart *h, uint64_t pa, unsigned size)
{
	if (rv_reservations(h))
		vcpu_res_kill(h->vcpu.env.group, h->vcpu.cfg.slot, pa, size);
}

/* A write that changes nothing: may wait for the page to become ours. */
static void write_touch(uint8_t *host, uint64_t pa)
{
	/* Not atomic_fetch_or: clang makes a load and a fence of one that changes nothing. */
	__asm__ volatile("lock orl $0, %0"
			 : "+m"(*(uint32_t *)(void *)(host - (pa & 3)))
			 :
			 : "memory");
}

/*
 * The generation of the page, which is asked for writing now, though LR only reads: it comes in one
 * request instead of two, and the wait is not the SC's, between its check and its compare-and-swap,
 * where the other vCPUs of this slice would wait with it.
 */
static uint32_t reserve_page(const struct dsm_ram *ram, uint8_t *host, uint64_t pa)
{
	gpage_t page = gpa_page((gpa_t){pa});

	if (ram->ops == NULL)
		return 0;
	if (!ram->ops->writable(ram->ctx, page))
		write_touch(host, pa);
	return ram->ops->generation(ram->ctx, page);
}

/* A loop whose two halves are far apart succeeds so often, and then fails once again. */
#define LR_BY_RESERVATION 16

bool rv_lr(struct rv_hart *h, const struct rv_insn *d, unsigned size)
{
	uint64_t va = h->x[d->rs1], pa;
	uint8_t *host;

	if ((va & (size - 1)) != 0)
		return rv_raise(h, RV_CAUSE_LOAD_MISALIGNED, va);
	if (rv_mmu_host(h, va, RV_READ, &host, &pa))
		return true;
	h->lr_bare = false;
	h->lr_by_reservation -= h->lr_by_reservation > 0;
	h->res_gen = reserve_page(rv_ram(h), host, pa);
	vcpu_res_hold(h->vcpu.env.group, h->vcpu.cfg.slot, res_unit(pa));
	/* Sequentially consistent: after the reservation is visible. */
	if (size == 4)
		h->res_value =
			(uint64_t)(int64_t)(int32_t)atomic_load((_Atomic uint32_t *)(void *)host);
	else
		h->res_value = atomic_load((_Atomic uint64_t *)(void *)host);
	h->res_gpa = pa;
	h->res_size = (uint8_t)size;
	h->x[d->rd] = h->res_value;
	return false;
}

static bool swap(const struct rv_hart *h, uint8_t *host, unsigned size, uint64_t value)
{
	if (size == 4) {
		uint32_t want = (uint32_t)h->res_value;
		return atomic_compare_exchange_strong(
			(_Atomic uint32_t *)(void *)host, &want, (uint32_t)value);
	}
	uint64_t want = h->res_value;
	return atomic_compare_exchange_strong((_Atomic uint64_t *)(void *)host, &want, value);
}

/*
 *  How often a page may be read-only again right after it was made writable, before the SC just
 *  fails.
 */
#define EXCL_TRIES 16

/* The compare-and-swap while the page can not leave. */
static bool swap_exclusive(
	struct rv_hart *h, uint8_t *host, uint64_t pa, unsigned size, uint64_t value)
{
	const struct dsm_ram *ram = rv_ram(h);
	unsigned slot = h->vcpu.cfg.slot;

	if (ram->ops == NULL)
		return swap(h, host, size, value);
	for (unsigned i = 0; i < EXCL_TRIES; i++) {
		switch (ram->ops->excl_begin(ram->ctx, slot, gpa_page((gpa_t){pa}), h->res_gen)) {
		case DSM_EXCL_LOST:
			/*
			 *  The page is leaving or has left; the guest will ask again at once.
			 *  Whoever takes it away may need this core for it.
			 */
			sched_yield();
			return false;
		case DSM_EXCL_READONLY:
			write_touch(host, pa);
			if (i > 0)
				sched_yield();
			continue;
		case DSM_EXCL_OK:
			break;
		}
		bool ok = swap(h, host, size, value);
		ram->ops->excl_end(ram->ctx, slot);
		return ok;
	}
	return false;
}

bool rv_sc_bare(struct rv_hart *h, const struct rv_insn *d, unsigned size)
{
	uint64_t va = h->x[d->rs1], pa;
	uint8_t *host;

	if ((va & (size - 1)) != 0)
		return rv_raise(h, RV_CAUSE_STORE_MISALIGNED, va);
	if (rv_mmu_host(h, va, RV_WRITE, &host, &pa))
		return true;
	h->lr_bare = false;
	kill_reservations(h, pa, size);
	bool ok = swap(h, host, size, h->x[d->rs2]);
	if (!ok)
		vcpu_count(&h->vcpu.counts.sc_failed);
	h->x[d->rd] = ok ? 0 : 1;
	return false;
}

bool rv_sc(struct rv_hart *h, const struct rv_insn *d, unsigned size)
{
	struct vcpu_group *g = h->vcpu.env.group;
	uint64_t va = h->x[d->rs1], value = h->x[d->rs2], pa;
	unsigned slot = h->vcpu.cfg.slot;
	bool ok = false;
	uint8_t *host;

	/* Reached without its load-reserved: the next ones that are translated have to reserve. */
	if (h->lr_bare)
		h->lr_by_reservation = LR_BY_RESERVATION;
	h->lr_bare = false;
	if ((va & (size - 1)) != 0)
		return rv_raise(h, RV_CAUSE_STORE_MISALIGNED, va);
	if (h->res_size == size) {
		if (rv_mmu_host(h, va, RV_WRITE, &host, &pa))
			return true;
		if (pa == h->res_gpa && vcpu_res_begin(g, slot, res_unit(pa)))
			ok = swap_exclusive(h, host, pa, size, value);
	}
	vcpu_res_drop(g, slot);
	h->res_size = 0;
	if (!ok)
		vcpu_count(&h->vcpu.counts.sc_failed);
	h->x[d->rd] = ok ? 0 : 1;
	return false;
}

/* ---- AMOs ---------------------------------------------------------------------------------- */

/*
 *  One width: AMO_FN(name suffix, unsigned type, signed type). Returns the old value,
 *  sign-extended by the caller.
 */
#define AMO_FN(sfx, utype, stype)                                                                  \
	static uint64_t amo_##sfx(enum rv_op op, _Atomic utype *p, utype v)                        \
	{                                                                                          \
		utype old, new;                                                                    \
		switch (op) {                                                                      \
		case RV_OP_amoswap_##sfx:                                                          \
			return atomic_exchange(p, v);                                              \
		case RV_OP_amoadd_##sfx:                                                           \
			return atomic_fetch_add(p, v);                                             \
		case RV_OP_amoxor_##sfx:                                                           \
			return atomic_fetch_xor(p, v);                                             \
		case RV_OP_amoand_##sfx:                                                           \
			return atomic_fetch_and(p, v);                                             \
		case RV_OP_amoor_##sfx:                                                            \
			return atomic_fetch_or(p, v);                                              \
		default:                                                                           \
			break;                                                                     \
		}                                                                                  \
		old = atomic_load_explicit(p, memory_order_relaxed);                               \
		do {                                                                               \
			bool keep;                                                                 \
			switch (op) {                                                              \
			case RV_OP_amomin_##sfx:                                                   \
				keep = (stype)old < (stype)v;                                      \
				break;                                                             \
			case RV_OP_amomax_##sfx:                                                   \
				keep = (stype)old > (stype)v;                                      \
				break;                                                             \
			case RV_OP_amominu_##sfx:                                                  \
				keep = old < v;                                                    \
				break;                                                             \
			default:                                                                   \
				keep = old > v;                                                    \
				break;                                                             \
			}                                                                          \
			new = keep ? old : v;                                                      \
		} while (!atomic_compare_exchange_weak(p, &old, new));                             \
		return old;                                                                        \
	}
AMO_FN(w, uint32_t, int32_t)
AMO_FN(d, uint64_t, int64_t)
#undef AMO_FN

bool rv_amo(struct rv_hart *h, const struct rv_insn *d)
{
	unsigned size = d->rm == 2 ? 4 : 8; /* funct3 is where a rounding mode would be */
	uint64_t va = h->x[d->rs1], pa, old;
	uint8_t *host;

	if ((va & (size - 1)) != 0)
		return rv_raise(h, RV_CAUSE_STORE_MISALIGNED, va);
	if (rv_mmu_host(h, va, RV_WRITE, &host, &pa))
		return true;
	kill_reservations(h, pa, size);
	enum rv_op op = (enum rv_op)d->op;
	if (size == 4)
		old = (uint64_t)(int64_t)(int32_t)amo_w(
			op, (_Atomic uint32_t *)(void *)host, (uint32_t)h->x[d->rs2]);
	else
		old = amo_d(op, (_Atomic uint64_t *)(void *)host, h->x[d->rs2]);
	h->x[d->rd] = old;
	return false;
}
