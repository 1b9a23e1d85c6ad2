/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SM_H
#define BASE_SM_H

#include "base/check.h"

/*
 * State-machine kit: a long-lived state is an enum with a table of what may follow what. A move
 * that the table does not allow is a programmer error; every move is traced ("<machine> id from
 * to").
 */
struct sm_state {
	const char *name;
	uint64_t next; /* bit i: a move to state i is allowed */
};

struct sm_table {
	const char *name; /* of the machine, a literal */
	const struct sm_state *states;
	unsigned n;
	/* Checked after every move when not NULL: may CHECK whatever must hold in the new state. */
	void (*invariant)(const void *owner, unsigned from, unsigned to);
};

struct sm {
	const struct sm_table *table;
	const void *owner;
	uint64_t id; /* appears in traces, so that machines of one request can be joined */
	unsigned state;
};

#define SM_NEXT(state) (UINT64_C(1) << (state))

/* Start in state 0. Context: owner's thread, as for all below. */
void sm_init(struct sm *sm, const struct sm_table *table, const void *owner, uint64_t id);
void sm_move(struct sm *sm, unsigned to);

static inline unsigned sm_state(const struct sm *sm)
{
	return sm->state;
}

static inline const char *sm_name(const struct sm *sm)
{
	return sm->table->states[sm->state].name;
}

/* Could sm_move(sm, to) be called? For requests from outside that arrive in a wrong state. */
static inline bool sm_may(const struct sm *sm, unsigned to)
{
	return to < sm->table->n && (sm->table->states[sm->state].next & SM_NEXT(to)) != 0;
}

#endif
