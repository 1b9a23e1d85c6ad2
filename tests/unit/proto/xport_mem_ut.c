/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/xport_mem.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "proto/wire_msgs.h"
#include "tests/lib/ut.h"

#define N        4
#define LOG_MAX  512
#define ROUNDS   2000
#define POLL_MAX 10000

/* One slice of the tests: writes down what its handler is told. */
struct side {
	struct xport *x;
	unsigned id;
	struct {
		slice_id_t peer;
		uint16_t type;
		uint32_t value;
		size_t data_bytes;
	} got[LOG_MAX];
	unsigned n_got;
	unsigned n_down[N];
	int down_err[N];
	uint64_t observed;
	int answer;               /* what `message` returns */
	uint8_t data[PAGE_BYTES]; /* of the last message */
};

static struct xport_mem_hub *hub;
static struct side side[N];
static uint64_t guest_now;

static int on_message(void *arg, const struct xport_rx *rx)
{
	struct side *s = arg;
	CHECK(s->n_got < LOG_MAX && rx->head_bytes == 4);
	s->got[s->n_got].peer = rx->peer;
	s->got[s->n_got].type = rx->type;
	s->got[s->n_got].data_bytes = rx->data_bytes;
	memcpy(&s->got[s->n_got].value, rx->head, 4);
	s->n_got++;
	if (rx->data_bytes > 0)
		memcpy(s->data, rx->data, rx->data_bytes);
	return s->answer;
}

static void on_down(void *arg, slice_id_t peer, int err)
{
	struct side *s = arg;
	s->n_down[peer.v]++;
	s->down_err[peer.v] = err;
}

static uint64_t on_now(void *arg)
{
	return guest_now;
}

static int on_observe(void *arg, slice_id_t peer, uint64_t guest_ns)
{
	struct side *s = arg;
	s->observed = guest_ns;
	return guest_ns > 1000000 ? ERR_PROTOCOL : 0;
}

static const struct xport_handler handler = {on_message, on_down, on_now, on_observe};

static void open_all(const struct credit_cfg *credit)
{
	slice_id_t ids[N];
	for (unsigned i = 0; i < N; i++)
		ids[i] = (slice_id_t){(uint16_t)i};
	memset(side, 0, sizeof(side));
	guest_now = 0;
	UT_OK(xport_mem_hub_create(ids, N, credit, &hub));
	for (unsigned i = 0; i < N; i++) {
		side[i].id = i;
		UT_OK(xport_mem_open(hub, ids[i], &handler, &side[i], &side[i].x));
	}
}

static void before(void)
{
	hub = NULL;
}

static void after(void)
{
	if (hub == NULL)
		return;
	for (unsigned i = 0; i < N; i++)
		if (side[i].x != NULL)
			side[i].x->ops->destroy(side[i].x);
	xport_mem_hub_destroy(hub);
}

UT_SUITE_WITH(xport_mem, before, after);

static int post(unsigned from, unsigned to, uint16_t type, uint32_t value)
{
	enum msg_class class;
	CHECK(wire_msg_class(type, &class) == 0);
	const struct xport_msg m = {.peer = {(uint16_t)to},
		.class = class,
		.type = type,
		.head = &value,
		.head_bytes = 4};
	return xport_send(side[from].x, &m);
}

static unsigned run(unsigned i)
{
	return side[i].x->ops->progress(side[i].x, 1000);
}

UT_TEST(all_pairs_carry_exact_bytes)
{
	open_all(NULL);
	for (unsigned a = 0; a < N; a++) {
		for (unsigned b = 0; b < N; b++) {
			if (a == b)
				continue;
			uint8_t page[PAGE_BYTES];
			for (unsigned i = 0; i < sizeof(page); i++)
				page[i] = (uint8_t)(i * 7 + a * 16 + b);
			uint32_t v = a * 100 + b;
			const struct xport_msg m = {.peer = {(uint16_t)b},
				.class = MSG_RESPONSE,
				.type = WIRE_PROBE_RESPONSE,
				.head = &v,
				.head_bytes = 4,
				.data = page,
				.data_bytes = sizeof(page)};
			UT_OK(xport_send(side[a].x, &m));
			UT_EQ(run(b), 1);
			UT_EQ(side[b].got[side[b].n_got - 1].peer.v, a);
			UT_EQ(side[b].got[side[b].n_got - 1].value, v);
			UT_EQ_MEM(side[b].data, page, sizeof(page));
		}
	}
	struct xport_stats st;
	side[0].x->ops->stats(side[0].x, &st);
	UT_EQ(st.frames_out, N - 1);
	UT_EQ(st.frames_in, N - 1);
	UT_EQ(st.bytes_out, (N - 1) * (PAGE_BYTES + 4));
}

