/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PROTO_OFI_RIG_H
#define TESTS_UNIT_PROTO_OFI_RIG_H

#include "proto/xport_ofi_int.h"
#include "tests/unit/proto/xport_rig.h"

/* Slices over libfabric on loopback: beside each side of xport_rig.h, how it came to be. */
struct ofi_node {
	struct xport_ofi *o;
	int joined; /* what join returned */
	uint64_t deadline;
	struct xport_ofi_peer peers[SIDES];
	unsigned n_peers;
};

extern struct ofi_node nodes[SIDES];

/* Around each test of a suite. */
void ofi_before(void);
void ofi_after(void);

struct xport_ofi_cfg ofi_cfg_of(unsigned i);
/* Open the listeners; then join all of them at once, in threads: nodes[].joined. */
void ofi_listen(const struct xport_ofi_cfg *cfg, unsigned n);
void ofi_join(unsigned n, uint64_t patience_ns);
void ofi_listen_and_join(const struct xport_ofi_cfg *cfg, unsigned n, uint64_t patience_ns);
/* `n` slices that have joined; `credit` NULL: the default. */
void ofi_start(unsigned n, const struct credit_cfg *credit);

#endif
