/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "coordinator/coord.h"

#define IDLE_NS   UINT64_C(15000000000)
#define PEERS_MAX 1024u

uint64_t coord_serial(struct coord *coord)
{
	return ++coord->next_serial;
}

struct peer *coord_peer(struct coord *coord, uint64_t serial)
{
	list_foreach(it, &coord->peers)
	{
		struct peer *p = list_entry(it, struct peer, node);
		if (p->serial == serial)
			return p->ready ? p : NULL;
	}
	return NULL;
}

void coord_audit(struct coord *coord, const char *who, const char *role, const char *what,
	const char *object, const char *result)
{
	struct ctl_audit_entry e = {.unix_ms = coord_unix_ms()};

	snprintf(e.who, sizeof(e.who), "%s", who);
	snprintf(e.role, sizeof(e.role), "%s", role);
	snprintf(e.what, sizeof(e.what), "%s", what);
	snprintf(e.object, sizeof(e.object), "%s", object);
	snprintf(e.result, sizeof(e.result), "%s", result);
	log_info(coord, "audit: %s %s %s %s: %s", role, who, what, object, result);
	store_audit_add(coord->store, &e);
}

/* --- answers --------------------------------------------------------------------------------- */

static void refuse(
	struct peer *p, const struct ctl_rx *rx, int err, const char *hint, const char *text)
{
	ctl_conn_refuse(p->conn, rx->type, rx->id, err, hint, "%s", text);
}

/* The VM a request is about; refuses if there is none. */
static struct vm *vm_of(struct peer *p, const struct ctl_rx *rx, const char *name)
{
	struct vm *vm = vm_find(p->coord, name);

	if (vm == NULL)
		ctl_conn_refuse(p->conn, rx->type, rx->id, ERR_NOT_FOUND,
			"'mirrorball vm list' shows all", "there is no VM %s", name);
	return vm;
}

static const char *name_of(const struct ctl_rx *rx)
{
	switch (rx->type) {
	case CTL_VM_CREATE:
		return ((const struct ctl_vm_spec *)rx->msg)->name;
	case CTL_VM_PAGES:
		return ((const struct ctl_vm_pages_query *)rx->msg)->name;
	case CTL_VM_WAIT:
		return ((const struct ctl_vm_wait *)rx->msg)->name;
	case CTL_HOST_SHOW:
	case CTL_HOST_REMOVE:
		return ((const struct ctl_host_ref *)rx->msg)->name;
	case CTL_STREAM_OPEN:
		return ((const struct ctl_stream_open *)rx->msg)->vm;
	case CTL_VM_START:
	case CTL_VM_STOP:
	case CTL_VM_DESTROY:
	case CTL_VM_SHOW:
	case CTL_VM_STATS:
		return ((const struct ctl_vm_ref *)rx->msg)->name;
	default:
		return "";
	}
}

static void audit(struct peer *p, const struct ctl_rx *rx, const char *result)
{
	coord_audit(p->coord, p->id.name, tls_role_text(p->id.role), ctl_type_name(rx->type),
		name_of(rx), result);
}

static void rpc_vm_create(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm;
	char why[256];

	int err = vm_create(p->coord, rx->msg, &vm, why);
	audit(p, rx, err == 0 ? "ok" : why);
	if (err != 0)
		refuse(p, rx, err, NULL, why);
	else
		ctl_conn_reply(p->conn, rx->type, rx->id, &vm->info);
}

static void rpc_vm_start(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm = vm_of(p, rx, name_of(rx));
	char why[256];

	if (vm == NULL)
		return;
	int err = vm_start(vm, why);
	audit(p, rx, err == 0 ? "ok" : why);
	if (err != 0)
		refuse(p, rx, err, "see 'mirrorball host list' and 'mirrorball vm show'", why);
	else
		vm_wait(vm, p, rx, WAIT_START,
			1u << CTL_VM_RUNNING | 1u << CTL_VM_STOPPED | 1u << CTL_VM_FAILED, 0);
}

