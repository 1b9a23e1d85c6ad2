/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/ctl_conn.h"
#include "tests/lib/ut.h"
#include "tests/unit/proto/ctl_pair.h"

UT_SUITE(ctl_stream);

/* One end of a stream: sends `to_send` bytes of a pattern, checks what comes. */
struct flow {
	struct ctl_stream *s;
	bool opened, hold; /* hold: do not consume */
	uint64_t to_send, sent, got, held;
	unsigned closed;
	struct ctl_stream_close close;
};

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 7 + i / 253);
}

static void pump(struct flow *f)
{
	uint8_t buf[10000];

	while (f->s != NULL && f->sent < f->to_send) {
		size_t n = MIN(sizeof(buf), f->to_send - f->sent);
		for (size_t i = 0; i < n; i++)
			buf[i] = byte_at(f->sent + i);
		size_t took = ctl_stream_write(f->s, CTL_CHANNEL_ERR, buf, n);
		f->sent += took;
		if (took < n)
			return;
	}
}

static void on_opened(void *arg, struct ctl_stream *s)
{
	struct flow *f = arg;

	f->opened = true;
	pump(f);
}

static void on_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct flow *f = arg;

	UT_EQ(channel, CTL_CHANNEL_ERR);
	for (size_t i = 0; i < len; i++)
		if (((const uint8_t *)buf)[i] != byte_at(f->got + i))
			UT_FAIL("byte %llu differs", (unsigned long long)(f->got + i));
	f->got += len;
	if (f->hold)
		f->held += len;
	else
		ctl_stream_consumed(s, len);
}

static void on_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	pump(arg);
}

static void on_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct flow *f = arg;

	f->closed++;
	f->close = *close;
	f->s = NULL;
}

static const struct ctl_stream_ops ops = {on_opened, on_data, on_credit, on_closed};
static const struct ctl_stream_open open_msg = {.vm = "x", .kind = CTL_STREAM_CONSOLE};

static void serve_accept(struct end *e, const struct ctl_rx *rx)
{
	struct flow *f = e->arg;

	f->s = ctl_stream_accept(e->conn, rx->id, &ops, f);
	f->opened = true;
	pump(f);
}

static void serve_refuse(struct end *e, const struct ctl_rx *rx)
{
	ctl_conn_refuse(e->conn, rx->type, rx->id, ERR_STATE, "start it", "it is off");
}

static void open_pair(struct pair *p, struct flow *near, struct flow *far)
{
	pair_init(p, NULL, NULL);
	PAIR_UNTIL(p, p->a.ready && p->b.ready);
	p->b.serve = serve_accept;
	p->b.arg = far;
	UT_OK(ctl_stream_open(p->a.conn, &open_msg, &ops, near, &near->s));
}

UT_TEST(bytes_both_ways)
{
	struct flow near = {.to_send = 3000000}, far = {.to_send = 2000000};
	struct pair p;
	struct ctl_stream_close bye = {.exit_status = 5};

	open_pair(&p, &near, &far);
	PAIR_UNTIL(&p, far.got == near.to_send && near.got == far.to_send);
	ctl_stream_close(far.s, &bye);
	PAIR_UNTIL(&p, near.closed == 1);
	UT_EQ(near.close.exit_status, 5);
	UT_EQ(far.closed, 0);
	pair_fini(&p);
	UT_EQ(near.closed, 1);
}

UT_TEST(window)
{
	struct flow near = {.to_send = 1000000}, far = {.hold = true};
	struct pair p;

	open_pair(&p, &near, &far);
	PAIR_UNTIL(&p, far.got == CTL_STREAM_WINDOW);
	UT_EQ(near.sent, CTL_STREAM_WINDOW);
	UT_EQ(ctl_stream_credit(near.s), 0);
	for (int i = 0; i < 10; i++)
		loop_once(p.loop, 5);
	UT_EQ(far.got, CTL_STREAM_WINDOW);
	far.hold = false;
	ctl_stream_consumed(far.s, far.held);
	PAIR_UNTIL(&p, far.got == 1000000);
	pair_fini(&p);
	UT_EQ(near.closed + far.closed, 2);
	UT_EQ(near.close.code, (uint32_t)-ERR_CANCELED);
}

UT_TEST(refused)
{
	struct flow near = {.to_send = 1}, far = {.to_send = 0};
	struct pair p;

	open_pair(&p, &near, &far);
	p.b.serve = serve_refuse;
	PAIR_UNTIL(&p, near.closed == 1);
	UT_CHECK(!near.opened);
	UT_EQ(near.close.code, (uint32_t)-ERR_STATE);
	UT_EQ_STR(near.close.text, "it is off; start it");
	pair_fini(&p);
}

