/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/slice.h"
#include "proto/beat.h"

/*
 * What heartbeats are for: the lease among the slices, and one guest time on clocks that differ
 * (docs/architecture.md, "Time"). A slice that is alone has neither.
 */

/*
 * The lease is lost: nothing of the guest runs on, and nothing more of it gets to a disk, whatever
 * the main thread is doing; the rest of the end is the main thread's. [beat thread]
 */
static void on_lost(void *arg, const struct beat_verdict *v)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	slice_vcpus_stop(s);
	if (s->machine != NULL)
		vio_machine_halt(s->machine);
	unsigned long long ms = v->silent_ns / 1000000;
	if (v->self)
		log_error(slice, "this process was stopped: it sent no heartbeat for %llu ms", ms);
	else
		log_error(slice, "no heartbeat of slice %u for %llu ms", v->peer.v, ms);
	slice_life_lost_post(s, v->peer);
}

/*
 * All follow the leader's clock as it was at GO; so does the leader, whose guest time messages from
 * slices that are ahead by the error of their measurement would else push forward for ever. [beat
 * thread]
 */
static void on_clocks(void *arg, const struct beat_clocks *c)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	int64_t origin = atomic_load(&s->origin_ns), target;
	if (origin == ORIGIN_NONE || !c->known || SLICE_PLANTED(s, SLICE_PLANT_NO_DISCIPLINE) ||
		sub_overflows(c->offset_ns, origin, &target))
		gclock_set_error(&s->guest_clock, c->worst_ns);
	else
		gclock_discipline(&s->guest_clock, target, c->drift_ppb, c->worst_ns);
}

int slice_beat_guest_time(struct slice *s, int64_t origin_ns, uint64_t *guest_ns)
{
	struct beat_stats b;
	uint64_t floor =
		gclock_now(&s->guest_clock); /* the time of the frame with the GO, or later */
	beat_stats_get(s->beat, &b);
	__int128 t = (__int128)clock_now_ns(&s->clock.clock) + b.clocks.offset_ns - origin_ns;
	if (!b.clocks.known || t < (__int128)floor - s->lease_ns ||
		t > (__int128)floor + s->lease_ns)
		return ERR_PROTOCOL;
	*guest_ns = MAX((uint64_t)MAX(t, 0), floor);
	return 0;
}

int slice_beat_listen(struct slice *s, const char **address)
{
	struct beat_cfg cfg = {
		.self = s->self,
		.reference = s->leader,
		.bind = s->spec.fabric_bind,
		.clock = &s->clock.clock,
		.lease_ns = s->lease_ns,
		.handler = {.clocks = on_clocks, .lost = on_lost},
		.arg = s,
	};
	memcpy(cfg.incarnation.b, s->spec.incarnation, sizeof(cfg.incarnation.b));
	memcpy(cfg.secret.b, s->spec.key, sizeof(cfg.secret.b));
	int err = beat_listen(&cfg, &s->beat);
	if (err == 0)
		*address = beat_address(s->beat);
	else
		snprintf(s->ctl_text, sizeof(s->ctl_text), "no socket for heartbeats on %s: %s",
			s->spec.fabric_bind, err_text(err));
	return err;
}
