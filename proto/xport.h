/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_XPORT_H
#define PROTO_XPORT_H

#include <stddef.h>

#include "base/check.h"
#include "proto/ids.h"

/*
 * The seam between the slices of a VM and whatever carries their messages: libfabric (xport_ofi.h)
 * or memory of one process (xport_mem.h). A transport gives, between each pair of slices, an
 * ordered, reliable, sealed stream of messages or the event that the peer is down; nothing in
 * between. It adds the frame header: incarnation, epoch, sender, message type and the sender's
 * guest time (docs/protocol.md).
 *
 * Credits: each class has its own credits per peer and direction. A message without credit waits in
 * the sender's queue of its class; it never blocks the caller, and never a message of a higher
 * class.
 */
enum msg_class { MSG_REQUEST, MSG_FORWARD, MSG_RESPONSE, MSG_CLASS_N };

#define XPORT_HEAD_MAX 256u       /* bytes of a message's own header */
#define XPORT_DATA_MAX PAGE_BYTES /* bytes of payload behind it: at most one page */

struct xport;

/* A message as sent. Both buffers belong to the caller and are copied before send returns. */
struct xport_msg {
	slice_id_t peer;
	enum msg_class class;
	uint16_t type; /* number in wire_msgs.def */
	const void *head;
	size_t head_bytes;
	const void *data; /* NULL when data_bytes is 0 */
	size_t data_bytes;
};

/*
 * A message as received: the buffers are valid only during the call. `type` and the lengths are
 * whatever the peer sent, within XPORT_*_MAX; the class has been checked against the type.
 */
struct xport_rx {
	slice_id_t peer;
	enum msg_class class;
	uint16_t type;
	const void *head;
	size_t head_bytes;
	const void *data;
	size_t data_bytes;
};

/*
 * What the owner of a transport gives it. All but `now` and `observe` are called on the thread that
 * calls progress.
 */
struct xport_handler {
	/*
	 * A message. An error (class PEER or LINK) closes the connection as a protocol violation by
	 * the peer.
	 */
	int (*message)(void *arg, const struct xport_rx *rx);
	/*
	 * The peer is gone for ever: closed, dead, cut off or misbehaving. Once per peer, nothing
	 * follows it.
	 */
	void (*down)(void *arg, slice_id_t peer, int err);
	/* Guest time now, stamped on every frame sent (ns). Any thread. May be NULL. */
	uint64_t (*now)(void *arg);
	/*
	 * The sender's guest time, before `message` is called: local time must not be earlier
	 * afterwards. An error (beyond the skew bound) is a violation by the peer. May be NULL.
	 */
	int (*observe)(void *arg, slice_id_t peer, uint64_t guest_ns);
};

struct xport_stats {
	uint64_t frames_out, frames_in, bytes_out, bytes_in;
	uint64_t credit_waits; /* messages that had to wait for credit */
};

struct xport_ops {
	const char *name;
	/*
	 * Queue a message. Never blocks; order is kept per peer and class. ERR_PEER_DOWN: the peer
	 * is down or unknown. ERR_FULL: the bounded queue of the class is full, which the
	 * protocol's own limits must prevent. Any thread.
	 */
	int (*send)(struct xport *x, const struct xport_msg *msg);
	/*
	 * Handle at most `budget` events (messages, completions, deaths); the number handled. One
	 * thread.
	 */
	unsigned (*progress)(struct xport *x, unsigned budget);
	/*
	 * A descriptor that is readable when progress has work; valid for the transport's life. To
	 * sleep on it call may_sleep first: false means that there is work already. Progress
	 * thread.
	 */
	int (*fd)(struct xport *x);
	bool (*may_sleep)(struct xport *x);
	/*
	 * Close the connection to one peer (it sees us go down); `down` is not called for it.
	 * Progress thread.
	 */
	void (*disconnect)(struct xport *x, slice_id_t peer);
	void (*stats)(struct xport *x, struct xport_stats *out); /* any thread */
	/* Close all and free. No other thread may use the transport any more. */
	void (*destroy)(struct xport *x);
};

struct xport {
	const struct xport_ops *ops;
};

static inline MUST_CHECK int xport_send(struct xport *x, const struct xport_msg *msg)
{
	return x->ops->send(x, msg);
}

#endif
