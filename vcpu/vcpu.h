/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VCPU_VCPU_H
#define VCPU_VCPU_H

#include "base/check.h"
#include "dsm/dsm.h"
#include "proto/ids.h"

/*
 * A virtual CPU. One thread runs it (`vcpu_run`); others reach it only through the functions marked
 * "any thread", which leave something in its mailbox and kick it. Whatever it needs from the rest
 * of the machine it asks of its environment.
 */
struct vcpu;
struct vcpu_group;

/* A fence that another vCPU (or this one) asks for: SBI RFENCE, or x86 TLB shoot-down. */
enum vcpu_fence_kind { VCPU_FENCE_I, VCPU_FENCE_VMA, VCPU_FENCE_VMA_ASID };
struct vcpu_fence {
	enum vcpu_fence_kind kind;
	uint64_t start; /* guest-virtual; ignored by FENCE_I */
	uint64_t bytes; /* UINT64_MAX: the whole space */
	uint16_t asid;  /* only VMA_ASID */
};

/* SBI HSM states, numbers of the SBI specification (HSM extension, "hart states"). */
enum vcpu_hsm {
	VCPU_STARTED = 0,
	VCPU_STOPPED = 1,
	VCPU_START_PENDING = 2,
	VCPU_STOP_PENDING = 3,
	VCPU_SUSPENDED = 4,
};

enum vcpu_reset { VCPU_RESET_SHUTDOWN, VCPU_RESET_COLD, VCPU_RESET_WARM };

/*
 * What the slice provides. Called on the vCPU's own thread unless said otherwise. Those that may
 * wait for another slice are marked [waits]; they wait in vcpu_idle(), so that the vCPU goes on
 * answering fences meanwhile.
 */
struct vcpu_env_ops {
	/* Guest clock, ns since the VM began. Never goes back, on any slice. Any thread. */
	uint64_t (*time_ns)(void *ctx);
	/*
	 * Load from a device register, `size` 1, 2, 4 or 8. [waits] ERR_NOT_FOUND: nothing there,
	 * the guest gets an access fault; any other error is seen by the guest as all ones.
	 */
	int (*mmio_read)(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t *value);
	/*
	 * Store to a device register: posted, in order with this vCPU's later accesses.
	 * ERR_NOT_FOUND: nothing there.
	 */
	int (*mmio_write)(void *ctx, vcpu_id_t self, gpa_t addr, unsigned size, uint64_t value);
	/*
	 * All earlier posted stores of this vCPU have been performed when it returns (fence with O
	 * or I). [waits]
	 */
	void (*io_fence)(void *ctx, vcpu_id_t self);
	/*
	 * Set interrupt identity `id` in the file of vCPU `to`, wherever it runs; also for `to` =
	 * self.
	 */
	void (*msi)(void *ctx, vcpu_id_t self, vcpu_id_t to, uint32_t id);
	/* SBI IPI: supervisor software interrupt. */
	void (*ipi)(void *ctx, vcpu_id_t self, vcpu_id_t to);
	/*
	 * Fence on every vCPU of `targets` (bit i of word i/64 is vCPU i), returns when all have
	 * acknowledged. [waits]
	 */
	void (*fence)(
		void *ctx, vcpu_id_t self, const uint64_t *targets, const struct vcpu_fence *f);
	/*
	 * HSM, results are SBI error codes (0, or negative as the specification numbers them).
	 * [waits]
	 */
	int (*hart_start)(void *ctx, vcpu_id_t self, vcpu_id_t to, uint64_t pc, uint64_t opaque);
	int (*hart_status)(void *ctx, vcpu_id_t self, vcpu_id_t to, enum vcpu_hsm *out);
	/*
	 * SRST. The caller's vCPU executes no further instruction. `reason` is the SBI reset
	 * reason.
	 */
	void (*reset)(void *ctx, vcpu_id_t self, enum vcpu_reset type, uint32_t reason);
	/* SBI debug console: bytes out; bytes in, 0 when there are none. Neither waits. */
	void (*console_write)(void *ctx, const void *buf, size_t len);
	size_t (*console_read)(void *ctx, void *buf, size_t len);
};

struct vcpu_env {
	const struct vcpu_env_ops *ops;
	void *ctx;
	const struct dsm_ram *ram;
	vcpu_id_t n_vcpus;        /* of the whole VM */
	struct vcpu_group *group; /* shared by the vCPUs of this slice */
	/*
	 * A lone vCPU whose fences need not reach anybody: whoever else uses guest memory calls
	 * barrier_heavy(), which is armed (base/barrier.h).
	 */
	bool fenceless;
};

/*
 * What the vCPUs of one slice share (reservations of load-reserved). One slot for each, as
 * vcpu_cfg.slot; it outlives them. ERR_NO_MEMORY. Context: any thread.
 */
MUST_CHECK int vcpu_group_create(unsigned n_slots, struct vcpu_group **out);
void vcpu_group_destroy(struct vcpu_group *group);

