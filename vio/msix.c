/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/msix.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/lk.h"

#define MSIX_MAGIC 0x6d736978u

#define MSIX_WORDS         4u /* address low, address high, data, vector control */
#define MSIX_VECTOR_MASKED 1u

struct msix {
	uint32_t magic;
	struct vio_irq irq;
	unsigned n;
	struct lk lk; /* all below */
	bool enabled, masked;
	uint64_t pending;
	uint32_t table[MSIX_VECTORS_MAX][MSIX_WORDS];
};

static void msix_clear_locked(struct msix *x)
{
	x->enabled = x->masked = false;
	x->pending = 0;
	for (unsigned i = 0; i < x->n; i++) {
		for (unsigned w = 0; w < MSIX_WORDS; w++)
			x->table[i][w] = 0;
		x->table[i][3] = MSIX_VECTOR_MASKED;
	}
}

int msix_create(const struct vio_irq *irq, unsigned vectors, struct msix **out)
{
	CHECK(vectors >= 1 && vectors <= MSIX_VECTORS_MAX);
	struct msix *x = calloc(1, sizeof(*x));
	if (x == NULL)
		return ERR_NO_MEMORY;
	x->irq = *irq;
	x->n = vectors;
	lk_init(&x->lk, LK_msix);
	OBJ_INIT(x, MSIX_MAGIC);
	msix_reset(x);
	*out = x;
	return 0;
}

void msix_destroy(struct msix *x)
{
	if (x == NULL)
		return;
	OBJ_FINI(x, MSIX_MAGIC);
	lk_fini(&x->lk);
	free(x);
}

void msix_reset(struct msix *x)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	lk_lock(&x->lk);
	msix_clear_locked(x);
	lk_unlock(&x->lk);
}

unsigned msix_vectors(const struct msix *x)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	return x->n;
}

static void msix_flush_locked(struct msix *x)
{
	if (!x->enabled || x->masked)
		return;
	for (unsigned i = 0; x->pending != 0 && i < x->n; i++) {
		const uint32_t *e = x->table[i];
		if ((x->pending >> i & 1) == 0 || (e[3] & MSIX_VECTOR_MASKED) != 0)
			continue;
		x->pending &= ~(UINT64_C(1) << i);
		x->irq.ops->msi(x->irq.ctx, (gpa_t){(uint64_t)e[1] << 32 | e[0]}, e[2]);
	}
}

void msix_control(struct msix *x, uint16_t control)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	lk_lock(&x->lk);
	x->enabled = (control & MSIX_CONTROL_ENABLE) != 0;
	x->masked = (control & MSIX_CONTROL_MASK) != 0;
	msix_flush_locked(x);
	lk_unlock(&x->lk);
}

static bool msix_access_ok(uint64_t off, unsigned size)
{
	return (size == 4 || size == 8) && off % size == 0;
}

uint64_t msix_table_read(struct msix *x, uint64_t off, unsigned size)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	if (!msix_access_ok(off, size) || off / MSIX_ENTRY_BYTES >= x->n)
		return vio_ones(size);
	const uint32_t *e = x->table[off / MSIX_ENTRY_BYTES];
	unsigned word = off % MSIX_ENTRY_BYTES / 4;
	lk_lock(&x->lk);
	uint64_t value = e[word];
	if (size == 8)
		value |= (uint64_t)e[word + 1] << 32;
	lk_unlock(&x->lk);
	return value;
}

void msix_table_write(struct msix *x, uint64_t off, unsigned size, uint64_t value)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	if (!msix_access_ok(off, size) || off / MSIX_ENTRY_BYTES >= x->n)
		return;
	uint32_t *e = x->table[off / MSIX_ENTRY_BYTES];
	unsigned word = off % MSIX_ENTRY_BYTES / 4;
	lk_lock(&x->lk);
	e[word] = (uint32_t)value;
	if (size == 8)
		e[word + 1] = (uint32_t)(value >> 32);
	e[0] &= ~UINT32_C(3);
	e[3] &= MSIX_VECTOR_MASKED;
	msix_flush_locked(x);
	lk_unlock(&x->lk);
}

uint64_t msix_pba_read(struct msix *x, uint64_t off, unsigned size)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	if (!msix_access_ok(off, size) || off + size > 8)
		return vio_ones(size);
	lk_lock(&x->lk);
	uint64_t value = x->pending >> (8 * off);
	lk_unlock(&x->lk);
	return value & vio_ones(size);
}

void msix_notify(struct msix *x, unsigned vector)
{
	OBJ_CHECK(x, MSIX_MAGIC);
	if (vector >= x->n)
		return;
	lk_lock(&x->lk);
	if (x->enabled) {
		x->pending |= UINT64_C(1) << vector;
		msix_flush_locked(x);
	}
	lk_unlock(&x->lk);
}
