/* SPDX-License-Identifier: Apache-2.0 */
#include "dsm/dsm.h"

#include "tests/lib/fake_gate.h"
#include "tests/lib/ut.h"

static struct fake_gate g;

static void before(void)
{
	fake_gate_init(&g, 4 * PAGE_BYTES);
}

static void after(void)
{
	fake_gate_fini(&g);
}

UT_SUITE_WITH(gate, before, after);

static gpa_t at(uint64_t off)
{
	return (gpa_t){g.gate.base.v + off};
}

UT_TEST(copies_go_page_by_page)
{
	static uint8_t out[3 * PAGE_BYTES], in[3 * PAGE_BYTES];
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 3);
	UT_OK(dsm_gate_write(&g.gate, at(100), out, sizeof(out)));
	UT_EQ(atomic_load(&g.pins), 4);
	UT_OK(dsm_gate_read(&g.gate, at(100), in, sizeof(in)));
	UT_EQ(atomic_load(&g.pins), 8);
	UT_EQ_MEM(in, out, sizeof(in));
	UT_EQ_MEM(g.ram + 100, out, sizeof(out));
}

UT_TEST(outside_memory_nothing_is_copied)
{
	uint8_t b[16] = {1};
	UT_ERR(dsm_gate_write(&g.gate, at(4 * PAGE_BYTES - 8), b, 16), RANGE);
	UT_ERR(dsm_gate_read(&g.gate, (gpa_t){0}, b, 1), RANGE);
	UT_ERR(dsm_gate_read(&g.gate, (gpa_t){UINT64_MAX}, b, 16), RANGE);
	UT_ERR(dsm_gate_read(&g.gate, at(0), b, SIZE_MAX), RANGE);
	UT_EQ(g.ram[4 * PAGE_BYTES - 8], 0);
	UT_EQ(atomic_load(&g.pins), 0);
	UT_OK(dsm_gate_read(&g.gate, at(4 * PAGE_BYTES), b, 0));
}

UT_TEST(a_stopped_vm_ends_the_copy)
{
	uint8_t b[16];
	atomic_store(&g.fail, ERR_VM_STOPPED);
	UT_ERR(dsm_gate_read(&g.gate, at(0), b, 16), VM_STOPPED);
	UT_ERR(dsm_gate_write(&g.gate, at(0), b, 16), VM_STOPPED);
}
