/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_CONSOLE_H
#define VIO_CONSOLE_H

#include "vio/stream.h"
#include "vio/virtio.h"

/*
 * virtio-console with several ports (virtio 1.2, 5.3). Port 0 is a console (hvc0); the others have
 * names, under which Linux shows them in /dev/virtio-ports. Each port is a stream. Bytes that a
 * lossless stream has no room for stay in the guest's buffers.
 */
#define CONSOLE_PORTS_MAX 8u
#define CONSOLE_NAME_MAX  32u

struct console_port_cfg {
	const char *name;      /* NULL for port 0 */
	struct stream *stream; /* stays the caller's, outlives the device */
};

struct console_cfg {
	const struct console_port_cfg *ports;
	unsigned n_ports;
};

/* ERR_RANGE: number of ports; ERR_INVAL: name too long. Context: main thread. */
MUST_CHECK int console_create(
	const struct dsm_gate *gate, const struct console_cfg *cfg, struct virtio_dev **out);

#endif
