/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/aplic.h"

#include "proto/rv64_map.h"
#include "tests/lib/msi_sink.h"
#include "tests/lib/ut.h"

static struct msi_sink sink;
static struct aplic *a;

static void before(void)
{
	msi_sink_init(&sink);
	const struct aplic_cfg cfg = {
		.irq = msi_sink_irq(&sink),
		.sources = 96,
		.harts = 4,
		.imsic_base = {RV64_IMSIC_S_BASE},
		.imsic_stride = RV64_IMSIC_STRIDE,
	};
	UT_OK(aplic_create(&cfg, &a));
}

static void after(void)
{
	aplic_destroy(a);
	msi_sink_fini(&sink);
}

UT_SUITE_WITH(aplic, before, after);

enum {
	DOMAINCFG = 0,
	SOURCECFG = 0,
	SETIP = 0x1c00,
	SETIPNUM = 0x1cdc,
	IN_CLRIP = 0x1d00,
	CLRIPNUM = 0x1ddc,
	SETIE = 0x1e00,
	SETIENUM = 0x1edc,
	CLRIE = 0x1f00,
	CLRIENUM = 0x1fdc,
	SETIPNUM_LE = 0x2000,
	SETIPNUM_BE = 0x2004,
	GENMSI = 0x3000,
	TARGET = 0x3000,
	IE = 0x100,
	DETACHED = 1,
	EDGE1 = 4,
	EDGE0 = 5,
	LEVEL1 = 6,
	LEVEL0 = 7,
};

static uint32_t rd(unsigned off)
{
	return (uint32_t)aplic_range_ops.read(a, off, 4);
}

static void wr(unsigned off, uint32_t value)
{
	aplic_range_ops.write(a, off, 4, value);
}

static void line(unsigned n, bool level)
{
	const struct vio_line l = aplic_line(a, n);
	vio_line_set(&l, level);
}

/* As Linux sets up a source: hart 2, identity 33. */
static void route(unsigned n, uint32_t mode)
{
	wr(SOURCECFG + 4 * n, mode);
	wr(TARGET + 4 * n, 2u << 18 | 33);
	wr(SETIENUM, n);
	wr(DOMAINCFG, IE | 4);
}

static uint64_t sent(void)
{
	return msi_sink_total(&sink);
}

UT_TEST(domaincfg_reads_as_the_driver_expects)
{
	UT_EQ(rd(DOMAINCFG), 0x80000004);
	wr(DOMAINCFG, IE | 4);
	UT_EQ(rd(DOMAINCFG), 0x80000104);
	wr(DOMAINCFG, 1);
	UT_EQ(rd(DOMAINCFG), 0x80000004);
}

UT_TEST(an_edge_becomes_a_message)
{
	route(10, EDGE1);
	UT_EQ(sent(), 0);
	line(10, true);
	UT_EQ(sent(), 1);
	UT_EQ(sink.last_addr.v, RV64_IMSIC_S_BASE + 2 * RV64_IMSIC_STRIDE);
	UT_EQ(sink.last_data, 33);
	line(10, true);
	UT_EQ(sent(), 1);
	line(10, false);
	line(10, true);
	UT_EQ(sent(), 2);
	route(11, EDGE0);
	line(11, true);
	UT_EQ(sent(), 2);
	line(11, false);
	UT_EQ(sent(), 3);
}

/* AIA 4.9.2: the handler asks for another message if the line is still up. */
UT_TEST(a_level_is_sent_once_and_again_on_request)
{
	route(10, LEVEL1);
	line(10, true);
	UT_EQ(sent(), 1);
	UT_EQ(rd(SETIP), 0);
	wr(SETIPNUM_LE, 10);
	UT_EQ(sent(), 2);
	line(10, false);
	wr(SETIPNUM_LE, 10);
	wr(SETIPNUM, 10);
	wr(SETIP, 1u << 10);
	UT_EQ(sent(), 2);
	UT_EQ(rd(SETIP), 0);
	line(10, true);
	UT_EQ(sent(), 3);
}

UT_TEST(a_low_level_is_inverted)
{
	route(5, LEVEL0);
	UT_EQ(sent(), 1); /* pending since the mode was set, sent when the domain came on */
	UT_EQ(rd(IN_CLRIP), 1u << 5);
	line(5, true);
	UT_EQ(rd(IN_CLRIP), 0);
	uint64_t n = sent();
	line(5, false);
	UT_EQ(sent(), n + 1);
}

