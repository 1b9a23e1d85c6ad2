/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_RAM_H
#define DSM_RAM_H

#include <stdatomic.h>

#include "base/check.h"
#include "proto/ids.h"

/*
 * The memory behind guest RAM on one slice: a sparse memfd as large as the whole guest, mapped
 * twice. `guest` is what engines load and store through and what userfaultfd guards; `alias` is
 * private to this process's service and device threads and never registered. Which pages have bytes
 * behind them is kept here, so that the memfd is never touched at a hole (on a full host that would
 * be a SIGBUS): pages are backed by a system call that can fail, and given back by punching holes.
 *
 * Pages are counted from 0 at the start of RAM (`struct ram` does not know guest-physical
 * addresses).
 */

/* What is known of a page on this slice. The service thread writes, everybody may read. */
enum {
	RAM_BACKED = 1, /* the memfd has a page here */
	RAM_LIVE = 2,   /* and its bytes mean something; never without RAM_BACKED */
	RAM_READ = 4,   /* the guest mapping lets engines read */
	RAM_WRITE = 8,  /* and write; never without RAM_READ */
};

/* Backed pages that are worthless and may still be there: what a slice may hold beyond its share
 * and its cache. They are given back in batches, because a hole costs as much as ten pages fetched
 * into place. */
#define RAM_STALE_MAX 256u

struct ram {
	int fd;
	uint8_t *guest;
	uint8_t *alias;
	uint64_t pages;
	_Atomic uint8_t
		*state; /* two pages a byte; mapped, so what was never touched costs nothing */
	uint64_t state_bytes;
	_Atomic uint64_t backed; /* pages with RAM_BACKED */
	uint32_t *stale;         /* pages that were retired, oldest first, maybe alive again */
	uint32_t stale_n;
};

/* Refuse what the host can not back: free memory, every cgroup above this process, file size limit.
 * `need` is what the slice will really hold, `span` the whole guest. ERR_NO_MEMORY with a logged
 * reason. Context: any thread. */
MUST_CHECK int ram_admit(uint64_t need_bytes, uint64_t span_bytes);

/* Make RAM of `bytes` (whole pages). With `second` on a new memfd, or on `fd` (taken over in every
 * case) when that is not -1, and the guest mapping is a mapping of its own. Without, the memory is
 * anonymous, guest == alias, and `fd` is -1.
 * ERR_INVAL, ERR_NO_MEMORY, ERR_KERNEL. Context: main thread. */
MUST_CHECK int ram_init(struct ram *ram, int fd, uint64_t bytes, bool second);
void ram_fini(struct ram *ram);

/* What is there twice at most while memory moves. */
#define RAM_PIECE_BYTES (UINT64_C(2) << 20)

/* Anonymous memory becomes that of a memfd, or of `fd` as in ram_init, at the same address and with
 * an alias of its own. It moves piece by piece: pages of zeros become holes, the others RAM_BACKED
 * and RAM_LIVE; nothing is mapped in `guest`. On an error it is as it was: ERR_NO_MEMORY,
 * ERR_NO_FD, ERR_KERNEL. Context: main thread, while nobody is at the memory. */
MUST_CHECK int ram_share(struct ram *ram, int fd);

/* Undo ram_share(), before anything else was done to the memory. What the host can not give as
 * anonymous memory stays memory of the file: as good, but for huge pages. Context: as
 * ram_share(). */
void ram_unshare(struct ram *ram);

/* The functions below: service thread, unless said. They do not block but in the kernel's
 * allocator. */

/* Give the page new bytes (NULL: zeros), through the file. The guest mapping must not have the
 * page, or only share it with nobody who looks. ERR_NO_MEMORY: the host is full. */
MUST_CHECK int ram_fill(struct ram *ram, uint64_t page, const void *bytes);

/* The page is worthless from now on (it has left this slice). Its memory is given back in time. */
void ram_retire(struct ram *ram, uint64_t page);

/* Give back what is retired and still so, all of it. */
void ram_flush(struct ram *ram);

/* Make a hole of one page now. */
MUST_CHECK int ram_punch(struct ram *ram, uint64_t page);

/* Change what is known of a page: clear, then set. */
void ram_mark(struct ram *ram, uint64_t page, unsigned clear, unsigned set);

/* RAM_* of a page, sequentially consistent (partner: ram_mark). Context: any thread. */
unsigned ram_state(const struct ram *ram, uint64_t page);

/* The bytes of a live page. Context: service thread, or a holder of a pin. */
static inline uint8_t *ram_bytes(const struct ram *ram, uint64_t page)
{
	return ram->alias + (page << PAGE_SHIFT);
}

/* A live page has only zeros, or never had bytes at all. */
bool ram_is_zero(const struct ram *ram, uint64_t page);

#endif
