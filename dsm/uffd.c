/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

/* Newer than the headers of Debian 12 (kernel 6.1): CONTINUE with write-protection came with 6.4.
 */
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1)
#endif

/* All of kernel 5.19. WP on shared memory survives a drop of the page table entry as a marker,
 * hence no anonymous memory anywhere. */
#define FEATURES                                                                                   \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_MISSING_SHMEM |    \
		UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

#define REGISTER_MODES                                                                             \
	(UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP)

#define NEED_IOCTLS                                                                                \
	((__u64)1 << _UFFDIO_WAKE | (__u64)1 << _UFFDIO_COPY | (__u64)1 << _UFFDIO_CONTINUE |      \
		(__u64)1 << _UFFDIO_WRITEPROTECT)

/* The kernel answers EAGAIN while another thread changes mappings of the process; that ends by
 * itself. */
#define RETRIES 1000

static const uint8_t zero_page[PAGE_BYTES];

/* ---- opening -------------------------------------------------------------------------------- */

/* A descriptor with the features on it. The device comes first: who was given it needs no
 * privilege. */
static int open_fd(int dev, bool user_only, int *out)
{
	int flags = O_CLOEXEC | O_NONBLOCK | (user_only ? UFFD_USER_MODE_ONLY : 0);
	int fd = -1;
	if (dev >= 0)
		fd = ioctl(dev, USERFAULTFD_IOC_NEW, flags);
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, flags);
	if (fd < 0)
		return errno == EPERM || errno == EACCES    ? ERR_DENIED
		       : errno == EMFILE || errno == ENFILE ? ERR_NO_FD
							    : ERR_KERNEL;
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	if (ioctl(fd, UFFDIO_API, &api) != 0) {
		close(fd);
		return ERR_KERNEL;
	}
	*out = fd;
	return 0;
}

static int register_range(int fd, void *p, uint64_t bytes)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)p, .len = bytes}, .mode = REGISTER_MODES};
	if (ioctl(fd, UFFDIO_REGISTER, &reg) != 0)
		return ERR_KERNEL;
	if ((reg.ioctls & NEED_IOCTLS) == NEED_IOCTLS)
		return 0;
	struct uffdio_range range = reg.range;
	(void)ioctl(fd, UFFDIO_UNREGISTER, &range);
	return ERR_KERNEL;
}

/* Has the kernel CONTINUE with write-protection? No feature bit says so; ask it to do one. */
static bool try_continue_wp(int fd, uint8_t *guest)
{
	struct uffdio_continue c = {
		.range = {.start = (uintptr_t)guest, .len = PAGE_BYTES},
		.mode = UFFDIO_CONTINUE_MODE_WP,
	};
	return ioctl(fd, UFFDIO_CONTINUE, &c) == 0;
}

/* Register a memfd of one page and see. 0: CONTINUE is complete; ERR_UNSUPPORTED: only COPY;
 * ERR_KERNEL: neither. */
static int try_ways(int fd)
{
	struct ram ram;
	int err = ram_init(&ram, -1, PAGE_BYTES, true);
	if (err != 0)
		return err;
	err = register_range(fd, ram.guest, PAGE_BYTES);
	if (err == 0)
		err = ram_fill(&ram, 0, NULL);
	if (err == 0 && !try_continue_wp(fd, ram.guest))
		err = ERR_UNSUPPORTED;
	ram_fini(&ram);
	return err;
}

static void say(char *why, size_t why_bytes, const char *text)
{
	if (why != NULL)
		snprintf(why, why_bytes, "%s", text);
}

/* Why there is no descriptor, and what to do. */
static const char *open_why(int err)
{
	switch (err) {
	case ERR_DENIED:
		return "userfaultfd is not allowed to this user: give it /dev/userfaultfd, or use "
		       "--uffd user-only";
	case ERR_NO_FD:
		return "no file descriptor is left: raise the limit of open files (ulimit -n)";
	case ERR_NO_MEMORY:
		return "the host has no memory left: free some, or raise the limit of the cgroup";
	default:
		return "this kernel's userfaultfd is missing or older than 5.19";
	}
}

int uffd_probe(enum dsm_uffd_mode mode, int dev, enum uffd_way *way, bool *user_only, char *why,
	size_t why_bytes)
{
	int fd = -1;
	bool user = mode == DSM_UFFD_USER_ONLY;
	int err = open_fd(dev, user, &fd);
	if (err == ERR_DENIED && mode == DSM_UFFD_AUTO) {
		user = true;
		err = open_fd(dev, user, &fd);
	}
	if (err != 0) {
		say(why, why_bytes, open_why(err));
		return err;
	}
	err = try_ways(fd);
	close(fd);
	if (err == ERR_UNSUPPORTED && mode == DSM_UFFD_CONTINUE) {
		say(why, why_bytes, "read-only CONTINUE needs kernel 6.4, use --uffd copy");
		return ERR_KERNEL;
	}
	if (err != 0 && err != ERR_UNSUPPORTED) {
		say(why, why_bytes,
			err == ERR_KERNEL ? "userfaultfd can not guard shared memory on this kernel"
					  : open_why(err));
		return err;
	}
	*way = err == ERR_UNSUPPORTED || mode == DSM_UFFD_COPY ? UFFD_BY_COPY : UFFD_BY_CONTINUE;
	*user_only = user;
	return 0;
}

