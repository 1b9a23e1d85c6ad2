/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "coordinator/coord.h"
#include "coordinator/coord_place.h"

/*
 *              start            all slices run        anything ends it
 *   created ----------> starting -------------> running -------------> stopping ---> stopped
 *                        ^    |                                         ^    |
 *                        |    +-- a step fails, or somebody stops it ---+    +-----> failed
 *                        +------------------------- start ---------------- stopped, failed
 *
 * Starting has phases: prepare all slices; connect all (each knows the others' fabric addresses
 * then); let all but slice 0 run; let slice 0, which holds the first vCPU, run.
 */
#define ANY_STATE                                                                                  \
	(SM_NEXT(CTL_VM_CREATED) | SM_NEXT(CTL_VM_STARTING) | SM_NEXT(CTL_VM_RUNNING) |            \
		SM_NEXT(CTL_VM_STOPPING) | SM_NEXT(CTL_VM_STOPPED) | SM_NEXT(CTL_VM_FAILED))
static const struct sm_state vm_states[] = {
	[CTL_VM_NONE] = {"none",
		ANY_STATE}, /* a VM that is read from the store begins in its state */
	[CTL_VM_CREATED] = {"created", SM_NEXT(CTL_VM_STARTING)},
	[CTL_VM_STARTING] = {"starting", SM_NEXT(CTL_VM_RUNNING) | SM_NEXT(CTL_VM_STOPPING)},
	[CTL_VM_RUNNING] = {"running", SM_NEXT(CTL_VM_STOPPING)},
	[CTL_VM_STOPPING] = {"stopping", SM_NEXT(CTL_VM_STOPPED) | SM_NEXT(CTL_VM_FAILED)},
	[CTL_VM_STOPPED] = {"stopped", SM_NEXT(CTL_VM_STARTING)},
	[CTL_VM_FAILED] = {"failed", SM_NEXT(CTL_VM_STARTING)},
};
static const struct sm_table vm_table = {"vm", vm_states, ARRAY_SIZE(vm_states), NULL};

/* An agent kills what does not end within 5 s. */
#define FORGET_NS UINT64_C(10000000000)
#define STEP_NS                                                                                    \
	UINT64_C(120000000000) /* one step of one slice: memory is allocated, files are read */
#define LEASE_MS      5000u
#define STOP_SLACK_MS 10000u

static void vm_save(struct vm *vm)
{
	/* Failing to write is logged by the store; the agents know the truth and tell it again. */
	(void)!store_vm_put(vm->coord->store, &vm->info, vm->desired_running);
}

static void vm_move_quietly(struct vm *vm, enum ctl_vm_state to)
{
	sm_move(&vm->sm, to);
	vm->info.state = to;
	vm->info.since_unix_ms = coord_unix_ms();
	log_info(coord, "vm %s: %s%s%s", vm->info.spec.name, ctl_vm_state_text(to),
		vm->info.text[0] == '\0' ? "" : ", ", vm->info.text);
	vm_save(vm);
}

static void vm_move(struct vm *vm, enum ctl_vm_state to)
{
	vm_move_quietly(vm, to);
	vm_waiters_check(vm);
}

bool vm_alive(const struct vm *vm)
{
	return vm->info.state == CTL_VM_STARTING || vm->info.state == CTL_VM_RUNNING ||
	       vm->info.state == CTL_VM_STOPPING;
}

struct vm *vm_find(struct coord *coord, const char *name)
{
	list_foreach(it, &coord->vms)
	{
		struct vm *vm = list_entry(it, struct vm, node);
		if (strcmp(vm->info.spec.name, name) == 0)
			return vm;
	}
	return NULL;
}

/* The VM and its slice that a reference means, if that incarnation is the present one. */
static struct ctl_vm_slice *slice_find(
	struct coord *coord, const struct ctl_slice_ref *ref, struct vm **out)
{
	struct vm *vm = vm_find(coord, ref->vm);

	if (vm == NULL ||
		memcmp(vm->info.incarnation, ref->incarnation, sizeof(ref->incarnation)) != 0)
		return NULL;
	*out = vm;
	for (uint32_t i = 0; i < vm->info.n_slices; i++)
		if (vm->info.slices[i].part.slice == ref->slice)
			return &vm->info.slices[i];
	return NULL;
}

/* --- requests to slices ---------------------------------------------------------------------- */

