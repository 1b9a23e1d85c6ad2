/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CREDIT_H
#define PROTO_CREDIT_H

#include "base/check.h"
#include "proto/xport.h"

/*
 * Flow control of one connection, both directions: pure accounting, no queue and no I/O
 * (docs/protocol.md, R-CRED). Each class has a window of its own: the number of messages of the
 * class that the receiver has room for. The sender spends one credit a message and queues without
 * credit; the receiver gives credits back once it has consumed messages. Used by the transports and
 * by the simulator, so that both have the same rules. Context: the caller serialises calls on one
 * object. Nothing blocks.
 */
struct credit_cfg {
	uint16_t window[MSG_CLASS_N];    /* what we can receive before we return credit; > 0 */
	uint32_t queue_max[MSG_CLASS_N]; /* messages that may wait here for credit */
};

struct credit {
	struct credit_cfg cfg;
	/* sending */
	uint16_t tx_window[MSG_CLASS_N]; /* the peer's window; 0 until credit_open */
	uint16_t tx_left[MSG_CLASS_N];
	uint32_t queued[MSG_CLASS_N];
	/* receiving */
	uint16_t rx_left[MSG_CLASS_N]; /* what the peer may still send */
	uint16_t rx_held[MSG_CLASS_N]; /* arrived, not consumed */
	uint16_t rx_owed[MSG_CLASS_N]; /* consumed, credit not yet returned */
	uint64_t waits;                /* messages that had to queue */
};

/* Begin a connection. Nothing can be sent before credit_open. */
void credit_init(struct credit *c, const struct credit_cfg *cfg);

/* The peer's windows, from its handshake. ERR_PROTOCOL: a window is 0. */
MUST_CHECK int credit_open(struct credit *c, const uint16_t window[MSG_CLASS_N]);

/* A message of `class` is to be sent. *now: it goes at once (its credit is taken); otherwise the
 * caller queues it and sends it when credit_next says so. ERR_FULL: the queue of the class is full;
 * nothing is counted. */
MUST_CHECK int credit_send(struct credit *c, enum msg_class class, bool *now);

/* Take one message off the queues: the highest class that has a message waiting and credit for it.
 * False: none. The credit is taken, the caller sends the oldest message it has queued in *class. */
bool credit_next(struct credit *c, enum msg_class *class);

/* A message of `class` has arrived. ERR_PROTOCOL: the peer had no credit for it. */
MUST_CHECK int credit_arrived(struct credit *c, enum msg_class class);

/* An arrived message has been consumed: its buffer is free. */
void credit_consumed(struct credit *c, enum msg_class class);

/* Is it time to return credits even without a message to carry them (half of a window is owed)? */
bool credit_due(const struct credit *c);

/* The credits to return with the next frame; they count as returned. Returns false when all are 0.
 */
bool credit_collect(struct credit *c, uint16_t out[MSG_CLASS_N]);

/* The peer has returned credits. ERR_PROTOCOL: more than were spent; nothing is counted. */
MUST_CHECK int credit_returned(struct credit *c, const uint16_t n[MSG_CLASS_N]);

#ifdef PLANT_BUGS
/* Planted bug "response-without-credit": responses leave though their credit is spent. */
extern bool credit_plant_response;
#endif

#endif
