/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_XPORT_OFI_H
#define PROTO_XPORT_OFI_H

#include "proto/credit.h"
#include "proto/net_addr.h"
#include "proto/seal.h"
#include "proto/xport.h"

/*
 * The transport between slices on different hosts: libfabric, connected message endpoints, one
 * connection per pair (the slice with the lower id connects), each sealed. In two steps, because
 * addresses must be known to all before anybody can connect: listen and report the address; then,
 * with everybody's address, join.
 */
#define XPORT_OFI_PROVIDERS  "tcp,net" /* in order of preference */
#define XPORT_OFI_ADDR_BYTES NET_ADDR_BYTES

struct xport_ofi;

struct xport_ofi_cfg {
	slice_id_t self;
	struct vm_incarnation incarnation;
	uint32_t epoch;
	struct seal_secret secret;
	bool plain;            /* do not seal (a trusted fabric); must be the same on all slices */
	const char *bind;      /* "ip:port", "[ip6]:port"; port 0: any */
	const char *providers; /* NULL: XPORT_OFI_PROVIDERS */
	unsigned n_slices;     /* of the VM, for sizes of queues; 0: 16 */
	struct credit_cfg credit; /* all zero: the default */
	uint64_t stuck_ns;        /* a peer that takes no byte for so long is down; 0: 5 s */
	const struct xport_handler *handler;
	void *arg;
};

struct xport_ofi_peer {
	slice_id_t slice;
	const char *address; /* what xport_ofi_address() said over there */
};

/*
 * Choose a provider and listen. Strings of `cfg` are copied. ERR_INVAL: an address that can not be
 * read; ERR_UNSUPPORTED: none of the providers is there; ERR_RANGE: more credit than the provider
 * has receive buffers; ERR_CONNECT: the address can not be had. Context: one thread owns it until
 * xport_ofi_join(); may block for the time of a name look-up.
 */
MUST_CHECK int xport_ofi_listen(const struct xport_ofi_cfg *cfg, struct xport_ofi **out);

/* "ip:port" where peers can reach us; lives as long as `o`. */
const char *xport_ofi_address(const struct xport_ofi *o);

/* The provider in use ("tcp"). */
const char *xport_ofi_provider(const struct xport_ofi *o);

/*
 * Connect with all peers, retrying until the host's monotonic clock reaches `deadline_ns`. On 0
 * `*out` takes over `o`, which is closed with its ops->destroy. On error `o` stays the caller's, to
 * be closed; the log says which peer: ERR_TIMEOUT, ERR_VERSION (protocol or provider), ERR_STALE
 * (incarnation, epoch), ERR_AUTH (another secret), ERR_PROTOCOL, ERR_PEER_DOWN (one was there and
 * has gone), ERR_INVAL (an address). Context: blocks; no handler is called.
 */
MUST_CHECK int xport_ofi_join(struct xport_ofi *o, const struct xport_ofi_peer *peers, unsigned n,
	uint64_t deadline_ns, struct xport **out);

/* Close what has not become a transport. */
void xport_ofi_close(struct xport_ofi *o);

#endif
