/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/xport_ofi_int.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/wire_msgs.h"
#include "tests/lib/ut.h"

#define N        8
#define LOG_MAX  4096
#define NS_S     UINT64_C(1000000000)
#define PATIENCE (10 * NS_S) /* a condition that has not come by then never comes */

struct node {
	struct xport_ofi *o;
	struct xport *x;
	int joined; /* what join returned */
	uint64_t deadline;
	struct xport_ofi_peer peers[N];
	unsigned n_peers;
	struct {
		slice_id_t peer;
		uint16_t type;
		uint32_t value;
	} got[LOG_MAX];
	unsigned n_got;
	unsigned n_down[N];
	int down_err[N];
	uint8_t data[PAGE_BYTES];
	size_t data_bytes;
	uint64_t observed;
	bool echo;
};

static struct node node[N];
static uint64_t guest_now;

static uint64_t now_ns(void)
{
	return clock_now_ns(clock_host());
}

static int on_message(void *arg, const struct xport_rx *rx)
{
	struct node *n = arg;
	if (rx->head_bytes != 4)
		return ERR_PROTOCOL;
	CHECK(n->n_got < LOG_MAX);
	n->got[n->n_got].peer = rx->peer;
	n->got[n->n_got].type = rx->type;
	memcpy(&n->got[n->n_got].value, rx->head, 4);
	n->n_got++;
	n->data_bytes = rx->data_bytes;
	if (rx->data_bytes > 0)
		memcpy(n->data, rx->data, rx->data_bytes);
	return 0;
}

static void on_down(void *arg, slice_id_t peer, int err)
{
	struct node *n = arg;
	n->n_down[peer.v]++;
	n->down_err[peer.v] = err;
}

static uint64_t on_now(void *arg)
{
	return guest_now;
}

static int on_observe(void *arg, slice_id_t peer, uint64_t guest_ns)
{
	struct node *n = arg;
	n->observed = guest_ns;
	return 0;
}

static const struct xport_handler handler = {on_message, on_down, on_now, on_observe};

