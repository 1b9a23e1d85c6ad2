/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/ut.h"
#include "tests/unit/dsm/core_rig.h"

UT_SUITE(core);

static struct rig r;

UT_TEST(bad_configurations_are_refused)
{
	slice_id_t ids[2] = {{1}, {2}};
	struct core_range ranges[2] = {
		{.start = {16}, .pages = 4, .home = {1}}, {.start = {20}, .pages = 4, .home = {2}}};
	const struct core_cfg good = {
		.self = {1},
		.slices = ids,
		.n_slices = 2,
		.ranges = ranges,
		.n_ranges = 2,
		.cache_pages = 2,
		.vcpus = 1,
		.hold_ns = 1,
		.poll_ns = 1,
	};
	struct core *core;
	struct core_cfg cfg = good;
	UT_EQ(core_create(&cfg, &core), 0);
	core_destroy(core);
	cfg.self.v = 3;
	UT_EQ(core_create(&cfg, &core), ERR_INVAL);
	cfg = good;
	cfg.cache_pages = 1;
	UT_EQ(core_create(&cfg, &core), ERR_INVAL);
	cfg = good;
	cfg.vcpus = CORE_VCPUS_MAX + 1;
	UT_EQ(core_create(&cfg, &core), ERR_INVAL);
	cfg = good;
	ranges[1].start.v = 21;
	UT_EQ(core_create(&cfg, &core), ERR_INVAL);
	ranges[1].start.v = 20;
	ids[1].v = 1;
	UT_EQ(core_create(&cfg, &core), ERR_INVAL);
}

UT_TEST(messages_that_nobody_may_send_stop_the_core)
{
	const struct wire_page bad[] = {
		{.type = WIRE_PAGE_GETS, .stamp = UINT64_MAX},
		{.type = 0x01ff},
		{.type = WIRE_PAGE_INV, .third = {9}},
		{.type = WIRE_PAGE_DROP_ACK},
		{.type = WIRE_PAGE_REDIRECT, .third = {1}, .gen = 1, .kind = WIRE_PAGE_GETS},
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_start(&r, 0, 3, 8, 1);
		UT_EQ(rig_msg(&r, 1, 16, bad[i]), ERR_PROTOCOL);
		UT_EQ(core_blame(r.core).v, 1);
		UT_EQ(rig_msg(&r, 1, 16, bad[i]), ERR_VM_STOPPED);
		rig_end(&r);
	}
	rig_start(&r, 0, 3, 8, 1);
	UT_EQ(rig_msg(&r, 7, 0, (struct wire_page){.type = WIRE_PAGE_GETS}), ERR_PROTOCOL);
	rig_end(&r);
	rig_start(&r, 0, 3, 8, 1);
	UT_EQ(rig_msg(&r, 1, 48, (struct wire_page){.type = WIRE_PAGE_GETS}), ERR_PROTOCOL);
	rig_end(&r);
}

UT_TEST(a_lost_peer_ends_all_waits)
{
	struct core_pin_page pin = {.page = rig_page(16), .write = true};
	struct core_event down = {.type = CORE_EV_PEER_DOWN, .peer = {1}};
	struct core_event ev = {.type = CORE_EV_PIN, .pin = 3, .pages = &pin, .n_pages = 1};

	rig_start(&r, 0, 2, 8, 2);
	UT_EQ(rig_fault(&r, 1, 17, false), 0);
	UT_EQ(rig_step(&r, &ev), 0);
	UT_CHECK(!core_idle(r.core));
	UT_EQ(rig_step(&r, &down), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_WAKE) != NULL);
	UT_EQ(rig_act(&r, CORE_ACT_WAKE)->a.slot, 1);
	UT_EQ(rig_act(&r, CORE_ACT_WAKE)->a.err, ERR_VM_STOPPED);
	UT_EQ(rig_act(&r, CORE_ACT_PINNED)->a.pin, 3);
	UT_EQ(rig_act(&r, CORE_ACT_PINNED)->a.err, ERR_VM_STOPPED);
	UT_EQ(rig_fault(&r, 0, 0, false), ERR_VM_STOPPED);
	UT_EQ(core_next_ns(r.core), UINT64_MAX);
	rig_end(&r);
}

UT_TEST(a_fault_outside_memory_is_an_error_and_nothing_else)
{
	rig_start(&r, 0, 2, 8, 1);
	UT_EQ(rig_fault(&r, 0, 32, false), ERR_RANGE);
	UT_EQ(r.n, 0);
	UT_EQ(rig_fault(&r, 0, 0, false), 0);
	UT_CHECK(rig_act(&r, CORE_ACT_WAKE) != NULL);
	rig_end(&r);
}
