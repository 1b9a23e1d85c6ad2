/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_RNG_H
#define VIO_RNG_H

#include "base/clock.h"
#include "vio/virtio.h"

/* virtio-rng (virtio 1.2, 5.4) over the host kernel's random numbers, at a bounded rate, so that a
 * guest can not keep a core of the host busy with them. */
struct rng_cfg {
	uint64_t bytes_per_s;      /* 0: RNG_BYTES_PER_S */
	const struct clock *clock; /* of the rate; NULL: the host's */
};
#define RNG_BYTES_PER_S (UINT64_C(1) << 20)
#define RNG_BURST_BYTES (UINT64_C(64) << 10)

/* Context: main thread. */
MUST_CHECK int rng_create(
	const struct dsm_gate *gate, const struct rng_cfg *cfg, struct virtio_dev **out);

#endif
