/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_STREAM_H
#define VIO_STREAM_H

#include "base/check.h"

/*
 * A pair of bounded byte queues between a device of the guest and something on the host: `in`
 * carries bytes to the guest, `out` from it.
 *
 * Each end may be told of changes by a callback. It runs on the thread of the other end that made
 * the change, without the stream's lock, possibly with locks of the other end held (a device holds
 * its device lock): the host's callback may only post to its own thread; the device's takes its
 * device lock, so the host's end is used without locks of rank `dev` or above.
 *
 * All functions: any thread, never block.
 */
struct stream;

/* What happens to bytes from the guest that find no room. */
enum stream_policy {
	/* They are not taken: the device waits. */
	STREAM_LOSSLESS,
	/* As LOSSLESS while the host's end is open; otherwise the oldest bytes make room and are
	 * counted, and the newest stay for somebody who opens later. */
	STREAM_LOSSY_UNHEARD,
};

enum stream_event {
	STREAM_READABLE = 1u << 0, /* the queue towards this end was empty and is not any more */
	STREAM_WRITABLE = 1u << 1, /* bytes were taken out of the queue that this end fills */
	STREAM_PEER = 1u << 2,     /* the other end was opened or closed */
};
typedef void stream_event_fn(void *arg, unsigned events);

struct stream_cfg {
	size_t in_bytes, out_bytes;
	enum stream_policy policy;
};

MUST_CHECK int stream_create(const struct stream_cfg *cfg, struct stream **out);
/* Both ends must have stopped using it. */
void stream_destroy(struct stream *s);

/* ---- the device's end ---- */
/* Set or clear (NULL) the callback, before the other end is in use or after. */
void stream_dev_bind(struct stream *s, stream_event_fn *fn, void *arg);
/* How many bytes were taken, from the front. */
size_t stream_dev_put(struct stream *s, const void *buf, size_t len);
size_t stream_dev_get(struct stream *s, void *buf, size_t len);
size_t stream_dev_readable(struct stream *s);
/* Room for bytes from the guest; unlimited (SIZE_MAX) where old bytes give way. */
size_t stream_dev_writable(struct stream *s);
/* Has the guest opened its end? */
void stream_dev_open(struct stream *s, bool open);
/* Is the host's end open? */
bool stream_dev_heard(struct stream *s);
/* Power-on state: bytes to the guest are dropped and its end is closed; what it has said stays. */
void stream_dev_reset(struct stream *s);

/* ---- the host's end ---- */
void stream_host_bind(struct stream *s, stream_event_fn *fn, void *arg);
size_t stream_host_write(struct stream *s, const void *buf, size_t len);
size_t stream_host_read(struct stream *s, void *buf, size_t len);
size_t stream_host_readable(struct stream *s);
size_t stream_host_writable(struct stream *s);
/* Open: somebody listens. Closing drops nothing; a guest that reads sees the end after what was
 * written. */
void stream_host_open(struct stream *s, bool open);
bool stream_host_guest_open(struct stream *s);
/* Bytes that were dropped so far. */
uint64_t stream_host_dropped(struct stream *s);

#endif
