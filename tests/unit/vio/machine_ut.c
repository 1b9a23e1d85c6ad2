/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rv64_map.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

static struct fixture f;

static void before(void)
{
	fixture_init(&f);
}

static void after(void)
{
	fixture_fini(&f);
}

UT_SUITE_WITH(machine, before, after);

UT_TEST(everything_is_where_the_map_says)
{
	UT_EQ(fixture_read32(&f, RV64_APLIC_S_BASE), 0x80000004);
	UT_EQ(fixture_read8(&f, RV64_UART_BASE + 5), 0x60);
	UT_EQ(fixture_read32(&f, RV64_RTC_BASE), (uint32_t)UINT64_C(1700000000123456789));
	UT_EQ(fixture_read32(&f, RV64_ECAM_BASE), 0x00081b36);
	uint64_t v;
	UT_ERR(vio_bus_read(f.bus, (gpa_t){RV64_RAM_BASE}, 4, &v), NOT_FOUND);
	fixture_write32(&f, RV64_TEST_BASE, 0x5555);
	UT_EQ(f.powers, 1);
	UT_EQ(f.power, VIO_POWER_OFF);
}

UT_TEST(the_uart_interrupts_a_hart)
{
	fixture_write32(&f, RV64_APLIC_S_BASE + 4 * RV64_UART_IRQ, 6);
	fixture_write32(&f, RV64_APLIC_S_BASE + 0x3000 + 4 * RV64_UART_IRQ, 3u << 18 | 21);
	fixture_write32(&f, RV64_APLIC_S_BASE + 0x1edc, RV64_UART_IRQ);
	fixture_write32(&f, RV64_APLIC_S_BASE, 0x104);
	fixture_write8(&f, RV64_UART_BASE + 1, 1);
	stream_host_write(f.uart, "x", 1);
	UT_EQ(msi_sink_count(&f.sink, 21), 1);
	UT_EQ(f.sink.last_addr.v, RV64_IMSIC_S_BASE + 3 * RV64_IMSIC_STRIDE);
	UT_EQ(fixture_read8(&f, RV64_UART_BASE), 'x');
}

UT_TEST(reset_brings_back_the_power_on_state)
{
	fixture_write32(&f, RV64_APLIC_S_BASE, 0x104);
	fixture_write8(&f, RV64_UART_BASE + 7, 0x12);
	UT_OK(vio_machine_start(f.m));
	UT_OK(vio_machine_quiesce(f.m, 0));
	vio_machine_resume(f.m);
	vio_machine_reset(f.m);
	UT_EQ(fixture_read32(&f, RV64_APLIC_S_BASE), 0x80000004);
	UT_EQ(fixture_read8(&f, RV64_UART_BASE + 7), 0);
	vio_machine_stop(f.m);
	vio_machine_stop(f.m);
}
