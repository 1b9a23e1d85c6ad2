/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/ofi_rig.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/wire_msgs.h"

#define NS_S UINT64_C(1000000000)

UT_SUITE_WITH(xport_ofi, ofi_before, ofi_after);

UT_TEST(two_slices_carry_exact_bytes)
{
	ofi_start(2, NULL);
	UT_EQ_STR(xport_ofi_provider(nodes[0].o), "tcp");
	sides_check_pairs(2);
}

UT_TEST(four_slices_carry_exact_bytes_between_all_pairs)
{
	ofi_start(4, NULL);
	sides_check_pairs(4);
}

UT_TEST(plain_frames_work_and_say_so)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	cfg[0].plain = cfg[1].plain = true;
	ofi_listen_and_join(cfg, 2, PATIENCE_NS);
	UT_OK(nodes[0].joined);
	UT_OK(nodes[1].joined);
	sides_check_pairs(2);
}

UT_TEST(a_vm_of_one_slice_needs_nobody)
{
	ofi_start(1, NULL);
	UT_EQ(sides[0].x->ops->progress(sides[0].x, 8), 0);
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(credits_run_out_and_come_back_in_order)
{
	const struct credit_cfg few = {.window = {2, 2, 2}, .queue_max = {498, 498, 498}};
	ofi_start(2, &few);
	for (uint32_t i = 0; i < 500; i++)
		UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, i));
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 500), FULL);
	RUN_UNTIL(sides[1].n_got == 500);
	for (uint32_t i = 0; i < 500; i++)
		UT_EQ(sides[1].got[i].value, i);
	struct xport_stats st;
	sides[0].x->ops->stats(sides[0].x, &st);
	UT_EQ(st.credit_waits, 498);
	UT_EQ(st.frames_out, 500);
}

UT_TEST(a_higher_class_overtakes_a_waiting_lower_one)
{
	const struct credit_cfg few = {.window = {1, 1, 1}, .queue_max = {9, 9, 9}};
	ofi_start(2, &few);
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 0));
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 1));
	UT_OK(side_post(0, 1, WIRE_PROBE_RESPONSE, 2));
	UT_OK(side_post(0, 1, WIRE_PROBE_FORWARD, 3));
	RUN_UNTIL(sides[1].n_got == 4);
	const uint32_t want[] = {0, 2, 3, 1};
	for (unsigned i = 0; i < 4; i++)
		UT_EQ(sides[1].got[i].value, want[i]);
}

UT_TEST(what_comes_before_the_first_progress_waits)
{
	ofi_start(3, NULL);
	for (uint32_t i = 0; i < 10; i++)
		UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, i));
	RUN_UNTIL(sides[1].n_got == 10);
	for (uint32_t i = 0; i < 10; i++)
		UT_EQ(sides[1].got[i].value, i);
}

UT_TEST(the_descriptor_sleeps_and_wakes)
{
	ofi_start(2, NULL);
	struct xport *x = sides[1].x;
	struct pollfd pfd = {.fd = x->ops->fd(x), .events = POLLIN};
	/* It comes to rest: nothing readable, and it may sleep. */
	uint64_t end = side_now_ns() + PATIENCE_NS;
	for (;;) {
		sides_run();
		if (x->ops->may_sleep(x) && poll(&pfd, 1, 20) == 0)
			break;
		UT_CHECK(side_now_ns() < end);
	}
	UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, 9));
	UT_EQ(poll(&pfd, 1, (int)(PATIENCE_NS / 1000000)), 1);
	while (sides[1].n_got == 0) {
		x->ops->progress(x, 8);
		UT_CHECK(side_now_ns() < end + PATIENCE_NS);
	}
	UT_EQ(sides[1].got[0].value, 9);
}

