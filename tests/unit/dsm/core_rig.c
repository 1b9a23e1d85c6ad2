/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "tests/unit/dsm/core_rig.h"

#include "base/err.h"

void rig_start(struct rig *r, unsigned self, unsigned slices, uint64_t cache_pages, unsigned vcpus)
{
	static slice_id_t ids[SLICE_MAX];
	static struct core_range ranges[SLICE_MAX];

	for (unsigned i = 0; i < slices; i++) {
		ids[i].v = (uint16_t)i;
		ranges[i] = (struct core_range){
			.start = rig_page(i * RIG_SHARE), .pages = RIG_SHARE, .home = ids[i]};
	}
	struct core_cfg cfg = {
		.self = {(uint16_t)self},
		.slices = ids,
		.n_slices = slices,
		.ranges = ranges,
		.n_ranges = slices,
		.cache_pages = cache_pages,
		.vcpus = vcpus,
		.hold_ns = RIG_HOLD,
		.poll_ns = 1000,
		.no_migrate = r->no_migrate,
		.no_ahead = !r->ahead,
	};
	memset(r, 0, sizeof(*r));
	CHECK(core_create(&cfg, &r->core) == 0);
}

void rig_end(struct rig *r)
{
	core_destroy(r->core);
	r->core = NULL;
}

static void sink(void *arg, const struct core_action *a)
{
	struct rig *r = arg;
	struct rig_act *act = &r->acts[r->n++];

	CHECK(r->n < RIG_ACTS);
	act->a = *a;
	act->page = (uint32_t)(a->page.v - RIG_FIRST);
	if (a->type == CORE_ACT_SEND)
		act->msg = *a->msg;
}

int rig_step(struct rig *r, const struct core_event *ev)
{
	r->n = 0;
	r->now_ns += 10;
	return core_step(r->core, r->now_ns, r->retired, ev, sink, r);
}

int rig_fault(struct rig *r, unsigned slot, uint32_t page, bool write)
{
	struct core_event ev = {
		.type = CORE_EV_FAULT, .slot = slot, .page = rig_page(page), .write = write};
	return rig_step(r, &ev);
}

int rig_msg(struct rig *r, unsigned from, uint32_t page, struct wire_page msg)
{
	struct core_event ev = {.type = CORE_EV_MESSAGE, .peer = {(uint16_t)from}, .msg = &msg};
	msg.page = rig_page(page);
	msg.run = MAX(msg.run, 1);
	return rig_step(r, &ev);
}

int rig_revoked(struct rig *r, uint32_t page)
{
	struct core_event ev = {.type = CORE_EV_REVOKED, .page = rig_page(page)};
	return rig_step(r, &ev);
}

int rig_tick(struct rig *r, uint64_t after_ns)
{
	struct core_event ev = {.type = CORE_EV_TICK};
	r->now_ns += after_ns;
	return rig_step(r, &ev);
}

const struct rig_act *rig_act(const struct rig *r, enum core_action_type type)
{
	for (unsigned i = 0; i < r->n; i++) {
		if (r->acts[i].a.type == type)
			return &r->acts[i];
	}
	return NULL;
}

const struct rig_act *rig_sent(const struct rig *r, uint16_t type, unsigned to)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct rig_act *act = &r->acts[i];
		if (act->a.type == CORE_ACT_SEND && act->msg.type == type && act->a.peer.v == to)
			return act;
	}
	return NULL;
}

unsigned rig_count(const struct rig *r, enum core_action_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++)
		n += r->acts[i].a.type == type;
	return n;
}

enum core_cache_state rig_state(const struct rig *r, uint32_t page)
{
	struct core_page_info info;
	core_page_info(r->core, rig_page(page), &info);
	return info.state;
}

void rig_get(struct rig *r, unsigned slot, uint32_t page, bool write, uint32_t version)
{
	unsigned home = page / RIG_SHARE;
	uint16_t type = write ? WIRE_PAGE_GETM : WIRE_PAGE_GETS;

	CHECK(rig_fault(r, slot, page, write) == 0);
	const struct rig_act *get = rig_sent(r, type, home);
	CHECK(get != NULL);
	struct wire_page data = {
		.type = WIRE_PAGE_DATA,
		.req = get->msg.req,
		.version = version,
		.flags = write ? WIRE_PAGE_EXCL : 0,
	};
	if ((get->msg.flags & WIRE_PAGE_UPGRADE) != 0)
		data.flags |= WIRE_PAGE_UNCHANGED;
	CHECK(rig_msg(r, home, page, data) == 0);
	CHECK(rig_act(r, CORE_ACT_WAKE) != NULL);
}
