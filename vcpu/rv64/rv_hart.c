/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_hart.h"

#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "base/err.h"
#include "vcpu/rv64/rv_fp.h"
#include "vcpu/rv64/rv_mmu.h"

#define NS_PER_TICK (UINT64_C(1000000000) / RV64_TIMEBASE_HZ)

uint64_t rv_time(struct rv_hart *h)
{
	/*
	 *  The environment may use floating point; the guest's rounding and flags live in the same
	 *  register.
	 */
	unsigned mxcsr = _mm_getcsr();
	uint64_t ns = h->vcpu.env.ops->time_ns(h->vcpu.env.ctx);
	_mm_setcsr(mxcsr);
	return ns / NS_PER_TICK;
}

void rv_timer_look(struct rv_hart *h)
{
	h->stip = h->stimecmp != UINT64_MAX && rv_time(h) >= h->stimecmp;
}

bool rv_interrupt_due(const struct rv_hart *h)
{
	return (h->priv == RV_PRIV_U || (h->sstatus & RV_SSTATUS_SIE) != 0) &&
	       (rv_pending(h) & h->sie) != 0;
}

uint64_t rv_pending(const struct rv_hart *h)
{
	uint64_t p = 0;

	if (atomic_load(&h->ssip))
		p |= RV_IP(RV_IRQ_SSI);
	if (h->stip)
		p |= RV_IP(RV_IRQ_STI);
	if (h->imsic.eidelivery != 0 && rv_imsic_top(&h->imsic) != 0)
		p |= RV_IP(RV_IRQ_SEI);
	return p;
}

bool rv_attention(struct rv_hart *h)
{
	struct vcpu *v = &h->vcpu;
	uint64_t retired = atomic_load_explicit(&v->retired, memory_order_relaxed);

	/* First the word, then the flags: see vcpu_ops.h. */
	atomic_store(&v->poll_at, retired + (h->jit != NULL ? RV_POLL_INSNS_JIT : RV_POLL_INSNS));
	uint32_t flags = atomic_load(&v->flags);
	if ((flags & VCPU_FLAG_KICK) != 0)
		atomic_fetch_and(&v->flags, ~VCPU_FLAG_KICK);
	if ((flags & VCPU_FLAG_MAIL) != 0) {
		unsigned mxcsr = _mm_getcsr();
		vcpu_take_mail(v);
		_mm_setcsr(mxcsr);
	}
	if ((flags & VCPU_FLAGS_LEAVE) != 0 || h->leave)
		return false;
	if (!h->stip)
		rv_timer_look(h);
	rv_trap_interrupt(h);
	return true;
}

void rv_wfi(struct rv_hart *h)
{
	struct vcpu *v = &h->vcpu;
	unsigned mxcsr = _mm_getcsr();

	vcpu_count(&v->counts.wfi);
	rv_timer_look(h);
	/*
	 *  "WFI ... is required to resume if an interrupt is enabled and pending", whatever
	 *  sstatus.SIE says.
	 */
	while ((rv_pending(h) & h->sie) == 0 && (atomic_load(&v->flags) & VCPU_FLAGS_LEAVE) == 0) {
		uint64_t deadline = UINT64_MAX;
		if ((h->sie & RV_IP(RV_IRQ_STI)) != 0 && h->stimecmp < UINT64_MAX / NS_PER_TICK)
			deadline = h->stimecmp * NS_PER_TICK;
		vcpu_wait(v, deadline);
		atomic_fetch_and(&v->flags, ~VCPU_FLAG_KICK);
		rv_timer_look(h);
	}
	_mm_setcsr(mxcsr);
	vcpu_look_up(v);
}

/* ---- the engine's side of struct vcpu ------------------------------------------------------ */

static void hart_run(struct vcpu *v)
{
	struct rv_hart *h = rv_hart_of(v);

	if (h->leave) { /* the machine is being reset: wait to be stopped */
		vcpu_wait(v, UINT64_MAX);
		atomic_fetch_and(&v->flags, ~VCPU_FLAG_KICK);
		return;
	}
	rv_interp_run(h);
}

/*
 *  SBI HSM, "hart start": satp 0, sstatus.SIE 0, a0 the hart id, a1 opaque; all else is undefined.
 */
