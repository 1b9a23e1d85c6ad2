/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_DSM_CORE_RIG_H
#define TESTS_UNIT_DSM_CORE_RIG_H

#include "dsm/core.h"

/*
 * One coherence core, with everything around it played by the test. Slice i is home of pages
 * [i * 16, i * 16 + 16), counted from RIG_FIRST; all slices 0 .. n - 1 exist.
 */
#define RIG_FIRST 0x80000u
#define RIG_SHARE 16u
#define RIG_ACTS  512u
#define RIG_HOLD  1000000u

struct rig_act {
	struct core_action a;
	struct wire_page msg; /* SEND */
	uint32_t page;        /* counted from RIG_FIRST */
};

struct rig {
	struct core *core;
	uint64_t now_ns;
	uint64_t retired[CORE_VCPUS_MAX];
	struct rig_act acts[RIG_ACTS];
	unsigned n;      /* actions of the last step */
	bool no_migrate; /* of the next rig_start alone */
	bool ahead;      /* the same */
};

void rig_start(struct rig *r, unsigned self, unsigned slices, uint64_t cache_pages, unsigned vcpus);
void rig_end(struct rig *r);

/* One step each; what core_step returns. */
int rig_step(struct rig *r, const struct core_event *ev);
int rig_fault(struct rig *r, unsigned slot, uint32_t page, bool write);
int rig_msg(struct rig *r, unsigned from, uint32_t page, struct wire_page msg);
int rig_revoked(struct rig *r, uint32_t page);
int rig_tick(struct rig *r, uint64_t after_ns);

/* The first action of a type in the last step, or NULL. */
const struct rig_act *rig_act(const struct rig *r, enum core_action_type type);
/* The first message of a type to `to` in the last step, or NULL. */
const struct rig_act *rig_sent(const struct rig *r, uint16_t type, unsigned to);
unsigned rig_count(const struct rig *r, enum core_action_type type);
enum core_cache_state rig_state(const struct rig *r, uint32_t page);

/* `slot` gets a copy of a remote page from its home, in whole. */
void rig_get(struct rig *r, unsigned slot, uint32_t page, bool write, uint32_t version);

static inline gpage_t rig_page(uint32_t page)
{
	return (gpage_t){RIG_FIRST + page};
}

#endif
