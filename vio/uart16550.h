/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_UART16550_H
#define VIO_UART16550_H

#include "vio/vio.h"

/* A 16550A serial port between the guest and a stream: registers one byte apart, no modem lines. */
#define UART16550_BYTES 8u

struct uart16550;
extern const struct vio_range_ops uart16550_range_ops;

/* `line` is copied; `stream` stays the caller's. Context: main thread. */
MUST_CHECK int uart16550_create(
	const struct vio_line *line, struct stream *stream, struct uart16550 **out);
void uart16550_destroy(struct uart16550 *u);
void uart16550_reset(struct uart16550 *u);

#endif
