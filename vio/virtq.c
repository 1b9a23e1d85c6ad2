/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/virtq.h"

#include <stdatomic.h>

#include "base/barrier.h"
#include "base/buf.h"
#include "base/err.h"

/* virtio 1.2, 2.7.5 */
enum {
	VIRTQ_DESC_BYTES = 16,
	VIRTQ_DESC_NEXT = 1,
	VIRTQ_DESC_WRITE = 2,
	VIRTQ_DESC_INDIRECT = 4,

	VIRTQ_AVAIL_NO_INTERRUPT = 1,
	VIRTQ_RING_HEAD_BYTES = 4, /* flags, idx */
	VIRTQ_USED_ELEM_BYTES = 8,
};

struct virtq_desc {
	uint64_t addr;
	uint32_t bytes;
	uint16_t flags, next;
};

static uint64_t virtq_avail_bytes(uint16_t size)
{
	return VIRTQ_RING_HEAD_BYTES + 2 * (uint64_t)size + 2;
}

static uint64_t virtq_used_bytes(uint16_t size)
{
	return VIRTQ_RING_HEAD_BYTES + VIRTQ_USED_ELEM_BYTES * (uint64_t)size + 2;
}

static bool virtq_in_ram(const struct dsm_gate *gate, gpa_t at, uint64_t bytes)
{
	return at.v >= gate->base.v && range_inside(at.v - gate->base.v, bytes, gate->bytes);
}

int virtq_init(struct virtq *q, const struct virtq_cfg *cfg)
{
	if (!is_pow2(cfg->size) || cfg->size > VIRTQ_SIZE_MAX)
		return ERR_FORMAT;
	if (cfg->desc.v % 16 != 0 || cfg->avail.v % 2 != 0 || cfg->used.v % 4 != 0)
		return ERR_FORMAT;
	if (!virtq_in_ram(cfg->gate, cfg->desc, (uint64_t)cfg->size * VIRTQ_DESC_BYTES) ||
		!virtq_in_ram(cfg->gate, cfg->avail, virtq_avail_bytes(cfg->size)) ||
		!virtq_in_ram(cfg->gate, cfg->used, virtq_used_bytes(cfg->size)))
		return ERR_FORMAT;
	*q = (struct virtq){.cfg = *cfg};
	return 0;
}

/* ---- 16-bit words that both sides touch at once ---- */

static int virtq_load16(const struct virtq *q, gpa_t at, uint16_t *value)
{
	struct dsm_seg seg = {.gpa = at, .bytes = 2};
	int err = q->cfg.gate->ops->pin(q->cfg.gate->ctx, &seg, 1);
	if (err != 0)
		return err;
	/* Acquire: pairs with the driver's barrier before its store of the index, so that the
	 * entries it published are read after it. */
	*value = atomic_load_explicit((_Atomic uint16_t *)(void *)seg.host, memory_order_acquire);
	q->cfg.gate->ops->unpin(q->cfg.gate->ctx, &seg, 1);
	return 0;
}

static int virtq_store16(const struct virtq *q, gpa_t at, uint16_t value)
{
	struct dsm_seg seg = {.gpa = at, .bytes = 2, .write = true};
	int err = q->cfg.gate->ops->pin(q->cfg.gate->ctx, &seg, 1);
	if (err != 0)
		return err;
	/* Release: pairs with the driver's barrier after its load of the index, so that the used
	 * entries are seen before it. */
	atomic_store_explicit((_Atomic uint16_t *)(void *)seg.host, value, memory_order_release);
	q->cfg.gate->ops->unpin(q->cfg.gate->ctx, &seg, 1);
	return 0;
}

static gpa_t virtq_avail_idx_at(const struct virtq *q)
{
	return (gpa_t){q->cfg.avail.v + 2};
}

/* used_event: after the available ring; the driver says there when to interrupt. */
static gpa_t virtq_used_event_at(const struct virtq *q)
{
	return (gpa_t){q->cfg.avail.v + VIRTQ_RING_HEAD_BYTES + 2 * (uint64_t)q->cfg.size};
}

/* avail_event: after the used ring; the device says there when to notify. */
static gpa_t virtq_avail_event_at(const struct virtq *q)
{
	return (gpa_t){q->cfg.used.v + VIRTQ_RING_HEAD_BYTES +
		       VIRTQ_USED_ELEM_BYTES * (uint64_t)q->cfg.size};
}

/* ---- requests ---- */

