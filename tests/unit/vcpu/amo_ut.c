/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu/rv64/rv_amo.h"

#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/vcpu/rig.h"
#include "vcpu/rv64/rv_mmu.h"

UT_SUITE_WITH(amo, rig_up, rig_down);

static const struct rv_insn lr = {.rd = 5, .rs1 = 10}, sc = {.rd = 6, .rs1 = 10, .rs2 = 11};

/* Hart i: lr.d or sc.d on RIG_DATA; sc stores `value` and gives the result. */
static void load_reserved(unsigned i)
{
	rig.h[i]->x[10] = RIG_DATA;
	UT_CHECK(!rv_lr(rig.h[i], &lr, 8));
}

static uint64_t store_conditional(unsigned i, uint64_t value)
{
	rig.h[i]->x[10] = RIG_DATA;
	rig.h[i]->x[11] = value;
	UT_CHECK(!rv_sc(rig.h[i], &sc, 8));
	return rig.h[i]->x[6];
}

static void store(unsigned i, uint64_t value)
{
	UT_CHECK(!rv_mmu_store(rig.h[i], RIG_DATA, 8, value));
}

UT_TEST(a_pair_succeeds_once)
{
	*rig_at(RIG_DATA) = 1;
	load_reserved(0);
	UT_EQ(rig.h[0]->x[5], 1);
	UT_EQ(store_conditional(0, 2), 0);
	UT_EQ(*rig_at(RIG_DATA), 2);
	UT_EQ(store_conditional(0, 3), 1);
	UT_EQ(*rig_at(RIG_DATA), 2);
	UT_EQ(rig.group->live, 0);
}

UT_TEST(another_harts_store_of_the_same_value_fails_it)
{
	*rig_at(RIG_DATA) = 1;
	load_reserved(0);
	store(1, 2);
	store(1, 1);
	UT_EQ(store_conditional(0, 5), 1);
	UT_EQ(*rig_at(RIG_DATA), 1);
}

UT_TEST(another_harts_sc_and_amo_fail_it)
{
	struct rv_insn add = {.op = RV_OP_amoadd_d, .rd = 5, .rs1 = 10, .rs2 = 0, .rm = 3};

	load_reserved(0);
	load_reserved(1);
	UT_EQ(store_conditional(1, 0), 0);
	UT_EQ(store_conditional(0, 1), 1);
	load_reserved(0);
	rig.h[2]->x[10] = RIG_DATA;
	UT_CHECK(!rv_amo(rig.h[2], &add)); /* adds 0 */
	UT_EQ(store_conditional(0, 1), 1);
}

UT_TEST(stores_elsewhere_do_not)
{
	load_reserved(0);
	UT_CHECK(!rv_mmu_store(rig.h[1], RIG_DATA + 8, 8, 1));
	UT_EQ(store_conditional(0, 1), 0);
}

UT_TEST(ones_own_store_ends_it)
{
	load_reserved(0);
	store(0, 0);
	UT_EQ(store_conditional(0, 1), 1);
}

UT_TEST(another_size_or_address_fails)
{
	load_reserved(0);
	rig.h[0]->x[10] = RIG_DATA;
	UT_CHECK(!rv_sc(rig.h[0], &sc, 4));
	UT_EQ(rig.h[0]->x[6], 1);
	load_reserved(0);
	rig.h[0]->x[10] = RIG_DATA + 64;
	UT_CHECK(!rv_sc(rig.h[0], &sc, 8));
	UT_EQ(rig.h[0]->x[6], 1);
}

UT_TEST(a_page_that_went_away_fails_it)
{
	rig.ram.ops = &rig_ram_ops;
	load_reserved(0);
	rig.generation++;
	UT_EQ(store_conditional(0, 1), 1);
	load_reserved(0);
	UT_EQ(store_conditional(0, 1), 0);
	UT_EQ(rig.begins, rig.ends);
}

static void on_store(int signal)
{
	rig.readonly = false;
	CHECK(mprotect(rig_at(RIG_DATA & ~(PAGE_BYTES - 1)), PAGE_BYTES, PROT_READ | PROT_WRITE) ==
		0);
}

/* Or the SC waits for it with its reservation in the way of the others. */
UT_TEST(a_load_reserved_has_the_page_made_writable)
{
	struct sigaction store_seen = {.sa_handler = on_store}, was;

	rig.ram.ops = &rig_ram_ops;
	*rig_at(RIG_DATA) = 7;
	rig.readonly = true;
	CHECK(sigaction(SIGSEGV, &store_seen, &was) == 0);
	CHECK(mprotect(rig_at(RIG_DATA & ~(PAGE_BYTES - 1)), PAGE_BYTES, PROT_READ) == 0);
	load_reserved(0);
	UT_CHECK(!rig.readonly);
	UT_EQ(rig.h[0]->x[5], 7);
	UT_EQ(store_conditional(0, 1), 0);
	CHECK(sigaction(SIGSEGV, &was, NULL) == 0);
}

UT_TEST(a_read_only_page_is_made_writable)
{
	rig.ram.ops = &rig_ram_ops;
	rig.readonly_times = 3;
	load_reserved(0);
	UT_EQ(store_conditional(0, 1), 0);
	UT_EQ(rig.begins, 1);
	UT_EQ(rig.ends, 1);
	rig.readonly_times = 1000; /* bounded */
	load_reserved(0);
	UT_EQ(store_conditional(0, 1), 1);
}

UT_TEST(misaligned_ones_trap)
{
	struct rv_hart *h = rig.h[0];
	struct rv_insn swap = {.op = RV_OP_amoswap_w, .rd = 5, .rs1 = 10, .rs2 = 11, .rm = 2};

	h->x[10] = RIG_DATA + 4;
	UT_CHECK(rv_lr(h, &lr, 8));
	UT_EQ(h->trap_cause, RV_CAUSE_LOAD_MISALIGNED);
	UT_CHECK(rv_sc(h, &sc, 8));
	UT_EQ(h->trap_cause, RV_CAUSE_STORE_MISALIGNED);
	UT_CHECK(!rv_amo(h, &swap));
	h->x[10] = RIG_DATA + 2;
	UT_CHECK(rv_amo(h, &swap));
	UT_EQ(h->trap_cause, RV_CAUSE_STORE_MISALIGNED);
	UT_EQ(h->trap_tval, RIG_DATA + 2);
}

UT_TEST(devices_have_no_atomics)
{
	struct rv_hart *h = rig.h[0];
	struct rv_insn add = {.op = RV_OP_amoadd_w, .rd = 5, .rs1 = 10, .rs2 = 11, .rm = 2};

	h->x[10] = RIG_DEV;
	UT_CHECK(rv_amo(h, &add));
	UT_EQ(h->trap_cause, RV_CAUSE_STORE_ACCESS);
	UT_CHECK(rv_lr(h, &lr, 8));
	UT_EQ(h->trap_cause, RV_CAUSE_LOAD_ACCESS);
}
