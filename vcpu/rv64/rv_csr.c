/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "vcpu/rv64/rv_fp.h"
#include "vcpu/rv64/rv_mmu.h"

/*
 * Each CSR has a reader and a modifier. A modifier is told which bits to clear and then which to
 * set, not a whole value: pending bits that other threads set meanwhile must not be lost. Both
 * return 0, or ERR_INVAL for an illegal instruction.
 */
#define PLAIN(name, legal)                                                                         \
	static int read_##name(struct rv_hart *h, uint64_t *out)                                   \
	{                                                                                          \
		*out = h->name;                                                                    \
		return 0;                                                                          \
	}                                                                                          \
	static int modify_##name(struct rv_hart *h, uint64_t clear, uint64_t set)                  \
	{                                                                                          \
		h->name = ((h->name & ~clear) | set) & (legal);                                    \
		return 0;                                                                          \
	}

PLAIN(sscratch, UINT64_MAX)
PLAIN(sepc, ~UINT64_C(1))
PLAIN(scause, UINT64_MAX)
PLAIN(stval, UINT64_MAX)
PLAIN(scounteren, 7)
PLAIN(siselect, 0x1ff)

/* ---- floating point ------------------------------------------------------------------------ */

static int fp_off(const struct rv_hart *h)
{
	return (h->sstatus & RV_SSTATUS_FS) == 0 ? ERR_INVAL : 0;
}

static int read_fflags(struct rv_hart *h, uint64_t *out)
{
	rv_fp_collect(h);
	*out = h->fflags;
	return fp_off(h);
}

static int read_frm(struct rv_hart *h, uint64_t *out)
{
	*out = h->frm;
	return fp_off(h);
}

static int read_fcsr(struct rv_hart *h, uint64_t *out)
{
	rv_fp_collect(h);
	*out = h->frm << 5 | h->fflags;
	return fp_off(h);
}

static int modify_fcsr(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	if (fp_off(h) != 0)
		return ERR_INVAL;
	rv_fp_collect(h);
	uint64_t v = ((h->frm << 5 | h->fflags) & ~clear) | set;
	h->fflags = v & 0x1f;
	h->frm = (v >> 5) & 7;
	rv_fs_dirty(h);
	return 0;
}

static int modify_fflags(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	return modify_fcsr(h, clear & 0x1f, set & 0x1f);
}

static int modify_frm(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	return modify_fcsr(h, (clear & 7) << 5, (set & 7) << 5);
}

/* ---- counters ------------------------------------------------------------------------------ */

static int counter_allowed(const struct rv_hart *h, unsigned bit)
{
	return h->priv == RV_PRIV_U && (h->scounteren >> bit & 1) == 0 ? ERR_INVAL : 0;
}

static int read_cycle(struct rv_hart *h, uint64_t *out)
{
	*out = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
	return counter_allowed(h, 0);
}

static int read_time(struct rv_hart *h, uint64_t *out)
{
	*out = rv_time(h);
	return counter_allowed(h, 1);
}

static int read_instret(struct rv_hart *h, uint64_t *out)
{
	*out = atomic_load_explicit(&h->vcpu.retired, memory_order_relaxed);
	return counter_allowed(h, 2);
}

/* ---- status and translation ---------------------------------------------------------------- */

static int read_sstatus(struct rv_hart *h, uint64_t *out)
{
	bool dirty = (h->sstatus & RV_SSTATUS_FS) == RV_SSTATUS_FS_DIRTY;
	*out = h->sstatus | RV_SSTATUS_UXL_64 | (dirty ? RV_SSTATUS_SD : 0);
	return 0;
}

static int modify_sstatus(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	uint64_t was = h->sstatus;

	h->sstatus = ((was & ~clear) | set) & RV_SSTATUS_WRITE;
	uint64_t changed = was ^ h->sstatus;
	if ((changed & RV_SSTATUS_MXR) != 0) {
		rv_tlb_drop_all(&h->mmu); /* readable pages are another set now */
		rv_mmu_update(h);
	} else if ((changed & RV_SSTATUS_SUM) != 0) {
		rv_mmu_update_view(h);
	}
	return 0;
}

static int read_stvec(struct rv_hart *h, uint64_t *out)
{
	*out = h->stvec;
	return 0;
}

static int modify_stvec(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	uint64_t v = (h->stvec & ~clear) | set;
	if ((v & 2) == 0) /* modes 2 and 3 are reserved; WARL: the old value stays */
		h->stvec = v;
	return 0;
}

static int read_senvcfg(struct rv_hart *h, uint64_t *out)
{
	*out = h->senvcfg;
	return 0;
}

static int modify_senvcfg(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	uint64_t v = ((h->senvcfg & ~clear) | set) & RV_ENVCFG_WRITE;
	if ((v & RV_ENVCFG_CBIE) == 0x20) /* reserved: the old field stays */
		v = (v & ~RV_ENVCFG_CBIE) | (h->senvcfg & RV_ENVCFG_CBIE);
	h->senvcfg = v;
	return 0;
}

static int read_satp(struct rv_hart *h, uint64_t *out)
{
	*out = h->satp;
	return 0;
}

