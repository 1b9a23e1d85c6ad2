/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#include "base/err.h"

/* The model of a run-time: carries out the core's actions, with vCPUs and devices that check every
 * value they read. A mapping lives until its revocation is answered, so a core that does not wait
 * for that answer is found out. */

static void stopped(struct sim *sim, struct sim_slice *s)
{
	s->stopped = true;
	for (unsigned i = 0; i < sim->cfg.vcpus; i++) {
		if (s->vcpus[i].state == VCPU_RUN)
			s->vcpus[i].state = VCPU_STOPPED;
	}
}

/* One more page of a walk through memory. Odd vCPUs mostly write as they go, the others mostly
 * read: if they only read, all would soon have all pages, and nothing would happen any more. */
static void walk_on(struct sim *sim, struct sim_vcpu *v, unsigned slot)
{
	v->walk = (v->walk + 1) % sim->cfg.pages;
	v->n = 1;
	v->access[0] = (struct sim_access){
		.page = v->walk, .write = sim_chance(sim, slot % 2 != 0 ? 90 : 3)};
}

static void new_instruction(struct sim *sim, struct sim_slice *s, unsigned slot)
{
	struct sim_vcpu *v = &s->vcpus[slot];

	if (sim_chance(sim, sim->cfg.walk_pct)) {
		walk_on(sim, v, slot);
		v->began_ns = sim->now_ns;
		return;
	}
	v->n = 1 + (unsigned)sim_random(sim, sim->cfg.insn_pages);
	for (unsigned i = 0; i < v->n; i++) {
		bool hot = sim_chance(sim, 90);
		v->access[i].page = (uint32_t)sim_random(sim, hot ? sim->cfg.hot : sim->cfg.pages);
		v->access[i].write = sim_chance(sim, sim->cfg.write_pct);
	}
	v->began_ns = sim->now_ns;
}

static uint64_t think(struct sim *sim)
{
	/* Mostly soon; sometimes a vCPU is not scheduled for longer than its pages wait for it. */
	if (sim_chance(sim, 1))
		return sim_random(sim, 3 * sim->cfg.hold_ns);
	return 1 + sim_random(sim, sim->cfg.vcpu_ns);
}

static void retire(struct sim *sim, struct sim_slice *s, unsigned slot)
{
	struct sim_vcpu *v = &s->vcpus[slot];

	for (unsigned i = 0; i < v->n; i++) {
		uint32_t p = v->access[i].page;
		if (s->mem[p] != sim->golden[p])
			sim_fail(sim, "slice %u reads write %llu of page %u, the last is %llu",
				s->id, (unsigned long long)s->mem[p], p,
				(unsigned long long)sim->golden[p]);
		if (v->access[i].write)
			s->mem[p] = sim->golden[p] = ++sim->writes;
	}
	s->retired[slot]++;
	v->early += !sim->ending;
	if (sim->ending) {
		v->state = VCPU_STOPPED;
		return;
	}
	new_instruction(sim, s, slot);
	sim_at(sim, think(sim), SIM_VCPU, (uint32_t)(s - sim->slices), slot);
}

void sim_vcpu(struct sim *sim, struct sim_slice *s, unsigned slot)
{
	struct sim_vcpu *v = &s->vcpus[slot];

	if (s->dead || v->state != VCPU_RUN)
		return;
	for (unsigned i = 0; i < v->n; i++) {
		if (s->mapped[v->access[i].page] >= (v->access[i].write ? 2 : 1))
			continue;
		v->missing = v->access[i];
		v->state = VCPU_FAULT;
		sim_at(sim, 1 + sim_random(sim, 2000), SIM_FAULT, (uint32_t)(s - sim->slices),
			slot);
		return;
	}
	retire(sim, s, slot);
}

void sim_fault(struct sim *sim, struct sim_slice *s, unsigned slot)
{
	const struct sim_vcpu *v = &s->vcpus[slot];
	struct core_event ev = {
		.type = CORE_EV_FAULT,
		.slot = slot,
		.page = sim_gpage(v->missing.page),
		.write = v->missing.write,
	};

	if (s->dead)
		return;
	if (sim->verbose)
		fprintf(stderr, "%10llu slice %u vcpu %u faults on page %u %s\n",
			(unsigned long long)sim->now_ns, (unsigned)(s - sim->slices), slot,
			v->missing.page, v->missing.write ? "W" : "R");
	int err = s->stopped ? ERR_VM_STOPPED : sim_step(sim, s, &ev);
	if (err == ERR_VM_STOPPED)
		s->vcpus[slot].state = VCPU_STOPPED;
	else if (err != 0)
		sim_fail(sim, "fault: %s", err_text(err));
}

