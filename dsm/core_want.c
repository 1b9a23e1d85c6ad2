/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/core_int.h"

#include "base/err.h"

/*
 * What vCPUs and devices of this slice wait for. Wants for the same page are merged: the page has
 * one request on its way, and whoever it satisfies goes on. A remote page needs a frame of the
 * memory limit first; without one something is given back, and the want is tried again.
 */

/* Does the memory limit matter? Otherwise there is a frame for every page. */
static bool pins_limited(const struct core *k)
{
	return k->frames_max < k->n_pages - k->n_own_pages;
}

static bool suffices(const struct cpage *c, bool write)
{
	return c != NULL && (write ? core_may_write(c) : core_may_read(c));
}

/* The oldest of those who wait for a request on its way decides how old it is. */
static void hurry(struct core *k, uint32_t p, struct pend *d, uint64_t stamp)
{
	struct wire_page m = {
		.type = WIRE_PAGE_HURRY, .page = core_gpage(k, p), .run = 1, .req = d->req};

	if (stamp >= d->stamp)
		return;
	d->stamp = m.stamp = stamp;
	core_map_home(k, p, &m.gen);
	core_send(k, d->home, &m);
}

/* Pins have frames of their own: those of vCPUs may be taken by requests that wait for a pin. */
static bool take_frame(struct core *k, struct want *w, struct cpage *c)
{
	struct pinset *s = w->stamp == 0 ? container_of(w, struct pinset, want) : NULL;
	uint64_t reserved = k->pin_reserved;

	if (!core_frame_take(k, w->p, c, s != NULL && pins_limited(k) && !s->took))
		return false;
	if (s != NULL && k->pin_reserved != reserved)
		s->took = true;
	return true;
}

/* What is here does not suffice: ask for the page, unless that has been done. */
static int pursue(struct core *k, struct want *w)
{
	struct cpage *c = core_page_get(k, w->p);
	struct pend *d = core_pend(k, c);

	w->blocked = false;
	if (c == NULL)
		return core_violation(k, k->blame);
	if (d != NULL && d->rev != REV_NONE) {
		/* Served when it is over. Who keeps the page from the other slice keeps it from us
		 * too, and must be as quick as our age demands. */
		d->rev_stamp = MIN(d->rev_stamp, w->stamp);
		return 0;
	}
	if (d != NULL && d->want != WANT_NONE) {
		hurry(k, w->p, d, w->stamp);
		return 0;
	}
	if (!take_frame(k, w, c)) {
		w->blocked = true;
		core_page_settle(k, w->p);
		return 0;
	}
	struct cache_in in = {.from = k->cfg.self.v, .stamp = w->stamp};
	return core_cache_event(k, w->p, w->write ? CACHE_EV_MISS_W : CACHE_EV_MISS_R, &in);
}

/* ---- vCPUs ---- */

void core_map_page(struct core *k, uint32_t p, struct cpage *c)
{
	if (core_may_write(c)) {
		/* From here on it may be written without our seeing it. */
		core_page_change(k, p, c, c->state, c->flags & ~CP_ZERO);
		c->flags |= CP_MAPPED | CP_MAP_RW;
		core_act(k, CORE_ACT_MAP_RW, p);
	} else {
		c->flags |= CP_MAPPED;
		core_act(k, CORE_ACT_MAP_RO, p);
	}
}

static void grant(struct core *k, unsigned i, struct cpage *c)
{
	struct slot *s = &k->slots[i];
	uint32_t p = s->want.p;

	core_map_page(k, p, c);
	core_ahead_used(k, c);
	core_frame_touch(k, p, c);
	core_hold_add(k, s, p);
	s->want.waiting = s->want.blocked = false;
	struct core_action a = {.type = CORE_ACT_WAKE, .slot = i};
	k->sink(k->sink_arg, &a);
}

static int vcpu_try(struct core *k, unsigned i)
{
	struct want *w = &k->slots[i].want;
	struct cpage *c = core_page_find(k, w->p);
	const struct pend *d = core_pend(k, c);

	if (!suffices(c, w->write))
		return pursue(k, w);
	/* A page on its way out goes to nobody new, but who keeps it must be able to use it. */
	if (d != NULL && d->rev != REV_NONE && (d->rev_issued || !core_holds(&k->slots[i], w->p)))
		return pursue(k, w);
	grant(k, i, c);
	return 0;
}

