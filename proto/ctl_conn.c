/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/ctl_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "proto/ctl_conn_int.h"

/*
 *   carrier ---> hello ---> ready ---> finishing ---> down
 *      |           |          |            |           ^
 *      +-----------+----------+------------+-----------+     any error, or the peer has gone
 */
static const struct sm_state conn_states[] = {
	[CONN_CARRIER] = {"carrier", SM_NEXT(CONN_HELLO) | SM_NEXT(CONN_DOWN)},
	[CONN_HELLO] = {"hello",
		SM_NEXT(CONN_READY) | SM_NEXT(CONN_FINISHING) | SM_NEXT(CONN_DOWN)},
	[CONN_READY] = {"ready", SM_NEXT(CONN_FINISHING) | SM_NEXT(CONN_DOWN)},
	[CONN_FINISHING] = {"finishing", SM_NEXT(CONN_DOWN)},
	[CONN_DOWN] = {"down", 0},
};
static const struct sm_table conn_table = {"ctl_conn", conn_states, ARRAY_SIZE(conn_states), NULL};

#define HANDSHAKE_NS UINT64_C(10000000000)
#define FINISH_NS    UINT64_C(5000000000)
#define READ_MAX     (4u << 20) /* in one go, so that one peer can not starve the others */

struct out_frame {
	struct list node;
	size_t len, done;
	unsigned n_fds;
	int fds[CTL_FDS_MAX];
	uint8_t bytes[];
};

struct request {
	struct list node;
	struct ctl_conn *conn;
	uint32_t id;
	uint16_t type;
	struct loop_timer *timer; /* NULL: waits for ever */
	ctl_reply_fn *fn;
	void *arg;
};

static void conn_free(struct ctl_conn *conn)
{
	loop_timer_destroy(conn->again);
	loop_timer_destroy(conn->timer);
	free(conn->in);
	OBJ_FINI(conn, CTL_CONN_MAGIC);
	free(conn);
}

void conn_enter(struct ctl_conn *conn)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	conn->calls++;
}

void conn_leave(struct ctl_conn *conn)
{
	if (--conn->calls == 0 && conn->dead)
		conn_free(conn);
}

uint32_t conn_new_id(struct ctl_conn *conn)
{
	uint32_t id = conn->next_id;

	conn->next_id += 2;
	return id;
}

static void frame_free(struct out_frame *f)
{
	for (unsigned i = 0; i < f->n_fds; i++)
		close(f->fds[i]);
	list_remove(&f->node);
	free(f);
}

static void fault_set(struct ctl_fault *fault, int err, const char *text)
{
	memset(fault, 0, sizeof(*fault));
	fault->code = (uint32_t)-err;
	snprintf(fault->text, sizeof(fault->text), "%s", text);
}

static void request_end(struct request *r, int err, const void *msg, const struct ctl_fault *fault)
{
	ctl_reply_fn *fn = r->fn;
	void *arg = r->arg;

	list_remove(&r->node);
	r->conn->n_requests--;
	if (r->timer != NULL)
		loop_timer_destroy(r->timer);
	free(r);
	fn(arg, err, msg, fault);
}

static void request_timeout(void *arg)
{
	struct request *r = arg;
	struct ctl_conn *conn = r->conn;
	struct ctl_fault fault;

	fault_set(&fault, ERR_TIMEOUT, "no answer in time");
	conn_enter(conn);
	request_end(r, ERR_TIMEOUT, NULL, &fault);
	conn_leave(conn);
}

/* Tear down everything but the struct; tells requests and streams. */
static void conn_close(struct ctl_conn *conn, int err, const char *why)
{
	struct ctl_fault fault;

	sm_move(&conn->sm, CONN_DOWN);
	loop_timer_disarm(conn->timer);
	loop_timer_disarm(conn->again);
	loop_fd_remove(conn->lf);
	conn->lf = NULL;
	while (!list_empty(&conn->out))
		frame_free(list_first(&conn->out, struct out_frame, node));
	conn->out_bytes = 0;
	conn->io->ops->destroy(conn->io);
	conn->io = NULL;
	streams_end(conn, err, why);
	fault_set(&fault, err, why);
	while (!list_empty(&conn->requests))
		request_end(list_first(&conn->requests, struct request, node), err, NULL, &fault);
}

