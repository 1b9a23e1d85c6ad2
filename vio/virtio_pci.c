/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BAR 0 (32 KiB):
 *	0x0000 common configuration	0x1000 ISR	0x2000 device configuration
 *	0x3000 notification, 4 bytes a queue	0x4000 MSI-X table	0x5000 MSI-X pending bits
 * Common configuration: virtio 1.2, 4.1.4.3.
 */
#include "vio/virtio_pci.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

#define VIRTIO_PCI_MAGIC 0x76706369u

enum {
	VP_BAR = 0,
	VP_BAR_BYTES = 0x8000,
	VP_COMMON = 0x0000,
	VP_COMMON_BYTES = 0x40,
	VP_ISR = 0x1000,
	VP_DEVICE = 0x2000,
	VP_NOTIFY = 0x3000,
	VP_NOTIFY_STRIDE = 4,
	VP_MSIX_TABLE = 0x4000,
	VP_MSIX_PBA = 0x5000,
	VP_REGION_BYTES = 0x1000,
};

/* Offsets in the common configuration. */
enum {
	VPC_DEVICE_FEATURE_SELECT = 0x00,
	VPC_DEVICE_FEATURE = 0x04,
	VPC_DRIVER_FEATURE_SELECT = 0x08,
	VPC_DRIVER_FEATURE = 0x0c,
	VPC_CONFIG_VECTOR = 0x10,
	VPC_NUM_QUEUES = 0x12,
	VPC_STATUS = 0x14,
	VPC_GENERATION = 0x15,
	VPC_QUEUE_SELECT = 0x16,
	VPC_QUEUE_SIZE = 0x18,
	VPC_QUEUE_VECTOR = 0x1a,
	VPC_QUEUE_ENABLE = 0x1c,
	VPC_QUEUE_NOTIFY_OFF = 0x1e,
	VPC_QUEUE_DESC = 0x20,
	VPC_QUEUE_AVAIL = 0x28,
	VPC_QUEUE_USED = 0x30,
};

/* 4.1.4: struct virtio_pci_cap, from the bytes after id and next. */
enum {
	VP_CAP_COMMON = 1,
	VP_CAP_NOTIFY = 2,
	VP_CAP_ISR = 3,
	VP_CAP_DEVICE = 4,
	VP_CAP_PCI_CFG = 5,

	VP_CAP_BAR_AT = 4, /* from the start of the capability */
	VP_CAP_OFFSET_AT = 8,
	VP_CAP_LENGTH_AT = 12,
	VP_CAP_DATA_AT = 16, /* of the PCI configuration access capability */
};

#define PCI_CAP_VENDOR       0x09
#define VIRTIO_VENDOR        0x1af4
#define VIRTIO_DEVICE_MODERN 0x1040

struct virtio_pci {
	uint32_t magic;
	struct virtio_dev *dev;
	struct pci_func *func;
	unsigned cfg_cap; /* offset of the PCI configuration access capability */
	/* [lk: dev] */
	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	uint16_t queue_select;
};

static struct virtio_queue *vp_queue_locked(struct virtio_pci *vp)
{
	return vp->queue_select < vp->dev->n_queues ? &vp->dev->queues[vp->queue_select] : NULL;
}

/* ---- common configuration: fields have one width each; 64-bit ones are two of 32 ---- */

static unsigned vpc_width(unsigned off)
{
	switch (off) {
	case VPC_STATUS:
	case VPC_GENERATION:
		return 1;
	case VPC_CONFIG_VECTOR:
	case VPC_NUM_QUEUES:
	case VPC_QUEUE_SELECT:
	case VPC_QUEUE_SIZE:
	case VPC_QUEUE_VECTOR:
	case VPC_QUEUE_ENABLE:
	case VPC_QUEUE_NOTIFY_OFF:
		return 2;
	default:
		return off % 4 == 0 && off < VPC_QUEUE_USED + 8 ? 4 : 0;
	}
}

static uint32_t vp_half(gpa_t addr, unsigned off)
{
	return (uint32_t)(addr.v >> (off % 8 == 4 ? 32 : 0));
}

static uint32_t vpc_read_queue_locked(struct virtio_pci *vp, unsigned off)
{
	const struct virtio_queue *q = vp_queue_locked(vp);
	if (q == NULL) /* 4.1.4.3.1: size 0 says that there is no such queue */
		return 0;
	switch (off) {
	case VPC_QUEUE_SIZE:
		return q->size;
	case VPC_QUEUE_VECTOR:
		return q->vector;
	case VPC_QUEUE_ENABLE:
		return q->enabled;
	case VPC_QUEUE_NOTIFY_OFF:
		return vp->queue_select;
	case VPC_QUEUE_DESC:
	case VPC_QUEUE_DESC + 4:
		return vp_half(q->desc, off);
	case VPC_QUEUE_AVAIL:
	case VPC_QUEUE_AVAIL + 4:
		return vp_half(q->avail, off);
	default:
		return vp_half(q->used, off);
	}
}

