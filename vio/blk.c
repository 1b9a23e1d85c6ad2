/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/blk.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

#define BLK_MAGIC 0x76626c6bu

/* virtio 1.2, 5.2.3 */
#define BLK_F_SEG_MAX      (UINT64_C(1) << 2)
#define BLK_F_RO           (UINT64_C(1) << 5)
#define BLK_F_BLK_SIZE     (UINT64_C(1) << 6)
#define BLK_F_FLUSH        (UINT64_C(1) << 9)
#define BLK_F_MQ           (UINT64_C(1) << 12)
#define BLK_F_DISCARD      (UINT64_C(1) << 13)
#define BLK_F_WRITE_ZEROES (UINT64_C(1) << 14)

/* 5.2.6 */
enum blk_type {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};
enum blk_status { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

#define BLK_QUEUE_SIZE    256u
#define BLK_HEADER_BYTES  16u
#define BLK_RANGE_BYTES   16u
#define BLK_RANGE_UNMAP   1u
#define BLK_RANGES_MAX    16u
#define BLK_RANGE_SECTORS UINT32_C(0x400000) /* 2 GiB in one range of discard or write zeroes */
#define BLK_BOUNCE_BYTES  (256u << 10)

struct blk;

struct blk_queue {
	struct blk *blk;
	struct virtq_chain chain;
	uint8_t *bounce;
};

struct blk {
	struct virtio_dev dev; /* first: the core frees and finds it by this address */
	uint32_t magic;
	struct disk *disk;
	uint8_t serial[BLK_SERIAL_BYTES];
	struct blk_queue queues[BLK_QUEUES_MAX];
};

struct blk_request {
	struct blk *blk;
	struct virtq *vq;
	struct blk_queue *queue;
	uint32_t type;
	uint64_t sector;
	uint64_t data_out, data_in; /* bytes after the header, before the status */
	uint32_t written;
	uint8_t status;
};

static struct blk *blk_of(struct virtio_dev *dev)
{
	struct blk *blk = container_of(dev, struct blk, dev);
	OBJ_CHECK(blk, BLK_MAGIC);
	return blk;
}

/* An error of the disk is the request's; one of the gate or ring is the device's and goes up. */
static void blk_disk_result(struct blk_request *r, int err)
{
	if (err != 0)
		r->status = BLK_S_IOERR;
}

static bool blk_range_ok(const struct blk_request *r, uint64_t bytes)
{
	uint64_t sectors = disk_bytes(r->blk->disk) / DISK_SECTOR_BYTES;
	return bytes % DISK_SECTOR_BYTES == 0 &&
	       range_inside(r->sector, bytes / DISK_SECTOR_BYTES, sectors);
}

static int blk_do_read(struct blk_request *r)
{
	if (!blk_range_ok(r, r->data_in)) {
		r->status = BLK_S_IOERR;
		return 0;
	}
	uint64_t off = r->sector * DISK_SECTOR_BYTES;
	for (uint64_t done = 0; done < r->data_in && !virtio_dev_abandon(&r->blk->dev);) {
		size_t n = (size_t)MIN(r->data_in - done, (uint64_t)BLK_BOUNCE_BYTES);
		int err = disk_read(r->blk->disk, off + done, r->queue->bounce, n);
		if (err != 0) {
			blk_disk_result(r, err);
			return 0;
		}
		err = virtq_chain_write(r->vq, &r->queue->chain, done, r->queue->bounce, n);
		if (err != 0)
			return err;
		done += n;
		r->written = (uint32_t)MIN(done, (uint64_t)UINT32_MAX);
	}
	return 0;
}

static int blk_do_write(struct blk_request *r)
{
	if (!blk_range_ok(r, r->data_out)) {
		r->status = BLK_S_IOERR;
		return 0;
	}
	uint64_t off = r->sector * DISK_SECTOR_BYTES;
	for (uint64_t done = 0; done < r->data_out && !virtio_dev_abandon(&r->blk->dev);) {
		size_t n = (size_t)MIN(r->data_out - done, (uint64_t)BLK_BOUNCE_BYTES);
		int err = virtq_chain_read(
			r->vq, &r->queue->chain, BLK_HEADER_BYTES + done, r->queue->bounce, n);
		if (err != 0)
			return err;
		err = disk_write(r->blk->disk, off + done, r->queue->bounce, n);
		if (err != 0) {
			blk_disk_result(r, err);
			return 0;
		}
		done += n;
	}
	/* 5.2.6.2: a driver that does not know FLUSH is promised write-through. */
	if (!virtio_dev_has(&r->blk->dev, BLK_F_FLUSH))
		blk_disk_result(r, disk_flush(r->blk->disk));
	return 0;
}

static int blk_do_get_id(struct blk_request *r)
{
	size_t n = (size_t)MIN(r->data_in, (uint64_t)BLK_SERIAL_BYTES);
	int err = virtq_chain_write(r->vq, &r->queue->chain, 0, r->blk->serial, n);
	if (err == 0)
		r->written = (uint32_t)n;
	return err;
}

static void blk_do_range(struct blk_request *r, const uint8_t *raw)
{
	struct rcur c = rcur_of(raw, BLK_RANGE_BYTES);
	uint64_t sector = rcur_u64(&c);
	uint32_t sectors = rcur_u32(&c), flags = rcur_u32(&c);
	bool discard = r->type == BLK_T_DISCARD;
	/* 5.2.6.2: unknown flags, and any on a discard, are unsupported. */
	if ((flags & (discard ? UINT32_MAX : ~BLK_RANGE_UNMAP)) != 0) {
		r->status = BLK_S_UNSUPP;
		return;
	}
	uint64_t bytes = (uint64_t)sectors * DISK_SECTOR_BYTES;
	r->sector = sector;
	if (sectors > BLK_RANGE_SECTORS || !blk_range_ok(r, bytes)) {
		r->status = BLK_S_IOERR;
		return;
	}
	uint64_t off = sector * DISK_SECTOR_BYTES;
	blk_disk_result(
		r, discard ? disk_discard(r->blk->disk, off, bytes)
			   : disk_zero(r->blk->disk, off, bytes, (flags & BLK_RANGE_UNMAP) != 0));
}

static int blk_do_ranges(struct blk_request *r)
{
	if (r->data_out % BLK_RANGE_BYTES != 0 || r->data_out > BLK_RANGES_MAX * BLK_RANGE_BYTES ||
		disk_read_only(r->blk->disk)) {
		r->status = BLK_S_IOERR;
		return 0;
	}
	uint8_t raw[BLK_RANGES_MAX * BLK_RANGE_BYTES];
	int err = virtq_chain_read(
		r->vq, &r->queue->chain, BLK_HEADER_BYTES, raw, (size_t)r->data_out);
	for (uint64_t at = 0; err == 0 && at < r->data_out && r->status == BLK_S_OK;
		at += BLK_RANGE_BYTES)
		blk_do_range(r, raw + at);
	return err;
}

static int blk_do(struct blk_request *r)
{
	switch (r->type) {
	case BLK_T_IN:
		return blk_do_read(r);
	case BLK_T_OUT:
		return blk_do_write(r);
	case BLK_T_FLUSH:
		blk_disk_result(r, disk_flush(r->blk->disk));
		return 0;
	case BLK_T_GET_ID:
		return blk_do_get_id(r);
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		return blk_do_ranges(r);
	default:
		r->status = BLK_S_UNSUPP;
		return 0;
	}
}

/* One request: header, data, and a status byte at the very end of what the device may write. */
static int blk_serve(struct blk *blk, struct blk_queue *queue, struct virtq *vq)
{
	const struct virtq_chain *chain = &queue->chain;
	if (chain->out_bytes < BLK_HEADER_BYTES || chain->in_bytes < 1)
		return ERR_FORMAT;
	uint8_t raw[BLK_HEADER_BYTES];
	int err = virtq_chain_read(vq, chain, 0, raw, sizeof(raw));
	if (err != 0)
		return err;
	struct rcur c = rcur_of(raw, sizeof(raw));
	struct blk_request r = {.blk = blk, .vq = vq, .queue = queue, .status = BLK_S_OK};
	r.type = rcur_u32(&c);
	rcur_u32(&c);
	r.sector = rcur_u64(&c);
	r.data_out = chain->out_bytes - BLK_HEADER_BYTES;
	r.data_in = chain->in_bytes - 1;
	err = blk_do(&r);
	if (err != 0)
		return err;
	if (virtio_dev_abandon(&blk->dev))
		return ERR_CANCELED;
	err = virtq_chain_write(vq, chain, r.data_in, &r.status, 1);
	if (err != 0)
		return err;
	/* `written` counts from the start without a gap: with the data missing, not even the
	 * status. */
	return virtq_push(vq, chain, r.written == r.data_in ? r.written + 1 : r.written);
}

static uint64_t blk_run(struct virtio_dev *dev, unsigned w)
{
	struct blk *blk = blk_of(dev);
	struct blk_queue *queue = &blk->queues[w];
	struct virtq *vq = virtio_dev_queue(dev, w);
	int err = 0;
	while (vq != NULL && err == 0 && !virtio_dev_yield(dev)) {
		err = virtq_pop(vq, &queue->chain);
		if (err == 0)
			err = blk_serve(blk, queue, vq);
		if (err == 0)
			err = virtio_dev_notify(dev, w);
	}
	if (err != 0 && err != ERR_AGAIN && err != ERR_CANCELED)
		virtio_dev_failed(dev, err, "request");
	return VIRTIO_RUN_WHEN_NOTIFIED;
}

static void blk_destroy(struct virtio_dev *dev)
{
	struct blk *blk = blk_of(dev);
	virtio_dev_fini(dev);
	OBJ_FINI(blk, BLK_MAGIC);
	for (unsigned i = 0; i < BLK_QUEUES_MAX; i++)
		free(blk->queues[i].bounce);
	disk_destroy(blk->disk);
	free(blk);
}

static const struct virtio_dev_ops blk_ops = {"blk", blk_run, NULL, NULL, blk_destroy};

/* 5.2.4 */
static size_t blk_config(const struct blk_cfg *cfg, uint8_t *buf, size_t len)
{
	struct wcur c = wcur_of(buf, len);
	wcur_u64(&c, disk_bytes(cfg->disk) / DISK_SECTOR_BYTES);
	wcur_u32(&c, 0);                  /* size_max: not offered */
	wcur_u32(&c, VIRTQ_SEGS_MAX - 2); /* seg_max: less header and status */
	wcur_u32(&c, 0);                  /* geometry: not offered */
	wcur_u32(&c, DISK_SECTOR_BYTES);  /* blk_size */
	wcur_u64(&c, 0);                  /* topology: not offered */
	wcur_u16(&c, 0);                  /* writeback: not offered */
	wcur_u16(&c, (uint16_t)cfg->queues);
	for (unsigned i = 0; i < 2; i++) { /* discard, write zeroes */
		wcur_u32(&c, BLK_RANGE_SECTORS);
		wcur_u32(&c, BLK_RANGES_MAX);
		if (i == 0)
			wcur_u32(&c, 8); /* alignment that frees room: a page */
	}
	wcur_u32(&c, 1); /* write zeroes may unmap */
	CHECK(!c.bad);
	return c.used;
}

int blk_create(const struct dsm_gate *gate, const struct blk_cfg *cfg, struct virtio_dev **out)
{
	if (cfg->queues < 1 || cfg->queues > BLK_QUEUES_MAX)
		return ERR_RANGE;
	struct blk *blk = calloc(1, sizeof(*blk));
	if (blk == NULL)
		return ERR_NO_MEMORY;
	uint8_t config[VIRTIO_CONFIG_MAX];
	uint64_t features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_MQ;
	if (disk_read_only(cfg->disk))
		features |= BLK_F_RO;
	else
		features |= BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
	const struct virtio_dev_cfg dev = {
		.ops = &blk_ops,
		.gate = gate,
		.id = VIRTIO_ID_BLK,
		.features = features,
		.config = config,
		.config_bytes = blk_config(cfg, config, sizeof(config)),
		.n_queues = cfg->queues,
		.n_workers = cfg->queues,
		.queue_size = BLK_QUEUE_SIZE,
	};
	int err = ERR_NO_MEMORY;
	for (unsigned i = 0; i < cfg->queues; i++) {
		blk->queues[i].bounce = malloc(BLK_BOUNCE_BYTES);
		if (blk->queues[i].bounce == NULL)
			goto undo_alloc;
	}
	err = virtio_dev_init(&blk->dev, &dev);
	if (err != 0)
		goto undo_alloc;
	blk->disk = cfg->disk;
	if (cfg->serial != NULL)
		memcpy(blk->serial, cfg->serial, strnlen(cfg->serial, BLK_SERIAL_BYTES));
	OBJ_INIT(blk, BLK_MAGIC);
	*out = &blk->dev;
	return 0;
undo_alloc:
	for (unsigned i = 0; i < cfg->queues; i++)
		free(blk->queues[i].bounce);
	free(blk);
	return err;
}
