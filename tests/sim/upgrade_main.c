/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upgrade: how long a write upgrade takes with k sharers to invalidate, by the real coherence cores
 * and a model of a rack: links of a fixed delay, and one thread for each slice that takes a fixed
 * time for each message that it receives or sends.
 *
 *	upgrade [--link-ns N] [--message-ns N] [--revoke-ns N] [--sharers K]
 *
 * Prints "K NS SENT INVALIDATIONS" for 1 to K sharers (7): the time from the fault to the wake-up
 * of the vCPU, and how many of all invalidations had been sent when the first acknowledgement was
 * read. Beside them the writer and the home have a copy, which need no invalidation message.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/opts.h"
#include "dsm/core.h"

#define SHARERS_MAX 15u
#define SLICES_MAX  (SHARERS_MAX + 2) /* the home and the writer too */
#define EVENTS_MAX  256u
#define HOME        0u
#define WRITER      1u
#define PAGE        ((gpage_t){0x80000})

enum event_type { EVENT_MESSAGE, EVENT_REVOKED, EVENT_TICK };

struct event {
	uint64_t at_ns, seq;
	enum event_type type;
	unsigned to, from;
	uint16_t msg_type;
	size_t head_bytes;
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	bool has_data;
};

struct slice {
	struct core *core;
	uint64_t free_ns; /* its thread is busy until then */
	uint64_t retired; /* by its only vCPU */
	bool waits;       /* the vCPU, in a fault */
};

struct rack {
	uint32_t link_ns, message_ns, revoke_ns;
	unsigned n;
	struct slice slices[SLICES_MAX];
	struct event events[EVENTS_MAX];
	unsigned n_events;
	uint64_t now_ns, seq;
	uint64_t sent_ns[SHARERS_MAX]; /* when each invalidation left */
	unsigned sent;
	uint64_t acked_ns; /* the first acknowledgement was read; 0: none yet */
};

struct step {
	struct rack *r;
	unsigned self;
};

static void push(struct rack *r, struct event *ev)
{
	CHECK(r->n_events < EVENTS_MAX);
	ev->seq = r->seq++;
	r->events[r->n_events++] = *ev;
}

/* The earliest; those whose slice is busy wait, in their order. */
static struct event pop(struct rack *r)
{
	unsigned first = 0;
	for (unsigned i = 0; i < r->n_events; i++) {
		struct event *e = &r->events[i], *f = &r->events[first];
		e->at_ns = MAX(e->at_ns, r->slices[e->to].free_ns);
		f->at_ns = MAX(f->at_ns, r->slices[f->to].free_ns);
		if (e->at_ns < f->at_ns || (e->at_ns == f->at_ns && e->seq < f->seq))
			first = i;
	}
	struct event ev = r->events[first];
	r->events[first] = r->events[--r->n_events];
	return ev;
}

static void send(struct rack *r, unsigned self, const struct core_action *a)
{
	struct event ev = {.type = EVENT_MESSAGE,
		.to = a->peer.v,
		.from = self,
		.msg_type = a->msg->type,
		.has_data = wire_page_has_data(a->msg)};
	struct slice *s = &r->slices[self];
	ev.head_bytes = wire_page_encode(a->msg, ev.head);
	s->free_ns += r->message_ns;
	ev.at_ns = s->free_ns + r->link_ns;
	if (a->msg->type == WIRE_PAGE_INV)
		r->sent_ns[r->sent++] = s->free_ns;
	push(r, &ev);
}

static void revoke(struct rack *r, unsigned self)
{
	struct event ev = {.type = EVENT_REVOKED, .to = self};
	ev.at_ns = r->slices[self].free_ns + r->revoke_ns;
	push(r, &ev);
}

static void sink(void *arg, const struct core_action *a)
{
	struct step *st = arg;
	struct slice *s = &st->r->slices[st->self];
	switch (a->type) {
	case CORE_ACT_SEND:
		send(st->r, st->self, a);
		break;
	case CORE_ACT_PROTECT:
	case CORE_ACT_UNMAP:
		revoke(st->r, st->self);
		break;
	case CORE_ACT_WAKE:
		CHECK(a->err == 0);
		s->waits = false;
		s->retired++;
		break;
	default: /* bytes and mappings are the simulator's matter: tests/sim/sim.c */
		break;
	}
}

static void step(struct rack *r, unsigned self, const struct core_event *ev)
{
	struct step st = {r, self};
	struct slice *s = &r->slices[self];
	struct event tick = {.type = EVENT_TICK, .to = self};
	s->free_ns = MAX(s->free_ns, r->now_ns);
	CHECK(core_step(s->core, r->now_ns, &s->retired, ev, sink, &st) == 0);
	tick.at_ns = core_next_ns(s->core);
	if (tick.at_ns != UINT64_MAX)
		push(r, &tick);
}

