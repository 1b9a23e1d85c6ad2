/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_CLI_OUT_H
#define COORDINATOR_CLI_OUT_H

#include "base/byte_fifo.h"
#include "proto/ctl_conn.h"

/*
 * A stream's bytes on their way to standard output or error. Writing happens only when the
 * descriptor is ready: a pager or a stopped terminal must not keep the connection from being
 * served. What has been written is given back as credit, so the buffer never has to hold more than
 * the stream's window.
 */
struct cli_out {
	struct loop *loop;
	int fd;
	struct byte_fifo fifo;
	struct loop_fd *lf;        /* NULL: a file, which is always ready */
	struct ctl_stream *stream; /* NULL: gone */
	bool broken;               /* nobody reads: bytes are thrown away */
};

MUST_CHECK int cli_out_init(struct cli_out *o, struct loop *loop, int fd);
void cli_out_fini(struct cli_out *o);
void cli_out_put(struct cli_out *o, const void *buf, size_t len);
/* Run the loop until all is written. */
void cli_out_drain(struct cli_out *o);

#endif
