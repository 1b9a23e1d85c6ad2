/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/virtio.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/trace.h"

#define VIRTIO_MAGIC 0x76697274u

#define VIRTIO_STATUS_LIVE_MASK                                                                    \
	(VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)
#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

static bool virtio_may_run_locked(const struct virtio_dev *dev)
{
	lk_assert_held(&dev->lk);
	return (dev->status & VIRTIO_STATUS_LIVE_MASK) == VIRTIO_STATUS_DRIVER_OK &&
	       !dev->resetting && !dev->paused && !dev->stop && !dev->halted;
}

static bool virtio_running_locked(const struct virtio_dev *dev)
{
	for (unsigned w = 0; w < dev->n_workers; w++)
		if (dev->workers[w].running)
			return true;
	return false;
}

static void virtio_update_yield_locked(struct virtio_dev *dev)
{
	/* Relaxed: only a hint to come back soon; what follows is ordered by the lock. */
	atomic_store_explicit(&dev->yield, !virtio_may_run_locked(dev), memory_order_relaxed);
	atomic_store_explicit(
		&dev->abandon, dev->resetting || dev->stop || dev->halted, memory_order_relaxed);
}

static void virtio_clear_locked(struct virtio_dev *dev)
{
	dev->status = dev->isr = 0;
	dev->features = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < dev->n_queues; i++) {
		struct virtio_queue *q = &dev->queues[i];
		q->size = q->size_max;
		q->vector = VIRTIO_NO_VECTOR;
		q->desc = q->avail = q->used = (gpa_t){0};
		q->enabled = q->started = false;
	}
	if (dev->ops->reset != NULL)
		dev->ops->reset(dev);
}

/* A reset that was asked for takes effect when no worker runs. */
static void virtio_finish_reset_locked(struct virtio_dev *dev)
{
	if (!dev->resetting || virtio_running_locked(dev))
		return;
	dev->resetting = false;
	virtio_clear_locked(dev);
	virtio_update_yield_locked(dev);
}

int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_cfg *cfg)
{
	CHECK(cfg->n_queues >= 1 && cfg->n_queues <= VIRTIO_QUEUES_MAX);
	CHECK(cfg->n_workers >= 1 && cfg->n_workers <= cfg->n_queues);
	CHECK(cfg->config_bytes <= VIRTIO_CONFIG_MAX);
	CHECK(is_pow2(cfg->queue_size) && cfg->queue_size <= VIRTQ_SIZE_MAX);
	*dev = (struct virtio_dev){.ops = cfg->ops, .gate = cfg->gate, .id = cfg->id};
	dev->offered =
		cfg->features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
	dev->n_queues = cfg->n_queues;
	dev->n_workers = cfg->n_workers;
	if (cfg->config_bytes != 0)
		memcpy(dev->config, cfg->config, cfg->config_bytes);
	dev->config_bytes = cfg->config_bytes;
	for (unsigned i = 0; i < dev->n_queues; i++) {
		dev->queues[i].size_max = dev->queues[i].size = cfg->queue_size;
		dev->queues[i].worker = i % dev->n_workers;
		dev->queues[i].vector = VIRTIO_NO_VECTOR;
	}
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned w = 0; w < dev->n_workers; w++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0) {
			int err = err_from_errno(errno);
			while (w-- > 0)
				close(dev->workers[w].kick_fd);
			return err;
		}
		dev->workers[w] = (struct virtio_worker){.dev = dev, .index = w, .kick_fd = fd};
	}
	lk_init(&dev->lk, LK_dev);
	lk_cond_init(&dev->idle);
	OBJ_INIT(dev, VIRTIO_MAGIC);
	return 0;
}

void virtio_dev_fini(struct virtio_dev *dev)
{
	CHECK(!dev->live_workers);
	OBJ_FINI(dev, VIRTIO_MAGIC);
	for (unsigned w = 0; w < dev->n_workers; w++)
		close(dev->workers[w].kick_fd);
	lk_cond_fini(&dev->idle);
	lk_fini(&dev->lk);
}

/* ---- for devices ---- */

bool virtio_dev_yield(struct virtio_dev *dev)
{
	return atomic_load_explicit(&dev->yield, memory_order_relaxed);
}

bool virtio_dev_abandon(struct virtio_dev *dev)
{
	return atomic_load_explicit(&dev->abandon, memory_order_relaxed);
}

struct virtq *virtio_dev_queue(struct virtio_dev *dev, unsigned q)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	/* Changes only while no worker runs, or by the caller itself. */
	return q < dev->n_queues && dev->queues[q].started ? &dev->queues[q].vq : NULL;
}

bool virtio_dev_has(struct virtio_dev *dev, uint64_t feature)
{
	return (dev->features & feature) != 0;
}

int virtio_dev_notify(struct virtio_dev *dev, unsigned q)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	bool notify;
	int err = virtq_should_notify(&dev->queues[q].vq, &notify);
	if (err != 0 || !notify)
		return err;
	lk_lock(&dev->lk);
	dev->isr |= VIRTIO_ISR_QUEUE;
	dev->transport.interrupt(dev->transport.ctx, dev->queues[q].vector);
	lk_unlock(&dev->lk);
	return 0;
}

