/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/rtc.h"

#include <stdatomic.h>

#include "base/lk.h"
#include "tests/lib/ut.h"

#define NOW UINT64_C(0x17979cfe3620f7a1)

static struct rtc *r;
static _Atomic uint64_t now_ns;
static struct lk lk;
static struct lk_cond changed;
static bool level;

static uint64_t wall(void *arg)
{
	return atomic_load(&now_ns);
}

static void on_line(void *ctx, unsigned source, bool now)
{
	lk_lock(&lk);
	level = now;
	lk_cond_broadcast(&changed);
	lk_unlock(&lk);
}

static void before(void)
{
	const struct vio_line line = {on_line, NULL, 11};
	lk_init(&lk, LK_test);
	lk_cond_init(&changed);
	level = false;
	atomic_store(&now_ns, NOW);
	UT_OK(rtc_create(&line, wall, NULL, &r));
}

static void after(void)
{
	rtc_destroy(r);
	lk_cond_fini(&changed);
	lk_fini(&lk);
}

UT_SUITE_WITH(rtc, before, after);

static uint32_t rd(unsigned off)
{
	return (uint32_t)rtc_range_ops.read(r, off, 4);
}

static void wr(unsigned off, uint32_t value)
{
	rtc_range_ops.write(r, off, 4, value);
}

static bool line_is(void)
{
	lk_lock(&lk);
	bool l = level;
	lk_unlock(&lk);
	return l;
}

UT_TEST(the_low_half_latches_the_high_one)
{
	UT_EQ(rd(0x00), (uint32_t)NOW);
	atomic_store(&now_ns, NOW + (UINT64_C(1) << 32));
	UT_EQ(rd(0x04), NOW >> 32);
}

UT_TEST(the_time_can_be_set)
{
	wr(0x04, 1);
	wr(0x00, 5);
	UT_EQ(rd(0x00), 5);
	UT_EQ(rd(0x04), 1);
	atomic_fetch_add(&now_ns, 10);
	UT_EQ(rd(0x00), 15);
	rtc_reset(r);
	UT_EQ(rd(0x00), 15);
}

UT_TEST(an_alarm_in_the_past_comes_at_once)
{
	wr(0x10, 1);
	wr(0x0c, (uint32_t)(NOW >> 32));
	wr(0x08, (uint32_t)NOW);
	UT_CHECK(line_is());
	UT_EQ(rd(0x18), 0);
	wr(0x1c, 1);
	UT_CHECK(!line_is());
}

UT_TEST(an_alarm_comes_on_its_thread)
{
	uint64_t at = NOW + 2000000;
	wr(0x10, 1);
	wr(0x0c, (uint32_t)(at >> 32));
	wr(0x08, (uint32_t)at);
	UT_EQ(rd(0x18), 1);
	UT_EQ(rd(0x08), (uint32_t)at);
	UT_CHECK(!line_is());
	atomic_store(&now_ns, at);
	lk_lock(&lk);
	while (!level)
		lk_cond_wait(&changed, &lk);
	lk_unlock(&lk);
	UT_EQ(rd(0x18), 0);
}

UT_TEST(a_cleared_or_masked_alarm_is_silent)
{
	wr(0x10, 1);
	wr(0x0c, UINT32_MAX);
	wr(0x08, 0);
	wr(0x14, 1);
	UT_EQ(rd(0x18), 0);
	wr(0x10, 0);
	wr(0x0c, 0);
	wr(0x08, 0);
	UT_CHECK(!line_is());
	wr(0x10, 1);
	UT_CHECK(line_is());
	rtc_reset(r);
	UT_CHECK(!line_is());
}

UT_TEST(other_accesses)
{
	UT_EQ(rd(0x20), UINT32_MAX);
	UT_EQ(rtc_range_ops.read(r, 0, 8), UINT64_MAX);
	rtc_range_ops.write(r, 0, 1, 7);
	wr(0x40, 1);
	UT_EQ(rd(0x00), (uint32_t)NOW);
}

UT_TEST(without_a_source_it_is_the_host_time)
{
	const struct vio_line line = {on_line, NULL, 11};
	struct rtc *own;
	UT_OK(rtc_create(&line, NULL, NULL, &own));
	UT_CHECK(rtc_range_ops.read(own, 0, 4) != UINT32_MAX);
	/* After 2020. */
	UT_CHECK(rtc_range_ops.read(own, 4, 4) > UINT64_C(1577836800) * 1000000000 >> 32);
	rtc_destroy(own);
}
