/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/ctl_conn_int.h"

/*
 * Byte streams of a control connection.
 *
 *   opener:   opening --OPEN answered--> open --close, either side--> gone
 *   acceptor: offered --claim--> claimed --confirm--> open
 *                `---refuse--> gone <--refuse-'
 *
 * An offered stream is claimed or refused before the callback returns; from then on its owner hears
 * of its end. Each side may send CTL_STREAM_WINDOW bytes beyond what the other has declared
 * consumed; more is a violation.
 */
enum stream_state { STREAM_OPENING, STREAM_OFFERED, STREAM_CLAIMED, STREAM_OPEN };

#define STREAM_MAGIC 0x4353544du /* CSTM */
#define CREDIT_BATCH (CTL_STREAM_WINDOW / 16)

struct ctl_stream {
	uint32_t magic;
	struct list node;
	struct ctl_conn *conn;
	uint32_t id;
	enum stream_state state;
	const struct ctl_stream_ops *ops;
	void *arg;
	uint32_t tx_credit;
	uint32_t rx_credit;   /* what the peer may still send */
	uint32_t rx_consumed; /* not yet told to it */
};

static struct ctl_stream *stream_find(struct ctl_conn *conn, uint32_t id)
{
	list_foreach(it, &conn->streams)
	{
		struct ctl_stream *s = list_entry(it, struct ctl_stream, node);
		if (s->id == id)
			return s;
	}
	return NULL;
}

static struct ctl_stream *stream_new(struct ctl_conn *conn, uint32_t id, enum stream_state state)
{
	struct ctl_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	OBJ_INIT(s, STREAM_MAGIC);
	s->conn = conn;
	s->id = id;
	s->state = state;
	s->tx_credit = s->rx_credit = CTL_STREAM_WINDOW;
	list_push_back(&conn->streams, &s->node);
	conn->n_streams++;
	return s;
}

static void stream_free(struct ctl_stream *s)
{
	OBJ_FINI(s, STREAM_MAGIC);
	list_remove(&s->node);
	s->conn->n_streams--;
	free(s);
}

static void close_set(struct ctl_stream_close *close, int err, const char *text)
{
	memset(close, 0, sizeof(*close));
	close->code = (uint32_t)-err;
	snprintf(close->text, sizeof(close->text), "%s", text);
}

/* Free it, then tell its owner, who may not use it any more. */
static void stream_end(struct ctl_stream *s, const struct ctl_stream_close *close)
{
	const struct ctl_stream_ops *ops = s->ops;
	void *arg = s->arg;
	bool owned = s->state != STREAM_OFFERED;

	stream_free(s);
	if (owned)
		ops->closed(arg, s, close);
}

int ctl_stream_open(struct ctl_conn *conn, const struct ctl_stream_open *open,
	const struct ctl_stream_ops *ops, void *arg, struct ctl_stream **out)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	if (sm_state(&conn->sm) != CONN_READY)
		return ERR_STATE;
	if (conn->n_streams >= CTL_STREAMS_MAX)
		return ERR_FULL;
	struct ctl_stream *s = stream_new(conn, conn_new_id(conn), STREAM_OPENING);
	if (s == NULL)
		return ERR_NO_MEMORY;
	s->ops = ops;
	s->arg = arg;
	conn_send_msg(conn, CTL_STREAM_OPEN, 0, s->id, CTL_MSG_stream_open, open);
	*out = s;
	return 0;
}

static struct ctl_stream *stream_claim(
	struct ctl_conn *conn, uint32_t id, const struct ctl_stream_ops *ops, void *arg)
{
	OBJ_CHECK(conn, CTL_CONN_MAGIC);
	struct ctl_stream *s = stream_find(conn, id);

	CHECK(s != NULL && s->state == STREAM_OFFERED);
	s->state = STREAM_CLAIMED;
	s->ops = ops;
	s->arg = arg;
	return s;
}

static void stream_confirm(struct ctl_stream *s)
{
	struct ctl_nothing nothing;

	CHECK(s->state == STREAM_CLAIMED);
	s->state = STREAM_OPEN;
	ctl_conn_reply(s->conn, CTL_STREAM_OPEN, s->id, &nothing);
}

