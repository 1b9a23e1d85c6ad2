/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/net_addr.h"

#include "tests/lib/ut.h"

UT_SUITE(net_addr);

static void round_trip(const char *text, uint16_t port, const char *then)
{
	struct sockaddr_storage a;
	char out[NET_ADDR_BYTES];
	UT_OK(net_addr_parse(text, &a));
	UT_OK(net_addr_format(&a, out));
	UT_EQ_STR(out, text);
	net_addr_set_port(&a, port);
	UT_OK(net_addr_format(&a, out));
	UT_EQ_STR(out, then);
}

UT_TEST(both_families_go_round)
{
	round_trip("127.0.0.1:4711", 0, "127.0.0.1:0");
	round_trip("[fd00::1]:1", 65535, "[fd00::1]:65535");
}

UT_TEST(names_and_halves_are_refused)
{
	static const char *const bad[] = {"", ":", "127.0.0.1", ":80", "localhost:80",
		"127.0.0.1:http", "127.0.0.1:70000x", "[fd00::1", "[]:80"};
	struct sockaddr_storage a;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		UT_ERR(net_addr_parse(bad[i], &a), INVAL);
	char longer[200];
	memset(longer, '1', sizeof(longer));
	memcpy(longer + sizeof(longer) - 4, ":80", 4);
	UT_ERR(net_addr_parse(longer, &a), INVAL);
}
