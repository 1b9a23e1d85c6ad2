/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/rv64_boot.h"
#include "node-agent/slice.h"
#include "proto/beat.h"
#include "proto/xport.h"
#include "vcpu/vcpu_state.h"

/*
 * The life of the VM on this slice, on the main thread (docs/protocol.md, R-VM-20 to R-VM-32).
 *
 *   new -> built -> connected -> running <--> parking -> parked
 *   \______\__________\__________\___________\_________/ -> ending -> ended
 *
 * The leader loads the guest and says GO. A reset of the guest goes through the leader: everybody
 * parks, the leader loads again, GO. The end needs no leader: whoever sees a reason tells all
 * others, each keeps the smallest of those that it hears for a moment, so all end for the same one.
 */

/* How long reasons are collected before the first is believed. */
#define END_SETTLE_NS UINT64_C(100000000)
/* vCPUs reach an instruction boundary within microseconds, unless they wait for a page. */
#define PARK_POLL_NS UINT64_C(500000)

static const struct sm_state life_states[] = {
	[SLICE_NEW] = {"new", SM_NEXT(SLICE_BUILT) | SM_NEXT(SLICE_ENDING)},
	[SLICE_BUILT] = {"built", SM_NEXT(SLICE_CONNECTED) | SM_NEXT(SLICE_ENDING)},
	[SLICE_CONNECTED] = {"connected", SM_NEXT(SLICE_RUNNING) | SM_NEXT(SLICE_ENDING)},
	[SLICE_RUNNING] = {"running", SM_NEXT(SLICE_PARKING) | SM_NEXT(SLICE_ENDING)},
	[SLICE_PARKING] = {"parking", SM_NEXT(SLICE_PARKED) | SM_NEXT(SLICE_ENDING)},
	[SLICE_PARKED] = {"parked", SM_NEXT(SLICE_RUNNING) | SM_NEXT(SLICE_ENDING)},
	[SLICE_ENDING] = {"ending", SM_NEXT(SLICE_ENDED)},
	[SLICE_ENDED] = {"ended", 0},
};
static const struct sm_table life_table = {
	.name = "slice",
	.states = life_states,
	.n = ARRAY_SIZE(life_states),
};

static bool ending(const struct slice *s)
{
	return sm_state(&s->life) >= SLICE_ENDING;
}

static void violation(struct slice *s, slice_id_t from, const char *what)
{
	char why[WIRE_VM_WHY_MAX + 1];
	snprintf(why, sizeof(why), "slice %u sent %s", from.v, what);
	log_error(slice, "%s, in state %s", why, sm_name(&s->life));
	slice_life_end(s, VM_END_FAILED, from, from, why);
}

/* ---- the guest starts, and starts again ---------------------------------------------------- */

static void run_here(struct slice *s, uint64_t guest_ns)
{
	gclock_run(&s->guest_clock, guest_ns);
	for (unsigned i = 0; i < s->n_vcpus; i++)
		vcpu_resume(s->vcpus[i].vcpu);
	sm_move(&s->life, SLICE_RUNNING);
}

static void go(struct slice *s, slice_id_t from, const struct wire_vm_msg *m)
{
	uint64_t guest_ns;
	int64_t origin_ns = (int64_t)m->u.go.origin_ns;
	if (slice_beat_guest_time(s, origin_ns, &guest_ns) != 0) {
		violation(s, from, "GO with another clock");
		return;
	}
	run_here(s, guest_ns);
	atomic_store(&s->origin_ns, origin_ns);
}