struct vcpu_cfg {
	vcpu_id_t id;
	unsigned slot; /* index among this slice's vCPUs: the dsm slot */
	bool svadu;    /* hardware updates of A and D; else page faults */
	bool jit;      /* translate what is executed often; else interpret everything */
	/* Of the translator; 0: defaults. */
	uint64_t jit_cache_bytes; /* for translated code, of this vCPU */
	unsigned jit_threshold;   /* arrivals at an address before it is translated */
	bool jit_baseline;        /* use nothing that is not in every x86-64 processor */
	bool jit_perf_map;        /* say what is where in /tmp/perf-PID.map, as perf reads it */
};
#define VCPU_JIT_CACHE_MIN     (UINT64_C(128) << 10)
#define VCPU_JIT_CACHE_MAX     (UINT64_C(1) << 30)
#define VCPU_JIT_THRESHOLD_MAX 255u

/* State to be sent to another slice: the architectural registers of one vCPU, plain data. */
struct vcpu_state_rv64;

MUST_CHECK int vcpu_rv64_create(
	const struct vcpu_cfg *cfg, const struct vcpu_env *env, struct vcpu **out);
void vcpu_destroy(struct vcpu *v);

/*
 * Run until vcpu_stop(): executes, sleeps in WFI, waits stopped in HSM. Context: the vCPU's thread,
 * calls no other vcpu_run of this vCPU.
 */
void vcpu_run(struct vcpu *v);
/* Make vcpu_run return soon. Any thread. */
void vcpu_stop(struct vcpu *v);

/*
 * Wait for the next kick, or until guest time `deadline_ns` (UINT64_MAX: none), answering fences;
 * also returns when there was mail, and at once while stopping. Context: the vCPU's thread, from
 * inside an env op: how [waits] ops wait.
 */
void vcpu_idle(struct vcpu *v, uint64_t deadline_ns);
bool vcpu_stopping(const struct vcpu *v);
/*
 * Wake the vCPU's thread from WFI or vcpu_idle, and make a running one look at its mailbox. Any
 * thread.
 */
void vcpu_kick(struct vcpu *v);

/* Any thread; none of these waits. */
void vcpu_deliver_msi(struct vcpu *v, uint32_t id);
void vcpu_deliver_ipi(struct vcpu *v);
/*
 * `done(arg)` is called, on any thread, once no translation from before the fence can be used any
 * more. At most VCPU_FENCES_MAX may be outstanding per vCPU, ERR_FULL beyond.
 */
#define VCPU_FENCES_MAX 2048u
MUST_CHECK int vcpu_post_fence(
	struct vcpu *v, const struct vcpu_fence *f, void (*done)(void *arg), void *arg);
/* HSM start: result is an SBI error code. */
int vcpu_hsm_start(struct vcpu *v, uint64_t pc, uint64_t opaque);
enum vcpu_hsm vcpu_hsm_status(const struct vcpu *v);
/* The guest clock has jumped forward: look at the timer again. */
void vcpu_time_changed(struct vcpu *v);

/*
 * Park at an instruction boundary and let go again (quiesce, moves). vcpu_pause returns at once;
 * `vcpu_paused` becomes true when the vCPU executes nothing any more and no env op of it is
 * outstanding. Any thread.
 */
void vcpu_pause(struct vcpu *v);
bool vcpu_paused(const struct vcpu *v);
void vcpu_resume(struct vcpu *v);

/*
 * Copy the state out of, or into, a vCPU that is paused or has not run. `set` refuses impossible
 * values: ERR_INVAL.
 */
MUST_CHECK int vcpu_rv64_get_state(const struct vcpu *v, struct vcpu_state_rv64 *out);
MUST_CHECK int vcpu_rv64_set_state(struct vcpu *v, const struct vcpu_state_rv64 *state);

/* Retired instructions, written by the vCPU's thread only, readable by all. */
const _Atomic uint64_t *vcpu_retired(const struct vcpu *v);

struct vcpu_stats {
	uint64_t instructions, traps, interrupts, wfi, mmio, fences, sc_failed;
	uint64_t tlb_fills; /* misses of the soft TLB that a page of RAM answered */
	/* The translator: */
	uint64_t blocks;       /* translated so far */
	uint64_t code_ns;      /* time for it, while the thread had a processor */
	uint64_t code_bytes;   /* of the code cache, in use */
	uint64_t code_flushes; /* the code cache was full and has been emptied */
	uint64_t code_dropped; /* pages whose instructions had changed */
};
void vcpu_stats_get(const struct vcpu *v, struct vcpu_stats *out);
/* Misses of the soft TLB in a million instructions; 0 before the first. */
uint64_t vcpu_stats_fill_rate(const struct vcpu_stats *s);

/* The values of riscv,isa and riscv,isa-extensions for the device tree. */
const char *vcpu_rv64_isa(void);
/* Extension names, NULL-terminated; `svadu` as in vcpu_cfg. */
const char *const *vcpu_rv64_extensions(bool svadu);

#endif
