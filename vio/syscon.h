/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_SYSCON_H
#define VIO_SYSCON_H

#include "vio/vio.h"

/*
 * The power register of the `virt` board (sifive,test1): a 32-bit write of 0x5555 at offset 0 asks
 * for power-off, 0x7777 for a reboot, 0x3333 with a code in the upper half reports a failure.
 */
struct syscon;
extern const struct vio_range_ops syscon_range_ops;

typedef void vio_power_fn(void *arg, enum vio_power what, uint32_t code);

MUST_CHECK int syscon_create(vio_power_fn *power, void *arg, struct syscon **out);
void syscon_destroy(struct syscon *s);

#endif
