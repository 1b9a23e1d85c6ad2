/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_HOST_H
#define TESTS_BENCH_HOST_H

#include "dsm/dsm.h"
#include "proto/xport_ofi.h"
#include "tests/bench/samples.h"

/*
 * One "host": this process's share of a guest memory that several processes keep together, by
 * the run-time and the fabric of a slice. The calling thread is its one vCPU: it touches memory
 * as an engine does, and counts an instruction for each access.
 *
 * What is in a page follows from its number and a generation, so that every access can check
 * what it finds. Generation 0: never written.
 */
#define HOSTS_MAX 4u

struct host;

struct host_cfg {
	unsigned self, n; /* which of how many */
	unsigned pages;   /* of each host's share */
	bool ahead;       /* ask for pages ahead: then not every touch is a fault */
	const char *ip;
	enum dsm_uffd_mode mode;
};

/* All print what is wrong and return -1 then. Context: one thread, the vCPU's. */
int host_open(const struct host_cfg *cfg, struct host **out, char *address);
/* `peers[i]` is the address of host i. */
int host_join(struct host *h, const char peers[HOSTS_MAX][XPORT_OFI_ADDR_BYTES]);
/* All must have stopped before one closes, or the others take it for lost. */
void host_stop(struct host *h);
void host_close(struct host *h);

/*
 * Pages are numbered through all shares. `before` must be found there; a write leaves `after`.
 * Every touch has to be a fault of the named kind, and the run-time has to have counted it as
 * one, unless pages are asked for ahead.
 */
enum host_fault { HOST_READ, HOST_WRITE, HOST_UPGRADE };
struct host_touch {
	unsigned first, n;
	enum host_fault fault;
	uint32_t before, after;
};
/* Touch each page once, in ascending order, one access at a time. Not after host_turns(). */
int host_touch(struct host *h, const struct host_touch *t, struct bench_times *out);

/*
 * Write a page in turn with another: `first` has the first turn, both write `n` times. Waiting
 * for a turn is reading the page again and again. The page begins with `start` and ends with
 * start + 2 n.
 */
struct host_turns {
	unsigned page, n;
	bool first;
	uint64_t start;
};
int host_turns(struct host *h, const struct host_turns *t, struct bench_times *out);

#endif
