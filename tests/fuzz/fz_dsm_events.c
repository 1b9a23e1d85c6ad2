/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "dsm/core.h"

#include "base/check.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * A coherence core whose peers say whatever they like: every eight bytes are one event. Our own
 * side (faults, pins, revocations) keeps the rules of core.h, the peers keep none. Whatever comes,
 * no CHECK fails, an error ends all waits, and nothing is done after it.
 */
#define SLICES 4u
#define SELF   1u
#define SHARE  6u
#define PAGES  (SLICES * SHARE)
#define FIRST  0x100u
#define VCPUS  2u
#define PINS   2u
#define STEP   8u

struct world {
	struct core *core;
	uint64_t now_ns, retired[VCPUS];
	bool waits[VCPUS];
	enum { PIN_FREE, PIN_ASKED, PIN_HAD } pins[PINS];
	struct core_pin_page pages[PINS][3];
	bool revoking[PAGES];
	uint32_t last_req[SLICES]; /* that we have sent to each */
	bool stopped;
};

static void sink(void *arg, const struct core_action *a)
{
	struct world *w = arg;
	uint64_t p = a->page.v - FIRST;

	switch (a->type) {
	case CORE_ACT_SEND:
		CHECK(a->peer.v < SLICES && a->peer.v != SELF);
		w->last_req[a->peer.v] = a->msg->req;
		break;
	case CORE_ACT_PROTECT:
	case CORE_ACT_UNMAP:
		CHECK(!w->revoking[p]);
		w->revoking[p] = true;
		break;
	case CORE_ACT_WAKE:
		CHECK(w->waits[a->slot]);
		w->waits[a->slot] = false;
		break;
	case CORE_ACT_PINNED:
		CHECK(w->pins[a->pin] == PIN_ASKED);
		w->pins[a->pin] = a->err == 0 ? PIN_HAD : PIN_FREE;
		break;
	default:
		CHECK(p < PAGES);
		break;
	}
}

static int step(struct world *w, const struct core_event *ev)
{
	int err = core_step(w->core, w->now_ns, w->retired, ev, sink, w);

	if (err != ERR_PROTOCOL && err != ERR_VM_STOPPED)
		return err;
	w->stopped = true;
	for (unsigned i = 0; i < VCPUS; i++)
		CHECK(!w->waits[i]);
	for (unsigned i = 0; i < PINS; i++)
		CHECK(w->pins[i] != PIN_ASKED);
	CHECK(core_next_ns(w->core) == UINT64_MAX);
	return err;
}

static void message(struct world *w, const uint8_t *b)
{
	static const uint16_t types[] = {
#define WIRE_PAGE(name, number, class, fields, bytes, text) number,
#include "proto/wire_page.def"
#undef WIRE_PAGE
	};
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	struct core_event ev = {.type = CORE_EV_MESSAGE, .peer = {(uint16_t)(b[1] % (SLICES + 1))}};
	struct wire_page in = {
		.type = types[b[2] % ARRAY_SIZE(types)],
		.page = {FIRST + b[3] % (PAGES + 1)},
		.run = b[4] < 128 ? 1 : b[4] % (WIRE_PAGE_RUN_MAX + 2),
		.req = w->last_req[ev.peer.v % SLICES] - b[4] % 3,
		.version = b[5] % 4,
		.stamp = b[5] / 4,
		.third = {b[6] % (SLICES + 1)},
		.acks = b[6] / 64,
		.gen = b[6] / 128,
		.kind = types[b[7] / 32 % 4],
		.flags = b[7] & 0x7f,
	};
	struct wire_page msg;
	size_t n = wire_page_encode(&in, head);

	/* Through the decoder, as on the wire: what it refuses never comes here. */
	if (wire_page_decode(in.type, head, n, wire_page_has_data(&in) ? PAGE_BYTES : 0, &msg) != 0)
		return;
	ev.msg = &msg;
	int err = step(w, &ev);
	CHECK(err == 0 || err == ERR_PROTOCOL);
}

static void pin(struct world *w, const uint8_t *b)
{
	unsigned i = b[1] % PINS, page = b[2] % PAGES;
	struct core_event ev = {.type = CORE_EV_PIN, .pin = i, .pages = w->pages[i]};

	if (w->pins[i] == PIN_ASKED)
		return;
	if (w->pins[i] == PIN_HAD) {
		ev.type = CORE_EV_UNPIN;
		w->pins[i] = PIN_FREE;
	}
	for (; ev.type == CORE_EV_PIN && ev.n_pages < 3 && page < PAGES; page += 1 + b[3] % 4)
		w->pages[i][ev.n_pages++] = (struct core_pin_page){
			.page = {FIRST + page}, .write = (b[4] >> ev.n_pages & 1) != 0};
	if (ev.type == CORE_EV_PIN)
		w->pins[i] = PIN_ASKED;
	if (step(w, &ev) == ERR_RANGE)
		w->pins[i] = PIN_FREE;
}

static void event(struct world *w, const uint8_t *b)
{
	struct core_event ev = {.type = CORE_EV_TICK};
	unsigned slot = b[1] % VCPUS, page = b[2] % PAGES;

	w->now_ns += b[0] / 8;
	switch (b[0] % 8) {
	case 0:
		ev = (struct core_event){.type = CORE_EV_FAULT,
			.slot = slot,
			.page = {FIRST + page},
			.write = (b[3] & 1) != 0};
		if (w->waits[slot])
			break;
		w->waits[slot] = true;
		CHECK(step(w, &ev) != ERR_RANGE);
		break;
	case 1:
		w->retired[slot] += !w->waits[slot];
		w->now_ns += b[2] * 20u;
		(void)step(w, &ev);
		break;
	case 2:
		pin(w, b);
		break;
	case 3:
		ev = (struct core_event){.type = CORE_EV_REVOKED, .page = {FIRST + page}};
		if (!w->revoking[page])
			break;
		w->revoking[page] = false;
		(void)step(w, &ev);
		break;
	default:
		message(w, b);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	slice_id_t ids[SLICES];
	struct core_range ranges[SLICES];

	memset(&w, 0, sizeof(w));
	for (unsigned i = 0; i < SLICES; i++) {
		ids[i].v = (uint16_t)i;
		ranges[i] = (struct core_range){
			.start = {FIRST + i * SHARE}, .pages = SHARE, .home = ids[i]};
	}
	struct core_cfg cfg = {
		.self = ids[SELF],
		.slices = ids,
		.n_slices = SLICES,
		.ranges = ranges,
		.n_ranges = SLICES,
		.cache_pages = 4,
		.vcpus = VCPUS,
		.hold_ns = 1000,
		.poll_ns = 100,
	};
	CHECK(core_create(&cfg, &w.core) == 0);
	for (size_t i = 0; i + STEP <= size && !w.stopped; i += STEP)
		event(&w, data + i);
	core_destroy(w.core);
	return 0;
}