static void conn_down(struct ctl_conn *conn, int err, const char *text)
{
	char why[256]; /* `text` may lie in the carrier, which is about to go */

	if (sm_state(&conn->sm) == CONN_DOWN)
		return;
	snprintf(why, sizeof(why), "%s", text);
	conn_enter(conn);
	conn_close(conn, err, why);
	if (!conn->dead)
		conn->ops->down(conn->arg, conn, err, why);
	conn_leave(conn);
}

void conn_fail(struct ctl_conn *conn, int err, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	conn_down(conn, err, why);
}

void ctl_conn_destroy(struct ctl_conn *conn)
{
	if (conn == NULL)
		return;
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	CHECK(!conn->dead);
	conn_enter(conn);
	conn->dead = true;
	if (sm_state(&conn->sm) != CONN_DOWN)
		conn_close(conn, ERR_CANCELED, "closed");
	conn_leave(conn);
}

static void update_events(struct ctl_conn *conn)
{
	unsigned events = sm_state(&conn->sm) == CONN_FINISHING ? 0 : LOOP_READ;

	if (conn->io->want_write ||
		(!list_empty(&conn->out) && sm_state(&conn->sm) != CONN_CARRIER))
		events |= LOOP_WRITE;
	loop_fd_set(conn->lf, events);
}

static void flush(struct ctl_conn *conn)
{
	while (!list_empty(&conn->out) && sm_state(&conn->sm) != CONN_CARRIER) {
		struct out_frame *f = list_first(&conn->out, struct out_frame, node);
		size_t done = 0;
		int err = conn->io->ops->write(
			conn->io, f->bytes + f->done, f->len - f->done, f->fds, f->n_fds, &done);
		if (err == ERR_AGAIN)
			break;
		if (err != 0) {
			conn_down(conn, err, conn->io->why);
			return;
		}
		conn->said_ns = clock_now_ns(clock_host());
		f->done += done;
		conn->out_bytes -= done;
		if (f->done == f->len)
			frame_free(f);
	}
	if (sm_state(&conn->sm) == CONN_FINISHING && list_empty(&conn->out)) {
		conn_down(conn, conn->finish_err, conn->finish_why);
		return;
	}
	update_events(conn);
}

/*
 * Queue only: writing happens from the loop, so that a caller never finds its connection gone below
 * it by a mere send.
 */
static int queue_frame(struct ctl_conn *conn, const struct ctl_head *head, const void *payload,
	const int *fds, unsigned n_fds)
{
	size_t len = CTL_HEAD_BYTES + head->payload_bytes;

	if (conn->out_bytes + len > CTL_OUT_MAX)
		return ERR_FULL;
	struct out_frame *f = malloc(sizeof(*f) + len);
	if (f == NULL)
		return ERR_NO_MEMORY;
	f->len = len;
	f->done = 0;
	f->n_fds = 0;
	list_init(&f->node);
	ctl_head_encode(head, f->bytes);
	if (head->payload_bytes != 0)
		memcpy(f->bytes + CTL_HEAD_BYTES, payload, head->payload_bytes);
	for (unsigned i = 0; i < n_fds; i++) {
		f->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (f->fds[i] < 0) {
			frame_free(f);
			return ERR_NO_FD;
		}
		f->n_fds++;
	}
	list_push_back(&conn->out, &f->node);
	conn->out_bytes += len;
	update_events(conn);
	return 0;
}

/* A frame that can not be queued ends the connection, but from the loop: see queue_frame(). */
static void fail_later(struct ctl_conn *conn, int err, const char *why)
{
	if (conn->finish_err != 0)
		return;
	conn->finish_err = err;
	snprintf(conn->finish_why, sizeof(conn->finish_why), "%s", why);
	loop_timer_arm(conn->again, 0);
}

