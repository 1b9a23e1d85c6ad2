/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/slice_exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

#define EXEC_CLIENT_MAGIC 0x45584543u /* EXEC */

struct exec_client {
	uint32_t magic;
	struct list node; /* in `waiting`, or alone */
	struct slice_exec *x;
	struct ctl_stream *stream;
	uint8_t *command;
	uint32_t n_command;
};

void slice_exec_init(struct slice_exec *x, void (*tx_ready)(void *arg),
	void (*rx_room)(void *arg, enum ctl_channel channel), void *arg)
{
	memset(x, 0, sizeof(*x));
	list_init(&x->waiting);
	x->tx_ready = tx_ready;
	x->rx_room = rx_room;
	x->arg = arg;
}

static void client_free(struct exec_client *c)
{
	struct slice_exec *x = c->x;

	if (!list_empty(&c->node)) {
		list_remove(&c->node);
		x->n_waiting--;
	}
	if (x->client == c)
		x->client = NULL;
	free(c->command);
	OBJ_FINI(c, EXEC_CLIENT_MAGIC);
	free(c);
}

static void client_end(struct exec_client *c, const struct ctl_stream_close *close)
{
	ctl_stream_close(c->stream, close);
	client_free(c);
}

static void tx_clear(struct slice_exec *x)
{
	free(x->tx);
	x->tx = NULL;
	x->tx_len = x->tx_at = 0;
}

/* Hand the next waiting command to an idle guest. */
static void run_next(struct slice_exec *x)
{
	struct exec_client *c = list_first(&x->waiting, struct exec_client, node);
	char head[32];

	if (x->state != EXEC_IDLE || c == NULL)
		return;
	int n = snprintf(head, sizeof(head), "RUN %u\n", c->n_command);
	x->tx = malloc((size_t)n + c->n_command);
	if (x->tx == NULL) {
		struct ctl_stream_close close = {
			.code = -ERR_NO_MEMORY, .text = "out of memory in the slice"};
		client_end(c, &close);
		return;
	}
	memcpy(x->tx, head, (size_t)n);
	memcpy(x->tx + n, c->command, c->n_command);
	x->tx_len = (size_t)n + c->n_command;
	x->tx_at = 0;
	x->got[0] = x->got[1] = 0;
	x->exited = false;
	list_remove(&c->node);
	x->n_waiting--;
	x->client = c;
	x->state = EXEC_RUNNING;
	x->tx_ready(x->arg);
}

/* The command is over when its EXIT line and all its bytes are here: the three ports keep no order
 * between them. */
static void check_done(struct slice_exec *x)
{
	struct ctl_stream_close close = {.code = 0};

	if ((x->state != EXEC_RUNNING && x->state != EXEC_DRAINING) || !x->exited)
		return;
	if (x->got[0] < x->exit.out_bytes || x->got[1] < x->exit.err_bytes)
		return;
	if (x->got[0] > x->exit.out_bytes || x->got[1] > x->exit.err_bytes) {
		close.code = -ERR_GUEST;
		snprintf(close.text, sizeof(close.text),
			"the guest's exec service sent more output than it counted");
	}
	close.exit_status = x->exit.status;
	x->state = EXEC_IDLE;
	tx_clear(x);
	if (x->client != NULL)
		client_end(x->client, &close);
	run_next(x);
}

static void on_line(void *arg, const struct exec_line *line)
{
	struct slice_exec *x = arg;
	struct ctl_stream_close close = {.code = -ERR_GUEST};

	if (line->kind == EXEC_LINE_EXIT &&
		(x->state == EXEC_RUNNING || x->state == EXEC_DRAINING) && !x->exited) {
		x->exited = true;
		x->exit = *line;
		check_done(x);
		return;
	}
	if (line->kind != EXEC_LINE_READY)
		log_limited(slice, "unexpected line from the guest's exec service, kind %d",
			(int)line->kind);
	if (line->kind == EXEC_LINE_BAD || line->kind == EXEC_LINE_EXIT)
		return;
	/* READY: a service has begun to serve; ERROR: it did not take the request. Either way
	 * nothing runs now. */
	snprintf(close.text, sizeof(close.text),
		line->kind == EXEC_LINE_READY ? "the guest's exec service was restarted"
					      : "the guest's exec service refused the command");
	if (line->kind == EXEC_LINE_ERROR && x->state == EXEC_ABSENT)
		return;
	x->state = EXEC_IDLE;
	tx_clear(x);
	if (x->client != NULL)
		client_end(x->client, &close);
	run_next(x);
}

