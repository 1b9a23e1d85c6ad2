/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_BEAT_CORE_H
#define PROTO_BEAT_CORE_H

#include "proto/skew.h"
#include "proto/wire_beat.h"

/*
 * The beats of one slice without socket, thread and clock: datagrams and times in, datagrams and
 * verdicts out (docs/protocol.md, R-BEAT). Two times are given: `host_ns`, by which silence is
 * counted, and `clock_ns`, the clock that is measured, which tests set apart from the host's.
 * Context: one thread.
 */
struct beat_core;

struct beat_core_cfg {
	slice_id_t self;
	struct vm_incarnation incarnation;
	const struct seal_secret *secret; /* read during the call only */
	const slice_id_t *peers;
	unsigned n_peers;
	uint64_t lease_ns; /* T */
};

/* ERR_NO_MEMORY. Peers are then named by their place in `cfg->peers`. */
MUST_CHECK int beat_core_create(const struct beat_core_cfg *cfg, struct beat_core **out);
void beat_core_destroy(struct beat_core *c); /* NULL is allowed */

/* A beat for `peer`, which it is to answer. */
void beat_core_ask(
	struct beat_core *c, unsigned peer, uint64_t clock_ns, uint8_t out[WIRE_BEAT_BYTES]);
/* At `host_ns` every peer has been sent one. */
void beat_core_round(struct beat_core *c, uint64_t host_ns);

/* What a datagram wants to be answered by. */
struct beat_reply {
	bool wanted;
	unsigned peer;
	uint64_t asked_ns, got_ns;
};

/*
 * A datagram of `len` bytes has come; it is changed. Anything but a beat of a peer's that is later
 * than all before is counted and ignored: the error only says why. `bytes` has room for
 * WIRE_BEAT_BYTES.
 */
int beat_core_take(struct beat_core *c, uint8_t *bytes, size_t len, uint64_t host_ns,
	uint64_t clock_ns, struct beat_reply *reply);
void beat_core_answer(struct beat_core *c, const struct beat_reply *reply, uint64_t clock_ns,
	uint8_t out[WIRE_BEAT_BYTES]);

/* From `host_ns` on silence counts: every peer is taken for heard, and our own round for sent. */
void beat_core_arm(struct beat_core *c, uint64_t host_ns);

struct beat_verdict {
	slice_id_t peer;    /* the silent one; of our own silence, the lowest */
	bool self;          /* it is us who have sent nothing for T: the others have ended the VM */
	uint64_t silent_ns; /* for so long */
};

/*
 * Is the lease lost, because we have sent no round for T? To be asked on waking up, before anything
 * is sent: a process that was stopped has been given up by the others meanwhile.
 */
bool beat_core_judge_self(const struct beat_core *c, uint64_t host_ns, struct beat_verdict *v);
/*
 * Is it lost because a peer is silent? To be asked after everything that has arrived was taken: a
 * process that was stopped finds in its socket that the others are alive. Of several that were lost
 * at once, as far as that can be seen, the verdict names the lowest.
 */
bool beat_core_judge(struct beat_core *c, uint64_t host_ns, struct beat_verdict *v);
/* The lowest peer that will be lost within BEAT_CORE_AT_ONCE of the lease, or is; false: none. */
#define BEAT_CORE_AT_ONCE 8 /* an eighth: more than the time between two rounds */
bool beat_core_doubt(const struct beat_core *c, uint64_t host_ns, struct beat_verdict *v);

/* What is known of a peer's clock; false: nothing yet. */
bool beat_core_estimate(
	const struct beat_core *c, unsigned peer, uint64_t clock_ns, struct skew_estimate *out);

struct beat_counts {
	uint64_t out, in;
	uint64_t dropped;        /* malformed, not for us, not sealed with our keys */
	uint64_t late;           /* overtaken, duplicated or replayed */
	uint64_t silence_max_ns; /* longest that a peer was silent, since armed */
};
const struct beat_counts *beat_core_counts(const struct beat_core *c);

#endif