static struct xport_ofi_cfg cfg_of(unsigned i)
{
	struct xport_ofi_cfg cfg = {
		.self = {(uint16_t)i},
		.incarnation = {{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		.epoch = 3,
		.secret = {{42, 43, 44}},
		.bind = "127.0.0.1:0",
		.n_slices = N,
		.handler = &handler,
		.arg = &node[i],
	};
	return cfg;
}

static void before(void)
{
	memset(node, 0, sizeof(node));
	guest_now = 0;
}

static void after(void)
{
	for (unsigned i = 0; i < N; i++) {
		if (node[i].x != NULL)
			node[i].x->ops->destroy(node[i].x);
		else if (node[i].o != NULL)
			xport_ofi_close(node[i].o);
	}
}

UT_SUITE_WITH(xport_ofi, before, after);

static void *join_one(void *arg)
{
	struct node *n = arg;
	n->joined = xport_ofi_join(n->o, n->peers, n->n_peers, n->deadline, &n->x);
	return NULL;
}

/* Listen with the configurations, then join all; the results are in node[].joined. */
static void join_all(const struct xport_ofi_cfg *cfg, unsigned n, uint64_t patience)
{
	pthread_t t[N];
	for (unsigned i = 0; i < n; i++)
		UT_OK(xport_ofi_listen(&cfg[i], &node[i].o));
	for (unsigned i = 0; i < n; i++) {
		node[i].deadline = now_ns() + patience;
		node[i].n_peers = 0;
		for (unsigned j = 0; j < n; j++)
			if (j != i)
				node[i].peers[node[i].n_peers++] = (struct xport_ofi_peer){
					cfg[j].self, xport_ofi_address(node[j].o)};
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_create(&t[i], NULL, join_one, &node[i]) == 0);
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

static void start(unsigned n, const struct credit_cfg *credit)
{
	struct xport_ofi_cfg cfg[N];
	for (unsigned i = 0; i < n; i++) {
		cfg[i] = cfg_of(i);
		if (credit != NULL)
			cfg[i].credit = *credit;
	}
	join_all(cfg, n, PATIENCE);
	for (unsigned i = 0; i < n; i++)
		UT_OK(node[i].joined);
}

static int post(unsigned from, unsigned to, uint16_t type, uint32_t value)
{
	enum msg_class class;
	CHECK(wire_msg_class(type, &class) == 0);
	const struct xport_msg m = {.peer = {(uint16_t)to},
		.class = class,
		.type = type,
		.head = &value,
		.head_bytes = 4};
	return xport_send(node[from].x, &m);
}

static void run_all(void)
{
	for (unsigned i = 0; i < N; i++)
		if (node[i].x != NULL)
			node[i].x->ops->progress(node[i].x, 64);
}

#define RUN_UNTIL(cond)                                                                            \
	do {                                                                                       \
		uint64_t end_ = now_ns() + PATIENCE;                                               \
		while (!(cond)) {                                                                  \
			run_all();                                                                 \
			if (now_ns() > end_)                                                       \
				UT_FAIL("never came: %s", #cond);                                  \
		}                                                                                  \
	} while (0)

static void pairs(unsigned n)
{
	for (unsigned a = 0; a < n; a++) {
		for (unsigned b = 0; b < n; b++) {
			if (a == b)
				continue;
			uint8_t page[PAGE_BYTES];
			for (unsigned i = 0; i < sizeof(page); i++)
				page[i] = (uint8_t)(i * 13 + a * 16 + b);
			uint32_t v = a * 100 + b;
			const struct xport_msg m = {.peer = {(uint16_t)b},
				.class = MSG_RESPONSE,
				.type = WIRE_PROBE_RESPONSE,
				.head = &v,
				.head_bytes = 4,
				.data = page,
				.data_bytes = sizeof(page)};
			unsigned had = node[b].n_got;
			guest_now = v + 7;
			UT_OK(xport_send(node[a].x, &m));
			RUN_UNTIL(node[b].n_got == had + 1);
			UT_EQ(node[b].got[had].peer.v, a);
			UT_EQ(node[b].got[had].value, v);
			UT_EQ(node[b].observed, v + 7);
			UT_EQ_MEM(node[b].data, page, sizeof(page));
		}
	}
}

UT_TEST(two_slices_carry_exact_bytes)
{
	start(2, NULL);
	UT_EQ_STR(xport_ofi_provider(node[0].o), "tcp");
	pairs(2);
}

UT_TEST(four_slices_carry_exact_bytes_between_all_pairs)
{
	start(4, NULL);
	pairs(4);
}

UT_TEST(plain_frames_work_and_say_so)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	cfg[0].plain = cfg[1].plain = true;
	join_all(cfg, 2, PATIENCE);
	UT_OK(node[0].joined);
	UT_OK(node[1].joined);
	pairs(2);
}

UT_TEST(a_vm_of_one_slice_needs_nobody)
{
	start(1, NULL);
	UT_EQ(node[0].x->ops->progress(node[0].x, 8), 0);
	UT_ERR(post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(credits_run_out_and_come_back_in_order)
{
	const struct credit_cfg few = {.window = {2, 2, 2}, .queue_max = {498, 498, 498}};
	start(2, &few);
	for (uint32_t i = 0; i < 500; i++)
		UT_OK(post(0, 1, WIRE_PROBE_REQUEST, i));
	UT_ERR(post(0, 1, WIRE_PROBE_REQUEST, 500), FULL);
	RUN_UNTIL(node[1].n_got == 500);
	for (uint32_t i = 0; i < 500; i++)
		UT_EQ(node[1].got[i].value, i);
	struct xport_stats st;
	node[0].x->ops->stats(node[0].x, &st);
	UT_EQ(st.credit_waits, 498);
	UT_EQ(st.frames_out, 500);
}

UT_TEST(a_higher_class_overtakes_a_waiting_lower_one)
{
	const struct credit_cfg few = {.window = {1, 1, 1}, .queue_max = {9, 9, 9}};
	start(2, &few);
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 0));
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 1));
	UT_OK(post(0, 1, WIRE_PROBE_RESPONSE, 2));
	UT_OK(post(0, 1, WIRE_PROBE_FORWARD, 3));
	RUN_UNTIL(node[1].n_got == 4);
	const uint32_t want[] = {0, 2, 3, 1};
	for (unsigned i = 0; i < 4; i++)
		UT_EQ(node[1].got[i].value, want[i]);
}

UT_TEST(what_comes_before_the_first_progress_waits)
{
	start(3, NULL);
	for (uint32_t i = 0; i < 10; i++)
		UT_OK(post(0, 1, WIRE_PROBE_REQUEST, i));
	RUN_UNTIL(node[1].n_got == 10);
	for (uint32_t i = 0; i < 10; i++)
		UT_EQ(node[1].got[i].value, i);
}

UT_TEST(the_descriptor_sleeps_and_wakes)
{
	start(2, NULL);
	struct xport *x = node[1].x;
	struct pollfd pfd = {.fd = x->ops->fd(x), .events = POLLIN};
	/* It comes to rest: nothing readable, and it may sleep. */
	uint64_t end = now_ns() + PATIENCE;
	for (;;) {
		run_all();
		if (x->ops->may_sleep(x) && poll(&pfd, 1, 20) == 0)
			break;
		UT_CHECK(now_ns() < end);
	}
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 9));
	UT_EQ(poll(&pfd, 1, (int)(PATIENCE / 1000000)), 1);
	while (node[1].n_got == 0) {
		x->ops->progress(x, 8);
		UT_CHECK(now_ns() < end + PATIENCE);
	}
	UT_EQ(node[1].got[0].value, 9);
}

