/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_VIRTQ_H
#define VIO_VIRTQ_H

#include "base/check.h"
#include "dsm/dsm.h"

/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7), over the guest memory gate.
 *
 * Everything the driver wrote is read once into local memory and validated there. A queue belongs
 * to one worker thread, which is the context of all functions below; they block while pages come.
 * ERR_FORMAT from any of them: the driver broke a rule and the queue can not be used any more.
 * ERR_VM_STOPPED: from the gate.
 */
#define VIRTQ_SIZE_MAX 256u
#define VIRTQ_SEGS_MAX 256u /* of one chain: 2.7.5.3.1 allows no more than the queue's size */

struct virtq_cfg {
	const struct dsm_gate *gate;
	uint16_t size;
	gpa_t desc, avail, used;
	bool event_idx, indirect; /* negotiated features */
};

struct virtq {
	struct virtq_cfg cfg;
	uint16_t last_avail; /* next entry of the available ring to take */
	uint16_t used_idx;   /* next entry of the used ring to fill */
	uint16_t signalled;  /* used_idx when the driver was last told */
};

struct virtq_seg {
	gpa_t gpa;
	uint32_t bytes;
};

/* One request: what the device may read (out), then what it may write (in). */
struct virtq_chain {
	uint16_t head;
	unsigned n_out, n_in;
	uint64_t out_bytes, in_bytes;
	struct virtq_seg segs[VIRTQ_SEGS_MAX];
};

/* Validates the addresses, touches no guest memory. */
MUST_CHECK int virtq_init(struct virtq *q, const struct virtq_cfg *cfg);

/* Take the next request. ERR_AGAIN: there is none, and the driver will notify when there is. */
MUST_CHECK int virtq_pop(struct virtq *q, struct virtq_chain *chain);

/* Give a request back; `written` bytes of its in part are valid. */
MUST_CHECK int virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t written);

/* Does the driver want an interrupt for what was pushed since the last time this said yes? */
MUST_CHECK int virtq_should_notify(struct virtq *q, bool *notify);

/* Copy from the out part or to the in part at an offset; ERR_RANGE: past its end. */
MUST_CHECK int virtq_chain_read(const struct virtq *q, const struct virtq_chain *chain,
	uint64_t off, void *buf, size_t len);
MUST_CHECK int virtq_chain_write(const struct virtq *q, const struct virtq_chain *chain,
	uint64_t off, const void *buf, size_t len);

#endif