static void hart_start(struct vcpu *v, uint64_t pc, uint64_t opaque)
{
	struct rv_hart *h = rv_hart_of(v);

	memset(h->x, 0, sizeof(h->x));
	h->x[10] = v->cfg.id.v;
	h->x[11] = opaque;
	h->pc = pc;
	h->priv = RV_PRIV_S;
	h->sstatus = 0;
	h->satp = 0;
	h->sie = 0;
	/*
	 *  Machine mode opens the counters to user mode, as OpenSBI does: kernels do not ask
	 *  again.
	 */
	h->scounteren = RV_COUNTEREN_ALL;
	h->stimecmp = UINT64_MAX;
	h->stip = false;
	h->res_size = 0;
	vcpu_res_drop(v->env.group, v->cfg.slot);
	h->s_not_global = false;
	rv_tlb_drop_all(&h->mmu);
	rv_mmu_update(h);
	rv_jit_fence_i(h); /* nobody could have told a hart that was stopped */
	vcpu_look_up(v);
}

static void hart_fence(struct vcpu *v, const struct vcpu_fence *f)
{
	rv_mmu_fence(rv_hart_of(v), f);
}

static void hart_msi(struct vcpu *v, uint32_t id)
{
	rv_imsic_set(&rv_hart_of(v)->imsic, id);
}

static void hart_ipi(struct vcpu *v)
{
	atomic_store(&rv_hart_of(v)->ssip, true);
}

static void hart_destroy(struct vcpu *v)
{
	struct rv_hart *h = rv_hart_of(v);

	rv_jit_destroy(h);
	vcpu_fini(v);
	free(h);
}

static const struct vcpu_engine_ops ops = {
	.run = hart_run,
	.start = hart_start,
	.fence = hart_fence,
	.msi = hart_msi,
	.ipi = hart_ipi,
	.destroy = hart_destroy,
};

int vcpu_rv64_create(const struct vcpu_cfg *cfg, const struct vcpu_env *env, struct vcpu **out)
{
	size_t bytes = (sizeof(struct rv_hart) + 63) / 64 * 64;
	struct rv_hart *h = aligned_alloc(64, bytes);
	int rc;

	if (h == NULL)
		return ERR_NO_MEMORY;
	memset(h, 0, bytes);
	rc = vcpu_init(&h->vcpu, &ops, cfg, env);
	if (rc != 0)
		goto undo_alloc;
	rv_decode_init();
	rv_tlb_init(&h->mmu);
	/* An all-zero entry is the right decode of the word 0 but for its length. */
	rv_decode(0, &h->near[0]);
	for (size_t i = 1; i < RV_DCACHE_NEAR; i++)
		h->near[i] = h->near[0];
	for (size_t i = 0; i < RV_DCACHE_FAR; i++)
		h->far[i] = h->near[0];
	h->priv = RV_PRIV_S;
	h->stimecmp = UINT64_MAX;
	rv_mmu_update(h);
	rc = cfg->jit ? rv_jit_create(h) : 0;
	if (rc != 0)
		goto undo_vcpu;
	*out = &h->vcpu;
	return 0;

undo_vcpu:
	vcpu_fini(&h->vcpu);
undo_alloc:
	free(h);
	return rc;
}

/* ---- state --------------------------------------------------------------------------------- */

int vcpu_rv64_get_state(const struct vcpu *v, struct vcpu_state_rv64 *out)
{
	const struct rv_hart *h = rv_hart_of((struct vcpu *)v);

	if (!atomic_load(&v->at_rest))
		return ERR_STATE;
	memset(out, 0, sizeof(*out));
	memcpy(out->x, h->x, sizeof(out->x));
	memcpy(out->f, h->f, sizeof(out->f));
	out->pc = h->pc;
	out->sstatus = h->sstatus;
	out->sie = h->sie;
	out->stvec = h->stvec;
	out->scounteren = h->scounteren;
	out->senvcfg = h->senvcfg;
	out->sscratch = h->sscratch;
	out->sepc = h->sepc;
	out->scause = h->scause;
	out->stval = h->stval;
	out->satp = h->satp;
	out->stimecmp = h->stimecmp;
	out->instret = atomic_load(&v->retired);
	out->fcsr = h->frm << 5 | h->fflags;
	out->siselect = h->siselect;
	out->priv = (uint8_t)h->priv;
	out->ssip = atomic_load(&h->ssip);
	out->hsm = (uint8_t)atomic_load(&v->hsm);
	out->start_pc = v->start_pc;
	out->start_opaque = v->start_opaque;
	out->eidelivery = h->imsic.eidelivery;
	out->eithreshold = h->imsic.eithreshold;
	for (unsigned i = 0; i < RV_IMSIC_WORDS; i++) {
		out->eip[i] = atomic_load(&h->imsic.eip[i]);
		out->eie[i] = h->imsic.eie[i];
	}
	return 0;
}

