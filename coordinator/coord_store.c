/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coord_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/err.h"
#include "base/log.h"

#define SCHEMA_VERSION 1
#define AUDIT_KEEP     100000 /* entries */

struct store {
	sqlite3 *db;
};

/*
 * `info` is the whole VmInfo message; the columns beside it are what queries need. A new field of
 * the message thus needs no change of the schema.
 */
static const char schema[] =
	"BEGIN;"
	"CREATE TABLE IF NOT EXISTS vms (name TEXT PRIMARY KEY, state INTEGER NOT NULL, reason "
	"INTEGER NOT NULL,"
	" desired_running INTEGER NOT NULL, info BLOB NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS disks (vm TEXT NOT NULL REFERENCES vms(name) ON DELETE CASCADE,"
	" number INTEGER NOT NULL, path TEXT NOT NULL, nonpersistent INTEGER NOT NULL,"
	" PRIMARY KEY (vm, number)) STRICT;"
	"CREATE INDEX IF NOT EXISTS disks_path ON disks(path);"
	"CREATE TABLE IF NOT EXISTS hosts (name TEXT PRIMARY KEY, info BLOB NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY AUTOINCREMENT, unix_ms "
	"INTEGER NOT NULL,"
	" who TEXT NOT NULL, role TEXT NOT NULL, what TEXT NOT NULL, object TEXT NOT NULL, result "
	"TEXT NOT NULL)"
	" STRICT;"
	"PRAGMA user_version = 1;"
	"COMMIT;";

static int failed(struct store *s, const char *what)
{
	log_error(coord, "store: %s: %s", what, sqlite3_errmsg(s->db));
	return ERR_IO;
}

static int user_version(struct store *s)
{
	sqlite3_stmt *st;
	int v = -1;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return v;
}