void sim_revoked(struct sim *sim, struct sim_slice *s, uint32_t page)
{
	struct core_event ev = {.type = CORE_EV_REVOKED, .page = sim_gpage(page)};

	if (s->dead || s->stopped)
		return;
	s->mapped[page] = s->revoke[page] == 2 ? 0 : MIN(s->mapped[page], 1);
	s->revoke[page] = 0;
	int err = sim_step(sim, s, &ev);
	if (err != 0 && err != ERR_VM_STOPPED)
		sim_fail(sim, "revoked: %s", err_text(err));
}

/* ---- devices ---- */

static void device_start(struct sim *sim, struct sim_slice *s, unsigned i)
{
	struct sim_device *d = &s->devices[i];
	uint32_t page = (uint32_t)sim_random(sim, sim->cfg.hot);
	size_t most = sim->cfg.cache / 2 < SIM_INSN_MAX ? (size_t)sim->cfg.cache / 2 : SIM_INSN_MAX;
	struct core_event ev = {.type = CORE_EV_PIN, .pin = i, .pages = d->pages};

	d->n = 0;
	while (d->n < most && page < sim->cfg.pages) {
		d->pages[d->n++] = (struct core_pin_page){
			.page = sim_gpage(page), .write = sim_chance(sim, sim->cfg.write_pct)};
		page += 1 + (uint32_t)sim_random(sim, 3);
	}
	ev.n_pages = d->n;
	d->state = DEVICE_WAIT;
	d->began_ns = sim->now_ns;
	int err = sim_step(sim, s, &ev);
	if (err == ERR_VM_STOPPED)
		d->state = DEVICE_STOPPED;
	else if (err != 0)
		sim_fail(sim, "pin: %s", err_text(err));
}

/* A device reads and writes through the private alias, whatever vCPUs have mapped. */
static void device_use(struct sim *sim, struct sim_slice *s, struct sim_device *d)
{
	for (size_t i = 0; i < d->n; i++) {
		uint32_t p = (uint32_t)(d->pages[i].page.v - SIM_FIRST_PAGE);
		if (s->mem[p] != sim->golden[p])
			sim_fail(sim,
				"a device of slice %u reads write %llu of page %u, the last is "
				"%llu",
				s->id, (unsigned long long)s->mem[p], p,
				(unsigned long long)sim->golden[p]);
		if (d->pages[i].write)
			s->mem[p] = sim->golden[p] = ++sim->writes;
	}
}

void sim_device(struct sim *sim, struct sim_slice *s, unsigned i)
{
	struct sim_device *d = &s->devices[i];
	struct core_event ev = {.type = CORE_EV_UNPIN, .pin = i};

	if (s->dead || s->stopped) {
		d->state = DEVICE_STOPPED;
		return;
	}
	if (d->state == DEVICE_IDLE) {
		if (!sim->ending)
			device_start(sim, s, i);
		return;
	}
	if (d->state != DEVICE_BUSY)
		return;
	device_use(sim, s, d);
	if (d->uses-- != 0) {
		sim_at(sim, 1 + sim_random(sim, 20000), SIM_DEVICE, (uint32_t)(s - sim->slices), i);
		return;
	}
	d->state = DEVICE_IDLE;
	if (sim_step(sim, s, &ev) != 0)
		sim_fail(sim, "unpin failed");
	sim_at(sim, 1 + sim_random(sim, 100000), SIM_DEVICE, (uint32_t)(s - sim->slices), i);
}

void sim_down(struct sim *sim, struct sim_slice *s, struct sim_slice *peer)
{
	struct core_event ev = {.type = CORE_EV_PEER_DOWN, .peer = {(uint16_t)peer->id}};

	if (s->dead || s->stopped)
		return;
	int err = sim_step(sim, s, &ev);
	if (err != 0)
		sim_fail(sim, "peer down: %s", err_text(err));
	stopped(sim, s);
	for (unsigned i = 0; i < sim->cfg.vcpus; i++) {
		if (s->vcpus[i].state == VCPU_FAULT && core_next_ns(s->core) != UINT64_MAX)
			sim_fail(sim, "a stopped core wants ticks");
	}
}

/* ---- actions ---- */

struct step {
	struct sim *sim;
	struct sim_slice *s;
};

