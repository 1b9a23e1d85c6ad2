/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_LINK_H
#define TESTS_BENCH_LINK_H

#include "proto/xport_ofi.h"
#include "tests/bench/samples.h"

/*
 * Two processes that measure a round trip: one asks with LINK_ASK_BYTES, the other answers with
 * LINK_ANSWER_BYTES, as a page fault does. Every kind waits as a slice does: it blocks on a
 * descriptor until something has come. Both sides check what they get.
 *
 * Life: open (gives the address where the peer can reach us), join with the peer's, then any number
 * of serve on one side with as much ask on the other, close. Each process uses one thread. A
 * function that fails has printed why.
 */
#define LINK_ASK_BYTES    64u
#define LINK_ANSWER_BYTES (64u + PAGE_BYTES)
#define LINK_WINDOW_MAX   16u
#define LINK_WAIT_MS      10000 /* a peer that is silent for so long is lost */

enum link_kind {
	LINK_TCP,    /* sockets, epoll: the floor that any fabric stands on */
	LINK_OFI,    /* libfabric alone, message endpoints: the reference of all figures */
	LINK_SEALED, /* our transport as slices use it */
	LINK_PLAIN,  /* our transport without sealing */
	LINK_KINDS
};

struct link_ops {
	/* `ip` is ours; `address` gets XPORT_OFI_ADDR_BYTES at most. */
	int (*open)(const char *ip, bool asks, void **out, char *address);
	int (*join)(void *link, const char *peer);
	/* Answer `n` requests. */
	int (*serve)(void *link, unsigned n);
	/* Make `n` requests, never more than `window` unanswered; the time of each to ns[]. */
	int (*ask)(void *link, unsigned n, unsigned window, uint64_t *ns);
	void (*close)(void *link);
};

extern const struct link_ops link_tcp, link_ofi, link_sealed, link_plain;

/* One line on stderr; returns -1. */
int bench_complain(const char *what, const char *why);

#endif
