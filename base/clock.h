/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/*
 * Time as an input. Code that needs the time takes a `struct clock *`, so tests drive it, and a
 * slice's clock can be set apart from its host's (offset, rate) to prove that nothing depends on
 * hosts agreeing.
 */
struct clock {
	uint64_t (*now_ns)(const struct clock *clock); /* monotonic, ns; any thread */
};

static inline uint64_t clock_now_ns(const struct clock *clock)
{
	return clock->now_ns(clock);
}

/* CLOCK_MONOTONIC of this host. Context: any thread. */
const struct clock *clock_host(void);

/* The host's clock with an offset (ns) and a rate error (parts per million), both signed. */
struct clock_skewed {
	struct clock clock;
	int64_t offset_ns;
	int64_t ppm;
	uint64_t start_ns;
};
/* What a skewed clock shows when the host's shows `host_ns`; never below 0. Context: any thread. */
uint64_t clock_skew_ns(const struct clock_skewed *c, uint64_t host_ns);
void clock_skewed_init(struct clock_skewed *c, int64_t offset_ns, int64_t ppm);

/* A clock that moves only when told to. Context: one thread sets, any thread reads. */
struct clock_manual {
	struct clock clock;
	_Atomic uint64_t ns;
};
void clock_manual_init(struct clock_manual *c, uint64_t ns);
void clock_manual_advance(struct clock_manual *c, uint64_t ns);

#endif
