/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_VIRTIO_PCI_H
#define VIO_VIRTIO_PCI_H

#include "vio/pci.h"
#include "vio/virtio.h"

/*
 * Virtio over PCI (virtio 1.2, 4.1), modern only: one 64-bit BAR with all structures and the MSI-X
 * table, and the PCI configuration access capability. One vector per queue and one for changes.
 */
struct virtio_pci;

/* Takes over `dev`, which virtio_pci_destroy() frees through its ops; not on errors.
 * Context: main thread, before vCPUs. */
MUST_CHECK int virtio_pci_create(struct pci_host *host, unsigned slot, const struct vio_irq *irq,
	struct virtio_dev *dev, struct virtio_pci **out);
void virtio_pci_destroy(struct virtio_pci *vp);
void virtio_pci_reset(struct virtio_pci *vp);
struct virtio_dev *virtio_pci_dev(struct virtio_pci *vp);

#endif
