/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_OUTQ_H
#define PROTO_OUTQ_H

#include "base/list.h"
#include "proto/credit.h"
#include "proto/xport.h"

/*
 * Messages of one sender to one peer that could not go at once, and the credits of the connection.
 * Per class there are two FIFOs: `ready` have their credit and wait for room in the fabric,
 * `waiting` have none yet. Context: all under the transport's lock of that peer, but outq_msg_new()
 * and outq_msg_free().
 */
struct outq_msg {
	struct list link;
	void *from; /* free for the transport that took it out */
	enum msg_class class;
	uint16_t type;
	uint16_t head_bytes, data_bytes;
	uint64_t guest_ns; /* sender's guest time when it was sent */
	uint8_t bytes[];   /* head, then data */
};

struct outq {
	struct credit credit;
	struct list ready[MSG_CLASS_N];
	struct list waiting[MSG_CLASS_N];
};

/* Windows and queue bounds of transports unless told otherwise. */
#define OUTQ_CREDIT_DEFAULT                                                                        \
	((struct credit_cfg){.window = {32, 32, 64}, .queue_max = {16384, 16384, 16384}})

/* A copy of a message. ERR_NO_MEMORY. Context: any thread. */
MUST_CHECK int outq_msg_new(const struct xport_msg *msg, uint64_t guest_ns, struct outq_msg **out);
void outq_msg_free(struct outq_msg *m);

void outq_init(struct outq *q, const struct credit_cfg *cfg);
/* Free what waits; nothing may be added after. */
void outq_fini(struct outq *q);

/* May a message of this class go this moment, before anything that waits? Its credit is taken then.
 * Otherwise it is to be given to outq_add_waiting(). ERR_FULL: the queue of the class is full. */
MUST_CHECK int outq_admit(struct outq *q, enum msg_class class, bool *now);

/* Queue `m`, for which outq_admit() said *now. */
void outq_add_ready(struct outq *q, struct outq_msg *m);
/* Queue `m`, for which outq_admit() said not now. */
void outq_add_waiting(struct outq *q, struct outq_msg *m);

/* Take the next message that may go: the oldest of the highest class that has one with credit
 * (R-XP-31). NULL: none. */
struct outq_msg *outq_take(struct outq *q);

/* Is there one that outq_take() would give of this class or a higher one, so that a new message
 * must not go first? */
bool outq_has_ready(const struct outq *q, enum msg_class class);

/* CHECK what every transport demands of a message that its own slice sends. */
void xport_msg_check(const struct xport_msg *msg);

#endif
