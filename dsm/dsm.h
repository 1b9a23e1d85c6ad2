/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_DSM_H
#define DSM_DSM_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/check.h"
#include "dsm/hot.h"
#include "proto/ids.h"

struct xport;
struct xport_rx;

/*
 * Guest memory, coherent over all slices of a VM. The only header of dsm/ that other folders
 * include.
 *
 * Two ways lead to guest memory and no third:
 *  - engines load and store through `struct dsm_ram`: a missing page stops the access inside the
 *    kernel (userfaultfd) until the page has come. No system call is ever given such an address.
 *  - everything else (devices, loaders) goes through `struct dsm_gate`, which copies, or pins pages
 *    and gives their address in the private alias. Pins hold a page against revocation: take all
 *    pages of a request as one set, do not hold them across host I/O, never wait for a page while
 *    holding one.
 */

/* ---- for engines ---------------------------------------------------------------------- */

enum dsm_excl {
	DSM_EXCL_OK,       /* the page can not leave until excl_end */
	DSM_EXCL_LOST,     /* the page has left this slice since `gen` was read */
	DSM_EXCL_READONLY, /* a copy is here, but not writable: write-touch it and ask again */
};

struct dsm_ram_ops {
	/*
	 * Number that changes whenever this slice loses its copy of the page. Read it before a
	 * load-reserved.
	 */
	uint32_t (*generation)(void *ctx, gpage_t page);
	/* May this slice store to the page? Advice: the answer may be old when it comes. */
	bool (*writable)(void *ctx, gpage_t page);
	/*
	 * Begin a store-conditional on `page` by the vCPU in `slot`: between OK and excl_end the
	 * page stays writable and in place, so a compare-and-swap in between neither faults nor
	 * suffers ABA through another slice. At most a few instructions; no blocking, no other
	 * page.
	 */
	enum dsm_excl (*excl_begin)(void *ctx, unsigned slot, gpage_t page, uint32_t gen);
	void (*excl_end)(void *ctx, unsigned slot);
};

/*
 * The guest mapping as an engine sees it. `ops` NULL: plain local memory that never leaves (one
 * slice, tests).
 */
struct dsm_ram {
	uint8_t *host; /* host address of guest-physical `base` */
	gpa_t base;
	uint64_t bytes;
	const struct dsm_ram_ops *ops;
	void *ctx;
};

/* ---- for devices and loaders ---------------------------------------------------------- */

/* One range of a request, and where it is once pinned: contiguous, valid until unpin. */
struct dsm_seg {
	gpa_t gpa;
	uint64_t bytes;
	bool write;    /* the device will write to it */
	uint8_t *host; /* out */
};

#define DSM_SEGS_MAX      1024u               /* segments in one set */
#define DSM_PIN_BYTES_MAX (UINT64_C(4) << 20) /* bytes in one set */

struct dsm_gate_ops {
	/*
	 * Pin all segments as one set (pages are taken in ascending order; segments may overlap).
	 * Blocks until all are here. ERR_RANGE: not RAM, or over the limits; ERR_VM_STOPPED. On
	 * error nothing is pinned.
	 */
	int (*pin)(void *ctx, struct dsm_seg *segs, size_t n);
	void (*unpin)(void *ctx, const struct dsm_seg *segs, size_t n);
};

struct dsm_gate {
	const struct dsm_gate_ops *ops;
	void *ctx;
	gpa_t base; /* RAM is [base, base + bytes) */
	uint64_t bytes;
};

/*
 * Copy between a buffer and guest memory, page by page under one pin at a time. Not atomic over
 * pages. Context: any thread but the service thread and vCPU threads inside an access; may block.
 * ERR_RANGE: outside RAM (nothing copied); ERR_VM_STOPPED.
 */
MUST_CHECK int dsm_gate_read(const struct dsm_gate *gate, gpa_t from, void *buf, size_t len);
MUST_CHECK int dsm_gate_write(const struct dsm_gate *gate, gpa_t to, const void *buf, size_t len);

/* ---- for the slice -------------------------------------------------------------------- */

enum dsm_uffd_mode {
	DSM_UFFD_AUTO,      /* the best that the kernel has */
	DSM_UFFD_COPY,      /* COPY and PUNCH_HOLE: kernels before 6.4 */
	DSM_UFFD_CONTINUE,  /* CONTINUE, read-only grants atomically write-protected */
	DSM_UFFD_USER_ONLY, /* as AUTO, but serves user-mode faults only: needs no privilege */
};

/* One slice's share of guest memory. */
struct dsm_node {
	slice_id_t slice;
	gpa_t start;
	uint64_t bytes; /* 0: it has joined a machine whose memory the others hold */
};

struct dsm_cfg {
	slice_id_t self;
	const struct dsm_node *nodes; /* all slices, ascending and gapless from the first; copied */
	size_t n_nodes;
	uint64_t cache_bytes; /* what it may hold beyond its share; UINT64_MAX: no limit */
	enum dsm_uffd_mode mode;
	int uffd_dev;     /* open /dev/userfaultfd, or -1: use the system call */
	unsigned vcpus;   /* slots for local vCPU threads */
	bool no_migrate;  /* as of core_cfg */
	bool no_ahead;    /* as of core_cfg */
	uint64_t hold_ns; /* longest hold of a page for its vCPU to retire; 0: 1 ms */
	/* The VM can not go on: a peer broke the protocol, or the kernel failed. Once, on the
	 * service thread. */
	void (*failed)(void *arg, int err, const char *why);
	void *arg;
};

