/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static const uint8_t zero_page[PAGE_BYTES];

/* ---- admission ------------------------------------------------------------------------------ */

/* A decimal number in a small file; false when there is none ("max", no file). */
static bool number_in_file(const char *path, uint64_t *out)
{
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return false;
	bool got = fscanf(f, "%20ju", (uintmax_t *)out) == 1;
	fclose(f);
	return got;
}

static bool mem_available(uint64_t *bytes)
{
	FILE *f = fopen("/proc/meminfo", "re");
	if (f == NULL)
		return false;
	char line[128];
	bool got = false;
	while (!got && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %20ju", (uintmax_t *)bytes) == 1) {
			*bytes *= 1024;
			got = true;
		}
	fclose(f);
	return got;
}

/* Lower *room to what one cgroup directory still allows. */
static void cgroup_room_at(const char *dir, bool v2, uint64_t *room)
{
	char path[1100];
	uint64_t limit, used;
	snprintf(path, sizeof(path), "%s/%s", dir, v2 ? "memory.max" : "memory.limit_in_bytes");
	if (!number_in_file(path, &limit))
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, v2 ? "memory.current" : "memory.usage_in_bytes");
	if (!number_in_file(path, &used))
		return;
	*room = MIN(*room, limit > used ? limit - used : 0);
}

/* Every cgroup from ours to the root limits us: `path` is cut at its last slash until nothing is
 * left. */
static void cgroup_room_up(const char *mount, char *path, bool v2, uint64_t *room)
{
	for (;;) {
		char dir[1024];
		snprintf(dir, sizeof(dir), "%s%s", mount, path);
		cgroup_room_at(dir, v2, room);
		char *slash = strrchr(path, '/');
		if (slash == NULL || path[0] == '\0')
			return;
		*slash = '\0';
	}
}

static uint64_t cgroup_room(void)
{
	uint64_t room = UINT64_MAX;
	FILE *f = fopen("/proc/self/cgroup", "re");
	if (f == NULL)
		return room;
	char line[512];
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *path = strchr(line, '/');
		if (path == NULL)
			continue;
		if (strncmp(line, "0::", 3) == 0)
			cgroup_room_up("/sys/fs/cgroup", path, true, &room);
		else if (strstr(line, ":memory:") != NULL)
			cgroup_room_up("/sys/fs/cgroup/memory", path, false, &room);
	}
	fclose(f);
	return room;
}