/* A request under way: names its slice, so that an answer after the VM's end finds nothing. */
struct step {
	struct coord *coord;
	struct ctl_slice_ref ref;
	uint16_t type;
};

static void step_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault);

static int slice_ask(
	struct vm *vm, struct ctl_vm_slice *s, uint16_t type, const void *msg, uint64_t timeout_ns)
{
	struct ctl_conn *conn = host_conn(vm->coord, s->part.host);
	struct step *step = conn == NULL ? NULL : calloc(1, sizeof(*step));

	if (step == NULL)
		return conn == NULL ? ERR_LINK_DOWN : ERR_NO_MEMORY;
	*step = (struct step){vm->coord, s->status.ref, type};
	int err = ctl_conn_request(conn, type, msg, NULL, 0, timeout_ns, step_reply, step, NULL);
	if (err != 0)
		free(step);
	return err;
}

/* Of a slice that no VM claims: an agent that did not hear it tells of the slice when it
 * registers. */
static void orphan_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
}

static void orphan_forget(struct coord *coord, const char *host, const struct ctl_slice_ref *ref)
{
	struct ctl_conn *conn = host_conn(coord, host);

	if (conn != NULL)
		(void)!ctl_conn_request(
			conn, CTL_SLICE_FORGET, ref, NULL, 0, FORGET_NS, orphan_reply, NULL, NULL);
}

/* --- start ----------------------------------------------------------------------------------- */

static void step_failed(struct vm *vm, const struct ctl_vm_slice *s, const char *text)
{
	char why[256];

	snprintf(why, sizeof(why), "host %.40s, slice %u: %.190s", s->part.host, s->part.slice,
		text);
	vm->failing = true;
	vm_stop(vm, CTL_STOP_ERROR, why);
}

/* Ask all slices of a phase; on a failure the VM is on its way down when this returns. */
static void ask_all(struct vm *vm, uint16_t type,
	const void *(*msg_of)(struct vm *vm, struct ctl_vm_slice *s, void *buf), void *buf,
	bool first, bool others)
{
	vm->awaiting = 0;
	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		struct ctl_vm_slice *s = &vm->info.slices[i];
		if (!(s->part.slice == 0 ? first : others))
			continue;
		int err = slice_ask(vm, s, type, msg_of(vm, s, buf), STEP_NS);
		if (err != 0) {
			step_failed(vm, s,
				err == ERR_LINK_DOWN ? "its agent is not connected"
						     : err_text(err));
			return;
		}
		vm->awaiting++;
	}
}

static const void *spec_of(struct vm *vm, struct ctl_vm_slice *s, void *buf)
{
	const struct ctl_vm_spec *v = &vm->info.spec;
	struct ctl_slice_spec *spec = buf;

	/* Set before: key, slices. Devices are on slice 0 alone. */
	spec->slice = s->part.slice;
	spec->clock_offset_ns = spec->clock_ppm = 0;
	for (uint32_t i = 0; i < v->n_clocks; i++) {
		if (v->clocks[i].slice != s->part.slice)
			continue;
		spec->clock_offset_ns = v->clocks[i].offset_ns;
		spec->clock_ppm = v->clocks[i].ppm;
	}
	bool devices = s->part.slice == 0;
	snprintf(spec->kernel, sizeof(spec->kernel), "%s", devices ? v->kernel : "");
	snprintf(spec->initrd, sizeof(spec->initrd), "%s", devices ? v->initrd : "");
	snprintf(spec->net, sizeof(spec->net), "%s", devices ? v->net : "none");
	spec->disks = devices ? v->disks : NULL;
	spec->n_disks = devices ? v->n_disks : 0;
	return spec;
}

