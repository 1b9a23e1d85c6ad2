/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/unit/dsm/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/check.h"
#include "proto/ids.h"

int files_small(unsigned kib)
{
	char dir[] = "/tmp/dsm_ut.XXXXXX";
	char file[64], size[32];
	CHECK(mkdtemp(dir) != NULL);
	snprintf(size, sizeof(size), "size=%uk", kib);
	if (mount("dsm_ut", dir, "tmpfs", 0, size) != 0) {
		rmdir(dir);
		return -1;
	}
	snprintf(file, sizeof(file), "%s/ram", dir);
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return fd;
}

int files_on_disk(void)
{
	struct statfs fs;
	int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

uint64_t files_pages(int fd)
{
	struct stat st;
	CHECK(fstat(fd, &st) == 0);
	return (uint64_t)st.st_blocks * 512 / PAGE_BYTES;
}
