/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_UFFD_H
#define DSM_UFFD_H

#include "dsm/dsm.h"
#include "dsm/ram.h"

/*
 * The guest mapping under userfaultfd: what engines may do with a page is what is installed here.
 * Three ways a fault comes up: missing (nothing behind the page), minor (bytes are there, no right
 * to them), write-protected (a read copy was written to). All three are one to us: "this thread
 * wants to read or write this page"; the answer is always one of the calls below, and every one of
 * them wakes whoever waits, so a waiter can be woken for nothing and then faults again.
 *
 * A read-only right is given in one step by the kernel (CONTINUE or COPY with write-protection), so
 * that the page is never writable in between.
 *
 * Context of everything here: the service thread, unless said. Nothing blocks but in the kernel's
 * allocator.
 */
enum uffd_way {
	UFFD_BY_CONTINUE, /* bytes go into the memfd, then CONTINUE maps them */
	UFFD_BY_COPY,     /* the memfd has a hole, COPY makes page and mapping at once */
};

struct uffd {
	int fd;
	enum uffd_way way;
	bool user_only; /* serves faults of user mode only */
	struct ram *ram;
	int pagemap;     /* UFFD_BY_COPY: /proc/self/pagemap, otherwise -1 */
	uint8_t *bounce; /* UFFD_BY_COPY: one page */
};

struct uffd_fault {
	uint64_t page;
	bool write;
	uint32_t tid; /* kernel's id of the thread that waits */
};

/* What this kernel and this process can have: a sentence for people, and whether `mode` is among
 * it. Tries on a throw-away descriptor and mapping. ERR_KERNEL (a mode or feature is missing),
 * ERR_DENIED (no privilege). `dev` is an open /dev/userfaultfd or -1. `why` gets the reason on
 * error; may be NULL. Context: any thread. */
MUST_CHECK int uffd_probe(enum dsm_uffd_mode mode, int dev, enum uffd_way *way, bool *user_only,
	char *why, size_t why_bytes);

/* Open a descriptor for the pages of `ram`; what is missing is as of uffd_probe(). Context: main
 * thread. */
MUST_CHECK int uffd_init(struct uffd *u, struct ram *ram, enum dsm_uffd_mode mode, int dev,
	char *why, size_t why_bytes);

/* Guard ram->guest from now on. ERR_KERNEL, logged. Context: main thread, before any access. */
MUST_CHECK int uffd_guard(struct uffd *u);

/* Take the guard away: waiters go on and find whatever is behind the pages. */
void uffd_release(struct uffd *u);
void uffd_fini(struct uffd *u);

/* Read up to `max` faults. The number read, 0: none, or ERR_KERNEL. Never blocks. */
int uffd_read(struct uffd *u, struct uffd_fault *out, unsigned max);

/* Put bytes (NULL: zeros) into a page that no engine has a right to, and give the right.
 * ERR_NO_MEMORY, ERR_KERNEL. */
MUST_CHECK int uffd_install(struct uffd *u, uint64_t page, const void *bytes, bool write);

/* Give a right to a page whose bytes are here (RAM_LIVE). Raising read to write keeps readers
 * running; giving the right that is there already only repairs and wakes. Never lowers. `pinned`: a
 * device may be at the page now, so it can not be moved: ERR_AGAIN then says that the waiter was
 * woken and will ask again. */
MUST_CHECK int uffd_grant(struct uffd *u, uint64_t page, bool write, bool pinned);

/* The entry of a page that is still writable here, but about to be taken away, got lost (the host
 * has swapped it out) and somebody who keeps it needs it: make it again, without noting the right.
 */
MUST_CHECK int uffd_repair(struct uffd *u, uint64_t page);

/* Lower the right to `n` pages: to nothing, or from write to read. When it returns no store of any
 * thread to the pages (or access, respectively) is on its way. */
MUST_CHECK int uffd_drop(struct uffd *u, uint64_t page, uint64_t n);
MUST_CHECK int uffd_protect(struct uffd *u, uint64_t page, uint64_t n);

/* Wake who waits at a page. */
void uffd_wake(struct uffd *u, uint64_t page);

#endif