UT_TEST(unknown_peers_are_down)
{
	open_all(NULL);
	UT_ERR(post(0, 77, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
	UT_ERR(post(0, 0, WIRE_PROBE_REQUEST, 1), PEER_DOWN);
}

UT_TEST(credits_run_out_and_come_back_in_order)
{
	const struct credit_cfg few = {.window = {2, 2, 2}, .queue_max = {5, 5, 5}};
	open_all(&few);
	for (uint32_t i = 0; i < 7; i++)
		UT_OK(post(0, 1, WIRE_PROBE_REQUEST, i));
	UT_ERR(post(0, 1, WIRE_PROBE_REQUEST, 7), FULL);
	/* Only two are under way, and another peer or class is not concerned. */
	UT_OK(post(0, 2, WIRE_PROBE_REQUEST, 8));
	UT_EQ(run(2), 1);
	UT_EQ(run(1), 7);
	for (uint32_t i = 0; i < 7; i++)
		UT_EQ(side[1].got[i].value, i);
	struct xport_stats st;
	side[0].x->ops->stats(side[0].x, &st);
	UT_EQ(st.credit_waits, 5);
}

UT_TEST(a_higher_class_overtakes_a_waiting_lower_one)
{
	const struct credit_cfg few = {.window = {1, 1, 1}, .queue_max = {9, 9, 9}};
	open_all(&few);
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 0));
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 1));
	UT_OK(post(0, 1, WIRE_PROBE_RESPONSE, 2));
	UT_OK(post(0, 1, WIRE_PROBE_RESPONSE, 3));
	UT_OK(post(0, 1, WIRE_PROBE_FORWARD, 4));
	UT_EQ(run(1), 5);
	const uint32_t want[] = {0, 2, 4, 1, 3};
	for (unsigned i = 0; i < 5; i++)
		UT_EQ(side[1].got[i].value, want[i]);
}

UT_TEST(the_descriptor_wakes_a_sleeper)
{
	open_all(NULL);
	struct xport *x = side[1].x;
	struct pollfd pfd = {.fd = x->ops->fd(x), .events = POLLIN};
	UT_CHECK(x->ops->may_sleep(x));
	UT_EQ(poll(&pfd, 1, 0), 0);
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 1));
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
	guest_now = 777;
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 1));
	guest_now = 0;
	UT_EQ(run(1), 1);
	UT_EQ(side[1].observed, 777);
	/* A sender beyond the bound is a violator, and its message is not handled. */
	guest_now = 2000000;
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 2));
	UT_EQ(run(1), 1);
	UT_EQ(side[1].n_got, 1);
	UT_EQ(side[1].n_down[0], 1);
	UT_EQ(side[1].down_err[0], ERR_PROTOCOL);
	UT_EQ(run(0), 1);
	UT_EQ(side[0].n_down[1], 1);
}

UT_TEST(a_cut_pair_goes_down_once_after_what_had_arrived)
{
	open_all(NULL);
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 5));
	xport_mem_cut(hub, (slice_id_t){0}, (slice_id_t){1});
	xport_mem_cut(hub, (slice_id_t){0}, (slice_id_t){1});
	UT_ERR(post(0, 1, WIRE_PROBE_REQUEST, 6), PEER_DOWN);
	UT_EQ(run(1), 2);
	UT_EQ(side[1].n_got, 1);
	UT_EQ(side[1].n_down[0], 1);
	UT_EQ(side[1].down_err[0], ERR_LINK_DOWN);
	UT_EQ(run(0), 1);
	UT_EQ(side[0].n_down[1], 1);
	/* The others go on. */
	UT_OK(post(0, 2, WIRE_PROBE_REQUEST, 1));
	UT_OK(post(2, 1, WIRE_PROBE_REQUEST, 1));
	UT_EQ(run(2), 1);
	UT_EQ(run(1), 1);
}

