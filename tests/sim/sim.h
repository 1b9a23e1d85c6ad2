/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/list.h"
#include "base/rng.h"
#include "dsm/core.h"
#include "proto/credit.h"

/*
 * A whole cluster in one thread: the real coherence cores, and a model of everything around them
 * (network, mappings, vCPUs, devices) in virtual time. One seed is one run, always the same.
 *
 *   sim.c          a run: what the seed decides, the event loop, the end
 *   sim_net.c      links: delay, order per pair and class only, credits
 *   sim_slice.c    what a run-time does: actions of the core, mappings, vCPUs, devices
 *   sim_check.c    invariants
 *   sim_main.c     many seeds, totals
 */
#define SIM_SLICES_MAX 256u
#define SIM_PAGES_MAX  64u
#define SIM_VCPUS_MAX  4u
#define SIM_INSN_MAX   4u
#define SIM_FIRST_PAGE 0x80000u

/* The bytes of a page are one number: which write, of all, was the last. */
typedef uint64_t sim_bytes;
#define SIM_POISON UINT64_MAX

enum sim_event_type {
	SIM_DELIVER, /* a: link, b: class */
	SIM_CREDIT,  /* a: link; credits in `credits` */
	SIM_VCPU,    /* a: slice, b: slot: try the instruction */
	SIM_FAULT,   /* a: slice, b: slot: the fault reaches the core */
	SIM_REVOKED, /* a: slice, b: page */
	SIM_TICK,    /* a: slice */
	SIM_DEVICE,  /* a: slice, b: device */
	SIM_DOWN,    /* a: slice, b: peer */
};

struct sim_event {
	uint64_t at_ns, seq;
	enum sim_event_type type;
	uint32_t a, b;
	uint16_t credits[MSG_CLASS_N];
};

struct sim_msg {
	struct list link;
	uint16_t type;
	size_t head_bytes;
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	bool has_data;
	sim_bytes data;
};

/* One direction between two slices. */
struct sim_link {
	uint32_t from, to;
	uint64_t delay_ns;
	struct list queued[MSG_CLASS_N], flying[MSG_CLASS_N];
	uint64_t last_ns[MSG_CLASS_N];
};

struct sim_access {
	uint32_t page;
	bool write;
};

enum sim_vcpu_state { VCPU_RUN, VCPU_FAULT, VCPU_STOPPED };

struct sim_vcpu {
	enum sim_vcpu_state state;
	unsigned n;
	struct sim_access access[SIM_INSN_MAX];
	struct sim_access missing; /* what it faulted on */
	uint64_t began_ns;         /* the instruction */
	uint64_t early;            /* instructions retired before the run was ending */
	uint32_t walk;             /* the page that a walk is at */
};

enum sim_device_state { DEVICE_IDLE, DEVICE_WAIT, DEVICE_BUSY, DEVICE_STOPPED };

struct sim_device {
	enum sim_device_state state;
	size_t n;
	struct core_pin_page pages[SIM_INSN_MAX];
	uint64_t began_ns;
	unsigned uses;
};

#define SIM_DEVICES 2u

struct sim_slice {
	uint32_t id; /* slice id; the index is dense, the id is not */
	struct core *core;
	bool dead, stopped;
	sim_bytes mem[SIM_PAGES_MAX];
	uint8_t mapped[SIM_PAGES_MAX];   /* 0, 1: read, 2: write: what a vCPU can really do */
	uint8_t revoke[SIM_PAGES_MAX];   /* 1: PROTECT, 2: UNMAP outstanding */
	uint32_t version[SIM_PAGES_MAX]; /* seen last: never goes back */
	uint64_t retired[SIM_VCPUS_MAX];
	struct sim_vcpu vcpus[SIM_VCPUS_MAX];
	struct sim_device devices[SIM_DEVICES];
	uint64_t tick_ns;
};

struct sim_cfg {
	unsigned slices, vcpus, pages, hot; /* hot: pages that most accesses go to */
	uint64_t cache;
	unsigned insn_pages; /* of one instruction, at most */
	unsigned write_pct, device_pct;
	unsigned device_slices; /* only so many slices have any */
	uint64_t hold_ns, delay_ns, jitter_ns, revoke_ns, vcpu_ns;
	uint16_t window[MSG_CLASS_N];
	bool stale_map, peer_loss;
	bool no_migrate, no_ahead;
	unsigned walk_pct;    /* instructions that go on to the next page */
	unsigned share;       /* neighbours that have the same home */
	bool progress;        /* every vCPU must retire while the others still run */
	uint64_t steps;       /* core steps before the run ends */
	uint64_t patience_ns; /* no instruction may take longer */
};

