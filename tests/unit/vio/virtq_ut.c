/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/virtq.h"

#include "base/buf.h"
#include "tests/lib/fake_gate.h"
#include "tests/lib/ut.h"

#define SIZE 8u

static struct fake_gate g;
static struct virtq_cfg cfg;
static struct virtq q;
static struct virtq_chain chain;
static gpa_t data;

static void make(bool event_idx, bool indirect)
{
	cfg = (struct virtq_cfg){
		.gate = &g.gate,
		.size = SIZE,
		.desc = fake_gate_alloc(&g, 16 * SIZE, 16),
		.avail = fake_gate_alloc(&g, 6 + 2 * SIZE, 2),
		.used = fake_gate_alloc(&g, 6 + 8 * SIZE, 4),
		.event_idx = event_idx,
		.indirect = indirect,
	};
	UT_OK(virtq_init(&q, &cfg));
}

static void before(void)
{
	fake_gate_init(&g, 1 << 20);
	data = fake_gate_alloc(&g, 4096, 8);
}

static void after(void)
{
	fake_gate_fini(&g);
}

UT_SUITE_WITH(virtq, before, after);

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static void desc(
	gpa_t table, unsigned i, uint64_t addr, uint32_t bytes, unsigned flags, unsigned next)
{
	struct wcur c = wcur_of(fake_gate_at(&g, (gpa_t){table.v + 16 * i}, 16), 16);
	wcur_u64(&c, addr);
	wcur_u32(&c, bytes);
	wcur_u16(&c, (uint16_t)flags);
	wcur_u16(&c, (uint16_t)next);
}

static uint16_t get16(uint64_t at)
{
	struct rcur c = rcur_of(fake_gate_at(&g, (gpa_t){at}, 2), 2);
	return rcur_u16(&c);
}

static void set16(uint64_t at, unsigned v)
{
	struct wcur c = wcur_of(fake_gate_at(&g, (gpa_t){at}, 2), 2);
	wcur_u16(&c, (uint16_t)v);
}

/* Make `head` available. */
static void offer(unsigned head)
{
	uint16_t idx = get16(cfg.avail.v + 2);
	set16(cfg.avail.v + 4 + 2 * (idx % SIZE), head);
	set16(cfg.avail.v + 2, idx + 1u);
}

UT_TEST(a_chain_is_taken_and_given_back)
{
	make(false, false);
	UT_ERR(virtq_pop(&q, &chain), AGAIN);
	desc(cfg.desc, 3, data.v, 10, NEXT, 5);
	desc(cfg.desc, 5, data.v + 100, 20, NEXT | WRITE, 1);
	desc(cfg.desc, 1, data.v + 200, 30, WRITE, 0);
	offer(3);
	UT_OK(virtq_pop(&q, &chain));
	UT_EQ(chain.head, 3);
	UT_EQ(chain.n_out, 1);
	UT_EQ(chain.n_in, 2);
	UT_EQ(chain.out_bytes, 10);
	UT_EQ(chain.in_bytes, 50);
	UT_ERR(virtq_pop(&q, &chain), AGAIN);
	UT_OK(virtq_push(&q, &chain, 17));
	UT_EQ(get16(cfg.used.v + 2), 1);
	UT_EQ(get16(cfg.used.v + 4), 3);
	UT_EQ(get16(cfg.used.v + 8), 17);
}

UT_TEST(data_crosses_segments)
{
	make(false, false);
	memcpy(fake_gate_at(&g, data, 6), "abcdef", 6);
	desc(cfg.desc, 0, data.v, 2, NEXT, 1);
	desc(cfg.desc, 1, data.v + 2, 4, NEXT, 2);
	desc(cfg.desc, 2, data.v + 50, 3, NEXT | WRITE, 3);
	desc(cfg.desc, 3, data.v + 60, 3, WRITE, 0);
	offer(0);
	UT_OK(virtq_pop(&q, &chain));
	char got[6];
	UT_OK(virtq_chain_read(&q, &chain, 1, got, 4));
	UT_EQ_MEM(got, "bcde", 4);
	UT_ERR(virtq_chain_read(&q, &chain, 3, got, 4), RANGE);
	UT_ERR(virtq_chain_read(&q, &chain, UINT64_MAX, got, 1), RANGE);
	UT_OK(virtq_chain_write(&q, &chain, 2, "XYZ", 3));
	UT_EQ_MEM(fake_gate_at(&g, (gpa_t){data.v + 52}, 1), "X", 1);
	UT_EQ_MEM(fake_gate_at(&g, (gpa_t){data.v + 60}, 2), "YZ", 2);
	UT_ERR(virtq_chain_write(&q, &chain, 4, "XYZ", 3), RANGE);
	UT_OK(virtq_chain_write(&q, &chain, 6, "", 0));
}

