/* SPDX-License-Identifier: Apache-2.0 */
/* All that a peer may send into a control connection once it is carried: frames, handshake,
 * requests, streams. The owner behaves as programs do: answers, accepts, closes. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/ctl_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct feed {
	struct ctl_io io;
	const uint8_t *p;
	size_t left;
};

static int feed_handshake(struct ctl_io *io)
{
	return 0;
}

static int feed_read(
	struct ctl_io *io, void *buf, size_t len, size_t *done, int *fds, unsigned *n_fds)
{
	struct feed *f = container_of(io, struct feed, io);
	size_t n = MIN(len, f->left);

	if (n == 0)
		return ERR_LINK_DOWN;
	memcpy(buf, f->p, n);
	f->p += n;
	f->left -= n;
	*done = n;
	*n_fds = 0;
	return 0;
}

static int feed_write(struct ctl_io *io, const void *buf, size_t len, const int *fds,
	unsigned n_fds, size_t *done)
{
	*done = len;
	return 0;
}

static void feed_destroy(struct ctl_io *io)
{
	close(io->fd);
	free(container_of(io, struct feed, io));
}

static const struct ctl_io_ops feed_ops = {
	.handshake = feed_handshake,
	.read = feed_read,
	.write = feed_write,
	.destroy = feed_destroy,
};

static void s_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	ctl_stream_consumed(s, len);
	ctl_stream_write(s, channel, buf, len);
}

static void s_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	struct ctl_stream_close bye = {.code = 0};

	if (bytes == 77)
		ctl_stream_close(s, &bye);
}

static void s_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
}

static const struct ctl_stream_ops s_ops = {NULL, s_data, s_credit, s_closed};

static void on_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
}

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct ctl_slice_ref ref = {.vm = "x"};
	struct ctl_stream_open open = {.vm = "x", .kind = CTL_STREAM_CONSOLE};
	struct ctl_stream *s;

	CHECK(ctl_conn_request(conn, CTL_SLICE_START, &ref, NULL, 0, 0, on_reply, NULL, NULL) == 0);
	CHECK(ctl_stream_open(conn, &open, &s_ops, NULL, &s) == 0);
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	const struct ctl_stream_open *open = rx->msg;

	if (rx->type == CTL_STREAM_OPEN && open->kind == CTL_STREAM_CONSOLE)
		ctl_stream_accept(conn, rx->id, &s_ops, NULL);
	else
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_STATE, NULL, "no");
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	*(bool *)arg = true;
}

static const struct ctl_conn_ops ops = {on_ready, on_request, on_event, on_down};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_conn_params params = {.hello = {.program = "fuzz"}};
	struct feed *f = calloc(1, sizeof(*f));
	struct loop *loop;
	struct ctl_conn *conn;
	bool down = false;

	log_set_level(LOG_ERROR);
	if (size < 1 || f == NULL) {
		free(f);
		return 0;
	}
	params.connector = (data[0] & 1) != 0;
	f->io = (struct ctl_io){.ops = &feed_ops, .fd = eventfd(1, EFD_CLOEXEC)};
	f->p = data + 1;
	f->left = size - 1;
	CHECK(loop_create(&loop) == 0 &&
		ctl_conn_create(loop, &f->io, &params, &ops, &down, &conn) == 0);
	for (int i = 0; i < 100 && !down; i++)
		loop_once(loop, 0);
	ctl_conn_destroy(conn);
	loop_destroy(loop);
	return 0;
}
