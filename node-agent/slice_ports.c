/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "base/err.h"
#include "node-agent/slice.h"
#include "vio/stream.h"

/*
 * Bytes between the streams of the devices and the control socket. A stream's event may come on any
 * thread with a device lock held, so it only posts; all copying is on the main thread.
 */

#define PORT_QUEUE_BYTES (64u << 10)
#define PORT_CHUNK_BYTES 4096u

static void pump_out(struct slice *s, struct slice_port_link *l)
{
	for (;;) {
		if (l->held_off == l->held_bytes) {
			l->held_off = 0;
			l->held_bytes = stream_host_read(l->stream, l->held, PORT_CHUNK_BYTES);
			if (l->held_bytes == 0)
				return;
		}
		size_t n = slice_ctl_port_write(
			s->ctl, l->port, l->held + l->held_off, l->held_bytes - l->held_off);
		l->held_off += n;
		if (l->held_off < l->held_bytes)
			return; /* goes on when the control socket is writable */
	}
}

static void pump_in(struct slice *s, struct slice_port_link *l)
{
	uint8_t buf[PORT_CHUNK_BYTES];
	for (;;) {
		size_t room = MIN(stream_host_writable(l->stream), sizeof(buf));
		size_t n = room == 0 ? 0 : slice_ctl_port_read(s->ctl, l->port, buf, room);
		if (n == 0)
			return;
		size_t put = stream_host_write(l->stream, buf, n);
		CHECK(put == n); /* only this thread fills it */
	}
}

static void pump(struct slice *s, const void *what)
{
	struct slice_port_link *l = *(struct slice_port_link *const *)what;
	/* Cleared first: what happens from now on posts again. */
	atomic_store(&l->posted, false);
	if (l->stream == NULL)
		return;
	pump_out(s, l);
	pump_in(s, l);
}

/* Any thread, perhaps with a device lock held. */
static void stream_event(void *arg, unsigned events)
{
	struct slice_port_link *l = arg;
	if (!atomic_exchange(&l->posted, true))
		slice_post(l->slice, pump, &l, sizeof(l));
}

void slice_ports_readable(struct slice *s, enum slice_port port)
{
	if (s->ports[port].stream != NULL)
		pump_in(s, &s->ports[port]);
}

void slice_ports_writable(struct slice *s, enum slice_port port)
{
	if (s->ports[port].stream != NULL)
		pump_out(s, &s->ports[port]);
}

int slice_ports_create(struct slice *s)
{
	struct stream_cfg hvc = {
		.in_bytes = PORT_CHUNK_BYTES,
		.out_bytes = PORT_CHUNK_BYTES,
		.policy = STREAM_LOSSY_UNHEARD,
	};
	int err = stream_create(&hvc, &s->hvc);
	for (unsigned p = 0; err == 0 && p < SLICE_PORT_N; p++) {
		struct slice_port_link *l = &s->ports[p];
		struct stream_cfg cfg = {
			.in_bytes = PORT_QUEUE_BYTES,
			.out_bytes = PORT_QUEUE_BYTES,
			.policy = p == SLICE_PORT_CONSOLE ? STREAM_LOSSY_UNHEARD : STREAM_LOSSLESS,
		};
		l->slice = s;
		l->port = (enum slice_port)p;
		l->held = malloc(PORT_CHUNK_BYTES);
		err = l->held == NULL ? ERR_NO_MEMORY : stream_create(&cfg, &l->stream);
		if (err != 0)
			return err;
		stream_host_bind(l->stream, stream_event, l);
		/* The control socket listens always: it keeps or drops by its own rules. */
		stream_host_open(l->stream, true);
	}
	return err;
}

void slice_ports_destroy(struct slice *s)
{
	if (s->hvc != NULL)
		stream_destroy(s->hvc);
	s->hvc = NULL;
	for (unsigned p = 0; p < SLICE_PORT_N; p++) {
		struct slice_port_link *l = &s->ports[p];
		if (l->stream != NULL) {
			stream_host_bind(l->stream, NULL, NULL);
			stream_destroy(l->stream);
		}
		free(l->held);
		l->stream = NULL;
		l->held = NULL;
	}
}
