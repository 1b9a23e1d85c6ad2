/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_VIO_H
#define VIO_VIO_H

#include "base/check.h"
#include "dsm/dsm.h"
#include "proto/ids.h"

/*
 * Devices of a VM. They all live on their home slice; accesses from vCPUs of other slices arrive
 * there as messages.
 *
 * Register handlers run on whatever thread brings the access (a local vCPU, or the slice's device
 * thread), under the device's own lock, never block and never touch guest memory: a queue
 * notification only wakes the worker that does. Workers reach guest memory through the dsm gate
 * alone.
 */

/* What a device needs from the slice. Any thread; none waits. */
struct vio_irq_ops {
	/* A memory write by a device to an interrupt controller: on rv64 an IMSIC file. */
	void (*msi)(void *ctx, gpa_t addr, uint32_t data);
};
struct vio_irq {
	const struct vio_irq_ops *ops;
	void *ctx;
};

/* ---- the bus: guest-physical ranges and who answers them ------------------------------ */

struct vio_range_ops {
	const char *name;
	/*
	 * `off` is inside the range, `size` 1, 2, 4 or 8, the access does not cross its end. An
	 * access that the device does not know reads all ones and writes nothing.
	 */
	uint64_t (*read)(void *dev, uint64_t off, unsigned size);
	void (*write)(void *dev, uint64_t off, unsigned size, uint64_t value);
};

struct vio_bus;
MUST_CHECK int vio_bus_create(struct vio_bus **out);
void vio_bus_destroy(struct vio_bus *bus);
/* ERR_EXISTS: overlaps a range. Context: any thread (PCI BARs move at run time). */
MUST_CHECK int vio_bus_add(struct vio_bus *bus, gpa_t start, uint64_t bytes,
	const struct vio_range_ops *ops, void *dev);
void vio_bus_remove(struct vio_bus *bus, gpa_t start);
/* ERR_NOT_FOUND: no device there. Context: any thread, does not block. */
MUST_CHECK int vio_bus_read(struct vio_bus *bus, gpa_t addr, unsigned size, uint64_t *value);
MUST_CHECK int vio_bus_write(struct vio_bus *bus, gpa_t addr, unsigned size, uint64_t value);

#endif
