/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "tests/sim/sim.h"

#include "base/err.h"

/* What must hold after every step, whatever is on its way. */

static bool holds(enum core_cache_state s)
{
	return s == CACHE_S || s == CACHE_O || s == CACHE_E || s == CACHE_M || s == CACHE_SM_AD ||
	       s == CACHE_OM_AD || s == CACHE_MI_A || s == CACHE_OI_A;
}

static bool owns(enum core_cache_state s)
{
	return holds(s) && s != CACHE_S && s != CACHE_SM_AD;
}

static bool exclusive(enum core_cache_state s)
{
	return s == CACHE_E || s == CACHE_M || s == CACHE_MI_A;
}

static bool in_copyset(const struct core_home_info *h, unsigned id)
{
	return (h->copyset[id / 64] >> (id % 64) & 1) != 0;
}

struct seen {
	unsigned holders, owners, exclusive;
};

static void check_holder(struct sim *sim, struct sim_slice *s, uint32_t page,
	const struct core_home_info *h, const struct core_page_info *c)
{
	bool granted = h->state != HOME_IDLE && h->requester.v == s->id;

	if (!in_copyset(h, s->id) && !granted)
		sim_fail(sim, "slice %u holds page %u outside the copyset", s->id, page);
	if (c->version != h->version &&
		!(granted && h->state == HOME_BUSY_M && c->version == h->version + 1))
		sim_fail(sim, "slice %u holds version %u of page %u, the home says %u", s->id,
			c->version, page, h->version);
	if (c->version < s->version[page])
		sim_fail(sim, "slice %u: page %u went from version %u back to %u", s->id, page,
			s->version[page], c->version);
	s->version[page] = c->version;
	if (c->zero && s->mem[page] != 0)
		sim_fail(sim, "slice %u thinks that page %u is zero", s->id, page);
}

void sim_check_page(struct sim *sim, uint32_t page)
{
	struct sim_slice *home = &sim->slices[sim->home[page]];
	struct core_home_info h;
	struct seen seen = {0};

	CHECK(core_home_info(home->core, sim_gpage(page), &h) == 0);
	if (h.version < sim->home_version[page])
		sim_fail(sim, "home: page %u went back to version %u", page, h.version);
	sim->home_version[page] = h.version;
	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		struct sim_slice *s = &sim->slices[i];
		struct core_page_info c;
		core_page_info(s->core, sim_gpage(page), &c);
		/* A put that the home has settled with somebody else, and not yet been told so: the
		 * bytes are there but nobody will ask for them or read them. */
		if (c.state == CACHE_OI_A && !in_copyset(&h, s->id))
			continue;
		if (!holds(c.state)) {
			if (s->mapped[page] != 0 && s->revoke[page] == 0 && !s->dead)
				sim_fail(sim, "slice %u maps page %u without a copy", s->id, page);
			continue;
		}
		seen.holders++;
		seen.owners += owns(c.state);
		seen.exclusive += exclusive(c.state);
		check_holder(sim, s, page, &h, &c);
	}
	if (seen.exclusive > 1 || (seen.exclusive == 1 && seen.holders > 1))
		sim_fail(sim, "page %u: %u writers among %u holders", page, seen.exclusive,
			seen.holders);
	if (seen.owners > 1 && h.state != HOME_BUSY_O && h.state != HOME_BUSY_M)
		sim_fail(sim, "page %u has %u owners", page, seen.owners);
	if (h.state == HOME_IDLE) {
		struct core_page_info c;
		core_page_info(sim_by_id(sim, h.owner)->core, sim_gpage(page), &c);
		if (!owns(c.state))
			sim_fail(
				sim, "page %u is lost: owner %u does not have it", page, h.owner.v);
	}
}

void sim_check_slice(struct sim *sim, const struct sim_slice *s)
{
	struct core_stats st;
	unsigned frames = 0;

	core_stats_get(s->core, &st);
	for (uint32_t p = 0; p < sim->cfg.pages; p++) {
		if (sim->home[p] != (uint32_t)(s - sim->slices))
			frames += s->mem[p] != SIM_POISON;
	}
	if (st.frames > sim->cfg.cache || frames > sim->cfg.cache)
		sim_fail(sim, "slice %u takes %llu frames (%u with bytes), its limit is %llu",
			s->id, (unsigned long long)st.frames, frames,
			(unsigned long long)sim->cfg.cache);
}

