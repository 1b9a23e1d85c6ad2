/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#include "base/err.h"

/* Links. Messages of one pair and class keep their order; nothing else does. */

static struct sim_link *link_of(struct sim *sim, uint32_t from, uint32_t to)
{
	return &sim->links[from * sim->cfg.slices + to];
}

static struct credit *credit_of(struct sim *sim, uint32_t at, uint32_t peer)
{
	return &sim->credits[at * sim->cfg.slices + peer];
}

/* What the protocol's own limits allow to wait for one peer (docs/protocol.md, R-DSM-12). */
static void queue_limits(const struct sim *sim, uint32_t max[MSG_CLASS_N])
{
	max[MSG_REQUEST] = CORE_REQS_MAX + CORE_VCPUS_MAX + CORE_PINS_MAX;
	max[MSG_FORWARD] = 2 * CORE_REQS_MAX * sim->cfg.slices;
	max[MSG_RESPONSE] = 2 * CORE_REQS_MAX * sim->cfg.slices;
}

int sim_net_init(struct sim *sim)
{
	uint32_t n = sim->cfg.slices;
	struct credit_cfg cfg;

	memcpy(cfg.window, sim->cfg.window, sizeof(cfg.window));
	queue_limits(sim, cfg.queue_max);
	sim->links = calloc((size_t)n * n, sizeof(*sim->links));
	sim->credits = calloc((size_t)n * n, sizeof(*sim->credits));
	if (sim->links == NULL || sim->credits == NULL)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < n * n; i++) {
		struct sim_link *l = &sim->links[i];
		l->from = i / n;
		l->to = i % n;
		l->delay_ns = sim->cfg.delay_ns / 2 + sim_random(sim, sim->cfg.delay_ns);
		for (unsigned c = 0; c < MSG_CLASS_N; c++) {
			list_init(&l->queued[c]);
			list_init(&l->flying[c]);
		}
		credit_init(&sim->credits[i], &cfg);
		CHECK(credit_open(&sim->credits[i], cfg.window) == 0);
	}
	return 0;
}

static void list_free(struct list *l)
{
	list_foreach_safe(it, l)
	{
		list_remove(it);
		free(list_entry(it, struct sim_msg, link));
	}
}

void sim_net_fini(struct sim *sim)
{
	uint32_t n = sim->links == NULL ? 0 : sim->cfg.slices;

	for (uint32_t i = 0; i < n * n; i++) {
		for (unsigned c = 0; c < MSG_CLASS_N; c++) {
			list_free(&sim->links[i].queued[c]);
			list_free(&sim->links[i].flying[c]);
		}
	}
	free(sim->links);
	free(sim->credits);
}

static void launch(struct sim *sim, struct sim_link *l, enum msg_class class, struct sim_msg *m)
{
	uint64_t delay = l->delay_ns + sim_random(sim, sim->cfg.jitter_ns);
	uint64_t at = MAX(sim->now_ns + delay, l->last_ns[class] + 1);
	struct sim_event ev = {
		.at_ns = at, .type = SIM_DELIVER, .a = (uint32_t)(l - sim->links), .b = class};

	l->last_ns[class] = at;
	list_push_back(&l->flying[class], &m->link);
	sim_push(sim, &ev);
}

void sim_send(struct sim *sim, struct sim_slice *s, const struct core_action *a)
{
	uint32_t from = (uint32_t)(s - sim->slices);
	struct sim_link *l = link_of(sim, from, sim->index_of[a->peer.v]);
	enum msg_class class = wire_page_class(a->msg->type);
	struct sim_msg *m = calloc(1, sizeof(*m));
	bool now;

	CHECK(m != NULL);
	m->type = a->msg->type;
	m->head_bytes = wire_page_encode(a->msg, m->head);
	m->has_data = wire_page_has_data(a->msg);
	m->data = s->mem[a->page.v - SIM_FIRST_PAGE];
	sim->sent++;
	if (m->has_data && m->data == SIM_POISON)
		sim_fail(sim, "slice %u sends page %llu, which it does not have", s->id,
			(unsigned long long)a->page.v);
	if (credit_send(credit_of(sim, l->from, l->to), class, &now) != 0) {
		sim_fail(sim, "queue of class %u to slice %u is full", class, a->peer.v);
		free(m);
		return;
	}
	if (now)
		launch(sim, l, class, m);
	else
		list_push_back(&l->queued[class], &m->link);
}

static void credits_back(struct sim *sim, struct sim_link *l)
{
	struct credit *c = credit_of(sim, l->to, l->from);
	struct sim_event ev = {.type = SIM_CREDIT, .a = (uint32_t)(l - sim->links)};

	if (!credit_due(c) && !sim_chance(sim, 50))
		return;
	ev.at_ns = sim->now_ns + l->delay_ns + sim_random(sim, sim->cfg.jitter_ns);
	if (credit_collect(c, ev.credits))
		sim_push(sim, &ev);
}

void sim_deliver(struct sim *sim, uint32_t link, enum msg_class class)
{
	struct sim_link *l = &sim->links[link];
	struct sim_slice *to = &sim->slices[l->to];
	struct credit *c = credit_of(sim, l->to, l->from);
	struct sim_msg *m = list_first(&l->flying[class], struct sim_msg, link);
	struct wire_page msg;

	list_remove(&m->link);
	if (credit_arrived(c, class) != 0) {
		sim_fail(sim, "a message of class %u came without credit", class);
	} else if (wire_page_decode(m->type, m->head, m->head_bytes, m->has_data ? PAGE_BYTES : 0,
			   &msg) != 0) {
		sim_fail(sim, "message %s can not be decoded", wire_page_name(m->type));
	} else if (!to->dead) {
		struct core_event ev = {
			.type = CORE_EV_MESSAGE,
			.peer = {(uint16_t)sim->slices[l->from].id},
			.msg = &msg,
			.page = msg.page,
		};
		if (sim->verbose)
			fprintf(stderr, "%10llu %u -> %u %s page %llu req %u v %u\n",
				(unsigned long long)sim->now_ns, l->from, l->to,
				wire_page_name(m->type),
				(unsigned long long)(msg.page.v - SIM_FIRST_PAGE), msg.req,
				msg.version);
		sim->rx = m;
		int err = sim_step(sim, to, &ev);
		sim->rx = NULL;
		if (err != 0 && err != ERR_VM_STOPPED)
			sim_fail(sim, "slice %u: %s from slice %u: %s, blames %u", l->to,
				wire_page_name(m->type), l->from, err_text(err),
				sim->index_of[core_blame(to->core).v]);
		credit_consumed(c, class);
		credits_back(sim, l);
	}
	free(m);
}

void sim_credit(struct sim *sim, const struct sim_event *ev)
{
	struct sim_link *l = &sim->links[ev->a];
	struct credit *c = credit_of(sim, l->from, l->to);
	enum msg_class class;

	if (credit_returned(c, ev->credits) != 0)
		sim_fail(sim, "more credits came back than were spent");
	while (!sim->failed && credit_next(c, &class)) {
		struct sim_msg *m = list_first(&l->queued[class], struct sim_msg, link);
		list_remove(&m->link);
		launch(sim, l, class, m);
	}
}

bool sim_net_idle(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->cfg.slices * sim->cfg.slices; i++) {
		for (unsigned c = 0; c < MSG_CLASS_N; c++) {
			if (!list_empty(&sim->links[i].queued[c]) ||
				!list_empty(&sim->links[i].flying[c]))
				return false;
		}
	}
	return true;
}
