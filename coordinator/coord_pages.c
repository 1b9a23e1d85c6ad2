/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "coordinator/coord.h"

/* The hottest pages of all slices of a VM. */

struct hottest {
	struct ctl_vm_pages msg; /* the reply, first */
	uint32_t top;
};

static int by_weight(const void *a, const void *b)
{
	const struct ctl_hot_page *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Of those we have and these the hottest stay: never more than `top`, whatever slices send. */
static void merge(struct hottest *h, const struct ctl_slice_pages *from, uint32_t slice)
{
	struct ctl_hot_page both[2 * CTL_PAGES_MAX];
	uint32_t n = 0;

	CHECK(h->msg.n_pages <= CTL_PAGES_MAX && from->n_pages <= CTL_PAGES_MAX);
	for (uint32_t i = 0; i < h->msg.n_pages; i++)
		both[n++] = h->msg.pages[i];
	for (uint32_t i = 0; i < from->n_pages; i++) {
		both[n] = from->pages[i];
		both[n++].home = slice; /* a slice speaks for itself only */
	}
	qsort(both, n, sizeof(both[0]), by_weight);
	h->msg.n_pages = MIN(n, h->top);
	for (uint32_t i = 0; i < h->msg.n_pages; i++)
		h->msg.pages[i] = both[i];
}

static void pages_answer(void *sum, uint32_t index, int err, const void *msg)
{
	struct hottest *h = sum;

	if (err == 0)
		merge(h, msg, h->msg.vm.slices[index].status.ref.slice);
	else
		h->msg.missing++;
}

static const struct gather_ops pages_ops = {
	.request = CTL_SLICE_PAGES, .reply = CTL_MSG_vm_pages, .answer = pages_answer};

static struct hottest *pages_make(const struct vm *vm, uint32_t top)
{
	struct hottest *h = calloc(1, sizeof(*h));

	if (h == NULL || ctl_msg_copy(CTL_MSG_vm_info, &h->msg.vm, &vm->info) != 0) {
		free(h);
		return NULL;
	}
	h->top = MIN(top, CTL_PAGES_MAX);
	h->msg.pages = calloc(CTL_PAGES_MAX, sizeof(*h->msg.pages));
	if (h->msg.pages == NULL) {
		ctl_msg_fini(CTL_MSG_vm_pages, &h->msg);
		free(h);
		return NULL;
	}
	return h;
}

void vm_pages(struct vm *vm, struct peer *peer, const struct ctl_rx *rx)
{
	const struct ctl_vm_pages_query *query = rx->msg;

	vm_gather(vm, peer, rx, &pages_ops, pages_make(vm, query->top));
}
