/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_COORD_STORE_H
#define COORDINATOR_COORD_STORE_H

#include "proto/wire_ctl.h"

/*
 * What the coordinator remembers over a restart: hosts, VMs with their placement, desired and last
 * known state, and the audit log. SQLite; each call is one transaction and is durable when it
 * returns. Blocks for a disk write. Errors are logged where they arise.
 */
struct store;

/* Opens or creates DIR/coordinator.db. ERR_VERSION: written by a later release. */
MUST_CHECK int store_open(const char *dir, struct store **out, char why[256]);
void store_close(struct store *store);

MUST_CHECK int store_vm_put(
	struct store *store, const struct ctl_vm_info *vm, bool desired_running);
MUST_CHECK int store_vm_remove(struct store *store, const char *name);
/* fn for every VM; it may take over the contents of *vm by zeroing it. */
MUST_CHECK int store_vm_each(struct store *store,
	void (*fn)(void *arg, struct ctl_vm_info *vm, bool desired_running), void *arg);
/* A VM other than `name` that has this disk image as a persistent one; false: none. */
bool store_disk_user(struct store *store, const char *name, const char *path, char user[64]);

MUST_CHECK int store_host_put(struct store *store, const struct ctl_host_info *host);
MUST_CHECK int store_host_remove(struct store *store, const char *name);
MUST_CHECK int store_host_each(
	struct store *store, void (*fn)(void *arg, struct ctl_host_info *host), void *arg);

void store_audit_add(struct store *store, const struct ctl_audit_entry *entry);
/* The newest `last` entries, oldest first. */
MUST_CHECK int store_audit_list(struct store *store, uint32_t last, struct ctl_audit_list *out);

#endif
