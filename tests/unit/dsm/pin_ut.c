/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sched.h>

#include "base/rng.h"
#include "tests/lib/ut.h"
#include "tests/unit/dsm/cluster.h"

/* The gate: what devices may pin, and that pins and vCPUs of other slices exclude each other. */
UT_SUITE_WITH(pin, NULL, cluster_after);

static int pin(unsigned slice, struct dsm_seg *segs, size_t n)
{
	const struct dsm_gate *gate = dsm_gate(cluster.m[slice].dsm);
	return gate->ops->pin(gate->ctx, segs, n);
}

static void unpin(unsigned slice, const struct dsm_seg *segs, size_t n)
{
	const struct dsm_gate *gate = dsm_gate(cluster.m[slice].dsm);
	gate->ops->unpin(gate->ctx, segs, n);
}

static struct dsm_seg seg(unsigned page, unsigned off, uint64_t bytes, bool write)
{
	return (struct dsm_seg){
		.gpa = {CLUSTER_BASE + (uint64_t)page * PAGE_BYTES + off},
		.bytes = bytes,
		.write = write,
	};
}

static void limits(enum dsm_uffd_mode mode)
{
	static struct dsm_seg many[DSM_SEGS_MAX + 1];
	CLUSTER_START(2, 8, 4, mode);
	struct dsm_seg s = seg(15, 4000, 96, true);
	UT_OK(pin(0, &s, 1));
	unpin(0, &s, 1);
	s = seg(15, 4000, 97, true);
	UT_ERR(pin(0, &s, 1), RANGE);
	s = (struct dsm_seg){.gpa = {CLUSTER_BASE - 1}, .bytes = 2};
	UT_ERR(pin(0, &s, 1), RANGE);
	s = (struct dsm_seg){.gpa = {UINT64_MAX}, .bytes = UINT64_MAX};
	UT_ERR(pin(0, &s, 1), RANGE);
	s = seg(8, 0, 3 * PAGE_BYTES, false); /* more of others' pages than half the cache */
	UT_ERR(pin(0, &s, 1), RANGE);
	UT_OK(pin(1, &s, 1));
	unpin(1, &s, 1);
	for (unsigned i = 0; i <= DSM_SEGS_MAX; i++)
		many[i] = seg(i % 4, 8, 8, false);
	UT_ERR(pin(0, many, DSM_SEGS_MAX + 1), RANGE);
	UT_OK(pin(0, many, DSM_SEGS_MAX));
	unpin(0, many, DSM_SEGS_MAX);
	s = seg(3, 17, 0, true);
	UT_OK(pin(0, &s, 1));
	unpin(0, &s, 1);
	UT_OK(pin(0, NULL, 0));
	unpin(0, NULL, 0);
}

static void segments_may_straddle_and_overlap(enum dsm_uffd_mode mode)
{
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	struct dsm_seg segs[3] = {
		seg(7, 4000, 300, true), /* from one home's last page to the other's first */
		seg(2, 0, 8, false),
		seg(8, 100, 200, false),
	};
	for (unsigned s = 0; s < 2; s++) {
		UT_OK(pin(s, segs, 3));
		UT_EQ(segs[2].host - segs[0].host, 196);
		memset(segs[0].host, 0x40 + (int)s, segs[0].bytes);
		UT_EQ(segs[2].host[0], 0x40 + s);
		unpin(s, segs, 3);
		uint8_t back[300];
		UT_OK(dsm_gate_read(dsm_gate(cluster.m[!s].dsm), segs[0].gpa, back, 300));
		UT_CHECK(back[0] == 0x40 + s && back[299] == 0x40 + s);
	}
}

/* While a device has it pinned for reading, another slice's vCPU can not write; for longer than any
 * hold. */
static void writer_run(struct cluster_vcpu *v)
{
	atomic_store(cluster_word(v->cluster, v->slice, 3, 0), 2);
	cluster_retire(v);
}

