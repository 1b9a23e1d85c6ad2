/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PROTO_XPORT_RIG_H
#define TESTS_UNIT_PROTO_XPORT_RIG_H

#include "base/clock.h"
#include "proto/xport.h"
#include "tests/lib/ut.h"

/*
 * What the tests of every transport share: sides that write down what their handler is told, and
 * threads that race. Whoever tests a transport opens sides[i].x with `side_handler` and &sides[i].
 */
#define SIDES         8u
#define SIDE_LOG_MAX  4096u
#define SIDE_SKEW_MAX 1000000u                    /* ns: a guest time beyond is a violation */
#define PATIENCE_NS   (UINT64_C(10) * 1000000000) /* what has not come by then never comes */

struct side {
	struct xport *x;
	struct {
		slice_id_t peer;
		uint16_t type;
		uint32_t value;
		size_t data_bytes;
	} got[SIDE_LOG_MAX];
	unsigned n_got;
	unsigned n_down[SIDES];
	int down_err[SIDES];
	uint64_t observed;        /* guest time of the latest frame */
	uint8_t data[PAGE_BYTES]; /* of the latest message that had any */
};

extern struct side sides[SIDES];
extern uint64_t side_guest_now; /* what all of them stamp on what they send */
extern const struct xport_handler side_handler;

/* Forget everything, before a test. */
void sides_clear(void);
/* Destroy the transports that are there. */
void sides_destroy(void);
uint64_t side_now_ns(void);

/* A message of a number alone, in the class of its type; with a page of `data` unless NULL. */
MUST_CHECK int side_post(unsigned from, unsigned to, uint16_t type, uint32_t value);
MUST_CHECK int side_post_page(
	unsigned from, unsigned to, uint16_t type, uint32_t value, const void *data);

/* One round of progress of every side. */
void sides_run(void);

#define RUN_UNTIL(cond)                                                                            \
	do {                                                                                       \
		uint64_t end_ = side_now_ns() + PATIENCE_NS;                                       \
		while (!(cond)) {                                                                  \
			sides_run();                                                               \
			if (side_now_ns() > end_)                                                  \
				UT_FAIL("never came: %s", #cond);                                  \
		}                                                                                  \
	} while (0)

/* Every one of `n` sides sends a page to every other: bytes, sender and guest time come out. */
void sides_check_pairs(unsigned n);

/*
 * Each racer has two senders and a progress thread of its own; what they send keeps its bytes, and
 * its order per sender and class. Open racers[i].x with `race_handler` and &racers[i], then run.
 */
#define RACERS_MAX 4u
struct racer;
struct racer *racer_at(unsigned i);
void racers_clear(void);
extern const struct xport_handler race_handler;
void racers_run(struct xport *const *x, unsigned n, uint32_t rounds);

#endif
