/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "node-agent/slice.h"
#include "proto/beat.h"
#include "proto/xport.h"

/* The counters of `mirrorball vm stats`, under names that scripts may rely on. */

static void put(struct slice_ctl_stats *out, const char *name, const char *unit, uint64_t value)
{
	slice_ctl_stat(out, name, unit, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void put_memory(struct slice *s, struct slice_ctl_stats *out)
{
	struct dsm_stats d;
	dsm_stats_get(s->dsm, &d);
	put(out, "fault.read", "pages", d.read_faults);
	put(out, "fault.write", "pages", d.write_faults);
	put(out, "fault.upgrade", "pages", d.upgrades);
	put(out, "fault.silent", "pages", d.silent);
	put(out, "page.migrated", "pages", d.migrated);
	put(out, "page.fetched", "pages", d.fetched);
	put(out, "page.sent", "pages", d.sent);
	put(out, "page.ahead", "pages", d.ahead);
	put(out, "page.ahead.used", "pages", d.ahead_used);
	put(out, "page.ahead.lost", "pages", d.ahead_lost);
	put(out, "page.invalidated", "pages", d.invalidated);
	put(out, "page.put", "pages", d.put);
	put(out, "page.owned", "pages", d.pages_owned);
	put(out, "page.shared", "pages", d.pages_shared);
	put(out, "fault.latency.p50", "ns", d.latency_p50_ns);
	put(out, "fault.latency.p99", "ns", d.latency_p99_ns);
	put(out, "hold.taken", "1", d.holds);
	put(out, "hold.timeout", "1", d.hold_timeouts);
}

static void put_fabric(struct slice *s, struct slice_ctl_stats *out)
{
	if (s->xport == NULL)
		return;
	struct xport_stats x;
	s->xport->ops->stats(s->xport, &x);
	put(out, "fabric.out", "bytes", x.bytes_out);
	put(out, "fabric.in", "bytes", x.bytes_in);
	put(out, "fabric.frames.out", "1", x.frames_out);
	put(out, "fabric.frames.in", "1", x.frames_in);
	put(out, "fabric.credit.waits", "1", x.credit_waits);
}

static void put_vcpus(struct slice *s, struct slice_ctl_stats *out)
{
	struct vcpu_stats sum = {0};
	for (unsigned i = 0; i < s->n_vcpus; i++) {
		struct vcpu_stats v;
		vcpu_stats_get(s->vcpus[i].vcpu, &v);
		sum.instructions += v.instructions;
		sum.traps += v.traps;
		sum.interrupts += v.interrupts;
		sum.wfi += v.wfi;
		sum.mmio += v.mmio;
		sum.fences += v.fences;
		sum.sc_failed += v.sc_failed;
		sum.tlb_fills += v.tlb_fills;
		sum.blocks += v.blocks;
		sum.code_ns += v.code_ns;
		sum.code_bytes += v.code_bytes;
		sum.code_flushes += v.code_flushes;
		sum.code_dropped += v.code_dropped;
	}
	put(out, "vcpu.count", "1", s->n_vcpus);
	put(out, "vcpu.instructions", "1", sum.instructions);
	put(out, "vcpu.traps", "1", sum.traps);
	put(out, "vcpu.interrupts", "1", sum.interrupts);
	put(out, "vcpu.wfi", "1", sum.wfi);
	put(out, "vcpu.mmio", "1", sum.mmio);
	put(out, "vcpu.fences", "1", sum.fences);
	put(out, "vcpu.sc.failed", "1", sum.sc_failed);
	put(out, "vcpu.tlb.fills", "1", sum.tlb_fills);
	put(out, "vcpu.tlb.fill.rate", "ppm", vcpu_stats_fill_rate(&sum));
	put(out, "vcpu.code.blocks", "1", sum.blocks);
	put(out, "vcpu.code.ns", "ns", sum.code_ns);
	put(out, "vcpu.code.bytes", "bytes", sum.code_bytes);
	put(out, "vcpu.code.flushes", "1", sum.code_flushes);
	put(out, "vcpu.code.dropped", "1", sum.code_dropped);
}

static void put_routes(struct slice *s, struct slice_ctl_stats *out)
{
	struct route_stats r;
	route_stats_get(s->route, &r);
	put(out, "interrupt.out", "1", r.intr_out);
	put(out, "interrupt.in", "1", r.intr_in);
	put(out, "device.loads", "1", r.loads);
	put(out, "device.stores", "1", r.stores);
}

static void put_beats(struct slice *s, struct slice_ctl_stats *out)
{
	struct beat_stats b = {.clocks.known = true}; /* alone: its clock is the reference */
	if (s->beat != NULL)
		beat_stats_get(s->beat, &b);
	if (b.clocks.known) {
		/* This slice's clock against the leader's: positive when it is ahead, or faster. */
		slice_ctl_stat(out, "clock.skew", "ns", -b.clocks.offset_ns);
		slice_ctl_stat(out, "clock.drift", "ppb", -b.clocks.drift_ppb);
		put(out, "clock.error", "ns", b.clocks.error_ns);
		put(out, "beat.rtt", "ns", b.clocks.rtt_ns);
	}
	put(out, "beat.out", "1", b.counts.out);
	put(out, "beat.in", "1", b.counts.in);
	put(out, "beat.dropped", "1", b.counts.dropped);
	put(out, "beat.late", "1", b.counts.late);
	put(out, "beat.send.failed", "1", b.send_failed);
	put(out, "beat.silence.max", "ns", b.counts.silence_max_ns);
}

static void put_clock(struct slice *s, struct slice_ctl_stats *out)
{
	put(out, "clock.guest", "ns", gclock_now(&s->guest_clock));
	put(out, "clock.advances", "1", atomic_load(&s->guest_clock.advances));
	put(out, "clock.advance.max", "ns", atomic_load(&s->guest_clock.max_advance_ns));
	/* How far the guest's time is behind where the measurement says that it should be. */
	slice_ctl_stat(out, "clock.lag", "ns", atomic_load(&s->guest_clock.lag_ns));
}

void slice_stats(struct slice *s, struct slice_ctl_stats *out)
{
	if (sm_state(&s->life) < SLICE_BUILT || sm_state(&s->life) == SLICE_ENDED)
		return;
	put_memory(s, out);
	put_fabric(s, out);
	put_vcpus(s, out);
	put_routes(s, out);
	put(out, "guest.resets", "1", s->resets);
	put_beats(s, out);
	put_clock(s, out);
}

#define PAGES_NS UINT64_C(200000000) /* for the service thread, which is never busy as long */

static struct ctl_hot_page hot_page(const struct hot_view *v)
{
	struct ctl_hot_page p = {
		.address = v->page.v * PAGE_BYTES,
		.owner = v->owner.v,
		.weight = v->weight,
		.reads = v->n[HOT_READ],
		.writes = v->n[HOT_WRITE],
		.upgrades = v->n[HOT_UPGRADE],
		.migrated = v->n[HOT_MIGRATE],
		.queued = v->queued,
		.turns = v->turns,
		.readers = v->readers,
		.writers = v->writers,
	};
	snprintf(p.pattern, sizeof(p.pattern), "%s", hot_pattern_text(v->pattern));
	snprintf(p.policy, sizeof(p.policy), "%s", v->migratory ? "migrate" : "");
	return p;
}

/* The pages of `mirrorball vm pages`. */
uint32_t slice_pages(struct slice *s, struct ctl_hot_page *out, uint32_t max)
{
	struct hot_view v[CTL_PAGES_MAX];
	size_t n = s->dsm == NULL ? 0 : dsm_hot(s->dsm, v, MIN(max, CTL_PAGES_MAX), PAGES_NS);

	for (size_t i = 0; i < n; i++)
		out[i] = hot_page(&v[i]);
	return (uint32_t)n;
}