static void loaded(struct slice *s, const void *what)
{
	if (!s->boot_running)
		return; /* unbuilding has waited for it already */
	pthread_join(s->boot_thread, NULL);
	s->boot_running = false;
	if (ending(s))
		return;
	bool first = sm_state(&s->life) == SLICE_CONNECTED;
	if (!s->boot.ok) {
		log_error(slice, "the guest cannot be loaded: %s", s->boot.why);
		if (first)
			slice_ctl_refuse(s->ctl, ERR_INVAL, "%s", s->boot.why);
		slice_life_end(s, VM_END_FAILED, s->self, s->self, s->boot.why);
		return;
	}
	struct wire_vm_msg say = {.type = WIRE_VM_GO};
	run_here(s, 0);
	atomic_store(&s->origin_ns, -atomic_load(&s->guest_clock.offset_ns));
	say.u.go.origin_ns = (uint64_t)atomic_load(&s->origin_ns);
	slice_net_send_all(s, &say);
	if (vcpu_hsm_start(s->vcpus[0].vcpu, s->boot.pc.v, s->boot.fdt.v) != 0) {
		/* Only another slice's HART_START can have come before. */
		slice_life_end(s, VM_END_FAILED, s->self, s->self, "hart 0 was started by a peer");
		return;
	}
	if (first)
		slice_ctl_done(s->ctl);
	else
		slice_ctl_guest_reset(s->ctl);
	log_info(slice, "the guest runs, entry 0x%llx, device tree 0x%llx",
		(unsigned long long)s->boot.pc.v, (unsigned long long)s->boot.fdt.v);
}

/* Guest memory may have to come from other slices, so loading has a thread of its own. */
static void *load_thread(void *arg)
{
	struct slice *s = arg;
	struct rv64_boot boot = {.kernel_fd = s->fds.kernel, .initrd_fd = s->fds.initrd};
	struct rv64_fdt_cfg fdt = {
		.nodes = s->nodes,
		.n_nodes = s->n_nodes,
		.vcpus = s->spec.vcpus,
		.vcpu_node = s->vcpu_node,
		.svadu = s->vcpu_like.svadu,
		.append = s->append,
	};
	s->boot.ok = rv64_boot_load(&boot, &fdt, dsm_gate(s->dsm), &s->boot.pc, &s->boot.fdt,
			     s->boot.why) == 0;
	slice_post(s, loaded, NULL, 0);
	return NULL;
}

static void load(struct slice *s)
{
	int e = pthread_create(&s->boot_thread, NULL, load_thread, s);
	if (e != 0) {
		slice_life_end(s, VM_END_FAILED, s->self, s->self, "no thread to load the guest");
		return;
	}
	s->boot_running = true;
}

/* ---- reset ---------------------------------------------------------------------------------- */

static bool is_parked(const struct slice *s, slice_id_t who)
{
	return (s->parked[who.v / 64] >> (who.v % 64) & 1) != 0;
}

static bool all_parked(const struct slice *s)
{
	for (size_t i = 0; i < s->n_nodes; i++) {
		if (!is_parked(s, s->nodes[i].slice))
			return false;
	}
	return true;
}

static void note_parked(struct slice *s, slice_id_t who)
{
	s->parked[who.v / 64] |= UINT64_C(1) << (who.v % 64);
	if (!all_parked(s))
		return;
	s->resets++;
	log_info(slice, "all slices are parked, the guest starts again, reset %u", s->resets);
	vio_machine_reset(s->machine);
	load(s);
}

/* As it was made: stopped, all registers zero. The count of instructions goes on. */
static void reset_vcpu(struct vcpu *v)
{
	struct vcpu_state_rv64 zero = {.priv = 1, .stimecmp = UINT64_MAX, .hsm = VCPU_STOPPED};
	zero.instret = atomic_load(vcpu_retired(v));
	int err = vcpu_rv64_set_state(v, &zero);
	CHECK(err == 0);
}

static void park_poll(void *arg)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	if (sm_state(&s->life) != SLICE_PARKING)
		return;
	for (unsigned i = 0; i < s->n_vcpus; i++) {
		if (!vcpu_paused(s->vcpus[i].vcpu)) {
			loop_timer_arm(s->park_timer, PARK_POLL_NS);
			return;
		}
	}
	for (unsigned i = 0; i < s->n_vcpus; i++)
		reset_vcpu(s->vcpus[i].vcpu);
	gclock_pause(&s->guest_clock);
	sm_move(&s->life, SLICE_PARKED);
	if (slice_is_leader(s))
		note_parked(s, s->self);
	else
		slice_net_send(s, s->leader, &(struct wire_vm_msg){.type = WIRE_VM_PARKED});
}

