/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CTL_IO_H
#define PROTO_CTL_IO_H

#include <sys/types.h>

#include "base/check.h"

/*
 * What carries the frames of a control connection: TLS over TCP (xport_tls.h) or a Unix packet
 * socket (ctl_unix.h). Non-blocking; used by ctl_conn.c on its loop's thread only.
 */
#define CTL_FDS_MAX 16u /* descriptors that may come with one frame; Unix sockets only */

struct ctl_io;

struct ctl_io_ops {
	/* Establish what is below (TLS handshake). 0: done; ERR_AGAIN: call again when the
	 * descriptor is ready. */
	int (*handshake)(struct ctl_io *io);
	/* Read or write some. Number of bytes > 0 in *done; ERR_AGAIN; ERR_LINK_DOWN at the end;
	 * other errors. Packet carriers take and give one whole frame at a time. */
	int (*read)(struct ctl_io *io, void *buf, size_t len, size_t *done, int fds[CTL_FDS_MAX],
		unsigned *n_fds);
	int (*write)(struct ctl_io *io, const void *buf, size_t len, const int *fds, unsigned n_fds,
		size_t *done);
	/* Bytes are already here that the descriptor's readiness does not tell of. May be NULL. */
	bool (*pending)(struct ctl_io *io);
	/* Say goodbye if that needs no waiting, close, free. */
	void (*destroy)(struct ctl_io *io);
};

struct ctl_io {
	const struct ctl_io_ops *ops;
	int fd;
	bool packets;    /* one frame per read and write */
	bool want_write; /* set with ERR_AGAIN: it waits for the descriptor to be writable */
	char why[256];   /* cause and remedy of the last error, for people */
};

#endif
