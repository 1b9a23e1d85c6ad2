/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/slice.h"
#include "proto/beat.h"
#include "proto/wire_msgs.h"
#include "proto/xport_ofi.h"

/*
 * The slice among the others: the transport of the data plane, and joining it and the heartbeats
 * with everybody's. A slice that is alone has neither.
 */

/* How long connecting may take: the slowest host of the VM may still be allocating memory. */
#define JOIN_NS UINT64_C(30000000000)
/* And, once all are connected, how long till all have heard each other's heartbeats. */
#define BEATS_NS UINT64_C(10000000000)

/* ---- what the transport calls, on its progress thread -------------------------------------- */

struct life_note {
	slice_id_t from;
	struct wire_vm_msg msg;
};

static void life_on_main(struct slice *s, const void *what)
{
	const struct life_note *n = what;
	slice_life_message(s, n->from, &n->msg);
}

/* Everything that is not coherence. */
static int other_message(void *arg, const struct xport_rx *rx)
{
	struct slice *s = arg;
	struct life_note n = {.from = rx->peer};
	if (rx->data_bytes != 0)
		return ERR_PROTOCOL;
	int err = wire_vm_decode(rx->type, rx->head, rx->head_bytes, &n.msg);
	if (err != 0)
		return err;
	if (rx->type < WIRE_VM_PARK)
		return route_message(s->route, rx->peer, &n.msg);
	slice_post(s, life_on_main, &n, sizeof(n));
	return 0;
}

static int on_message(void *arg, const struct xport_rx *rx)
{
	struct slice *s = arg;
	return dsm_xport_message(s->dsm, rx);
}

static void on_down(void *arg, slice_id_t peer, int err)
{
	struct slice *s = arg;
	char why[WIRE_VM_WHY_MAX + 1];
	dsm_xport_down(s->dsm, peer, err);
	if (err_class(err) == ERR_CLASS_PEER && err != ERR_PEER_DOWN) {
		snprintf(why, sizeof(why), "slice %u: %s", peer.v, err_text(err));
		slice_life_end_post(s, VM_END_FAILED, peer, peer, why);
		return;
	}
	slice_life_lost_post(s, peer);
}

static uint64_t guest_now(void *arg)
{
	struct slice *s = arg;
	return gclock_now(&s->guest_clock);
}

static int guest_observe(void *arg, slice_id_t peer, uint64_t guest_ns)
{
	struct slice *s = arg;
	bool advanced;
	int err = gclock_observe(&s->guest_clock, guest_ns, &advanced);
	if (err != 0)
		log_error(slice, "the clock of a peer is ahead of its measured error, peer %u",
			peer.v);
	for (unsigned i = 0; err == 0 && advanced && i < s->n_vcpus; i++)
		vcpu_time_changed(s->vcpus[i].vcpu);
	return err;
}

static const struct xport_handler handler = {
	.message = on_message,
	.down = on_down,
	.now = guest_now,
	.observe = guest_observe,
};

/* ---- listening and connecting ---------------------------------------------------------------- */

static int listen_fabric(struct slice *s)
{
	struct xport_ofi_cfg cfg = {
		.self = s->self,
		.plain = s->spec.unsealed,
		.bind = s->spec.fabric_bind,
		.providers = s->spec.provider[0] == '\0' ? NULL : s->spec.provider,
		.n_slices = (unsigned)s->n_nodes,
		.stuck_ns = s->lease_ns,
		.handler = &handler,
		.arg = s,
	};
	memcpy(cfg.incarnation.b, s->spec.incarnation, sizeof(cfg.incarnation.b));
	memcpy(cfg.secret.b, s->spec.key, sizeof(cfg.secret.b));
	return xport_ofi_listen(&cfg, &s->listener);
}

int slice_net_listen(struct slice *s, const char **address, const char **beat)
{
	*address = *beat = "alone";
	if (s->n_nodes == 1)
		return 0;
	int err = listen_fabric(s);
	if (err != 0) {
		snprintf(s->ctl_text, sizeof(s->ctl_text), "the fabric cannot listen on %s: %s",
			s->spec.fabric_bind, err_text(err));
		return err;
	}
	snprintf(s->address, sizeof(s->address), "%s", xport_ofi_address(s->listener));
	*address = s->address;
	return slice_beat_listen(s, beat);
}