static void park(struct slice *s)
{
	sm_move(&s->life, SLICE_PARKING);
	atomic_store(&s->origin_ns, ORIGIN_NONE);
	for (unsigned i = 0; i < s->n_vcpus; i++)
		vcpu_pause(s->vcpus[i].vcpu);
	loop_timer_arm(s->park_timer, 0);
}

void slice_life_reset(struct slice *s, enum vcpu_reset type, uint32_t reason)
{
	if (!slice_is_leader(s)) {
		struct wire_vm_msg m = {.type = WIRE_VM_RESET};
		m.u.reset.kind = (uint8_t)type;
		m.u.reset.reason = reason;
		slice_net_send(s, s->leader, &m);
		return;
	}
	if (sm_state(&s->life) != SLICE_RUNNING)
		return; /* under way already, or over */
	if (type == VCPU_RESET_SHUTDOWN) {
		slice_life_end(s, VM_END_POWER_OFF, s->self, s->self, "the guest powered off");
		return;
	}
	if (type == VCPU_RESET_WARM && s->warm_is_panic) {
		slice_life_end(s, VM_END_PANIC, s->self, s->self, "the guest kernel panicked");
		return;
	}
	log_info(slice, "the guest asks for a reset");
	memset(s->parked, 0, sizeof(s->parked));
	slice_net_send_all(s, &(struct wire_vm_msg){.type = WIRE_VM_PARK});
	park(s);
}

/* ---- the end -------------------------------------------------------------------------------- */

static int end_compare(const struct slice_end *x, const struct slice_end *y)
{
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	if (x->a.v != y->a.v)
		return x->a.v < y->a.v ? -1 : 1;
	if (x->b.v != y->b.v)
		return x->b.v < y->b.v ? -1 : 1;
	return strcmp(x->why, y->why);
}

static enum ctl_stop_reason end_reason(enum vm_end end)
{
	switch (end) {
	case VM_END_POWER_OFF:
		return CTL_STOP_POWER_OFF;
	case VM_END_PANIC:
		return CTL_STOP_PANIC;
	case VM_END_STOPPED:
		return CTL_STOP_REQUEST;
	case VM_END_SLICE_LOST:
		return CTL_STOP_LOST;
	case VM_END_FAILED:
		break;
	}
	return CTL_STOP_ERROR;
}

static void settled(void *arg)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	sm_move(&s->life, SLICE_ENDED);
	log_info(slice, "the VM has ended, reason %s: %s", vm_end_name(s->end.end), s->end.why);
	slice_unbuild(s);
	slice_ctl_stopped(s->ctl, end_reason(s->end.end), "%s", s->end.why);
}

/* An operator's own words may hold what no slice takes from another: R-VM-32. */
static void take_why(char to[WIRE_VM_WHY_MAX + 1], const char *why)
{
	snprintf(to, WIRE_VM_WHY_MAX + 1, "%s", why);
	for (char *p = to; *p != '\0'; p++) {
		if (!isprint((unsigned char)*p))
			*p = '?';
	}
}

static void lost(struct slice *s, slice_id_t peer,
	void (*say)(struct slice *, enum vm_end, slice_id_t, slice_id_t, const char *))
{
	slice_id_t a = {MIN(s->self.v, peer.v)}, b = {MAX(s->self.v, peer.v)};
	char why[WIRE_VM_WHY_MAX + 1];
	snprintf(
		why, sizeof(why), "the connection between slice %u and slice %u is lost", a.v, b.v);
	say(s, VM_END_SLICE_LOST, a, b, why);
}

