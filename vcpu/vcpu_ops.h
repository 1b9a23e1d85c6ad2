/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_VCPU_OPS_H
#define VCPU_VCPU_OPS_H

#include <stdatomic.h>

#include "base/lk.h"
#include "vcpu/vcpu.h"

/*
 * What vcpu.c (mailbox, sleep, pause, HSM) and an engine share. An engine embeds struct vcpu as
 * its first member.
 *
 * Attention: one word, poll_at, is compared with the count of retired instructions at every taken
 * branch. Whoever wants the vCPU to look up sets a flag and then poll_at to 0; the vCPU first
 * moves poll_at on and then reads the flags, so that no request is overlooked (both sides
 * sequentially consistent).
 */
#define VCPU_FLAG_KICK  UINT32_C(1)  /* look again at interrupts and timers */
#define VCPU_FLAG_MAIL  UINT32_C(2)  /* fences are queued */
#define VCPU_FLAG_STOP  UINT32_C(4)  /* vcpu_run must return */
#define VCPU_FLAG_PAUSE UINT32_C(8)  /* park at an instruction boundary */
#define VCPU_FLAG_HSM   UINT32_C(16) /* the hart is not STARTED */
/* Those that make an engine leave its loop, and stay set until answered in vcpu_run. */
#define VCPU_FLAGS_LEAVE (VCPU_FLAG_STOP | VCPU_FLAG_PAUSE | VCPU_FLAG_HSM)

struct vcpu_engine_ops {
	/* Execute until a flag of VCPU_FLAGS_LEAVE is seen. Context: the vCPU's thread. */
	void (*run)(struct vcpu *v);
	/*
	 *  Begin at `pc` as after HSM start: a0 = vCPU id, a1 = opaque, no translation, interrupts
	 *  off. Same context.
	 */
	void (*start)(struct vcpu *v, uint64_t pc, uint64_t opaque);
	/*
	 *  Forget translations. Context: the vCPU's thread, at an instruction boundary or inside
	 *  an env op.
	 */
	void (*fence)(struct vcpu *v, const struct vcpu_fence *f);
	/* Interrupt sources. Context: any thread; the caller kicks. */
	void (*msi)(struct vcpu *v, uint32_t id);
	void (*ipi)(struct vcpu *v);
	void (*destroy)(struct vcpu *v);
};

struct vcpu_mail {
	struct vcpu_fence fence;
	void (*done)(void *arg); /* NULL: acknowledged already */
	void *arg;
};

/* Counters of vcpu_stats that vcpu.c and engines keep; written by the vCPU's thread only. */
struct vcpu_counts {
	_Atomic uint64_t traps, interrupts, wfi, mmio, fences, sc_failed;
	_Atomic uint64_t tlb_fills;
	_Atomic uint64_t blocks, code_ns, code_bytes, code_flushes, code_dropped;
};

#define VCPU_MAGIC UINT32_C(0x76637075)

struct vcpu {
	uint32_t magic;
	const struct vcpu_engine_ops *engine;
	struct vcpu_cfg cfg;
	struct vcpu_env env;

	_Atomic uint64_t poll_at; /* any thread sets it to 0 */
	_Atomic uint32_t flags;   /* VCPU_FLAG_* */
	_Atomic uint64_t retired; /* vCPU thread writes */
	struct vcpu_counts counts;

	struct lk lock;
	struct lk_cond cond;
	_Atomic bool sleeping; /* in lk_cond_wait, or about to be */
	/* Under the lock: */
	bool parked;    /* executes nothing: whoever posts a fence acknowledges it himself */
	bool flush_all; /* more fences came while parked than the queue holds */
	uint32_t mail_n;
	struct vcpu_mail *mail; /* VCPU_FENCES_MAX */
	uint64_t start_pc, start_opaque;

	_Atomic int hsm;      /* enum vcpu_hsm; changes under the lock */
	_Atomic bool at_rest; /* parked in vcpu_run for a pause, or not in vcpu_run */
};

/* For engines. Context of all: the vCPU's thread, unless said otherwise. */

/* Initialise the neutral part; the vCPU is HSM-stopped. ERR_NO_MEMORY. */
MUST_CHECK int vcpu_init(struct vcpu *v, const struct vcpu_engine_ops *engine,
	const struct vcpu_cfg *cfg, const struct vcpu_env *env);
void vcpu_fini(struct vcpu *v);

/* Take what is in the mailbox: fences are applied and acknowledged. */
void vcpu_take_mail(struct vcpu *v);

/* Let the next taken branch look up, without a kick. */
static inline void vcpu_look_up(struct vcpu *v)
{
	atomic_store_explicit(&v->poll_at, 0, memory_order_relaxed); /* own thread: program order */
}

/* Sleep as WFI does: until a flag is set or guest time reaches `deadline_ns`. */
void vcpu_wait(struct vcpu *v, uint64_t deadline_ns);

/* The hart stops itself (SBI HSM). The engine must then leave its loop. */
void vcpu_hsm_stop_self(struct vcpu *v);

/* Counters have one writer: a plain store is enough. */
static inline void vcpu_count_set(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline void vcpu_count_add(_Atomic uint64_t *counter, uint64_t n)
{
	vcpu_count_set(counter, atomic_load_explicit(counter, memory_order_relaxed) + n);
}

static inline void vcpu_count(_Atomic uint64_t *counter)
{
	vcpu_count_add(counter, 1);
}

/* ---- reservations of load-reserved, shared by the vCPUs of a slice ------------------------- */

/*
 * A reservation covers one naturally aligned 8-byte unit of guest-physical memory. Slot states:
 *   0                  none
 *   gpa | HELD         load-reserved; any store to the unit by another vCPU makes it 0
 *   gpa | COMMITTING   a store-conditional is between its check and its compare-and-swap; other
 *                      vCPUs' stores to the unit wait for it (a few host instructions)
 */
#define VCPU_RES_HELD       UINT64_C(1)
#define VCPU_RES_COMMITTING UINT64_C(3)
#define VCPU_RES_UNIT       UINT64_C(8)

struct vcpu_group {
	uint32_t magic;
	unsigned n;
	/*
	 *  How many slots are not 0. Stores look only here while it is 0. A cache line of its own:
	 *  it is read by every store of every vCPU.
	 */
	_Alignas(64) _Atomic uint32_t live;
	_Alignas(64) struct vcpu_res {
		_Alignas(64) _Atomic uint64_t unit;
	} slot[];
};

/* Make, drop, commit: only by the owner of the slot. `unit` is a multiple of VCPU_RES_UNIT. */
void vcpu_res_hold(struct vcpu_group *g, unsigned slot, uint64_t unit);
void vcpu_res_drop(struct vcpu_group *g, unsigned slot);
/*
 * HELD -> COMMITTING, and kills the other reservations of the unit. False when ours is lost or
 * names another unit, or when a vCPU in a lower slot commits at the same time; then it is dropped,
 * and the lower one has committed.
 */
bool vcpu_res_begin(struct vcpu_group *g, unsigned slot, uint64_t unit);
/*
 *  Before a store of the vCPU in `slot` to [gpa, gpa + bytes): drops its own reservation, kills
 *  those of others.
 */
void vcpu_res_kill(struct vcpu_group *g, unsigned slot, uint64_t gpa, unsigned bytes);

#endif
