/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#include "base/err.h"

/* One run: what the seed decides, the event loop, the end. */

void sim_fail(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (sim->failed)
		return; /* the first says most */
	sim->failed = true;
	va_start(ap, fmt);
	vsnprintf(sim->why, sizeof(sim->why), fmt, ap);
	va_end(ap);
}

uint64_t sim_random(struct sim *sim, uint64_t n)
{
	return n == 0 ? 0 : rng_below(&sim->rng, n);
}

bool sim_chance(struct sim *sim, unsigned percent)
{
	return rng_below(&sim->rng, 100) < percent;
}

/* ---- the queue: a binary heap by time, then order of insertion ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

void sim_push(struct sim *sim, struct sim_event *ev)
{
	if (sim->n_heap == sim->max_heap) {
		sim->max_heap = sim->max_heap == 0 ? 256 : sim->max_heap * 2;
		sim->heap = realloc(sim->heap, sim->max_heap * sizeof(*sim->heap));
		CHECK(sim->heap != NULL);
	}
	size_t i = sim->n_heap++;
	ev->seq = sim->seq++;
	for (; i > 0 && before(ev, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = *ev;
}

static struct sim_event pop(struct sim *sim)
{
	struct sim_event top = sim->heap[0], last = sim->heap[--sim->n_heap];
	size_t i = 0;

	for (;;) {
		size_t c = 2 * i + 1;
		if (c >= sim->n_heap)
			break;
		if (c + 1 < sim->n_heap && before(&sim->heap[c + 1], &sim->heap[c]))
			c++;
		if (!before(&sim->heap[c], &last))
			break;
		sim->heap[i] = sim->heap[c];
		i = c;
	}
	sim->heap[i] = last;
	return top;
}

void sim_at(struct sim *sim, uint64_t in_ns, enum sim_event_type type, uint32_t a, uint32_t b)
{
	struct sim_event ev = {.at_ns = sim->now_ns + in_ns, .type = type, .a = a, .b = b};
	sim_push(sim, &ev);
}

/* ---- what the seed decides ---- */

static uint64_t pick(struct rng *rng, uint64_t lo, uint64_t hi)
{
	return lo + rng_below(rng, hi - lo + 1);
}

void sim_cfg_from_seed(struct sim_cfg *cfg, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed);
	*cfg = (struct sim_cfg){
		.slices = (unsigned)pick(&rng, 2, 8),
		.vcpus = (unsigned)pick(&rng, 1, 3),
		.cache = pick(&rng, 2, 16),
		.insn_pages = (unsigned)pick(&rng, 1, SIM_INSN_MAX),
		.write_pct = (unsigned)pick(&rng, 5, 70),
		.device_pct = rng_below(&rng, 2) == 0 ? 0 : 40,
		.device_slices = SIM_SLICES_MAX,
		.delay_ns = pick(&rng, 1000, 40000),
		.revoke_ns = pick(&rng, 1, 50000),
		.vcpu_ns = pick(&rng, 100, 20000),
		.stale_map = rng_below(&rng, 3) == 0,
		.peer_loss = rng_below(&rng, 8) == 0,
		.steps = pick(&rng, 9000, 14000),
		.patience_ns = UINT64_C(3000000000),
	};
	/* Reordering between pairs: from a steady network to one where anything overtakes. */
	cfg->jitter_ns = pick(&rng, 1, 4 * cfg->delay_ns);
	cfg->hold_ns = rng_below(&rng, 4) == 0 ? pick(&rng, 5000, 50000) : 1000000;
	/* All fight for a few pages, or the memory limit is what hurts, or both. */
	cfg->hot = (unsigned)pick(&rng, 1, 8);
	cfg->pages = cfg->hot + (unsigned)pick(&rng, 0, 24);
	/* An instruction's pages must fit beside those of a pin set. */
	cfg->insn_pages = MIN(cfg->insn_pages, (unsigned)(cfg->cache - cfg->cache / 2));
	for (unsigned c = 0; c < MSG_CLASS_N; c++)
		cfg->window[c] = (uint16_t)pick(&rng, 1, rng_below(&rng, 2) == 0 ? 2 : 16);
	cfg->no_migrate = rng_below(&rng, 2) == 0;
	cfg->no_ahead = rng_below(&rng, 4) == 0;
	cfg->share = rng_below(&rng, 2) == 0 ? 1 : (unsigned)pick(&rng, 2, 16);
	cfg->walk_pct = rng_below(&rng, 3) == 0 ? 0 : (unsigned)pick(&rng, 10, 100);
}

void sim_cfg_progress(struct sim_cfg *cfg, uint64_t steps)
{
	cfg->progress = true;
	cfg->peer_loss = false;
	cfg->device_slices = 1;
	cfg->steps = steps;
}

/* ---- the loop ---- */

