/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/xport_rig.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "proto/wire_msgs.h"

struct side sides[SIDES];
uint64_t side_guest_now;

uint64_t side_now_ns(void)
{
	return clock_now_ns(clock_host());
}

static int on_message(void *arg, const struct xport_rx *rx)
{
	struct side *s = arg;
	if (rx->head_bytes != 4)
		return ERR_PROTOCOL;
	CHECK(s->n_got < SIDE_LOG_MAX);
	s->got[s->n_got].peer = rx->peer;
	s->got[s->n_got].type = rx->type;
	s->got[s->n_got].data_bytes = rx->data_bytes;
	memcpy(&s->got[s->n_got].value, rx->head, 4);
	s->n_got++;
	if (rx->data_bytes > 0)
		memcpy(s->data, rx->data, rx->data_bytes);
	return 0;
}

static void on_down(void *arg, slice_id_t peer, int err)
{
	struct side *s = arg;
	s->n_down[peer.v]++;
	s->down_err[peer.v] = err;
}

static uint64_t on_now(void *arg)
{
	return side_guest_now;
}

static int on_observe(void *arg, slice_id_t peer, uint64_t guest_ns)
{
	struct side *s = arg;
	s->observed = guest_ns;
	return guest_ns > SIDE_SKEW_MAX ? ERR_PROTOCOL : 0;
}

const struct xport_handler side_handler = {on_message, on_down, on_now, on_observe};

void sides_clear(void)
{
	memset(sides, 0, sizeof(sides));
	side_guest_now = 0;
}

void sides_destroy(void)
{
	for (unsigned i = 0; i < SIDES; i++) {
		if (sides[i].x != NULL)
			sides[i].x->ops->destroy(sides[i].x);
		sides[i].x = NULL;
	}
}

int side_post_page(unsigned from, unsigned to, uint16_t type, uint32_t value, const void *data)
{
	enum msg_class class;
	CHECK(wire_msg_class(type, &class) == 0);
	const struct xport_msg m = {.peer = {(uint16_t)to},
		.class = class,
		.type = type,
		.head = &value,
		.head_bytes = 4,
		.data = data,
		.data_bytes = data != NULL ? PAGE_BYTES : 0};
	return xport_send(sides[from].x, &m);
}

int side_post(unsigned from, unsigned to, uint16_t type, uint32_t value)
{
	return side_post_page(from, to, type, value, NULL);
}

void sides_run(void)
{
	for (unsigned i = 0; i < SIDES; i++)
		if (sides[i].x != NULL)
			sides[i].x->ops->progress(sides[i].x, 64);
}

static void check_pair(unsigned a, unsigned b)
{
	uint8_t page[PAGE_BYTES];
	uint32_t v = a * 100 + b;
	unsigned had = sides[b].n_got;
	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 13 + a * 16 + b);
	side_guest_now = v + 7;
	UT_OK(side_post_page(a, b, WIRE_PROBE_RESPONSE, v, page));
	RUN_UNTIL(sides[b].n_got == had + 1);
	UT_EQ(sides[b].got[had].peer.v, a);
	UT_EQ(sides[b].got[had].value, v);
	UT_EQ(sides[b].got[had].data_bytes, sizeof(page));
	UT_EQ(sides[b].observed, v + 7);
	UT_EQ_MEM(sides[b].data, page, sizeof(page));
}

void sides_check_pairs(unsigned n)
{
	for (unsigned a = 0; a < n; a++)
		for (unsigned b = 0; b < n; b++)
			if (a != b)
				check_pair(a, b);
}

/* --- threads ------------------------------------------------------------------------------------
 */

#define LANES 2u /* senders of a racer */

struct racer {
	struct xport *x;
	unsigned id, n;
	uint32_t rounds;
	uint32_t next[RACERS_MAX][LANES][MSG_CLASS_N]; /* [progress thread] */
	atomic_uint got;
	atomic_bool wrong;
};
static struct racer racers[RACERS_MAX];
static atomic_uint finished; /* racers that have got all */

struct lane {
	struct racer *racer;
	uint32_t lane;
	pthread_t thread;
};

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

const struct xport_handler race_handler = {.message = race_message, .down = race_down};

struct racer *racer_at(unsigned i)
{
	return &racers[i];
}

void racers_clear(void)
{
	memset(racers, 0, sizeof(racers));
}

static void *race_send(void *arg)
{
	static const uint16_t types[] = {
		WIRE_PROBE_REQUEST, WIRE_PROBE_FORWARD, WIRE_PROBE_RESPONSE};
	const struct lane *l = arg;
	const struct racer *r = l->racer;
	uint8_t page[PAGE_BYTES];
	for (uint32_t i = 0; i < r->rounds; i++) {
		memset(page, (int)(i & 255), sizeof(page));
		for (unsigned to = 0; to < r->n; to++)
			for (unsigned c = 0; to != r->id && c < MSG_CLASS_N; c++) {
				uint32_t v = i | l->lane << 31;
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
	const unsigned all = LANES * r->rounds * (r->n - 1) * MSG_CLASS_N;
	struct pollfd pfd = {.fd = r->x->ops->fd(r->x), .events = POLLIN};
	uint64_t end = side_now_ns() + 6 * PATIENCE_NS;
	bool counted = false;
	/* Until all have all: others still need our credits. */
	while (atomic_load(&finished) < r->n && !atomic_load(&r->wrong)) {
		if (r->x->ops->progress(r->x, 64) == 0 && r->x->ops->may_sleep(r->x))
			(void)poll(&pfd, 1, 20);
		if (!counted && atomic_load(&r->got) == all) {
			counted = true;
			atomic_fetch_add(&finished, 1);
		}
		if (side_now_ns() > end)
			atomic_store(&r->wrong, true);
	}
	return NULL;
}

void racers_run(struct xport *const *x, unsigned n, uint32_t rounds)
{
	pthread_t progress[RACERS_MAX];
	struct lane lanes[RACERS_MAX][LANES];
	atomic_store(&finished, 0);
	for (unsigned i = 0; i < n; i++) {
		racers[i].x = x[i];
		racers[i].id = i;
		racers[i].n = n;
		racers[i].rounds = rounds;
	}
	for (unsigned i = 0; i < n; i++) {
		CHECK(pthread_create(&progress[i], NULL, race_progress, &racers[i]) == 0);
		for (uint32_t j = 0; j < LANES; j++) {
			struct lane *l = &lanes[i][j];
			*l = (struct lane){.racer = &racers[i], .lane = j};
			CHECK(pthread_create(&l->thread, NULL, race_send, l) == 0);
		}
	}
	for (unsigned i = 0; i < n; i++) {
		CHECK(pthread_join(progress[i], NULL) == 0);
		for (unsigned j = 0; j < LANES; j++)
			CHECK(pthread_join(lanes[i][j].thread, NULL) == 0);
	}
	for (unsigned i = 0; i < n; i++)
		UT_CHECK(!atomic_load(&racers[i].wrong));
}