static uint32_t vpc_read_locked(struct virtio_pci *vp, unsigned off)
{
	const struct virtio_dev *dev = vp->dev;
	switch (off) {
	case VPC_DEVICE_FEATURE_SELECT:
		return vp->device_feature_select;
	case VPC_DEVICE_FEATURE:
		return vp->device_feature_select < 2
			       ? (uint32_t)(dev->offered >> (32 * vp->device_feature_select))
			       : 0;
	case VPC_DRIVER_FEATURE_SELECT:
		return vp->driver_feature_select;
	case VPC_DRIVER_FEATURE:
		return vp->driver_feature_select < 2
			       ? (uint32_t)(vp->driver_features >> (32 * vp->driver_feature_select))
			       : 0;
	case VPC_CONFIG_VECTOR:
		return dev->config_vector;
	case VPC_NUM_QUEUES:
		return dev->n_queues;
	case VPC_STATUS:
		return dev->status;
	case VPC_GENERATION: /* the configuration never changes under a driver */
		return 0;
	case VPC_QUEUE_SELECT:
		return vp->queue_select;
	default:
		return vpc_read_queue_locked(vp, off);
	}
}

static void vp_set_half(gpa_t *addr, unsigned off, uint32_t value)
{
	if (off % 8 == 4)
		addr->v = (addr->v & UINT32_MAX) | (uint64_t)value << 32;
	else
		addr->v = (addr->v & ~(uint64_t)UINT32_MAX) | value;
}

static uint16_t vp_vector(const struct virtio_pci *vp, uint32_t value)
{
	return value < msix_vectors(pci_func_msix(vp->func)) ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void vpc_write_queue_locked(struct virtio_pci *vp, unsigned off, uint32_t value)
{
	struct virtio_queue *q = vp_queue_locked(vp);
	if (q == NULL)
		return;
	if (off == VPC_QUEUE_VECTOR) {
		q->vector = vp_vector(vp, value);
		return;
	}
	if (q->enabled || !virtio_dev_configurable_locked(vp->dev))
		return;
	switch (off) {
	case VPC_QUEUE_SIZE:
		if (is_pow2(value) && value <= q->size_max)
			q->size = (uint16_t)value;
		break;
	case VPC_QUEUE_ENABLE:
		if (value == 1)
			virtio_dev_enable_queue_locked(vp->dev, vp->queue_select);
		break;
	case VPC_QUEUE_DESC:
	case VPC_QUEUE_DESC + 4:
		vp_set_half(&q->desc, off, value);
		break;
	case VPC_QUEUE_AVAIL:
	case VPC_QUEUE_AVAIL + 4:
		vp_set_half(&q->avail, off, value);
		break;
	case VPC_QUEUE_USED:
	case VPC_QUEUE_USED + 4:
		vp_set_half(&q->used, off, value);
		break;
	default: /* notify_off is read-only */
		break;
	}
}

static void vpc_write_features_locked(struct virtio_pci *vp, uint32_t value)
{
	unsigned shift = 32 * vp->driver_feature_select;
	if (vp->driver_feature_select >= 2)
		return;
	vp->driver_features &= ~((uint64_t)UINT32_MAX << shift);
	vp->driver_features |= (uint64_t)value << shift;
	virtio_dev_set_features_locked(vp->dev, vp->driver_features);
}

static void vpc_write_locked(struct virtio_pci *vp, unsigned off, uint32_t value)
{
	switch (off) {
	case VPC_DEVICE_FEATURE_SELECT:
		vp->device_feature_select = value;
		break;
	case VPC_DRIVER_FEATURE_SELECT:
		vp->driver_feature_select = value;
		break;
	case VPC_DRIVER_FEATURE:
		vpc_write_features_locked(vp, value);
		break;
	case VPC_CONFIG_VECTOR:
		vp->dev->config_vector = vp_vector(vp, value);
		break;
	case VPC_STATUS:
		if (value == 0) {
			vp->device_feature_select = vp->driver_feature_select = 0;
			vp->driver_features = 0;
			vp->queue_select = 0;
		}
		virtio_dev_set_status_locked(vp->dev, (uint8_t)value);
		break;
	case VPC_QUEUE_SELECT:
		vp->queue_select = (uint16_t)value;
		break;
	default:
		vpc_write_queue_locked(vp, off, value);
		break;
	}
}

/* ---- the BAR ---- */

static uint64_t vp_read_common(struct virtio_pci *vp, unsigned off, unsigned size)
{
	unsigned width = vpc_width(off);
	if (width == 0 || (size != width && !(size == 8 && width == 4 && off % 8 == 0)))
		return vio_ones(size);
	lk_lock(&vp->dev->lk);
	uint64_t v = vpc_read_locked(vp, off);
	if (size == 8)
		v |= (uint64_t)vpc_read_locked(vp, off + 4) << 32;
	lk_unlock(&vp->dev->lk);
	return v;
}

static void vp_write_common(struct virtio_pci *vp, unsigned off, unsigned size, uint64_t value)
{
	unsigned width = vpc_width(off);
	/* In halves only where both are one field: elsewhere the neighbour has side effects. */
	bool wide = size == 8 && off >= VPC_QUEUE_DESC && off % 8 == 0;
	if (width == 0 || (size != width && !wide))
		return;
	lk_lock(&vp->dev->lk);
	vpc_write_locked(vp, off, (uint32_t)value);
	if (wide)
		vpc_write_locked(vp, off + 4, (uint32_t)(value >> 32));
	lk_unlock(&vp->dev->lk);
}

static uint64_t vp_read_isr(struct virtio_pci *vp)
{
	lk_lock(&vp->dev->lk);
	uint8_t isr = vp->dev->isr;
	vp->dev->isr = 0; /* 4.1.4.5: reading clears it */
	lk_unlock(&vp->dev->lk);
	return isr;
}

static uint64_t vp_read_device(struct virtio_pci *vp, unsigned off, unsigned size)
{
	uint64_t v = 0;
	if (!range_inside(off, size, vp->dev->config_bytes))
		return vio_ones(size);
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)vp->dev->config[off + i] << (8 * i);
	return v;
}