UT_TEST(a_level_that_falls_is_not_pending_any_more)
{
	wr(SOURCECFG + 4 * 7, LEVEL1);
	line(7, true);
	UT_EQ(rd(SETIP), 1u << 7);
	line(7, false);
	UT_EQ(rd(SETIP), 0);
	/* An edge stays. */
	wr(SOURCECFG + 4 * 8, EDGE1);
	line(8, true);
	line(8, false);
	UT_EQ(rd(SETIP), 1u << 8);
	wr(IN_CLRIP, 1u << 8);
	UT_EQ(rd(SETIP), 0);
	wr(SETIPNUM, 8);
	wr(CLRIPNUM, 8);
	UT_EQ(rd(SETIP), 0);
}

UT_TEST(pending_waits_for_enable_and_domain)
{
	wr(SOURCECFG + 4 * 40, DETACHED);
	wr(TARGET + 4 * 40, 1u << 18 | 7);
	wr(SETIPNUM, 40);
	UT_EQ(rd(SETIP + 4), 1u << 8);
	wr(SETIE + 4, 1u << 8);
	UT_EQ(rd(SETIE + 4), 1u << 8);
	UT_EQ(sent(), 0);
	wr(DOMAINCFG, IE);
	UT_EQ(sent(), 1);
	UT_EQ(sink.last_data, 7);
	wr(CLRIE + 4, 1u << 8);
	UT_EQ(rd(SETIE + 4), 0);
	wr(SETIPNUM, 40);
	UT_EQ(sent(), 1);
	wr(SETIENUM, 40);
	UT_EQ(sent(), 2);
	wr(CLRIENUM, 40);
	UT_EQ(rd(SETIE + 4), 0);
	/* Detached: the wire does not count. */
	wr(SETIENUM, 40);
	line(40, true);
	UT_EQ(sent(), 2);
}

UT_TEST(inactive_sources_hold_nothing)
{
	wr(TARGET + 4 * 3, 5);
	wr(SETIENUM, 3);
	wr(SETIPNUM, 3);
	UT_EQ(rd(TARGET + 4 * 3), 0);
	UT_EQ(rd(SETIE), 0);
	UT_EQ(rd(SETIP), 0);
	route(3, EDGE1);
	wr(SOURCECFG + 4 * 3, 0);
	UT_EQ(rd(TARGET + 4 * 3), 0);
	UT_EQ(rd(SETIE), 0);
	line(3, true);
	UT_EQ(sent(), 0);
	/* Reserved modes and delegation can not be had. */
	for (unsigned mode = 2; mode <= 3; mode++) {
		wr(SOURCECFG + 4 * 3, mode);
		UT_EQ(rd(SOURCECFG + 4 * 3), 0);
	}
	wr(SOURCECFG + 4 * 3, 1u << 10 | EDGE1);
	UT_EQ(rd(SOURCECFG + 4 * 3), 0);
}

UT_TEST(genmsi_is_sent_at_once)
{
	wr(GENMSI, 3u << 18 | 9);
	UT_EQ(sent(), 1);
	UT_EQ(sink.last_addr.v, RV64_IMSIC_S_BASE + 3 * RV64_IMSIC_STRIDE);
	UT_EQ(sink.last_data, 9);
	UT_EQ(rd(GENMSI), 3u << 18 | 9);
	wr(GENMSI, 4u << 18 | 9); /* no such hart */
	UT_EQ(sent(), 1);
}

UT_TEST(what_is_not_there_reads_zero)
{
	wr(SOURCECFG + 4 * 97, EDGE1);
	UT_EQ(rd(SOURCECFG + 4 * 97), 0);
	wr(TARGET + 4 * 97, 1);
	UT_EQ(rd(TARGET + 4 * 97), 0);
	wr(SETIPNUM, 0);
	wr(SETIPNUM, 97);
	wr(SETIENUM, 5000);
	wr(SETIPNUM_BE, 10);
	UT_EQ(rd(SETIP + 12), 0);
	UT_EQ(rd(0x1bc0), 0);
	UT_EQ(rd(0x7ffc), 0);
	UT_EQ(rd(SETIPNUM), 0);
	UT_EQ(rd(CLRIE), 0);
	UT_EQ(aplic_range_ops.read(a, 0, 8), UINT64_MAX);
	UT_EQ(aplic_range_ops.read(a, 2, 2), 0xffff);
	/* The guest index can not be had. */
	route(10, EDGE1);
	wr(TARGET + 4 * 10, UINT32_MAX);
	UT_EQ(rd(TARGET + 4 * 10), 0xfffc07ff);
	line(10, true);
	UT_EQ(sent(), 0);
}

UT_TEST(reset_forgets_all_but_the_wires)
{
	route(10, LEVEL1);
	line(10, true);
	aplic_reset(a);
	UT_EQ(rd(DOMAINCFG), 0x80000004);
	UT_EQ(rd(SETIE), 0);
	UT_EQ(sent(), 1);
	route(10, LEVEL1);
	UT_EQ(sent(), 2);
}