/* Liveness: nobody waits longer than the bound. */
void sim_check_patience(struct sim *sim)
{
	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		const struct sim_slice *s = &sim->slices[i];
		for (unsigned j = 0; j < sim->cfg.vcpus && !s->stopped; j++) {
			const struct sim_vcpu *v = &s->vcpus[j];
			if (v->state != VCPU_STOPPED &&
				sim->now_ns - v->began_ns > sim->cfg.patience_ns)
				sim_fail(sim,
					"vCPU %u of slice %u does not retire (%llu retired before)",
					j, i, (unsigned long long)s->retired[j]);
		}
		for (unsigned j = 0; j < SIM_DEVICES && !s->stopped; j++) {
			const struct sim_device *d = &s->devices[j];
			if (d->state == DEVICE_WAIT &&
				sim->now_ns - d->began_ns > sim->cfg.patience_ns)
				sim_fail(sim, "device %u of slice %u gets no pages", j, i);
		}
	}
}

/* All instructions have retired and nothing is on its way: nothing may be left over. */
void sim_check_end(struct sim *sim)
{
	bool lost = false;

	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		const struct sim_slice *s = &sim->slices[i];
		lost = lost || s->dead;
		for (unsigned j = 0; j < sim->cfg.vcpus; j++) {
			if (s->vcpus[j].state != VCPU_STOPPED && !s->dead)
				sim_fail(sim, "vCPU %u of slice %u is stuck", j, i);
			if (sim->cfg.progress && s->vcpus[j].early == 0)
				sim_fail(sim, "vCPU %u of slice %u starves: the others ran %u ms",
					j, i, (unsigned)(sim->now_ns / 1000000));
		}
		for (unsigned j = 0; j < SIM_DEVICES; j++) {
			if (s->devices[j].state == DEVICE_WAIT && !s->dead)
				sim_fail(sim, "device %u of slice %u is stuck", j, i);
		}
	}
	if (lost)
		return;
	if (!sim_net_idle(sim))
		sim_fail(sim, "messages are left over");
	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		if (!core_idle(sim->slices[i].core))
			sim_fail(sim, "slice %u is not idle", i);
	}
	for (uint32_t p = 0; p < sim->cfg.pages; p++)
		sim_check_page(sim, p);
}

static const char *const state_names[] = {
#define CACHE_STATE(name, text) [CACHE_##name] = #name,
#include "dsm/cache.def"
};

/* Everything that a wait may hang on, to stderr. */
void sim_dump(const struct sim *sim)
{
	for (uint32_t p = 0; p < sim->cfg.pages; p++) {
		struct core_home_info h;
		CHECK(core_home_info(sim->slices[sim->home[p]].core, sim_gpage(p), &h) == 0);
		fprintf(stderr, "page %u: home %u state %u owner %u requester %u waiting %u:", p,
			sim->home[p], h.state, sim->index_of[h.owner.v],
			sim->index_of[h.requester.v], h.waiting);
		for (unsigned i = 0; i < sim->cfg.slices; i++) {
			struct core_page_info c;
			core_page_info(sim->slices[i].core, sim_gpage(p), &c);
			fprintf(stderr, " %s%s%s%s", state_names[c.state], c.pinned ? "+pin" : "",
				c.revoking ? "+unmap" : "", c.frame ? "+frame" : "");
		}
		fputc('\n', stderr);
	}
	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		const struct sim_slice *s = &sim->slices[i];
		for (unsigned j = 0; j < sim->cfg.vcpus; j++) {
			const struct sim_vcpu *v = &s->vcpus[j];
			fprintf(stderr, "slice %u vcpu %u state %u faulted on page %u%s of", i, j,
				v->state, v->missing.page, v->missing.write ? "w" : "r");
			for (unsigned a = 0; a < v->n; a++)
				fprintf(stderr, " %u%s", v->access[a].page,
					v->access[a].write ? "w" : "r");
			fputc('\n', stderr);
		}
		for (unsigned j = 0; j < SIM_DEVICES; j++) {
			const struct sim_device *d = &s->devices[j];
			fprintf(stderr, "slice %u device %u state %u set", i, j, d->state);
			for (size_t a = 0; a < d->n; a++)
				fprintf(stderr, " %u%s",
					(unsigned)(d->pages[a].page.v - SIM_FIRST_PAGE),
					d->pages[a].write ? "w" : "r");
			fputc('\n', stderr);
		}
	}
}