/*
 * A host that is cut off takes several connections with it, which their ends give up one after
 * another. What we would give up in a moment is among the reasons now, or the host itself, that
 * knows of them all and hears of none, would end for another one than we do: R-BEAT-13.
 */
static void add_doubt(struct slice *s)
{
	slice_id_t peer;
	if (s->beat != NULL && beat_doubt(s->beat, &peer))
		lost(s, peer, slice_life_end);
}

void slice_life_end(struct slice *s, enum vm_end end, slice_id_t a, slice_id_t b, const char *why)
{
	struct slice_end e = {.end = end, .a = {MIN(a.v, b.v)}, .b = {MAX(a.v, b.v)}};
	if (sm_state(&s->life) == SLICE_ENDED)
		return;
	take_why(e.why, why);
	if (s->has_end && end_compare(&s->end, &e) <= 0)
		return;
	s->end = e;
	s->has_end = true;
	struct wire_vm_msg m = {.type = WIRE_VM_END};
	m.u.end.end = (uint8_t)end;
	m.u.end.a = e.a;
	m.u.end.b = e.b;
	memcpy(m.u.end.why, e.why, sizeof(e.why));
	slice_net_send_all(s, &m);
	if (sm_state(&s->life) != SLICE_ENDING) {
		sm_move(&s->life, SLICE_ENDING);
		slice_vcpus_stop(s);
		loop_timer_arm(s->end_timer, END_SETTLE_NS);
		if (end == VM_END_SLICE_LOST)
			add_doubt(s);
	}
}

struct end_note {
	enum vm_end end;
	slice_id_t a, b;
	char why[WIRE_VM_WHY_MAX + 1];
};

static void end_on_main(struct slice *s, const void *what)
{
	const struct end_note *n = what;
	slice_life_end(s, n->end, n->a, n->b, n->why);
}

void slice_life_end_post(
	struct slice *s, enum vm_end end, slice_id_t a, slice_id_t b, const char *why)
{
	struct end_note n = {.end = end, .a = a, .b = b};
	snprintf(n.why, sizeof(n.why), "%s", why);
	slice_post(s, end_on_main, &n, sizeof(n));
}

void slice_life_lost_post(struct slice *s, slice_id_t peer)
{
	lost(s, peer, slice_life_end_post);
}

/* ---- messages of other slices ---------------------------------------------------------------- */

void slice_life_message(struct slice *s, slice_id_t from, const struct wire_vm_msg *m)
{
	bool from_leader = slice_eq(from, s->leader);
	if (ending(s) && m->type != WIRE_VM_END)
		return;
	switch ((int)m->type) {
	case WIRE_VM_GO:
		if (!from_leader || !sm_may(&s->life, SLICE_RUNNING))
			violation(s, from, "GO out of turn");
		else
			go(s, from, m);
		break;
	case WIRE_VM_PARK:
		if (!from_leader || !sm_may(&s->life, SLICE_PARKING))
			violation(s, from, "PARK out of turn");
		else
			park(s);
		break;
	case WIRE_VM_PARKED:
		if (!slice_is_leader(s) ||
			(sm_state(&s->life) != SLICE_PARKING &&
				sm_state(&s->life) != SLICE_PARKED) ||
			is_parked(s, from))
			violation(s, from, "PARKED out of turn");
		else
			note_parked(s, from);
		break;
	case WIRE_VM_RESET:
		if (!slice_is_leader(s))
			violation(s, from, "RESET out of turn");
		else
			slice_life_reset(s, (enum vcpu_reset)m->u.reset.kind, m->u.reset.reason);
		break;
	case WIRE_VM_END:
		slice_life_end(s, (enum vm_end)m->u.end.end, m->u.end.a, m->u.end.b, m->u.end.why);
		break;
	}
}

/* ---- orders of the agent --------------------------------------------------------------------- */

