/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/route_int.h"

#include "base/rng.h"
#include "proto/xport.h"
#include "tests/lib/ut.h"

/*
 * Fences over three slices in every order that a seed chooses: the real routes, joined by links
 * that keep order per pair and class only, and vCPUs that use a translation for as long as they
 * like before they acknowledge. When a fence has returned, none of its targets may be able to use a
 * translation from before it. All on one thread: a vCPU that waits lets the others run.
 *
 * This binary has planted bugs compiled in, whatever the build has.
 */
#define SLICES 3u
#define VCPUS  6u
#define SEEDS  1000u
#define STEPS  300u
#define LINK   64u

struct vcpu {
	vcpu_id_t id;
	unsigned translation; /* the state of the page tables that it has cached */
	bool in_access;       /* and is using it: it can not acknowledge now */
	bool waits;           /* in a fence of its own */
	unsigned n;
	struct {
		void (*done)(void *arg);
		void *arg;
	} posted[2 * VCPUS];
};

struct link {
	size_t head, tail;
	struct wire_vm_msg msgs[LINK];
};

static struct world {
	struct rng rng;
	struct vcpu vcpus[VCPUS];
	struct route *routes[SLICES];
	struct link links[SLICES][SLICES][2]; /* fences, acknowledgements: two classes */
	unsigned tables;                      /* the page tables of the guest: how often changed */
	unsigned fences, messages;
	bool ending;
	bool broken; /* a target could still use an older translation */
} w;

static unsigned slice_of(unsigned vcpu)
{
	return vcpu % SLICES;
}

/* --- the transport ------------------------------------------------------------------------------
 */

struct end {
	struct xport x;
	unsigned self;
};

static int end_send(struct xport *x, const struct xport_msg *m)
{
	const struct end *e = container_of(x, struct end, x);
	struct link *l = &w.links[e->self][m->peer.v][m->type == WIRE_VM_FENCE_ACK];
	CHECK(l->tail - l->head < LINK);
	w.messages++;
	return wire_vm_decode(m->type, m->head, m->head_bytes, &l->msgs[l->tail++ % LINK]);
}

static const struct xport_ops end_ops = {.name = "links", .send = end_send};
static struct end ends[SLICES];

static void deliver(struct link *l, unsigned from, unsigned to)
{
	const struct wire_vm_msg m = l->msgs[l->head++ % LINK];
	CHECK(route_message(w.routes[to], (slice_id_t){(uint16_t)from}, &m) == 0);
}

/* The first message of one link that has any; which is chance. */
static bool deliver_any(void)
{
	const unsigned n = SLICES * SLICES * 2;
	unsigned at = (unsigned)rng_below(&w.rng, n);
	for (unsigned i = 0; i < n; i++, at = (at + 1) % n) {
		unsigned from = at / 2 / SLICES, to = at / 2 % SLICES;
		struct link *l = &w.links[from][to][at % 2];
		if (l->head == l->tail)
			continue;
		deliver(l, from, to);
		return true;
	}
	return false;
}

/* --- vCPUs --------------------------------------------------------------------------------------
 */

/* What the engine does between two instructions. */
static void acknowledge(struct vcpu *v)
{
	v->translation = w.tables;
	while (v->n > 0) {
		v->n--;
		v->posted[v->n].done(v->posted[v->n].arg);
	}
}

static void fence(struct vcpu *v)
{
	uint64_t targets[WIRE_VM_TARGET_WORDS] = {
		1 + rng_below(&w.rng, (UINT64_C(1) << VCPUS) - 1)};
	const struct vcpu_fence f = {.kind = VCPU_FENCE_VMA, .bytes = UINT64_MAX};
	unsigned changed = ++w.tables;
	w.fences++;
	v->waits = true;
	route_fence(w.routes[slice_of(v->id.v)], v->id, targets, &f);
	v->waits = false;
	for (unsigned i = 0; i < VCPUS; i++)
		if ((targets[0] >> i & 1) != 0 && w.vcpus[i].translation < changed)
			w.broken = true;
}