UT_TEST(an_indirect_table)
{
	make(false, true);
	gpa_t table = fake_gate_alloc(&g, 16 * 20, 16);
	for (unsigned i = 0; i < 20; i++)
		desc(table, i, data.v + i, 1, (i >= 10 ? WRITE : 0) | (i < 19 ? NEXT : 0), i + 1);
	desc(cfg.desc, 2, table.v, 16 * 20, INDIRECT, 0);
	offer(2);
	UT_OK(virtq_pop(&q, &chain));
	UT_EQ(chain.n_out, 10);
	UT_EQ(chain.n_in, 10);
	/* After a direct part, too. */
	desc(cfg.desc, 4, data.v, 8, NEXT, 2);
	offer(4);
	UT_OK(virtq_pop(&q, &chain));
	UT_EQ(chain.n_out, 11);
	UT_EQ(chain.head, 4);
}

/* Everything that a driver can get wrong in a chain that begins at descriptor 0. */
static void refused(void)
{
	offer(0);
	UT_ERR(virtq_pop(&q, &chain), FORMAT);
	UT_EQ(q.last_avail, 0);
	set16(cfg.avail.v + 2, 0);
}

UT_TEST(malformed_chains_are_refused)
{
	make(false, false);
	desc(cfg.desc, 0, data.v, 1, NEXT, 0); /* a loop of one */
	refused();
	desc(cfg.desc, 0, data.v, 1, NEXT, 1); /* of two */
	desc(cfg.desc, 1, data.v, 1, NEXT, 0);
	refused();
	desc(cfg.desc, 0, data.v, 1, NEXT, SIZE); /* next outside the table */
	refused();
	desc(cfg.desc, 0, data.v, 1, NEXT | WRITE, 1); /* readable after writable */
	desc(cfg.desc, 1, data.v, 1, 0, 0);
	refused();
	desc(cfg.desc, 0, data.v, 0, 0, 0); /* empty */
	refused();
	desc(cfg.desc, 0, g.gate.base.v - 1, 1, 0, 0); /* outside RAM */
	refused();
	desc(cfg.desc, 0, g.gate.base.v + g.gate.bytes - 1, 2, 0, 0);
	refused();
	desc(cfg.desc, 0, UINT64_MAX, UINT32_MAX, 0, 0);
	refused();
	desc(cfg.desc, 0, 0, 1, 0, 0);
	refused();
	desc(cfg.desc, 0, data.v, 16, INDIRECT, 0); /* not negotiated */
	refused();
	offer(SIZE); /* a head outside the table */
	UT_ERR(virtq_pop(&q, &chain), FORMAT);
	set16(cfg.avail.v + 2, SIZE + 1); /* more than the queue holds */
	UT_ERR(virtq_pop(&q, &chain), FORMAT);
	set16(cfg.avail.v + 2, 0xffff);
	UT_ERR(virtq_pop(&q, &chain), FORMAT);
}