/* A slice in a process of its own, that ends only by a signal. Writes its address, reads ours. */
_Noreturn static void child_slice(int out, int in)
{
	struct xport_ofi_cfg cfg = cfg_of(1);
	char addr[XPORT_OFI_ADDR_BYTES] = {0};
	CHECK(xport_ofi_listen(&cfg, &node[1].o) == 0);
	CHECK(write(out, xport_ofi_address(node[1].o), XPORT_OFI_ADDR_BYTES) ==
		(ssize_t)XPORT_OFI_ADDR_BYTES);
	CHECK(read(in, addr, sizeof(addr)) == (ssize_t)sizeof(addr));
	const struct xport_ofi_peer peer = {{0}, addr};
	CHECK(xport_ofi_join(node[1].o, &peer, 1, now_ns() + PATIENCE, &node[1].x) == 0);
	struct pollfd pfd = {.fd = node[1].x->ops->fd(node[1].x), .events = POLLIN};
	uint64_t end = now_ns() + 6 * PATIENCE;
	while (now_ns() < end)
		if (node[1].x->ops->progress(node[1].x, 64) == 0 &&
			node[1].x->ops->may_sleep(node[1].x))
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
	struct xport_ofi_cfg cfg = cfg_of(0);
	UT_OK(xport_ofi_listen(&cfg, &node[0].o));
	CHECK(read(up[0], addr, sizeof(addr)) == (ssize_t)sizeof(addr));
	CHECK(write(down[1], xport_ofi_address(node[0].o), XPORT_OFI_ADDR_BYTES) ==
		(ssize_t)XPORT_OFI_ADDR_BYTES);
	const struct xport_ofi_peer peer = {{1}, addr};
	UT_OK(xport_ofi_join(node[0].o, &peer, 1, now_ns() + PATIENCE, &node[0].x));
	for (uint32_t i = 0; i < 20; i++)
		UT_OK(post(0, 1, WIRE_PROBE_REQUEST, i));
	run_all();
	CHECK(kill(pid, SIGKILL) == 0);
	uint64_t killed = now_ns();
	/* Asleep, as a slice without work would be. */
	struct pollfd pfd = {.fd = node[0].x->ops->fd(node[0].x), .events = POLLIN};
	while (node[0].n_down[1] == 0 && now_ns() < killed + PATIENCE)
		if (node[0].x->ops->progress(node[0].x, 64) == 0 &&
			node[0].x->ops->may_sleep(node[0].x))
			(void)poll(&pfd, 1, 5000);
	uint64_t took = now_ns() - killed;
	CHECK(waitpid(pid, NULL, 0) == pid);
	for (unsigned i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	UT_EQ(node[0].n_down[1], 1);
	UT_EQ(node[0].down_err[1], ERR_LINK_DOWN);
	UT_CHECK(took < NS_S);
	UT_ERR(post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(disconnect_is_seen_by_the_peer_only)
{
	start(3, NULL);
	node[0].x->ops->disconnect(node[0].x, (slice_id_t){1});
	UT_ERR(post(0, 1, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
	RUN_UNTIL(node[1].n_down[0] == 1);
	UT_EQ(node[0].n_down[1], 0);
	UT_OK(post(0, 2, WIRE_PROBE_REQUEST, 5));
	UT_OK(post(1, 2, WIRE_PROBE_REQUEST, 6));
	RUN_UNTIL(node[2].n_got == 2);
}

/* --- a peer that misbehaves: slice 0 of three, whose endpoint is written to behind its back -----
 */

static struct ofi_conn *conn_to(unsigned from, unsigned to)
{
	return node[from].o->by_id[to]->conn;
}

static void raw_send(unsigned from, unsigned to, const void *bytes, size_t len)
{
	uint64_t end = now_ns() + PATIENCE;
	static uint8_t copy[2 * WIRE_FRAME_MAX];
	static struct ofi_slot done;
	memcpy(copy, bytes, len);
	struct ofi_conn *c = conn_to(from, to);
	/* The completion goes to a slot that is thrown away. */
	done.conn = c;
	list_init(&done.link);
	while (fi_send(c->ep, copy, len, NULL, 0, &done.context) != 0)
		CHECK(now_ns() < end);
}

/* Slice 1 has closed the connection to slice 0 with `err`, and nothing else has happened. */
static void only_that_one_closed(int err)
{
	RUN_UNTIL(node[1].n_down[0] == 1 && node[0].n_down[1] == 1);
	UT_EQ(node[1].down_err[0], err);
	unsigned had = node[1].n_got;
	UT_OK(post(2, 1, WIRE_PROBE_REQUEST, 77));
	UT_OK(post(0, 2, WIRE_PROBE_REQUEST, 78));
	RUN_UNTIL(node[1].n_got == had + 1 && node[2].n_got == 1);
	UT_EQ(node[1].n_down[2], 0);
	UT_EQ(node[2].n_down[0], 0);
}

UT_TEST(garbage_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t junk[300];
	for (unsigned i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(i * 31);
	raw_send(0, 1, junk, sizeof(junk));
	only_that_one_closed(ERR_FORMAT);
	UT_EQ(node[1].n_got, 1);
}

UT_TEST(an_empty_frame_closes_only_that_connection)
{
	start(3, NULL);
	raw_send(0, 1, "x", 1);
	only_that_one_closed(ERR_FORMAT);
}

UT_TEST(too_long_a_frame_closes_only_that_connection)
{
	start(3, NULL);
	static const uint8_t big[2 * WIRE_FRAME_MAX];
	raw_send(0, 1, big, sizeof(big));
	RUN_UNTIL(node[1].n_down[0] == 1 && node[0].n_down[1] == 1);
	UT_OK(post(2, 1, WIRE_PROBE_REQUEST, 77));
	RUN_UNTIL(node[1].n_got == 1);
}

/* A right frame of slice 0 to slice 1, not sent. */
static size_t make_frame(uint8_t *out, uint32_t value)
{
	struct ofi_peer *p = node[0].o->by_id[1];
	struct wire_frame f = {
		.type = WIRE_PROBE_REQUEST,
		.class = MSG_REQUEST,
		.head_bytes = 4,
		.sender = {0},
		.incarnation = wire_frame_incarnation(&node[0].o->cfg.incarnation),
		.epoch = 3,
		.sequence = seal_next(p->sealer),
		.sealed = true,
	};
	wire_frame_encode(&f, out);
	seal_seal(p->sealer, out, WIRE_FRAME_BYTES, &value, 4, NULL, 0, out + WIRE_FRAME_BYTES);
	return wire_frame_size(&f);
}

UT_TEST(a_replayed_frame_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	raw_send(0, 1, frame, len);
	RUN_UNTIL(node[1].n_got == 1);
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_REPLAY);
	UT_EQ(node[1].n_got, 2);
}

UT_TEST(a_gap_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	(void)make_frame(frame, 5);
	size_t len = make_frame(frame, 6);
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_REPLAY);
}

UT_TEST(a_truncated_frame_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	raw_send(0, 1, frame, len - 1);
	only_that_one_closed(ERR_FORMAT);
}

UT_TEST(a_changed_frame_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	frame[WIRE_FRAME_BYTES] ^= 1;
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_AUTH);
}

UT_TEST(a_changed_header_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len = make_frame(frame, 5);
	frame[32] ^= 1; /* guest time */
	raw_send(0, 1, frame, len);
	only_that_one_closed(ERR_AUTH);
}

UT_TEST(returning_credits_that_were_not_used_closes_only_that_connection)
{
	start(3, NULL);
	uint8_t frame[WIRE_FRAME_MAX];
	struct ofi_peer *p = node[0].o->by_id[1];
	struct wire_frame f = {
		.type = WIRE_XPORT_CREDIT,
		.class = MSG_RESPONSE,
		.sender = {0},
		.incarnation = wire_frame_incarnation(&node[0].o->cfg.incarnation),
		.epoch = 3,
		.sequence = seal_next(p->sealer),
		.credit = {1},
		.sealed = true,
	};
	wire_frame_encode(&f, frame);
	seal_seal(p->sealer, frame, WIRE_FRAME_BYTES, NULL, 0, NULL, 0, frame + WIRE_FRAME_BYTES);
	raw_send(0, 1, frame, wire_frame_size(&f));
	only_that_one_closed(ERR_PROTOCOL);
}

UT_TEST(a_handler_error_closes_only_that_connection)
{
	start(3, NULL);
	const struct xport_msg m = {.peer = {1},
		.class = MSG_REQUEST,
		.type = WIRE_PROBE_REQUEST,
		.head = "xyz",
		.head_bytes = 3};
	UT_OK(xport_send(node[0].x, &m));
	only_that_one_closed(ERR_PROTOCOL);
}

/* --- joining that must fail ---------------------------------------------------------------------
 */

UT_TEST(another_secret_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	cfg[1].secret.b[31] ^= 1;
	join_all(cfg, 2, NS_S / 2);
	UT_ERR(node[0].joined, AUTH);
	UT_ERR(node[1].joined, AUTH);
}

UT_TEST(another_incarnation_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	cfg[1].incarnation.b[15] ^= 1;
	join_all(cfg, 2, NS_S / 2);
	UT_ERR(node[0].joined, STALE);
	UT_ERR(node[1].joined, STALE);
}

UT_TEST(another_epoch_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	cfg[1].epoch++;
	join_all(cfg, 2, NS_S / 2);
	UT_ERR(node[0].joined, STALE);
	UT_ERR(node[1].joined, STALE);
}

UT_TEST(sealing_on_one_side_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	cfg[1].plain = true;
	join_all(cfg, 2, NS_S / 2);
	UT_ERR(node[0].joined, PROTOCOL);
	UT_ERR(node[1].joined, PROTOCOL);
}

static void refused_version(unsigned who)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	pthread_t t[2];
	for (unsigned i = 0; i < 2; i++)
		UT_OK(xport_ofi_listen(&cfg[i], &node[i].o));
	node[who].o->version = WIRE_HELLO_VERSION + 1;
	for (unsigned i = 0; i < 2; i++) {
		node[i].deadline = now_ns() + NS_S / 2;
		node[i].peers[0] =
			(struct xport_ofi_peer){cfg[1 - i].self, xport_ofi_address(node[1 - i].o)};
		node[i].n_peers = 1;
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, join_one, &node[i]) == 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	UT_ERR(node[0].joined, VERSION);
}

UT_TEST(another_version_of_the_connecting_side_is_refused)
{
	refused_version(0);
}

UT_TEST(another_version_of_the_accepting_side_is_refused)
{
	refused_version(1);
}

UT_TEST(an_absent_peer_is_a_time_out)
{
	struct xport_ofi_cfg cfg = cfg_of(0);
	UT_OK(xport_ofi_listen(&cfg, &node[0].o));
	const struct xport_ofi_peer peer = {{1}, "127.0.0.1:1"};
	UT_ERR(xport_ofi_join(node[0].o, &peer, 1, now_ns() + NS_S / 4, &node[0].x), TIMEOUT);
}

UT_TEST(bad_addresses_and_providers_are_refused)
{
	struct xport_ofi_cfg cfg = cfg_of(0);
	cfg.bind = "localhost";
	UT_ERR(xport_ofi_listen(&cfg, &node[0].o), INVAL);
	cfg.bind = "300.0.0.1:5";
	UT_ERR(xport_ofi_listen(&cfg, &node[0].o), INVAL);
	cfg.bind = "127.0.0.1:0";
	cfg.providers = "nothing,like,that";
	UT_ERR(xport_ofi_listen(&cfg, &node[0].o), UNSUPPORTED);
	cfg.providers = NULL;
	UT_OK(xport_ofi_listen(&cfg, &node[0].o));
	const struct xport_ofi_peer peer = {{1}, "nowhere"};
	UT_ERR(xport_ofi_join(node[0].o, &peer, 1, now_ns() + NS_S, &node[0].x), INVAL);
}

static int raw_tcp(const struct xport_ofi *o)
{
	struct sockaddr_storage a;
	CHECK(net_addr_parse(xport_ofi_address(o), &a) == 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof(struct sockaddr_in)) == 0);
	return fd;
}

UT_TEST(strangers_at_the_door_do_not_hinder_joining)
{
	struct xport_ofi_cfg cfg[2] = {cfg_of(0), cfg_of(1)};
	pthread_t t[2];
	int fd[6];
	for (unsigned i = 0; i < 2; i++)
		UT_OK(xport_ofi_listen(&cfg[i], &node[i].o));
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++) {
		static const uint8_t junk[512] = {1, 2, 3, 4, 5, 6, 7, 8};
		fd[i] = raw_tcp(node[1].o);
		/* Silent ones, chattering ones, and ones that hang up. */
		if (i % 3 == 1)
			(void)!write(fd[i], junk, sizeof(junk));
		if (i % 3 == 2)
			shutdown(fd[i], SHUT_RDWR);
	}
	for (unsigned i = 0; i < 2; i++) {
		node[i].deadline = now_ns() + PATIENCE;
		node[i].peers[0] =
			(struct xport_ofi_peer){cfg[1 - i].self, xport_ofi_address(node[1 - i].o)};
		node[i].n_peers = 1;
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, join_one, &node[i]) == 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	UT_OK(node[0].joined);
	UT_OK(node[1].joined);
	pairs(2);
}