int uffd_init(struct uffd *u, struct ram *ram, enum dsm_uffd_mode mode, int dev, char *why,
	size_t why_bytes)
{
	*u = (struct uffd){.fd = -1, .pagemap = -1, .ram = ram};
	int err = uffd_probe(mode, dev, &u->way, &u->user_only, why, why_bytes);
	if (err != 0)
		return err;
	u->bounce = malloc(PAGE_BYTES);
	err = u->bounce == NULL ? ERR_NO_MEMORY : open_fd(dev, u->user_only, &u->fd);
	if (err == 0 && u->way == UFFD_BY_COPY) {
		u->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		if (u->pagemap < 0)
			err = errno == EMFILE || errno == ENFILE ? ERR_NO_FD : ERR_KERNEL;
	}
	if (err != 0) {
		say(why, why_bytes, open_why(err));
		uffd_fini(u);
	}
	return err;
}

int uffd_guard(struct uffd *u)
{
	int err = register_range(u->fd, u->ram->guest, u->ram->pages << PAGE_SHIFT);
	if (err != 0)
		log_error(dsm, "can not guard guest memory with userfaultfd: %m");
	return err;
}

void uffd_release(struct uffd *u)
{
	struct uffdio_range range = {
		.start = (uintptr_t)u->ram->guest, .len = u->ram->pages << PAGE_SHIFT};
	if (ioctl(u->fd, UFFDIO_UNREGISTER, &range) != 0)
		log_error(dsm, "can not release guest memory from userfaultfd: %m");
	/* Seen on 6.18, about once in fifty: the kernel wakes waiters before it locks out faults
	 * that run under the lock of the mapping alone, and one of those then sleeps for ever.
	 * Nobody can join now. */
	if (ioctl(u->fd, UFFDIO_WAKE, &range) != 0)
		log_error(dsm, "UFFDIO_WAKE failed: %m");
}

void uffd_fini(struct uffd *u)
{
	if (u->fd >= 0)
		close(u->fd); /* the kernel wakes whoever waits */
	if (u->pagemap >= 0)
		close(u->pagemap);
	free(u->bounce);
	u->fd = -1;
	u->pagemap = -1;
	u->bounce = NULL;
}

/* ---- faults --------------------------------------------------------------------------------- */

#define READ_MAX 32u

int uffd_read(struct uffd *u, struct uffd_fault *out, unsigned max)
{
	struct uffd_msg msgs[READ_MAX];
	ssize_t n = read(u->fd, msgs, MIN(max, READ_MAX) * sizeof(msgs[0]));
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		log_error(dsm, "reading userfaultfd: %m");
		return ERR_KERNEL;
	}
	int got = 0;
	for (size_t i = 0; i < (size_t)n / sizeof(msgs[0]); i++) {
		if (msgs[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		__u64 flags = msgs[i].arg.pagefault.flags;
		out[got++] = (struct uffd_fault){
			.page = (msgs[i].arg.pagefault.address - (uintptr_t)u->ram->guest) >>
				PAGE_SHIFT,
			.write = flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP),
			.tid = msgs[i].arg.pagefault.feat.ptid,
		};
	}
	return got;
}

/* ---- rights --------------------------------------------------------------------------------- */

static uintptr_t guest_at(const struct uffd *u, uint64_t page)
{
	return (uintptr_t)u->ram->guest + (page << PAGE_SHIFT);
}

static int kernel_failed(const char *call, uint64_t page)
{
	int err = errno == ENOMEM || errno == ENOSPC ? ERR_NO_MEMORY : ERR_KERNEL;
	log_error(dsm, "%s failed, page %ju: %m", call, (uintmax_t)page);
	return err;
}

void uffd_wake(struct uffd *u, uint64_t page)
{
	struct uffdio_range range = {.start = guest_at(u, page), .len = PAGE_BYTES};
	if (ioctl(u->fd, UFFDIO_WAKE, &range) != 0)
		log_error(dsm, "UFFDIO_WAKE failed, page %ju: %m", (uintmax_t)page);
}