static bool may_send(const struct ctl_conn *conn)
{
	return sm_state(&conn->sm) == CONN_READY || sm_state(&conn->sm) == CONN_HELLO;
}

void conn_send_raw(struct ctl_conn *conn, uint16_t type, uint16_t flags, uint32_t id,
	const void *buf, size_t len)
{
	struct ctl_head head = {(uint32_t)len, type, flags, id};

	if (!may_send(conn))
		return;
	int err = queue_frame(conn, &head, buf, NULL, 0);
	if (err != 0)
		fail_later(conn, err, "the peer does not read what it is sent");
}

void conn_send_msg(struct ctl_conn *conn, uint16_t type, uint16_t flags, uint32_t id,
	enum ctl_msg msg, const void *plain)
{
	uint8_t *buf;
	size_t len;

	if (!may_send(conn))
		return;
	int err = ctl_msg_encode(msg, plain, conn->params.payload_max, &buf, &len);
	if (err != 0) {
		fail_later(conn, err, "a message is too long for the protocol");
		return;
	}
	conn_send_raw(conn, type, flags, id, buf, len);
	free(buf);
}

int ctl_conn_request(struct ctl_conn *conn, uint16_t type, const void *msg, const int *fds,
	unsigned n_fds, uint64_t timeout_ns, ctl_reply_fn *fn, void *arg, uint32_t *id)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	CHECK(n_fds <= CTL_FDS_MAX && ctl_type_reply(type) != CTL_MSG_none);
	uint8_t *buf;
	size_t len;

	if (sm_state(&conn->sm) != CONN_READY)
		return ERR_STATE;
	if (conn->n_requests >= CTL_REQUESTS_MAX)
		return ERR_FULL;
	int err = ctl_msg_encode(ctl_type_request(type), msg, conn->params.payload_max, &buf, &len);
	if (err != 0)
		return err;
	struct request *r = calloc(1, sizeof(*r));
	if (r == NULL) {
		err = ERR_NO_MEMORY;
		goto undo_buf;
	}
	*r = (struct request){
		.conn = conn, .id = conn_new_id(conn), .type = type, .fn = fn, .arg = arg};
	if (timeout_ns != 0) {
		err = loop_timer_create(conn->loop, request_timeout, r, &r->timer);
		if (err != 0)
			goto undo_request;
		loop_timer_arm(r->timer, timeout_ns);
	}
	struct ctl_head head = {(uint32_t)len, type, 0, r->id};
	err = queue_frame(conn, &head, buf, fds, n_fds);
	if (err != 0)
		goto undo_timer;
	list_push_back(&conn->requests, &r->node);
	conn->n_requests++;
	if (id != NULL)
		*id = r->id;
	free(buf);
	return 0;
undo_timer:
	if (r->timer != NULL)
		loop_timer_destroy(r->timer);
undo_request:
	free(r);
undo_buf:
	free(buf);
	return err;
}

void ctl_conn_event(struct ctl_conn *conn, uint16_t type, uint32_t id, const void *msg)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	if (sm_state(&conn->sm) == CONN_READY)
		conn_send_msg(conn, type, 0, id, ctl_type_request(type), msg);
}

void ctl_conn_reply(struct ctl_conn *conn, uint16_t type, uint32_t id, const void *msg)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	if (conn->n_serving > 0)
		conn->n_serving--;
	conn_send_msg(conn, type, CTL_FLAG_REPLY, id, ctl_type_reply(type), msg);
}

void ctl_conn_refuse_fault(
	struct ctl_conn *conn, uint16_t type, uint32_t id, const struct ctl_fault *fault)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	if (conn->n_serving > 0)
		conn->n_serving--;
	if (type == CTL_STREAM_OPEN)
		stream_refused(conn, id);
	conn_send_msg(conn, type, CTL_FLAG_REPLY | CTL_FLAG_FAULT, id, CTL_MSG_fault, fault);
}