int core_fault(struct core *k, const struct core_event *ev)
{
	CHECK(ev->slot < k->cfg.vcpus);
	struct slot *s = &k->slots[ev->slot];

	CHECK(!s->want.waiting);
	if (!core_has_page(k, ev->page))
		return ERR_RANGE;
	if (s->stamp == 0 || k->retired[ev->slot] != s->retired || PLANTED(BUG_LOST_AGE)) {
		s->n_held = 0;
		s->retired = k->retired[ev->slot];
		s->stamp = core_new_stamp(k);
	}
	s->want = (struct want){
		.waiting = true,
		.write = ev->write,
		.p = (uint32_t)(ev->page.v - k->first),
		.stamp = s->stamp,
	};
	k->stats.write_faults += ev->write;
	k->stats.read_faults += !ev->write;
	uint32_t p = s->want.p;
	int err = vcpu_try(k, ev->slot);
	return err != 0 ? err : core_ahead_fault(k, ev->slot, p, ev->write);
}

/* ---- pins ---- */

static void pinned(struct core *k, unsigned i, int err)
{
	struct core_action a = {.type = CORE_ACT_PINNED, .pin = i, .err = err};

	k->pins[i].want.waiting = false;
	k->sink(k->sink_arg, &a);
}

static int pin_try(struct core *k, unsigned i)
{
	struct pinset *s = &k->pins[i];

	for (; s->cursor < s->n; s->cursor++) {
		const struct core_pin_page *q = &s->pages[s->cursor];
		s->want.p = (uint32_t)(q->page.v - k->first);
		s->want.write = q->write;
		struct cpage *c = core_page_find(k, s->want.p);
		const struct pend *d = core_pend(k, c);
		if (!suffices(c, q->write) || (d != NULL && d->rev != REV_NONE)) {
			int err = pursue(k, &s->want);
			return err != 0 ? err : core_ahead_pin(k, s);
		}
		core_ahead_used(k, c);
		if (q->write)
			core_page_change(k, s->want.p, c, c->state, c->flags & ~CP_ZERO);
		core_frame_touch(k, s->want.p, c);
		if ((c->flags & CP_FRAME) != 0 && pins_limited(k) && !s->took)
			k->pin_reserved--; /* it had one already */
		s->took = false;
	}
	pinned(k, i, 0);
	return 0;
}

/* Remote pages that pin sets may take from vCPUs. */
static uint64_t pin_frames_max(const struct core *k)
{
	return pins_limited(k) ? k->frames_max / 2 : UINT64_MAX;
}

static struct pinset *next_pin(struct core *k)
{
	struct pinset *next = NULL;

	for (unsigned i = 0; k->n_pins != 0 && i < CORE_PINS_MAX; i++) {
		struct pinset *s = &k->pins[i];
		if (s->used && !s->admitted && (next == NULL || s->ticket < next->ticket))
			next = s;
	}
	return next;
}

/* Sets are let in one after the other, each with all frames that it can need: a set that waits for
 * a frame while it holds pins could wait for one that waits for those pins. Until its frames are
 * free, no vCPU gets another. */
static int admit(struct core *k)
{
	struct pinset *next;

	k->pin_waiting = 0;
	while ((next = next_pin(k)) != NULL) {
		if (next->remote > pin_frames_max(k) - k->pin_frames)
			return 0;
		if (pins_limited(k)) {
			if (k->frames + k->pin_reserved + next->remote > k->frames_max) {
				k->pin_waiting = next->remote;
				return 0;
			}
			k->pin_reserved += next->remote;
		}
		next->admitted = next->want.waiting = true;
		k->pin_frames += next->remote;
		int err = pin_try(k, (unsigned)(next - k->pins));
		if (err != 0)
			return err;
	}
	return 0;
}

int core_pin(struct core *k, const struct core_event *ev)
{
	CHECK(ev->pin < CORE_PINS_MAX && !k->pins[ev->pin].used);
	struct pinset s = {.used = true, .pages = ev->pages, .ticket = ++k->pin_ticket};

	for (size_t i = 0; i < ev->n_pages; i++) {
		gpage_t page = ev->pages[i].page;
		if (!core_has_page(k, page) || (i != 0 && page.v <= ev->pages[i - 1].page.v))
			return ERR_RANGE;
		s.remote += core_own(k, (uint32_t)(page.v - k->first)) == CORE_NONE;
	}
	if (s.remote > pin_frames_max(k))
		return ERR_RANGE;
	s.n = (uint32_t)ev->n_pages;
	k->pins[ev->pin] = s;
	k->n_pins++;
	return admit(k);
}

int core_unpin(struct core *k, const struct core_event *ev)
{
	CHECK(ev->pin < CORE_PINS_MAX);
	struct pinset *s = &k->pins[ev->pin];

	CHECK(s->used && s->admitted && !s->want.waiting);
	k->pin_frames -= s->remote;
	k->n_pins--;
	s->used = false;
	return admit(k);
}

/* ---- frames ---- */

static struct want *oldest_blocked(struct core *k, unsigned *n, int *pin)
{
	struct want *oldest = NULL;