static void deliver(struct rack *r, const struct event *e)
{
	struct wire_page msg;
	struct core_event ev = {
		.type = CORE_EV_MESSAGE, .peer = {(uint16_t)e->from}, .page = PAGE, .msg = &msg};
	CHECK(wire_page_decode(e->msg_type, e->head, e->head_bytes, e->has_data ? PAGE_BYTES : 0,
		      &msg) == 0);
	if (msg.type == WIRE_PAGE_INV_ACK && r->acked_ns == 0)
		r->acked_ns = r->now_ns;
	r->slices[e->to].free_ns = r->now_ns + r->message_ns;
	step(r, e->to, &ev);
}

static void handle(struct rack *r, const struct event *e)
{
	struct core_event ev = {.type = CORE_EV_REVOKED, .page = PAGE};
	r->now_ns = e->at_ns;
	if (e->type == EVENT_MESSAGE) {
		deliver(r, e);
		return;
	}
	if (e->type == EVENT_TICK) {
		if (core_next_ns(r->slices[e->to].core) > r->now_ns)
			return; /* not due any more */
		ev.type = CORE_EV_TICK;
	}
	step(r, e->to, &ev);
}

/* The only vCPU of a slice touches the page; until nothing is on its way. How long it waited. */
static uint64_t touch(struct rack *r, unsigned self, bool write)
{
	const struct core_event fault = {.type = CORE_EV_FAULT, .page = PAGE, .write = write};
	const uint64_t began_ns = r->now_ns;
	uint64_t woken_ns = began_ns;
	r->sent = 0;
	r->acked_ns = 0;
	r->slices[self].waits = true;
	step(r, self, &fault);
	while (r->n_events != 0) {
		struct event e = pop(r);
		bool waited = r->slices[self].waits;
		handle(r, &e);
		if (waited && !r->slices[self].waits)
			woken_ns = r->now_ns;
	}
	CHECK(!r->slices[self].waits);
	return woken_ns - began_ns;
}

static void rack_init(struct rack *r, unsigned n)
{
	slice_id_t ids[SLICES_MAX];
	const struct core_range range = {.start = PAGE, .pages = 1, .home = {HOME}};
	r->n = n;
	for (unsigned i = 0; i < n; i++)
		ids[i] = (slice_id_t){(uint16_t)i};
	for (unsigned i = 0; i < n; i++) {
		const struct core_cfg cfg = {
			.self = ids[i],
			.slices = ids,
			.n_slices = n,
			.ranges = &range,
			.n_ranges = 1,
			.cache_pages = UINT64_MAX,
			.vcpus = 1,
			.no_migrate = true, /* each read leaves a copy */
			.hold_ns = 1000000,
			.poll_ns = 100000,
		};
		CHECK(core_create(&cfg, &r->slices[i].core) == 0);
	}
}

static void upgrade(const struct rack *like, unsigned sharers)
{
	struct rack r = *like;
	rack_init(&r, sharers + 2);
	(void)touch(&r, HOME, true);
	for (unsigned i = WRITER; i < r.n; i++)
		(void)touch(&r, i, false);
	uint64_t ns = touch(&r, WRITER, true);
	unsigned before = 0;
	for (unsigned i = 0; i < r.sent; i++)
		before += r.sent_ns[i] <= r.acked_ns;
	printf("%u %" PRIu64 " %u %u\n", sharers, ns, before, r.sent);
	for (unsigned i = 0; i < r.n; i++)
		core_destroy(r.slices[i].core);
}

int main(int argc, char **argv)
{
	static struct rack r = {.link_ns = 10000, .message_ns = 1500, .revoke_ns = 3000};
	uint32_t sharers = 7;
	const struct opt opts[] = {
		{"link-ns", OPT_U32, &r.link_ns, "N", "delay of a link (10000)"},
		{"message-ns", OPT_U32, &r.message_ns, "N", "to receive or send one (1500)"},
		{"revoke-ns", OPT_U32, &r.revoke_ns, "N", "to take a mapping away (3000)"},
		{"sharers", OPT_U32, &sharers, "K", "at most (7)"},
		{.name = NULL},
	};
	char why[256];
	if (opts_parse(opts, argc, argv, NULL, 0, NULL, why) < 0 || sharers < 1 ||
		sharers > SHARERS_MAX) {
		fprintf(stderr, "upgrade: from 1 to %u --sharers, and:\n", SHARERS_MAX);
		opts_help(opts, stderr);
		return 2;
	}
	for (unsigned k = 1; k <= sharers; k++)
		upgrade(&r, k);
	return 0;
}