struct ctl_stream *ctl_stream_accept(
	struct ctl_conn *conn, uint32_t id, const struct ctl_stream_ops *ops, void *arg)
{
	struct ctl_stream *s = stream_claim(conn, id, ops, arg);

	stream_confirm(s);
	return s;
}

size_t ctl_stream_write(struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	size_t take = MIN(len, (size_t)s->tx_credit);

	for (size_t at = 0; at < take;) {
		size_t n = MIN(take - at, (size_t)CTL_STREAM_CHUNK_MAX);
		conn_send_raw(s->conn, CTL_TYPE_STREAM_DATA,
			(uint16_t)(channel << CTL_FLAG_CHANNEL_SHIFT), s->id,
			(const uint8_t *)buf + at, n);
		at += n;
	}
	s->tx_credit -= (uint32_t)take;
	return take;
}

uint32_t ctl_stream_credit(const struct ctl_stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	return s->tx_credit;
}

void ctl_stream_consumed(struct ctl_stream *s, size_t bytes)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	CHECK(bytes <= CTL_STREAM_WINDOW - s->rx_credit - s->rx_consumed);
	s->rx_consumed += (uint32_t)bytes;
	if (s->rx_consumed < CREDIT_BATCH)
		return;
	struct ctl_stream_credit credit = {.bytes = s->rx_consumed};
	s->rx_credit += s->rx_consumed;
	s->rx_consumed = 0;
	conn_send_msg(s->conn, CTL_STREAM_CREDIT, 0, s->id, CTL_MSG_stream_credit, &credit);
}

void ctl_stream_close(struct ctl_stream *s, const struct ctl_stream_close *close)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	conn_send_msg(s->conn, CTL_STREAM_CLOSE, 0, s->id, CTL_MSG_stream_close, close);
	stream_free(s);
}

/* --- frames that have come in ---------------------------------------------------------------- */

void stream_rx_open(struct ctl_conn *conn, const struct ctl_rx *rx)
{
	bool ours = (rx->id & 1) == (conn->next_id & 1);

	if (ours || stream_find(conn, rx->id) != NULL) {
		conn_fail(conn, ERR_PROTOCOL, "a stream is opened with an id that is not free");
		return;
	}
	if (conn->n_streams >= CTL_STREAMS_MAX ||
		stream_new(conn, rx->id, STREAM_OFFERED) == NULL) {
		ctl_conn_refuse(conn, CTL_STREAM_OPEN, rx->id, ERR_FULL, "close others first",
			"%u streams are open in this connection", conn->n_streams);
		return;
	}
	conn->ops->request(conn->arg, conn, rx);
	struct ctl_stream *s = stream_find(conn, rx->id);
	CHECK(s == NULL || s->state != STREAM_OFFERED);
}

/* The owner has refused it. */
void stream_refused(struct ctl_conn *conn, uint32_t id)
{
	struct ctl_stream *s = stream_find(conn, id);

	if (s != NULL && (s->state == STREAM_OFFERED || s->state == STREAM_CLAIMED))
		stream_free(s);
}

void stream_rx_reply(struct ctl_conn *conn, uint32_t id, const struct ctl_fault *fault)
{
	struct ctl_stream *s = stream_find(conn, id);

	if (s == NULL)
		return; /* closed here before it was answered; the far side has been told */
	if (s->state != STREAM_OPENING) {
		conn_fail(conn, ERR_PROTOCOL, "a second answer for a stream");
		return;
	}
	if (fault != NULL) {
		struct ctl_stream_close close = {
			.code = fault->code == 0 ? -ERR_PROTOCOL : fault->code};
		snprintf(close.text, sizeof(close.text), "%.150s%s%.90s", fault->text,
			fault->hint[0] == '\0' ? "" : "; ", fault->hint);
		stream_end(s, &close);
		return;
	}
	s->state = STREAM_OPEN;
	if (s->ops->opened != NULL)
		s->ops->opened(s->arg, s);
}

