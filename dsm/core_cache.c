/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/core_int.h"

#include "base/err.h"

/* What this slice holds of a page, and its own request for it (cache.def). */

struct cache_at {
	struct core *k;
	uint32_t p;
	struct cpage *c; /* NULL: state I, nothing known */
	const struct cache_in *in;
	enum core_cache_event ev;
};

typedef int (*cache_fn)(struct cache_at *at);

bool core_may_read(const struct cpage *c)
{
	return c->state == CACHE_S || c->state == CACHE_O || c->state == CACHE_E ||
	       c->state == CACHE_M || c->state == CACHE_SM_AD || c->state == CACHE_OM_AD;
}

bool core_may_write(const struct cpage *c)
{
	return c->state == CACHE_M;
}

static void become(struct cache_at *at, enum core_cache_state state)
{
	core_page_change(at->k, at->p, at->c, state, at->c->flags);
}

static struct wire_page message(const struct cache_at *at, uint16_t type, uint32_t req)
{
	return (struct wire_page){
		.type = type,
		.page = core_gpage(at->k, at->p),
		.run = 1,
		.req = req,
		.version = at->c == NULL ? 0 : at->c->version,
	};
}

/* ---- our requests ---- */

static void request(struct cache_at *at, uint16_t type, uint8_t flags)
{
	struct pend *d = core_pend(at->k, at->c);
	struct wire_page m = message(at, type, d->req);

	d->home = (uint16_t)core_map_home(at->k, at->p, &m.gen);
	m.stamp = d->stamp;
	m.flags = flags;
	if (d->ahead != AHEAD_NO)
		core_run_add(at->k, &at->k->asks, d->home, &m);
	else
		core_send(at->k, d->home, &m);
}

/* The page is surely known here: whoever wants it has made the entry. */
static int want(struct cache_at *at, enum pend_want want, uint64_t stamp)
{
	struct pend *d = core_pend_get(at->k, at->p, at->c);
	if (d == NULL)
		return core_violation(at->k, at->k->blame);
	d->want = (uint8_t)want;
	d->req = ++at->k->last_req;
	d->stamp = stamp;
	d->ahead = (uint8_t)at->in->ahead;
	d->got_data = d->was_copy = d->clean = false;
	d->acks_got = d->acks_need = 0;
	return 0;
}

static int c_send_gets(struct cache_at *at)
{
	int err = want(at, WANT_READ, at->in->stamp);
	if (err != 0)
		return err;
	become(at, CACHE_IS_D);
	request(at, WIRE_PAGE_GETS, at->in->ahead != AHEAD_NO ? WIRE_PAGE_AHEAD : 0);
	return 0;
}

static int c_send_getm(struct cache_at *at)
{
	uint64_t stamp = at->in->stamp;
	uint8_t flags = at->c->state == CACHE_I ? 0 : WIRE_PAGE_UPGRADE;

	if (at->ev == CACHE_EV_PULL)
		stamp = core_new_stamp(at->k);
	int err = want(at, WANT_WRITE, stamp);
	if (err != 0)
		return err;
	at->k->stats.upgrades += flags != 0;
	if (at->c->state == CACHE_I)
		become(at, CACHE_IM_AD);
	else
		become(at, at->c->state == CACHE_S ? CACHE_SM_AD : CACHE_OM_AD);
	request(at, WIRE_PAGE_GETM, flags);
	return 0;
}

/* Only we have the page: no other slice need know that it is written. */
static int c_write_own(struct cache_at *at)
{
	at->k->stats.silent++;
	become(at, CACHE_M);
	return core_wants_serve(at->k, at->p);
}

/*
 *  Our request is over. Who waits for the page here comes first: DONE is only for the home's next
 *  request. That of a page asked for ahead may wait for its neighbours'.
 */
static int finish(struct cache_at *at, struct pend *d)
{
	struct wire_page m = message(at, WIRE_PAGE_DONE, d->req);
	unsigned home = d->home;
	enum pend_ahead ahead = d->ahead;

	m.flags = d->clean ? WIRE_PAGE_CLEAN : 0;
	d->want = WANT_NONE;
	core_pend_settle(at->k, at->c);
	if (ahead != AHEAD_NO)
		core_ahead_landed(at->k, at->p, at->c, ahead);
	int err = core_wants_serve(at->k, at->p);
	if (ahead != AHEAD_NO)
		core_run_add(at->k, &at->k->dones, home, &m);
	else
		core_send(at->k, home, &m);
	return err;
}