int ram_admit(uint64_t need_bytes, uint64_t span_bytes)
{
	uint64_t room;
	if (mem_available(&room) && need_bytes > room) {
		log_error(dsm, "not enough memory on this host, need_mib %ju, available_mib %ju",
			(uintmax_t)(need_bytes >> 20), (uintmax_t)(room >> 20));
		return ERR_NO_MEMORY;
	}
	room = cgroup_room();
	if (need_bytes > room) {
		log_error(dsm, "the cgroup's memory limit is too low, need_mib %ju, left_mib %ju",
			(uintmax_t)(need_bytes >> 20), (uintmax_t)(room >> 20));
		return ERR_NO_MEMORY;
	}
	/* Beyond RLIMIT_FSIZE ftruncate() does not fail but raises SIGXFSZ. */
	struct rlimit fsize;
	if (getrlimit(RLIMIT_FSIZE, &fsize) == 0 && fsize.rlim_cur != RLIM_INFINITY &&
		span_bytes > fsize.rlim_cur) {
		log_error(dsm,
			"the file size limit (ulimit -f) is below the guest's memory, mib %ju",
			(uintmax_t)(span_bytes >> 20));
		return ERR_NO_MEMORY;
	}
	return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int memfd_make(int *out)
{
	int fd = memfd_create("guest-ram", MFD_CLOEXEC);
	if (fd < 0) {
		log_error(dsm, "memfd_create: %m");
		return errno == EMFILE || errno == ENFILE ? ERR_NO_FD : ERR_KERNEL;
	}
	*out = fd;
	return 0;
}

/* Map `bytes` from `off` of the file, or anonymous ones (`fd` < 0): in place of what is at `at`, or
 * anywhere (NULL). */
static uint8_t *map_bytes(uint8_t *at, int fd, uint64_t off, uint64_t bytes)
{
	int how = (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | (at ? MAP_FIXED : 0);
	void *p = mmap(at, bytes, PROT_READ | PROT_WRITE, how | MAP_NORESERVE, fd, (off_t)off);
	if (p == MAP_FAILED) {
		log_error(dsm, "can not map guest memory, mib %ju: %m", (uintmax_t)(bytes >> 20));
		return NULL;
	}
	/* A child would see plain zeros where userfaultfd guards the parent, and guest memory does
	 * not belong in a core file. Neither can fail on a mapping just made. */
	CHECK(madvise(p, bytes, MADV_DONTFORK) == 0);
	CHECK(madvise(p, bytes, MADV_DONTDUMP) == 0);
	return p;
}

/* Anonymous memory: a memfd gets huge pages only where the operator has asked for them. */
static uint8_t *map_alone(uint8_t *at, uint64_t bytes)
{
	uint8_t *p = map_bytes(at, -1, 0, bytes);
	if (p != NULL)
		(void)madvise(p, bytes, MADV_HUGEPAGE); /* fails where the kernel has none */
	return p;
}

static int ram_map_alone(struct ram *ram, uint64_t bytes)
{
	ram->guest = ram->alias = map_alone(NULL, bytes);
	return ram->guest == NULL ? ERR_NO_MEMORY : 0;
}

/* Rights are per 4 KiB page: a huge page would move them together. Fails where the kernel has no
 * huge pages at all, which is as good. */
static void small_pages(uint8_t *p, uint64_t bytes)
{
	(void)madvise(p, bytes, MADV_NOHUGEPAGE);
}

/* The file and the alias. */
static int ram_map_file(struct ram *ram, uint64_t bytes)
{
	if (ftruncate(ram->fd, (off_t)bytes) != 0) {
		log_error(dsm, "can not size guest memory, mib %ju: %m", (uintmax_t)(bytes >> 20));
		return ERR_NO_MEMORY;
	}
	uint8_t *alias = map_bytes(NULL, ram->fd, 0, bytes);
	if (alias == NULL)
		return ERR_NO_MEMORY;
	small_pages(alias, bytes);
	ram->alias = alias;
	return 0;
}

static int ram_map(struct ram *ram, uint64_t bytes)
{
	int err = ram_map_file(ram, bytes);
	if (err != 0)
		return err;
	ram->guest = map_bytes(NULL, ram->fd, 0, bytes);
	if (ram->guest == NULL)
		return ERR_NO_MEMORY;
	small_pages(ram->guest, bytes);
	return 0;
}

int ram_init(struct ram *ram, int fd, uint64_t bytes, bool second)
{
	*ram = (struct ram){.fd = fd};
	int err = 0;
	/* Page numbers must fit the exclusive windows' words (excl.c) with two bits to spare. */
	if (bytes == 0 || bytes % PAGE_BYTES != 0 || bytes >> PAGE_SHIFT > UINT32_MAX / 4)
		err = ERR_INVAL;
	if (err == 0 && fd < 0 && second)
		err = memfd_make(&ram->fd);
	if (err == 0) {
		ram->pages = bytes >> PAGE_SHIFT;
		err = second ? ram_map(ram, bytes) : ram_map_alone(ram, bytes);
	}
	if (err == 0) {
		ram->state_bytes = (ram->pages + 1) / 2;
		void *p = mmap(NULL, ram->state_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ram->state = p == MAP_FAILED ? NULL : p;
		ram->stale = calloc(RAM_STALE_MAX, sizeof(*ram->stale));
		if (ram->state == NULL || ram->stale == NULL)
			err = ERR_NO_MEMORY;
	}
	if (err != 0)
		ram_fini(ram);
	return err;
}

void ram_fini(struct ram *ram)
{
	uint64_t bytes = ram->pages << PAGE_SHIFT;
	if (ram->guest != NULL && ram->guest != ram->alias)
		munmap(ram->guest, bytes);
	if (ram->alias != NULL)
		munmap(ram->alias, bytes);
	if (ram->state != NULL)
		munmap((void *)ram->state, ram->state_bytes);
	free(ram->stale);
	if (ram->fd >= 0)
		close(ram->fd);
	*ram = (struct ram){.fd = -1};
}

/* ---- page states ---------------------------------------------------------------------------- */

void ram_mark(struct ram *ram, uint64_t page, unsigned clear, unsigned set)
{
	CHECK(page < ram->pages);
	unsigned shift = (page & 1) * 4;
	_Atomic uint8_t *byte = &ram->state[page / 2];
	/* One writer, so a load and a store do. The store is sequentially consistent for
	 * excl_begin, which looks at RAM_WRITE after it has published its window (partner:
	 * ram_state). */
	unsigned v = atomic_load_explicit(byte, memory_order_relaxed);
	unsigned now = ((v >> shift) & ~clear) | set;
	if (((v >> shift) ^ now) & RAM_BACKED)
		atomic_fetch_add_explicit(
			&ram->backed, now & RAM_BACKED ? 1 : UINT64_MAX, memory_order_relaxed);
	atomic_store(byte, (uint8_t)((v & ~(0xfu << shift)) | (now & 0xfu) << shift));
}

unsigned ram_state(const struct ram *ram, uint64_t page)
{
	CHECK(page < ram->pages);
	return (atomic_load(&ram->state[page / 2]) >> (page & 1) * 4) & 0xfu;
}

static bool all_zeros(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, PAGE_BYTES - 1) == 0;
}

bool ram_is_zero(const struct ram *ram, uint64_t page)
{
	return !(ram_state(ram, page) & RAM_LIVE) || all_zeros(ram_bytes(ram, page));
}

/* ---- backing -------------------------------------------------------------------------------- */

static int back_errno(uint64_t page)
{
	log_error(dsm, "the host has no memory left for guest page %ju: %m", (uintmax_t)page);
	return ERR_NO_MEMORY;
}

int ram_fill(struct ram *ram, uint64_t page, const void *bytes)
{
	off_t off = (off_t)(page << PAGE_SHIFT);
	if (bytes == NULL && !(ram_state(ram, page) & RAM_BACKED)) {
		int rc;
		while ((rc = fallocate(ram->fd, 0, off, PAGE_BYTES)) != 0 && errno == EINTR)
			;
		if (rc != 0)
			return back_errno(page);
	} else {
		/* A write to the file allocates and copies in one call, reports a full host as an
		 * error, and needs no page table entry of the alias. */
		ssize_t n;
		do
			n = pwrite(ram->fd, bytes != NULL ? bytes : zero_page, PAGE_BYTES, off);
		while (n < 0 && errno == EINTR);
		if (n != PAGE_BYTES)
			return back_errno(page);
	}
	ram_mark(ram, page, 0, RAM_BACKED | RAM_LIVE);
	return 0;
}

static bool is_stale(const struct ram *ram, uint64_t page)
{
	return (ram_state(ram, page) & (RAM_BACKED | RAM_LIVE)) == RAM_BACKED;
}

static int punch_run(struct ram *ram, uint64_t page, uint64_t n)
{
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    (off_t)(page << PAGE_SHIFT), (off_t)(n << PAGE_SHIFT)) != 0) {
		log_error(dsm, "can not give back guest page %ju: %m", (uintmax_t)page);
		return ERR_KERNEL;
	}
	for (uint64_t i = 0; i < n; i++)
		ram_mark(ram, page + i, RAM_BACKED | RAM_LIVE, 0);
	return 0;
}