void stream_rx_data(struct ctl_conn *conn, const struct ctl_head *head, const uint8_t *buf)
{
	struct ctl_stream *s = stream_find(conn, head->id);
	unsigned channel = (head->flags & CTL_FLAG_CHANNEL_MASK) >> CTL_FLAG_CHANNEL_SHIFT;

	if (s == NULL)
		return; /* closed here, the peer did not know yet */
	/* An opener may write at once, but the acceptor has no place for it before it has
	 * accepted. */
	if (s->state != STREAM_OPEN || channel >= CTL_CHANNEL_N || head->payload_bytes == 0 ||
		head->payload_bytes > s->rx_credit) {
		conn_fail(conn, ERR_PROTOCOL, "stream data against the rules");
		return;
	}
	s->rx_credit -= head->payload_bytes;
	s->ops->data(s->arg, s, (enum ctl_channel)channel, buf, head->payload_bytes);
}

void stream_rx_credit(struct ctl_conn *conn, uint32_t id, uint32_t bytes)
{
	struct ctl_stream *s = stream_find(conn, id);

	if (s == NULL || s->state != STREAM_OPEN)
		return;
	if (bytes > CTL_STREAM_WINDOW - s->tx_credit) {
		conn_fail(conn, ERR_PROTOCOL, "credit for more than was sent");
		return;
	}
	s->tx_credit += bytes;
	s->ops->credit(s->arg, s, bytes);
}

void stream_rx_close(struct ctl_conn *conn, uint32_t id, const struct ctl_stream_close *close)
{
	struct ctl_stream *s = stream_find(conn, id);

	if (s == NULL)
		return;
	if (s->state == STREAM_CLAIMED && conn->n_serving > 0)
		conn->n_serving--;
	stream_end(s, close);
}

void streams_end(struct ctl_conn *conn, int err, const char *why)
{
	struct ctl_stream_close close;

	close_set(&close, err, why);
	while (!list_empty(&conn->streams))
		stream_end(list_first(&conn->streams, struct ctl_stream, node), &close);
}

/* --- relay ----------------------------------------------------------------------------------- */

#define RELAY_MAGIC 0x52454c59u /* RELY */

struct relay {
	uint32_t magic;
	struct ctl_conn *up_conn;
	uint32_t up_id;
	struct ctl_stream *up, *down;
	bool opened;
};

static struct ctl_stream *other_of(struct relay *r, struct ctl_stream *s)
{
	return s == r->up ? r->down : r->up;
}

static void relay_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct relay *r = arg;
	OBJ_CHECK(r, RELAY_MAGIC);

	/* Both hops start with the same window and every credit passes through, so there is always
	 * room. */
	CHECK(ctl_stream_write(other_of(r, s), channel, buf, len) == len);
}

static void relay_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	struct relay *r = arg;
	OBJ_CHECK(r, RELAY_MAGIC);

	ctl_stream_consumed(other_of(r, s), bytes);
}

static void relay_free(struct relay *r)
{
	OBJ_FINI(r, RELAY_MAGIC);
	free(r);
}

static void relay_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct relay r = *(struct relay *)arg;
	OBJ_CHECK(&r, RELAY_MAGIC);

	relay_free(arg);
	if (s == r.down && !r.opened)
		ctl_conn_refuse(r.up_conn, CTL_STREAM_OPEN, r.up_id, -(int)close->code, NULL, "%s",
			close->text);
	else
		ctl_stream_close(other_of(&r, s), close);
}

static void relay_opened(void *arg, struct ctl_stream *s)
{
	struct relay *r = arg;
	OBJ_CHECK(r, RELAY_MAGIC);

	r->opened = true;
	stream_confirm(r->up);
}

static const struct ctl_stream_ops relay_ops = {
	.opened = relay_opened,
	.data = relay_data,
	.credit = relay_credit,
	.closed = relay_closed,
};

void ctl_relay(
	struct ctl_conn *up, uint32_t id, struct ctl_conn *down, const struct ctl_stream_open *open)
{
	struct relay *r = calloc(1, sizeof(*r));
	int err = ERR_NO_MEMORY;

	if (r == NULL)
		goto refuse;
	OBJ_INIT(r, RELAY_MAGIC);
	r->up_conn = up;
	r->up_id = id;
	err = ctl_stream_open(down, open, &relay_ops, r, &r->down);
	if (err != 0)
		goto undo_relay;
	r->up = stream_claim(up, id, &relay_ops, r);
	return;
undo_relay:
	relay_free(r);
refuse:
	ctl_conn_refuse(up, CTL_STREAM_OPEN, id, err, "try again", "cannot pass the stream on: %s",
		err_text(err));
}
