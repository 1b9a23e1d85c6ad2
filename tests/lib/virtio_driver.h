/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_VIRTIO_DRIVER_H
#define TESTS_LIB_VIRTIO_DRIVER_H

#include "tests/lib/fake_gate.h"
#include "tests/lib/msi_sink.h"
#include "vio/vio.h"

/*
 * A small virtio-pci driver for tests: finds the capabilities, places the BAR, sets up MSI-X and
 * queues in a fake_gate, and can also write what no honest driver would. One thread.
 */
#define VD_QUEUES_MAX 32u

#define VD_DESC_NEXT     1u
#define VD_DESC_WRITE    2u
#define VD_DESC_INDIRECT 4u

/* Offsets in the common configuration (virtio 1.2, 4.1.4.3). */
enum {
	VD_DEVICE_FEATURE_SELECT = 0x00,
	VD_DEVICE_FEATURE = 0x04,
	VD_DRIVER_FEATURE_SELECT = 0x08,
	VD_DRIVER_FEATURE = 0x0c,
	VD_CONFIG_VECTOR = 0x10,
	VD_NUM_QUEUES = 0x12,
	VD_STATUS = 0x14,
	VD_QUEUE_SELECT = 0x16,
	VD_QUEUE_SIZE = 0x18,
	VD_QUEUE_VECTOR = 0x1a,
	VD_QUEUE_ENABLE = 0x1c,
	VD_QUEUE_DESC = 0x20,
	VD_QUEUE_AVAIL = 0x28,
	VD_QUEUE_USED = 0x30,
};

struct vd_queue {
	uint16_t size;
	gpa_t desc, avail, used;
	uint16_t next_desc; /* descriptors are given out in turn */
	uint16_t avail_idx, used_idx;
};

struct vd_buf {
	gpa_t gpa;
	uint32_t bytes;
	bool in; /* the device writes it */
};

struct virtio_driver {
	struct vio_bus *bus;
	struct fake_gate *g;
	struct msi_sink *sink;
	unsigned slot;
	uint64_t bar;
	uint32_t common, notify, isr, device, msix_table; /* offsets in the BAR */
	uint32_t notify_stride;
	unsigned msix_cap, pci_cfg_cap;
	unsigned vectors;
	uint32_t first_data; /* vector v sends first_data + v */
	uint64_t features;   /* negotiated */
	struct vd_queue queues[VD_QUEUES_MAX];
};

uint32_t vd_config_read(struct vio_bus *bus, unsigned slot, unsigned off, unsigned size);
void vd_config_write(
	struct vio_bus *bus, unsigned slot, unsigned off, unsigned size, uint32_t value);

/* Find everything, map BAR 0 in the 64-bit window, enable MSI-X with all vectors unmasked. */
void vd_init(struct virtio_driver *vd, struct vio_bus *bus, struct fake_gate *g,
	struct msi_sink *sink, unsigned slot);

uint64_t vd_read(struct virtio_driver *vd, uint32_t off, unsigned size);
void vd_write(struct virtio_driver *vd, uint32_t off, unsigned size, uint64_t value);
uint32_t vd_common_read(struct virtio_driver *vd, unsigned off, unsigned size);
void vd_common_write(struct virtio_driver *vd, unsigned off, unsigned size, uint32_t value);

uint64_t vd_offered(struct virtio_driver *vd);
/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK; gives the status after. */
uint8_t vd_negotiate(struct virtio_driver *vd, uint64_t features);
/* Place and enable a queue with its own vector (q + 1). */
void vd_queue_setup(struct virtio_driver *vd, unsigned q, uint16_t size);
void vd_driver_ok(struct virtio_driver *vd);
/* All of it: everything offered, all queues. */
void vd_start(struct virtio_driver *vd);
/* Write 0 to the status and wait until it reads 0. */
void vd_reset(struct virtio_driver *vd);
uint8_t vd_status(struct virtio_driver *vd);

void vd_desc_write(struct virtio_driver *vd, gpa_t table, unsigned i, uint64_t addr, uint32_t bytes,
	uint16_t flags, uint16_t next);
/* Make a chain that starts at descriptor `head` available. */
void vd_publish(struct virtio_driver *vd, unsigned q, uint16_t head);
void vd_kick(struct virtio_driver *vd, unsigned q);
/* Chain of buffers, published, not kicked; gives its head. */
uint16_t vd_add(struct virtio_driver *vd, unsigned q, const struct vd_buf *bufs, unsigned n);
/* The same as one indirect table. */
uint16_t vd_add_indirect(
	struct virtio_driver *vd, unsigned q, const struct vd_buf *bufs, unsigned n);
/* Next entry of the used ring; false: none yet. */
bool vd_used(struct virtio_driver *vd, unsigned q, uint16_t *head, uint32_t *written);
/* Wait for it, by interrupt. */
void vd_wait_used(struct virtio_driver *vd, unsigned q, uint16_t *head, uint32_t *written);
/* Add, kick, wait; gives the bytes written. */
uint32_t vd_do(struct virtio_driver *vd, unsigned q, const struct vd_buf *bufs, unsigned n);
/* Wait until the device says that it needs a reset. */
void vd_wait_broken(struct virtio_driver *vd);
uint32_t vd_queue_data(const struct virtio_driver *vd, unsigned q);

#endif