int ram_punch(struct ram *ram, uint64_t page)
{
	return punch_run(ram, page, 1);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* Punch the oldest `n` of the retired pages that have not come alive again, neighbours together. */
static void flush_oldest(struct ram *ram, uint32_t n)
{
	qsort(ram->stale, n, sizeof(*ram->stale), by_number);
	for (uint32_t i = 0; i < n;) {
		uint32_t first = ram->stale[i];
		uint32_t run = 0;
		/* The same page may be listed twice: retired, alive, retired. */
		while (i < n && ram->stale[i] <= first + run && is_stale(ram, ram->stale[i])) {
			run += ram->stale[i] == first + run;
			i++;
		}
		if (run == 0)
			i++;
		else if (punch_run(ram, first, run) != 0)
			break; /* logged; they stay backed until they are used again */
	}
	memmove(ram->stale, ram->stale + n, (ram->stale_n - n) * sizeof(*ram->stale));
	ram->stale_n -= n;
}

void ram_retire(struct ram *ram, uint64_t page)
{
	unsigned state = ram_state(ram, page);
	ram_mark(ram, page, RAM_LIVE, 0);
	if (!(state & RAM_LIVE))
		return;
	if (ram->stale_n == RAM_STALE_MAX)
		flush_oldest(ram, RAM_STALE_MAX / 2);
	ram->stale[ram->stale_n++] = (uint32_t)page;
}

void ram_flush(struct ram *ram)
{
	flush_oldest(ram, ram->stale_n);
}

/* ---- from one slice to several -------------------------------------------------------------- */

#define PIECE_PAGES (RAM_PIECE_BYTES >> PAGE_SHIFT)

static uint8_t *guest_at(const struct ram *ram, uint64_t page)
{
	return ram->guest + (page << PAGE_SHIFT);
}

/* Pages of a piece that have bytes, into the file. The guest mapping is not guarded yet, and plain
 * memory to the kernel. */
static int piece_copy(struct ram *ram, uint64_t page, uint64_t n)
{
	int err = 0;
	for (uint64_t i = page; i < page + n && err == 0; i++)
		if (!all_zeros(guest_at(ram, i)))
			err = ram_fill(ram, i, guest_at(ram, i));
	return err;
}

/* The file has the bytes of the piece: show them at the guest's address. */
static int piece_show(const struct ram *ram, uint64_t page, uint64_t n)
{
	uint64_t off = page << PAGE_SHIFT;
	return map_bytes(ram->guest + off, ram->fd, off, n << PAGE_SHIFT) != NULL ? 0 : ERR_KERNEL;
}

/* Make the piece anonymous again, and allocated as at the start. */
static void piece_back(struct ram *ram, uint64_t page, uint64_t n)
{
	uint64_t bytes = n << PAGE_SHIFT;
	uint8_t *p = map_alone(guest_at(ram, page), bytes);
	if (p == NULL || madvise(p, bytes, MADV_POPULATE_WRITE) != 0) {
		log_warn(dsm, "guest memory from page %ju stays without huge pages: %m",
			(uintmax_t)page);
		CHECK(piece_show(ram, page, n) == 0); /* the kernel has let us map more before */
		return;
	}
	for (uint64_t i = page; i < page + n; i++)
		if (ram_state(ram, i) & RAM_LIVE)
			memcpy(guest_at(ram, i), ram_bytes(ram, i), PAGE_BYTES);
	(void)punch_run(ram, page, n); /* logged; the file ends with its last mapping */
}

/* Undo what was moved: the pages before `moved`. What was copied of the next piece goes first, so
 * that there is memory for one. */
static void unshare(struct ram *ram, uint64_t moved)
{
	if (moved < ram->pages)
		(void)punch_run(ram, moved, ram->pages - moved);
	for (uint64_t page = 0; page < moved; page += PIECE_PAGES)
		piece_back(ram, page, MIN(PIECE_PAGES, moved - page));
	for (uint64_t page = 0; page < moved; page++)
		ram_mark(ram, page, RAM_BACKED | RAM_LIVE, 0);
	if (ram->alias != ram->guest)
		munmap(ram->alias, ram->pages << PAGE_SHIFT);
	ram->alias = ram->guest;
	close(ram->fd);
	ram->fd = -1;
}

void ram_unshare(struct ram *ram)
{
	unshare(ram, ram->pages);
}

int ram_share(struct ram *ram, int fd)
{
	uint64_t moved = 0;
	CHECK(ram->fd < 0 && ram->alias == ram->guest);
	int err = fd < 0 ? memfd_make(&fd) : 0;
	if (err != 0)
		return err;
	ram->fd = fd;
	err = ram_map_file(ram, ram->pages << PAGE_SHIFT);
	while (err == 0 && moved < ram->pages) {
		uint64_t n = MIN(PIECE_PAGES, ram->pages - moved);
		err = piece_copy(ram, moved, n);
		if (err != 0)
			break;
		err = piece_show(ram, moved, n);
		moved += n; /* also when that failed: the file has the bytes, the mapping may not */
	}
	if (err != 0)
		unshare(ram, moved);
	else
		small_pages(ram->guest, ram->pages << PAGE_SHIFT);
	return err;
}
