/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "coordinator/coord.h"

/* The counters of all slices of a VM; one that does not answer has none. */

static void stats_answer(void *sum, uint32_t index, int err, const void *msg)
{
	struct ctl_vm_stats *all = sum;
	struct ctl_slice_stats copy;

	if (err != 0 || ctl_msg_copy(CTL_MSG_slice_stats, &copy, msg) != 0)
		return;
	ctl_msg_fini(CTL_MSG_slice_stats, &all->slices[index]);
	all->slices[index] = copy;
}

static const struct gather_ops stats_ops = {
	.request = CTL_SLICE_QUERY, .reply = CTL_MSG_vm_stats, .answer = stats_answer};

static struct ctl_vm_stats *stats_make(const struct vm *vm)
{
	struct ctl_vm_stats *all = calloc(1, sizeof(*all));

	if (all == NULL || ctl_msg_copy(CTL_MSG_vm_info, &all->vm, &vm->info) != 0) {
		free(all);
		return NULL;
	}
	all->slices = calloc(vm->info.n_slices + 1, sizeof(*all->slices));
	if (all->slices == NULL) {
		ctl_msg_fini(CTL_MSG_vm_stats, all);
		free(all);
		return NULL;
	}
	all->n_slices = vm->info.n_slices;
	for (uint32_t i = 0; i < vm->info.n_slices; i++)
		all->slices[i].status = vm->info.slices[i].status;
	return all;
}

void vm_stats(struct vm *vm, struct peer *peer, const struct ctl_rx *rx)
{
	vm_gather(vm, peer, rx, &stats_ops, stats_make(vm));
}