static uint64_t vp_bar_read(void *arg, uint64_t off, unsigned size)
{
	struct virtio_pci *vp = arg;
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	unsigned at = (unsigned)(off % VP_REGION_BYTES);
	switch (off - at) {
	case VP_COMMON:
		return vp_read_common(vp, at, size);
	case VP_ISR:
		return at == 0 && size == 1 ? vp_read_isr(vp) : vio_ones(size);
	case VP_DEVICE:
		return vp_read_device(vp, at, size);
	default:
		return vio_ones(size);
	}
}

static void vp_notify(struct virtio_pci *vp, unsigned q)
{
	if (q < vp->dev->n_queues)
		virtio_dev_kick(vp->dev, vp->dev->queues[q].worker);
}

static void vp_bar_write(void *arg, uint64_t off, unsigned size, uint64_t value)
{
	struct virtio_pci *vp = arg;
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	unsigned at = (unsigned)(off % VP_REGION_BYTES);
	switch (off - at) {
	case VP_COMMON:
		vp_write_common(vp, at, size, value);
		break;
	case VP_NOTIFY: /* the place names the queue, whatever the value */
		if (at % VP_NOTIFY_STRIDE == 0 && (size == 2 || size == 4))
			vp_notify(vp, at / VP_NOTIFY_STRIDE);
		break;
	default: /* the device configuration of these devices is read-only */
		break;
	}
}

/* ---- the PCI configuration access capability (4.1.4.9): BAR accesses for who has no BAR ---- */

static bool vp_cfg_target(struct virtio_pci *vp, unsigned off, uint32_t *at, uint32_t *size)
{
	const uint8_t *c = pci_func_config(vp->func) + vp->cfg_cap;
	struct rcur rc = rcur_of(c + VP_CAP_OFFSET_AT, 8);
	*at = rcur_u32(&rc);
	*size = rcur_u32(&rc);
	return off == vp->cfg_cap + VP_CAP_DATA_AT && c[VP_CAP_BAR_AT] == VP_BAR &&
	       (*size == 1 || *size == 2 || *size == 4) && *at % *size == 0 &&
	       range_inside(*at, *size, VP_MSIX_TABLE);
}

static void vp_config_read(void *arg, unsigned off)
{
	struct virtio_pci *vp = arg;
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	uint32_t at, size;
	if (!vp_cfg_target(vp, off, &at, &size))
		return;
	struct wcur wc = wcur_of(pci_func_config(vp->func) + off, 4);
	wcur_u32(&wc, (uint32_t)vp_bar_read(vp, at, size));
}

static void vp_config_written(void *arg, unsigned off)
{
	struct virtio_pci *vp = arg;
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	uint32_t at, size;
	if (!vp_cfg_target(vp, off, &at, &size))
		return;
	struct rcur rc = rcur_of(pci_func_config(vp->func) + off, 4);
	vp_bar_write(vp, at, size, rcur_u32(&rc) & vio_ones(size));
}

