/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_NET_H
#define VIO_NET_H

#include "vio/virtio.h"

/*
 * virtio-net (virtio 1.2, 5.1) on user-mode NAT (libslirp): the guest is 10.0.2.15 by DHCP, its
 * gateway 10.0.2.2, its name server 10.0.2.3. One worker thread serves both queues and the NAT's
 * sockets.
 */

/* Errors as net_filter_init(), and ERR_NO_MEMORY. Context: main thread. */
MUST_CHECK int net_create(
	const struct dsm_gate *gate, const struct vio_net_cfg *cfg, struct virtio_dev **out);

/* Frames of the guest that the filter refused. Context: any thread. */
uint64_t net_refused(struct virtio_dev *dev);

#endif