struct dsm;

/*
 * Make guest memory. With one node there is no userfaultfd and no thread. ERR_KERNEL with a logged
 * reason when the mode can not be had, ERR_NO_MEMORY when the host can not back it. Context: main
 * thread, before vCPUs.
 */
MUST_CHECK int dsm_create(const struct dsm_cfg *cfg, struct dsm **out);

/*
 * Connect to the other slices and start the service thread, which from then on is the transport's
 * progress thread. Messages of the coherence range go to dsm; `other` gets the rest on the service
 * thread and must not block.
 */
MUST_CHECK int dsm_start(struct dsm *dsm, struct xport *xport,
	int (*other)(void *arg, const struct xport_rx *rx), void *arg);

/*
 * The memory of a slice that is alone becomes memory that other slices can join, at the same
 * address and with the same bytes. `cfg` is that of dsm_create with the nodes of all slices: the
 * others bring no memory (0 bytes), self, vcpus, failed and arg are what they were. Then comes
 * dsm_start; until it returns nobody may touch guest memory. On success dsm_ram()->ops and the
 * gate's are others than before, and pages never written are zeros that take no memory.
 *
 * On an error memory is what it was, and `why` (of `why_bytes`) says the cause and what to do:
 * ERR_STATE (not alone, stopped, or a device holds a pin), ERR_INVAL (`cfg`), ERR_NO_MEMORY,
 * ERR_NO_FD, ERR_DENIED, ERR_KERNEL. Context: main thread; vCPUs are parked, devices at rest and
 * without pins. It takes as long as copying the memory.
 */
MUST_CHECK int dsm_share(struct dsm *dsm, const struct dsm_cfg *cfg, char *why, size_t why_bytes);

/*
 * The functions that a transport made for this dsm must be given (xport_handler.message and .down).
 * `arg` is the dsm.
 */
int dsm_xport_message(void *dsm, const struct xport_rx *rx);
void dsm_xport_down(void *dsm, slice_id_t peer, int err);

/*
 * Everything waiting ends with ERR_VM_STOPPED; vCPU threads blocked in a missing page are released
 * onto zero pages, so their engines must have been told to stop first. Stops the service thread.
 */
void dsm_stop(struct dsm *dsm);
void dsm_destroy(struct dsm *dsm);

const struct dsm_ram *dsm_ram(struct dsm *dsm);
const struct dsm_gate *dsm_gate(struct dsm *dsm);

/*
 * Tie the calling thread to vCPU slot `slot`: its page faults are that vCPU's, and `retired` counts
 * its instructions (the progress rule reads it). `retired` must stay valid until dsm_stop. With
 * other slices, or when they come, the thread steps back behind the service thread (a lower nice
 * priority, for good).
 */
void dsm_vcpu_attach(struct dsm *dsm, unsigned slot, const _Atomic uint64_t *retired);

/*
 * Fault service of vCPU threads may be halted and let go again: the quiesce point. After
 * `dsm_quiesce` returns no coherence message of this slice is in flight. Context: main thread, with
 * all local vCPUs parked.
 */
MUST_CHECK int dsm_quiesce(struct dsm *dsm, uint64_t timeout_ns);
void dsm_resume(struct dsm *dsm);

struct dsm_stats {
	uint64_t read_faults, write_faults,
		upgrades;  /* by local vCPUs and pins, as the core saw them */
	uint64_t migrated; /* reads of others that we, as home, gave the whole page to */
	uint64_t silent;   /* writes to a page that a read had brought whole: upgrades saved */
	uint64_t fetched, sent, invalidated, put; /* pages */
	uint64_t ahead, ahead_used, ahead_lost;   /* asked for unasked; of those used, lost */
	uint64_t bytes_in, bytes_out;
	uint64_t latency_p50_ns, latency_p99_ns; /* fault to installation, remote pages only */
	uint64_t pages_owned, pages_shared;      /* held now */
	uint64_t holds, hold_timeouts;
};
/* Context: any thread; counters are read one by one, not as an instant. */
void dsm_stats_get(struct dsm *dsm, struct dsm_stats *out);

/*
 * The hottest pages of which this slice is the home, hottest first, at most `max`; returns how
 * many: 0 with one slice, and when the service thread does not answer within `timeout_ns`. Context:
 * main thread; the service thread fills `out`.
 */
size_t dsm_hot(struct dsm *dsm, struct hot_view *out, size_t max, uint64_t timeout_ns);

#ifdef PLANT_BUGS
/*
 * Switch a planted bug on by name, in the run-time or in the core ("": none). For builds with
 * --enable-plant. ERR_NOT_FOUND. Context: any thread.
 */
MUST_CHECK int dsm_plant(const char *name);
/* What a page begins with (host order) that "early-revoke-marked" is about. */
#define DSM_PLANT_MARK UINT64_C(0x6d627265766f6b65)
#endif

#endif