/* --- threads ------------------------------------------------------------------------------------
 */

#define RACERS 3
#define ROUNDS 400

struct racer {
	struct xport *x;
	unsigned id;
	uint32_t next[RACERS][2][MSG_CLASS_N]; /* [progress thread] */
	atomic_uint got;
	atomic_bool wrong;
	atomic_uint *finished;
};
static struct racer racer[RACERS];

static int race_message(void *arg, const struct xport_rx *rx)
{
	struct racer *r = arg;
	uint32_t v;
	memcpy(&v, rx->head, 4);
	uint32_t *want = &r->next[rx->peer.v][v >> 31][rx->class];
	bool bad = (v & INT32_MAX) != *want;
	const uint8_t *d = rx->data;
	for (size_t i = 0; i < rx->data_bytes; i++)
		bad |= d[i] != (uint8_t)v;
	if (bad)
		atomic_store(&r->wrong, true);
	++*want;
	atomic_fetch_add(&r->got, 1);
	return 0;
}

static void race_down(void *arg, slice_id_t peer, int err)
{
	struct racer *r = arg;
	atomic_store(&r->wrong, true);
}

static void *race_send(void *arg)
{
	static const uint16_t types[] = {
		WIRE_PROBE_REQUEST, WIRE_PROBE_FORWARD, WIRE_PROBE_RESPONSE};
	struct racer *r = (struct racer *)((uintptr_t)arg & ~(uintptr_t)1);
	uint32_t lane = (uint32_t)((uintptr_t)arg & 1) << 31;
	uint8_t page[PAGE_BYTES];
	for (uint32_t i = 0; i < ROUNDS; i++) {
		memset(page, (int)(i & 255), sizeof(page));
		for (unsigned to = 0; to < RACERS; to++)
			for (unsigned c = 0; to != r->id && c < MSG_CLASS_N; c++) {
				uint32_t v = i | lane;
				const struct xport_msg m = {.peer = {(uint16_t)to},
					.class = c,
					.type = types[c],
					.head = &v,
					.head_bytes = 4,
					.data = page,
					.data_bytes = c == MSG_RESPONSE ? PAGE_BYTES : i % 64};
				CHECK(xport_send(r->x, &m) == 0);
			}
	}
	return NULL;
}

