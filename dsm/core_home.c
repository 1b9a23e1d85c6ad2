/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/core_int.h"

#include "base/err.h"

/*
 * The directory of the pages whose home we are (home.def). One request of a page is in service at a
 * time: the head of its FIFO, until DONE. The copyset stays that of before until then, so that it
 * names those who may hold the request up.
 */

struct home_in {
	struct core *k;
	uint32_t p, own;
	struct hpage *h;
	unsigned from;
	const struct wire_page *m;
};

typedef int (*home_fn)(const struct home_in *in);
static int serve(const struct home_in *in);

static struct wire_page answer(const struct home_in *in, uint16_t type, uint32_t req)
{
	return (struct wire_page){
		.type = type,
		.page = core_gpage(in->k, in->p),
		.run = 1,
		.req = req,
		.version = in->h->version,
	};
}

/* Age of the oldest request for the page: whoever holds the page up, holds that one up. */
static uint64_t oldest(const struct home_in *in)
{
	uint64_t stamp = CORE_STAMP_MAX;

	for (unsigned i = in->h->head; i != 0; i = core_txn(in->k, i)->next)
		stamp = MIN(stamp, core_txn(in->k, i)->stamp);
	return stamp;
}

static void forward(
	const struct home_in *in, uint16_t type, unsigned to, const struct txn *t, unsigned acks)
{
	struct wire_page m = answer(in, type, t->req);

	m.third.v = t->slice;
	m.stamp = oldest(in);
	m.acks = (uint16_t)acks;
	core_send(in->k, to, &m);
}

static void pop(const struct home_in *in)
{
	unsigned i = in->h->head;
	const struct txn *t = core_txn(in->k, i);

	in->k->asked[t->slice]--;
	in->h->head = t->next;
	core_txn_put(in->k, i);
}

/* ---- service ---- */

static int serve_gets(const struct home_in *in, const struct txn *t)
{
	unsigned owner = in->h->owner;

	if (core_copyset_has(in->k, in->own, t->slice))
		return core_violation(in->k, t->slice);
	bool ahead = (t->flags & WIRE_PAGE_AHEAD) != 0;
	if (in->h->migratory && !ahead && core_copyset_is(in->k, in->own, owner, owner)) {
		hot_note(in->k->hot, in->k->now_ns, in->p, HOT_MIGRATE, t->slice);
		in->k->stats.migrated++;
		in->h->state = PLANTED(BUG_MIGRATE_AS_READ) ? HOME_BUSY_S : HOME_BUSY_M;
		forward(in, WIRE_PAGE_FWD_GETM, owner, t, 0);
		return 0;
	}
	hot_note(in->k->hot, in->k->now_ns, in->p, HOT_READ, t->slice);
	in->h->state = HOME_BUSY_S;
	forward(in, WIRE_PAGE_FWD_GETS, owner, t, 0);
	return 0;
}

/*
 *  Cox and Fowler, "Adaptive cache coherency for detecting migratory shared data", 1993: a slice
 *  that has read what another wrote, and writes it while nobody else has a copy. The next that
 *  reads the page gets it whole, which saves its upgrade. Who gets it so and gives it up unwritten
 *  ends that (CLEAN).
 */
static bool looks_migratory(const struct home_in *in, const struct txn *t)
{
	return !in->k->cfg.no_migrate && t->slice != in->h->owner &&
	       core_copyset_is(in->k, in->own, t->slice, in->h->owner);
}

/* Invalidate all holders but the requester and `owner`, all at once; how many they are. */
static unsigned invalidate(const struct home_in *in, const struct txn *t, unsigned owner)
{
	bool skip = PLANTED(BUG_SKIP_INV);
	unsigned n = 0;

	for (unsigned s = 0; s < in->k->copyset_bytes * 8; s++) {
		if (s == t->slice || s == owner || !core_copyset_has(in->k, in->own, s))
			continue;
		if (skip) {
			skip = false;
			continue;
		}
		forward(in, WIRE_PAGE_INV, s, t, 0);
		n++;
	}
	return n;
}