static int modify_satp(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	uint64_t v = (h->satp & ~clear) | set;
	uint64_t mode = v >> RV_SATP_MODE_SHIFT;

	/* "If satp is written with an unsupported MODE, the entire write has no effect" */
	if (mode != RV_SATP_BARE && mode != RV_SATP_SV39 && mode != RV_SATP_SV48)
		return 0;
	h->satp = v;
	rv_mmu_update(h);
	return 0;
}

/* ---- interrupts ---------------------------------------------------------------------------- */

static int read_sie(struct rv_hart *h, uint64_t *out)
{
	*out = h->sie;
	return 0;
}

static int modify_sie(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	h->sie = ((h->sie & ~clear) | set) & RV_IP_ALL;
	return 0;
}

static int read_sip(struct rv_hart *h, uint64_t *out)
{
	rv_timer_look(h);
	*out = rv_pending(h);
	return 0;
}

static int modify_sip(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	if ((set & RV_IP(RV_IRQ_SSI)) != 0)
		atomic_store(&h->ssip, true);
	else if ((clear & RV_IP(RV_IRQ_SSI)) != 0)
		atomic_store(&h->ssip, false);
	return 0;
}

static int read_stimecmp(struct rv_hart *h, uint64_t *out)
{
	*out = h->stimecmp;
	return 0;
}

static int modify_stimecmp(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	h->stimecmp = (h->stimecmp & ~clear) | set;
	rv_timer_look(h);
	return 0;
}

/* AIA: the iprio array may be read-only zero; its odd registers do not exist on RV64. */
static int iprio_selected(const struct rv_hart *h)
{
	return h->siselect >= RV_ISEL_IPRIO_FIRST && h->siselect <= RV_ISEL_IPRIO_LAST &&
	       (h->siselect & 1) == 0;
}

static bool imsic_selected(const struct rv_hart *h)
{
	return h->siselect >= RV_ISEL_EIDELIVERY && h->siselect <= RV_ISEL_IMSIC_LAST;
}

static int read_sireg(struct rv_hart *h, uint64_t *out)
{
	if (imsic_selected(h))
		return rv_imsic_read(&h->imsic, h->siselect, out);
	*out = 0;
	return iprio_selected(h) ? 0 : ERR_INVAL;
}

static int modify_sireg(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	if (imsic_selected(h))
		return rv_imsic_modify(&h->imsic, h->siselect, clear, set);
	return iprio_selected(h) ? 0 : ERR_INVAL;
}

static int read_stopei(struct rv_hart *h, uint64_t *out)
{
	uint64_t id = rv_imsic_top(&h->imsic);
	h->stopei_seen = (uint32_t)id;
	*out = id << 16 | id;
	return 0;
}

/* A write claims what the same instruction has read; the value is ignored. */
static int modify_stopei(struct rv_hart *h, uint64_t clear, uint64_t set)
{
	if (h->stopei_seen != 0)
		rv_imsic_claim(&h->imsic, h->stopei_seen);
	return 0;
}

static int read_stopi(struct rv_hart *h, uint64_t *out)
{
	static const unsigned order[] = {RV_IRQ_SEI, RV_IRQ_SSI, RV_IRQ_STI};
	rv_timer_look(h);
	uint64_t due = rv_pending(h) & h->sie;

	*out = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(order) && *out == 0; i++)
		if ((due & RV_IP(order[i])) != 0)
			*out = (uint64_t)order[i] << 16 |
			       1; /* IPRIO reads 1: priorities are fixed */
	return 0;
}

/* ---- the table ----------------------------------------------------------------------------- */

struct csr {
	const char *name;
	int (*read)(struct rv_hart *h, uint64_t *out);
	int (*modify)(struct rv_hart *h, uint64_t clear, uint64_t set);
};

#define CSR_NUMBERS 0x1000u

static const struct csr table[CSR_NUMBERS] = {
#define CSR(number, name)    [number] = {#name, read_##name, modify_##name},
#define CSR_RO(number, name) [number] = {#name, read_##name, NULL},
#include "vcpu/rv64/rv_csr.def"
#undef CSR
#undef CSR_RO
};

static const struct csr *find(unsigned number)
{
	return number < CSR_NUMBERS && table[number].name != NULL ? &table[number] : NULL;
}

const char *rv_csr_name(unsigned number)
{
	const struct csr *c = find(number);
	return c == NULL ? NULL : c->name;
}

int rv_csr_access(struct rv_hart *h, unsigned number, unsigned what, uint64_t clear, uint64_t set,
	uint64_t *old)
{
	const struct csr *c = find(number);
	uint64_t was;

	if (c == NULL || (number >> 8 & 3) > (h->priv == RV_PRIV_S ? 1u : 0u))
		return ERR_INVAL;
	if ((what & RV_CSR_WRITE) != 0 && c->modify == NULL)
		return ERR_INVAL;
	int rc = c->read(h, &was);
	if (rc == 0 && (what & RV_CSR_WRITE) != 0)
		rc = c->modify(h, clear, set);
	if (rc != 0)
		return rc;
	*old = was;
	return 0;
}
