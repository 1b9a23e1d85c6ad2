/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/rng.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"

#define RNG_MAGIC 0x76726e67u

#define RNG_QUEUE_SIZE  8u
#define RNG_PIECE_BYTES 4096u
#define RNG_NS_PER_S    UINT64_C(1000000000)

struct rng_dev {
	struct virtio_dev dev; /* first: the core finds it by this address */
	uint32_t magic;
	struct rng_cfg cfg;
	/* [owner: worker] */
	struct virtq_chain chain;
	uint64_t allowance; /* bytes that may be given out now */
	uint64_t last_ns;   /* when it was computed */
};

static struct rng_dev *rng_of(struct virtio_dev *dev)
{
	struct rng_dev *r = container_of(dev, struct rng_dev, dev);
	OBJ_CHECK(r, RNG_MAGIC);
	return r;
}

/* A bucket of RNG_BURST_BYTES that fills at the configured rate. */
static void rng_refill(struct rng_dev *r)
{
	uint64_t now_ns = clock_now_ns(r->cfg.clock), gained;
	uint64_t passed_ns = MIN(now_ns - r->last_ns, RNG_NS_PER_S);
	if (mul_overflows(passed_ns, r->cfg.bytes_per_s, &gained))
		gained = UINT64_MAX;
	gained /= RNG_NS_PER_S;
	if (gained == 0)
		return; /* the time counts later */
	r->last_ns = now_ns;
	r->allowance = MIN(RNG_BURST_BYTES, r->allowance + gained);
}

/* How long until a piece may be given out again. */
static uint64_t rng_wait_ns(const struct rng_dev *r)
{
	return MAX(RNG_PIECE_BYTES * RNG_NS_PER_S / r->cfg.bytes_per_s, UINT64_C(1000000));
}

static int rng_serve(struct rng_dev *r, struct virtq *vq)
{
	uint8_t bytes[RNG_PIECE_BYTES];
	size_t n = (size_t)MIN(MIN(r->chain.in_bytes, r->allowance), (uint64_t)sizeof(bytes));
	if (r->chain.in_bytes == 0)
		return ERR_FORMAT;
	rng_system(bytes, n);
	r->allowance -= n;
	int err = virtq_chain_write(vq, &r->chain, 0, bytes, n);
	memset(bytes, 0, sizeof(bytes));
	return err != 0 ? err : virtq_push(vq, &r->chain, (uint32_t)n);
}

static uint64_t rng_run(struct virtio_dev *dev, unsigned w)
{
	struct rng_dev *r = rng_of(dev);
	struct virtq *vq = virtio_dev_queue(dev, 0);
	int err = 0;
	rng_refill(r);
	while (vq != NULL && err == 0 && !virtio_dev_yield(dev)) {
		if (r->allowance == 0)
			return rng_wait_ns(r);
		err = virtq_pop(vq, &r->chain);
		if (err == 0)
			err = rng_serve(r, vq);
		if (err == 0)
			err = virtio_dev_notify(dev, 0);
	}
	if (err != 0 && err != ERR_AGAIN)
		virtio_dev_failed(dev, err, "request");
	return VIRTIO_RUN_WHEN_NOTIFIED;
}

static void rng_destroy(struct virtio_dev *dev)
{
	struct rng_dev *r = rng_of(dev);
	virtio_dev_fini(dev);
	OBJ_FINI(r, RNG_MAGIC);
	free(r);
}

static const struct virtio_dev_ops rng_ops = {"rng", rng_run, NULL, NULL, rng_destroy};

int rng_create(const struct dsm_gate *gate, const struct rng_cfg *cfg, struct virtio_dev **out)
{
	struct rng_dev *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return ERR_NO_MEMORY;
	r->cfg = *cfg;
	if (r->cfg.bytes_per_s == 0)
		r->cfg.bytes_per_s = RNG_BYTES_PER_S;
	if (r->cfg.clock == NULL)
		r->cfg.clock = clock_host();
	r->allowance = RNG_BURST_BYTES;
	r->last_ns = clock_now_ns(r->cfg.clock);
	const struct virtio_dev_cfg dev = {
		.ops = &rng_ops,
		.gate = gate,
		.id = VIRTIO_ID_RNG,
		.n_queues = 1,
		.n_workers = 1,
		.queue_size = RNG_QUEUE_SIZE,
	};
	int err = virtio_dev_init(&r->dev, &dev);
	if (err != 0) {
		free(r);
		return err;
	}
	OBJ_INIT(r, RNG_MAGIC);
	*out = &r->dev;
	return 0;
}
