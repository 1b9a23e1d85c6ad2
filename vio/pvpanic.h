/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_PVPANIC_H
#define VIO_PVPANIC_H

#include "vio/pci.h"
#include "vio/syscon.h"

/* pvpanic-pci (QEMU docs/specs/pvpanic): a byte in BAR 0 through which a guest reports its
 * panic. */
struct pvpanic;

/* Context: main thread, before vCPUs. */
MUST_CHECK int pvpanic_create(
	struct pci_host *host, unsigned slot, vio_power_fn *power, void *arg, struct pvpanic **out);
void pvpanic_destroy(struct pvpanic *p);
void pvpanic_reset(struct pvpanic *p);

#endif