static void phase_prepare(struct vm *vm)
{
	const struct ctl_vm_spec *v = &vm->info.spec;
	struct ctl_slice_part *parts = calloc(vm->info.n_slices, sizeof(*parts));
	struct ctl_slice_spec *spec = calloc(1, sizeof(*spec));

	vm->phase = VM_PHASE_PREPARE;
	if (parts == NULL || spec == NULL) {
		step_failed(vm, &vm->info.slices[0], "out of memory in the coordinator");
		goto undo;
	}
	for (uint32_t i = 0; i < vm->info.n_slices; i++)
		parts[i] = vm->info.slices[i].part;
	snprintf(spec->vm, sizeof(spec->vm), "%s", v->name);
	memcpy(spec->incarnation, vm->info.incarnation, sizeof(spec->incarnation));
	rng_system(spec->key, sizeof(spec->key));
	spec->slices = parts;
	spec->n_slices = vm->info.n_slices;
	spec->vcpus = v->vcpus;
	spec->memory_bytes = v->memory_bytes;
	spec->cache_bytes = v->cache_bytes;
	spec->unsealed = v->unsealed;
	spec->lease_ms = v->lease_ms == 0 ? LEASE_MS : v->lease_ms;
	spec->options = v->options;
	spec->n_options = v->n_options;
	snprintf(spec->provider, sizeof(spec->provider), "%s", v->provider);
	snprintf(spec->append, sizeof(spec->append), "%s", v->append);
	snprintf(spec->uffd, sizeof(spec->uffd), "%s", v->uffd);
	snprintf(spec->cpu, sizeof(spec->cpu), "%s", v->cpu);
	snprintf(spec->engine, sizeof(spec->engine), "%s", v->engine);
	vm_progress(vm, "preparing %u slices", vm->info.n_slices);
	ask_all(vm, CTL_SLICE_PREPARE, spec_of, spec, true, true);
undo:
	if (spec != NULL)
		explicit_bzero(spec->key, sizeof(spec->key));
	free(spec);
	free(parts);
}

static const void *mesh_of(struct vm *vm, struct ctl_vm_slice *s, void *buf)
{
	struct ctl_slice_mesh *mesh = buf;

	mesh->ref = s->status.ref;
	return mesh;
}

static void phase_connect(struct vm *vm)
{
	struct ctl_slice_mesh mesh = {.n_peers = vm->info.n_slices};

	vm->phase = VM_PHASE_CONNECT;
	mesh.peers = calloc(vm->info.n_slices, sizeof(*mesh.peers));
	if (mesh.peers == NULL) {
		step_failed(vm, &vm->info.slices[0], "out of memory in the coordinator");
		return;
	}
	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		const struct ctl_vm_slice *s = &vm->info.slices[i];
		struct ctl_slice_peer *p = &mesh.peers[i];
		p->slice = s->part.slice;
		snprintf(p->host, sizeof(p->host), "%s", s->part.host);
		snprintf(p->address, sizeof(p->address), "%s", s->status.fabric);
		snprintf(p->beat, sizeof(p->beat), "%s", s->status.beat);
	}
	vm_progress(vm, "connecting the slices");
	ask_all(vm, CTL_SLICE_CONNECT, mesh_of, &mesh, true, true);
	free(mesh.peers);
}

static const void *ref_of(struct vm *vm, struct ctl_vm_slice *s, void *buf)
{
	return &s->status.ref;
}

static void phase_next(struct vm *vm)
{
	switch (vm->phase) {
	case VM_PHASE_PREPARE:
		phase_connect(vm);
		return;
	case VM_PHASE_CONNECT:
		vm_progress(vm, "starting the vCPUs");
		if (vm->info.n_slices > 1) {
			vm->phase = VM_PHASE_OTHERS;
			ask_all(vm, CTL_SLICE_START, ref_of, NULL, false, true);
			return;
		}
		__attribute__((fallthrough));
	case VM_PHASE_OTHERS:
		vm->phase = VM_PHASE_FIRST;
		ask_all(vm, CTL_SLICE_START, ref_of, NULL, true, false);
		return;
	case VM_PHASE_FIRST:
		vm->phase = VM_PHASE_NONE;
		vm_move(vm, CTL_VM_RUNNING);
		return;
	case VM_PHASE_NONE:
		break;
	}
	UNREACHABLE();
}

static int place_vm(struct vm *vm, struct ctl_slice_part *parts, char why[256])
{
	const struct ctl_vm_spec *v = &vm->info.spec;
	struct place_want want = {v->vcpus, v->hosts, v->memory_bytes, v->cache_bytes};
	unsigned n = 0, cap = 0;

	list_foreach(it, &vm->coord->hosts) cap++;
	struct place_host *hosts = calloc(cap + 1, sizeof(*hosts));
	if (hosts == NULL)
		return ERR_NO_MEMORY;
	list_foreach(it, &vm->coord->hosts)
	{
		const struct host *h = list_entry(it, struct host, node);
		struct ctl_host_info info = host_info(h);
		hosts[n++] = (struct place_host){h->info.name, info.online, info.cpus,
			info.vcpus_used, info.memory_bytes, info.memory_used_bytes};
	}
	int err = place(&want, hosts, n, parts, why);
	free(hosts);
	return err;
}