static void virtq_desc_decode(struct rcur *c, struct virtq_desc *d)
{
	d->addr = rcur_u64(c);
	d->bytes = rcur_u32(c);
	d->flags = rcur_u16(c);
	d->next = rcur_u16(c);
}

static int virtq_desc_read(const struct virtq *q, gpa_t table, unsigned i, struct virtq_desc *d)
{
	uint8_t raw[VIRTQ_DESC_BYTES];
	gpa_t at = {table.v + (uint64_t)i * VIRTQ_DESC_BYTES};
	int err = dsm_gate_read(q->cfg.gate, at, raw, sizeof(raw));
	if (err != 0)
		return err;
	struct rcur c = rcur_of(raw, sizeof(raw));
	virtq_desc_decode(&c, d);
	return 0;
}

static int virtq_chain_add(
	const struct virtq *q, struct virtq_chain *chain, const struct virtq_desc *d)
{
	bool in = (d->flags & VIRTQ_DESC_WRITE) != 0;
	unsigned n = chain->n_out + chain->n_in;
	/* 2.7.4.2: what the device writes comes after what it reads. */
	if (n == VIRTQ_SEGS_MAX || d->bytes == 0 || (!in && chain->n_in != 0))
		return ERR_FORMAT;
	if (!virtq_in_ram(q->cfg.gate, (gpa_t){d->addr}, d->bytes))
		return ERR_FORMAT;
	chain->segs[n] = (struct virtq_seg){.gpa = {d->addr}, .bytes = d->bytes};
	if (in) {
		chain->n_in++;
		chain->in_bytes += d->bytes;
	} else {
		chain->n_out++;
		chain->out_bytes += d->bytes;
	}
	return 0;
}

/*
 * Follow a list of descriptors in a table of `n`. A list longer than its table is a loop.
 * `indirect` gets the descriptor that refers to another table, if one is met (only in the ring).
 */
static int virtq_walk(const struct virtq *q, gpa_t table, unsigned n, unsigned i, bool nested,
	struct virtq_chain *chain, struct virtq_desc *indirect)
{
	for (unsigned steps = 0; steps < n; steps++) {
		struct virtq_desc d;
		if (i >= n)
			return ERR_FORMAT;
		int err = virtq_desc_read(q, table, i, &d);
		if (err != 0)
			return err;
		if ((d.flags & VIRTQ_DESC_INDIRECT) != 0) {
			/* 2.7.5.3.1: not inside a table, not together with NEXT. */
			if (nested || !q->cfg.indirect || (d.flags & VIRTQ_DESC_NEXT) != 0)
				return ERR_FORMAT;
			*indirect = d;
			return 0;
		}
		err = virtq_chain_add(q, chain, &d);
		if (err != 0)
			return err;
		if ((d.flags & VIRTQ_DESC_NEXT) == 0)
			return 0;
		i = d.next;
	}
	return ERR_FORMAT;
}

static int virtq_walk_indirect(
	const struct virtq *q, const struct virtq_desc *d, struct virtq_chain *chain)
{
	if (d->bytes == 0 || d->bytes % VIRTQ_DESC_BYTES != 0 ||
		d->bytes / VIRTQ_DESC_BYTES > VIRTQ_SEGS_MAX ||
		!virtq_in_ram(q->cfg.gate, (gpa_t){d->addr}, d->bytes))
		return ERR_FORMAT;
	return virtq_walk(q, (gpa_t){d->addr}, d->bytes / VIRTQ_DESC_BYTES, 0, true, chain, NULL);
}

/* How many requests wait; sees to it that the driver notifies when there is none. */
static int virtq_waiting(struct virtq *q, uint16_t *n)
{
	uint16_t idx;
	int err = virtq_load16(q, virtq_avail_idx_at(q), &idx);
	if (err == 0 && idx == q->last_avail && q->cfg.event_idx) {
		err = virtq_store16(q, virtq_avail_event_at(q), q->last_avail);
		/* The driver stores its index and then reads avail_event: one of the two must see
		 * the other's store. Pairs with the full barrier in the driver (2.7.10.1), which a
		 * lone vCPU leaves out. */
		barrier_heavy();
		if (err == 0)
			err = virtq_load16(q, virtq_avail_idx_at(q), &idx);
	}
	if (err != 0)
		return err;
	*n = (uint16_t)(idx - q->last_avail);
	return *n <= q->cfg.size ? 0 : ERR_FORMAT;
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	uint16_t waiting;
	int err = virtq_waiting(q, &waiting);
	if (err != 0)
		return err;
	if (waiting == 0)
		return ERR_AGAIN;
	gpa_t entry = {q->cfg.avail.v + VIRTQ_RING_HEAD_BYTES +
		       2 * (uint64_t)(q->last_avail % q->cfg.size)};
	uint16_t head;
	err = virtq_load16(q, entry, &head);
	if (err != 0)
		return err;
	chain->head = head;
	chain->n_out = chain->n_in = 0;
	chain->out_bytes = chain->in_bytes = 0;
	struct virtq_desc indirect = {.bytes = 0, .flags = 0};
	err = virtq_walk(q, q->cfg.desc, q->cfg.size, head, false, chain, &indirect);
	if (err == 0 && indirect.flags != 0)
		err = virtq_walk_indirect(q, &indirect, chain);
	if (err != 0)
		return err;
	q->last_avail++;
	return 0;
}

int virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t written)
{
	uint8_t raw[VIRTQ_USED_ELEM_BYTES];
	struct wcur c = wcur_of(raw, sizeof(raw));
	wcur_u32(&c, chain->head);
	wcur_u32(&c, written);
	CHECK(!c.bad);
	gpa_t at = {q->cfg.used.v + VIRTQ_RING_HEAD_BYTES +
		    VIRTQ_USED_ELEM_BYTES * (uint64_t)(q->used_idx % q->cfg.size)};
	int err = dsm_gate_write(q->cfg.gate, at, raw, sizeof(raw));
	if (err != 0)
		return err;
	q->used_idx++;
	return virtq_store16(q, (gpa_t){q->cfg.used.v + 2}, q->used_idx);
}

int virtq_should_notify(struct virtq *q, bool *notify)
{
	uint16_t pushed = (uint16_t)(q->used_idx - q->signalled), word;
	if (pushed == 0) {
		*notify = false;
		return 0;
	}
	/* The driver stores used_event (or flags) and then reads the used index: one of the two
	 * must see the other's store. Pairs with the full barrier in the driver (2.7.7, 2.7.10), as
	 * above. */
	barrier_heavy();
	int err = virtq_load16(q, q->cfg.event_idx ? virtq_used_event_at(q) : q->cfg.avail, &word);
	if (err != 0)
		return err;
	if (q->cfg.event_idx) /* has the index moved past used_event since? */
		*notify = (uint16_t)(q->used_idx - word - 1) < pushed;
	else
		*notify = (word & VIRTQ_AVAIL_NO_INTERRUPT) == 0;
	q->signalled = q->used_idx;
	return 0;
}

/* ---- data ---- */

typedef int virtq_copy_fn(const struct dsm_gate *gate, gpa_t at, uint8_t *buf, size_t len);

static int virtq_copy_in(const struct dsm_gate *gate, gpa_t at, uint8_t *buf, size_t len)
{
	return dsm_gate_write(gate, at, buf, len);
}

static int virtq_copy_out(const struct dsm_gate *gate, gpa_t at, uint8_t *buf, size_t len)
{
	return dsm_gate_read(gate, at, buf, len);
}

static int virtq_copy(const struct virtq *q, const struct virtq_seg *segs, unsigned n,
	virtq_copy_fn *copy, uint64_t off, uint8_t *buf, size_t len)
{
	for (unsigned i = 0; i < n && len != 0; i++) {
		if (off >= segs[i].bytes) {
			off -= segs[i].bytes;
			continue;
		}
		size_t piece = MIN(len, (size_t)(segs[i].bytes - off));
		int err = copy(q->cfg.gate, (gpa_t){segs[i].gpa.v + off}, buf, piece);
		if (err != 0)
			return err;
		buf += piece;
		len -= piece;
		off = 0;
	}
	return len == 0 ? 0 : ERR_RANGE;
}

int virtq_chain_read(
	const struct virtq *q, const struct virtq_chain *chain, uint64_t off, void *buf, size_t len)
{
	if (!range_inside(off, len, chain->out_bytes))
		return ERR_RANGE;
	return virtq_copy(q, chain->segs, chain->n_out, virtq_copy_out, off, buf, len);
}

int virtq_chain_write(const struct virtq *q, const struct virtq_chain *chain, uint64_t off,
	const void *buf, size_t len)
{
	if (!range_inside(off, len, chain->in_bytes))
		return ERR_RANGE;
	/* virtq_copy_in() only reads the buffer. */
	return virtq_copy(q, chain->segs + chain->n_out, chain->n_in, virtq_copy_in, off,
		(uint8_t *)(uintptr_t)buf, len);
}
