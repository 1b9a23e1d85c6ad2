/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PROTO_CTL_PAIR_H
#define TESTS_UNIT_PROTO_CTL_PAIR_H

#include "proto/ctl_conn.h"

/* One end of a control connection, with what it has seen. */
struct end {
	struct ctl_conn *conn; /* NULL: down or not connected yet */
	bool ready;
	int down_err;
	char why[256];
	unsigned requests, events;
	uint16_t last_type;
	uint32_t last_id;
	uint32_t last_value; /* slice of a ref, code of a status */
	int last_fd;
	/* What a request does, beyond being counted. */
	void (*serve)(struct end *e, const struct ctl_rx *rx);
	void *arg;
};

/* A loop and two ends, `a` having connected to `b` over a Unix socket. */
struct pair {
	struct loop *loop;
	char dir[32];
	int listen_fd;
	struct end a, b;
};

extern const struct ctl_conn_ops end_ops;

/* Connects; *params may be NULL. Does not run the loop. */
void pair_init(struct pair *p, const struct ctl_conn_params *a, const struct ctl_conn_params *b);
/* Only `b`; the peer is a bare socket, which is returned. */
int pair_init_raw(struct pair *p, const struct ctl_conn_params *b);
void pair_fini(struct pair *p);
/* One more connection on the pair's loop. */
void pair_more(struct pair *p, struct end *a, struct end *b);

/* Run the loop until the condition holds; fails the test after 5 s. */
#define PAIR_UNTIL(p, cond)                                                                        \
	do {                                                                                       \
		uint64_t until_ = clock_now_ns(clock_host()) + UINT64_C(5000000000);               \
		while (!(cond) && clock_now_ns(clock_host()) < until_)                             \
			loop_once((p)->loop, 100);                                                 \
		UT_CHECK(cond);                                                                    \
	} while (0)

#endif