static void rpc_vm_stop(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm = vm_of(p, rx, name_of(rx));
	char text[256];

	if (vm == NULL)
		return;
	audit(p, rx, "ok");
	/* Also for one that reboots: it is not to come back. */
	vm->desired_running = false;
	snprintf(text, sizeof(text), "stopped by %s %s", tls_role_text(p->id.role), p->id.name);
	vm_stop(vm, CTL_STOP_REQUEST, text);
	vm_wait(vm, p, rx, WAIT_STOP,
		1u << CTL_VM_CREATED | 1u << CTL_VM_STOPPED | 1u << CTL_VM_FAILED, 0);
}

static void rpc_vm_destroy(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm = vm_of(p, rx, name_of(rx));
	struct ctl_nothing nothing;
	char why[256];

	if (vm == NULL)
		return;
	int err = vm_destroy(vm, why);
	audit(p, rx, err == 0 ? "ok" : why);
	if (err != 0)
		refuse(p, rx, err, NULL, why);
	else
		ctl_conn_reply(p->conn, rx->type, rx->id, &nothing);
}

static void rpc_vm_list(struct peer *p, const struct ctl_rx *rx)
{
	struct ctl_vm_list msg = {.n_vms = 0};
	unsigned n = 0;

	list_foreach(it, &p->coord->vms) n++;
	msg.vms = calloc(n + 1, sizeof(*msg.vms));
	if (msg.vms == NULL) {
		refuse(p, rx, ERR_NO_MEMORY, NULL, "out of memory in the coordinator");
		return;
	}
	list_foreach(it, &p->coord->vms) msg.vms[msg.n_vms++] =
		list_entry(it, struct vm, node)->info;
	ctl_conn_reply(p->conn, rx->type, rx->id, &msg);
	free(msg.vms); /* what the entries point to is the VMs' own */
}

static void rpc_vm_show(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm = vm_of(p, rx, name_of(rx));

	if (vm != NULL)
		ctl_conn_reply(p->conn, rx->type, rx->id, &vm->info);
}

static void rpc_vm_stats(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm = vm_of(p, rx, name_of(rx));

	if (vm != NULL)
		vm_stats(vm, p, rx);
}

static void rpc_vm_pages(struct peer *p, const struct ctl_rx *rx)
{
	struct vm *vm = vm_of(p, rx, name_of(rx));

	if (vm != NULL)
		vm_pages(vm, p, rx);
}

static void rpc_vm_wait(struct peer *p, const struct ctl_rx *rx)
{
	const struct ctl_vm_wait *wait = rx->msg;
	struct vm *vm = vm_of(p, rx, wait->name);

	if (vm != NULL)
		vm_wait(vm, p, rx, WAIT_STATE, wait->states, wait->timeout_ms);
}

static void rpc_host_list(struct peer *p, const struct ctl_rx *rx)
{
	struct ctl_host_list msg = {.n_hosts = 0};
	unsigned n = 0;

	list_foreach(it, &p->coord->hosts) n++;
	msg.hosts = calloc(n + 1, sizeof(*msg.hosts));
	if (msg.hosts == NULL) {
		refuse(p, rx, ERR_NO_MEMORY, NULL, "out of memory in the coordinator");
		return;
	}
	list_foreach(it, &p->coord->hosts) msg.hosts[msg.n_hosts++] =
		host_info(list_entry(it, struct host, node));
	ctl_conn_reply(p->conn, rx->type, rx->id, &msg);
	free(msg.hosts);
}

static struct host *host_of(struct peer *p, const struct ctl_rx *rx)
{
	struct host *h = host_find(p->coord, name_of(rx));

	if (h == NULL)
		ctl_conn_refuse(p->conn, rx->type, rx->id, ERR_NOT_FOUND,
			"'mirrorball host list' shows all", "there is no host %s", name_of(rx));
	return h;
}

static void rpc_host_show(struct peer *p, const struct ctl_rx *rx)
{
	struct host *h = host_of(p, rx);

	if (h == NULL)
		return;
	struct ctl_host_info info = host_info(h);
	ctl_conn_reply(p->conn, rx->type, rx->id, &info);
}

