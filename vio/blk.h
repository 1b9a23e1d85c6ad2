/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_BLK_H
#define VIO_BLK_H

#include "vio/disk.h"
#include "vio/virtio.h"

/* virtio-blk (virtio 1.2, 5.2): one worker thread per queue, host I/O through a bounce buffer. */
#define BLK_QUEUES_MAX   16u
#define BLK_SERIAL_BYTES 20u

struct blk_cfg {
	struct disk *disk;  /* taken over, on success */
	unsigned queues;    /* 1 to BLK_QUEUES_MAX */
	const char *serial; /* cut at BLK_SERIAL_BYTES; NULL: empty */
};

/* ERR_RANGE: number of queues. Context: main thread. */
MUST_CHECK int blk_create(
	const struct dsm_gate *gate, const struct blk_cfg *cfg, struct virtio_dev **out);

#endif