void ctl_conn_refuse(struct ctl_conn *conn, uint16_t type, uint32_t id, int err, const char *hint,
	const char *fmt, ...)
{
	struct ctl_fault fault = {.code = (uint32_t)-err};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fault.text, sizeof(fault.text), fmt, ap);
	va_end(ap);
	snprintf(fault.hint, sizeof(fault.hint), "%s", hint == NULL ? "" : hint);
	ctl_conn_refuse_fault(conn, type, id, &fault);
}

void ctl_conn_finish(struct ctl_conn *conn, int err, const char *why)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	if (!sm_may(&conn->sm, CONN_FINISHING))
		return;
	conn->finish_err = err;
	snprintf(conn->finish_why, sizeof(conn->finish_why), "%s", why);
	sm_move(&conn->sm, CONN_FINISHING);
	loop_timer_arm(conn->timer, FINISH_NS);
	update_events(conn);
	if (list_empty(&conn->out))
		loop_timer_arm(conn->again, 0);
}

struct ctl_io *ctl_conn_io(struct ctl_conn *conn)
{
	return conn->io;
}

/* --- input ----------------------------------------------------------------------------------- */

static void become_ready(struct ctl_conn *conn, const struct ctl_hello *peer)
{
	sm_move(&conn->sm, CONN_READY);
	conn->heard_ns = conn->said_ns = clock_now_ns(clock_host());
	loop_timer_disarm(conn->timer);
	if (conn->params.idle_ns != 0)
		loop_timer_arm(conn->timer, conn->params.idle_ns / 3);
	conn->ops->ready(conn->arg, conn, peer);
}

static void rx_hello(struct ctl_conn *conn, const struct ctl_hello *peer, uint32_t id)
{
	const struct ctl_hello *own = &conn->params.hello;

	if (peer->major == own->major) {
		conn_send_msg(conn, CTL_HELLO, CTL_FLAG_REPLY, id, CTL_MSG_hello, own);
		become_ready(conn, peer);
		return;
	}
	log_limited(wire, "handshake refused, peer %s %s, its protocol %u, ours %u", peer->program,
		peer->version, peer->major, own->major);
	ctl_conn_refuse(conn, CTL_HELLO, id, ERR_VERSION, "install the same release on both sides",
		"%s %s speaks version %u of the control protocol, %s %s speaks %u", own->program,
		own->version, own->major, peer->program, peer->version, peer->major);
	ctl_conn_finish(
		conn, ERR_VERSION, "the peer speaks another version of the control protocol");
}

static void rx_hello_reply(struct ctl_conn *conn, const struct ctl_head *head, const uint8_t *buf)
{
	struct ctl_fault fault;
	struct ctl_hello peer;

	if ((head->flags & CTL_FLAG_FAULT) != 0) {
		if (ctl_msg_decode(CTL_MSG_fault, buf, head->payload_bytes, &fault) != 0)
			conn_fail(conn, ERR_PROTOCOL, "malformed answer to the handshake");
		else
			conn_fail(conn, -(int)(fault.code & 0xffff), "%.160s; %.80s", fault.text,
				fault.hint);
	} else if (ctl_msg_decode(CTL_MSG_hello, buf, head->payload_bytes, &peer) != 0) {
		conn_fail(conn, ERR_PROTOCOL, "malformed answer to the handshake");
	} else {
		become_ready(conn, &peer);
	}
}

static struct request *request_find(struct ctl_conn *conn, uint32_t id)
{
	list_foreach(it, &conn->requests)
	{
		struct request *r = list_entry(it, struct request, node);
		if (r->id == id)
			return r;
	}
	return NULL;
}

static int code_of(const struct ctl_fault *fault)
{
	return fault->code == 0 || fault->code > 0xffff ? ERR_PROTOCOL : -(int)fault->code;
}

