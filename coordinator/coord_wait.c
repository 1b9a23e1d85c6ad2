/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "coordinator/coord.h"

struct waiter {
	struct list node;
	struct vm *vm; /* which has it in its list */
	uint64_t peer;
	uint16_t type;
	uint32_t id;
	enum wait_kind kind;
	uint32_t states;
	struct loop_timer *timer;
};

static void waiter_free(struct waiter *w)
{
	list_remove(&w->node);
	if (w->timer != NULL)
		loop_timer_destroy(w->timer);
	free(w);
}

static void waiter_answer(struct waiter *w)
{
	struct vm *vm = w->vm;
	struct peer *peer = coord_peer(vm->coord, w->peer);

	if (peer == NULL)
		return;
	if (w->kind == WAIT_START && vm->info.state != CTL_VM_RUNNING)
		ctl_conn_refuse(peer->conn, w->type, w->id, ERR_VM_STOPPED,
			"see 'mirrorball vm show' and the slices' logs", "%s did not start: %s",
			vm->info.spec.name, vm->info.text);
	else
		ctl_conn_reply(peer->conn, w->type, w->id, &vm->info);
}

static void on_timeout(void *arg)
{
	struct waiter *w = arg;
	struct peer *peer = coord_peer(w->vm->coord, w->peer);

	if (peer != NULL)
		ctl_conn_refuse(peer->conn, w->type, w->id, ERR_TIMEOUT, NULL, "%s is %s",
			w->vm->info.spec.name, ctl_vm_state_text(w->vm->info.state));
	waiter_free(w);
}

void vm_wait(struct vm *vm, struct peer *peer, const struct ctl_rx *rx, enum wait_kind kind,
	uint32_t states, uint32_t timeout_ms)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (w == NULL)
		goto no_memory;
	*w = (struct waiter){.vm = vm,
		.peer = peer->serial,
		.type = rx->type,
		.id = rx->id,
		.kind = kind,
		.states = states};
	list_init(&w->node);
	if (timeout_ms != 0) {
		if (loop_timer_create(vm->coord->loop, on_timeout, w, &w->timer) != 0)
			goto no_memory;
		loop_timer_arm(w->timer, (uint64_t)timeout_ms * 1000000);
	}
	list_push_back(&vm->waiters, &w->node);
	vm_waiters_check(vm);
	return;
no_memory:
	free(w);
	ctl_conn_refuse(peer->conn, rx->type, rx->id, ERR_NO_MEMORY, NULL,
		"out of memory in the coordinator");
}

void vm_waiters_check(struct vm *vm)
{
	list_foreach_safe(it, &vm->waiters)
	{
		struct waiter *w = list_entry(it, struct waiter, node);
		if ((w->states & (UINT32_C(1) << vm->info.state)) == 0)
			continue;
		waiter_answer(w);
		waiter_free(w);
	}
}

void vm_waiters_end(struct vm *vm, int err, const char *text)
{
	while (!list_empty(&vm->waiters)) {
		struct waiter *w = list_first(&vm->waiters, struct waiter, node);
		struct peer *peer = coord_peer(vm->coord, w->peer);
		if (peer != NULL)
			ctl_conn_refuse(peer->conn, w->type, w->id, err, NULL, "%s", text);
		waiter_free(w);
	}
}

void coord_waiters_peer_down(struct peer *peer)
{
	list_foreach(v, &peer->coord->vms)
	{
		struct vm *vm = list_entry(v, struct vm, node);
		list_foreach_safe(it, &vm->waiters)
		{
			struct waiter *w = list_entry(it, struct waiter, node);
			if (w->peer == peer->serial)
				waiter_free(w);
		}
	}
}

void vm_progress(struct vm *vm, const char *fmt, ...)
{
	struct ctl_progress p;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p.text, sizeof(p.text), fmt, ap);
	va_end(ap);
	list_foreach(it, &vm->waiters)
	{
		const struct waiter *w = list_entry(it, struct waiter, node);
		struct peer *peer = coord_peer(vm->coord, w->peer);
		if (w->kind != WAIT_STATE && peer != NULL)
			ctl_conn_event(peer->conn, CTL_VM_PROGRESS, w->id, &p);
	}
}