void slice_exec_control(struct slice_exec *x, const void *buf, size_t len)
{
	exec_lines_feed(&x->lines, buf, len, on_line, x);
}

size_t slice_exec_output(
	struct slice_exec *x, enum ctl_channel channel, const void *buf, size_t len)
{
	CHECK(channel == CTL_CHANNEL_OUT || channel == CTL_CHANNEL_ERR);
	size_t took = len;

	/* Nobody's output (idle, draining) is read and thrown away, or the guest would hang in its
	 * driver. */
	if (x->state == EXEC_RUNNING)
		took = ctl_stream_write(x->client->stream, channel, buf, len);
	x->got[channel - CTL_CHANNEL_OUT] += took;
	check_done(x);
	return took;
}

size_t slice_exec_read(struct slice_exec *x, void *buf, size_t len)
{
	size_t n = MIN(len, x->tx_len - x->tx_at);

	if (n == 0)
		return 0;
	memcpy(buf, x->tx + x->tx_at, n);
	x->tx_at += n;
	if (x->tx_at == x->tx_len)
		tx_clear(x);
	return n;
}

/* --- streams --------------------------------------------------------------------------------- */

static void on_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	/* The guest's protocol has no standard input. */
	ctl_stream_consumed(s, len);
}

static void on_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	struct exec_client *c = arg;
	OBJ_CHECK(c, EXEC_CLIENT_MAGIC);
	struct slice_exec *x = c->x;

	if (x->client != c)
		return;
	x->rx_room(x->arg, CTL_CHANNEL_OUT);
	/* The first call may have ended the command, and begun another: asking once too often does
	 * no harm. */
	x->rx_room(x->arg, CTL_CHANNEL_ERR);
}

static void on_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct exec_client *c = arg;
	OBJ_CHECK(c, EXEC_CLIENT_MAGIC);
	struct slice_exec *x = c->x;
	bool running = x->client == c;

	client_free(c);
	if (!running)
		return;
	/* What the guest has not begun to read is not run at all. */
	if (x->tx != NULL && x->tx_at == 0) {
		tx_clear(x);
		x->state = EXEC_IDLE;
		run_next(x);
		return;
	}
	x->state = EXEC_DRAINING;
	x->rx_room(x->arg, CTL_CHANNEL_OUT);
	x->rx_room(x->arg, CTL_CHANNEL_ERR);
}

static const struct ctl_stream_ops stream_ops = {
	.data = on_data,
	.credit = on_credit,
	.closed = on_closed,
};

void slice_exec_open(struct slice_exec *x, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	const struct ctl_stream_open *open = rx->msg;
	struct exec_client *c = NULL;

	if (x->n_waiting >= EXEC_WAITING_MAX) {
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_FULL, "wait until they have ended",
			"%u commands wait for this guest already", x->n_waiting);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		goto no_memory;
	c->command = malloc(open->n_command + 1);
	if (c->command == NULL)
		goto no_memory;
	OBJ_INIT(c, EXEC_CLIENT_MAGIC);
	memcpy(c->command, open->command == NULL ? (const uint8_t *)"" : open->command,
		open->n_command);
	c->n_command = open->n_command;
	c->x = x;
	list_init(&c->node);
	list_push_back(&x->waiting, &c->node);
	x->n_waiting++;
	c->stream = ctl_stream_accept(conn, rx->id, &stream_ops, c);
	run_next(x);
	return;
no_memory:
	free(c);
	ctl_conn_refuse(conn, rx->type, rx->id, ERR_NO_MEMORY, NULL, "out of memory in the slice");
}

void slice_exec_reset(struct slice_exec *x, const struct ctl_stream_close *why)
{
	x->state = EXEC_ABSENT;
	tx_clear(x);
	memset(&x->lines, 0, sizeof(x->lines));
	if (x->client != NULL)
		client_end(x->client, why);
	while (!list_empty(&x->waiting))
		client_end(list_first(&x->waiting, struct exec_client, node), why);
}

void slice_exec_fini(struct slice_exec *x)
{
	struct ctl_stream_close close = {.code = -ERR_CANCELED, .text = "the slice ends"};

	slice_exec_reset(x, &close);
}