static void virtio_break_locked(struct virtio_dev *dev)
{
	dev->broken++;
	dev->status |= VIRTIO_STATUS_NEEDS_RESET;
	/* 2.1.2: a live driver is told by a configuration change. */
	if ((dev->status & VIRTIO_STATUS_DRIVER_OK) != 0) {
		dev->isr |= VIRTIO_ISR_CONFIG;
		dev->transport.interrupt(dev->transport.ctx, dev->config_vector);
	}
	virtio_update_yield_locked(dev);
}

void virtio_dev_failed(struct virtio_dev *dev, int err, const char *what)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	lk_lock(&dev->lk);
	if (err == ERR_VM_STOPPED) {
		dev->halted = true;
		virtio_update_yield_locked(dev);
	} else {
		log_limited(vio, "driver broke a rule, device needs a reset, device %s, at %s: %s",
			dev->ops->name, what, err_text(err));
		virtio_break_locked(dev);
	}
	lk_unlock(&dev->lk);
}

void virtio_dev_kick(struct virtio_dev *dev, unsigned w)
{
	CHECK(w < dev->n_workers);
	uint64_t one = 1;
	/* Fails only when the counter is full: then it is readable already. */
	ssize_t n = write(dev->workers[w].kick_fd, &one, sizeof(one));
	CHECK(n == sizeof(one) || errno == EAGAIN);
}

static void virtio_kick_all(struct virtio_dev *dev)
{
	for (unsigned w = 0; w < dev->n_workers; w++)
		virtio_dev_kick(dev, w);
}

/* ---- workers ---- */

static void virtio_start_queues_locked(struct virtio_dev *dev, unsigned w)
{
	for (unsigned i = 0; i < dev->n_queues; i++) {
		struct virtio_queue *q = &dev->queues[i];
		if (q->worker != w || !q->enabled || q->started)
			continue;
		const struct virtq_cfg cfg = {
			.gate = dev->gate,
			.size = q->size,
			.desc = q->desc,
			.avail = q->avail,
			.used = q->used,
			.event_idx = (dev->features & VIRTIO_F_EVENT_IDX) != 0,
			.indirect = (dev->features & VIRTIO_F_INDIRECT_DESC) != 0,
		};
		if (virtq_init(&q->vq, &cfg) != 0) {
			log_limited(vio, "queue outside memory, device %s, queue %u",
				dev->ops->name, i);
			virtio_break_locked(dev);
			return;
		}
		q->started = true;
	}
}

static void virtio_wait(int kick_fd, uint64_t timeout_ns)
{
	struct pollfd p = {.fd = kick_fd, .events = POLLIN};
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / UINT64_C(1000000000)),
		.tv_nsec = (long)(timeout_ns % UINT64_C(1000000000)),
	};
	if (ppoll(&p, 1, timeout_ns == VIRTIO_RUN_WHEN_NOTIFIED ? NULL : &ts, NULL) < 0)
		CHECK(errno == EINTR);
}

/* One turn under the lock: run if it may. Gives how long to wait before the next. */
static uint64_t virtio_worker_turn_locked(struct virtio_worker *w, bool *live)
{
	struct virtio_dev *dev = w->dev;
	uint64_t next_ns = VIRTIO_RUN_WHEN_NOTIFIED;
	if (virtio_may_run_locked(dev))
		virtio_start_queues_locked(dev, w->index);
	if (virtio_may_run_locked(dev)) {
		w->running = true;
		lk_unlock(&dev->lk);
		next_ns = dev->ops->run(dev, w->index);
		lk_lock(&dev->lk);
		w->running = false;
		virtio_finish_reset_locked(dev);
		lk_cond_broadcast(&dev->idle);
	}
	*live = virtio_may_run_locked(dev);
	return *live ? next_ns : VIRTIO_RUN_WHEN_NOTIFIED;
}

static void *virtio_worker_thread(void *arg)
{
	struct virtio_worker *w = arg;
	struct virtio_dev *dev = w->dev;
	char name[16];
	snprintf(name, sizeof(name), "%s/%u", dev->ops->name, w->index);
	trace_thread(name);
	lk_lock(&dev->lk);
	while (!dev->stop) {
		bool live;
		uint64_t next_ns = virtio_worker_turn_locked(w, &live);
		if (dev->stop)
			break;
		lk_unlock(&dev->lk);
		if (live && dev->ops->wait != NULL)
			dev->ops->wait(dev, w->index, w->kick_fd, next_ns);
		else
			virtio_wait(w->kick_fd, next_ns);
		/* Before the queues are looked at: a notification after this read wakes again. */
		uint64_t count;
		ssize_t n = read(w->kick_fd, &count, sizeof(count));
		CHECK(n == sizeof(count) || errno == EAGAIN);
		lk_lock(&dev->lk);
	}
	lk_unlock(&dev->lk);
	return NULL;
}