static void refuse(struct slice *s, int err, const char *what)
{
	if (s->ctl_text[0] == '\0')
		snprintf(s->ctl_text, sizeof(s->ctl_text), "%s: %s", what, err_text(err));
	log_error(slice, "%s", s->ctl_text);
	slice_ctl_refuse(s->ctl, err, "%s", s->ctl_text);
}

static void on_prepare(void *arg, const struct ctl_slice_spec *spec, const int *fds)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	const char *address = "", *beat = "";
	int err = slice_spec_take(s, spec, fds);
	if (err == 0)
		err = slice_build(s);
	if (err == 0)
		err = slice_net_listen(s, &address, &beat);
	if (err == 0)
		err = slice_sandbox_enter(&s->spec);
	if (err == 0)
		err = slice_vcpus_start(s);
	if (err != 0) {
		refuse(s, err, "the slice cannot be built");
		return;
	}
	sm_move(&s->life, SLICE_BUILT);
	slice_ctl_prepared(s->ctl, address, beat);
}

void slice_life_connected(struct slice *s, int err)
{
	if (ending(s))
		return;
	if (err != 0) {
		refuse(s, err, "the other slices cannot be reached");
		return;
	}
	sm_move(&s->life, SLICE_CONNECTED);
	slice_ctl_done(s->ctl);
}

static void on_connect(void *arg, const struct ctl_slice_mesh *mesh)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	int err = ctl_msg_copy(CTL_MSG_slice_mesh, &s->mesh, mesh);
	if (err == 0)
		err = slice_net_connect(s);
	if (err != 0)
		slice_life_connected(s, err);
}

static void on_start(void *arg)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	if (slice_is_leader(s))
		load(s); /* answers when the guest is loaded */
	else
		slice_ctl_done(s->ctl); /* runs when the leader says so */
}

static void on_stop(void *arg, enum ctl_stop_reason reason, const char *text)
{
	struct slice *s = arg;
	OBJ_CHECK(s, SLICE_MAGIC);
	static const enum vm_end ends[] = {
		[CTL_STOP_POWER_OFF] = VM_END_POWER_OFF,
		[CTL_STOP_PANIC] = VM_END_PANIC,
		[CTL_STOP_LOST] = VM_END_SLICE_LOST,
		[CTL_STOP_REQUEST] = VM_END_STOPPED,
		[CTL_STOP_ERROR] = VM_END_FAILED,
	};
	enum vm_end end = (size_t)reason < ARRAY_SIZE(ends) ? ends[reason] : 0;
	slice_life_end(s, end == 0 ? VM_END_STOPPED : end, s->self, s->self, text);
}

static void on_stats(void *arg, struct slice_ctl_stats *out)
{
	slice_stats(arg, out);
}

static uint32_t on_pages(void *arg, struct ctl_hot_page *out, uint32_t max)
{
	return slice_pages(arg, out, max);
}

static void on_port_readable(void *arg, enum slice_port port)
{
	slice_ports_readable(arg, port);
}

static void on_port_writable(void *arg, enum slice_port port)
{
	slice_ports_writable(arg, port);
}

static void on_finished(void *arg)
{
	struct slice *s = arg;
	loop_stop(s->loop);
}

const struct slice_ctl_ops slice_life_ops = {
	.prepare = on_prepare,
	.connect = on_connect,
	.start = on_start,
	.stop = on_stop,
	.stats = on_stats,
	.pages = on_pages,
	.port_readable = on_port_readable,
	.port_writable = on_port_writable,
	.finished = on_finished,
};

int slice_life_init(struct slice *s)
{
	sm_init(&s->life, &life_table, s, 0);
	int err = loop_timer_create(s->loop, park_poll, s, &s->park_timer);
	if (err == 0)
		err = loop_timer_create(s->loop, settled, s, &s->end_timer);
	return err;
}

void slice_life_fini(struct slice *s)
{
	if (s->park_timer != NULL)
		loop_timer_destroy(s->park_timer);
	if (s->end_timer != NULL)
		loop_timer_destroy(s->end_timer);
}