static void a_pinned_page_stays(enum dsm_uffd_mode mode)
{
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	atomic_store(cluster_word(&cluster, 0, 3, 0), 1);
	struct cluster_vcpu v = {.cluster = &cluster, .slice = 1, .run = writer_run};
	struct dsm_seg a = seg(3, 0, 8, false), b = a;
	UT_OK(pin(0, &a, 1)); /* by a window: the page is mapped here */
	cluster_vcpu_start(&v);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t other;
		CHECK(dsm_gate_read(dsm_gate(cluster.m[1].dsm), cluster_gpa(12, 0), &other, 8) ==
			0);
		UT_EQ(*(volatile uint64_t *)a.host, 1);
		UT_CHECK(!atomic_load(&v.done));
	}
	unpin(0, &a, 1);
	cluster_vcpu_join(&v);
	UT_OK(pin(0, &b, 1)); /* by the core: it has to be fetched */
	UT_EQ(*(uint64_t *)b.host, 2);
	unpin(0, &b, 1);
}

/*
 * A vCPU reads what a device of the same slice has pinned and nobody has mapped yet. Before
 * kernel 6.4 the page would have to be moved for that, so the vCPU waits for the device; otherwise
 * it goes on.
 */
static void reader_run(struct cluster_vcpu *v)
{
	v->bad = atomic_load(cluster_word(v->cluster, v->slice, 3, 0)) != 7;
	cluster_retire(v);
}

static void a_vcpu_reads_a_pinned_page(enum dsm_uffd_mode mode)
{
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	atomic_store(cluster_word(&cluster, 0, 3, 0), 7);
	struct dsm_seg s = seg(3, 0, 8, false);
	UT_OK(pin(1, &s, 1));
	struct cluster_vcpu v = {.cluster = &cluster, .slice = 1, .run = reader_run};
	cluster_vcpu_start(&v);
	bool waits = cluster.m[1].dsm->uffd.way == UFFD_BY_COPY;
	for (unsigned i = 0; i < 50; i++) {
		uint64_t other;
		CHECK(dsm_gate_read(dsm_gate(cluster.m[1].dsm), cluster_gpa(12, 0), &other, 8) ==
			0);
		UT_CHECK(!waits || !atomic_load(&v.done));
		UT_EQ(*(volatile uint64_t *)(void *)s.host, 7);
	}
	while (!waits && !atomic_load(&v.done))
		sched_yield();
	unpin(1, &s, 1);
	cluster_vcpu_join(&v);
	UT_EQ(v.bad, 0);
}

/*
 * Word i of a page is for device i and the vCPU of the other slice. The device adds without
 * atomics: its pin for writing is what keeps the vCPU out.
 */
#define PAGES  6u
#define ROUNDS 250u

struct device {
	unsigned slice;
	bool sets; /* several pages at once */
	pthread_t thread;
};

static void bump(uint8_t *host)
{
	volatile uint64_t *w = (volatile uint64_t *)(void *)host;
	*w = *w + 1;
}

static void *device_run(void *arg)
{
	struct device *d = arg;
	struct rng rng;
	rng_init(&rng, d->slice);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct dsm_seg segs[3];
		unsigned n = d->sets ? 3 : 1;
		unsigned first = (unsigned)rng_below(&rng, PAGES);
		for (unsigned j = 0; j < n; j++)
			segs[j] = seg((first + 2 * j) % PAGES * 3, d->slice * 8, 8, true);
		CHECK(pin(d->slice, segs, n) == 0);
		for (unsigned j = 0; j < n; j++)
			bump(segs[j].host);
		unpin(d->slice, segs, n);
	}
	return NULL;
}

static void against_run(struct cluster_vcpu *v)
{
	struct rng rng;
	rng_init(&rng, 100 + v->slice);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned page = (unsigned)rng_below(&rng, PAGES) * 3;
		atomic_fetch_add(cluster_word(v->cluster, v->slice, page, !v->slice), 1);
		cluster_retire(v);
	}
}

