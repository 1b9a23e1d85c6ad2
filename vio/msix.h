/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_MSIX_H
#define VIO_MSIX_H

#include "vio/vio.h"

/* MSI-X table and pending bits of one PCI function (PCI Local Bus 3.0, 6.8.2). */
struct msix;

#define MSIX_ENTRY_BYTES 16u
#define MSIX_VECTORS_MAX 64u /* so that the pending bits are one 64-bit word */

#define MSIX_CONTROL_ENABLE 0x8000u
#define MSIX_CONTROL_MASK   0x4000u

MUST_CHECK int msix_create(const struct vio_irq *irq, unsigned vectors, struct msix **out);
void msix_destroy(struct msix *x);
void msix_reset(struct msix *x);
unsigned msix_vectors(const struct msix *x);

/* The guest has written the message control word. */
void msix_control(struct msix *x, uint16_t control);

/* Accesses inside the table and the pending bits; 4 or 8 bytes, aligned. */
uint64_t msix_table_read(struct msix *x, uint64_t off, unsigned size);
void msix_table_write(struct msix *x, uint64_t off, unsigned size, uint64_t value);
uint64_t msix_pba_read(struct msix *x, uint64_t off, unsigned size);

/* Send the vector's message, or mark it pending while masked. Nothing when MSI-X is off or there is
 * no such vector. Context: any thread, device locks may be held, does not block. */
void msix_notify(struct msix *x, unsigned vector);

#endif