/* Write access is ours once the page is here and all others have said that theirs is gone. */
static int try_finish_write(struct cache_at *at, struct pend *d)
{
	bool all = d->acks_got == d->acks_need;

	if (d->got_data && d->acks_got > d->acks_need)
		return core_violation(at->k, at->in->from);
	if (PLANTED(BUG_EARLY_GRANT) || (PLANTED(BUG_AHEAD_EARLY) && d->ahead != AHEAD_NO))
		all = true;
	if (!d->got_data || !all)
		return 0;
	at->c->version = d->version;
	become(at, CACHE_M);
	return finish(at, d);
}

static int c_count_ack(struct cache_at *at)
{
	struct pend *d = core_pend(at->k, at->c);

	if (at->in->msg->req != d->req || d->acks_got >= SLICE_MAX)
		return core_violation(at->k, at->in->from);
	d->acks_got++;
	return try_finish_write(at, d);
}

/* Take the bytes that came with DATA. */
static void install(struct cache_at *at, const struct pend *d, const struct wire_page *m)
{
	unsigned flags = at->c->flags & ~CP_ZERO;

	if ((m->flags & WIRE_PAGE_ZERO) != 0) {
		flags |= CP_ZERO;
		at->k->stats.fetched_zero++;
		core_act(at->k, CORE_ACT_ZERO, at->p);
	} else if (!(PLANTED(BUG_STALE_DATA) && d->was_copy)) {
		core_act(at->k, CORE_ACT_INSTALL, at->p);
	}
	core_page_change(at->k, at->p, at->c, at->c->state, flags);
}

static int c_data(struct cache_at *at)
{
	const struct wire_page *m = at->in->msg;
	struct pend *d = core_pend(at->k, at->c);
	bool excl = (m->flags & WIRE_PAGE_EXCL) != 0;
	bool unchanged = (m->flags & WIRE_PAGE_UNCHANGED) != 0;
	bool have = at->c->state == CACHE_SM_AD || at->c->state == CACHE_OM_AD;
	/* Who wants to read may be given more, but then nobody else has a copy. */
	bool fits = d->want == WANT_WRITE ? excl : m->acks == 0;

	/* "Unchanged" is for one that has the page, bytes for one that has not; neither while the
	 * copy is being revoked for another's earlier write. */
	if (m->req != d->req || d->got_data || !fits || unchanged != have || d->rev != REV_NONE)
		return core_violation(at->k, at->in->from);
	d->clean = (m->flags & WIRE_PAGE_CLEAN) != 0;
	if (unchanged)
		at->k->stats.unchanged++;
	else
		install(at, d, m);
	if (d->want == WANT_READ) {
		at->c->version = m->version;
		become(at, excl ? CACHE_E : CACHE_S);
		return finish(at, d);
	}
	d->got_data = true;
	d->version = m->version;
	d->acks_need = m->acks;
	return try_finish_write(at, d);
}

/* ---- others' requests ---- */

static void send_inv_ack(struct cache_at *at, unsigned to, uint32_t req)
{
	struct wire_page m = message(at, WIRE_PAGE_INV_ACK, req);

	if (PLANTED(BUG_LOST_ACK) && req % 16 == 0)
		return;
	core_send(at->k, to, &m);
}

static int c_ack_inv(struct cache_at *at)
{
	send_inv_ack(at, at->in->msg->third.v, at->in->msg->req);
	return 0;
}

static int c_refuse_own(struct cache_at *at)
{
	struct wire_page m = message(at, WIRE_PAGE_OWN_ACK, at->in->msg->req);

	core_send(at->k, at->in->from, &m);
	return 0;
}

static int c_accept_own(struct cache_at *at)
{
	struct wire_page m = message(at, WIRE_PAGE_OWN_ACK, at->in->msg->req);

	if (at->in->msg->version != at->c->version)
		return core_violation(at->k, at->in->from);
	m.flags = WIRE_PAGE_YES;
	become(at, at->c->state == CACHE_S ? CACHE_O : CACHE_OM_AD);
	core_send(at->k, at->in->from, &m);
	return 0;
}

static int c_revoke(struct cache_at *at)
{
	static const enum rev_kind kinds[CACHE_EV_N] = {
		[CACHE_EV_FWD_GETS] = REV_GETS,
		[CACHE_EV_FWD_GETM] = REV_GETM,
		[CACHE_EV_INV] = REV_INV,
		[CACHE_EV_EVICT] = REV_EVICT,
	};
	/* The home knows the version of what we hold as well as we do. */
	if (at->in->msg != NULL && at->in->msg->version != at->c->version)
		return core_violation(at->k, at->in->from);
	return core_revoke_begin(at->k, at->p, at->c, kinds[at->ev], at->in);
}

