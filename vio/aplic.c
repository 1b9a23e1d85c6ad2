/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register map (AIA 1.0, 4.5; offsets in the domain's 16 KiB control region):
 *	0x0000 domaincfg	0x0004 sourcecfg[1..1023]
 *	0x1c00 setip[0..31]	0x1cdc setipnum		0x1d00 in_clrip[0..31]	0x1ddc clripnum
 *	0x1e00 setie[0..31]	0x1edc setienum		0x1f00 clrie[0..31]	0x1fdc clrienum
 *	0x2000 setipnum_le	0x3000 genmsi		0x3004 target[1..1023]
 * Not here: big-endian byte order (domaincfg.BE and setipnum_be are read-only zero), direct
 * delivery (domaincfg.DM is read-only one, no IDC), child domains (sourcecfg.D is read-only zero),
 * guest interrupt files (target's guest index is read-only zero).
 */
#include "vio/aplic.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/lk.h"

#define APLIC_MAGIC 0x61706c63u

#define APLIC_SOURCES_MAX 1023u
#define APLIC_WORDS       32u

#define APLIC_DOMAINCFG_FIXED UINT32_C(0x80000004) /* the constant 0x80 on top, and DM */
#define APLIC_DOMAINCFG_IE    UINT32_C(0x100)

enum {
	APLIC_DOMAINCFG = 0x0000,
	APLIC_SOURCECFG = 0x0004,
	APLIC_SOURCECFG_END = 0x1000,
	APLIC_SETIP = 0x1c00,
	APLIC_SETIPNUM = 0x1cdc,
	APLIC_IN_CLRIP = 0x1d00,
	APLIC_CLRIPNUM = 0x1ddc,
	APLIC_SETIE = 0x1e00,
	APLIC_SETIENUM = 0x1edc,
	APLIC_CLRIE = 0x1f00,
	APLIC_CLRIENUM = 0x1fdc,
	APLIC_SETIPNUM_LE = 0x2000,
	APLIC_GENMSI = 0x3000,
	APLIC_TARGET = 0x3004,
	APLIC_TARGET_END = 0x4000,
	APLIC_WORDS_BYTES = 4 * APLIC_WORDS,
};

/* sourcecfg.SM, AIA 4.5.2 table 4.2 */
enum {
	APLIC_SM_INACTIVE = 0,
	APLIC_SM_DETACHED = 1,
	APLIC_SM_EDGE1 = 4,
	APLIC_SM_EDGE0 = 5,
	APLIC_SM_LEVEL1 = 6,
	APLIC_SM_LEVEL0 = 7,
};

#define APLIC_TARGET_HART_SHIFT 18
#define APLIC_TARGET_HART_MASK  UINT32_C(0x3fff)
#define APLIC_TARGET_EIID_MASK  UINT32_C(0x7ff)

struct aplic_source {
	uint32_t target;
	uint8_t mode;
	bool wire; /* level of the input */
	bool pending, enabled;
};

struct aplic {
	uint32_t magic;
	struct aplic_cfg cfg;
	struct lk lk; /* all below */
	bool on;      /* domaincfg.IE */
	uint32_t genmsi;
	struct aplic_source sources[APLIC_SOURCES_MAX + 1]; /* 0 is never used */
};

/* The input after inversion by the source mode; a source that listens to no wire reads as low. */
static bool aplic_rectified(const struct aplic_source *s)
{
	switch (s->mode) {
	case APLIC_SM_EDGE1:
	case APLIC_SM_LEVEL1:
		return s->wire;
	case APLIC_SM_EDGE0:
	case APLIC_SM_LEVEL0:
		return !s->wire;
	default:
		return false;
	}
}

static bool aplic_is_level(const struct aplic_source *s)
{
	return s->mode == APLIC_SM_LEVEL1 || s->mode == APLIC_SM_LEVEL0;
}

/* Write the MSI that `target` or `genmsi` describes. One for a hart that does not exist is lost. */
static void aplic_msi_locked(struct aplic *a, uint32_t target)
{
	uint32_t hart = target >> APLIC_TARGET_HART_SHIFT & APLIC_TARGET_HART_MASK;
	if (hart >= a->cfg.harts)
		return;
	gpa_t addr = {a->cfg.imsic_base.v + hart * a->cfg.imsic_stride};
	a->cfg.irq.ops->msi(a->cfg.irq.ctx, addr, target & APLIC_TARGET_EIID_MASK);
}

/* AIA 4.9: a pending and enabled source is forwarded when the domain is on, which ends
 * "pending". */
static void aplic_forward_locked(struct aplic *a, struct aplic_source *s)
{
	if (!a->on || !s->pending || !s->enabled)
		return;
	s->pending = false;
	aplic_msi_locked(a, s->target);
}

/*
 * AIA 4.7: what a write to setip does depends on the source mode. Level-sensitive ones become
 * pending only while their input is asserted; Linux relies on it at the end of a handler to learn
 * of an interrupt that is still there.
 */
static void aplic_set_pending_locked(struct aplic *a, unsigned n)
{
	struct aplic_source *s = &a->sources[n];
	if (s->mode == APLIC_SM_INACTIVE || (aplic_is_level(s) && !aplic_rectified(s)))
		return;
	s->pending = true;
	aplic_forward_locked(a, s);
}

static bool aplic_known(const struct aplic *a, uint64_t n)
{
	return n >= 1 && n <= a->cfg.sources;
}

static void aplic_set_enabled_locked(struct aplic *a, unsigned n, bool on)
{
	struct aplic_source *s = &a->sources[n];
	if (s->mode == APLIC_SM_INACTIVE)
		return;
	s->enabled = on;
	aplic_forward_locked(a, s);
}

static void aplic_set_domain_locked(struct aplic *a, uint32_t value)
{
	a->on = (value & APLIC_DOMAINCFG_IE) != 0;
	for (unsigned n = 1; n <= a->cfg.sources; n++)
		aplic_forward_locked(a, &a->sources[n]);
}

static void aplic_set_mode_locked(struct aplic *a, unsigned n, uint32_t value)
{
	struct aplic_source *s = &a->sources[n];
	uint32_t mode = value & 7;
	/* Bit 10 (delegate) can not be had, and 2 and 3 are reserved. */
	if ((value & (1u << 10)) != 0 || mode == 2 || mode == 3)
		mode = APLIC_SM_INACTIVE;
	bool was_high = aplic_rectified(s);
	s->mode = (uint8_t)mode;
	if (mode == APLIC_SM_INACTIVE) {
		s->pending = s->enabled = false;
		s->target = 0;
	} else if (!was_high && aplic_is_level(s) && aplic_rectified(s)) {
		aplic_set_pending_locked(a, n);
	}
}

static void aplic_set_target_locked(struct aplic *a, unsigned n, uint32_t value)
{
	if (a->sources[n].mode == APLIC_SM_INACTIVE)
		return;
	a->sources[n].target = value & (APLIC_TARGET_HART_MASK << APLIC_TARGET_HART_SHIFT |
					       APLIC_TARGET_EIID_MASK);
}

/* ---- one bit per source ---- */

enum aplic_bits { APLIC_BITS_PENDING, APLIC_BITS_INPUT, APLIC_BITS_ENABLED };

static uint32_t aplic_bits_locked(const struct aplic *a, unsigned word, enum aplic_bits what)
{
	uint32_t bits = 0;
	for (unsigned i = 0; i < 32; i++) {
		unsigned n = word * 32 + i;
		if (!aplic_known(a, n))
			continue;
		const struct aplic_source *s = &a->sources[n];
		bool v = what == APLIC_BITS_PENDING ? s->pending
			 : what == APLIC_BITS_INPUT ? aplic_rectified(s)
						    : s->enabled;
		bits |= (uint32_t)v << i;
	}
	return bits;
}

static void aplic_source_op_locked(struct aplic *a, unsigned op, uint64_t n)
{
	if (!aplic_known(a, n))
		return;
	switch (op) {
	case APLIC_SETIP:
		aplic_set_pending_locked(a, (unsigned)n);
		break;
	case APLIC_IN_CLRIP:
		a->sources[n].pending = false;
		break;
	case APLIC_SETIE:
		aplic_set_enabled_locked(a, (unsigned)n, true);
		break;
	case APLIC_CLRIE:
		aplic_set_enabled_locked(a, (unsigned)n, false);
		break;
	default:
		UNREACHABLE();
	}
}

/* setip, in_clrip, setie, clrie lie 0x100 apart: an array of words, then 0xdc the number form. */
static void aplic_write_bits_locked(struct aplic *a, unsigned off, uint32_t value)
{
	unsigned op = off & ~0xffu, at = off & 0xffu;
	if (at == (APLIC_SETIPNUM & 0xff)) {
		aplic_source_op_locked(a, op, value);
		return;
	}
	if (at >= APLIC_WORDS_BYTES)
		return;
	for (unsigned i = 0; i < 32; i++)
		if ((value >> i & 1) != 0)
			aplic_source_op_locked(a, op, at / 4 * 32 + i);
}

static uint32_t aplic_read_bits_locked(const struct aplic *a, unsigned off)
{
	unsigned op = off & ~0xffu, at = off & 0xffu;
	if (at >= APLIC_WORDS_BYTES || op == APLIC_CLRIE)
		return 0;
	return aplic_bits_locked(a, at / 4,
		op == APLIC_SETIP      ? APLIC_BITS_PENDING
		: op == APLIC_IN_CLRIP ? APLIC_BITS_INPUT
				       : APLIC_BITS_ENABLED);
}

/* ---- registers ---- */

static uint32_t aplic_read_locked(const struct aplic *a, unsigned off)
{
	if (off == APLIC_DOMAINCFG)
		return APLIC_DOMAINCFG_FIXED | (a->on ? APLIC_DOMAINCFG_IE : 0);
	if (off < APLIC_SOURCECFG_END) {
		unsigned n = off / 4;
		return aplic_known(a, n) ? a->sources[n].mode : 0;
	}
	if (off >= APLIC_SETIP && off < APLIC_CLRIE + 0x100)
		return aplic_read_bits_locked(a, off);
	if (off == APLIC_GENMSI) /* bit 12, busy, is never seen set: the write is done at once */
		return a->genmsi;
	if (off >= APLIC_TARGET && off < APLIC_TARGET_END) {
		unsigned n = (off - APLIC_GENMSI) / 4;
		return aplic_known(a, n) ? a->sources[n].target : 0;
	}
	return 0;
}

static void aplic_write_locked(struct aplic *a, unsigned off, uint32_t value)
{
	if (off == APLIC_DOMAINCFG) {
		aplic_set_domain_locked(a, value);
	} else if (off < APLIC_SOURCECFG_END) {
		if (aplic_known(a, off / 4))
			aplic_set_mode_locked(a, off / 4, value);
	} else if (off >= APLIC_SETIP && off < APLIC_CLRIE + 0x100) {
		aplic_write_bits_locked(a, off, value);
	} else if (off == APLIC_SETIPNUM_LE) {
		aplic_source_op_locked(a, APLIC_SETIP, value);
	} else if (off == APLIC_GENMSI) {
		/* AIA 4.5.15: sent whatever domaincfg.IE says. */
		a->genmsi = value & (APLIC_TARGET_HART_MASK << APLIC_TARGET_HART_SHIFT |
					    APLIC_TARGET_EIID_MASK);
		aplic_msi_locked(a, a->genmsi);
	} else if (off >= APLIC_TARGET && off < APLIC_TARGET_END) {
		unsigned n = (off - APLIC_GENMSI) / 4;
		if (aplic_known(a, n))
			aplic_set_target_locked(a, n, value);
	}
}

static uint64_t aplic_read(void *dev, uint64_t off, unsigned size)
{
	struct aplic *a = dev;
	OBJ_CHECK(a, APLIC_MAGIC);
	if (size != 4 || off % 4 != 0)
		return vio_ones(size);
	if (off >= APLIC_TARGET_END)
		return 0;
	lk_lock(&a->lk);
	uint32_t value = aplic_read_locked(a, (unsigned)off);
	lk_unlock(&a->lk);
	return value;
}

static void aplic_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct aplic *a = dev;
	OBJ_CHECK(a, APLIC_MAGIC);
	if (size != 4 || off % 4 != 0 || off >= APLIC_TARGET_END)
		return;
	lk_lock(&a->lk);
	aplic_write_locked(a, (unsigned)off, (uint32_t)value);
	lk_unlock(&a->lk);
}

const struct vio_range_ops aplic_range_ops = {"aplic", aplic_read, aplic_write};

/* ---- wires ---- */

static void aplic_wire_set(void *ctx, unsigned n, bool level)
{
	struct aplic *a = ctx;
	OBJ_CHECK(a, APLIC_MAGIC);
	CHECK(aplic_known(a, n));
	struct aplic_source *s = &a->sources[n];
	lk_lock(&a->lk);
	bool before = aplic_rectified(s);
	s->wire = level;
	bool now = aplic_rectified(s);
	if (!before && now)
		aplic_set_pending_locked(a, n);
	else if (!now && aplic_is_level(s))
		s->pending = false;
	lk_unlock(&a->lk);
}

struct vio_line aplic_line(struct aplic *a, unsigned source)
{
	OBJ_CHECK(a, APLIC_MAGIC);
	CHECK(aplic_known(a, source));
	return (struct vio_line){.set = aplic_wire_set, .ctx = a, .source = source};
}

int aplic_create(const struct aplic_cfg *cfg, struct aplic **out)
{
	CHECK(cfg->sources >= 1 && cfg->sources <= APLIC_SOURCES_MAX);
	struct aplic *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return ERR_NO_MEMORY;
	a->cfg = *cfg;
	lk_init(&a->lk, LK_irqchip);
	OBJ_INIT(a, APLIC_MAGIC);
	*out = a;
	return 0;
}

void aplic_destroy(struct aplic *a)
{
	if (a == NULL)
		return;
	OBJ_FINI(a, APLIC_MAGIC);
	lk_fini(&a->lk);
	free(a);
}

void aplic_reset(struct aplic *a)
{
	OBJ_CHECK(a, APLIC_MAGIC);
	lk_lock(&a->lk);
	a->on = false;
	a->genmsi = 0;
	for (unsigned n = 1; n <= a->cfg.sources; n++) {
		bool wire = a->sources[n].wire; /* the devices drive it, reset or not */
		a->sources[n] = (struct aplic_source){.wire = wire};
	}
	lk_unlock(&a->lk);
}