int store_open(const char *dir, struct store **out, char why[256])
{
	struct store *s = calloc(1, sizeof(*s));
	char path[1100];
	int err = ERR_IO;

	if (s == NULL)
		return ERR_NO_MEMORY;
	snprintf(path, sizeof(path), "%s/coordinator.db", dir);
	mode_t old = umask(0077);
	int rc = sqlite3_open(path, &s->db);
	umask(old);
	if (rc != SQLITE_OK)
		goto undo;
	int v = user_version(s);
	if (v > SCHEMA_VERSION) {
		snprintf(why, 256,
			"%.150s was written by a later release (format %d); install that release",
			path, v);
		err = ERR_VERSION;
		goto undo_db;
	}
	sqlite3_busy_timeout(s->db, 2000);
	if (sqlite3_exec(s->db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
		    NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		goto undo;
	*out = s;
	return 0;
undo:
	snprintf(why, 256, "%.150s: %s; see --state-dir", path, sqlite3_errmsg(s->db));
undo_db:
	sqlite3_close(s->db);
	free(s);
	return err;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	sqlite3_close(s->db);
	free(s);
}

/* Run a statement that returns no rows. Bindings are given in order: 't' text, 'i' int64, 'b' blob
 * and its length. */
static int run(struct store *s, const char *sql, const char *kinds, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	va_start(ap, kinds);
	for (int i = 0; rc == SQLITE_OK && kinds[i] != '\0'; i++) {
		if (kinds[i] == 't') {
			rc = sqlite3_bind_text(
				st, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
		} else if (kinds[i] == 'i') {
			rc = sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
		} else {
			const void *p = va_arg(ap, const void *);
			rc = sqlite3_bind_blob(
				st, i + 1, p, (int)va_arg(ap, size_t), SQLITE_TRANSIENT);
		}
	}
	va_end(ap);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : failed(s, sql);
}

static int begin(struct store *s)
{
	return run(s, "BEGIN IMMEDIATE", "");
}

static int end(struct store *s, int err)
{
	if (err == 0)
		err = run(s, "COMMIT", "");
	if (err != 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int store_vm_put(struct store *s, const struct ctl_vm_info *vm, bool desired_running)
{
	const char *name = vm->spec.name;
	uint8_t *buf;
	size_t len;
	int err = ctl_msg_encode(CTL_MSG_vm_info, vm, CTL_PAYLOAD_MAX, &buf, &len);

	if (err != 0)
		return err;
	err = begin(s);
	if (err != 0)
		goto undo_buf;
	err = run(s,
		"INSERT INTO vms VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE SET "
		"state = ?2, reason = ?3,"
		" desired_running = ?4, info = ?5",
		"tiiib", name, (int64_t)vm->state, (int64_t)vm->reason, (int64_t)desired_running,
		buf, len);
	if (err == 0)
		err = run(s, "DELETE FROM disks WHERE vm = ?1", "t", name);
	for (uint32_t i = 0; err == 0 && i < vm->spec.n_disks; i++)
		err = run(s, "INSERT INTO disks VALUES (?1, ?2, ?3, ?4)", "titi", name, (int64_t)i,
			vm->spec.disks[i].path, (int64_t)vm->spec.disks[i].nonpersistent);
	err = end(s, err);
undo_buf:
	free(buf);
	return err;
}

int store_vm_remove(struct store *s, const char *name)
{
	return run(s, "DELETE FROM vms WHERE name = ?1", "t", name);
}

int store_vm_each(struct store *s,
	void (*fn)(void *arg, struct ctl_vm_info *vm, bool desired_running), void *arg)
{
	sqlite3_stmt *st;
	struct ctl_vm_info vm;
	int rc;

	if (sqlite3_prepare_v2(s->db, "SELECT info, desired_running, name FROM vms ORDER BY name",
		    -1, &st, NULL) != SQLITE_OK)
		return failed(s, "read VMs");
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (ctl_msg_decode(CTL_MSG_vm_info, sqlite3_column_blob(st, 0),
			    (size_t)sqlite3_column_bytes(st, 0), &vm) != 0) {
			log_error(coord, "store: the entry of VM %s is damaged, leaving it out",
				sqlite3_column_text(st, 2));
			continue;
		}
		fn(arg, &vm, sqlite3_column_int(st, 1) != 0);
		ctl_msg_fini(CTL_MSG_vm_info, &vm);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : failed(s, "read VMs");
}

bool store_disk_user(struct store *s, const char *name, const char *path, char user[64])
{
	sqlite3_stmt *st;
	bool found = false;

	if (sqlite3_prepare_v2(s->db,
		    "SELECT vm FROM disks WHERE path = ?1 AND vm <> ?2 AND nonpersistent = 0 LIMIT "
		    "1",
		    -1, &st, NULL) != SQLITE_OK)
		return false;
	if (sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC) == SQLITE_OK &&
		sqlite3_bind_text(st, 2, name, -1, SQLITE_STATIC) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW) {
		snprintf(user, 64, "%s", (const char *)sqlite3_column_text(st, 0));
		found = true;
	}
	sqlite3_finalize(st);
	return found;
}

int store_host_put(struct store *s, const struct ctl_host_info *host)
{
	uint8_t *buf;
	size_t len;
	int err = ctl_msg_encode(CTL_MSG_host_info, host, CTL_PAYLOAD_MAX, &buf, &len);

	if (err != 0)
		return err;
	err = run(s, "INSERT OR REPLACE INTO hosts VALUES (?1, ?2)", "tb", host->name, buf, len);
	free(buf);
	return err;
}

int store_host_remove(struct store *s, const char *name)
{
	return run(s, "DELETE FROM hosts WHERE name = ?1", "t", name);
}

int store_host_each(struct store *s, void (*fn)(void *arg, struct ctl_host_info *host), void *arg)
{
	sqlite3_stmt *st;
	struct ctl_host_info host;
	int rc;

	if (sqlite3_prepare_v2(s->db, "SELECT info FROM hosts ORDER BY name", -1, &st, NULL) !=
		SQLITE_OK)
		return failed(s, "read hosts");
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (ctl_msg_decode(CTL_MSG_host_info, sqlite3_column_blob(st, 0),
			    (size_t)sqlite3_column_bytes(st, 0), &host) != 0)
			continue; /* it will register again */
		fn(arg, &host);
		ctl_msg_fini(CTL_MSG_host_info, &host);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : failed(s, "read hosts");
}

void store_audit_add(struct store *s, const struct ctl_audit_entry *e)
{
	if (run(s,
		    "INSERT INTO audit (unix_ms, who, role, what, object, result) VALUES (?1, ?2, "
		    "?3, ?4, ?5, ?6)",
		    "ittttt", (int64_t)e->unix_ms, e->who, e->role, e->what, e->object,
		    e->result) != 0)
		return;
	if (sqlite3_last_insert_rowid(s->db) % 1000 == 0)
		(void)!run(s,
			"DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?1",
			"i", (int64_t)AUDIT_KEEP);
}

static void column_text(sqlite3_stmt *st, int column, char *out, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(st, column);

	snprintf(out, cap, "%s", text == NULL ? "" : (const char *)text);
}

int store_audit_list(struct store *s, uint32_t last, struct ctl_audit_list *out)
{
	sqlite3_stmt *st;
	uint32_t cap = MIN(last, 1000u);

	memset(out, 0, sizeof(*out));
	out->entries = calloc(cap + 1, sizeof(*out->entries));
	if (out->entries == NULL)
		return ERR_NO_MEMORY;
	if (sqlite3_prepare_v2(s->db,
		    "SELECT unix_ms, who, role, what, object, result FROM (SELECT * FROM audit "
		    "ORDER BY number DESC"
		    " LIMIT ?1) ORDER BY number",
		    -1, &st, NULL) != SQLITE_OK ||
		sqlite3_bind_int64(st, 1, cap) != SQLITE_OK) {
		free(out->entries);
		return failed(s, "read the audit log");
	}
	while (sqlite3_step(st) == SQLITE_ROW && out->n_entries < cap) {
		struct ctl_audit_entry *e = &out->entries[out->n_entries++];
		e->unix_ms = (uint64_t)sqlite3_column_int64(st, 0);
		column_text(st, 1, e->who, sizeof(e->who));
		column_text(st, 2, e->role, sizeof(e->role));
		column_text(st, 3, e->what, sizeof(e->what));
		column_text(st, 4, e->object, sizeof(e->object));
		column_text(st, 5, e->result, sizeof(e->result));
	}
	sqlite3_finalize(st);
	return 0;
}