static void rx_reply(struct ctl_conn *conn, const struct ctl_head *head, const uint8_t *buf)
{
	bool refused = (head->flags & CTL_FLAG_FAULT) != 0;
	enum ctl_msg msg = refused ? CTL_MSG_fault : ctl_type_reply(head->type);
	struct request *r = request_find(conn, head->id);

	if (msg == CTL_MSG_none || (r != NULL && r->type != head->type)) {
		conn_fail(conn, ERR_PROTOCOL, "an answer of type %u fits no request", head->type);
		return;
	}
	if (r == NULL && head->type != CTL_STREAM_OPEN)
		return; /* timed out here meanwhile */
	void *plain = malloc(ctl_msg_bytes(msg));
	if (plain == NULL || ctl_msg_decode(msg, buf, head->payload_bytes, plain) != 0) {
		free(plain);
		conn_fail(conn, ERR_PROTOCOL, "malformed answer of type %u", head->type);
		return;
	}
	if (r == NULL)
		stream_rx_reply(conn, head->id, refused ? plain : NULL);
	else if (refused)
		request_end(r, code_of(plain), NULL, plain);
	else
		request_end(r, 0, plain, NULL);
	ctl_msg_fini(msg, plain);
	free(plain);
}

static void rx_deliver(struct ctl_conn *conn, struct ctl_rx *rx)
{
	if (rx->type == CTL_STREAM_CREDIT)
		stream_rx_credit(conn, rx->id, ((const struct ctl_stream_credit *)rx->msg)->bytes);
	else if (rx->type == CTL_STREAM_CLOSE)
		stream_rx_close(conn, rx->id, rx->msg);
	else if (rx->type == CTL_PING)
		return; /* has done its work by arriving */
	else if (ctl_type_reply(rx->type) == CTL_MSG_none)
		conn->ops->event(conn->arg, conn, rx);
	else if (conn->n_serving >= CTL_REQUESTS_MAX)
		conn_fail(conn, ERR_PROTOCOL, "the peer has too many unanswered requests");
	else {
		conn->n_serving++;
		if (rx->type == CTL_STREAM_OPEN)
			stream_rx_open(conn, rx);
		else
			conn->ops->request(conn->arg, conn, rx);
	}
}

/* A request or an event. */
static void rx_message(struct ctl_conn *conn, const struct ctl_head *head, const uint8_t *buf,
	int *fds, unsigned n_fds)
{
	enum ctl_msg msg = ctl_type_request(head->type);

	if (msg == CTL_MSG_none) {
		/* A later minor version may ask what we do not know. An unknown event looks the
		 * same: it ignores us. */
		ctl_conn_refuse(conn, head->type, head->id, ERR_UNSUPPORTED,
			"install the newer release here too",
			"%s %s does not know requests of type %u", conn->params.hello.program,
			conn->params.hello.version, head->type);
		return;
	}
	void *plain = malloc(ctl_msg_bytes(msg));
	int err = plain == NULL ? ERR_NO_MEMORY
				: ctl_msg_decode(msg, buf, head->payload_bytes, plain);
	if (err != 0) {
		conn_fail(conn, ERR_PROTOCOL, "malformed %s: %s", ctl_type_name(head->type),
			err_text(err));
	} else if (head->type == CTL_HELLO) {
		if (sm_state(&conn->sm) == CONN_HELLO && !conn->params.connector)
			rx_hello(conn, plain, head->id);
		else
			conn_fail(conn, ERR_PROTOCOL, "a second handshake");
	} else {
		struct ctl_rx rx = {head->type, head->id, plain, fds, n_fds};
		rx_deliver(conn, &rx);
	}
	if (err == 0)
		ctl_msg_fini(msg, plain);
	free(plain);
}

