/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_MEMBER_H
#define TESTS_BENCH_MEMBER_H

#include <sys/types.h>

#include "tests/bench/host.h"
#include "tests/bench/link.h"

/*
 * A process of the bench that stands for one host: on one processor, in a network namespace of
 * its own if one is named. It does what it is told over a socket, one order at a time, on its
 * one thread.
 */
enum member_order {
	ORDER_LINK_OPEN,
	ORDER_LINK_JOIN,
	ORDER_LINK_SERVE,
	ORDER_LINK_ASK,
	ORDER_LOCAL_FAULTS,
	ORDER_HOST_OPEN,
	ORDER_HOST_JOIN,
	ORDER_TOUCH,
	ORDER_TURNS,
	ORDER_HOST_STOP,
	ORDER_HOST_CLOSE,
	ORDER_END,
};

struct member_cmd {
	enum member_order order;
	enum link_kind link;
	bool asks;
	unsigned n, window;
	struct host_cfg host; /* `ip` is the member's own */
	struct host_touch touch;
	struct host_turns turns;
	char peers[HOSTS_MAX][XPORT_OFI_ADDR_BYTES];
};

struct member_answer {
	int err;
	struct bench_times times;
	char address[XPORT_OFI_ADDR_BYTES];
};

struct member {
	pid_t pid;
	int fd;
};

/*
 * `index`: of the host, decides its processor. `netns`: path of a network namespace, or NULL.
 * Before there is any thread.
 */
int member_start(struct member *m, unsigned index, const char *ip, const char *netns);
/* Give an order; its answer has to be taken before the next. */
int member_order(struct member *m, const struct member_cmd *cmd);
/* Wait for the answer; -1, with the reason printed, when it is an error or takes a minute. */
int member_answer(struct member *m, struct member_answer *out);
/* Ends it, by force if it does not answer. */
void member_end(struct member *m);

#endif