/* The lists are in the order of the mesh. */
static int take_addresses(struct slice *s)
{
	uint32_t n = s->mesh.n_peers;
	if (n != s->n_nodes)
		return ERR_INVAL;
	s->fabric_peers = calloc(n, sizeof(*s->fabric_peers));
	s->beat_peers = calloc(n, sizeof(*s->beat_peers));
	if (s->fabric_peers == NULL || s->beat_peers == NULL)
		return ERR_NO_MEMORY;
	s->n_peers = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct ctl_slice_peer *p = &s->mesh.peers[i];
		slice_id_t id = {(uint16_t)p->slice};
		if (p->slice >= SLICE_MAX || !slice_eq(id, s->nodes[i].slice))
			return ERR_INVAL;
		if (slice_eq(id, s->self))
			continue;
		s->beat_peers[s->n_peers] = (struct beat_peer){id, p->beat};
		s->fabric_peers[s->n_peers++] = (struct xport_ofi_peer){id, p->address};
	}
	return 0;
}

struct join_note {
	int err;
};

/* The thread's result becomes the main thread's: until then nobody else looks at it. */
static void join_wait(struct slice *s)
{
	pthread_join(s->join_thread, NULL);
	s->joining = false;
	s->xport = s->join_xport;
	if (s->xport != NULL)
		s->listener = NULL; /* the transport's own now */
}

static void joined(struct slice *s, const void *what)
{
	const struct join_note *n = what;
	int err = n->err;
	if (!s->joining)
		return; /* unbuilding has waited for it already */
	join_wait(s);
	if (err == 0) {
		route_start(s->route, s->xport);
		err = dsm_start(s->dsm, s->xport, other_message, s);
	} else if (s->join_why[0] != '\0')
		snprintf(s->ctl_text, sizeof(s->ctl_text), "%s", s->join_why);
	slice_life_connected(s, err);
}

static void *join_thread(void *arg)
{
	struct slice *s = arg;
	uint64_t now = clock_now_ns(clock_host());
	struct join_note n;
	n.err = xport_ofi_join(
		s->listener, s->fabric_peers, s->n_peers, now + JOIN_NS, &s->join_xport);
	now = clock_now_ns(clock_host());
	if (n.err == 0)
		n.err = beat_wait(s->beat, now + BEATS_NS, s->join_why);
	slice_post(s, joined, &n, sizeof(n));
	return NULL;
}

int slice_net_connect(struct slice *s)
{
	if (s->n_nodes == 1) {
		route_start(s->route, NULL);
		slice_life_connected(s, 0);
		return 0;
	}
	int err = take_addresses(s);
	/* Before joining, so that whoever has joined knows that all others beat. */
	if (err == 0)
		err = beat_start(s->beat, s->beat_peers, s->n_peers);
	if (err != 0)
		return err;
	int e = pthread_create(&s->join_thread, NULL, join_thread, s);
	if (e != 0)
		return err_from_errno(e);
	s->joining = true;
	return 0;
}

void slice_net_stop(struct slice *s)
{
	if (s->beat != NULL)
		beat_stop(s->beat);
	if (s->joining)
		join_wait(s);
}

void slice_net_close(struct slice *s)
{
	if (s->xport != NULL)
		s->xport->ops->destroy(s->xport);
	else if (s->listener != NULL)
		xport_ofi_close(s->listener);
	s->xport = s->join_xport = NULL;
	s->listener = NULL;
	beat_close(s->beat);
	s->beat = NULL;
	free(s->fabric_peers);
	free(s->beat_peers);
	s->fabric_peers = NULL;
	s->beat_peers = NULL;
	ctl_msg_fini(CTL_MSG_slice_mesh, &s->mesh);
}

/* ---- messages about the life of the VM ----------------------------------------------------- */

void slice_net_send(struct slice *s, slice_id_t to, const struct wire_vm_msg *m)
{
	uint8_t head[WIRE_VM_HEAD_MAX];
	struct xport_msg x = {.peer = to, .type = (uint16_t)m->type, .head = head};
	if (s->xport == NULL)
		return;
	x.head_bytes = wire_vm_encode(m, head);
	int err = wire_msg_class(x.type, &x.class);
	CHECK(err == 0);
	err = xport_send(s->xport, &x);
	if (err != 0 && err != ERR_PEER_DOWN)
		log_error(slice, "%s could not be sent, peer %u: %s", wire_msg_name(x.type), to.v,
			err_text(err));
}

void slice_net_send_all(struct slice *s, const struct wire_vm_msg *m)
{
	for (size_t i = 0; i < s->n_nodes; i++) {
		if (!slice_eq(s->nodes[i].slice, s->self))
			slice_net_send(s, s->nodes[i].slice, m);
	}
}