UT_TEST(malformed_indirect_tables_are_refused)
{
	make(false, true);
	gpa_t table = fake_gate_alloc(&g, 16 * 2 * VIRTQ_SEGS_MAX, 16);
	desc(table, 0, data.v, 1, 0, 0);
	desc(cfg.desc, 0, table.v, 0, INDIRECT, 0);
	refused();
	desc(cfg.desc, 0, table.v, 17, INDIRECT, 0);
	refused();
	desc(cfg.desc, 0, table.v, 16 * (VIRTQ_SEGS_MAX + 1), INDIRECT, 0);
	refused();
	desc(cfg.desc, 0, g.gate.base.v + g.gate.bytes - 16, 32, INDIRECT, 0);
	refused();
	desc(cfg.desc, 0, UINT64_MAX - 15, 32, INDIRECT, 0);
	refused();
	desc(cfg.desc, 0, table.v, 16, INDIRECT | NEXT, 1);
	refused();
	desc(cfg.desc, 0, table.v, 16, INDIRECT, 0);
	desc(table, 0, table.v, 16, INDIRECT, 0); /* nested */
	refused();
	desc(table, 0, data.v, 1, NEXT, 0); /* a loop inside */
	refused();
	desc(table, 0, data.v, 1, NEXT, 1); /* out of its table */
	refused();
	/* Longer together than a chain may be. */
	for (unsigned i = 0; i < VIRTQ_SEGS_MAX; i++)
		desc(table, i, data.v, 1, i + 1 < VIRTQ_SEGS_MAX ? NEXT : 0, i + 1);
	desc(cfg.desc, 0, data.v, 1, NEXT, 1);
	desc(cfg.desc, 1, table.v, 16 * VIRTQ_SEGS_MAX, INDIRECT, 0);
	refused();
	desc(cfg.desc, 0, table.v, 16 * VIRTQ_SEGS_MAX, INDIRECT, 0);
	offer(0);
	UT_OK(virtq_pop(&q, &chain));
	UT_EQ(chain.n_out, VIRTQ_SEGS_MAX);
}

UT_TEST(bad_queues_are_refused)
{
	make(false, false);
	struct virtq_cfg c = cfg;
	c.size = 3;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c.size = 0;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c.size = 2 * VIRTQ_SIZE_MAX;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c = cfg;
	c.desc.v += 8;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c = cfg;
	c.avail.v += 1;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c = cfg;
	c.used.v += 2;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c = cfg;
	c.used.v = UINT64_MAX - 3;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c = cfg;
	c.desc.v = 0;
	UT_ERR(virtq_init(&q, &c), FORMAT);
	c = cfg;
	c.avail.v = g.gate.base.v + g.gate.bytes - 4;
	UT_ERR(virtq_init(&q, &c), FORMAT);
}

UT_TEST(indices_wrap)
{
	make(true, false);
	desc(cfg.desc, 0, data.v, 1, 0, 0);
	for (unsigned i = 0; i < 70000; i++) {
		offer(0);
		CHECK(virtq_pop(&q, &chain) == 0 && virtq_push(&q, &chain, 0) == 0);
	}
	UT_EQ(get16(cfg.used.v + 2), (uint16_t)70000);
	UT_ERR(virtq_pop(&q, &chain), AGAIN);
	UT_EQ(get16(cfg.used.v + 4 + 8 * SIZE), (uint16_t)70000);
}

static bool notifies(void)
{
	bool notify = false;
	desc(cfg.desc, 0, data.v, 1, 0, 0);
	offer(0);
	UT_OK(virtq_pop(&q, &chain));
	UT_OK(virtq_push(&q, &chain, 0));
	UT_OK(virtq_should_notify(&q, &notify));
	return notify;
}

UT_TEST(interrupts_by_flag)
{
	make(false, false);
	bool notify = true;
	UT_OK(virtq_should_notify(&q, &notify));
	UT_CHECK(!notify);
	UT_CHECK(notifies());
	set16(cfg.avail.v, 1);
	UT_CHECK(!notifies());
	set16(cfg.avail.v, 0);
	UT_CHECK(notifies());
}

UT_TEST(interrupts_by_event_index)
{
	make(true, false);
	uint64_t used_event = cfg.avail.v + 4 + 2 * SIZE;
	UT_CHECK(notifies()); /* used_event 0: when entry 0 is used */
	UT_CHECK(!notifies());
	set16(used_event, 3);
	UT_CHECK(!notifies());
	UT_CHECK(notifies());
	set16(used_event, 2); /* passed already */
	UT_CHECK(!notifies());
}

UT_TEST(the_gate_stops)
{
	make(true, true);
	atomic_store(&g.fail, ERR_VM_STOPPED);
	UT_ERR(virtq_pop(&q, &chain), VM_STOPPED);
	UT_ERR(virtq_push(&q, &chain, 0), VM_STOPPED);
}
