/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/ram.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/ut.h"
#include "tests/unit/dsm/files.h"

static struct ram ram;

static void after(void)
{
	if (ram.alias != NULL)
		ram_fini(&ram);
}

UT_SUITE_WITH(ram, NULL, after);

static uint64_t file_pages(void)
{
	return files_pages(ram.fd);
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
	int fd = files_small(16);
	if (fd < 0)
		UT_SKIP("mounting a small tmpfs needs root");
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

/* ---- from one slice to several -------------------------------------------------------------- */

#define PIECE (RAM_PIECE_BYTES / PAGE_BYTES)
#define MOVED (2 * PIECE + 7) /* pages: pieces, and a part of one */

static void lone_make(void)
{
	UT_OK(ram_init(&ram, -1, MOVED * PAGE_BYTES, false));
	for (unsigned i = 0; i < MOVED; i += 3)
		memset(ram.guest + i * PAGE_BYTES, i | 1, PAGE_BYTES);
	ram.guest[PAGE_BYTES + 5] = 1; /* and zeros again */
	ram.guest[PAGE_BYTES + 5] = 0;
	ram.guest[MOVED * PAGE_BYTES - 1] = 9; /* a page that begins with zeros */
}

static unsigned wrong_bytes(const uint8_t *p)
{
	unsigned wrong = 0;
	for (unsigned i = 0; i < MOVED * PAGE_BYTES; i++) {
		unsigned page = i / PAGE_BYTES;
		uint8_t want = page % 3 == 0 ? (uint8_t)(page | 1) : 0;
		wrong += p[i] != (i == MOVED * PAGE_BYTES - 1 ? 9 : want);
	}
	return wrong;
}

static void expect_lone(const uint8_t *guest)
{
	UT_CHECK(ram.guest == guest && ram.alias == guest);
	UT_EQ(ram.fd, -1);
	UT_EQ(wrong_bytes(guest), 0);
	UT_EQ(atomic_load(&ram.backed), 0);
	for (unsigned i = 0; i < MOVED; i++)
		UT_EQ(ram_state(&ram, i), 0);
}

UT_TEST(lone_memory_moves_where_it_is)
{
	lone_make();
	uint8_t *guest = ram.guest;
	UT_OK(ram_share(&ram, -1));
	UT_CHECK(ram.guest == guest && ram.alias != guest);
	UT_EQ(file_pages(), (MOVED + 2) / 3 + 1);
	UT_EQ(atomic_load(&ram.backed), (MOVED + 2) / 3 + 1);
	for (unsigned i = 0; i < MOVED; i++)
		UT_EQ(ram_state(&ram, i), i % 3 == 0 || i == MOVED - 1 ? RAM_BACKED | RAM_LIVE : 0);
	guest[3 * PAGE_BYTES] = 77;
	UT_EQ(ram_bytes(&ram, 3)[0], 77);
	guest[3 * PAGE_BYTES] = 3;
	UT_EQ(wrong_bytes(ram.alias), 0);
	UT_EQ(wrong_bytes(guest), 0); /* last: this fills the holes */
}

UT_TEST(shared_memory_moves_back)
{
	lone_make();
	uint8_t *guest = ram.guest;
	for (unsigned round = 0; round < 2; round++) {
		UT_OK(ram_share(&ram, -1));
		ram_unshare(&ram);
		expect_lone(guest);
	}
}

/* Full in the first piece, in the last one, and at the end of one. */
UT_TEST(memory_that_finds_no_room_stays)
{
	static const unsigned rooms[] = {3, PIECE / 3 + 1, MOVED / 3};
	lone_make();
	uint8_t *guest = ram.guest;
	for (unsigned i = 0; i < ARRAY_SIZE(rooms); i++) {
		int fd = files_small(rooms[i] * PAGE_BYTES / 1024);
		if (fd < 0)
			UT_SKIP("mounting a small tmpfs needs root");
		int seen = dup(fd);
		UT_ERR(ram_share(&ram, fd), NO_MEMORY);
		UT_EQ(files_pages(seen), 0);
		close(seen);
		expect_lone(guest);
	}
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