UT_TEST(a_killed_endpoint_is_silent_and_all_others_learn_it)
{
	open_all(NULL);
	UT_OK(post(0, 1, WIRE_PROBE_REQUEST, 5));
	xport_mem_kill(hub, (slice_id_t){1});
	UT_EQ(run(1), 0);
	UT_ERR(post(1, 0, WIRE_PROBE_REQUEST, 5), PEER_DOWN);
	for (unsigned i = 0; i < N; i++) {
		if (i == 1)
			continue;
		UT_EQ(run(i), 1);
		UT_EQ(side[i].n_down[1], 1);
		UT_EQ(run(i), 0);
	}
}

UT_TEST(destroy_and_disconnect_are_seen_by_the_peer_only)
{
	open_all(NULL);
	UT_OK(post(1, 0, WIRE_PROBE_REQUEST, 1));
	side[0].x->ops->disconnect(side[0].x, (slice_id_t){1});
	UT_EQ(run(0), 0);
	UT_EQ(side[0].n_down[1], 0);
	UT_EQ(run(1), 1);
	UT_EQ(side[1].n_down[0], 1);
	side[2].x->ops->destroy(side[2].x);
	side[2].x = NULL;
	UT_EQ(run(3), 1);
	UT_EQ(side[3].n_down[2], 1);
}

/* Threads: each slice has two senders and a progress thread; sums and order per class must come out
 * exact. */
struct racer {
	struct xport *x;
	unsigned id;
	atomic_uint got;
	uint32_t next[N][2][MSG_CLASS_N]; /* [progress thread] */
	atomic_bool wrong;
};
static struct racer racer[N];

static int race_message(void *arg, const struct xport_rx *rx)
{
	struct racer *r = arg;
	uint32_t v;
	memcpy(&v, rx->head, 4);
	uint32_t *want = &r->next[rx->peer.v][v >> 31][rx->class];
	if ((v & INT32_MAX) != *want)
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
	for (uint32_t i = 0; i < ROUNDS; i++)
		for (unsigned to = 0; to < N; to++)
			for (unsigned c = 0; to != r->id && c < MSG_CLASS_N; c++) {
				uint32_t v = i | lane;
				const struct xport_msg m = {.peer = {(uint16_t)to},
					.class = c,
					.type = types[c],
					.head = &v,
					.head_bytes = 4};
				CHECK(xport_send(r->x, &m) == 0);
			}
	return NULL;
}

static void *race_progress(void *arg)
{
	struct racer *r = arg;
	const unsigned all = 2 * ROUNDS * (N - 1) * MSG_CLASS_N;
	struct pollfd pfd = {.fd = r->x->ops->fd(r->x), .events = POLLIN};
	while (atomic_load(&r->got) < all && !atomic_load(&r->wrong)) {
		if (r->x->ops->progress(r->x, 64) == 0 && r->x->ops->may_sleep(r->x))
			if (poll(&pfd, 1, POLL_MAX) == 0)
				atomic_store(&r->wrong, true);
	}
	return NULL;
}

UT_TEST(concurrent_senders_keep_order_per_class)
{
	static const struct xport_handler h = {.message = race_message, .down = race_down};
	slice_id_t ids[N];
	struct xport_mem_hub *mine;
	pthread_t t[N][3];
	for (unsigned i = 0; i < N; i++)
		ids[i] = (slice_id_t){(uint16_t)i};
	UT_OK(xport_mem_hub_create(ids, N, NULL, &mine));
	memset(racer, 0, sizeof(racer));
	for (unsigned i = 0; i < N; i++) {
		racer[i].id = i;
		UT_OK(xport_mem_open(mine, ids[i], &h, &racer[i], &racer[i].x));
	}
	for (unsigned i = 0; i < N; i++) {
		CHECK(pthread_create(&t[i][0], NULL, race_progress, &racer[i]) == 0);
		CHECK(pthread_create(&t[i][1], NULL, race_send, &racer[i]) == 0);
		CHECK(pthread_create(&t[i][2], NULL, race_send, (char *)&racer[i] + 1) == 0);
	}
	for (unsigned i = 0; i < N; i++)
		for (unsigned j = 0; j < 3; j++)
			CHECK(pthread_join(t[i][j], NULL) == 0);
	for (unsigned i = 0; i < N; i++) {
		UT_CHECK(!atomic_load(&racer[i].wrong));
		racer[i].x->ops->destroy(racer[i].x);
	}
	xport_mem_hub_destroy(mine);
}
