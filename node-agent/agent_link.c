/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "node-agent/agent.h"

/*
 *   waiting --timer--> connecting --handshake, HOST_REGISTER answered--> up
 *      ^                   |                                              |
 *      +-------------------+------------------ link down ----------------+
 */
#define BACKOFF_MIN_NS UINT64_C(200000000)
#define BACKOFF_MAX_NS                                                                             \
	UINT64_C(3000000000) /* after a restart the coordinator must know us again within 10 s */
#define IDLE_NS UINT64_C(15000000000)

void agent_link_event(struct agent *agent, const struct ctl_slice_status *status)
{
	if (agent->link_ready)
		ctl_conn_event(agent->link, CTL_SLICE_EVENT, 0, status);
}

static void retry(struct agent *agent)
{
	uint64_t jitter;

	rng_system(&jitter, sizeof(jitter));
	loop_timer_arm(agent->link_timer, agent->backoff_ns / 2 + jitter % (agent->backoff_ns / 2));
	agent->backoff_ns = MIN(agent->backoff_ns * 2, BACKOFF_MAX_NS);
}

static void register_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct agent *agent = arg;

	if (err == 0) {
		log_info(agent, "registered as %s at %s", agent->name, agent->cfg.coordinator);
		agent->backoff_ns = BACKOFF_MIN_NS;
		return;
	}
	if (err != ERR_LINK_DOWN && err != ERR_CANCELED)
		log_error(agent, "the coordinator refuses us: %s; %s", fault->text, fault->hint);
}

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct agent *agent = arg;
	struct ctl_host_report report;

	agent->link_ready = true;
	agent_host_report(agent, &report);
	int err = ctl_conn_request(
		conn, CTL_HOST_REGISTER, &report, NULL, 0, 0, register_reply, agent, NULL);
	ctl_msg_fini(CTL_MSG_host_report, &report);
	if (err != 0)
		ctl_conn_finish(conn, err, "cannot register");
}

static void open_stream(struct agent *agent, const struct ctl_rx *rx)
{
	const struct ctl_stream_open *open = rx->msg;

	/* The devices, and so the console and the exec ports, are on the slice that has slice id
	 * 0. */
	list_foreach(it, &agent->slices)
	{
		struct agent_slice *s = list_entry(it, struct agent_slice, node);
		if (s->status.ref.slice != 0 || strcmp(s->status.ref.vm, open->vm) != 0 ||
			!s->conn_ready)
			continue;
		ctl_relay(agent->link, rx->id, s->conn, open);
		return;
	}
	ctl_conn_refuse(agent->link, rx->type, rx->id, ERR_STATE, "see 'mirrorball vm show'",
		"no slice of %s with a console is running on %s", open->vm, agent->name);
}

static const struct ctl_slice_ref *ref_of(const struct ctl_rx *rx)
{
	switch (rx->type) {
	case CTL_SLICE_CONNECT:
		return &((const struct ctl_slice_mesh *)rx->msg)->ref;
	case CTL_SLICE_STOP:
		return &((const struct ctl_slice_stop *)rx->msg)->ref;
	case CTL_SLICE_START:
	case CTL_SLICE_QUERY:
	case CTL_SLICE_PAGES:
	case CTL_SLICE_FORGET:
		return rx->msg;
	default:
		return NULL;
	}
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct agent *agent = arg;
	const struct ctl_slice_ref *ref = ref_of(rx);
	struct ctl_nothing nothing;

	if (rx->type == CTL_SLICE_PREPARE) {
		agent_launch(agent, rx);
		return;
	}
	if (rx->type == CTL_STREAM_OPEN) {
		open_stream(agent, rx);
		return;
	}
	if (ref == NULL) {
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL,
			"an agent does not serve %s", ctl_type_name(rx->type));
		return;
	}
	struct agent_slice *s = agent_slice_find(agent, ref);
	if (rx->type == CTL_SLICE_FORGET) {
		if (s != NULL)
			agent_slice_forget(s, rx);
		else
			ctl_conn_reply(conn, rx->type, rx->id, &nothing);
	} else if (s == NULL) {
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_NOT_FOUND, NULL,
			"there is no slice %u of %s on %s", ref->slice, ref->vm, agent->name);
	} else {
		agent_slice_pass(s, rx);
	}
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	/* The coordinator sends none to agents yet. */
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct agent *agent = arg;

	/* Once per trouble, not once per attempt. */
	if (agent->link_ready || agent->backoff_ns == BACKOFF_MIN_NS)
		log_warn(agent, "no coordinator: %s; VMs go on, trying again", why);
	else
		log_debug(agent, "no coordinator: %s", why);
	ctl_conn_destroy(conn);
	agent->link = NULL;
	agent->link_ready = false;
	retry(agent);
}

static const struct ctl_conn_ops link_ops = {
	.ready = on_ready,
	.request = on_request,
	.event = on_event,
	.down = on_down,
};

static void link_connect(void *arg)
{
	struct agent *agent = arg;
	struct ctl_conn_params params = {
		.connector = true,
		.hello = {.program = "mirrorball-agent", .version = PACKAGE_VERSION},
		.idle_ns = IDLE_NS,
	};
	struct ctl_io *io;
	char why[256] = "out of memory";

	snprintf(params.hello.name, sizeof(params.hello.name), "%s", agent->name);
	int err = tls_connect(agent->tls, agent->cfg.coordinator, TLS_ROLE_COORDINATOR, &io, why);
	if (err == 0)
		err = ctl_conn_create(agent->loop, io, &params, &link_ops, agent, &agent->link);
	if (err == 0) {
		agent->link_serial++;
		return;
	}
	if (agent->backoff_ns == BACKOFF_MIN_NS)
		log_warn(agent, "no coordinator: %s; trying again", why);
	retry(agent);
}

int agent_link_start(struct agent *agent)
{
	int err = loop_timer_create(agent->loop, link_connect, agent, &agent->link_timer);

	if (err != 0)
		return err;
	agent->backoff_ns = BACKOFF_MIN_NS;
	loop_timer_arm(agent->link_timer, 0);
	return 0;
}

void agent_link_stop(struct agent *agent)
{
	if (agent->link_timer != NULL)
		loop_timer_destroy(agent->link_timer);
	ctl_conn_destroy(agent->link);
	agent->link = NULL;
	agent->link_ready = false;
}
