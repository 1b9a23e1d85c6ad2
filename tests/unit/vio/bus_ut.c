/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/ut.h"
#include "vio/vio.h"

static struct vio_bus *bus;
static uint64_t last_off, last_value;
static unsigned last_size;

static uint64_t on_read(void *dev, uint64_t off, unsigned size)
{
	last_off = off;
	last_size = size;
	return *(uint64_t *)dev;
}

static void on_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	last_off = off;
	last_size = size;
	last_value = value;
}

static const struct vio_range_ops ops = {"test", on_read, on_write};
static uint64_t one = 0x1111222233334444, two = 2;

static void before(void)
{
	UT_OK(vio_bus_create(&bus));
}

static void after(void)
{
	vio_bus_destroy(bus);
}

UT_SUITE_WITH(bus, before, after);

static gpa_t at(uint64_t v)
{
	return (gpa_t){v};
}

UT_TEST(accesses_find_their_range)
{
	uint64_t v;
	UT_OK(vio_bus_add(bus, at(0x2000), 0x100, &ops, &two));
	UT_OK(vio_bus_add(bus, at(0x1000), 0x1000, &ops, &one));
	UT_OK(vio_bus_read(bus, at(0x1ffc), 4, &v));
	UT_EQ(v, 0x33334444);
	UT_EQ(last_off, 0xffc);
	UT_OK(vio_bus_read(bus, at(0x2000), 1, &v));
	UT_EQ(v, 2);
	UT_EQ(last_off, 0);
	UT_OK(vio_bus_write(bus, at(0x1008), 2, 0x12345));
	UT_EQ(last_value, 0x2345);
	UT_EQ(last_size, 2);
	UT_OK(vio_bus_read(bus, at(0x1010), 8, &v));
	UT_EQ(v, one);
}

UT_TEST(nothing_there)
{
	uint64_t v;
	UT_ERR(vio_bus_read(bus, at(0), 4, &v), NOT_FOUND);
	UT_OK(vio_bus_add(bus, at(0x1000), 0x10, &ops, &one));
	UT_ERR(vio_bus_read(bus, at(0xfff), 1, &v), NOT_FOUND);
	UT_ERR(vio_bus_read(bus, at(0xffe), 4, &v), NOT_FOUND);
	UT_ERR(vio_bus_read(bus, at(0x100d), 4, &v), NOT_FOUND);
	UT_ERR(vio_bus_write(bus, at(0x1010), 1, 0), NOT_FOUND);
	UT_ERR(vio_bus_read(bus, at(0x1000), 3, &v), INVAL);
	UT_ERR(vio_bus_read(bus, at(0x1000), 16, &v), INVAL);
	UT_ERR(vio_bus_read(bus, at(0x1000), 0, &v), INVAL);
}

UT_TEST(ranges_may_not_overlap)
{
	UT_OK(vio_bus_add(bus, at(0x1000), 0x1000, &ops, &one));
	UT_ERR(vio_bus_add(bus, at(0x1000), 0x1000, &ops, &two), EXISTS);
	UT_ERR(vio_bus_add(bus, at(0x1fff), 1, &ops, &two), EXISTS);
	UT_ERR(vio_bus_add(bus, at(0), 0x1001, &ops, &two), EXISTS);
	UT_ERR(vio_bus_add(bus, at(0), UINT64_MAX, &ops, &two), EXISTS);
	UT_OK(vio_bus_add(bus, at(0), 0x1000, &ops, &two));
	UT_OK(vio_bus_add(bus, at(0x2000), 1, &ops, &two));
}

UT_TEST(the_end_of_the_address_space)
{
	uint64_t v;
	UT_ERR(vio_bus_add(bus, at(0x1000), 0, &ops, &one), RANGE);
	UT_ERR(vio_bus_add(bus, at(UINT64_MAX), 2, &ops, &one), RANGE);
	UT_OK(vio_bus_add(bus, at(UINT64_MAX - 7), 8, &ops, &one));
	UT_OK(vio_bus_read(bus, at(UINT64_MAX - 7), 8, &v));
	UT_ERR(vio_bus_read(bus, at(UINT64_MAX - 3), 8, &v), NOT_FOUND);
}

UT_TEST(ranges_go_and_come_back)
{
	uint64_t v;
	for (unsigned i = 0; i < 40; i++)
		UT_OK(vio_bus_add(bus, at(0x1000 * (i * 17 % 40)), 0x1000, &ops, &one));
	for (unsigned i = 0; i < 40; i += 2)
		vio_bus_remove(bus, at(0x1000 * i));
	for (unsigned i = 0; i < 40; i++)
		UT_EQ(vio_bus_read(bus, at(0x1000 * i + 4), 4, &v), i % 2 == 0 ? ERR_NOT_FOUND : 0);
	UT_OK(vio_bus_add(bus, at(0x2000), 0x1000, &ops, &two));
}