/* A slice in a process of its own, that ends only by a signal. Writes its address, reads ours. */
_Noreturn static void child_slice(int out, int in)
{
	struct xport_ofi_cfg cfg = ofi_cfg_of(1);
	char addr[XPORT_OFI_ADDR_BYTES] = {0};
	CHECK(xport_ofi_listen(&cfg, &nodes[1].o) == 0);
	CHECK(write(out, xport_ofi_address(nodes[1].o), XPORT_OFI_ADDR_BYTES) ==
		(ssize_t)XPORT_OFI_ADDR_BYTES);
	CHECK(read(in, addr, sizeof(addr)) == (ssize_t)sizeof(addr));
	const struct xport_ofi_peer peer = {{0}, addr};
	CHECK(xport_ofi_join(nodes[1].o, &peer, 1, side_now_ns() + PATIENCE_NS, &sides[1].x) == 0);
	struct pollfd pfd = {.fd = sides[1].x->ops->fd(sides[1].x), .events = POLLIN};
	uint64_t end = side_now_ns() + 6 * PATIENCE_NS;
	while (side_now_ns() < end)
		if (sides[1].x->ops->progress(sides[1].x, 64) == 0 &&
			sides[1].x->ops->may_sleep(sides[1].x))
			(void)poll(&pfd, 1, 1000);
	_exit(3);
}

UT_TEST(a_killed_peer_is_down_within_a_second)
{
	int up[2], down[2];
	char addr[XPORT_OFI_ADDR_BYTES];
	CHECK(pipe(up) == 0 && pipe(down) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		child_slice(up[1], down[0]);
	struct xport_ofi_cfg cfg = ofi_cfg_of(0);
	UT_OK(xport_ofi_listen(&cfg, &nodes[0].o));
	CHECK(read(up[0], addr, sizeof(addr)) == (ssize_t)sizeof(addr));
	CHECK(write(down[1], xport_ofi_address(nodes[0].o), XPORT_OFI_ADDR_BYTES) ==
		(ssize_t)XPORT_OFI_ADDR_BYTES);
	const struct xport_ofi_peer peer = {{1}, addr};
	UT_OK(xport_ofi_join(nodes[0].o, &peer, 1, side_now_ns() + PATIENCE_NS, &sides[0].x));
	for (uint32_t i = 0; i < 20; i++)
		UT_OK(side_post(0, 1, WIRE_PROBE_REQUEST, i));
	sides_run();
	CHECK(kill(pid, SIGKILL) == 0);
	uint64_t killed = side_now_ns();
	/* Asleep, as a slice without work would be. */
	struct pollfd pfd = {.fd = sides[0].x->ops->fd(sides[0].x), .events = POLLIN};
	while (sides[0].n_down[1] == 0 && side_now_ns() < killed + PATIENCE_NS)
		if (sides[0].x->ops->progress(sides[0].x, 64) == 0 &&
			sides[0].x->ops->may_sleep(sides[0].x))
			(void)poll(&pfd, 1, 5000);
	uint64_t took = side_now_ns() - killed;
	CHECK(waitpid(pid, NULL, 0) == pid);
	for (unsigned i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	UT_EQ(sides[0].n_down[1], 1);
	UT_EQ(sides[0].down_err[1], ERR_LINK_DOWN);
	UT_CHECK(took < NS_S);
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(disconnect_is_seen_by_the_peer_only)
{
	ofi_start(3, NULL);
	sides[0].x->ops->disconnect(sides[0].x, (slice_id_t){1});
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
	RUN_UNTIL(sides[1].n_down[0] == 1);
	UT_EQ(sides[0].n_down[1], 0);
	UT_OK(side_post(0, 2, WIRE_PROBE_REQUEST, 5));
	UT_OK(side_post(1, 2, WIRE_PROBE_REQUEST, 6));
	RUN_UNTIL(sides[2].n_got == 2);
}

UT_TEST(concurrent_senders_keep_order_and_bytes)
{
	struct xport_ofi_cfg cfg[3] = {0};
	struct xport *x[ARRAY_SIZE(cfg)];
	racers_clear();
	for (unsigned i = 0; i < ARRAY_SIZE(cfg); i++) {
		cfg[i] = ofi_cfg_of(i);
		cfg[i].handler = &race_handler;
		cfg[i].arg = racer_at(i);
	}
	ofi_listen_and_join(cfg, ARRAY_SIZE(cfg), PATIENCE_NS);
	for (unsigned i = 0; i < ARRAY_SIZE(cfg); i++) {
		UT_OK(nodes[i].joined);
		x[i] = sides[i].x;
	}
	racers_run(x, ARRAY_SIZE(cfg), 400);
}
