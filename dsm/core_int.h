/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_CORE_INT_H
#define DSM_CORE_INT_H

#include "base/list.h"
#include "dsm/ahead.h"
#include "dsm/core.h"

/*
 * Inside of the coherence core. Pages are numbered from the first guest page (`p`, 32 bits): all
 * state hangs off that number and could be split by it.
 *
 *   core.c         create, step, messages to peers and to ourselves
 *   core_pages.c   page table: dense for the own share, hashed for remote pages; pools
 *   core_map.c     who is home
 *   core_home.c    directory (home.def)
 *   core_cache.c   what this slice holds (cache.def)
 *   core_revoke.c  giving pages up: pins, holds, and the wait for the run-time
 *   core_want.c    what vCPUs and devices wait for; frames and eviction
 *   core_ahead.c   pages asked for before anybody waits for them
 *   core_look.c    statistics and views
 */
#define CORE_MAGIC     0x636f7265u
#define CORE_MOVES_MAX 1024u /* pages whose home has moved, as far as we have been told */
#define CORE_RING_MAX  64u   /* messages to ourselves, drained after each handler */
#define CORE_STAMP_MAX (UINT64_MAX >> 1)
#define CORE_NONE      UINT32_MAX

/* Message to ourselves that never is on the wire: the directory asks its own cache to fetch. */
#define CORE_MSG_PULL 0x01ffu

enum core_cache_event {
#define CACHE_EVENT(name, text) CACHE_EV_##name,
#include "dsm/cache.def"
	CACHE_EV_N
};

enum core_home_event {
#define HOME_EVENT(name, text) HOME_EV_##name,
#include "dsm/home.def"
	HOME_EV_N
};

/* What this slice holds of a page: 8 bytes. */
struct cpage {
	uint32_t version;
	uint8_t state; /* enum core_cache_state */
	uint8_t flags;
	uint16_t pend; /* index of the work in progress, 0: none */
};
#define CP_ZERO   0x01u /* reads as zeros and has not been writable here */
#define CP_MAPPED 0x02u /* vCPUs may read it */
#define CP_MAP_RW 0x04u /* ... and write */
#define CP_FRAME  0x08u /* a remote page that memory is taken for */
#define CP_AHEAD  0x10u /* came unasked, and nobody has used it yet */
#define CP_UNSEEN 0x20u /* the same, but mapped: it may have been used */

/* Directory entry: 8 bytes, and a copyset beside it. */
struct hpage {
	uint32_t version;
	uint8_t owner;
	uint8_t state : 7;     /* enum core_home_state */
	uint8_t migratory : 1; /* who reads it writes it next */
	uint16_t head;         /* txn in service (or, when IDLE, none), then the FIFO */
};
STATIC_CHECK(sizeof(struct cpage) + sizeof(struct hpage) == 16, "16 bytes a home page");

/* A page of another home that something is known of. */
struct rpage {
	struct cpage c;
	uint32_t p;
	uint32_t hash_next;          /* also the free list */
	uint32_t lru_prev, lru_next; /* of those with a frame; oldest first */
};

/* Why a page is being given up. */
enum rev_kind { REV_NONE, REV_GETS, REV_GETM, REV_INV, REV_EVICT };
/* What has been asked for. */
enum pend_want { WANT_NONE, WANT_READ, WANT_WRITE, WANT_PUT };
/* ... and what for, if nobody waited: to have it here, or to map it at once. */
enum pend_ahead { AHEAD_NO, AHEAD_HERE, AHEAD_MAPPED };

/* Work in progress on one page: our request (the MSHR of the literature), and a revocation. The
 * home serialises, so there is at most one of each. */
struct pend {
	uint32_t p;
	uint32_t req;
	uint64_t stamp;
	uint8_t want;  /* enum pend_want */
	uint8_t ahead; /* enum pend_ahead */
	bool got_data; /* DATA is here */
	bool was_copy; /* an upgrade that has lost its copy */
	bool clean;    /* the page's last owner was given it to read, and did not write */
	uint16_t home; /* where the request went */
	uint16_t acks_got, acks_need;
	uint32_t version; /* granted */

	uint8_t rev; /* enum rev_kind */
	bool rev_issued, rev_counted;
	uint16_t rev_to;
	uint16_t rev_acks;
	uint32_t rev_req;
	uint64_t rev_stamp;
	struct list deferred; /* revocations that a hold or pin keeps waiting */
	uint16_t next_free;
};

/* A request at its home. */
struct txn {
	uint64_t stamp;
	uint32_t req, version;
	uint16_t next;
	uint16_t kind; /* enum wire_page_type */
	uint8_t slice, flags;
	uint8_t candidate; /* PUT: who is asked to be the owner */
};

/* What a vCPU or a pin set waits for. */
struct want {
	bool waiting;
	bool blocked; /* no frame: tried again at the end of each step */
	bool write;
	uint32_t p;
	uint64_t stamp; /* 0: a device */
};

