/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CTL_CONN_INT_H
#define PROTO_CTL_CONN_INT_H

#include "base/list.h"
#include "base/sm.h"
#include "proto/ctl_conn.h"

/* Shared by ctl_conn.c and ctl_stream.c only. */
#define CTL_CONN_MAGIC 0x43434f4eu /* CCON */

enum conn_state {
	CONN_CARRIER, /* the carrier's own handshake */
	CONN_HELLO,   /* ours */
	CONN_READY,
	CONN_FINISHING, /* output only */
	CONN_DOWN,
};

struct ctl_conn {
	uint32_t magic;
	struct loop *loop;
	struct ctl_io *io;
	struct loop_fd *lf;
	struct loop_timer *timer; /* handshake deadline, later idle watch */
	struct loop_timer *again; /* input that the descriptor does not tell of */
	const struct ctl_conn_ops *ops;
	void *arg;
	struct ctl_conn_params params;
	struct sm sm;
	unsigned calls; /* depth of callbacks: freed when it is 0 */
	bool dead;      /* destroyed by its owner */

	uint8_t *in;
	size_t in_cap, in_len;

	struct list out; /* struct out_frame */
	size_t out_bytes;
	int finish_err;
	char finish_why[256];

	uint32_t next_id;     /* odd: connector's, even: acceptor's, so the two never meet */
	struct list requests; /* struct request: ours, unanswered */
	unsigned n_requests;
	unsigned n_serving; /* the peer's, unanswered */
	struct list streams;
	unsigned n_streams;

	uint64_t heard_ns; /* host clock, of the last input */
	uint64_t said_ns;
};

/* Queue a frame made of a message, or of raw bytes. Failure takes the connection down. */
void conn_send_msg(struct ctl_conn *conn, uint16_t type, uint16_t flags, uint32_t id,
	enum ctl_msg msg, const void *plain);
void conn_send_raw(struct ctl_conn *conn, uint16_t type, uint16_t flags, uint32_t id,
	const void *buf, size_t len);
void conn_fail(struct ctl_conn *conn, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
uint32_t conn_new_id(struct ctl_conn *conn);

/* Callbacks into the owner happen between these two; leave may free the connection. */
void conn_enter(struct ctl_conn *conn);
void conn_leave(struct ctl_conn *conn);

/* ctl_stream.c: frames of streams, and the end of all of them. */
void stream_rx_open(struct ctl_conn *conn, const struct ctl_rx *rx);
void stream_rx_reply(struct ctl_conn *conn, uint32_t id, const struct ctl_fault *fault);
void stream_rx_data(struct ctl_conn *conn, const struct ctl_head *head, const uint8_t *buf);
void stream_rx_credit(struct ctl_conn *conn, uint32_t id, uint32_t bytes);
void stream_rx_close(struct ctl_conn *conn, uint32_t id, const struct ctl_stream_close *close);
void stream_refused(struct ctl_conn *conn, uint32_t id);
void streams_end(struct ctl_conn *conn, int err, const char *why);

#endif