static void pins_keep_other_slices_out(enum dsm_uffd_mode mode)
{
	struct device d[4];
	struct cluster_vcpu v[2];
	CLUSTER_START(2, 9, 6, mode);
	for (unsigned i = 0; i < 2; i++) {
		v[i] = (struct cluster_vcpu){.cluster = &cluster, .slice = i, .run = against_run};
		cluster_vcpu_start(&v[i]);
	}
	/* One device per word at a time: two that add to the same word need their own order. */
	for (unsigned i = 0; i < 2; i++) {
		d[i] = (struct device){.slice = i, .sets = true};
		CHECK(pthread_create(&d[i].thread, NULL, device_run, &d[i]) == 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		CHECK(pthread_join(d[i].thread, NULL) == 0);
		cluster_vcpu_join(&v[i]);
	}
	for (unsigned word = 0; word < 2; word++) {
		uint64_t sum = 0;
		for (unsigned page = 0; page < PAGES; page++)
			sum += cluster_gate_word(&cluster, page % 2, page * 3, word);
		UT_EQ(sum, 4 * ROUNDS); /* three by the device, one by the vCPU, each round */
	}
	UT_CHECK(list_empty(&cluster.m[0].dsm->active));
}

/* More sets than the core takes at once: they queue, and all end. */
static void *crowd_run(void *arg)
{
	struct device *d = arg;
	for (unsigned i = 0; i < 20; i++) {
		struct dsm_seg segs[2] = {seg(4, 0, 8, false), seg(12, 0, 8, false)};
		CHECK(pin(d->slice, segs, 2) == 0);
		sched_yield();
		unpin(d->slice, segs, 2);
	}
	return NULL;
}

static void many_sets_at_once(enum dsm_uffd_mode mode)
{
	static struct device d[CORE_PINS_MAX + 8];
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	for (unsigned i = 0; i < ARRAY_SIZE(d); i++) {
		d[i] = (struct device){.slice = i % 8 == 0};
		CHECK(pthread_create(&d[i].thread, NULL, crowd_run, &d[i]) == 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(d); i++)
		CHECK(pthread_join(d[i].thread, NULL) == 0);
}

/* A device that waits for a page when the VM stops. */
static void *stuck_run(void *arg)
{
	struct dsm_seg s = seg(3, 0, 8, true);
	*(int *)arg = pin(1, &s, 1);
	return NULL;
}

static void stop_ends_a_wait(enum dsm_uffd_mode mode)
{
	int err = 0;
	pthread_t thread;
	CLUSTER_START(2, 8, UINT64_MAX, mode);
	struct dsm_seg s = seg(3, 0, 8, true);
	UT_OK(pin(0, &s, 1));
	CHECK(pthread_create(&thread, NULL, stuck_run, &err) == 0);
	/* The other slice has been asked for the page when it counts a hold. */
	struct dsm_stats stats;
	do {
		uint64_t w;
		CHECK(dsm_gate_read(dsm_gate(cluster.m[0].dsm), cluster_gpa(9, 0), &w, 8) == 0);
		dsm_stats_get(cluster.m[0].dsm, &stats);
	} while (stats.holds == 0);
	dsm_stop(cluster.m[1].dsm);
	CHECK(pthread_join(thread, NULL) == 0);
	UT_EQ(err, ERR_VM_STOPPED);
	unpin(0, &s, 1);
}

IN_ALL_MODES(limits)
IN_ALL_MODES(segments_may_straddle_and_overlap)
IN_ALL_MODES(a_pinned_page_stays)
IN_ALL_MODES(a_vcpu_reads_a_pinned_page)
IN_ALL_MODES(pins_keep_other_slices_out)
IN_ALL_MODES(many_sets_at_once)
IN_ALL_MODES(stop_ends_a_wait)
