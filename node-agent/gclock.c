/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "node-agent/gclock.h"

#include "base/err.h"

/*
 * All fields are independent atomics with relaxed order: readers need no consistency between them
 * beyond floor_ns, whose compare-and-swap is what makes time monotonic over threads.
 */
#define LOAD(x)     atomic_load_explicit(&(x), memory_order_relaxed)
#define STORE(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)

#ifdef PLANT_BUGS
bool gclock_plant_no_causality;
#endif

void gclock_init(struct gclock *g, const struct clock *clock)
{
	*g = (struct gclock){.clock = clock};
	STORE(g->bound_ns, GCLOCK_SLACK_NS);
}

/* Raise the floor to `t`; the floor then, which is t unless another thread was ahead. */
static uint64_t raise_floor(struct gclock *g, uint64_t t)
{
	uint64_t floor = LOAD(g->floor_ns);
	while (floor < t) {
		/*
		 * seq_cst: a time read after another thread's read, by any order the guest can see,
		 * is not earlier.
		 */
		if (atomic_compare_exchange_weak(&g->floor_ns, &floor, t))
			return t;
	}
	return floor;
}

void gclock_run(struct gclock *g, uint64_t guest_ns)
{
	uint64_t start = raise_floor(g, guest_ns);
	uint64_t host = clock_now_ns(g->clock);
	STORE(g->offset_ns, (int64_t)(start - host));
	STORE(g->disciplined_ns, host);
	STORE(g->running, true);
}

void gclock_pause(struct gclock *g)
{
	gclock_now(g);
	STORE(g->running, false);
}

uint64_t gclock_now(struct gclock *g)
{
	if (!LOAD(g->running))
		return LOAD(g->floor_ns);
	uint64_t t = clock_now_ns(g->clock) + (uint64_t)LOAD(g->offset_ns);
	return raise_floor(g, t);
}

int gclock_observe(struct gclock *g, uint64_t guest_ns, bool *advanced)
{
	uint64_t now = gclock_now(g);
	if (guest_ns <= now) {
		*advanced = false;
		return 0;
	}
	uint64_t ahead = guest_ns - now;
	if (!LOAD(g->running)) {
		/* Not started here yet, or parked: the time is taken over when the clock runs. */
		raise_floor(g, guest_ns);
		*advanced = false;
		return 0;
	}
	if (ahead > LOAD(g->bound_ns))
		return ERR_PROTOCOL;
#ifdef PLANT_BUGS
	if (gclock_plant_no_causality) {
		*advanced = false;
		return 0;
	}
#endif
	atomic_fetch_add_explicit(&g->offset_ns, (int64_t)ahead, memory_order_relaxed);
	raise_floor(g, guest_ns);
	atomic_fetch_add_explicit(&g->advances, 1, memory_order_relaxed);
	uint64_t max = LOAD(g->max_advance_ns);
	while (max < ahead && !atomic_compare_exchange_weak(&g->max_advance_ns, &max, ahead)) {
	}
	*advanced = true;
	return 0;
}

static void set_bound(struct gclock *g, uint64_t error_ns, uint64_t lag_ns)
{
	uint64_t bound;
	if (add_overflows(error_ns, lag_ns, &bound) ||
		add_overflows(bound, GCLOCK_SLACK_NS, &bound))
		bound = UINT64_MAX;
	STORE(g->bound_ns, bound);
}

void gclock_set_error(struct gclock *g, uint64_t error_ns)
{
	set_bound(g, error_ns, 0);
}

void gclock_discipline(struct gclock *g, int64_t target_ns, int64_t drift_ppb, uint64_t error_ns)
{
	if (!LOAD(g->running)) {
		gclock_set_error(g, error_ns);
		return;
	}
	uint64_t host = clock_now_ns(g->clock);
	uint64_t passed = MIN(host - LOAD(g->disciplined_ns), GCLOCK_SLEW_SPAN_NS);
	int64_t most = (int64_t)(passed * GCLOCK_SLEW_PPM / 1000000);
	int64_t lag = target_ns - LOAD(g->offset_ns);
	/* A drift that is beyond this is no clock's. */
	int64_t ppb = MIN(MAX(drift_ppb, -GCLOCK_SLEW_PPM * 1000), GCLOCK_SLEW_PPM * 1000);
	int64_t along = (int64_t)passed * ppb / 1000000000;
	int64_t step = MIN(MAX(lag, along - most), along + most);
	STORE(g->disciplined_ns, host);
	/* A step back is smaller than the host time that passed, so guest time still advances. */
	atomic_fetch_add_explicit(&g->offset_ns, step, memory_order_relaxed);
	STORE(g->lag_ns, lag - step);
	/* Of one that is where it should be we may be as far behind as we know. */
	set_bound(g, error_ns, (uint64_t)MAX(lag - step, 0));
}