struct slot {
	struct want want;
	uint64_t retired; /* when its instruction first faulted */
	uint64_t stamp;   /* of that instruction */
	uint64_t deadline_ns;
	unsigned n_held;
	uint32_t held[CORE_INSN_PAGES];
	struct ahead ahead;
};

struct pinset {
	struct want want;
	bool used, admitted;
	bool took; /* its reserved frame for the page it waits for */
	const struct core_pin_page *pages;
	uint32_t n, cursor; /* pages [0, cursor) are pinned */
	uint32_t asked;     /* pages before it have been asked for, perhaps ahead */
	uint32_t remote;
	uint64_t ticket;
};

struct core_move {
	uint32_t p, gen;
	uint16_t home;
	bool used;
};

/* Messages about neighbours, which go as one; msg.run 0: none. */
struct core_run {
	struct wire_page msg;
	unsigned to;
};

struct own_range {
	uint32_t start, n, off;
};

struct core {
	uint32_t magic;
	struct core_cfg cfg;
	bool stopped;
	uint16_t blame;

	/* the map */
	uint64_t first; /* guest page 0 of the core */
	uint32_t n_pages;
	struct core_range *ranges;
	struct core_move *moves;
	unsigned n_moves;
	bool known[SLICE_MAX];

	/* pages */
	struct own_range *own;
	unsigned n_own;
	uint32_t n_own_pages;
	struct cpage *own_c;
	struct hpage *own_h;
	uint8_t *copysets;
	struct hot *hot; /* which of them are asked for most */
	unsigned copyset_bytes;
	struct rpage *remote;
	uint32_t n_remote, remote_used, remote_free;
	uint32_t *hash;
	uint32_t hash_mask;
	uint32_t lru_first, lru_last;
	uint64_t frames, frames_max;

	/* pools; index 0 is nobody */
	struct pend *pends;
	uint32_t n_pends, pends_used, pends_live;
	uint16_t pend_free;
	struct txn *txns;
	uint32_t n_txns, txns_used, txns_live;
	uint16_t txn_free;
	uint16_t asked[SLICE_MAX]; /* requests of each peer in our FIFOs */

	/* our side */
	struct slot *slots;
	struct pinset pins[CORE_PINS_MAX];
	unsigned n_pins;
	uint64_t pin_ticket;
	uint64_t pin_frames;   /* remote pages of the sets let in */
	uint64_t pin_reserved; /* ... that have no frame yet */
	uint64_t pin_waiting;  /* frames that the next set needs to be let in */
	struct list deferred;
	uint32_t last_req;
	uint64_t clock;               /* Lamport time of instructions that fault */
	unsigned drops_out, puts_out; /* not yet answered */
	unsigned freeing;             /* frames on their way out: evictions begun, puts not lost */
	unsigned aheads_out;          /* not yet answered */
	struct ahead_score ahead_score;

	/* this step */
	uint64_t now_ns, next_ns;
	const uint64_t *retired;
	bool again; /* revocations may go on that could not before */
	core_sink_fn sink;
	void *sink_arg;
	struct wire_page ring[CORE_RING_MAX];
	unsigned ring_head, ring_n;

	struct core_run asks;  /* requests ahead: within one event */
	struct core_run dones; /* their DONEs: until a step that brings no DATA */

	struct core_stats stats;
	uint64_t cache_taken[CACHE_STATE_N][CACHE_EV_N];
	uint64_t home_taken[HOME_STATE_N][HOME_EV_N];
};

/* ---- core.c ---- */
void core_send(struct core *k, unsigned to, const struct wire_page *msg);
void core_act(struct core *k, enum core_action_type type, uint32_t p);
int core_violation(struct core *k, unsigned peer);
void core_wake_at(struct core *k, uint64_t ns);
/* Age for an instruction or request that begins now: unique in the VM, and younger than every age
 * that this slice has seen. */
uint64_t core_new_stamp(struct core *k);
gpage_t core_gpage(const struct core *k, uint32_t p);

/* ---- core_map.c ---- */
int core_map_init(struct core *k, const struct core_cfg *cfg);
void core_map_fini(struct core *k);
unsigned core_map_home(const struct core *k, uint32_t p, uint32_t *gen);
int core_map_learn(struct core *k, uint32_t p, unsigned home, uint32_t gen);

