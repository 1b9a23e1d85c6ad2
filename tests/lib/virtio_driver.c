/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/virtio_driver.h"

#include <sched.h>
#include <string.h>

#include "base/buf.h"
#include "proto/rv64_map.h"

#define VD_BAR_STRIDE  UINT64_C(0x100000)
#define VD_F_EVENT_IDX (UINT64_C(1) << 29)

static uint64_t vd_ecam(unsigned slot, unsigned off)
{
	return RV64_ECAM_BASE + ((uint64_t)slot << 15) + off;
}

uint32_t vd_config_read(struct vio_bus *bus, unsigned slot, unsigned off, unsigned size)
{
	uint64_t v;
	CHECK(vio_bus_read(bus, (gpa_t){vd_ecam(slot, off)}, size, &v) == 0);
	return (uint32_t)v;
}

void vd_config_write(
	struct vio_bus *bus, unsigned slot, unsigned off, unsigned size, uint32_t value)
{
	CHECK(vio_bus_write(bus, (gpa_t){vd_ecam(slot, off)}, size, value) == 0);
}

static uint32_t vd_cfg(struct virtio_driver *vd, unsigned off, unsigned size)
{
	return vd_config_read(vd->bus, vd->slot, off, size);
}

static void vd_take_cap(struct virtio_driver *vd, unsigned at)
{
	uint32_t off = vd_cfg(vd, at + 8, 4);
	switch (vd_cfg(vd, at + 3, 1)) {
	case 1:
		vd->common = off;
		break;
	case 2:
		vd->notify = off;
		vd->notify_stride = vd_cfg(vd, at + 16, 4);
		break;
	case 3:
		vd->isr = off;
		break;
	case 4:
		vd->device = off;
		break;
	case 5:
		vd->pci_cfg_cap = at;
		break;
	default:
		CHECK(!"unknown virtio capability");
	}
}

static void vd_find_caps(struct virtio_driver *vd)
{
	for (unsigned at = vd_cfg(vd, 0x34, 1); at != 0; at = vd_cfg(vd, at + 1, 1)) {
		uint32_t id = vd_cfg(vd, at, 1);
		if (id == 0x09)
			vd_take_cap(vd, at);
		if (id == 0x11) {
			vd->msix_cap = at;
			vd->vectors = (vd_cfg(vd, at + 2, 2) & 0x7ff) + 1;
			vd->msix_table = vd_cfg(vd, at + 4, 4) & ~7u;
		}
	}
	CHECK(vd->msix_cap != 0 && vd->pci_cfg_cap != 0 && vd->notify_stride != 0);
}

static void vd_init_msix(struct virtio_driver *vd)
{
	vd->first_data = 64 * vd->slot;
	for (unsigned v = 0; v < vd->vectors; v++) {
		uint32_t e = vd->msix_table + 16 * v;
		vd_write(vd, e, 4, (uint32_t)RV64_IMSIC_S_BASE);
		vd_write(vd, e + 4, 4, 0);
		vd_write(vd, e + 8, 4, vd->first_data + v);
		vd_write(vd, e + 12, 4, 0);
	}
	vd_config_write(vd->bus, vd->slot, vd->msix_cap + 2, 2, 0x8000);
}

void vd_init(struct virtio_driver *vd, struct vio_bus *bus, struct fake_gate *g,
	struct msi_sink *sink, unsigned slot)
{
	*vd = (struct virtio_driver){.bus = bus, .g = g, .sink = sink, .slot = slot};
	vd->bar = RV64_PCI64_BASE + slot * VD_BAR_STRIDE;
	vd_find_caps(vd);
	vd_config_write(bus, slot, 0x10, 4, (uint32_t)vd->bar);
	vd_config_write(bus, slot, 0x14, 4, (uint32_t)(vd->bar >> 32));
	vd_config_write(bus, slot, 0x04, 2, 0x0006);
	vd_init_msix(vd);
}

uint64_t vd_read(struct virtio_driver *vd, uint32_t off, unsigned size)
{
	uint64_t v;
	CHECK(vio_bus_read(vd->bus, (gpa_t){vd->bar + off}, size, &v) == 0);
	return v;
}

void vd_write(struct virtio_driver *vd, uint32_t off, unsigned size, uint64_t value)
{
	CHECK(vio_bus_write(vd->bus, (gpa_t){vd->bar + off}, size, value) == 0);
}

uint32_t vd_common_read(struct virtio_driver *vd, unsigned off, unsigned size)
{
	return (uint32_t)vd_read(vd, vd->common + off, size);
}

