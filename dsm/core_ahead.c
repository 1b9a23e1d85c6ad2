/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/core_int.h"

/*
 * Pages asked for before anybody waits for them: what a stream of faults will want next (ahead.h),
 * and the rest of a pin set. They are requests like others, but hold nothing and make nobody wait:
 * no page is given back for one, nobody's memory limit is stretched, and another slice that wants
 * the page takes it at once.
 */

static bool is_wanted(const struct core *k, uint32_t p)
{
	for (unsigned i = 0; i < k->cfg.vcpus; i++) {
		if (k->slots[i].want.waiting && k->slots[i].want.p == p)
			return true;
	}
	for (unsigned i = 0; k->n_pins != 0 && i < CORE_PINS_MAX; i++) {
		if (k->pins[i].used && k->pins[i].want.waiting && k->pins[i].want.p == p)
			return true;
	}
	return false;
}

/* A quarter of the frames is left to those who wait. */
static bool has_room(const struct core *k, uint32_t p, const struct cpage *c)
{
	uint64_t kept = k->pin_reserved + k->pin_waiting + k->frames_max / 4;

	return (c->flags & CP_FRAME) != 0 || core_own(k, p) != CORE_NONE ||
	       k->frames + kept < k->frames_max;
}

static bool is_missing(const struct cpage *c, bool write)
{
	if (c->pend != 0)
		return false;
	return c->state == CACHE_I || (write && (c->state == CACHE_S || c->state == CACHE_O));
}

static int ask(struct core *k, uint32_t p, bool write, enum pend_ahead how, uint64_t stamp)
{
	if (p >= k->n_pages || k->aheads_out == CORE_AHEADS_MAX)
		return 0;
	struct cpage *c = core_page_get(k, p);
	if (c == NULL)
		return 0;
	if (!is_missing(c, write) || !has_room(k, p, c) || !core_frame_take(k, p, c, false)) {
		core_page_settle(k, p);
		return 0;
	}
	struct cache_in in = {.from = k->cfg.self.v, .stamp = stamp, .ahead = how};
	k->aheads_out++;
	k->stats.ahead++;
	return core_cache_event(k, p, write ? CACHE_EV_MISS_W : CACHE_EV_MISS_R, &in);
}

/* ---- one message for neighbours ---- */

void core_run_send(struct core *k, struct core_run *r)
{
	if (r->msg.run != 0)
		core_send(k, r->to, &r->msg);
	r->msg.run = 0;
}

/* Upgrades name a version each. What else is written has none that matters. */
static bool goes_with(const struct core_run *r, unsigned to, const struct wire_page *m)
{
	const struct wire_page *first = &r->msg;

	return first->run != 0 && first->run < WIRE_PAGE_RUN_MAX && to == r->to &&
	       m->type == first->type && m->page.v == first->page.v + first->run &&
	       m->req == first->req + first->run && m->gen == first->gen &&
	       m->stamp == first->stamp && m->flags == first->flags &&
	       (m->flags & WIRE_PAGE_UPGRADE) == 0;
}

void core_run_add(struct core *k, struct core_run *r, unsigned to, const struct wire_page *m)
{
	if (goes_with(r, to, m)) {
		r->msg.run++;
		return;
	}
	core_run_send(k, r);
	r->msg = *m;
	r->to = to;
}

/* ---- who asks ---- */

/* The pages that the stream has gone over without a fault. */
static void passed(struct core *k, uint32_t p, const struct ahead_plan *plan)
{
	for (unsigned i = 1; i <= plan->passed; i++) {
		struct cpage *c = core_page_find(k, p - (uint32_t)((int32_t)i * plan->stride));
		if (c != NULL)
			core_ahead_used(k, c);
	}
}

int core_ahead_fault(struct core *k, unsigned slot, uint32_t p, bool write)
{
	struct ahead_plan plan;
	int err = 0;

	if (k->cfg.no_ahead)
		return 0;
	(void)ahead_fault(&k->slots[slot].ahead, p, write, ahead_limit(&k->ahead_score), &plan);
	passed(k, p, &plan);
	if (plan.n == 0)
		return 0;
	/* Younger than the instruction that has faulted, older than those that will use the pages:
	 * when they wait for them there is no age to be told. */
	uint64_t stamp = core_new_stamp(k);
	for (unsigned i = 0; err == 0 && i < plan.n; i++) {
		/* The first one is left unmapped: its fault says that the stream goes on. */
		bool mapped = plan.sure && i != 0;
		err = ask(k, plan.first + (uint32_t)((int32_t)i * plan.stride), plan.write,
			mapped ? AHEAD_MAPPED : AHEAD_HERE, stamp);
	}
	core_run_send(k, &k->asks);
	return err;
}

/* With the age of a device: it waits for these pages already. */
int core_ahead_pin(struct core *k, struct pinset *s)
{
	int err = 0;

	if (k->cfg.no_ahead)
		return 0;
	s->asked = MAX(s->asked, s->cursor + 1);
	while (err == 0 && s->asked < s->n && k->aheads_out < CORE_AHEADS_MAX) {
		const struct core_pin_page *q = &s->pages[s->asked++];
		err = ask(k, (uint32_t)(q->page.v - k->first), q->write, AHEAD_HERE, 0);
	}
	core_run_send(k, &k->asks);
	return err;
}

/* ---- what becomes of it ---- */

static void count_used(struct core *k)
{
	k->stats.ahead_used++;
	ahead_score_used(&k->ahead_score);
}

void core_ahead_landed(struct core *k, uint32_t p, struct cpage *c, enum pend_ahead how)
{
	k->aheads_out--;
	if (is_wanted(k, p)) {
		count_used(k);
		return;
	}
	if (how == AHEAD_MAPPED)
		core_map_page(k, p, c);
	c->flags |= how == AHEAD_MAPPED ? CP_UNSEEN : CP_AHEAD;
}

void core_ahead_used(struct core *k, struct cpage *c)
{
	if ((c->flags & (CP_AHEAD | CP_UNSEEN)) != 0)
		count_used(k);
	c->flags &= (uint8_t) ~(CP_AHEAD | CP_UNSEEN);
}

void core_ahead_gone(struct core *k, struct cpage *c)
{
	if ((c->flags & CP_AHEAD) != 0) {
		k->stats.ahead_lost++;
		ahead_score_lost(&k->ahead_score);
	}
	c->flags &= (uint8_t) ~(CP_AHEAD | CP_UNSEEN);
}
