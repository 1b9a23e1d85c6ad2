/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_CORE_H
#define DSM_CORE_H

#include <stddef.h>

#include "base/check.h"
#include "dsm/hot.h"
#include "proto/ids.h"
#include "proto/wire_page.h"

/*
 * The coherence core of one slice: step(state, event) -> actions. No clock, thread, socket or guest
 * memory in it; it allocates only in core_create. The run-time, the simulator and the fuzzers drive
 * the same object code. The protocol, its races and its message diagrams: docs/coherence.md. The
 * tables themselves: dsm/cache.def and dsm/home.def; this is their summary.
 *
 * Cache side: what this slice holds of a page (the home's own copy is kept by the same code).
 *
 *   state  holds       waits for
 *   I      nothing
 *   S      read copy                   not the owner: leaves by DROP
 *   O      read copy                   owner, others may have read copies: leaves by PUT
 *   E      read copy                   owner, nobody else has a copy: leaves by PUT
 *   M      write access                owner, nobody else has a copy: leaves by PUT
 *   IS_D   nothing     DATA            read miss sent
 *   IM_AD  nothing     DATA, INV_ACKs  write miss sent
 *   SM_AD  read copy   DATA, INV_ACKs  upgrade sent; becomes IM_AD when it loses the copy
 *   OM_AD  read copy   DATA, INV_ACKs  the same by the owner
 *   MI_A   bytes       PUT_ACK         put sent, answers forwards
 *   OI_A   bytes       PUT_ACK         put sent, answers forwards; others may have read copies
 *   II_A   nothing     PUT_ACK         lost the page while the put was on its way
 *
 * Home side: the directory entry (owner, version, copyset) and the request in service; everything
 * else waits in the page's FIFO.
 *
 *   IDLE    nothing in service
 *   BUSY_S  a read is in service until its requester's DONE
 *   BUSY_M  a write, or a read that gets the whole page, is in service until its requester's DONE
 *   BUSY_O  a put is in service: a sharer has been asked to be the owner
 *   BUSY_P  a put is in service: the home fetches the page itself
 *
 * Order of messages: per pair of slices and class, nothing more is assumed.
 *
 * Context: one thread at a time calls core_*; nothing blocks. The sink must not call back into the
 * core.
 */
struct core;

#define CORE_VCPUS_MAX  64u  /* vCPU slots of one slice */
#define CORE_PINS_MAX   32u  /* pin sets at once */
#define CORE_EVICTS_MAX 64u  /* puts and drops without answer */
#define CORE_AHEADS_MAX 24u  /* pages asked for before anybody wants them */
#define CORE_REQS_MAX   184u /* the sum: requests of one slice without answer (R-DSM-9) */
#define CORE_INSN_PAGES 16u  /* pages of one instruction held together; more: oldest are let go */

/* A range of guest pages and its home, as known at creation. */
struct core_range {
	gpage_t start;
	uint64_t pages;
	slice_id_t home;
	uint32_t gen; /* generation of this knowledge; a home that knows a later one redirects */
};

struct core_cfg {
	slice_id_t self;
	const slice_id_t *slices; /* all slices of the VM, self among them; copied */
	size_t n_slices;
	const struct core_range *ranges; /* ascending and gapless; copied */
	size_t n_ranges;
	/* Remote pages held at most, UINT64_MAX: no limit. At least 2; a single instruction or pin
	 * set that needs more remote pages than this can not proceed (pins: half of it, larger sets
	 * are refused). */
	uint64_t cache_pages;
	unsigned vcpus;   /* slots; <= CORE_VCPUS_MAX */
	uint64_t hold_ns; /* longest time that a granted page is kept for its vCPU to retire an
			     instruction */
	bool no_migrate;  /* never give a page whole to one that only reads it */
	bool no_ahead;    /* ask for no page before somebody wants it */
	uint64_t poll_ns; /* how often `retired` is looked at while somebody waits for that */
};

/* Check the configuration and allocate everything. ERR_INVAL, ERR_NO_MEMORY. */
MUST_CHECK int core_create(const struct core_cfg *cfg, struct core **out);
void core_destroy(struct core *core);

/* Before the first step: this page of the own share has bytes, of a time when there was no other
 * slice. It is the home's, writable and not known to be zeros; nobody has mapped it. */
void core_adopt(struct core *core, gpage_t page);

/* ---- events ---- */

