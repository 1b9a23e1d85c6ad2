/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/syscon.h"

#include "tests/lib/ut.h"

static unsigned calls;
static enum vio_power last;
static uint32_t last_code;

static void on_power(void *arg, enum vio_power what, uint32_t code)
{
	calls++;
	last = what;
	last_code = code;
}

static struct syscon *s;

static void before(void)
{
	calls = 0;
	UT_OK(syscon_create(on_power, NULL, &s));
}

static void after(void)
{
	syscon_destroy(s);
}

UT_SUITE_WITH(syscon, before, after);

UT_TEST(values_of_the_board)
{
	syscon_range_ops.write(s, 0, 4, 0x5555);
	UT_EQ(last, VIO_POWER_OFF);
	syscon_range_ops.write(s, 0, 4, 0x7777);
	UT_EQ(last, VIO_POWER_REBOOT);
	syscon_range_ops.write(s, 0, 4, 0x12343333);
	UT_EQ(last, VIO_POWER_FAIL);
	UT_EQ(last_code, 0x1234);
	UT_EQ(calls, 3);
}

UT_TEST(anything_else_does_nothing)
{
	syscon_range_ops.write(s, 0, 4, 0);
	syscon_range_ops.write(s, 0, 4, UINT32_MAX);
	syscon_range_ops.write(s, 4, 4, 0x5555);
	syscon_range_ops.write(s, 0, 1, 0x55);
	syscon_range_ops.write(s, 0, 8, 0x5555);
	UT_EQ(calls, 0);
	UT_EQ(syscon_range_ops.read(s, 0, 4), 0);
	UT_EQ(syscon_range_ops.read(s, 4, 4), UINT32_MAX);
}