static int serve_getm(const struct home_in *in, const struct txn *t)
{
	bool copy = core_copyset_has(in->k, in->own, t->slice);
	bool upgrade = (t->flags & WIRE_PAGE_UPGRADE) != 0;

	/* R-DSM-6: an upgrade by one that is no holder any more is a write miss. Who is a holder
	 * and says otherwise, or names another version, lies. */
	if (copy && (!upgrade || t->version != in->h->version))
		return core_violation(in->k, t->slice);
	if (PLANTED(BUG_UPGRADE_DROPPED) && upgrade)
		copy = true;
	hot_note(in->k->hot, in->k->now_ns, in->p, copy ? HOT_UPGRADE : HOT_WRITE, t->slice);
	in->h->state = HOME_BUSY_M;
	if (!copy) {
		unsigned acks = invalidate(in, t, in->h->owner);
		forward(in, WIRE_PAGE_FWD_GETM, in->h->owner, t, acks);
		return 0;
	}
	in->h->migratory = looks_migratory(in, t);
	struct wire_page m = answer(in, WIRE_PAGE_DATA, t->req);
	m.flags = WIRE_PAGE_EXCL | WIRE_PAGE_UNCHANGED;
	m.version = in->h->version + 1;
	m.acks = (uint16_t)invalidate(in, t, SLICE_MAX);
	core_send(in->k, t->slice, &m);
	return 0;
}

/* Our own request for the page, taken out of the FIFO and put in front of it. */
static bool own_first(const struct home_in *in)
{
	uint16_t *link = &in->h->head;

	while (*link != 0) {
		unsigned i = *link;
		struct txn *t = core_txn(in->k, i);
		if (t->slice == in->k->cfg.self.v) {
			*link = t->next;
			t->next = in->h->head;
			in->h->head = (uint16_t)i;
			return true;
		}
		link = &t->next;
	}
	return false;
}

/* The owner wants to be rid of the page. Another holder becomes the owner, we ourselves by
 * preference; without one we fetch the page by a write request of our own, which goes first and
 * leaves the sender of the put without it. */
static int pass_on(const struct home_in *in, struct txn *t)
{
	unsigned self = in->k->cfg.self.v, to = SLICE_MAX;

	for (unsigned s = 0; s < in->k->copyset_bytes * 8 && to != self; s++) {
		if (s != t->slice && core_copyset_has(in->k, in->own, s) &&
			(to == SLICE_MAX || s == self))
			to = s;
	}
	if (to != SLICE_MAX) {
		struct wire_page m = answer(in, WIRE_PAGE_OWN, t->req);
		t->candidate = (uint8_t)to;
		in->h->state = HOME_BUSY_O;
		core_send(in->k, to, &m);
		return 0;
	}
	if (own_first(in)) {
		in->h->state = HOME_IDLE;
		return 0;
	}
	struct wire_page m = answer(in, CORE_MSG_PULL, 0);
	in->h->state = HOME_BUSY_P;
	core_send(in->k, self, &m);
	return 0;
}

static int serve_put(const struct home_in *in, struct txn *t)
{
	if (in->h->owner == t->slice)
		return pass_on(in, t);
	if (core_copyset_has(in->k, in->own, t->slice))
		return core_violation(in->k, t->slice);
	struct wire_page m = answer(in, WIRE_PAGE_PUT_ACK, t->req);
	core_send(in->k, t->slice, &m);
	pop(in);
	return 0;
}

static int serve_drop(const struct home_in *in, const struct txn *t)
{
	if (in->h->owner == t->slice)
		return core_violation(in->k, t->slice);
	struct wire_page m = answer(in, WIRE_PAGE_DROP_ACK, t->req);
	core_copyset_set(in->k, in->own, t->slice, false);
	core_send(in->k, t->slice, &m);
	pop(in);
	return 0;
}

static int serve(const struct home_in *in)
{
	int err = 0;

	while (err == 0 && in->h->state == HOME_IDLE && in->h->head != 0) {
		struct txn *t = core_txn(in->k, in->h->head);
		switch (t->kind) {
		case WIRE_PAGE_GETS:
			err = serve_gets(in, t);
			break;
		case WIRE_PAGE_GETM:
			err = serve_getm(in, t);
			break;
		case WIRE_PAGE_PUT:
			err = serve_put(in, t);
			break;
		default:
			err = serve_drop(in, t);
			break;
		}
	}
	return err;
}

/* ---- handlers of the table ---- */