static void vcpu_step(struct vcpu *v)
{
	if (v->waits) {
		acknowledge(v); /* as vcpu_idle() does */
	} else if (v->in_access) {
		v->in_access = !w.ending && rng_below(&w.rng, 4) != 0;
	} else {
		acknowledge(v);
		if (!w.ending && rng_below(&w.rng, 3) == 0)
			fence(v);
		else
			v->in_access = !w.ending;
	}
}

static void world_step(void)
{
	if (rng_below(&w.rng, 2) == 0 && deliver_any())
		return;
	vcpu_step(&w.vcpus[rng_below(&w.rng, VCPUS)]);
}

/* --- the engine's functions that a route calls ------------------------------------------------ */

void vcpu_deliver_msi(struct vcpu *v, uint32_t id)
{
}

void vcpu_deliver_ipi(struct vcpu *v)
{
}

void vcpu_kick(struct vcpu *v)
{
}

bool vcpu_stopping(const struct vcpu *v)
{
	return w.broken; /* seen enough */
}

void vcpu_idle(struct vcpu *v, uint64_t deadline_ns)
{
	world_step();
}

int vcpu_post_fence(struct vcpu *v, const struct vcpu_fence *f, void (*done)(void *arg), void *arg)
{
	if (v->n == ARRAY_SIZE(v->posted))
		return ERR_FULL;
	v->posted[v->n].done = done;
	v->posted[v->n++].arg = arg;
	return 0;
}

int vcpu_hsm_start(struct vcpu *v, uint64_t pc, uint64_t opaque)
{
	return 0;
}

enum vcpu_hsm vcpu_hsm_status(const struct vcpu *v)
{
	return VCPU_STARTED;
}

/* --- a run --------------------------------------------------------------------------------------
 */

static void failed(void *arg, int err, const char *why)
{
	CHECK(false);
}

static void world_make(uint64_t seed)
{
	slice_id_t where[VCPUS];
	memset(&w, 0, sizeof(w));
	rng_init(&w.rng, seed);
	for (unsigned i = 0; i < VCPUS; i++) {
		w.vcpus[i].id.v = (uint16_t)i;
		where[i] = (slice_id_t){(uint16_t)slice_of(i)};
	}
	for (unsigned s = 0; s < SLICES; s++) {
		struct vcpu *local[VCPUS];
		for (unsigned i = 0; i < VCPUS; i++)
			local[i] = slice_of(i) == s ? &w.vcpus[i] : NULL;
		const struct route_cfg cfg = {
			.self = {(uint16_t)s},
			.device_home = {SLICES}, /* nobody here */
			.n_vcpus = VCPUS,
			.vcpu_slice = where,
			.local = local,
			.failed = failed,
		};
		CHECK(route_create(&cfg, &w.routes[s]) == 0);
		ends[s] = (struct end){{&end_ops}, s};
		route_start(w.routes[s], &ends[s].x);
	}
}

/* False: a fence returned too early. */
static bool seed_passes(uint64_t seed)
{
	world_make(seed);
	for (unsigned i = 0; i < STEPS && !w.broken; i++)
		world_step();
	w.ending = true;
	for (unsigned i = 0; i < STEPS && !w.broken; i++)
		world_step();
	for (unsigned s = 0; s < SLICES; s++)
		route_destroy(w.routes[s]);
	return !w.broken;
}

UT_SUITE(fence);

UT_TEST(no_target_uses_an_older_translation_when_its_fence_has_returned)
{
	unsigned fences = 0, messages = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		if (!seed_passes(seed))
			UT_FAIL("seed %u", (unsigned)seed);
		fences += w.fences;
		messages += w.messages;
	}
	/* The seeds do what they are for. */
	UT_CHECK(fences > 10 * SEEDS && messages > 20 * SEEDS);
}

UT_TEST(a_planted_early_acknowledgement_is_found)
{
	uint64_t seed = 1;
	atomic_store(&route_plant_early_fence, true);
	while (seed <= SEEDS && seed_passes(seed))
		seed++;
	atomic_store(&route_plant_early_fence, false);
	UT_CHECK(seed <= SEEDS);
}
