/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device that serves what the input has put into guest memory, on the caller's thread.
 * First byte: bit 0 read-only, bit 1 overlay, bit 2 FLUSH negotiated; the rest is guest memory with
 * rings as in fz_virtq.
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/fake_gate.h"
#include "vio/blk.h"

#define RAM_BYTES  UINT64_C(0x4000)
#define DISK_BYTES 16384
#define SIZE       16u
#define F_FLUSH    (UINT64_C(1) << 9)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_interrupt(void *ctx, uint16_t vector)
{
}

static int memory_file(off_t bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	CHECK(fd >= 0 && ftruncate(fd, bytes) == 0);
	return fd;
}

static struct virtio_dev *make(struct fake_gate *g, uint8_t flags)
{
	const struct disk_cfg cfg = {
		.fd = memory_file(DISK_BYTES - 100),
		.read_only = (flags & 1) != 0,
		.overlay_fd = (flags & 2) != 0 ? memory_file(0) : -1,
		.overlay_limit_bytes = DISK_BYTES / 2,
	};
	struct blk_cfg blk = {.queues = 1, .serial = "fuzz"};
	struct virtio_dev *dev;
	CHECK(disk_create(&cfg, &blk.disk) == 0);
	CHECK(blk_create(&g->gate, &blk, &dev) == 0);
	return dev;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_gate g;
	if (g.ram == NULL)
		fake_gate_init(&g, RAM_BYTES);
	if (size < 1)
		return 0;
	memset(g.ram, 0, RAM_BYTES);
	memcpy(g.ram, data + 1, MIN(size - 1, (size_t)RAM_BYTES));
	struct virtio_dev *dev = make(&g, data[0]);
	dev->transport = (struct virtio_transport){on_interrupt, NULL};
	dev->features = (data[0] & 4) != 0 ? F_FLUSH : 0;
	const struct virtq_cfg cfg = {
		.gate = &g.gate,
		.size = SIZE,
		.desc = {g.gate.base.v},
		.avail = {g.gate.base.v + 0x400},
		.used = {g.gate.base.v + 0x600},
		.indirect = true,
	};
	CHECK(virtq_init(&dev->queues[0].vq, &cfg) == 0);
	dev->queues[0].started = true;
	CHECK(dev->ops->run(dev, 0) == VIRTIO_RUN_WHEN_NOTIFIED);
	CHECK(atomic_load(&g.pinned) == 0);
	dev->ops->destroy(dev);
	return 0;
}
