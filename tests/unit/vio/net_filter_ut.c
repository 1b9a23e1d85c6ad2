/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/net_filter.h"

#include "tests/lib/ut.h"

UT_SUITE(net_filter);

static const struct vio_net_range inside = {0x0a000200, 24};
static const struct vio_net_range fabric = {0xc0a80700, 24};

static bool passes(const struct net_filter *f, unsigned type, uint32_t dst, size_t len)
{
	uint8_t frame[64] = {0};
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	for (unsigned i = 0; i < 4; i++)
		frame[30 + i] = (uint8_t)(dst >> (24 - 8 * i));
	return net_filter_passes(f, frame, len);
}

UT_TEST(what_trusts_the_host_is_out_of_reach)
{
	struct net_filter f;
	UT_OK(net_filter_init(&f, false, inside, &fabric, 1));
	UT_CHECK(!passes(&f, 0x0800, 0x7f000001, 64));
	UT_CHECK(!passes(&f, 0x0800, 0x7fffffff, 64));
	UT_CHECK(!passes(&f, 0x0800, 0x00000000, 64));
	UT_CHECK(!passes(&f, 0x0800, 0xa9fea9fe, 64));
	UT_CHECK(!passes(&f, 0x0800, 0xc0a80701, 64));
	UT_CHECK(!passes(&f, 0x0800, 0xc0a807ff, 64));
	UT_CHECK(passes(&f, 0x0800, 0xc0a80801, 64));
	UT_CHECK(passes(&f, 0x0800, 0x0a000202, 64));
	UT_CHECK(passes(&f, 0x0800, 0xffffffff, 64));
	UT_CHECK(passes(&f, 0x0800, 0x08080808, 64));
}

UT_TEST(only_arp_and_ipv4_pass)
{
	struct net_filter f;
	UT_OK(net_filter_init(&f, false, inside, NULL, 0));
	UT_CHECK(passes(&f, 0x0806, 0, 64));
	UT_CHECK(!passes(&f, 0x86dd, 0x08080808, 64));
	UT_CHECK(!passes(&f, 0x8100, 0x08080808, 64));
	UT_CHECK(!passes(&f, 0x0800, 0x08080808, 33));
	UT_CHECK(!passes(&f, 0x0800, 0x08080808, 13));
	UT_CHECK(!passes(&f, 0x0800, 0x08080808, 0));
}

UT_TEST(an_open_filter_lets_everything_go)
{
	struct net_filter f;
	UT_OK(net_filter_init(&f, true, inside, &fabric, 1));
	UT_CHECK(passes(&f, 0x0800, 0x7f000001, 64));
	UT_CHECK(passes(&f, 0x0800, 0xc0a80701, 64));
	UT_CHECK(!passes(&f, 0x0800, 0x08080808, 13));
}

UT_TEST(the_virtual_network_wins_over_a_host_network_of_the_same_name)
{
	struct net_filter f;
	UT_OK(net_filter_init(&f, false, inside, &inside, 1));
	UT_CHECK(passes(&f, 0x0800, 0x0a000202, 64));
}

UT_TEST(a_range_for_everything_and_bad_ranges)
{
	struct net_filter f;
	const struct vio_net_range all = {0, 0}, bad = {0, 33};
	UT_OK(net_filter_init(&f, false, inside, &all, 1));
	UT_CHECK(!passes(&f, 0x0800, 0x08080808, 64));
	UT_ERR(net_filter_init(&f, false, inside, &bad, 1), RANGE);
	struct vio_net_range many[NET_FILTER_RANGES_MAX] = {{0, 0}};
	UT_ERR(net_filter_init(&f, false, inside, many, ARRAY_SIZE(many)), RANGE);
}
