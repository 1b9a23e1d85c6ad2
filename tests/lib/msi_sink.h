/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_MSI_SINK_H
#define TESTS_LIB_MSI_SINK_H

#include "base/lk.h"
#include "vio/vio.h"

/* Takes the interrupt messages of devices and lets a test wait for them. */
#define MSI_SINK_MAX 4096u

struct msi_sink {
	struct lk lk;
	struct lk_cond came;
	uint64_t counts[MSI_SINK_MAX]; /* by data */
	uint64_t total;
	gpa_t last_addr;
	uint32_t last_data;
};

void msi_sink_init(struct msi_sink *s);
void msi_sink_fini(struct msi_sink *s);
struct vio_irq msi_sink_irq(struct msi_sink *s);

/* Messages with this data so far. */
uint64_t msi_sink_count(struct msi_sink *s, uint32_t data);
uint64_t msi_sink_total(struct msi_sink *s);
/* Until more than `seen` messages with this data came; CHECKs that it takes no 20 seconds. */
void msi_sink_wait(struct msi_sink *s, uint32_t data, uint64_t seen);

#endif
