/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/ram.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/ut.h"

static struct ram ram;

static void after(void)
{
	if (ram.alias != NULL)
		ram_fini(&ram);
}

UT_SUITE_WITH(ram, NULL, after);

static uint64_t file_pages(void)
{
	struct stat st;
	CHECK(fstat(ram.fd, &st) == 0);
	return (uint64_t)st.st_blocks * 512 / PAGE_BYTES;
}

UT_TEST(fill_backs_and_both_mappings_see_it)
{
	uint8_t page[PAGE_BYTES];
	UT_OK(ram_init(&ram, -1, 16 * PAGE_BYTES, true));
	UT_EQ(file_pages(), 0);
	UT_EQ(ram_state(&ram, 3), 0);
	memset(page, 0x5a, sizeof(page));
	UT_OK(ram_fill(&ram, 3, page));
	UT_OK(ram_fill(&ram, 4, NULL));
	UT_EQ(ram_state(&ram, 3), RAM_BACKED | RAM_LIVE);
	UT_EQ(file_pages(), 2);
	UT_EQ(atomic_load(&ram.backed), 2);
	UT_EQ_MEM(ram_bytes(&ram, 3), page, PAGE_BYTES);
	UT_EQ_MEM(ram.guest + 3 * PAGE_BYTES, page, PAGE_BYTES);
	UT_CHECK(!ram_is_zero(&ram, 3));
	UT_CHECK(ram_is_zero(&ram, 4));
	UT_CHECK(ram_is_zero(&ram, 5)); /* a hole, and stays one */
	UT_EQ(file_pages(), 2);
	UT_OK(ram_fill(&ram, 3, NULL));
	UT_CHECK(ram_is_zero(&ram, 3));
}

UT_TEST(neighbours_share_a_byte_of_state)
{
	UT_OK(ram_init(&ram, -1, 5 * PAGE_BYTES, true));
	ram_mark(&ram, 2, 0, RAM_BACKED | RAM_LIVE | RAM_READ | RAM_WRITE);
	ram_mark(&ram, 3, 0, RAM_BACKED);
	ram_mark(&ram, 2, RAM_WRITE, 0);
	UT_EQ(ram_state(&ram, 2), RAM_BACKED | RAM_LIVE | RAM_READ);
	UT_EQ(ram_state(&ram, 3), RAM_BACKED);
	UT_EQ(ram_state(&ram, 4), 0);
	UT_EQ(atomic_load(&ram.backed), 2);
}

/* A retired page may stay for a while, but never more than the stated number of them. */
UT_TEST(retired_pages_are_given_back)
{
	enum { PAGES = 4 * RAM_STALE_MAX };
	UT_OK(ram_init(&ram, -1, (uint64_t)PAGES * PAGE_BYTES, true));
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned page = i * 7 % PAGES;
		UT_OK(ram_fill(&ram, page, NULL));
		ram_retire(&ram, page);
		UT_CHECK(file_pages() <= RAM_STALE_MAX);
	}
	ram_flush(&ram);
	UT_EQ(file_pages(), 0);
	UT_EQ(atomic_load(&ram.backed), 0);
}

UT_TEST(a_page_that_came_back_is_not_given_back)
{
	uint8_t page[PAGE_BYTES];
	memset(page, 1, sizeof(page));
	UT_OK(ram_init(&ram, -1, 8 * PAGE_BYTES, true));
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 8; i++) {
			UT_OK(ram_fill(&ram, i, page));
			ram_retire(&ram, i);
		}
		UT_OK(ram_fill(&ram, 3, page));
		UT_OK(ram_fill(&ram, 6, page));
	}
	ram_flush(&ram);
	UT_EQ(file_pages(), 2);
	UT_EQ_MEM(ram_bytes(&ram, 3), page, PAGE_BYTES);
	UT_EQ_MEM(ram_bytes(&ram, 6), page, PAGE_BYTES);
	UT_CHECK(ram_is_zero(&ram, 2));
}

UT_TEST(refuses_sizes)
{
	UT_ERR(ram_init(&ram, -1, 0, true), INVAL);
	UT_ERR(ram_init(&ram, -1, PAGE_BYTES + 1, true), INVAL);
	UT_ERR(ram_init(&ram, -1, (uint64_t)1 << 44, true), INVAL);
}

/* A file system without room: an error from ram_fill, no signal. */
UT_TEST(full_tmpfs_is_an_error)
{
	char dir[] = "/tmp/ram_ut.XXXXXX";
	char file[64];
	UT_CHECK(mkdtemp(dir) != NULL);
	if (mount("ram_ut", dir, "tmpfs", 0, "size=16k") != 0) {
		rmdir(dir);
		UT_SKIP("mounting a small tmpfs needs root");
	}
	snprintf(file, sizeof(file), "%s/ram", dir);
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	UT_CHECK(fd >= 0);
	UT_OK(ram_init(&ram, fd, 64 * PAGE_BYTES, true));
	unsigned full = 0;
	while (full < 64 && ram_fill(&ram, full, NULL) == 0)
		full++;
	UT_EQ(full, 4);
	UT_EQ(ram_state(&ram, full), 0);
	uint8_t page[PAGE_BYTES] = {1};
	UT_ERR(ram_fill(&ram, full, page), NO_MEMORY);
	ram_retire(&ram, 0);
	ram_flush(&ram);
	UT_OK(ram_fill(&ram, full, page));
}

UT_TEST(admission_asks_the_host)
{
	UT_OK(ram_admit(PAGE_BYTES, PAGE_BYTES));
	UT_ERR(ram_admit((uint64_t)1 << 50, (uint64_t)1 << 50), NO_MEMORY);
}

/* The limit would raise SIGXFSZ in ftruncate. In a child, because it can not be raised again. */
UT_TEST(admission_asks_the_file_size_limit)
{
	pid_t pid = fork();
	UT_CHECK(pid >= 0);
	if (pid == 0) {
		struct rlimit limit = {1 << 20, 1 << 20};
		CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		_exit(ram_admit(PAGE_BYTES, 2 << 20) == ERR_NO_MEMORY &&
					ram_admit(PAGE_BYTES, 1 << 20) == 0
				? 0
				: 1);
	}
	int status;
	UT_EQ(waitpid(pid, &status, 0), pid);
	UT_EQ(status, 0);
}