static void rx_frame(struct ctl_conn *conn, const struct ctl_head *head, const uint8_t *buf,
	int *fds, unsigned n_fds)
{
	bool reply = (head->flags & CTL_FLAG_REPLY) != 0;

	if (sm_state(&conn->sm) == CONN_HELLO && head->type != CTL_HELLO)
		conn_fail(conn, ERR_PROTOCOL, "the peer does not begin with a handshake");
	else if (head->type == CTL_TYPE_STREAM_DATA)
		stream_rx_data(conn, head, buf);
	else if (reply && head->type == CTL_HELLO) {
		if (sm_state(&conn->sm) == CONN_HELLO && conn->params.connector)
			rx_hello_reply(conn, head, buf);
		else
			conn_fail(conn, ERR_PROTOCOL, "a second handshake");
	} else if (reply)
		rx_reply(conn, head, buf);
	else
		rx_message(conn, head, buf, fds, n_fds);
}

static bool taking_input(const struct ctl_conn *conn)
{
	return sm_state(&conn->sm) == CONN_HELLO || sm_state(&conn->sm) == CONN_READY;
}

/* All whole frames in the buffer. */
static void parse(struct ctl_conn *conn, int *fds, unsigned n_fds)
{
	size_t at = 0;
	struct ctl_head head;

	while (taking_input(conn) && conn->in_len - at >= CTL_HEAD_BYTES) {
		if (ctl_head_decode(conn->in + at, conn->params.payload_max, &head) != 0) {
			conn_fail(conn, ERR_PROTOCOL, "a frame is longer than the protocol allows");
			return;
		}
		size_t len = CTL_HEAD_BYTES + head.payload_bytes;
		if (conn->in_len - at < len)
			break;
		rx_frame(conn, &head, conn->in + at + CTL_HEAD_BYTES, fds, n_fds);
		at += len;
	}
	if (!taking_input(conn)) {
		conn->in_len = 0;
		return;
	}
	if (conn->io->packets && at != conn->in_len) {
		conn_fail(conn, ERR_PROTOCOL, "a packet is not a frame");
		return;
	}
	memmove(conn->in, conn->in + at, conn->in_len - at);
	conn->in_len -= at;
}

static bool in_grow(struct ctl_conn *conn)
{
	size_t max = CTL_HEAD_BYTES + (size_t)conn->params.payload_max;
	size_t cap = conn->io->packets ? max : MIN(max, MAX((size_t)16384, conn->in_cap * 2));

	if (conn->in_len < conn->in_cap)
		return true;
	uint8_t *in = cap > conn->in_cap ? realloc(conn->in, cap) : NULL;
	if (in == NULL)
		return false;
	conn->in = in;
	conn->in_cap = cap;
	return true;
}

