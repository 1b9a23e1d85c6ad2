/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "coordinator/cli_out.h"

#include <errno.h>
#include <unistd.h>

#define WRITE_MAX 4096u /* PIPE_BUF: what a pipe that is ready takes without blocking */

static void consumed(struct cli_out *o, size_t n)
{
	if (o->stream != NULL)
		ctl_stream_consumed(o->stream, n);
}

static void write_some(struct cli_out *o)
{
	size_t n;
	const uint8_t *p = byte_fifo_peek(&o->fifo, &n);

	if (p == NULL)
		return;
	ssize_t done = o->broken ? (ssize_t)n : write(o->fd, p, MIN(n, (size_t)WRITE_MAX));
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (done < 0) {
		o->broken = true;
		done = (ssize_t)n;
	}
	byte_fifo_drop(&o->fifo, (size_t)done);
	consumed(o, (size_t)done);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct cli_out *o = arg;

	write_some(o);
	if (o->fifo.len == 0)
		loop_fd_set(o->lf, 0);
}

int cli_out_init(struct cli_out *o, struct loop *loop, int fd)
{
	*o = (struct cli_out){.loop = loop, .fd = fd};
	byte_fifo_init(&o->fifo, CTL_STREAM_WINDOW);
	/* epoll refuses files, and needs no convincing that they are ready. */
	if (loop_fd_add(loop, fd, LOOP_WRITE, on_ready, o, &o->lf) != 0)
		o->lf = NULL;
	else
		loop_fd_set(o->lf, 0);
	return 0;
}

void cli_out_fini(struct cli_out *o)
{
	if (o->lf != NULL)
		loop_fd_remove(o->lf);
	byte_fifo_fini(&o->fifo);
}

void cli_out_put(struct cli_out *o, const void *buf, size_t len)
{
	size_t put = byte_fifo_put(&o->fifo, buf, len);

	consumed(o, len - put); /* only without memory */
	if (o->lf != NULL && !o->broken) {
		loop_fd_set(o->lf, LOOP_WRITE);
		return;
	}
	while (o->fifo.len > 0)
		write_some(o);
}

void cli_out_drain(struct cli_out *o)
{
	while (o->fifo.len > 0 && !o->broken)
		loop_once(o->loop, -1);
}
