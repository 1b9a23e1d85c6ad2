/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/uffd.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/ut.h"

#define PAGES 16u

static struct ram ram;
static struct uffd uffd;
static int dev;

static void before(void)
{
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
}

static void after(void)
{
	if (uffd.ram != NULL) {
		uffd_fini(&uffd);
		ram_fini(&ram);
		uffd.ram = NULL;
	}
	if (dev >= 0)
		close(dev);
}

UT_SUITE_WITH(uffd, before, after);

/* Every check runs in every way that the kernel and this user have. */
#define IN_ALL_MODES(check)                                                                        \
	UT_TEST(check##_copy)                                                                      \
	{                                                                                          \
		run(check, DSM_UFFD_COPY);                                                         \
	}                                                                                          \
	UT_TEST(check##_continue)                                                                  \
	{                                                                                          \
		run(check, DSM_UFFD_CONTINUE);                                                     \
	}                                                                                          \
	UT_TEST(check##_user_only)                                                                 \
	{                                                                                          \
		run(check, DSM_UFFD_USER_ONLY);                                                    \
	}

static void run(void (*check)(void), enum dsm_uffd_mode mode)
{
	enum uffd_way way;
	bool user_only;
	char why[160];
	if (uffd_probe(mode, dev, &way, &user_only, why, sizeof(why)) != 0)
		UT_SKIP("%s", why);
	UT_EQ(user_only, mode == DSM_UFFD_USER_ONLY);
	UT_OK(ram_init(&ram, -1, PAGES * PAGE_BYTES, true));
	UT_OK(uffd_init(&uffd, &ram, mode, dev, why, sizeof(why)));
	UT_OK(uffd_guard(&uffd));
	UT_EQ(uffd.way, way);
	check();
}

/* One access by a thread of its own. */
struct access {
	pthread_t thread;
	unsigned page;
	bool write;
	uint64_t value; /* to write, or read */
	_Atomic uint32_t tid;
	_Atomic bool done;
};

static void *access_run(void *arg)
{
	struct access *a = arg;
	volatile uint64_t *p = (uint64_t *)(ram.guest + a->page * PAGE_BYTES);
	atomic_store(&a->tid, (uint32_t)syscall(SYS_gettid));
	if (a->write)
		*p = a->value;
	else
		a->value = *p;
	atomic_store(&a->done, true);
	return NULL;
}

static void access_start(struct access *a, unsigned page, bool write, uint64_t value)
{
	*a = (struct access){.page = page, .write = write, .value = value};
	CHECK(pthread_create(&a->thread, NULL, access_run, a) == 0);
}

static void access_join(struct access *a)
{
	CHECK(pthread_join(a->thread, NULL) == 0);
}

static struct uffd_fault next_fault(void)
{
	struct uffd_fault fault;
	struct pollfd pfd = {.fd = uffd.fd, .events = POLLIN};
	do
		CHECK(poll(&pfd, 1, 10000) == 1);
	while (uffd_read(&uffd, &fault, 1) != 1);
	return fault;
}

static void expect_fault(const struct access *a)
{
	struct uffd_fault fault = next_fault();
	UT_EQ(fault.page, a->page);
	UT_EQ(fault.write, a->write);
	UT_EQ(fault.tid, atomic_load(&a->tid));
	UT_CHECK(!atomic_load(&a->done));
}

static uint64_t word_at(unsigned page)
{
	uint64_t v;
	memcpy(&v, ram_bytes(&ram, page), sizeof(v));
	return v;
}

static void life_of_a_page(void)
{
	uint64_t bytes[PAGE_BYTES / 8] = {77};
	struct access a;
	/* Missing, read: a read-only copy. */
	access_start(&a, 2, false, 0);
	expect_fault(&a);
	UT_OK(uffd_install(&uffd, 2, bytes, false));
	access_join(&a);
	UT_EQ(a.value, 77);
	/* Written to: a fault, although it is mapped. */
	access_start(&a, 2, true, 78);
	expect_fault(&a);
	UT_EQ(word_at(2), 77);
	UT_OK(uffd_grant(&uffd, 2, true, false));
	access_join(&a);
	UT_EQ(word_at(2), 78);
	/* Down to a read copy again. */
	UT_OK(uffd_protect(&uffd, 2, 1));
	access_start(&a, 2, false, 0);
	access_join(&a);
	UT_EQ(a.value, 78);
	access_start(&a, 2, true, 79);
	expect_fault(&a);
	UT_EQ(word_at(2), 78);
	/* Away while somebody waits, bytes still here; then back for writing. */
	UT_OK(uffd_drop(&uffd, 2, 1));
	UT_EQ(ram_state(&ram, 2), RAM_BACKED | RAM_LIVE);
	UT_OK(uffd_grant(&uffd, 2, true, false));
	access_join(&a);
	UT_EQ(word_at(2), 79);
	/* Gone for good, and fetched again. */
	UT_OK(uffd_drop(&uffd, 2, 1));
	ram_retire(&ram, 2);
	access_start(&a, 2, false, 0);
	expect_fault(&a);
	bytes[0] = 80;
	UT_OK(uffd_install(&uffd, 2, bytes, true));
	access_join(&a);
	UT_EQ(a.value, 80);
	UT_EQ(ram_state(&ram, 2), RAM_BACKED | RAM_LIVE | RAM_READ | RAM_WRITE);
}
IN_ALL_MODES(life_of_a_page)

static void zero_page_and_read_grant_of_what_is_here(void)
{
	struct access a;
	access_start(&a, 5, false, 1);
	expect_fault(&a);
	UT_OK(uffd_install(&uffd, 5, NULL, true));
	access_join(&a);
	UT_EQ(a.value, 0);
	access_start(&a, 5, true, 42);
	access_join(&a);
	UT_OK(uffd_drop(&uffd, 5, 1));
	access_start(&a, 5, false, 1);
	expect_fault(&a);
	UT_OK(uffd_grant(&uffd, 5, false, false));
	access_join(&a);
	UT_EQ(a.value, 42);
	access_start(&a, 5, true, 43);
	expect_fault(&a);
	UT_EQ(word_at(5), 42);
	UT_OK(uffd_grant(&uffd, 5, true, false));
	access_join(&a);
}
IN_ALL_MODES(zero_page_and_read_grant_of_what_is_here)

/* A late fault for a right that is there: a grant again hurts nobody and wakes. */
static void granting_again_wakes(void)
{
	uint64_t bytes[PAGE_BYTES / 8] = {5};
	struct access a, b;
	access_start(&a, 1, false, 0);
	access_start(&b, 1, false, 0);
	(void)next_fault();
	(void)next_fault();
	UT_OK(uffd_install(&uffd, 1, bytes, false));
	UT_OK(uffd_grant(&uffd, 1, false, false));
	UT_OK(uffd_grant(&uffd, 1, false, true));
	access_join(&a);
	access_join(&b);
	access_start(&a, 1, true, 6);
	expect_fault(&a);
	UT_OK(uffd_grant(&uffd, 1, true, false));
	UT_OK(uffd_grant(&uffd, 1, true, true));
	access_join(&a);
	UT_EQ(word_at(1), 6);
}
IN_ALL_MODES(granting_again_wakes)

static void runs_of_pages_lose_their_rights_together(void)
{
	uint64_t bytes[PAGE_BYTES / 8] = {0};
	struct access a;
	for (unsigned i = 4; i < 8; i++) {
		bytes[0] = i;
		UT_OK(uffd_install(&uffd, i, bytes, true));
	}
	UT_OK(uffd_protect(&uffd, 4, 4));
	access_start(&a, 7, true, 70);
	expect_fault(&a);
	UT_OK(uffd_drop(&uffd, 4, 4));
	UT_OK(uffd_grant(&uffd, 7, true, false));
	access_join(&a);
	access_start(&a, 4, false, 0);
	expect_fault(&a);
	UT_OK(uffd_grant(&uffd, 4, false, false));
	access_join(&a);
	UT_EQ(a.value, 4);
}
IN_ALL_MODES(runs_of_pages_lose_their_rights_together)

/*
 * A read-only right is never writable, not for an instant: threads that try to write all the time
 * never get through while a page comes and goes for reading a few hundred times.
 */
static _Atomic bool hammer_stop;

static void *hammer_run(void *arg)
{
	_Atomic uint64_t *p = (_Atomic uint64_t *)(ram.guest + 9 * PAGE_BYTES);
	while (!atomic_load(&hammer_stop))
		atomic_store_explicit(p, 1, memory_order_relaxed);
	return NULL;
}

static void read_only_is_never_writable(void)
{
	const uint64_t bytes[PAGE_BYTES / 8] = {0};
	pthread_t threads[2];
	atomic_store(&hammer_stop, false);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, hammer_run, NULL) == 0);
	unsigned bad = 0;
	for (unsigned i = 0; i < 400; i++) {
		struct uffd_fault faults[4];
		(void)uffd_read(&uffd, faults, 4);
		CHECK(uffd_install(&uffd, 9, bytes, false) == 0);
		(void)next_fault(); /* at least one writer has come round since the page is there */
		bad += word_at(9) != 0;
		CHECK(uffd_drop(&uffd, 9, 1) == 0);
		bad += word_at(9) != 0;
		if (i % 2)
			CHECK(uffd_grant(&uffd, 9, false, false) == 0);
		CHECK(uffd_drop(&uffd, 9, 1) == 0);
		bad += word_at(9) != 0;
		ram_retire(&ram, 9);
		if (i % 3 == 0)
			ram_flush(&ram);
	}
	atomic_store(&hammer_stop, true);
	uffd_release(&uffd);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	UT_EQ(bad, 0);
}
IN_ALL_MODES(read_only_is_never_writable)

static void release_lets_waiters_go(void)
{
	struct access a;
	access_start(&a, 3, true, 9);
	expect_fault(&a);
	uffd_release(&uffd);
	access_join(&a);
	UT_EQ(((uint64_t *)(ram.guest + 3 * PAGE_BYTES))[0], 9);
}
IN_ALL_MODES(release_lets_waiters_go)

/* The full mode serves faults that the kernel takes in a system call; user-only fails the call. */
static void *kernel_access_run(void *arg)
{
	struct access *a = arg;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	atomic_store(&a->tid, (uint32_t)syscall(SYS_gettid));
	a->value = read(fd, ram.guest + a->page * PAGE_BYTES, 8) == 8;
	close(fd);
	return NULL;
}

static void faults_of_the_kernel(void)
{
	struct access a = {.page = 6, .write = true};
	CHECK(pthread_create(&a.thread, NULL, kernel_access_run, &a) == 0);
	if (!uffd.user_only) {
		expect_fault(&a);
		UT_OK(uffd_install(&uffd, 6, NULL, true));
	}
	access_join(&a);
	UT_EQ(a.value, !uffd.user_only);
}
IN_ALL_MODES(faults_of_the_kernel)

UT_TEST(auto_takes_the_best)
{
	enum uffd_way way;
	bool user_only;
	char why[160];
	if (uffd_probe(DSM_UFFD_AUTO, dev, &way, &user_only, why, sizeof(why)) != 0)
		UT_SKIP("%s", why);
	UT_OK(ram_init(&ram, -1, PAGES * PAGE_BYTES, true));
	UT_OK(uffd_init(&uffd, &ram, DSM_UFFD_AUTO, dev, why, sizeof(why)));
	UT_EQ(uffd.user_only, user_only);
	UT_EQ(uffd.way, way);
}
