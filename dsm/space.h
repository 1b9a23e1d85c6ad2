/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_SPACE_H
#define DSM_SPACE_H

#include <pthread.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/lk.h"
#include "dsm/core.h"
#include "dsm/dsm.h"
#include "dsm/excl.h"
#include "dsm/ram.h"
#include "dsm/stats.h"
#include "dsm/uffd.h"

/*
 * Inside of the run-time: `struct dsm` and what its files (space.c, service.c, act.c, pin.c) call
 * of each other. Which thread may touch what, and why that is enough: dsm/LOCKING.md.
 *
 * Pages in here are counted from the start of RAM; the core and the wire count from address 0.
 */
#define DSM_MAGIC UINT32_C(0x44534d30)

/* Slots for threads that nobody has attached (a helper thread of KVM): they hash onto these. */
#define DSM_FOREIGN_SLOTS 2u

/* A vCPU as the service thread knows it. */
struct dsm_slot {
	_Atomic uint32_t tid; /* 0: none */
	const _Atomic uint64_t *_Atomic retired;
	/* Of the service thread. */
	bool waiting; /* the core has been told of a fault and has not woken it */
	bool remote;  /* ... and could not do so at once */
	bool write;
	uint64_t page;
	uint64_t since_ns;
	bool again; /* another fault came meanwhile: to be told then */
	bool again_write;
	uint64_t again_page;
};

/* Pages of one gate request. A device thread makes it, the service thread answers it. */
struct pin_set {
	struct list link; /* [lk: dsm_queue] in `pins` or `unpins`; then in `pin_wait`; [lk:
			     dsm_pin] `active` */
	struct lk_cond done;
	bool finished; /* [lk: dsm_queue] */
	int err;       /* [lk: dsm_queue] */
	int window;    /* of excl_pin, or < 0: the core pins */
	unsigned number;
	size_t n;
	struct core_pin_page pages[];
};

struct dsm_revoke {
	uint64_t page;
	bool unmap; /* otherwise: from write to read */
};

/* What dsm_stats_get gives of the service thread's figures, which copies them here before it
 * sleeps. */
#define DSM_PUBLISHED(x)                                                                           \
	x(read_faults) x(write_faults) x(upgrades) x(migrated) x(silent) x(fetched) x(sent)        \
		x(ahead) x(ahead_used) x(ahead_lost) x(invalidated) x(put) x(bytes_in)             \
			x(bytes_out) x(pages_owned) x(pages_shared) x(holds) x(hold_timeouts)

struct dsm {
	uint32_t magic;
	_Atomic bool alone; /* one slice: plain memory, no service thread, no core */
	int prio_base;
	slice_id_t self;
	gpage_t first; /* of RAM */
	struct ram ram;
	struct uffd uffd;
	struct excl excl;
	struct dsm_ram engine_view;
	struct dsm_gate gate;
	void (*failed)(void *arg, int err, const char *why);
	void *failed_arg;
	unsigned n_vcpus, n_slots;
	struct dsm_slot *slots;

	/* Set by dsm_start, constant from then on. */
	struct xport *xport;
	int (*other)(void *arg, const struct xport_rx *rx);
	void *other_arg;
	pthread_t thread;
	bool started;

	/* Between threads. */
	_Atomic uint64_t alone_pins; /* sets that devices hold while there is one slice */
	int kick_fd;
	_Atomic bool over;        /* no pin is taken any more; set under dsm_queue */
	_Atomic bool kicked;      /* kick_fd has been written to and not read since */
	struct lk queue_lk;       /* LK(dsm_queue) */
	struct list pins, unpins; /* [lk: dsm_queue] */
	bool stopping;            /* [lk: dsm_queue] */
	bool halt;                /* [lk: dsm_queue] dsm_quiesce is wanted */
	bool quiet;               /* [lk: dsm_queue] and reached */
	struct lk_cond quiet_cond;
	struct hot_view *hot;  /* [lk: dsm_queue] dsm_hot waits for it to be filled, else NULL */
	size_t hot_max, hot_n; /* [lk: dsm_queue] */
	struct lk pin_lk;      /* LK(dsm_pin) */
	struct list active;    /* [lk: dsm_pin] pin sets that devices hold */
	struct stats_hist latency;
#define DSM_FIELD(name) _Atomic uint64_t name;
	struct {
		DSM_PUBLISHED(DSM_FIELD)
	} published;
#undef DSM_FIELD