static void read_some(struct ctl_conn *conn)
{
	size_t total = 0;

	while (taking_input(conn) && total < READ_MAX) {
		int fds[CTL_FDS_MAX];
		unsigned n_fds = 0;
		size_t done = 0;

		if (!in_grow(conn)) {
			conn_fail(conn, ERR_NO_MEMORY, "out of memory");
			return;
		}
		int err = conn->io->ops->read(conn->io, conn->in + conn->in_len,
			conn->in_cap - conn->in_len, &done, fds, &n_fds);
		if (err == ERR_AGAIN)
			return;
		if (err != 0) {
			conn_down(conn, err, conn->io->why);
			return;
		}
		total += done;
		conn->in_len += done;
		conn->heard_ns = clock_now_ns(clock_host());
		parse(conn, fds, n_fds);
		for (unsigned i = 0; i < n_fds; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
	if (taking_input(conn) && conn->io->ops->pending != NULL &&
		conn->io->ops->pending(conn->io))
		loop_timer_arm(conn->again, 0);
}

static void carrier_step(struct ctl_conn *conn)
{
	conn->io->want_write = false;
	int err = conn->io->ops->handshake(conn->io);

	if (err == ERR_AGAIN) {
		update_events(conn);
		return;
	}
	if (err != 0) {
		conn_down(conn, err, conn->io->why);
		return;
	}
	sm_move(&conn->sm, CONN_HELLO);
	if (conn->params.connector)
		conn_send_msg(
			conn, CTL_HELLO, 0, conn_new_id(conn), CTL_MSG_hello, &conn->params.hello);
	update_events(conn);
}

static void conn_work(struct ctl_conn *conn)
{
	conn_enter(conn);
	if (sm_state(&conn->sm) == CONN_CARRIER)
		carrier_step(conn);
	if (sm_state(&conn->sm) != CONN_CARRIER && sm_state(&conn->sm) != CONN_DOWN)
		conn->io->want_write = false;
	if (taking_input(conn))
		read_some(conn);
	if (conn->finish_err != 0 && taking_input(conn))
		conn_down(conn, conn->finish_err, conn->finish_why);
	if (sm_state(&conn->sm) != CONN_DOWN)
		flush(conn);
	conn_leave(conn);
}

static void on_fd(void *arg, int fd, unsigned ready)
{
	conn_work(arg);
}

static void on_again(void *arg)
{
	conn_work(arg);
}

static void on_timer(void *arg)
{
	struct ctl_conn *conn = arg;
	uint64_t now = clock_now_ns(clock_host());
	struct ctl_nothing nothing;

	conn_enter(conn);
	if (sm_state(&conn->sm) == CONN_FINISHING) {
		conn_down(conn, conn->finish_err, conn->finish_why);
	} else if (sm_state(&conn->sm) != CONN_READY) {
		conn_fail(conn, ERR_TIMEOUT,
			"no handshake in time; is this the right port, and is the peer alive?");
	} else if (now - conn->heard_ns > conn->params.idle_ns) {
		conn_fail(conn, ERR_TIMEOUT, "nothing heard for %llu s",
			(unsigned long long)(conn->params.idle_ns / 1000000000));
	} else {
		conn_send_msg(conn, CTL_PING, 0, 0, CTL_MSG_nothing, &nothing);
		loop_timer_arm(conn->timer, conn->params.idle_ns / 3);
	}
	conn_leave(conn);
}

int ctl_conn_create(struct loop *loop, struct ctl_io *io, const struct ctl_conn_params *params,
	const struct ctl_conn_ops *ops, void *arg, struct ctl_conn **out)
{
	struct ctl_conn *conn = calloc(1, sizeof(*conn));
	int err = ERR_NO_MEMORY;

	if (conn == NULL)
		goto undo_io;
	OBJ_INIT(conn, CTL_CONN_MAGIC);
	conn->loop = loop;
	conn->io = io;
	conn->ops = ops;
	conn->arg = arg;
	conn->params = *params;
	if (conn->params.hello.major == 0) {
		conn->params.hello.major = CTL_VERSION_MAJOR;
		conn->params.hello.minor = CTL_VERSION_MINOR;
	}
	if (conn->params.payload_max == 0)
		conn->params.payload_max = io->packets ? CTL_PAYLOAD_LOCAL_MAX : CTL_PAYLOAD_MAX;
	conn->next_id = params->connector ? 1 : 2;
	list_init(&conn->out);
	list_init(&conn->requests);
	list_init(&conn->streams);
	sm_init(&conn->sm, &conn_table, conn, (uint64_t)io->fd);
	err = loop_timer_create(loop, on_timer, conn, &conn->timer);
	if (err != 0)
		goto undo_conn;
	err = loop_timer_create(loop, on_again, conn, &conn->again);
	if (err != 0)
		goto undo_timer;
	err = loop_fd_add(loop, io->fd, LOOP_READ | LOOP_WRITE, on_fd, conn, &conn->lf);
	if (err != 0)
		goto undo_again;
	loop_timer_arm(
		conn->timer, params->handshake_ns == 0 ? HANDSHAKE_NS : params->handshake_ns);
	*out = conn;
	return 0;
undo_again:
	loop_timer_destroy(conn->again);
undo_timer:
	loop_timer_destroy(conn->timer);
undo_conn:
	free(conn);
undo_io:
	io->ops->destroy(io);
	return err;
}
