/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CTL_CONN_H
#define PROTO_CTL_CONN_H

#include "base/loop.h"
#include "proto/ctl_io.h"
#include "proto/wire_ctl.h"

/*
 * A control connection: versioned handshake, requests with answers, events, and byte streams with
 * credit, over any ctl_io. Both sides may ask, tell and open streams. All on the loop's thread;
 * nothing blocks; callbacks may destroy the connection they are called for.
 *
 * The output queue is bounded: a peer that does not read is cut off instead of filling our memory.
 */
struct ctl_conn;
struct ctl_stream;

#define CTL_STREAM_WINDOW (256u << 10) /* bytes that may be under way in a stream, each direction */
#define CTL_STREAMS_MAX   64u          /* open at once in a connection */
#define CTL_REQUESTS_MAX  1024u        /* unanswered at once, each direction */
#define CTL_OUT_MAX       (24u << 20)  /* bytes queued for a peer */

/* A request or event as received; valid during the call only. */
struct ctl_rx {
	uint16_t type; /* enum ctl_type */
	uint32_t id;
	const void *msg; /* the plain struct of the type's request */
	int *fds;        /* take one over by setting it to -1: what is left is closed */
	unsigned n_fds;
};

struct ctl_conn_ops {
	/* The handshake has succeeded. */
	void (*ready)(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer);
	/* Answer with ctl_conn_reply() or ctl_conn_refuse(), now or later. STREAM_OPEN comes here
	 * too, and is answered before returning, with ctl_stream_accept(), ctl_relay() or
	 * ctl_conn_refuse(). */
	void (*request)(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx);
	void (*event)(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx);
	/* The connection has ended; `why` names cause and remedy. Streams and requests have been
	 * told. Once, last; the owner still has to call ctl_conn_destroy(). */
	void (*down)(void *arg, struct ctl_conn *conn, int err, const char *why);
};

struct ctl_conn_params {
	bool connector;         /* we speak first */
	struct ctl_hello hello; /* of this side; major 0 stands for ours */
	uint64_t handshake_ns;  /* 0: 10 s */
	uint64_t idle_ns;     /* peers silent for so long are gone; 0: never. We ping at a third */
	uint32_t payload_max; /* 0: CTL_PAYLOAD_MAX */
};

/* Takes over `io`, also on failure. */
MUST_CHECK int ctl_conn_create(struct loop *loop, struct ctl_io *io,
	const struct ctl_conn_params *params, const struct ctl_conn_ops *ops, void *arg,
	struct ctl_conn **out);
/* End it now: streams and unanswered requests hear ERR_CANCELED, `down` is not called. */
void ctl_conn_destroy(struct ctl_conn *conn);
/* Take no more input; when all output is written the connection goes down with `err`. */
void ctl_conn_finish(struct ctl_conn *conn, int err, const char *why);

/*
 * The answer to a request. err 0: `msg` is the plain struct of the type's reply. Otherwise `fault`
 * says why: refused by the peer, ERR_TIMEOUT, ERR_LINK_DOWN, ERR_CANCELED. Exactly once for every
 * request.
 */
typedef void ctl_reply_fn(void *arg, int err, const void *msg, const struct ctl_fault *fault);

/* Ask. ERR_FULL, ERR_STATE (not ready), ERR_RANGE (message too long), ERR_NO_MEMORY: nothing was
 * sent and `fn` will not be called. `fds` are duplicated. *id may be NULL. timeout_ns 0: none. */
MUST_CHECK int ctl_conn_request(struct ctl_conn *conn, uint16_t type, const void *msg,
	const int *fds, unsigned n_fds, uint64_t timeout_ns, ctl_reply_fn *fn, void *arg,
	uint32_t *id);
/* Tell. `id` links an event to a request (progress) or is 0. Errors need no handling: the
 * connection then goes down. */
void ctl_conn_event(struct ctl_conn *conn, uint16_t type, uint32_t id, const void *msg);
void ctl_conn_reply(struct ctl_conn *conn, uint16_t type, uint32_t id, const void *msg);
void ctl_conn_refuse(struct ctl_conn *conn, uint16_t type, uint32_t id, int err, const char *hint,
	const char *fmt, ...) PRINTF_LIKE(6, 7);
/* Pass on a refusal as it came. */
void ctl_conn_refuse_fault(
	struct ctl_conn *conn, uint16_t type, uint32_t id, const struct ctl_fault *fault);

struct ctl_stream_ops {
	/* The far side has accepted (opener only). May be NULL. */
	void (*opened)(void *arg, struct ctl_stream *stream);
	/* Bytes. Say ctl_stream_consumed() when they are out of the way, now or later. */
	void (*data)(void *arg, struct ctl_stream *stream, enum ctl_channel channel,
		const void *buf, size_t len);
	/* `bytes` more may be written. */
	void (*credit)(void *arg, struct ctl_stream *stream, uint32_t bytes);
	/* The far side, or the connection, has ended it. Last call; the stream is gone
	 * afterwards. */
	void (*closed)(void *arg, struct ctl_stream *stream, const struct ctl_stream_close *close);
};

MUST_CHECK int ctl_stream_open(struct ctl_conn *conn, const struct ctl_stream_open *open,
	const struct ctl_stream_ops *ops, void *arg, struct ctl_stream **out);
/* Accept the STREAM_OPEN of this id, within the request callback that brought it. */
struct ctl_stream *ctl_stream_accept(
	struct ctl_conn *conn, uint32_t id, const struct ctl_stream_ops *ops, void *arg);
/* Queue what there is credit for; returns how much that was. */
size_t ctl_stream_write(
	struct ctl_stream *stream, enum ctl_channel channel, const void *buf, size_t len);
uint32_t ctl_stream_credit(const struct ctl_stream *stream);
void ctl_stream_consumed(struct ctl_stream *stream, size_t bytes);
/* End it from this side; `closed` is not called, the stream is gone. What was written before still
 * arrives. */
void ctl_stream_close(struct ctl_stream *stream, const struct ctl_stream_close *close);

/* The carrier, for the identity of a TLS peer. */
struct ctl_io *ctl_conn_io(struct ctl_conn *conn);

/*
 * A relay joins a stream that a peer has asked for on `up` (request `id`) with one opened on `down`
 * by `open`. Credits travel end to end, so the relay holds no bytes and both ends see one window.
 * It frees itself when either side ends.
 */
void ctl_relay(struct ctl_conn *up, uint32_t id, struct ctl_conn *down,
	const struct ctl_stream_open *open);

#endif
