/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_BEAT_H
#define PROTO_BEAT_H

#include "base/clock.h"
#include "proto/beat_core.h"
#include "proto/net_addr.h"

/*
 * Beats between the slices of a VM: a UDP socket and a thread of their own, that share no lock and
 * no queue with whatever else a slice does, so that neither a blocked main loop nor a full fabric
 * looks like a lost slice. The thread sends a beat to every peer ten times in the lease (four times
 * a second at least), answers theirs at once, measures the peers' clocks, and gives the verdict
 * when one has been silent for the lease (docs/protocol.md, R-BEAT).
 *
 * Like the fabric in two steps: listen, tell the address, then start with everybody's.
 */
struct beat;

/* What the thread knows of the clocks. */
struct beat_clocks {
	bool known;        /* the reference has been measured, or is us */
	int64_t offset_ns; /* the reference's clock minus ours */
	int64_t drift_ppb; /* how much faster its clock is than ours */
	uint64_t error_ns; /* of the offset, at most */
	uint64_t worst_ns; /* largest error of all peers' */
	uint64_t rtt_ns;   /* round trip to the reference; its own: to the farthest peer */
};

struct beat_handler {
	/* Every fiftieth of the lease. Context: beat thread; must not block. */
	void (*clocks)(void *arg, const struct beat_clocks *clocks);
	/*
	 * The lease is lost; nothing is sent, judged or measured any more. Once. Context: beat
	 * thread; must not block.
	 */
	void (*lost)(void *arg, const struct beat_verdict *verdict);
};

struct beat_cfg {
	slice_id_t self;
	slice_id_t reference; /* whose clock all measure theirs against */
	struct vm_incarnation incarnation;
	struct seal_secret secret;
	const char *bind;          /* "ip:port" of the fabric; the port is not used */
	const struct clock *clock; /* the clock that is measured; must outlive it */
	uint64_t lease_ns;         /* T */
	struct beat_handler handler;
	void *arg;
};

struct beat_peer {
	slice_id_t slice;
	const char *address; /* what beat_address() said over there */
};

/* ERR_INVAL: the address can not be read; ERR_CONNECT: it can not be had; ERR_KERNEL. Context: main
 * thread, before privileges are given up. */
MUST_CHECK int beat_listen(const struct beat_cfg *cfg, struct beat **out);
/* "ip:port" where peers send to; lives as long as `b`. */
const char *beat_address(const struct beat *b);

/* Begin, with all peers. ERR_INVAL (an address), ERR_NO_MEMORY, ERR_KERNEL (no thread). */
MUST_CHECK int beat_start(struct beat *b, const struct beat_peer *peers, unsigned n);

/*
 * Wait until every peer has been heard and its clock is known to BEAT_READY_NS; silence counts from
 * then on. ERR_TIMEOUT at `deadline_ns` of the host's clock, with the reason; ERR_CANCELED.
 * Context: any thread, after beat_start().
 */
#define BEAT_READY_NS UINT64_C(10000000)
MUST_CHECK int beat_wait(struct beat *b, uint64_t deadline_ns, char why[160]);

/* Let beat_wait() return, and end the thread. Context: the thread that started it. */
void beat_stop(struct beat *b);
void beat_close(struct beat *b); /* NULL is allowed; stops first */

/*
 * The lowest peer that has been silent for so long that it counts as lost, should the VM end for a
 * lost connection now (R-BEAT-13). Some ticks old at most. Context: any thread.
 */
bool beat_doubt(struct beat *b, slice_id_t *peer);

struct beat_stats {
	struct beat_counts counts;
	struct beat_clocks clocks;
	uint64_t send_failed; /* datagrams that the kernel refused */
};
/* Context: any thread. */
void beat_stats_get(struct beat *b, struct beat_stats *out);

#endif
