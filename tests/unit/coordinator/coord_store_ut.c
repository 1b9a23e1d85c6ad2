/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coord_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/lib/ut.h"

static char dir[64];
static struct store *store;

static void before(void)
{
	char why[256];

	snprintf(dir, sizeof(dir), "%s", "/tmp/mb-store-XXXXXX");
	UT_CHECK(mkdtemp(dir) != NULL);
	UT_OK(store_open(dir, &store, why));
}

static void after(void)
{
	static const char *const names[] = {
		"coordinator.db", "coordinator.db-wal", "coordinator.db-shm"};
	char path[128];

	store_close(store);
	store = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

UT_SUITE_WITH(coord_store, before, after);

static void reopen(void)
{
	char why[256];

	store_close(store);
	UT_OK(store_open(dir, &store, why));
}

struct seen {
	unsigned n;
	struct ctl_vm_info vm;
	bool desired;
};

static void see(void *arg, struct ctl_vm_info *vm, bool desired)
{
	struct seen *s = arg;

	ctl_msg_fini(CTL_MSG_vm_info, &s->vm);
	s->n++;
	s->vm = *vm;
	s->desired = desired;
	memset(vm, 0, sizeof(*vm));
}

static void put(const char *name, const char *disk, bool nonpersistent, uint32_t state)
{
	struct ctl_vm_info vm = {.state = state, .text = "why"};
	struct ctl_disk d = {.nonpersistent = nonpersistent};

	snprintf(vm.spec.name, sizeof(vm.spec.name), "%s", name);
	snprintf(d.path, sizeof(d.path), "%s", disk);
	vm.spec.disks = &d;
	vm.spec.n_disks = 1;
	UT_OK(store_vm_put(store, &vm, state == CTL_VM_RUNNING));
}

UT_TEST(vms_survive)
{
	struct seen s = {.n = 0};

	put("x", "/d", false, CTL_VM_CREATED);
	put("x", "/d", false, CTL_VM_RUNNING);
	reopen();
	UT_OK(store_vm_each(store, see, &s));
	UT_EQ(s.n, 1);
	UT_EQ_STR(s.vm.spec.name, "x");
	UT_EQ(s.vm.state, CTL_VM_RUNNING);
	UT_EQ_STR(s.vm.text, "why");
	UT_EQ(s.vm.spec.n_disks, 1);
	UT_EQ_STR(s.vm.spec.disks[0].path, "/d");
	UT_CHECK(s.desired);
	UT_OK(store_vm_remove(store, "x"));
	s.n = 0;
	UT_OK(store_vm_each(store, see, &s));
	UT_EQ(s.n, 0);
	ctl_msg_fini(CTL_MSG_vm_info, &s.vm);
}

UT_TEST(disk_users)
{
	char user[64];

	put("x", "/d", false, CTL_VM_CREATED);
	put("y", "/base", true, CTL_VM_CREATED);
	UT_CHECK(store_disk_user(store, "z", "/d", user));
	UT_EQ_STR(user, "x");
	UT_CHECK(!store_disk_user(store, "x", "/d", user));
	UT_CHECK(!store_disk_user(store, "z", "/base", user)); /* only read there */
	UT_OK(store_vm_remove(store, "x"));
	UT_CHECK(!store_disk_user(store, "z", "/d", user));
}

static void see_host(void *arg, struct ctl_host_info *host)
{
	unsigned *cpus = arg;

	*cpus += host->cpus;
}

UT_TEST(hosts)
{
	struct ctl_host_info h = {.name = "a", .cpus = 4};
	unsigned cpus = 0;

	UT_OK(store_host_put(store, &h));
	h.cpus = 8;
	UT_OK(store_host_put(store, &h));
	reopen();
	UT_OK(store_host_each(store, see_host, &cpus));
	UT_EQ(cpus, 8);
	UT_OK(store_host_remove(store, "a"));
	cpus = 0;
	UT_OK(store_host_each(store, see_host, &cpus));
	UT_EQ(cpus, 0);
}

UT_TEST(audit)
{
	struct ctl_audit_entry e = {.who = "admin", .role = "admin", .what = "VM_START"};
	struct ctl_audit_list list;

	for (uint64_t i = 1; i <= 5; i++) {
		e.unix_ms = i;
		store_audit_add(store, &e);
	}
	UT_OK(store_audit_list(store, 3, &list));
	UT_EQ(list.n_entries, 3);
	UT_EQ(list.entries[0].unix_ms, 3);
	UT_EQ(list.entries[2].unix_ms, 5);
	UT_EQ_STR(list.entries[2].what, "VM_START");
	ctl_msg_fini(CTL_MSG_audit_list, &list);
}

UT_TEST(file_is_private)
{
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "%s/coordinator.db", dir);
	UT_CHECK(stat(path, &st) == 0 && (st.st_mode & 077) == 0);
}

UT_TEST(later_format_is_refused)
{
	char path[128], why[256];
	struct store *other;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/coordinator.db", dir);
	UT_EQ(sqlite3_open(path, &db), SQLITE_OK);
	UT_EQ(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	UT_ERR(store_open(dir, &other, why), VERSION);
	UT_HAS_STR(why, "later release");
	UT_ERR(store_open("/nowhere", &other, why), IO);
	UT_HAS_STR(why, "--state-dir");
}

/* One damaged entry does not hide the others. */
UT_TEST(damage)
{
	struct seen s = {.n = 0};
	char path[128];
	sqlite3 *db;

	put("x", "/d", false, CTL_VM_CREATED);
	put("y", "/e", false, CTL_VM_CREATED);
	snprintf(path, sizeof(path), "%s/coordinator.db", dir);
	UT_EQ(sqlite3_open(path, &db), SQLITE_OK);
	UT_EQ(sqlite3_exec(db, "UPDATE vms SET info = x'ff' WHERE name = 'x'", NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	UT_OK(store_vm_each(store, see, &s));
	UT_EQ(s.n, 1);
	UT_EQ_STR(s.vm.spec.name, "y");
	ctl_msg_fini(CTL_MSG_vm_info, &s.vm);
}