/* Set or clear write-protection. Clearing wakes. */
static int set_wp(struct uffd *u, uint64_t page, uint64_t n, bool protect)
{
	for (unsigned i = 0; i < RETRIES; i++) {
		struct uffdio_writeprotect wp = {
			.range = {.start = guest_at(u, page), .len = n << PAGE_SHIFT},
			.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
		};
		if (ioctl(u->fd, UFFDIO_WRITEPROTECT, &wp) == 0)
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return kernel_failed("UFFDIO_WRITEPROTECT", page);
}

/* ERR_EXISTS: there is a page table entry already. Wakes when it succeeds. */
static int do_continue(struct uffd *u, uint64_t page, bool write)
{
	for (unsigned i = 0; i < RETRIES; i++) {
		struct uffdio_continue c = {
			.range = {.start = guest_at(u, page), .len = PAGE_BYTES},
			.mode = write ? 0 : UFFDIO_CONTINUE_MODE_WP,
		};
		if (ioctl(u->fd, UFFDIO_CONTINUE, &c) == 0)
			return 0;
		if (errno == EEXIST)
			return ERR_EXISTS;
		if (errno != EAGAIN)
			break;
	}
	return kernel_failed("UFFDIO_CONTINUE", page);
}

static int do_copy(struct uffd *u, uint64_t page, const void *bytes, bool write)
{
	for (unsigned i = 0; i < RETRIES; i++) {
		struct uffdio_copy c = {
			.dst = guest_at(u, page),
			.src = (uintptr_t)bytes,
			.len = PAGE_BYTES,
			.mode = write ? 0 : UFFDIO_COPY_MODE_WP,
		};
		if (ioctl(u->fd, UFFDIO_COPY, &c) == 0)
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return kernel_failed("UFFDIO_COPY", page);
}

static unsigned right(bool write)
{
	return write ? RAM_READ | RAM_WRITE : RAM_READ;
}

/* UFFD_BY_COPY: make a hole of the page and fill it through the guest mapping. */
static int copy_in(struct uffd *u, uint64_t page, const void *bytes, bool write)
{
	int err = 0;
	if (ram_state(u->ram, page) & RAM_BACKED)
		err = ram_punch(u->ram, page);
	if (err == 0)
		err = do_copy(u, page, bytes, write);
	if (err == 0)
		ram_mark(u->ram, page, 0, RAM_BACKED | RAM_LIVE | right(write));
	return err;
}

int uffd_install(struct uffd *u, uint64_t page, const void *bytes, bool write)
{
	CHECK(!(ram_state(u->ram, page) & RAM_READ));
	if (u->way == UFFD_BY_COPY)
		return copy_in(u, page, bytes != NULL ? bytes : zero_page, write);
	int err = ram_fill(u->ram, page, bytes);
	return err != 0 ? err : uffd_grant(u, page, write, false);
}

/* Is there an entry in the guest mapping? Not when the host has swapped the page out. */
static bool entry_present(const struct uffd *u, uint64_t page)
{
	uint64_t entry;
	off_t at = (off_t)((guest_at(u, page) >> PAGE_SHIFT) * sizeof(entry));
	return pread(u->pagemap, &entry, sizeof(entry), at) == sizeof(entry) && entry >> 63;
}

/* UFFD_BY_COPY can not map for reading what the memfd has already: move the page out and in again.
 */
static int map_moved(struct uffd *u, uint64_t page, bool pinned)
{
	if (entry_present(u, page)) {
		uffd_wake(u, page);
		return 0;
	}
	if (pinned) {
		uffd_wake(u, page);
		return ERR_AGAIN;
	}
	memcpy(u->bounce, ram_bytes(u->ram, page), PAGE_BYTES);
	return copy_in(u, page, u->bounce, false);
}

int uffd_grant(struct uffd *u, uint64_t page, bool write, bool pinned)
{
	unsigned had = ram_state(u->ram, page);
	CHECK(had & RAM_LIVE);
	CHECK(write || !(had & RAM_WRITE));
	if (!write && u->way == UFFD_BY_COPY)
		return map_moved(u, page, pinned);
	/* Noted first: who goes on the moment it is mapped finds the note. Who finds it sooner has
	 * the bytes, and a fault at worst. */
	ram_mark(u->ram, page, 0, right(write));
	/* The commonest first: nothing mapped, or a read copy that is to be writable. */
	int err = had & RAM_READ && write && !(had & RAM_WRITE) ? ERR_EXISTS
								: do_continue(u, page, write);
	if (err == ERR_EXISTS && write) {
		err = set_wp(u, page, 1, false);
	} else if (err == ERR_EXISTS) {
		uffd_wake(u, page);
		err = 0;
	}
	return err;
}

int uffd_repair(struct uffd *u, uint64_t page)
{
	int err = do_continue(u, page, true);
	if (err == ERR_EXISTS) {
		uffd_wake(u, page);
		err = 0;
	}
	return err;
}

int uffd_drop(struct uffd *u, uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		ram_mark(u->ram, page + i, RAM_READ | RAM_WRITE, 0);
	if (madvise((void *)guest_at(u, page), n << PAGE_SHIFT, MADV_DONTNEED) != 0)
		return kernel_failed("MADV_DONTNEED", page);
	return 0;
}

int uffd_protect(struct uffd *u, uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		ram_mark(u->ram, page + i, RAM_WRITE, 0);
	return set_wp(u, page, n, true);
}
