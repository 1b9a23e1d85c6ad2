/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/core_int.h"

#include "base/err.h"

/*
 * Giving a page up, for another slice or for the memory limit. First those who use it must let go:
 * pins of devices, and vCPUs that have been granted the page and not yet retired an instruction
 * (docs/coherence.md, "Progress"). Then the run-time takes the mapping away. Then the GAVE_* event
 * does what it was for.
 */

bool core_pinned(const struct core *k, uint32_t p, bool only_write)
{
	for (unsigned i = 0; k->n_pins != 0 && i < CORE_PINS_MAX; i++) {
		const struct pinset *s = &k->pins[i];
		uint32_t lo = 0, hi = s->used ? s->cursor : 0;
		while (lo < hi) {
			uint32_t mid = lo + (hi - lo) / 2;
			if (s->pages[mid].page.v < k->first + p)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (s->used && lo < s->cursor && s->pages[lo].page.v == k->first + p &&
			(!only_write || s->pages[lo].write))
			return true;
	}
	return false;
}

/* ---- holds ---- */

bool core_holds(const struct slot *s, uint32_t p)
{
	for (unsigned i = 0; i < s->n_held; i++) {
		if (s->held[i] == p)
			return true;
	}
	return false;
}

static void hold_remove(struct slot *s, uint32_t p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_held; i++) {
		if (s->held[i] != p)
			s->held[n++] = s->held[i];
	}
	s->n_held = n;
}

void core_hold_add(struct core *k, struct slot *s, uint32_t p)
{
	hold_remove(s, p);
	if (s->n_held == CORE_INSN_PAGES)
		hold_remove(s, s->held[0]);
	s->held[s->n_held++] = p;
	s->deadline_ns = k->now_ns + k->cfg.hold_ns;
}

/* Does this vCPU keep `p` from one as old as `stamp`? */
static bool slot_keeps(struct core *k, unsigned i, uint32_t p, uint64_t stamp)
{
	struct slot *s = &k->slots[i];

	if (!core_holds(s, p))
		return false;
	if (k->retired[i] != s->retired) {
		s->n_held = 0;
		return false;
	}
	if (s->want.waiting) {
		/* It needs more pages before it can go on. The older wins; nobody holds a page
		 * against his own request for it. Time does not count here: the wait itself is
		 * bounded, since somebody is the oldest. */
		bool cedes = s->want.p == p || stamp < s->stamp;
		if (!cedes || (PLANTED(BUG_HOLD_CYCLE) && s->want.p != p))
			return true;
		k->stats.yields += s->want.p != p;
		hold_remove(s, p);
		return false;
	}
	if (k->now_ns >= s->deadline_ns) {
		k->stats.hold_timeouts++;
		hold_remove(s, p);
		return false;
	}
	core_wake_at(k, MIN(s->deadline_ns, k->now_ns + k->cfg.poll_ns));
	return true;
}

bool core_held(struct core *k, uint32_t p, uint64_t stamp)
{
	bool held = false;

	for (unsigned i = 0; i < k->cfg.vcpus; i++)
		held = slot_keeps(k, i, p, stamp) || held;
	return held;
}

/* ---- revocation ---- */

static int complete(struct core *k, uint32_t p, struct cpage *c, struct pend *d)
{
	static const enum core_cache_event events[] = {
		[REV_GETS] = CACHE_EV_GAVE_S,
		[REV_GETM] = CACHE_EV_GAVE_M,
		[REV_INV] = CACHE_EV_GAVE_INV,
		[REV_EVICT] = CACHE_EV_GAVE_EVICT,
	};
	struct cache_in in = {.from = k->blame};
	int err = core_cache_event(k, p, events[d->rev], &in);

	if (err != 0)
		return err;
	if (d->rev == REV_EVICT)
		k->freeing--;
	d->rev = REV_NONE;
	core_pend_settle(k, c);
	core_page_settle(k, p);
	return core_wants_serve(k, p);
}

static void unmapped(struct cpage *c, bool all)
{
	c->flags &= (uint8_t) ~(all ? CP_MAPPED | CP_MAP_RW : CP_MAP_RW);
}

/* Is somebody using what is to be taken away? */
static bool in_use(struct core *k, const struct cpage *c, struct pend *d)
{
	bool only_write = d->rev == REV_GETS;

	if (only_write && c->state != CACHE_M)
		return false; /* a copy is given, nothing is taken */
	if (core_pinned(k, d->p, only_write))
		return true;
	/* Who is to be evicted was not held when it was chosen. */
	return d->rev != REV_EVICT && core_held(k, d->p, d->rev_stamp);
}

static int advance(struct core *k, uint32_t p, struct cpage *c, struct pend *d)
{
	bool all = d->rev != REV_GETS;

	if (d->rev_issued)
		return 0;
	if (in_use(k, c, d)) {
		k->stats.holds += !d->rev_counted;
		d->rev_counted = true;
		if (list_empty(&d->deferred))
			list_push_back(&k->deferred, &d->deferred);
		return 0;
	}
	list_remove(&d->deferred);
	if ((c->flags & (all ? CP_MAPPED : CP_MAP_RW)) == 0)
		return complete(k, p, c, d);
	core_act(k, all ? CORE_ACT_UNMAP : CORE_ACT_PROTECT, p);
	if (PLANTED(BUG_EARLY_ACK) && d->rev == REV_INV) {
		unmapped(c, true);
		return complete(k, p, c, d);
	}
	d->rev_issued = true;
	return 0;
}

int core_revoke_begin(
	struct core *k, uint32_t p, struct cpage *c, enum rev_kind kind, const struct cache_in *in)
{
	struct pend *d = core_pend_get(k, p, c);

	if (d == NULL)
		return core_violation(k, in->from);
	if (d->rev == REV_EVICT && kind != REV_EVICT) {
		/* Another slice wants what was to be given back anyway. */
		k->freeing--;
	} else if (d->rev != REV_NONE) {
		return core_violation(k, in->from);
	} else {
		d->rev_issued = false;
	}
	d->rev = (uint8_t)kind;
	d->rev_counted = false;
	if (kind == REV_EVICT) {
		k->freeing++;
	} else {
		d->rev_to = in->msg->third.v;
		d->rev_req = in->msg->req;
		d->rev_acks = in->msg->acks;
		d->rev_stamp = in->msg->stamp;
	}
	return advance(k, p, c, d);
}

int core_revoked(struct core *k, uint32_t p)
{
	struct cpage *c = core_page_find(k, p);
	struct pend *d = core_pend(k, c);

	if (PLANTED(BUG_EARLY_ACK) && (d == NULL || !d->rev_issued))
		return 0;
	CHECK(d != NULL && d->rev != REV_NONE && d->rev_issued);
	d->rev_issued = false;
	unmapped(c, d->rev != REV_GETS);
	return complete(k, p, c, d);
}

int core_revoke_retry(struct core *k)
{
	int err = 0;

	list_foreach_safe(it, &k->deferred)
	{
		struct pend *d = list_entry(it, struct pend, deferred);
		err = advance(k, d->p, core_page_find(k, d->p), d);
		if (err != 0)
			break;
	}
	return err;
}

void core_nudge(struct core *k, const struct wire_page *m)
{
	uint32_t p = (uint32_t)(m->page.v - k->first);
	struct pend *d = core_pend(k, core_page_find(k, p));

	/* Too late is no harm: the request it is about has been answered. */
	if (d == NULL || d->rev == REV_NONE || d->rev == REV_EVICT || d->rev_req != m->req ||
		d->rev_to != m->third.v)
		return;
	d->rev_stamp = MIN(d->rev_stamp, m->stamp);
}
