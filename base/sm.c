/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sm.h"

#include "base/trace.h"

void sm_init(struct sm *sm, const struct sm_table *table, const void *owner, uint64_t id)
{
	CHECK(table->n > 0 && table->n <= 64); /* SM_NEXT() is a bit of 64 */
	*sm = (struct sm){.table = table, .owner = owner, .id = id};
}

void sm_move(struct sm *sm, unsigned to)
{
	unsigned from = sm->state;
	trace(sm->table->name, sm->id, from, to);
	CHECK(sm_may(sm, to));
	sm->state = to;
	if (sm->table->invariant != NULL)
		sm->table->invariant(sm->owner, from, to);
}