/* The state comes from another process: whatever a hart could not be in is refused. */
static bool state_possible(const struct vcpu_state_rv64 *s)
{
	uint64_t mode = s->satp >> RV_SATP_MODE_SHIFT;

	return s->x[0] == 0 && (s->pc & 1) == 0 && (s->sepc & 1) == 0 && s->priv <= RV_PRIV_S &&
	       s->instret <= INT64_MAX && (s->sstatus & ~RV_SSTATUS_WRITE) == 0 &&
	       (s->sie & ~RV_IP_ALL) == 0 && (s->stvec & 2) == 0 && s->scounteren <= 7 &&
	       (s->senvcfg & ~RV_ENVCFG_WRITE) == 0 && (s->senvcfg & RV_ENVCFG_CBIE) != 0x20 &&
	       (mode == RV_SATP_BARE || mode == RV_SATP_SV39 || mode == RV_SATP_SV48) &&
	       s->fcsr <= 0xff && s->siselect <= 0x1ff && s->ssip <= 1 &&
	       s->hsm <= VCPU_START_PENDING && s->eidelivery <= 1 &&
	       s->eithreshold <= RV64_IMSIC_IDS && (s->eip[0] & 1) == 0 && (s->eie[0] & 1) == 0;
}

int vcpu_rv64_set_state(struct vcpu *v, const struct vcpu_state_rv64 *s)
{
	struct rv_hart *h = rv_hart_of(v);

	if (!atomic_load(&v->at_rest))
		return ERR_STATE;
	if (!state_possible(s))
		return ERR_INVAL;
	memcpy(h->x, s->x, sizeof(s->x));
	memcpy(h->f, s->f, sizeof(s->f));
	h->pc = s->pc;
	h->sstatus = s->sstatus;
	h->sie = s->sie;
	h->stvec = s->stvec;
	h->scounteren = s->scounteren;
	h->senvcfg = s->senvcfg;
	h->sscratch = s->sscratch;
	h->sepc = s->sepc;
	h->scause = s->scause;
	h->stval = s->stval;
	h->satp = s->satp;
	h->stimecmp = s->stimecmp;
	h->stip = false; /* the next attention looks */
	h->frm = s->fcsr >> 5;
	h->fflags = s->fcsr & 0x1f;
	h->siselect = s->siselect;
	h->priv = (enum rv_priv)s->priv;
	atomic_store(&h->ssip, s->ssip != 0);
	h->imsic.eidelivery = s->eidelivery;
	h->imsic.eithreshold = s->eithreshold;
	for (unsigned i = 0; i < RV_IMSIC_WORDS; i++) {
		atomic_store(&h->imsic.eip[i], s->eip[i]);
		h->imsic.eie[i] = s->eie[i];
	}
	atomic_store(&v->retired, s->instret);
	v->start_pc = s->start_pc;
	v->start_opaque = s->start_opaque;
	atomic_store(&v->hsm, s->hsm);
	if (s->hsm == VCPU_STARTED)
		atomic_fetch_and(&v->flags, ~VCPU_FLAG_HSM);
	else
		atomic_fetch_or(&v->flags, VCPU_FLAG_HSM);
	h->leave = false;
	h->res_size = 0;
	h->s_not_global = false;
	rv_tlb_drop_all(&h->mmu);
	rv_mmu_update(h);
	rv_jit_fence_i(h); /* its memory may be another's */
	return 0;
}

/* ---- the device tree's names --------------------------------------------------------------- */

static const char *const extensions[] = {"i", "m", "a", "f", "d", "c", "zicbom", "zicboz", "zicntr",
	"zicsr", "zifencei", "zba", "zbb", "zbs", "ssaia", "sstc", "svinval", "svnapot", "svpbmt",
	"svadu", NULL};
static const char *const extensions_no_svadu[] = {"i", "m", "a", "f", "d", "c", "zicbom", "zicboz",
	"zicntr", "zicsr", "zifencei", "zba", "zbb", "zbs", "ssaia", "sstc", "svinval", "svnapot",
	"svpbmt", "svade", NULL};

const char *vcpu_rv64_isa(void)
{
	return "rv64imafdc_zicbom_zicboz_zicntr_zicsr_zifencei_zba_zbb_zbs_ssaia_sstc_svinval_"
	       "svnapot_svpbmt";
}

const char *const *vcpu_rv64_extensions(bool svadu)
{
	return svadu ? extensions : extensions_no_svadu;
}