/* ---- for the machine ---- */

int virtio_dev_start(struct virtio_dev *dev)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	CHECK(!dev->live_workers);
	lk_lock(&dev->lk);
	dev->stop = false;
	virtio_update_yield_locked(dev);
	lk_unlock(&dev->lk);
	for (unsigned w = 0; w < dev->n_workers; w++) {
		int error = pthread_create(
			&dev->workers[w].thread, NULL, virtio_worker_thread, &dev->workers[w]);
		if (error == 0)
			continue;
		lk_lock(&dev->lk);
		dev->stop = true;
		lk_unlock(&dev->lk);
		virtio_kick_all(dev);
		while (w-- > 0)
			CHECK(pthread_join(dev->workers[w].thread, NULL) == 0);
		return err_from_errno(error);
	}
	dev->live_workers = true;
	return 0;
}

void virtio_dev_stop(struct virtio_dev *dev)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	if (!dev->live_workers)
		return;
	lk_lock(&dev->lk);
	dev->stop = true;
	virtio_update_yield_locked(dev);
	lk_unlock(&dev->lk);
	virtio_kick_all(dev);
	for (unsigned w = 0; w < dev->n_workers; w++)
		CHECK(pthread_join(dev->workers[w].thread, NULL) == 0);
	dev->live_workers = false;
}

void virtio_dev_halt(struct virtio_dev *dev)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	lk_lock(&dev->lk);
	dev->halted = true;
	virtio_update_yield_locked(dev);
	lk_unlock(&dev->lk);
}

int virtio_dev_pause(struct virtio_dev *dev, uint64_t timeout_ns)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	uint64_t deadline_ns;
	if (add_overflows(clock_now_ns(clock_host()), timeout_ns, &deadline_ns))
		deadline_ns = UINT64_MAX;
	int err = 0;
	lk_lock(&dev->lk);
	dev->paused = true;
	virtio_update_yield_locked(dev);
	while (err == 0 && virtio_running_locked(dev))
		if (!lk_cond_wait_until(&dev->idle, &dev->lk, deadline_ns))
			err = ERR_TIMEOUT;
	if (!virtio_running_locked(dev))
		err = 0;
	lk_unlock(&dev->lk);
	return err;
}

void virtio_dev_resume(struct virtio_dev *dev)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	lk_lock(&dev->lk);
	dev->paused = false;
	virtio_update_yield_locked(dev);
	lk_unlock(&dev->lk);
	virtio_kick_all(dev);
}

void virtio_dev_power_reset(struct virtio_dev *dev)
{
	OBJ_CHECK(dev, VIRTIO_MAGIC);
	lk_lock(&dev->lk);
	dev->resetting = true;
	virtio_update_yield_locked(dev);
	while (virtio_running_locked(dev))
		lk_cond_wait(&dev->idle, &dev->lk);
	dev->resetting = true; /* the worker may have finished the reset */
	dev->halted = false;
	virtio_finish_reset_locked(dev);
	lk_unlock(&dev->lk);
}

/* ---- for the transport ---- */

bool virtio_dev_configurable_locked(const struct virtio_dev *dev)
{
	lk_assert_held(&dev->lk);
	return !dev->resetting && (dev->status & VIRTIO_STATUS_DRIVER_OK) == 0;
}

/* 3.1.1: FEATURES_OK stays clear when the driver's choice can not be had. */
static bool virtio_features_ok(const struct virtio_dev *dev)
{
	return (dev->features & ~dev->offered) == 0 && (dev->features & VIRTIO_F_VERSION_1) != 0;
}

void virtio_dev_set_status_locked(struct virtio_dev *dev, uint8_t status)
{
	lk_assert_held(&dev->lk);
	if (dev->resetting)
		return;
	if (status == 0) {
		dev->resetting = true;
		virtio_update_yield_locked(dev);
		virtio_finish_reset_locked(dev);
		return;
	}
	/* Bits are only ever added by the driver; NEEDS_RESET is the device's. */
	uint8_t added = (uint8_t)(status & ~dev->status & ~VIRTIO_STATUS_NEEDS_RESET);
	if ((added & VIRTIO_STATUS_FEATURES_OK) != 0 && !virtio_features_ok(dev))
		added &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	uint8_t next = dev->status | added;
	if ((next & VIRTIO_STATUS_FEATURES_OK) == 0)
		next &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	dev->status = next;
	virtio_update_yield_locked(dev);
	if ((added & VIRTIO_STATUS_DRIVER_OK) != 0)
		virtio_kick_all(dev);
}

void virtio_dev_set_features_locked(struct virtio_dev *dev, uint64_t features)
{
	lk_assert_held(&dev->lk);
	if (!dev->resetting && (dev->status & VIRTIO_STATUS_FEATURES_OK) == 0)
		dev->features = features;
}

void virtio_dev_enable_queue_locked(struct virtio_dev *dev, unsigned q)
{
	lk_assert_held(&dev->lk);
	CHECK(q < dev->n_queues);
	dev->queues[q].enabled = true;
}