int vm_start(struct vm *vm, char why[256])
{
	uint32_t n = vm->info.spec.hosts;

	if (!sm_may(&vm->sm, CTL_VM_STARTING)) {
		snprintf(why, 256, "%s is %s", vm->info.spec.name,
			ctl_vm_state_text(vm->info.state));
		return ERR_STATE;
	}
	struct ctl_slice_part *parts = calloc(n, sizeof(*parts));
	struct ctl_vm_slice *slices = calloc(n, sizeof(*slices));
	snprintf(why, 256, "out of memory in the coordinator");
	int err = parts == NULL || slices == NULL ? ERR_NO_MEMORY : place_vm(vm, parts, why);
	if (err != 0)
		goto undo;
	rng_system(vm->info.incarnation, sizeof(vm->info.incarnation));
	for (uint32_t i = 0; i < n; i++) {
		struct ctl_slice_ref *ref = &slices[i].status.ref;
		slices[i].part = parts[i];
		slices[i].known = true;
		snprintf(ref->vm, sizeof(ref->vm), "%s", vm->info.spec.name);
		memcpy(ref->incarnation, vm->info.incarnation, sizeof(ref->incarnation));
		ref->slice = parts[i].slice;
	}
	free(vm->info.slices);
	vm->info.slices = slices;
	vm->info.n_slices = n;
	vm->info.reason = CTL_STOP_NONE;
	vm->info.text[0] = '\0';
	vm->desired_running = true;
	vm->failing = false;
	vm->forgetting = 0;
	slices = NULL;
	vm_move(vm, CTL_VM_STARTING);
	phase_prepare(vm);
	err = 0;
undo:
	free(slices);
	free(parts);
	return err;
}

/* --- stop ------------------------------------------------------------------------------------ */

static void vm_stopped(struct vm *vm)
{
	char why[256];

	loop_timer_disarm(vm->stop_timer);
	bool again = vm->info.reason == CTL_STOP_REBOOT && vm->desired_running &&
		     !vm->info.spec.stop_on_reboot && !vm->failing;
	if (!again) {
		vm->desired_running = false;
		vm_move(vm, vm->failing ? CTL_VM_FAILED : CTL_VM_STOPPED);
		return;
	}
	/* Who waits for the end waits on: a reboot is none. */
	vm_move_quietly(vm, CTL_VM_STOPPED);
	if (vm_start(vm, why) == 0)
		return;
	log_error(coord, "vm %s: not started again after its reboot: %s", vm->info.spec.name, why);
	vm->desired_running = false;
	vm_save(vm);
	vm_waiters_check(vm);
}

/*
 * When all slices have stopped, their agents remove what is left of them, and the VM has stopped
 * when that is done: a process that still ends holds disks and memory, which the next start may
 * need.
 */
static void check_stopped(struct vm *vm)
{
	if (vm->info.state != CTL_VM_STOPPING || vm->forgetting != 0)
		return;
	for (uint32_t i = 0; i < vm->info.n_slices; i++)
		if (vm->info.slices[i].status.state != CTL_SLICE_STOPPED)
			return;
	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		struct ctl_vm_slice *s = &vm->info.slices[i];
		if (slice_ask(vm, s, CTL_SLICE_FORGET, &s->status.ref, FORGET_NS) == 0)
			vm->forgetting++;
	}
	if (vm->forgetting == 0)
		vm_stopped(vm);
}

static void slice_mark_stopped(struct vm *vm, struct ctl_vm_slice *s)
{
	if (s->status.state == CTL_SLICE_STOPPED)
		return;
	s->status.state = CTL_SLICE_STOPPED;
	s->status.reason = vm->info.reason;
	snprintf(s->status.text, sizeof(s->status.text), "%s", vm->info.text);
}

/* False: its agent can not be asked now. */
static bool slice_stop(struct vm *vm, struct ctl_vm_slice *s)
{
	struct ctl_slice_stop msg = {.ref = s->status.ref, .reason = vm->info.reason};

	snprintf(msg.text, sizeof(msg.text), "%s", vm->info.text);
	return slice_ask(vm, s, CTL_SLICE_STOP, &msg, STEP_NS) == 0;
}