enum core_event_type {
	/* vCPU `slot` is stopped in an access to `page`. Also when the page is there already (the
	 * answer is then to map it again). One fault per slot until its WAKE. ERR_RANGE: not guest
	 * memory. */
	CORE_EV_FAULT,
	/* Pin `n_pages` pages, ascending and unique, as set `pin`; the array stays valid until
	 * UNPIN, or until a PINNED with an error. ERR_RANGE: not guest memory, not ascending, or
	 * more remote pages than half the cache: there is then no PINNED. */
	CORE_EV_PIN,
	/* Let pin set `pin` go; only after its PINNED with 0. */
	CORE_EV_UNPIN,
	/* `msg`, decoded, came from `peer`; a page of payload came with it iff
	 * wire_page_has_data(msg). ERR_PROTOCOL: a peer (core_blame) broke the rules; the core has
	 * stopped as by PEER_DOWN. */
	CORE_EV_MESSAGE,
	/* The UNMAP or PROTECT of `page` has been carried out: no vCPU can (write to / reach) it
	   any more. */
	CORE_EV_REVOKED,
	/* Time has passed, or vCPUs have retired instructions; to be given when core_next_ns is
	   due. */
	CORE_EV_TICK,
	/* The connection to `peer` is lost: this slice can not go on. Everything waiting ends with
	 * ERR_VM_STOPPED, and so does every later step. */
	CORE_EV_PEER_DOWN,
	/* The same at our own wish. */
	CORE_EV_STOP,
	CORE_EV_N
};

struct core_pin_page {
	gpage_t page;
	bool write;
};

struct core_event {
	enum core_event_type type;
	unsigned slot;                     /* FAULT */
	bool write;                        /* FAULT */
	gpage_t page;                      /* FAULT, REVOKED */
	unsigned pin;                      /* PIN, UNPIN: < CORE_PINS_MAX, chosen by the caller */
	const struct core_pin_page *pages; /* PIN */
	size_t n_pages;                    /* PIN */
	slice_id_t peer;                   /* MESSAGE, PEER_DOWN */
	const struct wire_page *msg;       /* MESSAGE */
};

/* ---- actions ---- */

enum core_action_type {
	/* Send `msg` to `peer` (never ourselves), with the page's bytes as payload iff
	 * wire_page_has_data(msg): they are stable now and must be read before the sink returns. */
	CORE_ACT_SEND,
	/* The payload of the message of this step is the page: keep it. No mapping of the page
	   exists. */
	CORE_ACT_INSTALL,
	/* The page reads as zeros from now on. No mapping of the page exists. */
	CORE_ACT_ZERO,
	/* Let vCPUs read / read and write the page (also when they may already: a fault that found
	   it present; also when none has asked: it will be asked for). */
	CORE_ACT_MAP_RO,
	CORE_ACT_MAP_RW,
	/* vCPUs may no longer write to / reach the page. Answer with CORE_EV_REVOKED, in a later
	 * step, once it is so. At most one of the two is outstanding per page. */
	CORE_ACT_PROTECT,
	CORE_ACT_UNMAP,
	/* The bytes of a remote page are needed no more (no mapping exists): its memory counts as
	   free from now on. */
	CORE_ACT_FREE,
	/* vCPU `slot` may go on: retry the access (err 0), or give up (ERR_VM_STOPPED). */
	CORE_ACT_WAKE,
	/* All pages of pin set `pin` are here and stay until UNPIN (err 0), or none is
	   (ERR_VM_STOPPED). */
	CORE_ACT_PINNED,
	CORE_ACT_N
};

struct core_action {
	enum core_action_type type;
	gpage_t page;                /* all but WAKE, PINNED */
	slice_id_t peer;             /* SEND */
	const struct wire_page *msg; /* SEND; valid during the call */
	unsigned slot;               /* WAKE */
	unsigned pin;                /* PINNED */
	int err;                     /* WAKE, PINNED */
};

/* Actions are to be carried out in the order given, before the next step. */
typedef void (*core_sink_fn)(void *arg, const struct core_action *action);

/* One step. `now_ns` never goes back; `retired[slot]` is the number of instructions that the vCPU
 * in `slot` has retired, read not before the event (it may lag, then pages are held longer, at most
 * hold_ns). A false CORE_EV_FAULT/PIN/UNPIN/ REVOKED is the caller's bug and CHECKed where the text
 * above gives no error for it. */