UT_TEST(closed_before_it_is_answered)
{
	struct flow near = {.to_send = 1}, far = {.to_send = 0};
	struct ctl_stream_close bye = {.code = 0};
	struct pair p;

	open_pair(&p, &near, &far);
	ctl_stream_close(near.s, &bye);
	near.s = NULL;
	PAIR_UNTIL(&p, far.closed == 1);
	UT_EQ(near.closed, 0);
	UT_CHECK(p.a.conn != NULL && p.b.conn != NULL);
	pair_fini(&p);
}

UT_TEST(many)
{
	struct flow near[CTL_STREAMS_MAX + 1], far = {.to_send = 0};
	struct pair p;

	memset(near, 0, sizeof(near));
	open_pair(&p, &near[0], &far);
	for (unsigned i = 1; i < CTL_STREAMS_MAX; i++)
		UT_OK(ctl_stream_open(p.a.conn, &open_msg, &ops, &near[i], &near[i].s));
	UT_ERR(ctl_stream_open(
		       p.a.conn, &open_msg, &ops, &near[CTL_STREAMS_MAX], &near[CTL_STREAMS_MAX].s),
		FULL);
	PAIR_UNTIL(&p, near[CTL_STREAMS_MAX - 1].opened);
	pair_fini(&p);
	for (unsigned i = 0; i < CTL_STREAMS_MAX; i++)
		UT_EQ(near[i].closed, 1);
}

/* user -- p -- relay -- (a2, b2) -- guest */
struct chain {
	struct pair p;
	struct end a2, b2;
	struct flow user, guest;
};

static void serve_relay(struct end *e, const struct ctl_rx *rx)
{
	struct chain *c = e->arg;

	ctl_relay(e->conn, rx->id, c->a2.conn, rx->msg);
}

static void chain_init(struct chain *c)
{
	pair_init(&c->p, NULL, NULL);
	pair_more(&c->p, &c->a2, &c->b2);
	PAIR_UNTIL(&c->p, c->p.a.ready && c->p.b.ready && c->a2.ready && c->b2.ready);
	c->p.b.serve = serve_relay;
	c->p.b.arg = c;
	c->b2.serve = serve_accept;
	c->b2.arg = &c->guest;
	UT_OK(ctl_stream_open(c->p.a.conn, &open_msg, &ops, &c->user, &c->user.s));
}

static void chain_fini(struct chain *c)
{
	ctl_conn_destroy(c->a2.conn);
	ctl_conn_destroy(c->b2.conn);
	pair_fini(&c->p);
}

UT_TEST(relay_bytes)
{
	struct chain c = {.user = {.to_send = 2000000}, .guest = {.to_send = 3000000}};
	struct ctl_stream_close bye = {.code = 50, .reason = CTL_STOP_PANIC, .text = "panic"};

	chain_init(&c);
	PAIR_UNTIL(&c.p, c.user.got == 3000000 && c.guest.got == 2000000);
	ctl_stream_close(c.guest.s, &bye);
	PAIR_UNTIL(&c.p, c.user.closed == 1);
	UT_EQ(c.user.close.reason, CTL_STOP_PANIC);
	UT_EQ_STR(c.user.close.text, "panic");
	chain_fini(&c);
}

/* One window over both hops: the relay holds nothing. */
UT_TEST(relay_window)
{
	struct chain c = {.user = {.hold = true}, .guest = {.to_send = 3000000}};

	chain_init(&c);
	PAIR_UNTIL(&c.p, c.user.got == CTL_STREAM_WINDOW);
	for (int i = 0; i < 10; i++)
		loop_once(c.p.loop, 5);
	UT_EQ(c.guest.sent, CTL_STREAM_WINDOW);
	c.user.hold = false;
	ctl_stream_consumed(c.user.s, c.user.held);
	PAIR_UNTIL(&c.p, c.user.got == 3000000);
	chain_fini(&c);
}

UT_TEST(relay_refusal_passes)
{
	struct chain c = {.user = {.to_send = 1}};

	chain_init(&c);
	c.b2.serve = serve_refuse;
	PAIR_UNTIL(&c.p, c.user.closed == 1);
	UT_EQ(c.user.close.code, (uint32_t)-ERR_STATE);
	UT_HAS_STR(c.user.close.text, "it is off");
	chain_fini(&c);
}

/* Each hop breaks in turn, before and after the stream is open. */
UT_TEST(relay_ends)
{
	for (unsigned when = 0; when < 2; when++) {
		for (unsigned which = 0; which < 4; which++) {
			struct chain c = {.user = {.to_send = 1000}};
			struct end *ends[4] = {&c.p.a, &c.p.b, &c.a2, &c.b2};
			chain_init(&c);
			if (when == 1)
				PAIR_UNTIL(&c.p, c.user.opened && c.guest.got == 1000);
			else if (which > 0)
				PAIR_UNTIL(&c.p, c.p.b.requests == 1);
			ctl_conn_destroy(ends[which]->conn);
			ends[which]->conn = NULL;
			PAIR_UNTIL(&c.p, c.user.closed == 1);
			if (c.guest.opened)
				PAIR_UNTIL(&c.p, c.guest.closed == 1);
			chain_fini(&c);
		}
	}
}