void vm_stop(struct vm *vm, enum ctl_stop_reason reason, const char *text)
{
	uint32_t lease = vm->info.spec.lease_ms == 0 ? LEASE_MS : vm->info.spec.lease_ms;

	if (!sm_may(&vm->sm, CTL_VM_STOPPING) || vm->info.state == CTL_VM_NONE)
		return;
	vm->info.reason = reason;
	snprintf(vm->info.text, sizeof(vm->info.text), "%s", text);
	vm->phase = VM_PHASE_NONE;
	vm_move(vm, CTL_VM_STOPPING);
	/* A slice on a host that does not answer has stopped by its own lease after that time. */
	loop_timer_arm(vm->stop_timer, (2 * (uint64_t)lease + STOP_SLACK_MS) * 1000000);
	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		struct ctl_vm_slice *s = &vm->info.slices[i];
		if (s->status.state == CTL_SLICE_STOPPED)
			continue;
		if (!slice_stop(vm, s))
			log_warn(coord, "vm %s: slice %u on %s can not be told to stop",
				vm->info.spec.name, s->part.slice, s->part.host);
	}
	check_stopped(vm);
}

static void on_stop_timer(void *arg)
{
	struct vm *vm = arg;

	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		struct ctl_vm_slice *s = &vm->info.slices[i];
		if (s->status.state == CTL_SLICE_STOPPED)
			continue;
		log_warn(coord, "vm %s: slice %u on %s has not confirmed its end",
			vm->info.spec.name, s->part.slice, s->part.host);
		slice_mark_stopped(vm, s);
	}
	check_stopped(vm);
}

/* --- what slices and agents tell ------------------------------------------------------------- */

/* Text for a VM that stopped because one slice did. */
static void slice_ended(struct vm *vm, struct ctl_vm_slice *s)
{
	if (vm->info.state == CTL_VM_STARTING)
		vm->failing = true;
	if (vm->info.state == CTL_VM_STOPPING)
		check_stopped(vm);
	else
		vm_stop(vm, (enum ctl_stop_reason)s->status.reason, s->status.text);
}

static void take_status(
	struct vm *vm, struct ctl_vm_slice *s, const struct ctl_slice_status *status)
{
	bool ended = status->state == CTL_SLICE_STOPPED && s->status.state != CTL_SLICE_STOPPED;

	if (s->status.state == CTL_SLICE_STOPPED)
		return;
	s->status = *status;
	s->known = true;
	if (ended)
		slice_ended(vm, s);
}

void vm_slice_event(struct coord *coord, const struct ctl_slice_status *status)
{
	struct vm *vm;
	struct ctl_vm_slice *s = slice_find(coord, &status->ref, &vm);

	if (s != NULL)
		take_status(vm, s, status);
}

static void step_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct step step = *(struct step *)arg;
	struct vm *vm;
	struct ctl_vm_slice *s = slice_find(step.coord, &step.ref, &vm);

	free(arg);
	if (s == NULL || !vm_alive(vm))
		return;
	if (step.type == CTL_SLICE_FORGET) {
		/* An agent that has gone meanwhile hears it when it registers. */
		if (vm->forgetting > 0 && --vm->forgetting == 0)
			vm_stopped(vm);
		return;
	}
	if (step.type == CTL_SLICE_STOP) {
		/* What the agent does not know has ended. A lost link says nothing: it will
		 * register again. */
		if (err == 0 || (err != ERR_LINK_DOWN && err != ERR_CANCELED && err != ERR_TIMEOUT))
			slice_mark_stopped(vm, s);
		if (err == 0)
			s->status = *(const struct ctl_slice_status *)msg;
		check_stopped(vm);
		return;
	}
	if (vm->info.state != CTL_VM_STARTING)
		return;
	if (err != 0) {
		/* A failed PREPARE leaves no slice behind. */
		if (step.type == CTL_SLICE_PREPARE && err != ERR_LINK_DOWN && err != ERR_TIMEOUT)
			slice_mark_stopped(vm, s);
		step_failed(vm, s, fault->text);
		return;
	}
	take_status(vm, s, msg);
	if (vm->info.state == CTL_VM_STARTING && --vm->awaiting == 0)
		phase_next(vm);
}