MUST_CHECK int core_step(struct core *core, uint64_t now_ns, const uint64_t *retired,
	const struct core_event *ev, core_sink_fn sink, void *arg);

/* When the next CORE_EV_TICK is due; UINT64_MAX: not before another event. */
uint64_t core_next_ns(const struct core *core);

/* After an error of class PEER: whom it is about (not always the sender of the message of this
 * step). */
slice_id_t core_blame(const struct core *core);

/* Nothing of ours is on its way and we serve nobody: requests, puts, drops, revocations, directory
 * transactions. */
bool core_idle(const struct core *core);

/* ---- the one function that finds a home
 * ----------------------------------------------------------------------------- */

/* Home of a page as this slice knows it; `gen` (may be NULL) is the generation of that knowledge.
 * The page must be guest memory (core_has_page). */
slice_id_t core_home_of(const struct core *core, gpage_t page, uint32_t *gen);
bool core_has_page(const struct core *core, gpage_t page);

/* ---- looking in: statistics, tests, invariants
 * ----------------------------------------------------------------------- */

enum core_cache_state {
#define CACHE_STATE(name, text) CACHE_##name,
#include "dsm/cache.def"
#undef CACHE_STATE
	CACHE_STATE_N
};

enum core_home_state {
#define HOME_STATE(name, text) HOME_##name,
#include "dsm/home.def"
#undef HOME_STATE
	HOME_STATE_N
};

struct core_stats {
	uint64_t read_faults, write_faults,
		upgrades;      /* as they came; an upgrade also counts as a write fault */
	uint64_t fetched;      /* pages received with bytes */
	uint64_t fetched_zero; /* pages received as a zero flag */
	uint64_t unchanged;    /* grants that needed no bytes */
	uint64_t sent;         /* pages sent with bytes */
	uint64_t invalidated;  /* copies lost to another slice's write */
	uint64_t downgraded;   /* write access lost to another slice's read */
	uint64_t put, dropped; /* pages given back */
	uint64_t pages_owned, pages_shared; /* held now; home pages never touched are not counted */
	uint64_t frames;                    /* remote pages that memory is taken for, now */
	uint64_t holds;                     /* revocations that had to wait for a vCPU */
	uint64_t hold_timeouts;             /* ... and did not see it retire in hold_ns */
	uint64_t yields;                    /* ... and were older than the waiting vCPU */
	uint64_t migrated;                  /* reads of others that we, as home, gave the page to */
	uint64_t silent;     /* writes to a page got so: upgrades that were not needed */
	uint64_t ahead;      /* pages asked for before anybody wanted them */
	uint64_t ahead_used; /* ... that were used, as far as that is seen */
	uint64_t ahead_lost; /* ... that were taken away before */
	uint64_t nudges, redirects;
	uint64_t queued; /* requests that found their page busy */
};
void core_stats_get(const struct core *core, struct core_stats *out);

struct core_page_info {
	enum core_cache_state state;
	uint32_t version;
	bool zero;     /* known to be all zero */
	bool mapped;   /* vCPUs may reach it as far as the core has said so */
	bool frame;    /* a remote page that memory is taken for */
	bool revoking; /* UNMAP or PROTECT outstanding */
	bool pinned;
};
void core_page_info(const struct core *core, gpage_t page, struct core_page_info *out);

struct core_home_info {
	enum core_home_state state;
	slice_id_t owner;
	uint32_t version;
	slice_id_t requester; /* in service, when not IDLE */
	unsigned waiting;     /* in the FIFO, the one in service included */
	uint64_t copyset[SLICE_MAX / 64];
};
/* ERR_NOT_FOUND: this slice is not the page's home. */
MUST_CHECK int core_home_info(const struct core *core, gpage_t page, struct core_home_info *out);

/* The hottest pages of which this slice is the home, hottest first; returns how many. */
size_t core_hot(const struct core *core, struct hot_view *out, size_t max);

/* How often each row of the tables has been taken; row i of n_rows reads "state x event". For the
 * simulator. */
struct core_row {
	const char *machine, *state, *event;
	uint64_t taken;
};
size_t core_rows(const struct core *core, struct core_row *out, size_t max);

#ifdef PLANT_BUGS
/* Planted bugs: switched on by name for all cores of the process ("" or NULL: none). ERR_NOT_FOUND.
 */
MUST_CHECK int core_plant(const char *name);
extern const char *const core_plant_names[]; /* NULL-terminated */
#endif

#endif