static void handle(struct sim *sim, const struct sim_event *ev)
{
	struct sim_slice *s = &sim->slices[ev->a];
	struct core_event tick = {.type = CORE_EV_TICK};

	switch (ev->type) {
	case SIM_DELIVER:
		sim_deliver(sim, ev->a, (enum msg_class)ev->b);
		break;
	case SIM_CREDIT:
		sim_credit(sim, ev);
		break;
	case SIM_VCPU:
		sim_vcpu(sim, s, ev->b);
		break;
	case SIM_FAULT:
		sim_fault(sim, s, ev->b);
		break;
	case SIM_REVOKED:
		sim_revoked(sim, s, ev->b);
		break;
	case SIM_TICK:
		if (s->dead || s->stopped || s->tick_ns != ev->at_ns)
			break;
		if (sim_step(sim, s, &tick) != 0)
			sim_fail(sim, "tick failed");
		break;
	case SIM_DEVICE:
		sim_device(sim, s, ev->b);
		break;
	case SIM_DOWN:
		sim_down(sim, s, &sim->slices[ev->b]);
		break;
	}
}

static void lose_slice(struct sim *sim)
{
	uint32_t victim = (uint32_t)sim_random(sim, sim->cfg.slices);

	sim->slices[victim].dead = true;
	for (uint32_t i = 0; i < sim->cfg.slices; i++) {
		if (i != victim)
			sim_at(sim, 1 + sim_random(sim, 1000000), SIM_DOWN, i, victim);
	}
}

static void loop(struct sim *sim)
{
	uint64_t loss = sim->cfg.peer_loss ? sim_random(sim, sim->cfg.steps) : UINT64_MAX;
	uint64_t checked_ns = 0;

	while (!sim->failed && sim->n_heap != 0) {
		struct sim_event ev = pop(sim);
		sim->now_ns = ev.at_ns;
		handle(sim, &ev);
		if (sim->steps >= loss) {
			lose_slice(sim);
			loss = UINT64_MAX;
		}
		if (sim->steps >= sim->cfg.steps)
			sim->ending = true; /* each vCPU ends the instruction it is at */
		if (sim->now_ns - checked_ns > sim->cfg.patience_ns / 8) {
			checked_ns = sim->now_ns;
			sim_check_patience(sim);
		}
	}
	if (!sim->failed)
		sim_check_end(sim);
}

static void add_rows(struct sim_totals *t, const struct core *core)
{
	struct core_row rows[ARRAY_SIZE(t->rows)];

	t->n_rows = core_rows(core, rows, ARRAY_SIZE(rows));
	for (size_t i = 0; i < t->n_rows; i++) {
		rows[i].taken += t->rows[i].taken;
		t->rows[i] = rows[i];
	}
}

static void add_totals(struct sim *sim, struct sim_totals *t)
{
	t->steps += sim->steps;
	for (unsigned i = 0; i < sim->cfg.slices; i++) {
		struct core_stats st;
		core_stats_get(sim->slices[i].core, &st);
		t->holds += st.holds;
		t->hold_timeouts += st.hold_timeouts;
		t->yields += st.yields;
		t->nudges += st.nudges;
		t->redirects += st.redirects;
		t->unchanged += st.unchanged;
		t->zero += st.fetched_zero;
		t->queued += st.queued;
		t->ahead += st.ahead;
		t->ahead_used += st.ahead_used;
		t->ahead_lost += st.ahead_lost;
		t->full_caches += st.put + st.dropped;
		for (unsigned j = 0; j < sim->cfg.vcpus; j++) {
			t->retired += sim->slices[i].retired[j];
			if (sim->cfg.progress)
				t->early_least = MIN(t->early_least, sim->slices[i].vcpus[j].early);
		}
		add_rows(t, sim->slices[i].core);
	}
	for (unsigned i = 0; i < sim->cfg.slices * sim->cfg.slices; i++)
		t->credit_waits += sim->credits[i].waits;
}

bool sim_run(uint64_t seed, const struct sim_cfg *cfg, bool verbose, struct sim_totals *totals,
	char why[256], uint64_t *steps)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	CHECK(sim != NULL && cfg->pages <= SIM_PAGES_MAX && cfg->vcpus <= SIM_VCPUS_MAX);
	sim->seed = seed;
	sim->cfg = *cfg;
	sim->verbose = verbose;
	rng_init(&sim->rng, seed ^ UINT64_C(0x9e3779b97f4a7c15));
	CHECK(sim_net_init(sim) == 0 && sim_slices_init(sim) == 0);
	loop(sim);
	bool good = !sim->failed;
	if (!good && verbose)
		sim_dump(sim);
	memcpy(why, sim->why, sizeof(sim->why));
	*steps = sim->steps;
	if (totals != NULL)
		add_totals(sim, totals);
	sim_net_fini(sim);
	sim_slices_fini(sim);
	free(sim->heap);
	free(sim);
	return good;
}