static void send_page(struct cache_at *at, bool excl)
{
	struct pend *d = core_pend(at->k, at->c);
	struct wire_page m = message(at, WIRE_PAGE_DATA, d->rev_req);

	if (excl) {
		m.flags = WIRE_PAGE_EXCL;
		if (at->c->state == CACHE_E)
			m.flags |= WIRE_PAGE_CLEAN;
		m.version++;
		m.acks = d->rev_acks;
	}
	if ((at->c->flags & CP_ZERO) != 0)
		m.flags |= WIRE_PAGE_ZERO;
	core_send(at->k, d->rev_to, &m);
}

/* The GAVE_* events: the revocation is over, `rev` still says what it was for. */

static int c_give_copy(struct cache_at *at)
{
	at->k->stats.downgraded += at->c->state == CACHE_M;
	send_page(at, false);
	if (at->c->state == CACHE_M || at->c->state == CACHE_E)
		become(at, CACHE_O);
	else if (at->c->state == CACHE_MI_A)
		become(at, CACHE_OI_A);
	return 0;
}

/* The copy is gone. Who has asked for it again keeps the frame for what will come. */
static void without_copy(struct cache_at *at)
{
	core_ahead_gone(at->k, at->c);
	unsigned flags = at->c->flags & ~CP_ZERO;

	at->k->stats.invalidated++;
	switch (at->c->state) {
	case CACHE_SM_AD:
	case CACHE_OM_AD:
		core_pend(at->k, at->c)->was_copy = true;
		core_page_change(at->k, at->p, at->c, CACHE_IM_AD, flags);
		return;
	case CACHE_MI_A:
	case CACHE_OI_A:
		at->k->freeing--;
		core_page_change(at->k, at->p, at->c, CACHE_II_A, flags);
		break;
	default:
		core_page_change(at->k, at->p, at->c, CACHE_I, flags);
		break;
	}
	core_frame_drop(at->k, at->p, at->c);
}

static int c_give_page(struct cache_at *at)
{
	send_page(at, true);
	without_copy(at);
	return 0;
}

static int c_lose(struct cache_at *at)
{
	const struct pend *d = core_pend(at->k, at->c);

	send_inv_ack(at, d->rev_to, d->rev_req);
	without_copy(at);
	return 0;
}

/* ---- giving pages back ---- */

static int c_drop(struct cache_at *at)
{
	struct wire_page m = message(at, WIRE_PAGE_DROP, ++at->k->last_req);
	unsigned home = core_map_home(at->k, at->p, &m.gen);

	at->k->drops_out++;
	at->k->stats.dropped++;
	core_ahead_gone(at->k, at->c);
	core_send(at->k, home, &m);
	core_page_change(at->k, at->p, at->c, CACHE_I, at->c->flags & ~CP_ZERO);
	core_frame_drop(at->k, at->p, at->c);
	return 0;
}

static int c_put(struct cache_at *at)
{
	int err = want(at, WANT_PUT, CORE_STAMP_MAX); /* nobody waits for it, yet */
	if (err != 0)
		return err;
	at->k->puts_out++;
	at->k->freeing++;
	at->k->stats.put++;
	core_ahead_gone(at->k, at->c);
	become(at, at->c->state == CACHE_O ? CACHE_OI_A : CACHE_MI_A);
	request(at, WIRE_PAGE_PUT, 0);
	return 0;
}

static int c_put_done(struct cache_at *at)
{
	struct pend *d = core_pend(at->k, at->c);

	if (d->req != at->in->msg->req || d->rev != REV_NONE)
		return core_violation(at->k, at->in->from);
	at->k->puts_out--;
	at->k->freeing -= at->c->state == CACHE_OI_A;
	d->want = WANT_NONE;
	core_page_change(at->k, at->p, at->c, CACHE_I, at->c->flags & ~CP_ZERO);
	core_frame_drop(at->k, at->p, at->c);
	core_pend_settle(at->k, at->c);
	return core_wants_serve(at->k, at->p);
}

/* ---- dispatch ---- */

static const cache_fn table[CACHE_STATE_N][CACHE_EV_N] = {
#define CACHE_ROW(state, event, handler, text) [CACHE_##state][CACHE_EV_##event] = c_##handler,
#include "dsm/cache.def"
};

