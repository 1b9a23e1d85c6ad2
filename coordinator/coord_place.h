/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_COORD_PLACE_H
#define COORDINATOR_COORD_PLACE_H

#include "proto/wire_ctl.h"

/*
 * Which hosts a VM goes to, and what share each gets. Pure: the same question has the same answer.
 */
#define PLACE_NODE_BYTES                                                                           \
	(UINT64_C(128) << 20) /* memory of a guest node comes in multiples of this */

struct place_host {
	const char *name;
	bool online;
	uint32_t cpus, vcpus_used;
	uint64_t memory_bytes, memory_used_bytes;
};

struct place_want {
	uint32_t vcpus, hosts;
	uint64_t memory_bytes; /* totals */
	uint64_t cache_bytes;  /* more of each slice; 0: "as it likes", not reserved */
};

/* Can such a VM exist at all, on whatever hosts? ERR_INVAL with the reason. Context: any. */
MUST_CHECK int place_check(const struct place_want *want, char why[256]);

/*
 * Fill parts[0 .. want->hosts): slice i gets vCPUs and memory as even as they divide, the first
 * slices one vCPU more if they do not. Hosts with the smallest share of their processors given away
 * come first, then those with the most free memory, then by name. ERR_INVAL as above; ERR_FULL: too
 * few hosts fit, `why` says which do not and for what reason.
 */
MUST_CHECK int place(const struct place_want *want, const struct place_host *hosts,
	unsigned n_hosts, struct ctl_slice_part *parts, char why[256]);

#endif