static const struct pci_func_ops virtio_pci_func_ops = {
	.bar = {"virtio", vp_bar_read, vp_bar_write},
	.config_read = vp_config_read,
	.config_written = vp_config_written,
};

/* ---- set-up ---- */

static unsigned vp_add_cap(struct virtio_pci *vp, unsigned type, uint32_t off, uint32_t bytes)
{
	uint8_t body[18], wmask[18] = {0};
	bool cfg = type == VP_CAP_PCI_CFG, notify = type == VP_CAP_NOTIFY;
	size_t len = cfg || notify ? 18 : 14;
	struct wcur c = wcur_of(body, sizeof(body));
	wcur_u8(&c, (uint8_t)(len + 2));
	wcur_u8(&c, (uint8_t)type);
	wcur_u8(&c, VP_BAR);
	wcur_u8(&c, 0); /* id: only one of each type */
	wcur_u16(&c, 0);
	wcur_u32(&c, off);
	wcur_u32(&c, bytes);
	wcur_u32(&c, notify ? VP_NOTIFY_STRIDE : 0);
	CHECK(!c.bad);
	if (cfg) { /* bar, offset, length and data are the driver's */
		wmask[VP_CAP_BAR_AT - 2] = 0xff;
		memset(wmask + VP_CAP_OFFSET_AT - 2, 0xff, 12);
	}
	return pci_func_add_cap(vp->func, PCI_CAP_VENDOR, body, len, wmask, cfg);
}

static uint32_t vp_class(enum virtio_id id)
{
	switch (id) {
	case VIRTIO_ID_NET:
		return 0x020000;
	case VIRTIO_ID_BLK:
		return 0x010000;
	case VIRTIO_ID_CONSOLE:
		return 0x078000;
	default:
		return 0x00ff00;
	}
}

static void vp_interrupt(void *ctx, uint16_t vector)
{
	struct virtio_pci *vp = ctx;
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	msix_notify(pci_func_msix(vp->func), vector);
}

int virtio_pci_create(struct pci_host *host, unsigned slot, const struct vio_irq *irq,
	struct virtio_dev *dev, struct virtio_pci **out)
{
	struct virtio_pci *vp = calloc(1, sizeof(*vp));
	if (vp == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(vp, VIRTIO_PCI_MAGIC);
	vp->dev = dev;
	const struct pci_func_cfg cfg = {
		.vendor = VIRTIO_VENDOR,
		.device = (uint16_t)(VIRTIO_DEVICE_MODERN + dev->id),
		.subvendor = VIRTIO_VENDOR,
		.subdevice = 0x1100,
		.revision = 1,
		.class = vp_class(dev->id),
		.bars = {[VP_BAR] = {.bytes = VP_BAR_BYTES, .wide = true}},
		.ops = &virtio_pci_func_ops,
		.dev = vp,
		.msix_vectors = dev->n_queues + 1,
		.msix_bar = VP_BAR,
		.msix_table_off = VP_MSIX_TABLE,
		.msix_pba_off = VP_MSIX_PBA,
		.irq = *irq,
	};
	int err = pci_func_create(host, slot, &cfg, &vp->func);
	if (err != 0) {
		free(vp);
		return err;
	}
	vp_add_cap(vp, VP_CAP_COMMON, VP_COMMON, VP_COMMON_BYTES);
	vp_add_cap(vp, VP_CAP_ISR, VP_ISR, 1);
	if (dev->config_bytes != 0)
		vp_add_cap(vp, VP_CAP_DEVICE, VP_DEVICE, (uint32_t)dev->config_bytes);
	vp_add_cap(vp, VP_CAP_NOTIFY, VP_NOTIFY, dev->n_queues * VP_NOTIFY_STRIDE);
	vp->cfg_cap = vp_add_cap(vp, VP_CAP_PCI_CFG, 0, 0);
	dev->transport = (struct virtio_transport){.interrupt = vp_interrupt, .ctx = vp};
	*out = vp;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *vp)
{
	if (vp == NULL)
		return;
	virtio_dev_stop(vp->dev);
	pci_func_destroy(vp->func);
	vp->dev->ops->destroy(vp->dev);
	OBJ_FINI(vp, VIRTIO_PCI_MAGIC);
	free(vp);
}

void virtio_pci_reset(struct virtio_pci *vp)
{
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	virtio_dev_power_reset(vp->dev);
	pci_func_reset(vp->func);
	lk_lock(&vp->dev->lk);
	vp->device_feature_select = vp->driver_feature_select = 0;
	vp->driver_features = 0;
	vp->queue_select = 0;
	lk_unlock(&vp->dev->lk);
}

struct virtio_dev *virtio_pci_dev(struct virtio_pci *vp)
{
	OBJ_CHECK(vp, VIRTIO_PCI_MAGIC);
	return vp->dev;
}