int core_cache_event(
	struct core *k, uint32_t p, enum core_cache_event ev, const struct cache_in *in)
{
	struct cache_at at = {.k = k, .p = p, .c = core_page_find(k, p), .in = in, .ev = ev};
	unsigned state = at.c == NULL ? CACHE_I : at.c->state;
	cache_fn fn = table[state][ev];

	if (fn == NULL)
		return core_violation(k, in->from);
	k->cache_taken[state][ev]++;
	int err = fn(&at);
	if (err == 0)
		core_page_settle(k, p);
	return err;
}

/* R-DSM-3: the home is another slice; send the request there. */
static int redirected(struct core *k, unsigned from, uint32_t p, const struct wire_page *m)
{
	if (!k->known[m->third.v] || from != core_map_home(k, p, NULL))
		return core_violation(k, from);
	if (core_map_learn(k, p, m->third.v, m->gen) != 0)
		return core_violation(k, from);
	struct cache_in in = {.from = from};
	struct cache_at at = {.k = k, .p = p, .c = core_page_find(k, p), .in = &in};
	if (m->kind == WIRE_PAGE_DROP) {
		/* Everything there is to say is in the answer; nothing here waits for it. */
		struct wire_page d = *m;
		d.type = WIRE_PAGE_DROP;
		d.kind = 0;
		d.third.v = 0;
		if (k->drops_out == 0)
			return core_violation(k, from);
		core_send(k, m->third.v, &d);
		return 0;
	}
	struct pend *d = core_pend(k, at.c);
	static const uint16_t kinds[] = {
		[WANT_NONE] = 0,
		[WANT_READ] = WIRE_PAGE_GETS,
		[WANT_WRITE] = WIRE_PAGE_GETM,
		[WANT_PUT] = WIRE_PAGE_PUT,
	};
	if (d == NULL || d->req != m->req || kinds[d->want] != m->kind)
		return core_violation(k, from);
	request(&at, m->kind,
		at.c->state == CACHE_SM_AD || at.c->state == CACHE_OM_AD ? WIRE_PAGE_UPGRADE : 0);
	core_run_send(k, &k->asks);
	return 0;
}

int core_cache_message(struct core *k, unsigned from, const struct wire_page *m)
{
	uint32_t p = (uint32_t)(m->page.v - k->first);
	struct cache_in in = {.from = from, .msg = m};
	bool of_home = m->type != WIRE_PAGE_DATA && m->type != WIRE_PAGE_INV_ACK;
	bool has_third = m->type == WIRE_PAGE_FWD_GETS || m->type == WIRE_PAGE_FWD_GETM ||
			 m->type == WIRE_PAGE_INV || m->type == WIRE_PAGE_NUDGE;

	/* Only the home of a page may order us about. */
	if (m->type == WIRE_PAGE_REDIRECT)
		return redirected(k, from, p, m);
	if ((of_home && from != core_map_home(k, p, NULL)) || (has_third && !k->known[m->third.v]))
		return core_violation(k, from);
	switch (m->type) {
	case WIRE_PAGE_FWD_GETS:
		return core_cache_event(k, p, CACHE_EV_FWD_GETS, &in);
	case WIRE_PAGE_FWD_GETM:
		return core_cache_event(k, p, CACHE_EV_FWD_GETM, &in);
	case WIRE_PAGE_INV:
		return core_cache_event(k, p, CACHE_EV_INV, &in);
	case WIRE_PAGE_OWN:
		return core_cache_event(k, p, CACHE_EV_OWN, &in);
	case WIRE_PAGE_DATA:
		return core_cache_event(k, p, CACHE_EV_DATA, &in);
	case WIRE_PAGE_INV_ACK:
		return core_cache_event(k, p, CACHE_EV_INV_ACK, &in);
	case WIRE_PAGE_PUT_ACK:
		return core_cache_event(k, p, CACHE_EV_PUT_ACK, &in);
	case WIRE_PAGE_NUDGE:
		core_nudge(k, m);
		return 0;
	case WIRE_PAGE_DROP_ACK:
		if (k->drops_out == 0)
			return core_violation(k, from);
		k->drops_out--;
		return 0;
	case CORE_MSG_PULL:
		if (core_page_find(k, p) == NULL)
			return core_violation(k, from);
		return core_cache_event(k, p, CACHE_EV_PULL, &in);
	default:
		return core_violation(k, from);
	}
}
