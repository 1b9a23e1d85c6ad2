/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_NET_FILTER_H
#define VIO_NET_FILTER_H

#include "vio/vio.h"

/*
 * Which frames of a guest user-mode NAT may carry out. NAT lends the guest the host's identity, so
 * without this a guest could reach what trusts the host: services on its own addresses, the fabric,
 * the control plane, the link-local metadata services of clouds.
 */
#define NET_FILTER_RANGES_MAX 64u

struct net_filter {
	bool open;
	struct vio_net_range virtual; /* the guest's own network: stays inside, always passes */
	unsigned n;
	struct vio_net_range denied[NET_FILTER_RANGES_MAX];
};

/* `open`: everything passes. Else the ranges given and all addresses that this host has now are
 * denied, as are 0.0.0.0/8, loopback and link-local. ERR_RANGE: too many ranges; ERR_KERNEL: the
 * host's addresses can not be read. Context: any thread. */
MUST_CHECK int net_filter_init(struct net_filter *f, bool open, struct vio_net_range virtual,
	const struct vio_net_range *denied, size_t n);

/* May this Ethernet frame from the guest go on? ARP passes; of IPv4 the destination decides;
 * everything else is dropped. */
bool net_filter_passes(const struct net_filter *f, const uint8_t *frame, size_t len);

#endif