	/* Of the service thread from here on. */
	struct core *core;
	int epoll_fd;
	bool halted;   /* dsm_quiesce has been heard */
	bool watching; /* faults are read */
	bool ended;    /* the core takes no more events */
	int err;       /* first failure within a step */
	const char *err_why;
	uint64_t retired[CORE_VCPUS_MAX];
	struct list pin_wait; /* for a free number */
	struct pin_set *pin_by_number[CORE_PINS_MAX];
	struct dsm_revoke *revokes, *revoking;
	size_t revokes_n, revokes_max;
	uint64_t retry[CORE_VCPUS_MAX]; /* pages to be mapped when no device is at them any more */
	unsigned retry_n;
	/* Of the step: */
	const void *rx_data;
	bool landing; /* bytes of `land_page` (NULL: zeros) have come and are nowhere yet */
	uint64_t land_page;
	const void *land_bytes;
	uint64_t mapped_page; /* the last one mapped, whose waiters the kernel has woken */
};

static inline uint64_t dsm_index(const struct dsm *dsm, gpage_t page)
{
	return page.v - dsm->first.v;
}

static inline gpage_t dsm_page(const struct dsm *dsm, uint64_t index)
{
	return (gpage_t){dsm->first.v + index};
}

/* ---- space.c ---- */

/* dsm_share() with the file that is to hold the memory (as in ram_init), for tests. */
MUST_CHECK int space_share(
	struct dsm *dsm, const struct dsm_cfg *cfg, int fd, char *why, size_t why_bytes);

/* ---- service.c ---- */

/* Make ready for the service thread: dsm->xport is set. ERR_KERNEL. Context: main thread. */
MUST_CHECK int service_init(struct dsm *dsm);

/* The service thread. */
void *service_run(void *dsm);

/* Wake the service thread. Context: any thread. */
void service_kick(void *dsm);

/* One step of the core, its actions, and what follows if one of them failed. The error is the
 * core's. Context: service thread, as all below. */
int service_step(struct dsm *dsm, const struct core_event *ev);

/* The VM can not go on: tell the core, the slice and everybody who waits. Only the first call
 * counts. */
void service_fail(struct dsm *dsm, int err, const char *why);

/* ---- act.c ---- */

/* The core's sink. `arg` is the dsm. */
void act_sink(void *arg, const struct core_action *action);

/* Put what has come and was not mapped in its place: end of a step. */
void act_land(struct dsm *dsm);

/* Carry out collected revocations but those of pages in windows. True if any was. */
bool act_revoke(struct dsm *dsm);
bool act_revoke_pending(const struct dsm *dsm, uint64_t page);

/* Map what could not be moved because a device was at it. */
void act_retry(struct dsm *dsm);

/* ---- pin.c ---- */

extern const struct dsm_gate_ops pin_ops, pin_ops_alone;

/* Take over what devices want. */
void pin_serve(struct dsm *dsm);
/* The core has pinned set `number`, or has not. */
void pin_answer(struct dsm *dsm, unsigned number, int err);
/* Nothing is pinned any more: who waits is told so. */
void pin_end(struct dsm *dsm);
/* Is a device at the page, by a set of the core's? */
bool pin_holds(const struct dsm *dsm, uint64_t page);
/* Free what was unpinned too late. Context: main thread, after the service thread. */
void pin_fini(struct dsm *dsm);

#endif
