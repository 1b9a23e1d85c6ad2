/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/pvpanic.h"

#include "proto/rv64_map.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

static struct fixture f;

static void before(void)
{
	fixture_init(&f);
	UT_OK(vio_machine_add_pvpanic(f.m, 7));
}

static void after(void)
{
	fixture_fini(&f);
}

UT_SUITE_WITH(pvpanic, before, after);

UT_TEST(a_panic_is_reported)
{
	uint64_t at = RV64_PCI32_BASE;
	UT_EQ(vd_config_read(f.bus, 7, 0, 4), 0x00111b36);
	vd_config_write(f.bus, 7, 0x10, 4, (uint32_t)at);
	vd_config_write(f.bus, 7, 0x04, 2, 2);
	UT_EQ(fixture_read8(&f, at), 1);
	fixture_write8(&f, at, 2);
	fixture_write8(&f, at + 1, 1);
	UT_EQ(f.powers, 0);
	fixture_write8(&f, at, 1);
	UT_EQ(f.powers, 1);
	UT_EQ(f.power, VIO_POWER_PANIC);
	vio_machine_reset(f.m);
	uint64_t v;
	UT_ERR(vio_bus_read(f.bus, (gpa_t){at}, 1, &v), NOT_FOUND);
}

UT_TEST(there_is_one)
{
	UT_ERR(vio_machine_add_pvpanic(f.m, 8), EXISTS);
}
