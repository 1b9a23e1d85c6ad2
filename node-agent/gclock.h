/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_GCLOCK_H
#define NODE_AGENT_GCLOCK_H

#include <stdatomic.h>

#include "base/check.h"
#include "base/clock.h"

/*
 * The guest's one clock, as this slice knows it: a hybrid logical clock (docs/architecture.md,
 * "Time").
 *
 * Guest time is this host's clock plus an offset. Two rules move the offset, and neither ever makes
 * the time go back:
 *  - causality: no message takes effect here before local guest time has reached the sender's
 *    (gclock_observe);
 *  - discipline: the offset is slewed towards what the measurement against slice 0 says
 *    (gclock_discipline).
 */
struct gclock {
	const struct clock *clock;
	_Atomic int64_t offset_ns; /* guest time = clock + offset, while running */
	_Atomic uint64_t floor_ns; /* the latest time handed out: nothing earlier follows */
	_Atomic bool running;      /* false: time stands still at floor_ns */
	_Atomic uint64_t bound_ns; /* largest advance that a message may ask for */
	_Atomic uint64_t advances; /* times that a message moved the clock */
	_Atomic uint64_t max_advance_ns;
	_Atomic int64_t lag_ns;          /* how far behind the target the discipline has left it */
	_Atomic uint64_t disciplined_ns; /* host time of the last discipline */
};

/* Advances larger than this above what the measurement explains are no skew but a broken or hostile
 * peer. */
#define GCLOCK_SLACK_NS UINT64_C(50000000)
/* Slew no faster than this against the reference, as the kernel's own NTP code. Parts per million.
 */
#define GCLOCK_SLEW_PPM 500
/* What is slewed for at once: the largest step is 125 us, and as much for the drift. */
#define GCLOCK_SLEW_SPAN_NS UINT64_C(250000000)

#ifdef PLANT_BUGS
/* Planted bug: the time of a message is checked and not followed. Set before any clock runs. */
extern bool gclock_plant_no_causality;
#endif

/* Stands still at 0 until gclock_run(). `clock` must outlive it. */
void gclock_init(struct gclock *g, const struct clock *clock);

/*
 * Let time run on from where it stands (after a pause), or from `guest_ns` if that is later.
 * Context: main thread.
 */
void gclock_run(struct gclock *g, uint64_t guest_ns);
/* Stop the guest's time where it is. Context: main thread, vCPUs parked. */
void gclock_pause(struct gclock *g);

/*
 * Guest time now, ns; never earlier than any time handed out or observed before. Context: any
 * thread.
 */
uint64_t gclock_now(struct gclock *g);

/*
 * A message was sent at guest time `guest_ns`: local time is not earlier from now on. *advanced: it
 * had been, so timers must be looked at again. ERR_PROTOCOL: further ahead than the bound. Context:
 * any thread.
 */
MUST_CHECK int gclock_observe(struct gclock *g, uint64_t guest_ns, bool *advanced);

/*
 * The measurement says that guest time should be the host's clock + `target_ns`, which moves by
 * `drift_ppb`, and that of no slice is known better than to `error_ns`. Lets the offset drift along
 * and moves it towards the target, by GCLOCK_SLEW_PPM at most, while time runs. Context: one
 * thread.
 */
void gclock_discipline(struct gclock *g, int64_t target_ns, int64_t drift_ppb, uint64_t error_ns);

/* Only the second half of it: advances may be as large as the slack and `error_ns`. Context: the
 * same thread. */
void gclock_set_error(struct gclock *g, uint64_t error_ns);

#endif