struct sim {
	uint64_t seed;
	struct sim_cfg cfg;
	struct rng rng;
	uint64_t now_ns, seq, steps, sent;
	struct sim_event *heap;
	size_t n_heap, max_heap;
	struct sim_slice *slices;
	uint16_t index_of[SLICE_MAX];
	struct sim_link *links; /* from * slices + to */
	struct credit *credits; /* the same index: the endpoint at `from` of the connection */
	sim_bytes golden[SIM_PAGES_MAX];
	uint32_t home[SIM_PAGES_MAX]; /* index of the slice */
	uint32_t home_version[SIM_PAGES_MAX];
	sim_bytes writes;
	bool ending;
	const struct sim_msg *rx; /* being delivered */
	bool touched[SIM_PAGES_MAX];
	bool failed;
	char why[256];
	bool verbose;
};

/* What all runs together have seen. */
struct sim_totals {
	uint64_t steps, retired, credit_waits, full_caches;
	uint64_t early_least; /* instructions of one vCPU before the end, in runs of `progress` */
	uint64_t holds, hold_timeouts, yields, nudges, redirects, unchanged, zero, queued;
	uint64_t ahead, ahead_used, ahead_lost;
	struct core_row rows[256];
	size_t n_rows;
};

/* ---- sim.c ---- */
void sim_cfg_from_seed(struct sim_cfg *cfg, uint64_t seed);
/*
 * Make it a long run in which nobody may starve: `progress`, no slice is lost, and devices are on
 * one slice, as the machine has them. Several slices full of devices, which come before every vCPU,
 * may keep a vCPU from its pages for as long as they do not pause.
 */
void sim_cfg_progress(struct sim_cfg *cfg, uint64_t steps);
/* One run. False: it failed, `why` says how. */
bool sim_run(uint64_t seed, const struct sim_cfg *cfg, bool verbose, struct sim_totals *totals,
	char why[256], uint64_t *steps);
void sim_fail(struct sim *sim, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_at(struct sim *sim, uint64_t in_ns, enum sim_event_type type, uint32_t a, uint32_t b);
void sim_push(struct sim *sim, struct sim_event *ev);
uint64_t sim_random(struct sim *sim, uint64_t n); /* [0, n), 0 for n = 0 */
bool sim_chance(struct sim *sim, unsigned percent);

/* ---- sim_net.c ---- */
int sim_net_init(struct sim *sim);
void sim_net_fini(struct sim *sim);
void sim_send(struct sim *sim, struct sim_slice *from, const struct core_action *a);
void sim_deliver(struct sim *sim, uint32_t link, enum msg_class class);
void sim_credit(struct sim *sim, const struct sim_event *ev);
bool sim_net_idle(const struct sim *sim);

/* ---- sim_slice.c ---- */
int sim_slices_init(struct sim *sim);
void sim_slices_fini(struct sim *sim);
int sim_step(struct sim *sim, struct sim_slice *s, struct core_event *ev);
void sim_vcpu(struct sim *sim, struct sim_slice *s, unsigned slot);
void sim_fault(struct sim *sim, struct sim_slice *s, unsigned slot);
void sim_revoked(struct sim *sim, struct sim_slice *s, uint32_t page);
void sim_device(struct sim *sim, struct sim_slice *s, unsigned device);
void sim_down(struct sim *sim, struct sim_slice *s, struct sim_slice *peer);

/* ---- sim_check.c ---- */
void sim_check_page(struct sim *sim, uint32_t page);
void sim_check_slice(struct sim *sim, const struct sim_slice *s);
void sim_check_patience(struct sim *sim);
void sim_check_end(struct sim *sim);
void sim_dump(const struct sim *sim);

static inline gpage_t sim_gpage(uint32_t page)
{
	return (gpage_t){SIM_FIRST_PAGE + page};
}

static inline struct sim_slice *sim_by_id(struct sim *sim, slice_id_t id)
{
	return &sim->slices[sim->index_of[id.v]];
}

#endif
