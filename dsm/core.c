/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "dsm/core_int.h"

#include "base/err.h"

int core_create(const struct core_cfg *cfg, struct core **out)
{
	if (cfg->vcpus > CORE_VCPUS_MAX || cfg->cache_pages < 2 || cfg->hold_ns == 0 ||
		cfg->poll_ns == 0)
		return ERR_INVAL;
	struct core *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(k, CORE_MAGIC);
	k->cfg = *cfg;
	k->cfg.slices = NULL; /* the caller's; the map keeps what is needed */
	k->cfg.ranges = NULL;
	k->next_ns = UINT64_MAX;
	list_init(&k->deferred);
	int err = core_map_init(k, cfg);
	if (err == 0)
		err = core_pages_init(k);
	if (err == 0)
		err = hot_create(&k->hot);
	k->slots = calloc((size_t)cfg->vcpus + 1, sizeof(*k->slots));
	if (err == 0 && k->slots == NULL)
		err = ERR_NO_MEMORY;
	if (err != 0) {
		core_destroy(k);
		return err;
	}
	*out = k;
	return 0;
}

void core_destroy(struct core *k)
{
	if (k == NULL)
		return;
	OBJ_FINI(k, CORE_MAGIC);
	hot_destroy(k->hot);
	core_pages_fini(k);
	core_map_fini(k);
	free(k->slots);
	free(k);
}

gpage_t core_gpage(const struct core *k, uint32_t p)
{
	return (gpage_t){k->first + p};
}

/* ---- what goes out ---- */

void core_send(struct core *k, unsigned to, const struct wire_page *msg)
{
	if (to == k->cfg.self.v) {
		/* One path: our own home and cache talk by messages too. They are drained after
		 * each handler, which leaves a few at most. */
		CHECK(k->ring_n < CORE_RING_MAX);
		k->ring[(k->ring_head + k->ring_n++) % CORE_RING_MAX] = *msg;
		return;
	}
	k->stats.sent += wire_page_has_data(msg);
	struct core_action a = {
		.type = CORE_ACT_SEND,
		.page = msg->page,
		.peer = {(uint16_t)to},
		.msg = msg,
	};
	k->sink(k->sink_arg, &a);
}

void core_act(struct core *k, enum core_action_type type, uint32_t p)
{
	struct core_action a = {.type = type, .page = core_gpage(k, p)};
	k->sink(k->sink_arg, &a);
}

int core_violation(struct core *k, unsigned peer)
{
	k->blame = (uint16_t)peer;
	return ERR_PROTOCOL;
}

void core_wake_at(struct core *k, uint64_t ns)
{
	k->next_ns = MIN(k->next_ns, ns);
}

uint64_t core_new_stamp(struct core *k)
{
	/* A Lamport clock; the slice in the low bits makes it unique. */
	k->clock = ((k->clock >> 8) + 1) << 8 | k->cfg.self.v;
	return k->clock;
}

/* ---- what comes in ---- */

/* Nobody sends these: numbers that are not for us, ages beyond what counting can reach. */
static bool message_sane(const struct core *k, unsigned from, const struct wire_page *m)
{
	gpage_t last = {m->page.v + m->run - 1};

	return from < SLICE_MAX && k->known[from] && wire_page_run_good(m) &&
	       core_has_page(k, m->page) && core_has_page(k, last) && m->third.v < SLICE_MAX &&
	       m->stamp <= CORE_STAMP_MAX;
}

static int dispatch(struct core *k, unsigned from, const struct wire_page *m)
{
	if (m->stamp > k->clock)
		k->clock = m->stamp;
	switch (m->type) {
	case WIRE_PAGE_GETS:
	case WIRE_PAGE_GETM:
	case WIRE_PAGE_PUT:
	case WIRE_PAGE_DROP:
	case WIRE_PAGE_HURRY:
	case WIRE_PAGE_DONE:
	case WIRE_PAGE_OWN_ACK:
		return core_home_message(k, from, m);
	default:
		return core_cache_message(k, from, m);
	}
}

static int ring_drain(struct core *k)
{
	int err = 0;

	while (err == 0 && k->ring_n != 0) {
		struct wire_page m = k->ring[k->ring_head];
		k->ring_head = (k->ring_head + 1) % CORE_RING_MAX;
		k->ring_n--;
		err = dispatch(k, k->cfg.self.v, &m);
	}
	return err;
}

/* Do what the event has made possible, until nothing moves. */
static int settle(struct core *k)
{
	int err;

	k->next_ns = UINT64_MAX;
	do {
		k->again = false;
		err = ring_drain(k);
		if (err == 0)
			err = core_revoke_retry(k);
		if (err == 0)
			err = core_wants_retry(k);
	} while (err == 0 && (k->ring_n != 0 || k->again));
	if (k->dones.msg.run != 0)
		core_wake_at(k, k->now_ns); /* as soon as no more DATA is here */
	return err;
}

static void stop(struct core *k)
{
	k->stopped = true;
	k->ring_n = 0;
	k->next_ns = UINT64_MAX;
	core_wants_fail(k);
}

static int message(struct core *k, const struct core_event *ev)
{
	if (!message_sane(k, ev->peer.v, ev->msg) || ev->peer.v == k->cfg.self.v ||
		wire_page_class(ev->msg->type) == MSG_CLASS_N)
		return core_violation(k, ev->peer.v);
	/* Who is to blame when the message makes our own tables disagree. */
	k->blame = ev->peer.v;
	k->stats.fetched += wire_page_has_data(ev->msg);
	return dispatch(k, ev->peer.v, ev->msg);
}

static int event(struct core *k, const struct core_event *ev)
{
	switch (ev->type) {
	case CORE_EV_FAULT:
		return core_fault(k, ev);
	case CORE_EV_PIN:
		return core_pin(k, ev);
	case CORE_EV_UNPIN:
		return core_unpin(k, ev);
	case CORE_EV_MESSAGE:
		return message(k, ev);
	case CORE_EV_REVOKED:
		CHECK(core_has_page(k, ev->page));
		return core_revoked(k, (uint32_t)(ev->page.v - k->first));
	case CORE_EV_TICK:
		return 0;
	case CORE_EV_PEER_DOWN:
	case CORE_EV_STOP:
		stop(k);
		return 0;
	default:
		UNREACHABLE();
	}
}

int core_step(struct core *k, uint64_t now_ns, const uint64_t *retired, const struct core_event *ev,
	core_sink_fn sink, void *arg)
{
	OBJ_CHECK(k, CORE_MAGIC);
	CHECK(now_ns >= k->now_ns && sink != NULL);
	if (k->stopped)
		return ERR_VM_STOPPED;
	k->now_ns = now_ns;
	k->retired = retired;
	k->sink = sink;
	k->sink_arg = arg;
	if (ev->type != CORE_EV_MESSAGE || ev->msg->type != WIRE_PAGE_DATA)
		core_run_send(k, &k->dones);
	int err = event(k, ev);
	if (err == 0 && !k->stopped)
		err = settle(k);
	if (err == ERR_PROTOCOL)
		stop(k);
	k->retired = NULL;
	return err;
}

uint64_t core_next_ns(const struct core *k)
{
	OBJ_CHECK(k, CORE_MAGIC);
	return k->next_ns;
}

slice_id_t core_blame(const struct core *k)
{
	OBJ_CHECK(k, CORE_MAGIC);
	return (slice_id_t){k->blame};
}

bool core_idle(const struct core *k)
{
	OBJ_CHECK(k, CORE_MAGIC);
	return k->pends_live == 0 && k->txns_live == 0 && k->drops_out == 0 &&
	       k->dones.msg.run == 0;
}