static const struct ctl_slice_status *reported(
	const struct ctl_slice_ref *ref, const struct ctl_slice_status *slices, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (slices[i].ref.slice == ref->slice && strcmp(slices[i].ref.vm, ref->vm) == 0 &&
			memcmp(slices[i].ref.incarnation, ref->incarnation,
				sizeof(ref->incarnation)) == 0)
			return &slices[i];
	return NULL;
}

/* One VM's slices on a host that has told what it has. */
static void host_back_vm(
	struct host *host, struct vm *vm, const struct ctl_slice_status *slices, uint32_t n)
{
	for (uint32_t i = 0; i < vm->info.n_slices && vm_alive(vm); i++) {
		struct ctl_vm_slice *s = &vm->info.slices[i];
		if (strcmp(s->part.host, host->info.name) != 0 ||
			s->status.state == CTL_SLICE_STOPPED)
			continue;
		const struct ctl_slice_status *status = reported(&s->status.ref, slices, n);
		struct ctl_slice_status lost = s->status;
		if (status == NULL) {
			lost.state = CTL_SLICE_STOPPED;
			lost.reason = CTL_STOP_LOST;
			snprintf(lost.text, sizeof(lost.text),
				"host %s no longer has slice %u; was it restarted?",
				host->info.name, s->part.slice);
			status = &lost;
		}
		take_status(vm, s, status);
		s = &vm->info.slices[i]; /* a reboot makes new ones */
		if (vm->info.state == CTL_VM_STOPPING && s->status.state != CTL_SLICE_STOPPED)
			slice_stop(vm, s);
	}
}

/* Slices that no VM of ours claims. */
static void host_back_orphan(struct host *host, const struct ctl_slice_status *status)
{
	struct vm *vm = vm_find(host->coord, status->ref.vm);
	struct ctl_slice_stop msg = {
		.ref = status->ref, .reason = CTL_STOP_REQUEST, .text = "an older incarnation"};
	struct ctl_conn *conn = host_conn(host->coord, host->info.name);

	if (status->state == CTL_SLICE_STOPPED) {
		orphan_forget(host->coord, host->info.name, &status->ref);
	} else if (vm == NULL) {
		/* Perhaps our store was lost: to kill what runs would be worse than to leave it. */
		log_warn(coord,
			"host %s runs slice %u of a VM %s that is not known here, leaving it alone",
			host->info.name, status->ref.slice, status->ref.vm);
	} else if (conn != NULL) {
		(void)!ctl_conn_request(
			conn, CTL_SLICE_STOP, &msg, NULL, 0, STEP_NS, orphan_reply, NULL, NULL);
		orphan_forget(host->coord, host->info.name, &status->ref);
	}
}

void vm_host_back(struct host *host, const struct ctl_slice_status *slices, uint32_t n)
{
	struct vm *vm;

	for (uint32_t i = 0; i < n; i++)
		if (slice_find(host->coord, &slices[i].ref, &vm) == NULL || !vm_alive(vm))
			host_back_orphan(host, &slices[i]);
	list_foreach(it, &host->coord->vms)
		host_back_vm(host, list_entry(it, struct vm, node), slices, n);
}

void vm_host_gone(struct host *host)
{
	list_foreach(it, &host->coord->vms)
	{
		struct vm *vm = list_entry(it, struct vm, node);
		for (uint32_t i = 0; i < vm->info.n_slices; i++)
			if (strcmp(vm->info.slices[i].part.host, host->info.name) == 0)
				vm->info.slices[i].known = false;
	}
}

/* --- create, destroy, load ------------------------------------------------------------------- */

static void vm_free(struct vm *vm)
{
	vm_waiters_end(vm, ERR_CANCELED, "the VM is gone");
	list_remove(&vm->node);
	if (vm->stop_timer != NULL)
		loop_timer_destroy(vm->stop_timer);
	ctl_msg_fini(CTL_MSG_vm_info, &vm->info);
	free(vm);
}

/* `info` is taken over. */
static int vm_new(struct coord *coord, struct ctl_vm_info *info, struct vm **out)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct list *at = coord->vms.prev;

	if (vm == NULL)
		return ERR_NO_MEMORY;
	vm->coord = coord;
	list_init(&vm->node);
	list_init(&vm->waiters);
	sm_init(&vm->sm, &vm_table, vm, coord_serial(coord));
	int err = loop_timer_create(coord->loop, on_stop_timer, vm, &vm->stop_timer);
	if (err != 0) {
		free(vm);
		return err;
	}
	vm->info = *info;
	memset(info, 0, sizeof(*info));
	while (at != &coord->vms &&
		strcmp(list_entry(at, struct vm, node)->info.spec.name, vm->info.spec.name) > 0)
		at = at->prev;
	list_insert_after(at, &vm->node);
	*out = vm;
	return 0;
}