static void *race_progress(void *arg)
{
	struct racer *r = arg;
	const unsigned all = 2 * ROUNDS * (RACERS - 1) * MSG_CLASS_N;
	struct pollfd pfd = {.fd = r->x->ops->fd(r->x), .events = POLLIN};
	uint64_t end = now_ns() + 6 * PATIENCE;
	bool counted = false;
	/* Until all have all: others still need our credits. */
	while (atomic_load(r->finished) < RACERS && !atomic_load(&r->wrong)) {
		if (r->x->ops->progress(r->x, 64) == 0 && r->x->ops->may_sleep(r->x))
			(void)poll(&pfd, 1, 20);
		if (!counted && atomic_load(&r->got) == all) {
			counted = true;
			atomic_fetch_add(r->finished, 1);
		}
		if (now_ns() > end)
			atomic_store(&r->wrong, true);
	}
	return NULL;
}

UT_TEST(concurrent_senders_keep_order_and_bytes)
{
	static const struct xport_handler h = {.message = race_message, .down = race_down};
	struct xport_ofi_cfg cfg[RACERS];
	pthread_t t[RACERS][3];
	atomic_uint finished = 0;
	memset(racer, 0, sizeof(racer));
	for (unsigned i = 0; i < RACERS; i++) {
		cfg[i] = cfg_of(i);
		cfg[i].handler = &h;
		cfg[i].arg = &racer[i];
	}
	join_all(cfg, RACERS, PATIENCE);
	for (unsigned i = 0; i < RACERS; i++) {
		UT_OK(node[i].joined);
		racer[i].x = node[i].x;
		racer[i].id = i;
		racer[i].finished = &finished;
	}
	for (unsigned i = 0; i < RACERS; i++) {
		CHECK(pthread_create(&t[i][0], NULL, race_progress, &racer[i]) == 0);
		CHECK(pthread_create(&t[i][1], NULL, race_send, &racer[i]) == 0);
		CHECK(pthread_create(&t[i][2], NULL, race_send, (char *)&racer[i] + 1) == 0);
	}
	for (unsigned i = 0; i < RACERS; i++)
		for (unsigned j = 0; j < 3; j++)
			CHECK(pthread_join(t[i][j], NULL) == 0);
	for (unsigned i = 0; i < RACERS; i++)
		UT_CHECK(!atomic_load(&racer[i].wrong));
}