/* Tell those who hold the request in service up how old the oldest one waiting is. */
static void nudge(const struct home_in *in, uint64_t stamp)
{
	const struct txn *t = core_txn(in->k, in->h->head);

	if (in->h->state != HOME_BUSY_S && in->h->state != HOME_BUSY_M)
		return;
	for (unsigned s = 0; s < in->k->copyset_bytes * 8; s++) {
		if (s == t->slice || !core_copyset_has(in->k, in->own, s) ||
			(in->h->state == HOME_BUSY_S && s != in->h->owner))
			continue;
		struct wire_page m = answer(in, WIRE_PAGE_NUDGE, t->req);
		m.third.v = t->slice;
		m.stamp = stamp;
		in->k->stats.nudges++;
		core_send(in->k, s, &m);
	}
}

/* R-DSM-9: one request per slice and page, besides a drop that comes before it. The one in service
 * does not count: its DONE is of a higher class and may come later than the next request. */
static bool duplicate(const struct home_in *in)
{
	bool drop = in->m->type == WIRE_PAGE_DROP;
	bool granted = in->h->state == HOME_BUSY_S || in->h->state == HOME_BUSY_M;

	for (unsigned i = in->h->head; i != 0; i = core_txn(in->k, i)->next) {
		const struct txn *t = core_txn(in->k, i);
		if (i == in->h->head && granted)
			continue;
		if (t->slice == in->from && (t->kind == WIRE_PAGE_DROP) == drop)
			return true;
	}
	return false;
}

static int append(const struct home_in *in, uint16_t **link)
{
	const struct wire_page *m = in->m;
	bool ours = in->from == in->k->cfg.self.v;

	if (duplicate(in) || (!ours && in->k->asked[in->from] >= CORE_REQS_MAX))
		return core_violation(in->k, in->from);
	unsigned i = core_txn_get(in->k);
	if (i == 0)
		return core_violation(in->k, in->from);
	struct txn *t = core_txn(in->k, i);
	/* Nobody waits for a put or drop, until a HURRY says so. */
	bool waits = m->type == WIRE_PAGE_GETS || m->type == WIRE_PAGE_GETM;
	t->stamp = waits ? m->stamp : CORE_STAMP_MAX;
	t->req = m->req;
	t->version = m->version;
	t->kind = m->type;
	t->slice = (uint8_t)in->from;
	t->flags = m->flags;
	in->k->asked[in->from]++;
	while (**link != 0)
		*link = &core_txn(in->k, **link)->next;
	**link = (uint16_t)i;
	return 0;
}

static int h_arrive(const struct home_in *in)
{
	uint16_t *link = &in->h->head;
	uint64_t before = oldest(in);
	int err = append(in, &link);

	if (err != 0)
		return err;
	if (in->h->state == HOME_IDLE)
		return serve(in);
	in->k->stats.queued++;
	hot_queued(in->k->hot, in->k->now_ns, in->p);
	if (oldest(in) < before)
		nudge(in, oldest(in));
	return 0;
}

/* BUSY_P: the write request that our cache makes for us. */
static int h_pulled(const struct home_in *in)
{
	uint16_t *link = &in->h->head;

	if (in->from != in->k->cfg.self.v)
		return core_violation(in->k, in->from);
	int err = append(in, &link);
	if (err != 0)
		return err;
	CHECK(own_first(in));
	in->h->state = HOME_IDLE;
	return serve(in);
}

static bool in_service(const struct home_in *in)
{
	const struct txn *t = core_txn(in->k, in->h->head);
	return t->slice == in->from && t->req == in->m->req;
}

static int h_done(const struct home_in *in)
{
	if (!in_service(in))
		return core_violation(in->k, in->from);
	if (in->h->state == HOME_BUSY_M) {
		in->h->owner = (uint8_t)in->from;
		in->h->version++;
		if ((in->m->flags & WIRE_PAGE_CLEAN) != 0)
			in->h->migratory = false;
		core_copyset_only(in->k, in->own, in->from);
	} else {
		core_copyset_set(in->k, in->own, in->from, true);
	}
	pop(in);
	in->h->state = HOME_IDLE;
	return serve(in);
}

static bool is_candidate(const struct home_in *in)
{
	const struct txn *t = core_txn(in->k, in->h->head);
	return t->candidate == in->from && t->req == in->m->req;
}

