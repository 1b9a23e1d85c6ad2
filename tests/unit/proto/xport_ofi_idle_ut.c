/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/ofi_rig.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "proto/wire_msgs.h"

/* What a connection costs and does when a side does nothing: rests, or takes nothing any more. */
#define NS_MS UINT64_C(1000000)

UT_SUITE_WITH(xport_ofi_idle, ofi_before, ofi_after);

static uint64_t cpu_ns(void)
{
	struct timespec t;
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Both sides as a slice's thread would serve them, for `ns`. How often they were woken. */
static unsigned serve_both(uint64_t ns)
{
	uint64_t end = side_now_ns() + ns, now;
	unsigned woken = 0;
	while ((now = side_now_ns()) < end) {
		struct pollfd pfd[2];
		bool rest = true;
		for (unsigned i = 0; i < 2; i++) {
			struct xport *x = sides[i].x;
			pfd[i] = (struct pollfd){.fd = x->ops->fd(x), .events = POLLIN};
			rest &= x->ops->progress(x, 64) == 0 && x->ops->may_sleep(x);
		}
		if (rest)
			(void)poll(pfd, 2, (int)((end - now) / NS_MS) + 1);
		woken++;
	}
	return woken;
}

UT_TEST(a_connected_pair_without_work_sleeps)
{
	ofi_start(2, NULL);
	sides_check_pairs(2);
	(void)serve_both(20 * NS_MS); /* what the messages above left to do */
	uint64_t cpu = cpu_ns(), ns = 400 * NS_MS;
	unsigned woken = serve_both(ns);
	cpu = cpu_ns() - cpu;
	/* All threads of the process: a progress thread of the provider would be seen, too. */
	UT_CHECK(cpu < ns / 50);
	UT_CHECK(woken <= 8);
}

/* --- a peer that takes nothing ------------------------------------------------------------------
 */

#define FRAMES 200u

static const struct credit_cfg plenty = {.window = {8, 8, FRAMES}, .queue_max = {8, 8, FRAMES}};

/* The kernel's own buffers would take megabytes: make those of every connection here small. */
static void shrink_sockets(void)
{
	static const int bytes = 65536;
	for (int fd = 0; fd < 256; fd++) {
		struct sockaddr_in a;
		socklen_t len = sizeof(a);
		if (getpeername(fd, (struct sockaddr *)&a, &len) != 0 || a.sin_family != AF_INET)
			continue;
		CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) == 0);
		CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) == 0);
	}
}

/* Pages to a side that never makes progress, until no socket on the way takes any more. */
static void fill(void)
{
	static const uint8_t page[PAGE_BYTES];
	for (uint32_t i = 0; i < FRAMES; i++)
		UT_OK(side_post_page(0, 1, WIRE_PROBE_RESPONSE, i, page));
}

static void start_pair(uint64_t stuck_ns)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	cfg[0].credit = cfg[1].credit = plenty;
	cfg[0].stuck_ns = stuck_ns;
	ofi_listen_and_join(cfg, 2, PATIENCE_NS);
	UT_OK(nodes[0].joined);
	UT_OK(nodes[1].joined);
	shrink_sockets();
}

UT_TEST(a_peer_that_takes_nothing_is_down_at_the_deadline)
{
	const uint64_t stuck_ns = 150 * NS_MS;
	start_pair(stuck_ns);
	uint64_t begin = side_now_ns();
	fill();
	/* Asleep whenever it may: the deadline must wake it. */
	struct xport *x = sides[0].x;
	struct pollfd pfd = {.fd = x->ops->fd(x), .events = POLLIN};
	while (sides[0].n_down[1] == 0 && side_now_ns() < begin + PATIENCE_NS)
		if (x->ops->progress(x, 64) == 0 && x->ops->may_sleep(x))
			(void)poll(&pfd, 1, (int)(PATIENCE_NS / NS_MS));
	UT_EQ(sides[0].n_down[1], 1);
	UT_EQ(sides[0].down_err[1], ERR_TIMEOUT);
	UT_CHECK(side_now_ns() - begin >= stuck_ns);
	UT_ERR(side_post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(a_peer_that_is_slow_is_waited_for)
{
	const uint64_t stuck_ns = 100 * NS_MS;
	start_pair(stuck_ns);
	uint64_t begin = side_now_ns();
	fill();
	/* It takes one frame each 5 ms: the deadline is of a peer that takes none. */
	uint64_t next = begin;
	while (side_now_ns() < begin + 3 * stuck_ns) {
		sides[0].x->ops->progress(sides[0].x, 64);
		if (side_now_ns() < next)
			continue;
		sides[1].x->ops->progress(sides[1].x, 16);
		next += 5 * NS_MS;
	}
	UT_EQ(sides[0].n_down[1], 0);
	RUN_UNTIL(sides[1].n_got == FRAMES);
	UT_EQ(sides[1].got[FRAMES - 1].value, FRAMES - 1);
}