	*n = 0;
	for (unsigned i = 0; k->n_pins != 0 && i < CORE_PINS_MAX; i++) {
		struct want *w = &k->pins[i].want;
		if (!k->pins[i].used || !w->waiting || !w->blocked)
			continue;
		++*n;
		if (oldest == NULL) {
			oldest = w;
			*pin = (int)i;
		}
	}
	for (unsigned i = 0; i < k->cfg.vcpus; i++) {
		struct want *w = &k->slots[i].want;
		if (!w->waiting || !w->blocked)
			continue;
		++*n;
		if (oldest == NULL || w->stamp < oldest->stamp) {
			oldest = w;
			*pin = -1 - (int)i;
		}
	}
	return oldest;
}

/* Whoever keeps a frame of ours busy keeps those waiting who are blocked, and must be as quick as
 * their age demands: requests and puts on their way, and pages held against other slices. */
static void hasten(struct core *k, uint64_t stamp)
{
	for (unsigned i = 1; i <= k->pends_used; i++) {
		struct pend *d = &k->pends[i];
		const struct cpage *c = core_page_find(k, d->p);
		if (core_pend(k, c) != d || (c->flags & CP_FRAME) == 0)
			continue;
		if (d->want != WANT_NONE)
			hurry(k, d->p, d, stamp);
		if (d->rev != REV_NONE && stamp < d->rev_stamp) {
			d->rev_stamp = stamp;
			k->again = true;
		}
	}
}

/* Start to give back the page that was used longest ago, of those that one as old as `stamp` may
 * have taken from under others. False: there is none, or enough are on their way. */
static bool evict_one(struct core *k, uint64_t stamp, uint64_t blocked, int *err)
{
	/* Each eviction begun may become a put or a drop. */
	if (k->freeing >= blocked || k->freeing + k->puts_out + k->drops_out >= CORE_EVICTS_MAX)
		return false;
	for (uint32_t i = k->lru_first; i != CORE_NONE; i = k->remote[i].lru_next) {
		const struct rpage *r = &k->remote[i];
		bool still = r->c.state == CACHE_S || r->c.state == CACHE_O ||
			     r->c.state == CACHE_E || r->c.state == CACHE_M;
		if (!still || r->c.pend != 0 || core_pinned(k, r->p, false) ||
			core_held(k, r->p, stamp))
			continue;
		struct cache_in in = {.from = k->cfg.self.v};
		*err = core_cache_event(k, r->p, CACHE_EV_EVICT, &in);
		return true;
	}
	return false;
}

/* Frames that must become free before the next pin set is let in. */
static uint64_t pin_lack(const struct core *k)
{
	uint64_t want = k->frames + k->pin_reserved + k->pin_waiting;

	return k->pin_waiting != 0 && want > k->frames_max ? want - k->frames_max : 0;
}

int core_wants_retry(struct core *k)
{
	for (;;) {
		unsigned n;
		int pin = 0, err = admit(k);
		if (err != 0)
			return err;
		struct want *w = oldest_blocked(k, &n, &pin);
		if (w != NULL)
			err = pin >= 0 ? pin_try(k, (unsigned)pin)
				       : vcpu_try(k, (unsigned)(-1 - pin));
		if (err != 0)
			return err;
		bool still = w != NULL && w->waiting && w->blocked;
		uint64_t lack = pin_lack(k);
		if (!still && lack == 0) {
			if (w == NULL)
				return 0;
			continue;
		}
		uint64_t stamp = lack != 0 ? 0 : w->stamp;
		hasten(k, stamp);
		if (!evict_one(k, stamp, n + lack, &err))
			return 0;
		if (err != 0)
			return err;
	}
}

/* ---- all ---- */

int core_wants_serve(struct core *k, uint32_t p)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i < k->cfg.vcpus; i++) {
		if (k->slots[i].want.waiting && k->slots[i].want.p == p)
			err = vcpu_try(k, i);
	}
	for (unsigned i = 0; err == 0 && k->n_pins != 0 && i < CORE_PINS_MAX; i++) {
		if (k->pins[i].used && k->pins[i].want.waiting && k->pins[i].want.p == p)
			err = pin_try(k, i);
	}
	return err;
}

void core_wants_fail(struct core *k)
{
	for (unsigned i = 0; i < k->cfg.vcpus; i++) {
		struct core_action a = {.type = CORE_ACT_WAKE, .slot = i, .err = ERR_VM_STOPPED};
		if (!k->slots[i].want.waiting)
			continue;
		k->slots[i].want.waiting = false;
		k->sink(k->sink_arg, &a);
	}
	for (unsigned i = 0; i < CORE_PINS_MAX; i++) {
		struct pinset *s = &k->pins[i];
		if (!s->used || (s->admitted && !s->want.waiting))
			continue;
		s->used = false;
		k->n_pins--;
		pinned(k, i, ERR_VM_STOPPED);
	}
}
