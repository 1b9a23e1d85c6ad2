/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_FAKE_GATE_H
#define TESTS_LIB_FAKE_GATE_H

#include <stdatomic.h>

#include "dsm/dsm.h"

/*
 * The guest memory gate over plain memory, with the rules of dsm.h checked: ranges, limits, sets
 * taken by one thread one after the other, and everything unpinned in the end.
 */
struct fake_gate {
	struct dsm_gate gate;
	uint8_t *ram;
	_Atomic int fail; /* what pins return; 0: succeed */
	_Atomic int pinned;
	_Atomic uint64_t pins; /* sets taken so far */
	uint64_t next;         /* of fake_gate_alloc() */
	/* Called before a set is pinned, may block; NULL: nothing. */
	void (*before)(void *arg);
	void *arg;
};

/* RAM of `bytes` at RV64_RAM_BASE. */
void fake_gate_init(struct fake_gate *g, uint64_t bytes);
/* CHECKs that nothing is pinned. */
void fake_gate_fini(struct fake_gate *g);

/* Guest memory for a test's data: zeroed when it was never used, never freed. */
gpa_t fake_gate_alloc(struct fake_gate *g, uint64_t bytes, uint64_t align);
/* Where the guest's CPU would see it. */
void *fake_gate_at(struct fake_gate *g, gpa_t at, uint64_t bytes);

#endif
