/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "coordinator/coord.h"

struct host *host_find(struct coord *coord, const char *name)
{
	list_foreach(it, &coord->hosts)
	{
		struct host *h = list_entry(it, struct host, node);
		if (strcmp(h->info.name, name) == 0)
			return h;
	}
	return NULL;
}

struct ctl_conn *host_conn(struct coord *coord, const char *name)
{
	struct host *h = host_find(coord, name);
	struct peer *peer = h == NULL || h->peer == 0 ? NULL : coord_peer(coord, h->peer);

	return peer == NULL ? NULL : peer->conn;
}

static void host_free(struct host *h)
{
	list_remove(&h->node);
	ctl_msg_fini(CTL_MSG_host_info, &h->info);
	free(h);
}

static struct host *host_new(struct coord *coord, const char *name)
{
	struct host *h = calloc(1, sizeof(*h));
	struct list *at = coord->hosts.prev;

	if (h == NULL)
		return NULL;
	h->coord = coord;
	snprintf(h->info.name, sizeof(h->info.name), "%s", name);
	while (at != &coord->hosts &&
		strcmp(list_entry(at, struct host, node)->info.name, name) > 0)
		at = at->prev;
	list_init(&h->node);
	list_insert_after(at, &h->node);
	return h;
}

struct ctl_host_info host_info(const struct host *h)
{
	struct ctl_host_info info = h->info;

	info.online = h->peer != 0;
	info.vcpus_used = 0;
	info.memory_used_bytes = 0;
	list_foreach(it, &h->coord->vms)
	{
		const struct vm *vm = list_entry(it, struct vm, node);
		for (uint32_t i = 0; vm_alive(vm) && i < vm->info.n_slices; i++) {
			const struct ctl_vm_slice *s = &vm->info.slices[i];
			if (strcmp(s->part.host, h->info.name) != 0 ||
				s->status.state == CTL_SLICE_STOPPED)
				continue;
			info.vcpus_used += s->part.vcpus;
			info.memory_used_bytes += s->part.memory_bytes + vm->info.spec.cache_bytes;
		}
	}
	return info;
}

/* The report's features are taken over. */
static void host_take(struct host *h, const struct ctl_host_report *report)
{
	struct ctl_host_info info = {.cpus = report->cpus, .memory_bytes = report->memory_bytes};

	snprintf(info.name, sizeof(info.name), "%s", report->name);
	snprintf(info.fabric, sizeof(info.fabric), "%s", report->fabric);
	snprintf(info.version, sizeof(info.version), "%s", report->version);
	info.seen_unix_ms = coord_unix_ms();
	info.features = calloc(report->n_features + 1, sizeof(*info.features));
	if (info.features != NULL) {
		memcpy(info.features, report->features,
			report->n_features * sizeof(*info.features));
		info.n_features = report->n_features;
	}
	ctl_msg_fini(CTL_MSG_host_info, &h->info);
	h->info = info;
}

void host_register(struct peer *peer, const struct ctl_rx *rx)
{
	const struct ctl_host_report *report = rx->msg;
	struct coord *coord = peer->coord;
	struct ctl_nothing nothing;

	if (strcmp(report->name, peer->id.name) != 0) {
		ctl_conn_refuse(peer->conn, rx->type, rx->id, ERR_DENIED,
			"make a certificate with 'mirrorball init --host'",
			"the certificate is for host %s, the report for %s", peer->id.name,
			report->name);
		return;
	}
	struct host *h = host_find(coord, report->name);
	if (h == NULL)
		h = host_new(coord, report->name);
	if (h == NULL) {
		ctl_conn_refuse(peer->conn, rx->type, rx->id, ERR_NO_MEMORY, NULL,
			"out of memory in the coordinator");
		return;
	}
	struct peer *old =
		h->peer == 0 || h->peer == peer->serial ? NULL : coord_peer(coord, h->peer);
	if (old != NULL)
		ctl_conn_finish(old->conn, ERR_STALE, "a newer agent has registered for this host");
	host_take(h, report);
	h->peer = peer->serial;
	(void)!store_host_put(coord->store, &h->info);
	log_info(coord, "host %s connected, %u cpus, %llu MiB, %u slices", h->info.name,
		h->info.cpus, (unsigned long long)(h->info.memory_bytes >> 20), report->n_slices);
	ctl_conn_reply(peer->conn, rx->type, rx->id, &nothing);
	vm_host_back(h, report->slices, report->n_slices);
}

void host_peer_down(struct peer *peer)
{
	list_foreach(it, &peer->coord->hosts)
	{
		struct host *h = list_entry(it, struct host, node);
		if (h->peer != peer->serial)
			continue;
		log_warn(coord, "host %s has lost its connection; its slices go on", h->info.name);
		h->peer = 0;
		h->info.seen_unix_ms = coord_unix_ms();
		vm_host_gone(h);
	}
}

int host_remove(struct host *h, char why[256])
{
	if (h->peer != 0) {
		snprintf(why, 256, "host %s is connected; stop its agent first", h->info.name);
		return ERR_STATE;
	}
	if (host_info(h).vcpus_used != 0) {
		snprintf(why, 256, "host %s has slices of running VMs; stop them first",
			h->info.name);
		return ERR_STATE;
	}
	int err = store_host_remove(h->coord->store, h->info.name);
	if (err != 0) {
		snprintf(why, 256, "cannot be removed from the store: %s", err_text(err));
		return err;
	}
	host_free(h);
	return 0;
}

static void load_one(void *arg, struct ctl_host_info *info)
{
	struct host *h = host_new(arg, info->name);

	if (h == NULL)
		return;
	h->info = *info;
	memset(info, 0, sizeof(*info));
}

int coord_hosts_load(struct coord *coord)
{
	return store_host_each(coord->store, load_one, coord);
}

void coord_hosts_free(struct coord *coord)
{
	while (!list_empty(&coord->hosts))
		host_free(list_first(&coord->hosts, struct host, node));
}