static int h_owned(const struct home_in *in)
{
	const struct txn *t = core_txn(in->k, in->h->head);

	if (!is_candidate(in))
		return core_violation(in->k, in->from);
	struct wire_page m = answer(in, WIRE_PAGE_PUT_ACK, t->req);
	if (!PLANTED(BUG_FORWARD_EVICTED)) {
		in->h->owner = (uint8_t)in->from;
		core_copyset_set(in->k, in->own, t->slice, false);
	}
	core_send(in->k, t->slice, &m);
	pop(in);
	in->h->state = HOME_IDLE;
	return serve(in);
}

static int h_refused(const struct home_in *in)
{
	if (!is_candidate(in))
		return core_violation(in->k, in->from);
	core_copyset_set(in->k, in->own, in->from, false);
	in->h->state = HOME_IDLE;
	return serve(in);
}

static const home_fn table[HOME_STATE_N][HOME_EV_N] = {
#define HOME_ROW(state, event, handler, text) [HOME_##state][HOME_EV_##event] = h_##handler,
#include "dsm/home.def"
};

/* ---- messages ---- */

static enum core_home_event event_of(const struct wire_page *m)
{
	switch (m->type) {
	case WIRE_PAGE_GETS:
		return HOME_EV_GETS;
	case WIRE_PAGE_GETM:
		return HOME_EV_GETM;
	case WIRE_PAGE_PUT:
		return HOME_EV_PUT;
	case WIRE_PAGE_DROP:
		return HOME_EV_DROP;
	case WIRE_PAGE_DONE:
		return HOME_EV_DONE;
	default:
		return (m->flags & WIRE_PAGE_YES) != 0 ? HOME_EV_OWN_YES : HOME_EV_OWN_NO;
	}
}

/* Not ours: say whose it is, if the sender can not know better than we (R-DSM-3). */
static int redirect(struct core *k, uint32_t p, unsigned from, const struct wire_page *m)
{
	uint32_t gen;
	unsigned home = core_map_home(k, p, &gen);

	if (wire_page_class(m->type) != MSG_REQUEST || m->gen >= gen || home == k->cfg.self.v ||
		from == k->cfg.self.v)
		return core_violation(k, from);
	if (m->type == WIRE_PAGE_HURRY)
		return 0; /* the request itself is on its way to the right home with the new age */
	struct wire_page r = *m;
	r.type = WIRE_PAGE_REDIRECT;
	r.kind = m->type;
	r.third.v = (uint16_t)home;
	r.gen = gen;
	k->stats.redirects++;
	core_send(k, from, &r);
	return 0;
}

/* A request of `from` has become older: somebody older waits for it too. */
static int hurry(const struct home_in *in)
{
	uint64_t before = oldest(in);

	for (unsigned i = in->h->head; i != 0; i = core_txn(in->k, i)->next) {
		struct txn *t = core_txn(in->k, i);
		if (t->slice == in->from && t->req == in->m->req)
			t->stamp = MIN(t->stamp, in->m->stamp);
	}
	if (oldest(in) < before)
		nudge(in, oldest(in));
	return 0;
}

/* Neighbours asked for in one message: as many requests, with numbers that follow each other. */
static int each(struct core *k, unsigned from, const struct wire_page *m)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i < m->run; i++) {
		struct wire_page one = *m;
		one.run = 1;
		one.page.v += i;
		one.req += i;
		err = core_home_message(k, from, &one);
	}
	return err;
}

int core_home_message(struct core *k, unsigned from, const struct wire_page *m)
{
	if (m->run != 1)
		return each(k, from, m);
	uint32_t p = (uint32_t)(m->page.v - k->first);
	uint32_t own = core_own(k, p);

	if (own == CORE_NONE)
		return redirect(k, p, from, m);
	struct home_in in = {.k = k, .p = p, .own = own, .h = &k->own_h[own], .from = from, .m = m};
	if (m->type == WIRE_PAGE_HURRY)
		return hurry(&in);
	enum core_home_event ev = event_of(m);
	home_fn fn = table[in.h->state][ev];
	if (fn == NULL)
		return core_violation(k, from);
	k->home_taken[in.h->state][ev]++;
	return fn(&in);
}
