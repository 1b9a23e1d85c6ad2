/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/net_filter.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

enum {
	NET_ETHER_BYTES = 14,
	NET_ETHER_TYPE_AT = 12,
	NET_TYPE_IPV4 = 0x0800,
	NET_TYPE_ARP = 0x0806,
	NET_IPV4_BYTES = 20,
	NET_IPV4_DST_AT = 16,
};

/* This network, loopback, link-local: a socket of the host takes all of them for itself or for its
 * neighbours. */
static const struct vio_net_range net_filter_always[] = {
	{0x00000000, 8},
	{0x7f000000, 8},
	{0xa9fe0000, 16},
};

static bool net_range_has(const struct vio_net_range *r, uint32_t addr)
{
	uint32_t mask = r->prefix == 0 ? 0 : UINT32_MAX << (32 - r->prefix);
	return (addr & mask) == (r->addr & mask);
}

static int net_filter_add(struct net_filter *f, const struct vio_net_range *r)
{
	if (f->n == NET_FILTER_RANGES_MAX || r->prefix > 32)
		return ERR_RANGE;
	f->denied[f->n++] = *r;
	return 0;
}

static int net_filter_add_host(struct net_filter *f)
{
	struct ifaddrs *all;
	int err = 0;
	if (getifaddrs(&all) != 0) {
		log_error(vio, "cannot read this host's addresses: %m");
		return ERR_KERNEL;
	}
	for (const struct ifaddrs *i = all; i != NULL && err == 0; i = i->ifa_next) {
		struct sockaddr_in sin;
		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&sin, i->ifa_addr, sizeof(sin));
		struct vio_net_range one = {ntohl(sin.sin_addr.s_addr), 32};
		err = net_filter_add(f, &one);
	}
	freeifaddrs(all);
	return err;
}

int net_filter_init(struct net_filter *f, bool open, struct vio_net_range virtual,
	const struct vio_net_range *denied, size_t n)
{
	*f = (struct net_filter){.open = open, .virtual = virtual};
	if (open)
		return 0;
	int err = 0;
	for (size_t i = 0; i < ARRAY_SIZE(net_filter_always) && err == 0; i++)
		err = net_filter_add(f, &net_filter_always[i]);
	for (size_t i = 0; i < n && err == 0; i++)
		err = net_filter_add(f, &denied[i]);
	return err != 0 ? err : net_filter_add_host(f);
}

static uint32_t net_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool net_filter_passes(const struct net_filter *f, const uint8_t *frame, size_t len)
{
	if (len < NET_ETHER_BYTES)
		return false;
	unsigned type = (unsigned)frame[NET_ETHER_TYPE_AT] << 8 | frame[NET_ETHER_TYPE_AT + 1];
	if (f->open || type == NET_TYPE_ARP)
		return true;
	if (type != NET_TYPE_IPV4 || len < NET_ETHER_BYTES + NET_IPV4_BYTES)
		return false;
	uint32_t dst = net_be32(frame + NET_ETHER_BYTES + NET_IPV4_DST_AT);
	if (net_range_has(&f->virtual, dst))
		return true;
	for (unsigned i = 0; i < f->n; i++)
		if (net_range_has(&f->denied[i], dst))
			return false;
	return true;
}