/* No vCPU may be able to reach what another one can write (and here is where it would begin). */
static void check_map(struct sim *sim, const struct sim_slice *s, uint32_t p, unsigned want)
{
	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		const struct sim_slice *o = &sim->slices[i];
		if (o == s || o->dead || s->dead)
			continue;
		if (want == 2 ? o->mapped[p] != 0 : o->mapped[p] == 2)
			sim_fail(sim, "slice %u maps page %u for %s while slice %u can %s it",
				s->id, p, want == 2 ? "writing" : "reading", o->id,
				o->mapped[p] == 2 ? "write" : "read");
	}
	if (s->mem[p] == SIM_POISON)
		sim_fail(sim, "slice %u maps page %u, which it does not have", s->id, p);
}

static void act_map(struct sim *sim, struct sim_slice *s, uint32_t p, unsigned want)
{
	check_map(sim, s, p, want);
	if (s->revoke[p] != 0)
		sim_fail(sim, "slice %u maps page %u while it is being revoked", s->id, p);
	s->mapped[p] = (uint8_t)MAX(s->mapped[p], want);
}

static void act_bytes(struct sim *sim, struct sim_slice *s, uint32_t p, sim_bytes bytes)
{
	if (s->mapped[p] != 0)
		sim_fail(sim, "slice %u changes page %u under a mapping", s->id, p);
	s->mem[p] = bytes;
}

static void act_revoke(struct sim *sim, struct sim_slice *s, uint32_t p, unsigned how)
{
	if (s->revoke[p] != 0)
		sim_fail(sim, "slice %u revokes page %u twice", s->id, p);
	s->revoke[p] = (uint8_t)how;
	sim_at(sim, 1 + sim_random(sim, sim->cfg.revoke_ns), SIM_REVOKED,
		(uint32_t)(s - sim->slices), p);
}

static void act_wake(struct sim *sim, struct sim_slice *s, const struct core_action *a)
{
	struct sim_vcpu *v = &s->vcpus[a->slot];

	if (v->state != VCPU_FAULT)
		sim_fail(sim, "slice %u wakes vCPU %u, which does not wait", s->id, a->slot);
	v->state = a->err == 0 ? VCPU_RUN : VCPU_STOPPED;
	sim_at(sim, think(sim), SIM_VCPU, (uint32_t)(s - sim->slices), a->slot);
}

static void act_pinned(struct sim *sim, struct sim_slice *s, const struct core_action *a)
{
	struct sim_device *d = &s->devices[a->pin];

	if (d->state != DEVICE_WAIT)
		sim_fail(sim, "slice %u: pin set %u was not asked for", s->id, a->pin);
	d->state = a->err == 0 ? DEVICE_BUSY : DEVICE_STOPPED;
	if (a->err != 0)
		return;
	d->uses = (unsigned)sim_random(sim, 4);
	device_use(sim, s, d);
	for (size_t i = 0; i < d->n; i++)
		check_map(sim, s, (uint32_t)(d->pages[i].page.v - SIM_FIRST_PAGE),
			d->pages[i].write ? 2 : 1);
	sim_at(sim, 1 + sim_random(sim, 20000), SIM_DEVICE, (uint32_t)(s - sim->slices), a->pin);
}

static void sink(void *arg, const struct core_action *a)
{
	struct step *st = arg;
	struct sim *sim = st->sim;
	struct sim_slice *s = st->s;
	uint32_t p = 0;

	if (a->type != CORE_ACT_WAKE && a->type != CORE_ACT_PINNED) {
		p = (uint32_t)(a->page.v - SIM_FIRST_PAGE);
		sim->touched[p] = true;
	}
	switch (a->type) {
	case CORE_ACT_SEND:
		sim_send(sim, s, a);
		break;
	case CORE_ACT_INSTALL:
		if (sim->rx == NULL || !sim->rx->has_data)
			sim_fail(sim, "slice %u installs bytes that did not come", s->id);
		else
			act_bytes(sim, s, p, sim->rx->data);
		break;
	case CORE_ACT_ZERO:
		act_bytes(sim, s, p, 0);
		break;
	case CORE_ACT_FREE:
		act_bytes(sim, s, p, SIM_POISON);
		break;
	case CORE_ACT_MAP_RO:
		act_map(sim, s, p, 1);
		break;
	case CORE_ACT_MAP_RW:
		act_map(sim, s, p, 2);
		break;
	case CORE_ACT_PROTECT:
		act_revoke(sim, s, p, 1);
		break;
	case CORE_ACT_UNMAP:
		act_revoke(sim, s, p, 2);
		break;
	case CORE_ACT_WAKE:
		act_wake(sim, s, a);
		break;
	case CORE_ACT_PINNED:
		act_pinned(sim, s, a);
		break;
	default:
		UNREACHABLE();
	}
}

