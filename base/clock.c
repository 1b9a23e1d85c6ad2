/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "base/check.h"

static uint64_t clock_host_now_ns(UNUSED const struct clock *clock)
{
	struct timespec ts;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

const struct clock *clock_host(void)
{
	static const struct clock host = {.now_ns = clock_host_now_ns};
	return &host;
}

uint64_t clock_skew_ns(const struct clock_skewed *c, uint64_t host_ns)
{
	__int128 since = (__int128)host_ns - c->start_ns;
	__int128 ns = (__int128)host_ns + c->offset_ns + since * c->ppm / 1000000;
	return ns < 0 ? 0 : (uint64_t)ns;
}

static uint64_t clock_skewed_now_ns(const struct clock *clock)
{
	const struct clock_skewed *c = container_of(clock, const struct clock_skewed, clock);
	return clock_skew_ns(c, clock_host_now_ns(NULL));
}

void clock_skewed_init(struct clock_skewed *c, int64_t offset_ns, int64_t ppm)
{
	*c = (struct clock_skewed){
		.clock = {.now_ns = clock_skewed_now_ns},
		.offset_ns = offset_ns,
		.ppm = ppm,
		.start_ns = clock_host_now_ns(NULL),
	};
}

static uint64_t clock_manual_now_ns(const struct clock *clock)
{
	const struct clock_manual *c = container_of(clock, const struct clock_manual, clock);
	return atomic_load(&c->ns);
}

void clock_manual_init(struct clock_manual *c, uint64_t ns)
{
	c->clock.now_ns = clock_manual_now_ns;
	atomic_init(&c->ns, ns);
}

void clock_manual_advance(struct clock_manual *c, uint64_t ns)
{
	atomic_fetch_add(&c->ns, ns);
}
