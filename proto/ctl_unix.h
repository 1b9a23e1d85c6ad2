/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_CTL_UNIX_H
#define PROTO_CTL_UNIX_H

#include "proto/ctl_io.h"

/* Control connections within a host: SOCK_SEQPACKET Unix sockets, which can also carry file
 * descriptors. */

/* A listening socket at `path` (mode 0600), which must not exist. ERR_RANGE: the path is too long
 * for a socket. */
MUST_CHECK int ctl_unix_listen(const char *path, int *out_fd);
/* Connect without blocking. ERR_CONNECT: nobody listens. *pid is the process that listens, as seen
 * from here. */
MUST_CHECK int ctl_unix_connect(const char *path, struct ctl_io **out, int *pid);
/* Accept from a listening socket. ERR_AGAIN: nobody there. Who may connect is decided by the
 * socket's mode: in a user namespace of its own the accepting side could not tell uids apart. */
MUST_CHECK int ctl_unix_accept(int listen_fd, struct ctl_io **out);

#endif