static int check_spec(struct coord *coord, const struct ctl_vm_spec *spec, char why[256])
{
	struct place_want want = {spec->vcpus, spec->hosts, spec->memory_bytes, spec->cache_bytes};
	char user[64];

	if (vm_find(coord, spec->name) != NULL) {
		snprintf(why, 256, "there is a VM %s already; destroy it or choose another name",
			spec->name);
		return ERR_EXISTS;
	}
	if (spec->kernel[0] != '/') {
		snprintf(why, 256,
			"a kernel is needed, by its absolute path on the host of slice 0");
		return ERR_INVAL;
	}
	for (uint32_t i = 0; i < spec->n_disks; i++) {
		if (spec->disks[i].nonpersistent ||
			!store_disk_user(coord->store, spec->name, spec->disks[i].path, user))
			continue;
		snprintf(why, 256,
			"disk %.100s belongs to VM %s; add it as nonpersistent, or destroy that VM",
			spec->disks[i].path, user);
		return ERR_EXISTS;
	}
	return place_check(&want, why);
}

int vm_create(struct coord *coord, const struct ctl_vm_spec *spec, struct vm **out, char why[256])
{
	struct ctl_vm_info info = {.state = CTL_VM_NONE};
	struct vm *vm;
	int err = check_spec(coord, spec, why);

	if (err != 0)
		return err;
	snprintf(why, 256, "out of memory in the coordinator");
	err = ctl_msg_copy(CTL_MSG_vm_spec, &info.spec, spec);
	if (err != 0)
		return err;
	err = vm_new(coord, &info, &vm);
	if (err != 0) {
		ctl_msg_fini(CTL_MSG_vm_info, &info);
		return err;
	}
	sm_move(&vm->sm, CTL_VM_CREATED);
	vm->info.state = CTL_VM_CREATED;
	vm->info.since_unix_ms = coord_unix_ms();
	err = store_vm_put(coord->store, &vm->info, false);
	if (err != 0) {
		snprintf(why, 256, "cannot be written to the store: %s; is the disk full?",
			err_text(err));
		vm_free(vm);
		return err;
	}
	*out = vm;
	return 0;
}

int vm_destroy(struct vm *vm, char why[256])
{
	if (vm_alive(vm)) {
		snprintf(why, 256, "%s is %s; stop it first", vm->info.spec.name,
			ctl_vm_state_text(vm->info.state));
		return ERR_STATE;
	}
	int err = store_vm_remove(vm->coord->store, vm->info.spec.name);
	if (err != 0) {
		snprintf(why, 256, "cannot be removed from the store: %s", err_text(err));
		return err;
	}
	vm_free(vm);
	return 0;
}

/* What runs goes on; what was half started does not, because who waited for it is gone. */
static void load_one(void *arg, struct ctl_vm_info *info, bool desired_running)
{
	struct vm *vm;

	if (vm_new(arg, info, &vm) != 0) {
		log_error(coord, "out of memory, leaving out a VM");
		return;
	}
	vm->desired_running = desired_running;
	for (uint32_t i = 0; i < vm->info.n_slices; i++)
		vm->info.slices[i].known = false;
	if (vm->info.state == CTL_VM_NONE)
		vm->info.state = CTL_VM_CREATED;
	sm_move(&vm->sm, vm->info.state);
	if (vm->info.state == CTL_VM_STARTING) {
		vm->failing = true;
		vm_stop(vm, CTL_STOP_ERROR,
			"the coordinator was restarted while the VM was starting; start it again");
	} else if (vm->info.state == CTL_VM_STOPPING) {
		loop_timer_arm(vm->stop_timer, UINT64_C(1000000) * (2 * LEASE_MS + STOP_SLACK_MS));
		check_stopped(vm);
	}
}

int coord_vms_load(struct coord *coord)
{
	return store_vm_each(coord->store, load_one, coord);
}

void coord_vms_free(struct coord *coord)
{
	while (!list_empty(&coord->vms))
		vm_free(list_first(&coord->vms, struct vm, node));
}
