/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_VIRTIO_H
#define VIO_VIRTIO_H

#include "base/lk.h"
#include "vio/virtq.h"
#include "vio/vio.h"

/*
 * What all virtio devices share (virtio 1.2, chapters 2 and 3): status, features, queues, and the
 * worker threads that serve them. virtio_pci.c shows it to the guest; blk, net, rng and console are
 * behind `ops`.
 *
 * A worker runs while the driver is live and nobody has asked it to hold still. Reset, pause and
 * stop ask, and take effect when the last running worker has come back:
 *
 *	        DRIVER_OK, notify              ops->run returns
 *	 idle ---------------------> running ---------------------> idle
 *	                               |  virtio_dev_yield() true: come back soon
 *
 * A reset by the guest never blocks it: status reads the old value until the reset is done, which
 * is what 4.1.4.3.2 has the driver wait for. No request that was in flight touches guest memory
 * later.
 */
#define VIRTIO_QUEUES_MAX  32u
#define VIRTIO_WORKERS_MAX VIRTIO_QUEUES_MAX
#define VIRTIO_CONFIG_MAX  64u
#define VIRTIO_NO_VECTOR   0xffffu

/* Feature bits of chapter 6 that are offered by every device here. */
#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)

enum virtio_status {
	VIRTIO_STATUS_ACKNOWLEDGE = 1,
	VIRTIO_STATUS_DRIVER = 2,
	VIRTIO_STATUS_DRIVER_OK = 4,
	VIRTIO_STATUS_FEATURES_OK = 8,
	VIRTIO_STATUS_NEEDS_RESET = 64,
	VIRTIO_STATUS_FAILED = 128,
};

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
};

#define VIRTIO_RUN_WHEN_NOTIFIED UINT64_MAX

struct virtio_dev;
struct virtio_dev_ops {
	const char *name;
	/* Serve the queues of worker `w` until they are empty or virtio_dev_yield(). Returns after
	 * how many ns it wants to run again unasked, or VIRTIO_RUN_WHEN_NOTIFIED.
	 * Context: worker thread, no locks, may block for pages. */
	uint64_t (*run)(struct virtio_dev *dev, unsigned w);
	/* Wait for something to do: a notification makes `kick_fd` readable; return after
	 * `timeout_ns` at the latest. NULL: for the notification alone. Only called while the
	 * driver is live. Context: worker thread. */
	void (*wait)(struct virtio_dev *dev, unsigned w, int kick_fd, uint64_t timeout_ns);
	/* The device is being reset; no worker runs. NULL: nothing to forget.
	 * Context: any thread, device lock held, must not block. */
	void (*reset)(struct virtio_dev *dev);
	/* Free the device; workers are gone. Context: main thread. */
	void (*destroy)(struct virtio_dev *dev);
};

struct virtio_queue {
	uint16_t size_max;
	unsigned worker; /* who serves it */
	/* [lk: dev] set by the driver */
	uint16_t size, vector;
	gpa_t desc, avail, used;
	bool enabled;
	bool started;    /* `vq` is valid */
	struct virtq vq; /* [owner: worker while it runs] */
};

struct virtio_worker {
	struct virtio_dev *dev;
	unsigned index;
	int kick_fd;
	pthread_t thread;
	bool running; /* [lk: dev] inside ops->run */
};

/* How the transport signals. Context: any thread, device lock held. */
struct virtio_transport {
	void (*interrupt)(void *ctx, uint16_t vector);
	void *ctx;
};

struct virtio_dev {
	uint32_t magic;
	/* constant after virtio_dev_init() */
	const struct virtio_dev_ops *ops;
	const struct dsm_gate *gate;
	enum virtio_id id;
	uint64_t offered;
	unsigned n_queues, n_workers;
	uint8_t config[VIRTIO_CONFIG_MAX];
	size_t config_bytes;
	struct virtio_transport transport;
	_Atomic bool yield, abandon;

	struct lk lk; /* all below */
	struct lk_cond idle;
	uint8_t status, isr;
	uint64_t features; /* of the driver */
	uint16_t config_vector;
	bool resetting, paused, stop;
	bool halted; /* guest memory or the VM is gone: nothing runs until the machine is reset */
	bool live_workers;
	uint64_t broken; /* times that the driver broke a rule */
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
	struct virtio_worker workers[VIRTIO_WORKERS_MAX];
};

/* ---- for devices ---- */

struct virtio_dev_cfg {
	const struct virtio_dev_ops *ops;
	const struct dsm_gate *gate;
	enum virtio_id id;
	uint64_t features;  /* besides those that all devices offer */
	const void *config; /* device-specific configuration; the driver can not write to it */
	size_t config_bytes;
	unsigned n_queues, n_workers;
	uint16_t queue_size;
};

/* Queue i belongs to worker i modulo n_workers. Context: main thread. */
MUST_CHECK int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_cfg *cfg);
/* After virtio_dev_stop(). */
void virtio_dev_fini(struct virtio_dev *dev);

/* Should the worker come back? Context: worker. */
bool virtio_dev_yield(struct virtio_dev *dev);
/* Is nobody interested in the end of the request any more (reset, stop)? Long ones ask. */
bool virtio_dev_abandon(struct virtio_dev *dev);
/* The queue, or NULL while the driver has not enabled it. Context: its worker, in ops->run. */
struct virtq *virtio_dev_queue(struct virtio_dev *dev, unsigned q);
bool virtio_dev_has(struct virtio_dev *dev, uint64_t feature);
/* Interrupt for queue `q` if the driver wants one. Context: its worker. */
MUST_CHECK int virtio_dev_notify(struct virtio_dev *dev, unsigned q);
/* What to do with an error of a virtq function: ERR_FORMAT breaks the device (DEVICE_NEEDS_RESET),
 * others halt it. Context: worker. */
void virtio_dev_failed(struct virtio_dev *dev, int err, const char *what);
/* Wake worker `w`. Context: any thread, any lock. */
void virtio_dev_kick(struct virtio_dev *dev, unsigned w);

/* ---- for the machine: main thread ---- */

/* Start the workers. */
MUST_CHECK int virtio_dev_start(struct virtio_dev *dev);
/* End the workers, after the requests that they are at. The gate must not block for ever. */
void virtio_dev_stop(struct virtio_dev *dev);
/* Begin nothing more until the power-on reset. Context: any thread. */
void virtio_dev_halt(struct virtio_dev *dev);
/* Hold the workers still; ERR_TIMEOUT: some request is not done yet (ask again, or resume). */
MUST_CHECK int virtio_dev_pause(struct virtio_dev *dev, uint64_t timeout_ns);
void virtio_dev_resume(struct virtio_dev *dev);
/* Power-on state; blocks until the workers hold still. */
void virtio_dev_power_reset(struct virtio_dev *dev);

/* ---- for the transport: any thread, device lock held, never block ---- */
void virtio_dev_set_status_locked(struct virtio_dev *dev, uint8_t status);
void virtio_dev_set_features_locked(struct virtio_dev *dev, uint64_t features);
void virtio_dev_enable_queue_locked(struct virtio_dev *dev, unsigned q);
/* May the driver write queue and feature registers now? */
bool virtio_dev_configurable_locked(const struct virtio_dev *dev);

#endif