static void rpc_host_remove(struct peer *p, const struct ctl_rx *rx)
{
	struct host *h = host_of(p, rx);
	struct ctl_nothing nothing;
	char why[256];

	if (h == NULL)
		return;
	int err = host_remove(h, why);
	audit(p, rx, err == 0 ? "ok" : why);
	if (err != 0)
		refuse(p, rx, err, NULL, why);
	else
		ctl_conn_reply(p->conn, rx->type, rx->id, &nothing);
}

static void rpc_audit_list(struct peer *p, const struct ctl_rx *rx)
{
	const struct ctl_audit_query *query = rx->msg;
	struct ctl_audit_list list;

	int err = store_audit_list(p->coord->store, query->last == 0 ? 100 : query->last, &list);
	if (err != 0) {
		refuse(p, rx, err, NULL, "the audit log can not be read");
		return;
	}
	ctl_conn_reply(p->conn, rx->type, rx->id, &list);
	ctl_msg_fini(CTL_MSG_audit_list, &list);
}

static void rpc_stream_open(struct peer *p, const struct ctl_rx *rx)
{
	const struct ctl_stream_open *open = rx->msg;
	struct vm *vm = vm_of(p, rx, open->vm);

	if (vm == NULL)
		return;
	audit(p, rx, open->kind == CTL_STREAM_EXEC ? "exec" : "console");
	for (uint32_t i = 0; i < vm->info.n_slices; i++) {
		const struct ctl_vm_slice *s = &vm->info.slices[i];
		struct ctl_conn *conn = host_conn(p->coord, s->part.host);
		if (s->part.slice != 0)
			continue;
		if (vm->info.state != CTL_VM_RUNNING && vm->info.state != CTL_VM_STARTING)
			break;
		if (conn != NULL) {
			ctl_relay(p->conn, rx->id, conn, open);
			return;
		}
		ctl_conn_refuse(p->conn, rx->type, rx->id, ERR_LINK_DOWN,
			"start it there; the VM goes on meanwhile",
			"the agent of host %s, which has the console, is not connected",
			s->part.host);
		return;
	}
	ctl_conn_refuse(p->conn, rx->type, rx->id, ERR_VM_STOPPED,
		"start it with 'mirrorball vm start'", "%s is %s", vm->info.spec.name,
		ctl_vm_state_text(vm->info.state));
}

/* Every request of users, and the least role that may make it. */
static const struct rpc {
	uint16_t type;
	enum tls_role role;
	void (*fn)(struct peer *p, const struct ctl_rx *rx);
} rpcs[] = {
	{CTL_VM_CREATE, TLS_ROLE_ADMIN,
		rpc_vm_create}, /* names files of a host: not for operators */
	{CTL_VM_DESTROY, TLS_ROLE_ADMIN, rpc_vm_destroy},
	{CTL_VM_START, TLS_ROLE_OPERATOR, rpc_vm_start},
	{CTL_VM_STOP, TLS_ROLE_OPERATOR, rpc_vm_stop},
	{CTL_STREAM_OPEN, TLS_ROLE_OPERATOR, rpc_stream_open},
	{CTL_VM_LIST, TLS_ROLE_VIEWER, rpc_vm_list},
	{CTL_VM_SHOW, TLS_ROLE_VIEWER, rpc_vm_show},
	{CTL_VM_STATS, TLS_ROLE_VIEWER, rpc_vm_stats},
	{CTL_VM_PAGES, TLS_ROLE_VIEWER, rpc_vm_pages},
	{CTL_VM_WAIT, TLS_ROLE_VIEWER, rpc_vm_wait},
	{CTL_HOST_LIST, TLS_ROLE_VIEWER, rpc_host_list},
	{CTL_HOST_SHOW, TLS_ROLE_VIEWER, rpc_host_show},
	{CTL_HOST_REMOVE, TLS_ROLE_ADMIN, rpc_host_remove},
	{CTL_AUDIT_LIST, TLS_ROLE_ADMIN, rpc_audit_list},
};

