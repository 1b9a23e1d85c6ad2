/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proto/ofi_rig.h"

#include <sys/socket.h>
#include <unistd.h>

/* Joining: what must fail, and what must not hinder it. */
#define NS_S UINT64_C(1000000000)

UT_SUITE_WITH(xport_ofi_join, ofi_before, ofi_after);

UT_TEST(another_secret_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	cfg[1].secret.b[31] ^= 1;
	ofi_listen_and_join(cfg, 2, NS_S / 2);
	UT_ERR(nodes[0].joined, AUTH);
	UT_ERR(nodes[1].joined, AUTH);
}

UT_TEST(another_incarnation_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	cfg[1].incarnation.b[15] ^= 1;
	ofi_listen_and_join(cfg, 2, NS_S / 2);
	UT_ERR(nodes[0].joined, STALE);
	UT_ERR(nodes[1].joined, STALE);
}

UT_TEST(another_epoch_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	cfg[1].epoch++;
	ofi_listen_and_join(cfg, 2, NS_S / 2);
	UT_ERR(nodes[0].joined, STALE);
	UT_ERR(nodes[1].joined, STALE);
}

UT_TEST(sealing_on_one_side_is_refused)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	cfg[1].plain = true;
	ofi_listen_and_join(cfg, 2, NS_S / 2);
	UT_ERR(nodes[0].joined, PROTOCOL);
	UT_ERR(nodes[1].joined, PROTOCOL);
}

static void refused_version(unsigned who)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	ofi_listen(cfg, 2);
	nodes[who].o->version = WIRE_HELLO_VERSION + 1;
	ofi_join(2, NS_S / 2);
	UT_ERR(nodes[0].joined, VERSION);
}

UT_TEST(another_version_of_the_connecting_side_is_refused)
{
	refused_version(0);
}

UT_TEST(another_version_of_the_accepting_side_is_refused)
{
	refused_version(1);
}

UT_TEST(an_absent_peer_is_a_time_out)
{
	struct xport_ofi_cfg cfg = ofi_cfg_of(0);
	UT_OK(xport_ofi_listen(&cfg, &nodes[0].o));
	const struct xport_ofi_peer peer = {{1}, "127.0.0.1:1"};
	UT_ERR(xport_ofi_join(nodes[0].o, &peer, 1, side_now_ns() + NS_S / 4, &sides[0].x),
		TIMEOUT);
}

UT_TEST(bad_addresses_and_providers_are_refused)
{
	struct xport_ofi_cfg cfg = ofi_cfg_of(0);
	cfg.bind = "localhost";
	UT_ERR(xport_ofi_listen(&cfg, &nodes[0].o), INVAL);
	cfg.bind = "300.0.0.1:5";
	UT_ERR(xport_ofi_listen(&cfg, &nodes[0].o), INVAL);
	cfg.bind = "127.0.0.1:0";
	cfg.providers = "nothing,like,that";
	UT_ERR(xport_ofi_listen(&cfg, &nodes[0].o), UNSUPPORTED);
	cfg.providers = NULL;
	UT_OK(xport_ofi_listen(&cfg, &nodes[0].o));
	const struct xport_ofi_peer peer = {{1}, "nowhere"};
	UT_ERR(xport_ofi_join(nodes[0].o, &peer, 1, side_now_ns() + NS_S, &sides[0].x), INVAL);
}

UT_TEST(more_credit_than_the_provider_has_buffers_is_refused)
{
	struct xport_ofi_cfg cfg = ofi_cfg_of(0);
	cfg.credit = (struct credit_cfg){.window = {9000, 9000, 9000}, .queue_max = {9, 9, 9}};
	UT_ERR(xport_ofi_listen(&cfg, &nodes[0].o), RANGE);
}

static int raw_tcp(const struct xport_ofi *o)
{
	struct sockaddr_storage a;
	CHECK(net_addr_parse(xport_ofi_address(o), &a) == 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof(struct sockaddr_in)) == 0);
	return fd;
}

UT_TEST(strangers_at_the_door_do_not_hinder_joining)
{
	struct xport_ofi_cfg cfg[2] = {ofi_cfg_of(0), ofi_cfg_of(1)};
	int fd[6];
	ofi_listen(cfg, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++) {
		static const uint8_t junk[512] = {1, 2, 3, 4, 5, 6, 7, 8};
		fd[i] = raw_tcp(nodes[1].o);
		/* Silent ones, chattering ones, and ones that hang up. */
		if (i % 3 == 1)
			(void)!write(fd[i], junk, sizeof(junk));
		if (i % 3 == 2)
			shutdown(fd[i], SHUT_RDWR);
	}
	ofi_join(2, PATIENCE_NS);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	UT_OK(nodes[0].joined);
	UT_OK(nodes[1].joined);
	sides_check_pairs(2);
}
