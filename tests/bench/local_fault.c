/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/bench/local_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "proto/ids.h"
#include "tests/bench/link.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct server {
	int uffd, end_fd;
	uint64_t page[PAGE_BYTES / 8];
	_Atomic int err;
	unsigned served;
};

static int uffd_open(void)
{
	int fd = -1, dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev >= 0) {
		fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(dev);
	}
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return fd;
}

static void serve_one(struct server *s)
{
	struct uffd_msg msg;
	if (read(s->uffd, &msg, sizeof(msg)) != sizeof(msg))
		return;
	s->page[0] = msg.arg.pagefault.address;
	struct uffdio_copy copy = {
		.dst = align_down(msg.arg.pagefault.address, PAGE_BYTES),
		.src = (uintptr_t)s->page,
		.len = PAGE_BYTES,
	};
	if (ioctl(s->uffd, UFFDIO_COPY, &copy) != 0)
		s->err = errno;
	s->served++;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct pollfd p[] = {
		{.fd = s->uffd, .events = POLLIN}, {.fd = s->end_fd, .events = POLLIN}};
	while (p[1].revents == 0 && s->err == 0)
		if (poll(p, 2, -1) > 0 && p[0].revents != 0)
			serve_one(s);
	return NULL;
}

static int touch(struct server *s, uint8_t *area, unsigned n, uint64_t *ns)
{
	for (unsigned i = 0; i < n; i++) {
		_Atomic uint64_t *word = (_Atomic uint64_t *)(area + (size_t)i * PAGE_BYTES);
		uint64_t since = bench_now_ns();
		uint64_t got = *word;
		ns[i] = bench_now_ns() - since;
		if (got != (uintptr_t)word)
			return bench_complain("userfaultfd", "a page without its bytes");
	}
	return 0;
}

static int run(struct server *s, uint8_t *area, unsigned n, uint64_t *ns)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)area, .len = (size_t)n * PAGE_BYTES},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	pthread_t thread;
	if (ioctl(s->uffd, UFFDIO_API, &api) != 0 || ioctl(s->uffd, UFFDIO_REGISTER, &reg) != 0)
		return bench_complain("userfaultfd", strerror(errno));
	CHECK(pthread_create(&thread, NULL, serve, s) == 0);
	int rc = touch(s, area, n, ns);
	CHECK(eventfd_write(s->end_fd, 1) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	if (rc == 0 && (s->err != 0 || s->served != n))
		return bench_complain("userfaultfd", "not every touch was a fault");
	return rc;
}

int local_faults(unsigned n, uint64_t *ns)
{
	struct server s = {.uffd = uffd_open(), .end_fd = eventfd(0, EFD_CLOEXEC)};
	size_t bytes = (size_t)n * PAGE_BYTES;
	if (s.uffd < 0)
		return bench_complain("userfaultfd", strerror(errno));
	uint8_t *area =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED && s.end_fd >= 0);
	int rc = run(&s, area, n, ns);
	CHECK(munmap(area, bytes) == 0 && close(s.uffd) == 0 && close(s.end_fd) == 0);
	return rc;
}