void vd_common_write(struct virtio_driver *vd, unsigned off, unsigned size, uint32_t value)
{
	vd_write(vd, vd->common + off, size, value);
}

uint8_t vd_status(struct virtio_driver *vd)
{
	return (uint8_t)vd_common_read(vd, VD_STATUS, 1);
}

uint64_t vd_offered(struct virtio_driver *vd)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 2; i++) {
		vd_common_write(vd, VD_DEVICE_FEATURE_SELECT, 4, i);
		v |= (uint64_t)vd_common_read(vd, VD_DEVICE_FEATURE, 4) << (32 * i);
	}
	return v;
}

void vd_reset(struct virtio_driver *vd)
{
	vd_common_write(vd, VD_STATUS, 1, 0);
	while (vd_status(vd) != 0)
		sched_yield();
	memset(vd->queues, 0, sizeof(vd->queues));
}

uint8_t vd_negotiate(struct virtio_driver *vd, uint64_t features)
{
	vd_reset(vd);
	vd_common_write(vd, VD_STATUS, 1, 1);
	vd_common_write(vd, VD_STATUS, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		vd_common_write(vd, VD_DRIVER_FEATURE_SELECT, 4, i);
		vd_common_write(vd, VD_DRIVER_FEATURE, 4, (uint32_t)(features >> (32 * i)));
	}
	vd->features = features;
	vd_common_write(vd, VD_CONFIG_VECTOR, 2, 0);
	vd_common_write(vd, VD_STATUS, 1, 11);
	return vd_status(vd);
}

void vd_queue_setup(struct virtio_driver *vd, unsigned q, uint16_t size)
{
	CHECK(q < VD_QUEUES_MAX);
	struct vd_queue *vq = &vd->queues[q];
	*vq = (struct vd_queue){.size = size};
	vq->desc = fake_gate_alloc(vd->g, 16 * (uint64_t)size, 16);
	vq->avail = fake_gate_alloc(vd->g, 6 + 2 * (uint64_t)size, 2);
	vq->used = fake_gate_alloc(vd->g, 6 + 8 * (uint64_t)size, 4);
	vd_common_write(vd, VD_QUEUE_SELECT, 2, q);
	vd_common_write(vd, VD_QUEUE_SIZE, 2, size);
	vd_common_write(vd, VD_QUEUE_VECTOR, 2, q + 1);
	const struct {
		unsigned off;
		gpa_t at;
	} rings[] = {
		{VD_QUEUE_DESC, vq->desc}, {VD_QUEUE_AVAIL, vq->avail}, {VD_QUEUE_USED, vq->used}};
	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		vd_common_write(vd, rings[i].off, 4, (uint32_t)rings[i].at.v);
		vd_common_write(vd, rings[i].off + 4, 4, (uint32_t)(rings[i].at.v >> 32));
	}
	vd_common_write(vd, VD_QUEUE_ENABLE, 2, 1);
}

void vd_driver_ok(struct virtio_driver *vd)
{
	vd_common_write(vd, VD_STATUS, 1, 15);
}

void vd_start(struct virtio_driver *vd)
{
	CHECK((vd_negotiate(vd, vd_offered(vd)) & 8) != 0);
	unsigned n = vd_common_read(vd, VD_NUM_QUEUES, 2);
	for (unsigned q = 0; q < n; q++) {
		vd_common_write(vd, VD_QUEUE_SELECT, 2, q);
		vd_queue_setup(vd, q, (uint16_t)vd_common_read(vd, VD_QUEUE_SIZE, 2));
	}
	vd_driver_ok(vd);
}

void vd_desc_write(struct virtio_driver *vd, gpa_t table, unsigned i, uint64_t addr, uint32_t bytes,
	uint16_t flags, uint16_t next)
{
	struct wcur c = wcur_of(fake_gate_at(vd->g, (gpa_t){table.v + 16 * i}, 16), 16);
	wcur_u64(&c, addr);
	wcur_u32(&c, bytes);
	wcur_u16(&c, flags);
	wcur_u16(&c, next);
}

static _Atomic uint16_t *vd_word(struct virtio_driver *vd, uint64_t at)
{
	return fake_gate_at(vd->g, (gpa_t){at}, 2);
}