int sim_step(struct sim *sim, struct sim_slice *s, struct core_event *ev)
{
	struct step st = {.sim = sim, .s = s};

	sim->steps++;
	memset(sim->touched, 0, sizeof(sim->touched));
	if (ev->type == CORE_EV_MESSAGE || ev->type == CORE_EV_FAULT || ev->type == CORE_EV_REVOKED)
		sim->touched[ev->page.v - SIM_FIRST_PAGE] = true;
	int err = core_step(s->core, sim->now_ns, s->retired, ev, sink, &st);
	if (err == ERR_VM_STOPPED || err == ERR_PROTOCOL)
		stopped(sim, s);
	for (uint32_t p = 0; p < sim->cfg.pages; p++) {
		if (sim->touched[p] || sim->steps % 64 == 0)
			sim_check_page(sim, p);
	}
	sim_check_slice(sim, s);
	uint64_t next = core_next_ns(s->core);
	if (next != UINT64_MAX && (s->tick_ns <= sim->now_ns || next < s->tick_ns)) {
		s->tick_ns = MAX(next, sim->now_ns + 1);
		sim_at(sim, s->tick_ns - sim->now_ns, SIM_TICK, (uint32_t)(s - sim->slices), 0);
	}
	return err;
}

/* ---- begin and end ---- */

/* Page by page: homes anywhere; with a stale map some slices do not know that a home has moved. */
static int slice_init(
	struct sim *sim, struct sim_slice *s, const slice_id_t *ids, const uint32_t *old_home)
{
	struct core_range ranges[SIM_PAGES_MAX];
	uint32_t self = (uint32_t)(s - sim->slices);

	for (uint32_t p = 0; p < sim->cfg.pages; p++) {
		bool moved = old_home[p] != sim->home[p];
		bool knows = self == old_home[p] || self == sim->home[p] || sim_chance(sim, 50);
		uint32_t home = moved && !knows ? old_home[p] : sim->home[p];
		ranges[p] = (struct core_range){
			.start = sim_gpage(p),
			.pages = 1,
			.home = ids[home],
			.gen = moved && knows ? 1 : 0,
		};
		s->mem[p] = home == self && sim->home[p] == self ? 0 : SIM_POISON;
	}
	struct core_cfg cfg = {
		.self = ids[self],
		.slices = ids,
		.n_slices = sim->cfg.slices,
		.ranges = ranges,
		.n_ranges = sim->cfg.pages,
		.cache_pages = sim->cfg.cache,
		.vcpus = sim->cfg.vcpus,
		.no_migrate = sim->cfg.no_migrate,
		.no_ahead = sim->cfg.no_ahead,
		.hold_ns = sim->cfg.hold_ns,
		.poll_ns = MAX(sim->cfg.hold_ns / 10, 1),
	};
	s->id = ids[self].v;
	for (unsigned i = 0; i < sim->cfg.vcpus; i++) {
		new_instruction(sim, s, i);
		sim_at(sim, sim_random(sim, 10000), SIM_VCPU, self, i);
	}
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		if (self < sim->cfg.device_slices && sim->cfg.cache >= 2 &&
			sim_chance(sim, sim->cfg.device_pct))
			sim_at(sim, sim_random(sim, 100000), SIM_DEVICE, self, i);
	}
	return core_create(&cfg, &s->core);
}

int sim_slices_init(struct sim *sim)
{
	slice_id_t ids[SIM_SLICES_MAX];
	uint32_t old_home[SIM_PAGES_MAX];
	unsigned id = 0, n = sim->cfg.slices;

	sim->slices = calloc(n, sizeof(*sim->slices));
	if (sim->slices == NULL)
		return ERR_NO_MEMORY;
	for (unsigned i = 0; i < n; i++) {
		/* Slice ids are not dense. */
		unsigned room = SLICE_MAX - id - (n - i);
		id += (unsigned)sim_random(sim, MIN(room, 3u) + 1);
		ids[i].v = (uint16_t)id;
		sim->index_of[id++] = (uint16_t)i;
	}
	for (uint32_t p = 0; p < sim->cfg.pages; p++) {
		bool begins = p % sim->cfg.share == 0;
		sim->home[p] = old_home[p] =
			begins ? (uint32_t)sim_random(sim, n) : sim->home[p - 1];
		if (sim->cfg.stale_map && sim_chance(sim, 50))
			old_home[p] = (uint32_t)sim_random(sim, n);
	}
	for (unsigned i = 0; i < n; i++) {
		int err = slice_init(sim, &sim->slices[i], ids, old_home);
		if (err != 0)
			return err;
	}
	return 0;
}

void sim_slices_fini(struct sim *sim)
{
	for (unsigned i = 0; sim->slices != NULL && i < sim->cfg.slices; i++)
		core_destroy(sim->slices[i].core);
	free(sim->slices);
}
