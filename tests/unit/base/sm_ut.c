/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sm.h"

#include "tests/lib/ut.h"

UT_SUITE(sm);

enum { DOOR_CLOSED, DOOR_OPEN, DOOR_GONE, DOOR_N };

static const struct sm_state door_states[] = {
	[DOOR_CLOSED] = {"closed", SM_NEXT(DOOR_OPEN) | SM_NEXT(DOOR_GONE)},
	[DOOR_OPEN] = {"open", SM_NEXT(DOOR_CLOSED)},
	[DOOR_GONE] = {"gone", 0},
};

struct door {
	struct sm sm;
	unsigned moves, from, to;
	bool locked;
};

static void door_invariant(const void *owner, unsigned from, unsigned to)
{
	struct door *door = (struct door *)owner;
	door->moves++;
	door->from = from;
	door->to = to;
	CHECK(!(door->locked && to == DOOR_OPEN));
}

static const struct sm_table door_table = {"door", door_states, DOOR_N, door_invariant};
static const struct sm_table plain_table = {"plain", door_states, DOOR_N, NULL};

UT_TEST(starts_in_state_0)
{
	struct sm sm;
	sm_init(&sm, &plain_table, NULL, 7);
	UT_EQ(sm_state(&sm), DOOR_CLOSED);
	UT_EQ_STR(sm_name(&sm), "closed");
}

UT_TEST(moves_along_the_table)
{
	struct door door = {.moves = 0};
	sm_init(&door.sm, &door_table, &door, 7);
	UT_EQ(door.moves, 0);
	sm_move(&door.sm, DOOR_OPEN);
	UT_EQ(sm_state(&door.sm), DOOR_OPEN);
	UT_EQ(door.from, DOOR_CLOSED);
	UT_EQ(door.to, DOOR_OPEN);
	sm_move(&door.sm, DOOR_CLOSED);
	sm_move(&door.sm, DOOR_GONE);
	UT_EQ_STR(sm_name(&door.sm), "gone");
	UT_EQ(door.moves, 3);
}

UT_TEST(may_agrees_with_the_table)
{
	static const bool may[DOOR_N][DOOR_N] = {
		[DOOR_CLOSED] = {false, true, true},
		[DOOR_OPEN] = {true, false, false},
		[DOOR_GONE] = {false, false, false},
	};
	for (unsigned from = 0; from < DOOR_N; from++) {
		struct sm sm;
		sm_init(&sm, &plain_table, NULL, 0);
		sm.state = from;
		for (unsigned to = 0; to < DOOR_N; to++)
			UT_EQ(sm_may(&sm, to), may[from][to]);
		UT_CHECK(!sm_may(&sm, DOOR_N) && !sm_may(&sm, 64) && !sm_may(&sm, UINT32_MAX));
	}
}

UT_TEST(states_outside_the_table_may_never_follow)
{
	static const struct sm_state states[] = {{"any", UINT64_MAX}, {"other", UINT64_MAX}};
	static const struct sm_table table = {"any", states, 2, NULL};
	struct sm sm;
	sm_init(&sm, &table, NULL, 0);
	UT_CHECK(sm_may(&sm, 0) && sm_may(&sm, 1));
	UT_CHECK(!sm_may(&sm, 2) && !sm_may(&sm, 63) && !sm_may(&sm, 64));
}

static void move_to_self(UNUSED void *arg)
{
	struct sm sm;
	sm_init(&sm, &plain_table, NULL, 0x77);
	sm_move(&sm, DOOR_CLOSED);
}

static void move_outside(UNUSED void *arg)
{
	struct sm sm;
	sm_init(&sm, &plain_table, NULL, 0x77);
	sm_move(&sm, DOOR_N);
}

static void leave_last(UNUSED void *arg)
{
	struct sm sm;
	sm_init(&sm, &plain_table, NULL, 0x77);
	sm_move(&sm, DOOR_GONE);
	sm_move(&sm, DOOR_OPEN);
}

static void break_invariant(UNUSED void *arg)
{
	struct door door = {.locked = true};
	sm_init(&door.sm, &door_table, &door, 0x77);
	sm_move(&door.sm, DOOR_OPEN);
}

static void too_many_states(UNUSED void *arg)
{
	static const struct sm_table table = {"huge", door_states, 65, NULL};
	struct sm sm;
	sm_init(&sm, &table, NULL, 0);
}

static void no_state(UNUSED void *arg)
{
	static const struct sm_table table = {"none", door_states, 0, NULL};
	struct sm sm;
	sm_init(&sm, &table, NULL, 0);
}

UT_TEST(an_illegal_move_aborts)
{
	UT_ABORTS(move_to_self, NULL, "sm_may(sm, to)");
	UT_ABORTS(move_outside, NULL, "sm_may(sm, to)");
	UT_ABORTS(leave_last, NULL, "sm_may(sm, to)");
	UT_ABORTS(break_invariant, NULL, "door_invariant");
	UT_ABORTS(too_many_states, NULL, "sm_init");
	UT_ABORTS(no_state, NULL, "sm_init");
}

UT_TEST(moves_are_traced)
{
	UT_ABORTS(leave_last, NULL, " plain 0x77 0x0 0x2\n");
	UT_ABORTS(leave_last, NULL, " plain 0x77 0x2 0x1\n");
}
