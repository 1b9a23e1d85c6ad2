/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lk.h"
#include "base/log.h"

#define DISK_MAGIC 0x6469736bu

/* Granule of the overlay: the page and file-system block size, so that common writes copy
 * nothing. */
#define DISK_BLOCK_BYTES 4096u
#define DISK_ZERO_BYTES  65536u

struct disk {
	uint32_t magic;
	struct disk_cfg cfg;
	uint64_t image_bytes; /* of the file */
	uint64_t bytes;       /* of the disk: rounded up to a sector */
	struct lk lk;         /* the map, and every change of the overlay */
	uint8_t *present;     /* bit per block: it is in the overlay */
	uint64_t used_blocks, limit_blocks;
};

static bool disk_has_overlay(const struct disk *d)
{
	return d->cfg.overlay_fd >= 0;
}

/* ---- whole transfers ---- */

/* Reads until the end of the file; *got says how far. */
static int disk_fd_read(int fd, uint64_t off, uint8_t *buf, size_t len, size_t *got)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			log_limited(vio, "cannot read a disk image, offset %llu: %m",
				(unsigned long long)off);
			return ERR_IO;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return 0;
}

static int disk_fd_write(int fd, uint64_t off, const uint8_t *buf, size_t len)
{
	while (len != 0) {
		ssize_t n = pwrite(fd, buf, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n < 0 && (errno == ENOSPC || errno == EDQUOT) ? ERR_NO_SPACE
										: ERR_IO;
			log_limited(vio, "cannot write a disk image, offset %llu: %m",
				(unsigned long long)off);
			return err;
		}
		buf += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Of the image: behind its last byte, and only there, it reads as zeros. */
static int disk_image_read(struct disk *d, uint64_t off, uint8_t *buf, size_t len)
{
	size_t got;
	int err = disk_fd_read(d->cfg.fd, off, buf, len, &got);
	if (err != 0)
		return err;
	if (off + got < MIN(off + len, d->image_bytes)) {
		log_limited(vio, "a disk image has become shorter, offset %llu",
			(unsigned long long)(off + got));
		return ERR_IO;
	}
	memset(buf + got, 0, len - got);
	return 0;
}

/* ---- the map of the overlay ---- */

static bool disk_present_locked(const struct disk *d, uint64_t block)
{
	return (d->present[block / 8] >> (block % 8) & 1) != 0;
}

static void disk_set_present_locked(struct disk *d, uint64_t block, bool present)
{
	uint8_t bit = (uint8_t)(1u << (block % 8));
	if (present)
		d->present[block / 8] |= bit;
	else
		d->present[block / 8] &= (uint8_t)~bit;
}

/* How many bytes from `off` lie in blocks of the same kind, at most `len`. */
static size_t disk_run_locked(const struct disk *d, uint64_t off, size_t len, bool *present)
{
	uint64_t block = off / DISK_BLOCK_BYTES, end = off + len;
	*present = disk_present_locked(d, block);
	do
		block++;
	while (block * DISK_BLOCK_BYTES < end && disk_present_locked(d, block) == *present);
	return (size_t)(MIN(end, block * DISK_BLOCK_BYTES) - off);
}

static int disk_overlay_read(struct disk *d, uint64_t off, uint8_t *buf, size_t len)
{
	while (len != 0) {
		bool present;
		lk_lock(&d->lk);
		size_t n = disk_run_locked(d, off, len, &present), got = n;
		lk_unlock(&d->lk);
		/* A write that runs beside this read may move a block meanwhile; the guest that
		 * does both at once gets one or the other, as from any disk. */
		int err = present ? disk_fd_read(d->cfg.overlay_fd, off, buf, n, &got)
				  : disk_image_read(d, off, buf, n);
		if (err != 0)
			return err;
		if (got != n) {
			log_limited(vio, "a disk overlay has become shorter");
			return ERR_IO;
		}
		off += n;
		buf += n;
		len -= n;
	}
	return 0;
}

/* Write a part of a block: `len` bytes at `at`. The rest of a new one comes from the image. */
static int disk_overlay_write_part_locked(
	struct disk *d, uint64_t block, size_t at, const uint8_t *buf, size_t len)
{
	uint64_t off = block * DISK_BLOCK_BYTES;
	bool present = disk_present_locked(d, block);
	uint8_t whole[DISK_BLOCK_BYTES];
	if (!present && d->used_blocks >= d->limit_blocks)
		return ERR_NO_SPACE;
	if (present)
		return disk_fd_write(d->cfg.overlay_fd, off + at, buf, len);
	int err = disk_image_read(d, off, whole, sizeof(whole));
	if (err != 0)
		return err;
	memcpy(whole + at, buf, len);
	err = disk_fd_write(d->cfg.overlay_fd, off, whole, sizeof(whole));
	if (err != 0)
		return err;
	disk_set_present_locked(d, block, true);
	d->used_blocks++;
	return 0;
}

/* Write whole blocks at once, all of them or none. */
static int disk_overlay_write_whole_locked(
	struct disk *d, uint64_t block, const uint8_t *buf, size_t blocks)
{
	uint64_t missing = 0;
	for (size_t i = 0; i < blocks; i++)
		missing += !disk_present_locked(d, block + i);
	if (missing > d->limit_blocks - d->used_blocks)
		return ERR_NO_SPACE;
	int err = disk_fd_write(
		d->cfg.overlay_fd, block * DISK_BLOCK_BYTES, buf, blocks * DISK_BLOCK_BYTES);
	if (err != 0)
		return err;
	for (size_t i = 0; i < blocks; i++)
		disk_set_present_locked(d, block + i, true);
	d->used_blocks += missing;
	return 0;
}

static int disk_overlay_write(struct disk *d, uint64_t off, const uint8_t *buf, size_t len)
{
	int err = 0;
	lk_lock(&d->lk);
	while (err == 0 && len != 0) {
		size_t at = off % DISK_BLOCK_BYTES, n;
		uint64_t block = off / DISK_BLOCK_BYTES;
		if (at == 0 && len >= DISK_BLOCK_BYTES) {
			n = (size_t)align_down(len, DISK_BLOCK_BYTES);
			err = disk_overlay_write_whole_locked(d, block, buf, n / DISK_BLOCK_BYTES);
		} else {
			n = MIN(len, DISK_BLOCK_BYTES - at);
			err = disk_overlay_write_part_locked(d, block, at, buf, n);
		}
		off += n;
		buf += n;
		len -= n;
	}
	lk_unlock(&d->lk);
	return err;
}

/* Blocks that lie wholly inside go back to what the image says, which frees their room. */
static void disk_overlay_discard(struct disk *d, uint64_t off, uint64_t len)
{
	uint64_t first = (off + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
	uint64_t end = (off + len) / DISK_BLOCK_BYTES;
	lk_lock(&d->lk);
	for (uint64_t block = first; block < end; block++) {
		if (!disk_present_locked(d, block))
			continue;
		if (fallocate(d->cfg.overlay_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)(block * DISK_BLOCK_BYTES), DISK_BLOCK_BYTES) != 0)
			continue; /* keeps its room and its bytes */
		disk_set_present_locked(d, block, false);
		d->used_blocks--;
	}
	lk_unlock(&d->lk);
}

/* ---- the disk ---- */

static int disk_measure(struct disk *d)
{
	off_t end = lseek(d->cfg.fd, 0, SEEK_END);
	if (end <= 0)
		return ERR_FORMAT;
	d->image_bytes = (uint64_t)end;
	d->bytes = (d->image_bytes + DISK_SECTOR_BYTES - 1) & ~(uint64_t)(DISK_SECTOR_BYTES - 1);
	return 0;
}

int disk_create(const struct disk_cfg *cfg, struct disk **out)
{
	struct disk *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return ERR_NO_MEMORY;
	d->cfg = *cfg;
	int err = disk_measure(d);
	if (err != 0)
		goto undo_alloc;
	if (disk_has_overlay(d)) {
		uint64_t blocks = (d->bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
		d->limit_blocks = cfg->overlay_limit_bytes / DISK_BLOCK_BYTES;
		d->present = calloc(blocks / 8 + 1, 1);
		err = ERR_NO_MEMORY;
		if (d->present == NULL)
			goto undo_alloc;
	}
	lk_init(&d->lk, LK_disk);
	OBJ_INIT(d, DISK_MAGIC);
	*out = d;
	return 0;
undo_alloc:
	free(d);
	return err;
}

void disk_destroy(struct disk *d)
{
	if (d == NULL)
		return;
	OBJ_FINI(d, DISK_MAGIC);
	close(d->cfg.fd);
	if (disk_has_overlay(d))
		close(d->cfg.overlay_fd);
	lk_fini(&d->lk);
	free(d->present);
	free(d);
}

int disk_overlay_open(const char *dir, int *fd)
{
	int f = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		char path[4096];
		int n = snprintf(path, sizeof(path), "%s/overlay-XXXXXX", dir);
		if (n < 0 || (size_t)n >= sizeof(path))
			return ERR_INVAL;
		f = mkostemp(path, O_CLOEXEC);
		if (f >= 0)
			unlink(path);
	}
	if (f < 0) {
		log_error(vio, "cannot make a file for a disk's overlay in %s: %m", dir);
		return err_from_errno(errno);
	}
	*fd = f;
	return 0;
}

uint64_t disk_bytes(const struct disk *d)
{
	OBJ_CHECK(d, DISK_MAGIC);
	return d->bytes;
}

bool disk_read_only(const struct disk *d)
{
	OBJ_CHECK(d, DISK_MAGIC);
	return d->cfg.read_only;
}

static int disk_check(const struct disk *d, uint64_t off, uint64_t len, bool change)
{
	OBJ_CHECK(d, DISK_MAGIC);
	if (off % DISK_SECTOR_BYTES != 0 || len % DISK_SECTOR_BYTES != 0)
		return ERR_INVAL;
	if (!range_inside(off, len, d->bytes))
		return ERR_RANGE;
	return change && d->cfg.read_only ? ERR_DENIED : 0;
}

int disk_read(struct disk *d, uint64_t off, void *buf, size_t len)
{
	int err = disk_check(d, off, len, false);
	if (err != 0)
		return err;
	return disk_has_overlay(d) ? disk_overlay_read(d, off, buf, len)
				   : disk_image_read(d, off, buf, len);
}

int disk_write(struct disk *d, uint64_t off, const void *buf, size_t len)
{
	int err = disk_check(d, off, len, true);
	if (err != 0)
		return err;
	return disk_has_overlay(d) ? disk_overlay_write(d, off, buf, len)
				   : disk_fd_write(d->cfg.fd, off, buf, len);
}

int disk_flush(struct disk *d)
{
	OBJ_CHECK(d, DISK_MAGIC);
	if (disk_has_overlay(d) || d->cfg.read_only)
		return 0;
	if (fdatasync(d->cfg.fd) == 0)
		return 0;
	log_limited(vio, "cannot flush a disk image: %m");
	return ERR_IO;
}

int disk_discard(struct disk *d, uint64_t off, uint64_t len)
{
	int err = disk_check(d, off, len, true);
	if (err != 0)
		return err;
	if (disk_has_overlay(d))
		disk_overlay_discard(d, off, len);
	else if (len != 0 && fallocate(d->cfg.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     (off_t)off, (off_t)len) != 0)
		return errno == EIO ? ERR_IO : 0; /* a hint: what can not be freed stays */
	return 0;
}

static int disk_write_zeros(struct disk *d, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[DISK_ZERO_BYTES];
	while (len != 0) {
		size_t n = (size_t)MIN(len, (uint64_t)sizeof(zeros));
		int err = disk_write(d, off, zeros, n);
		if (err != 0)
			return err;
		off += n;
		len -= n;
	}
	return 0;
}

int disk_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap)
{
	int err = disk_check(d, off, len, true);
	if (err != 0 || len == 0)
		return err;
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;
	if (!disk_has_overlay(d) && fallocate(d->cfg.fd, mode, (off_t)off, (off_t)len) == 0)
		return 0;
	return disk_write_zeros(d, off, len);
}

uint64_t disk_overlay_bytes(struct disk *d)
{
	OBJ_CHECK(d, DISK_MAGIC);
	lk_lock(&d->lk);
	uint64_t n = d->used_blocks * DISK_BLOCK_BYTES;
	lk_unlock(&d->lk);
	return n;
}
