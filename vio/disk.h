/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_DISK_H
#define VIO_DISK_H

#include "base/check.h"

/*
 * The bytes behind a block device: a raw image (file or block device), either written to directly
 * or under a private copy-on-write overlay that is thrown away.
 *
 * Any thread, several at once; they block for host I/O. Offsets and lengths are multiples of
 * DISK_SECTOR_BYTES, or ERR_INVAL. ERR_RANGE: past the end; ERR_IO; ERR_NO_SPACE: the overlay has
 * reached its limit, or the host's file system is full; ERR_DENIED: read-only.
 */
#define DISK_SECTOR_BYTES 512u

struct disk;

struct disk_cfg {
	int fd; /* the image */
	bool read_only;
	/* -1: none. Else an empty file for the overlay, at most `overlay_limit_bytes` of which are
	 * used; the image is then only read. */
	int overlay_fd;
	uint64_t overlay_limit_bytes;
};

/* Takes over the descriptors, on success only. An image whose size is no multiple of a sector is
 * continued with zeros. ERR_FORMAT: empty, or nothing that has a size. */
MUST_CHECK int disk_create(const struct disk_cfg *cfg, struct disk **out);
void disk_destroy(struct disk *d);

/* An unlinked sparse file in `dir` for an overlay. Logs what failed. */
MUST_CHECK int disk_overlay_open(const char *dir, int *fd);

uint64_t disk_bytes(const struct disk *d);
bool disk_read_only(const struct disk *d);
MUST_CHECK int disk_read(struct disk *d, uint64_t off, void *buf, size_t len);
MUST_CHECK int disk_write(struct disk *d, uint64_t off, const void *buf, size_t len);
/* What was written before is on stable storage. Nothing to do for an overlay: it dies with us. */
MUST_CHECK int disk_flush(struct disk *d);
/* The bytes are not needed any more; they read as anything. Never fails for want of support. */
MUST_CHECK int disk_discard(struct disk *d, uint64_t off, uint64_t len);
/* The bytes read as zero; `unmap`: and need not keep their room. */
MUST_CHECK int disk_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap);
/* Bytes of the overlay in use. */
uint64_t disk_overlay_bytes(struct disk *d);

#endif
