/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_NET_ADDR_H
#define PROTO_NET_ADDR_H

#include <sys/socket.h>

#include "base/check.h"

/* Addresses that slices tell each other: "ip:port", "[ip6]:port". Nothing here blocks. */
#define NET_ADDR_BYTES 80u

/* Numeric addresses only: a look-up could block, and peers are told addresses, not names.
 * ERR_INVAL: anything else. */
MUST_CHECK int net_addr_parse(const char *text, struct sockaddr_storage *out);
MUST_CHECK int net_addr_format(const struct sockaddr_storage *a, char out[NET_ADDR_BYTES]);
/* Bytes that system calls want for this address. */
socklen_t net_addr_len(const struct sockaddr_storage *a);
/* The same host, port `port`. */
void net_addr_set_port(struct sockaddr_storage *a, uint16_t port);

#endif
