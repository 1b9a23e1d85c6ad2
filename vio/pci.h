/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_PCI_H
#define VIO_PCI_H

#include "vio/msix.h"
#include "vio/vio.h"

/*
 * A PCI host with ECAM (pci-host-ecam-generic) and one bus, bus 0, of single-function devices. BARs
 * are memory BARs and may be moved at run time into either window. Interrupts are MSI-X only: no
 * INTx (interrupt pin 0), no I/O ports, no bridges, no extended configuration space.
 */
struct pci_host;
struct pci_func;
extern const struct vio_range_ops pci_host_ecam_ops;

#define PCI_SLOTS 32u
#define PCI_BARS  6u

struct pci_window {
	uint64_t base, bytes;
};

/* `bus` gets the BARs. Context: main thread. */
MUST_CHECK int pci_host_create(
	struct vio_bus *bus, struct pci_window low, struct pci_window high, struct pci_host **out);
/* The functions in it must be gone. */
void pci_host_destroy(struct pci_host *host);

/* 0, ERR_EXISTS: the slot is taken, ERR_RANGE: no such slot. Context: main thread. */
MUST_CHECK int pci_host_slot_free(const struct pci_host *host, unsigned slot);

struct pci_bar_cfg {
	uint64_t bytes; /* 0: none; a power of two, at least 16 */
	bool wide;      /* 64-bit: takes the next BAR's place too */
};

struct pci_func_ops {
	struct vio_range_ops bar; /* all BARs but the MSI-X structures; `dev` is cfg.dev */
	/* Before a read / after a write of configuration bytes that a capability has asked to watch
	 * (NULL: none has). Under the PCI lock; may change bytes with pci_func_config(). */
	void (*config_read)(void *dev, unsigned off);
	void (*config_written)(void *dev, unsigned off);
};

struct pci_func_cfg {
	uint16_t vendor, device, subvendor, subdevice;
	uint8_t revision;
	uint32_t class; /* 24 bits: base class, subclass, interface */
	struct pci_bar_cfg bars[PCI_BARS];
	const struct pci_func_ops *ops;
	void *dev;
	/* 0: no MSI-X; else table and pending bits lie at these offsets of one BAR. */
	unsigned msix_vectors;
	unsigned msix_bar;
	uint32_t msix_table_off, msix_pba_off;
	struct vio_irq irq;
};

/* Errors as pci_host_slot_free(). Context: main thread, before vCPUs. */
MUST_CHECK int pci_func_create(struct pci_host *host, unsigned slot, const struct pci_func_cfg *cfg,
	struct pci_func **out);
/* Context: main thread, no accesses in flight. */
void pci_func_destroy(struct pci_func *f);
/* Power-on configuration: BARs unmapped, MSI-X off. */
void pci_func_reset(struct pci_func *f);

/* Add a capability: `body` follows the two bytes (id, next). `wmask` says which bits the guest may
 * write (NULL: none). `watch`: accesses to it go through config_read / config_written. Gives the
 * capability's offset. Context: main thread, before vCPUs. */
unsigned pci_func_add_cap(struct pci_func *f, uint8_t id, const void *body, size_t len,
	const uint8_t *wmask, bool watch);

/* The 256 bytes of configuration space. Under the PCI lock (inside pci_func_ops). */
uint8_t *pci_func_config(struct pci_func *f);
struct msix *pci_func_msix(struct pci_func *f);

#endif