static bool is_user(enum tls_role role)
{
	return role == TLS_ROLE_VIEWER || role == TLS_ROLE_OPERATOR || role == TLS_ROLE_ADMIN;
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct peer *p = arg;
	const struct rpc *rpc = NULL;

	if (p->id.role == TLS_ROLE_AGENT && rx->type == CTL_HOST_REGISTER) {
		host_register(p, rx);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rpcs); i++)
		if (rpcs[i].type == rx->type)
			rpc = &rpcs[i];
	if (rpc == NULL || !is_user(p->id.role)) {
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL,
			"a coordinator does not serve %s to a %s", ctl_type_name(rx->type),
			tls_role_text(p->id.role));
	} else if (p->id.role < rpc->role) {
		audit(p, rx, "denied");
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_DENIED,
			"ask an administrator for another certificate",
			"%s is a %s; %s needs at least %s", p->id.name, tls_role_text(p->id.role),
			ctl_type_name(rx->type), tls_role_text(rpc->role));
	} else {
		rpc->fn(p, rx);
	}
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct peer *p = arg;
	const struct ctl_slice_status *status = rx->msg;

	if (rx->type != CTL_SLICE_EVENT || p->id.role != TLS_ROLE_AGENT)
		return;
	/* An agent speaks for the slices of its own host only. */
	struct vm *vm = vm_find(p->coord, status->ref.vm);
	for (uint32_t i = 0; vm != NULL && i < vm->info.n_slices; i++) {
		const struct ctl_slice_part *part = &vm->info.slices[i].part;
		if (part->slice != status->ref.slice || strcmp(part->host, p->id.name) != 0)
			continue;
		vm_slice_event(p->coord, status);
		return;
	}
}

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *hello)
{
	struct peer *p = arg;

	p->ready = true;
	p->id = tls_peer(ctl_conn_io(conn));
	log_debug(coord, "%s %s connected, %s %s", tls_role_text(p->id.role), p->id.name,
		hello->program, hello->version);
}

static void peer_free(struct peer *p)
{
	list_remove(&p->node);
	p->ready = false;
	ctl_conn_destroy(p->conn);
	free(p);
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct peer *p = arg;

	if (!p->ready)
		log_limited(coord, "connection refused: %s", why);
	p->ready = false;
	coord_waiters_peer_down(p);
	host_peer_down(p);
	peer_free(p);
}

static const struct ctl_conn_ops conn_ops = {
	.ready = on_ready,
	.request = on_request,
	.event = on_event,
	.down = on_down,
};

static unsigned count_peers(struct coord *coord)
{
	unsigned n = 0;

	list_foreach(it, &coord->peers) n++;
	return n;
}

static void on_accept(void *arg, int fd, unsigned ready)
{
	struct coord *coord = arg;
	struct ctl_conn_params params = {
		.hello = {.program = "mirrorball-coordinator", .version = PACKAGE_VERSION},
		.idle_ns = IDLE_NS,
	};
	struct ctl_io *io;

	int err = tls_accept(coord->tls, fd, &io);
	if (err == ERR_AGAIN)
		return;
	if (err != 0) {
		log_limited(coord, "cannot accept a connection: %s", err_text(err));
		return;
	}
	struct peer *p = count_peers(coord) >= PEERS_MAX ? NULL : calloc(1, sizeof(*p));
	if (p == NULL) {
		log_limited(coord, "too many connections, refusing one");
		io->ops->destroy(io);
		return;
	}
	p->coord = coord;
	p->serial = coord_serial(coord);
	list_init(&p->node);
	err = ctl_conn_create(coord->loop, io, &params, &conn_ops, p, &p->conn);
	if (err != 0) {
		log_limited(coord, "cannot accept a connection: %s", err_text(err));
		free(p);
		return;
	}
	list_push_back(&coord->peers, &p->node);
}

int coord_rpc_start(struct coord *coord, int listen_fd)
{
	coord->listen_fd = listen_fd;
	return loop_fd_add(coord->loop, listen_fd, LOOP_READ, on_accept, coord, &coord->listen_lf);
}

void coord_rpc_stop(struct coord *coord)
{
	loop_fd_remove(coord->listen_lf);
	close(coord->listen_fd);
	while (!list_empty(&coord->peers)) {
		struct peer *p = list_first(&coord->peers, struct peer, node);
		coord_waiters_peer_down(p);
		peer_free(p);
	}
}