void vd_publish(struct virtio_driver *vd, unsigned q, uint16_t head)
{
	struct vd_queue *vq = &vd->queues[q];
	uint64_t entry = vq->avail.v + 4 + 2 * (uint64_t)(vq->avail_idx % vq->size);
	atomic_store_explicit(vd_word(vd, entry), head, memory_order_relaxed);
	vq->avail_idx++;
	/* Release: pairs with the device's acquire of the index. */
	atomic_store_explicit(vd_word(vd, vq->avail.v + 2), vq->avail_idx, memory_order_release);
}

void vd_kick(struct virtio_driver *vd, unsigned q)
{
	vd_write(vd, vd->notify + q * vd->notify_stride, 2, q);
}

static void vd_fill(struct virtio_driver *vd, gpa_t table, unsigned size, uint16_t first,
	const struct vd_buf *bufs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t next = (uint16_t)((first + i + 1) % size);
		uint16_t flags = (uint16_t)((bufs[i].in ? VD_DESC_WRITE : 0) |
					    (i + 1 < n ? VD_DESC_NEXT : 0));
		vd_desc_write(vd, table, (first + i) % size, bufs[i].gpa.v, bufs[i].bytes, flags,
			i + 1 < n ? next : 0);
	}
}

uint16_t vd_add(struct virtio_driver *vd, unsigned q, const struct vd_buf *bufs, unsigned n)
{
	struct vd_queue *vq = &vd->queues[q];
	uint16_t head = vq->next_desc;
	CHECK(n >= 1 && n <= vq->size);
	vd_fill(vd, vq->desc, vq->size, head, bufs, n);
	vq->next_desc = (uint16_t)((head + n) % vq->size);
	vd_publish(vd, q, head);
	return head;
}

uint16_t vd_add_indirect(
	struct virtio_driver *vd, unsigned q, const struct vd_buf *bufs, unsigned n)
{
	struct vd_queue *vq = &vd->queues[q];
	gpa_t table = fake_gate_alloc(vd->g, 16 * (uint64_t)n, 16);
	uint16_t head = vq->next_desc;
	vd_fill(vd, table, n, 0, bufs, n);
	vd_desc_write(vd, vq->desc, head, table.v, 16 * n, VD_DESC_INDIRECT, 0);
	vq->next_desc = (uint16_t)((head + 1) % vq->size);
	vd_publish(vd, q, head);
	return head;
}

bool vd_used(struct virtio_driver *vd, unsigned q, uint16_t *head, uint32_t *written)
{
	struct vd_queue *vq = &vd->queues[q];
	/* Acquire: pairs with the device's release of the index. */
	uint16_t idx = atomic_load_explicit(vd_word(vd, vq->used.v + 2), memory_order_acquire);
	if (idx == vq->used_idx)
		return false;
	gpa_t at = {vq->used.v + 4 + 8 * (uint64_t)(vq->used_idx % vq->size)};
	struct rcur c = rcur_of(fake_gate_at(vd->g, at, 8), 8);
	*head = (uint16_t)rcur_u32(&c);
	*written = rcur_u32(&c);
	vq->used_idx++;
	if ((vd->features & VD_F_EVENT_IDX) != 0) {
		/* Interrupt at the next one; then look again, which vd_wait_used() does. */
		uint64_t event = vq->avail.v + 4 + 2 * (uint64_t)vq->size;
		atomic_store(vd_word(vd, event), vq->used_idx);
	}
	return true;
}

uint32_t vd_queue_data(const struct virtio_driver *vd, unsigned q)
{
	return vd->first_data + q + 1;
}

void vd_wait_used(struct virtio_driver *vd, unsigned q, uint16_t *head, uint32_t *written)
{
	for (;;) {
		uint64_t seen = msi_sink_count(vd->sink, vd_queue_data(vd, q));
		atomic_thread_fence(memory_order_seq_cst);
		if (vd_used(vd, q, head, written))
			return;
		msi_sink_wait(vd->sink, vd_queue_data(vd, q), seen);
	}
}

uint32_t vd_do(struct virtio_driver *vd, unsigned q, const struct vd_buf *bufs, unsigned n)
{
	uint16_t head = vd_add(vd, q, bufs, n), got;
	uint32_t written;
	vd_kick(vd, q);
	vd_wait_used(vd, q, &got, &written);
	CHECK(got == head);
	return written;
}

void vd_wait_broken(struct virtio_driver *vd)
{
	for (;;) {
		uint64_t seen = msi_sink_count(vd->sink, vd->first_data);
		if ((vd_status(vd) & 64) != 0)
			return;
		msi_sink_wait(vd->sink, vd->first_data, seen);
	}
}
