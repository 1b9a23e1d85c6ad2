/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/xport_mem.h"

#include <poll.h>

#include "proto/wire_msgs.h"
#include "tests/unit/proto/xport_rig.h"

#define N 4u

static struct xport_mem_hub *hub;

static void open_all(const struct credit_cfg *credit)
{
	slice_id_t ids[N];
	for (unsigned i = 0; i < N; i++)
		ids[i] = (slice_id_t){(uint16_t)i};
	UT_OK(xport_mem_hub_create(ids, N, credit, &hub));
	for (unsigned i = 0; i < N; i++) {
		UT_OK(xport_mem_open(hub, ids[i], &side_handler, &sides[i], &sides[i].x));
	}
}

static void before(void)
{
	hub = NULL;
	sides_clear();
}

static void after(void)
{
	sides_destroy();
	if (hub != NULL)
		xport_mem_hub_destroy(hub);
}

UT_SUITE_WITH(xport_mem, before, after);

static unsigned run(unsigned i)
{
	return sides[i].x->ops->progress(sides[i].x, 1000);
}

UT_TEST(all_pairs_carry_exact_bytes)
{
	open_all(NULL);
	sides_check_pairs(N);
	struct xport_stats st;
	sides[0].x->ops->stats(sides[0].x, &st);
	UT_EQ(st.frames_out, N - 1);
	UT_EQ(st.frames_in, N - 1);
	UT_EQ(st.bytes_out, (N - 1) * (PAGE_BYTES + 4));
}

UT_TEST(unknown_peers_are_down)
{
	open_all(NULL);
	UT_ERR(side_post(0, 77, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
	UT_ERR(side_post(0, 0, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(credits_run_out_and_come_back_in_order)
{
	const struct credit_cfg few = {.window = {2, 2, 2}, .queue_max = {5, 5, 5}};
	open_all(&few);
	for (uint32_t i = 0; i < 7; i++)
		UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, i));
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 7), FULL);
	/* Only two are under way, and another peer or class is not concerned. */
	UT_OK(side_post(0, 2, WIRE_PROBE_REQUEST, 8));
	UT_EQ(run(2), 1);
	UT_EQ(run(1), 7);
	for (uint32_t i = 0; i < 7; i++)
		UT_EQ(sides[1].got[i].value, i);
	struct xport_stats st;
	sides[0].x->ops->stats(sides[0].x, &st);
	UT_EQ(st.credit_waits, 5);
}

UT_TEST(a_higher_class_overtakes_a_waiting_lower_one)
{
	const struct credit_cfg few = {.window = {1, 1, 1}, .queue_max = {9, 9, 9}};
	open_all(&few);
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 0));
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 1));
	UT_OK(side_post(0, 1, WIRE_PROBE_RESPONSE, 2));
	UT_OK(side_post(0, 1, WIRE_PROBE_RESPONSE, 3));
	UT_OK(side_post(0, 1, WIRE_PROBE_FORWARD, 4));
	UT_EQ(run(1), 5);
	const uint32_t want[] = {0, 2, 4, 1, 3};
	for (unsigned i = 0; i < 5; i++)
		UT_EQ(sides[1].got[i].value, want[i]);
}

UT_TEST(the_descriptor_wakes_a_sleeper)
{
	open_all(NULL);
	struct xport *x = sides[1].x;
	struct pollfd pfd = {.fd = x->ops->fd(x), .events = POLLIN};
	UT_CHECK(x->ops->may_sleep(x));
	UT_EQ(poll(&pfd, 1, 0), 0);
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 1));
	UT_EQ(poll(&pfd, 1, 0), 1);
	UT_CHECK(!x->ops->may_sleep(x));
	UT_EQ(run(1), 1);
	UT_EQ(poll(&pfd, 1, 0), 0);
	UT_CHECK(x->ops->may_sleep(x));
	xport_mem_cut(hub, (slice_id_t){0}, (slice_id_t){1});
	UT_EQ(poll(&pfd, 1, 0), 1);
}

UT_TEST(guest_time_is_observed_before_the_message)
{
	open_all(NULL);
	side_guest_now = 777;
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 1));
	side_guest_now = 0;
	UT_EQ(run(1), 1);
	UT_EQ(sides[1].observed, 777);
	/* A sender beyond the bound is a violator, and its message is not handled. */
	side_guest_now = 2000000;
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 2));
	UT_EQ(run(1), 1);
	UT_EQ(sides[1].n_got, 1);
	UT_EQ(sides[1].n_down[0], 1);
	UT_EQ(sides[1].down_err[0], ERR_PROTOCOL);
	UT_EQ(run(0), 1);
	UT_EQ(sides[0].n_down[1], 1);
}

UT_TEST(a_cut_pair_goes_down_once_after_what_had_arrived)
{
	open_all(NULL);
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 5));
	xport_mem_cut(hub, (slice_id_t){0}, (slice_id_t){1});
	xport_mem_cut(hub, (slice_id_t){0}, (slice_id_t){1});
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 6), PEER_DOWN);
	UT_EQ(run(1), 2);
	UT_EQ(sides[1].n_got, 1);
	UT_EQ(sides[1].n_down[0], 1);
	UT_EQ(sides[1].down_err[0], ERR_LINK_DOWN);
	UT_EQ(run(0), 1);
	UT_EQ(sides[0].n_down[1], 1);
	/* The others go on. */
	UT_OK(side_post(0, 2, WIRE_PROBE_REQUEST, 1));
	UT_OK(side_post(2, 1, WIRE_PROBE_REQUEST, 1));
	UT_EQ(run(2), 1);
	UT_EQ(run(1), 1);
}

UT_TEST(a_killed_endpoint_is_silent_and_all_others_learn_it)
{
	open_all(NULL);
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 5));
	xport_mem_kill(hub, (slice_id_t){1});
	UT_EQ(run(1), 0);
	UT_ERR(side_post(1, 0, WIRE_PROBE_REQUEST, 5), PEER_DOWN);
	for (unsigned i = 0; i < N; i++) {
		if (i == 1)
			continue;
		UT_EQ(run(i), 1);
		UT_EQ(sides[i].n_down[1], 1);
		UT_EQ(run(i), 0);
	}
}

UT_TEST(destroy_and_disconnect_are_seen_by_the_peer_only)
{
	open_all(NULL);
	UT_OK(side_post(1, 0, WIRE_PROBE_REQUEST, 1));
	sides[0].x->ops->disconnect(sides[0].x, (slice_id_t){1});
	UT_EQ(run(0), 0);
	UT_EQ(sides[0].n_down[1], 0);
	UT_EQ(run(1), 1);
	UT_EQ(sides[1].n_down[0], 1);
	sides[2].x->ops->destroy(sides[2].x);
	sides[2].x = NULL;
	UT_EQ(run(3), 1);
	UT_EQ(sides[3].n_down[2], 1);
}

UT_TEST(concurrent_senders_keep_order_per_class)
{
	slice_id_t ids[N];
	struct xport *x[N];
	racers_clear();
	for (unsigned i = 0; i < N; i++)
		ids[i] = (slice_id_t){(uint16_t)i};
	UT_OK(xport_mem_hub_create(ids, N, NULL, &hub));
	for (unsigned i = 0; i < N; i++) {
		UT_OK(xport_mem_open(hub, ids[i], &race_handler, racer_at(i), &sides[i].x));
		x[i] = sides[i].x;
	}
	racers_run(x, N, 1000);
}