/* ---- core_pages.c ---- */
int core_pages_init(struct core *k);
void core_pages_fini(struct core *k);
/* Index of a page among our own share, or CORE_NONE. */
uint32_t core_own(const struct core *k, uint32_t p);
struct cpage *core_page_find(const struct core *k, uint32_t p); /* NULL: I */
/* NULL: the table is full, which only a peer that breaks the rules can bring about. */
struct cpage *core_page_get(struct core *k, uint32_t p);
/* Forget a remote page about which nothing is known any more. */
void core_page_settle(struct core *k, uint32_t p);
/* The only way to change state and ZERO: keeps the counters of pages held. */
void core_page_change(struct core *k, uint32_t p, struct cpage *c, unsigned state, unsigned flags);
/* A frame for `p`, if it needs one; `reserved`: one of those kept for pins. False: none left. */
bool core_frame_take(struct core *k, uint32_t p, struct cpage *c, bool reserved);
/* Give the frame back, with FREE. Harmless without one. */
void core_frame_drop(struct core *k, uint32_t p, struct cpage *c);
void core_frame_touch(struct core *k, uint32_t p, struct cpage *c);
struct pend *core_pend(struct core *k, const struct cpage *c);           /* NULL: none */
struct pend *core_pend_get(struct core *k, uint32_t p, struct cpage *c); /* NULL: full */
void core_pend_settle(struct core *k, struct cpage *c); /* free it when nothing is left in it */
struct txn *core_txn(struct core *k, unsigned i);
unsigned core_txn_get(struct core *k); /* 0: full */
void core_txn_put(struct core *k, unsigned i);
bool core_copyset_has(const struct core *k, uint32_t own, unsigned slice);
void core_copyset_set(struct core *k, uint32_t own, unsigned slice, bool on);
void core_copyset_only(struct core *k, uint32_t own, unsigned slice);
/* Are `a` and `b`, which may be the same, the only ones in it? */
bool core_copyset_is(const struct core *k, uint32_t own, unsigned a, unsigned b);

/* ---- core_home.c ---- */
int core_home_message(struct core *k, unsigned from, const struct wire_page *m);

/* ---- core_cache.c ---- */
struct cache_in {
	unsigned from;
	const struct wire_page *msg; /* NULL: an event of our own */
	uint64_t stamp;              /* MISS_* */
	enum pend_ahead ahead;       /* MISS_* */
};
int core_cache_event(
	struct core *k, uint32_t p, enum core_cache_event ev, const struct cache_in *in);
int core_cache_message(struct core *k, unsigned from, const struct wire_page *m);
bool core_may_read(const struct cpage *c);
bool core_may_write(const struct cpage *c);

/* ---- core_revoke.c ---- */
/* Start to give page `p` up, or take over an eviction that has begun. */
int core_revoke_begin(
	struct core *k, uint32_t p, struct cpage *c, enum rev_kind kind, const struct cache_in *in);
int core_revoked(struct core *k, uint32_t p); /* the run-time has done it */
int core_revoke_retry(struct core *k);        /* look at all that wait for holds and pins */
void core_nudge(struct core *k, const struct wire_page *m);
/* Does a hold of a vCPU keep `p` from one as old as `stamp`? May end holds that are over. */
bool core_held(struct core *k, uint32_t p, uint64_t stamp);
bool core_holds(const struct slot *s, uint32_t p);
void core_hold_add(struct core *k, struct slot *s, uint32_t p);
bool core_pinned(const struct core *k, uint32_t p, bool only_write);

/* ---- core_want.c ---- */
int core_fault(struct core *k, const struct core_event *ev);
int core_pin(struct core *k, const struct core_event *ev);
int core_unpin(struct core *k, const struct core_event *ev);
/* Something about `p` has changed: serve who waits for it. */
int core_wants_serve(struct core *k, uint32_t p);
int core_wants_retry(struct core *k);
void core_wants_fail(struct core *k);

/* Let vCPUs use `p` as far as we may. */
void core_map_page(struct core *k, uint32_t p, struct cpage *c);

/* ---- core_ahead.c ---- */
/* vCPU `slot` has faulted on `p`: ask for what it will want next. */
int core_ahead_fault(struct core *k, unsigned slot, uint32_t p, bool write);
/* The set waits for the page at its cursor: ask for those behind it. */
int core_ahead_pin(struct core *k, struct pinset *s);
/* Send what has been collected, and begin anew. */
void core_run_send(struct core *k, struct core_run *r);
/* Put `m` off to go with those for its neighbours; what it does not go with is sent. */
void core_run_add(struct core *k, struct core_run *r, unsigned to, const struct wire_page *m);
/* A request that nobody waited for is answered. */
void core_ahead_landed(struct core *k, uint32_t p, struct cpage *c, enum pend_ahead how);
/* Somebody uses the page / it goes: count what it was asked for. Harmless for other pages. */
void core_ahead_used(struct core *k, struct cpage *c);
void core_ahead_gone(struct core *k, struct cpage *c);

/* ---- core_plant.c ---- */
enum core_bug {
	BUG_NONE,
	BUG_SKIP_INV,
	BUG_EARLY_GRANT,
	BUG_LOST_ACK,
	BUG_STALE_DATA,
	BUG_UPGRADE_DROPPED,
	BUG_FORWARD_EVICTED,
	BUG_EARLY_ACK,
	BUG_MIGRATE_AS_READ,
	BUG_AHEAD_EARLY,
	BUG_HOLD_CYCLE,
	BUG_LOST_AGE,
	BUG_RESPONSE_CREDIT, /* lives in proto/credit.c */
	BUG_N
};
#ifdef PLANT_BUGS
extern enum core_bug core_planted;
#define PLANTED(bug) unlikely(core_planted == (bug))
#else
#define PLANTED(bug) false
#endif

#endif
