/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/agent.h"
#include "proto/ctl_unix.h"

#define CTL_FD 3 /* what the slice finds its control socket at */

/* --- the process ----------------------------------------------------------------------------- */

static int spawn(struct agent_slice *s, int listen_fd)
{
	const struct agent_cfg *cfg = &s->agent->cfg;
	char *argv[] = {(char *)cfg->slice_program, (char *)"--ctl-fd", (char *)"3",
		(char *)"--log", (char *)cfg->slice_log, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	char log[512];
	sigset_t none, all;
	pid_t pid = 0;

	sigemptyset(&none);
	sigfillset(&all);
	agent_dir_log(s->agent, &s->status.ref, log);
	if (posix_spawn_file_actions_init(&fa) != 0)
		return ERR_NO_MEMORY;
	int rc = posix_spawnattr_init(&attr);
	if (rc != 0)
		goto undo_fa;
	/* A session of its own: neither a signal to our group nor our end reaches it. */
	rc = posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = rc != 0 ? rc : posix_spawnattr_setsigmask(&attr, &none);
	rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(&attr, &all);
	rc = rc != 0 ? rc : posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	rc = rc != 0 ? rc
		     : posix_spawn_file_actions_addopen(
			       &fa, 1, log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&fa, 1, 2);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&fa, listen_fd, CTL_FD);
	rc = rc != 0 ? rc : posix_spawn(&pid, cfg->slice_program, &fa, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
undo_fa:
	posix_spawn_file_actions_destroy(&fa);
	if (rc != 0)
		return err_from_errno(rc);
	s->pid = pid;
	s->child = true;
	return 0;
}

/* One uid per VM, the same one on every host as long as nobody else on this host has it. */
static int pick_uid(struct agent *agent, const struct ctl_slice_spec *spec, uint32_t *out)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	*out = 0;
	if (agent->cfg.uids == 0 || geteuid() != 0)
		return 0;
	for (unsigned i = 0; i < sizeof(spec->incarnation); i++)
		hash = (hash ^ spec->incarnation[i]) * 16777619u;
	for (uint32_t i = 0; i < agent->cfg.uids; i++) {
		uint32_t uid =
			agent->cfg.uid_first + (uint32_t)(((uint64_t)hash + i) % agent->cfg.uids);
		bool taken = false;
		list_foreach(it, &agent->slices)
		{
			const struct agent_slice *o = list_entry(it, struct agent_slice, node);
			taken |= o->uid == uid && strcmp(o->status.ref.vm, spec->vm) != 0;
		}
		if (!taken) {
			*out = uid;
			return 0;
		}
	}
	return ERR_FULL;
}

static uint64_t memory_admitted(const struct agent *agent)
{
	uint64_t sum = 0;

	list_foreach(it, &agent->slices) sum +=
		list_entry(it, struct agent_slice, node)->memory_bytes;
	return sum;
}

static uint64_t spec_memory(const struct ctl_slice_spec *spec)
{
	for (uint32_t i = 0; i < spec->n_slices; i++)
		if (spec->slices[i].slice == spec->slice)
			return spec->slices[i].memory_bytes;
	return 0;
}

struct refusal {
	int err;
	const char *hint;
	char text[512];
};

static int refuse(struct refusal *r, int err, const char *hint, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
static int refuse(struct refusal *r, int err, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	r->err = err;
	r->hint = hint;
	return err;
}

static int admit(struct agent *agent, const struct ctl_slice_spec *spec, struct refusal *r)
{
	const struct ctl_slice_ref ref = {.slice = spec->slice};
	struct ctl_slice_ref named = ref;
	uint64_t want = spec_memory(spec) + spec->cache_bytes, have = memory_admitted(agent);

	snprintf(named.vm, sizeof(named.vm), "%s", spec->vm);
	if (agent_slice_find_any(agent, &named) != NULL)
		return refuse(r, ERR_EXISTS, "stop the VM first", "slice %u of %s is on %s already",
			spec->slice, spec->vm, agent->name);
	if (want > agent->cfg.memory_bytes || have > agent->cfg.memory_bytes - want)
		return refuse(r, ERR_NO_MEMORY,
			"choose a smaller VM, or give the agent more with --memory",
			"%s has %llu MiB for guests, %llu are taken, %llu are wanted", agent->name,
			(unsigned long long)(agent->cfg.memory_bytes >> 20),
			(unsigned long long)(have >> 20), (unsigned long long)(want >> 20));
	return 0;
}

/* Directory, socket, process, connection. Undone by agent_slice_free() and agent_dir_remove(). */
static int build(struct agent_slice *s, const struct ctl_slice_ref *ref, struct refusal *r)
{
	char path[64];
	int listen_fd;
	int err = agent_dir_create(s, ref);

	if (err != 0)
		return refuse(
			r, err, "see --run-dir", "cannot make %.300s: %s", s->dir, err_text(err));
	agent_dir_socket(s, path);
	err = ctl_unix_listen(path, &listen_fd);
	if (err != 0) {
		refuse(r, err, "see --run-dir", "cannot make a socket in %.300s: %s", s->dir,
			err_text(err));
		goto undo_dir;
	}
	err = spawn(s, listen_fd);
	close(listen_fd);
	if (err != 0) {
		refuse(r, err, "see --slice-program", "cannot start %.300s: %s",
			s->agent->cfg.slice_program, err_text(err));
		goto undo_dir;
	}
	err = agent_slice_attach(s);
	if (err == 0)
		return 0;
	refuse(r, err, "see the agent's log", "cannot reach the new slice: %s", err_text(err));
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
undo_dir:
	agent_dir_remove(s);
	return err;
}

void agent_launch(struct agent *agent, const struct ctl_rx *rx)
{
	const struct ctl_slice_spec *spec = rx->msg;
	struct agent_slice *s = NULL;
	struct refusal r = {.err = 0};
	struct ctl_slice_ref ref = {.slice = spec->slice};
	uint32_t uid = 0;

	snprintf(ref.vm, sizeof(ref.vm), "%s", spec->vm);
	memcpy(ref.incarnation, spec->incarnation, sizeof(ref.incarnation));
	if (admit(agent, spec, &r) != 0)
		goto refused;
	if (pick_uid(agent, spec, &uid) != 0) {
		refuse(&r, ERR_FULL, "widen --uids", "all %u uids for VMs are taken",
			agent->cfg.uids);
		goto refused;
	}
	if (agent_slice_new(agent, &s) != 0)
		goto no_memory;
	s->status.ref = ref;
	s->status.state = CTL_SLICE_NEW;
	s->uid = uid;
	s->memory_bytes = spec_memory(spec) + spec->cache_bytes;
	s->spec = calloc(1, sizeof(*s->spec));
	if (s->spec == NULL || ctl_msg_copy(CTL_MSG_slice_spec, s->spec, spec) != 0)
		goto no_memory;
	s->prepare_id = rx->id;
	s->prepare_serial = agent->link_serial;
	if (build(s, &ref, &r) == 0) {
		log_info(agent, "vm %s: slice %u started, pid %d", ref.vm, ref.slice, s->pid);
		return;
	}
	goto refused;
no_memory:
	refuse(&r, ERR_NO_MEMORY, NULL, "out of memory in the agent");
refused:
	log_warn(agent, "vm %s: slice %u refused: %s", ref.vm, ref.slice, r.text);
	ctl_conn_refuse(agent->link, rx->type, rx->id, r.err, r.hint, "%s", r.text);
	if (s != NULL)
		agent_slice_free(s);
}

/* --- its specification ----------------------------------------------------------------------- */

struct fds {
	struct ctl_fd_tag tags[CTL_FDS_MAX];
	int fd[CTL_FDS_MAX];
	unsigned n;
};

static void fds_close(struct fds *f)
{
	for (unsigned i = 0; i < f->n; i++)
		close(f->fd[i]);
}

static int fds_add(struct fds *f, const char *name, int fd)
{
	if (f->n == CTL_FDS_MAX) {
		close(fd);
		return ERR_FULL;
	}
	snprintf(f->tags[f->n].name, sizeof(f->tags[0].name), "%s", name);
	f->fd[f->n++] = fd;
	return 0;
}

static int open_file(
	struct fds *f, const char *name, const char *path, int flags, struct refusal *r)
{
	struct stat st;

	if (path[0] != '/')
		return refuse(r, ERR_INVAL, "write an absolute path", "%s '%.300s'", name, path);
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return refuse(r, err_from_errno(errno), "the path is one on the host of slice 0",
			"%s %.300s: %s", name, path, strerror(errno));
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		close(fd);
		return refuse(r, ERR_INVAL, NULL, "%s %.300s is neither a file nor a block device",
			name, path);
	}
	/* Held by the description, so by the slice, until it ends: no two VMs write one image. */
	if (strncmp(name, "disk", 4) == 0 &&
		flock(fd, (flags == O_RDWR ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		close(fd);
		return refuse(r, ERR_STATE, "stop the other VM, or add the disk as nonpersistent",
			"%s %.300s is in use by another VM", name, path);
	}
	return fds_add(f, name, fd);
}

static int open_files(const struct ctl_slice_spec *spec, struct fds *f, struct refusal *r)
{
	char name[32];
	int err = 0;

	if (spec->kernel[0] != '\0')
		err = open_file(f, "kernel", spec->kernel, O_RDONLY, r);
	if (err == 0 && spec->initrd[0] != '\0')
		err = open_file(f, "initrd", spec->initrd, O_RDONLY, r);
	for (uint32_t i = 0; err == 0 && i < spec->n_disks; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		err = open_file(f, name, spec->disks[i].path,
			spec->disks[i].nonpersistent ? O_RDONLY : O_RDWR, r);
	}
	return err;
}

static int open_device(
	struct fds *f, const char *name, const char *path, bool needed, struct refusal *r)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fds_add(f, name, fd);
	if (!needed)
		return 0; /* the slice finds another way, or says why not */
	return refuse(r, err_from_errno(errno), "run the agent as root, or choose --engine rv64",
		"%s: %s", path, strerror(errno));
}

static void prepare_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct agent_slice *s = arg;
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	struct agent *agent = s->agent;

	if (s->spec == NULL)
		return; /* answered by the slice's death */
	if (err != 0) {
		agent_launch_fail(s, err, fault->text);
		return;
	}
	ctl_msg_fini(CTL_MSG_slice_spec, s->spec);
	free(s->spec);
	s->spec = NULL;
	struct ctl_slice_ref ref = s->status.ref;
	s->status = *(const struct ctl_slice_status *)msg;
	s->status.ref = ref;
	s->status.pid = (uint64_t)s->pid;
	if (agent->link_ready && agent->link_serial == s->prepare_serial)
		ctl_conn_reply(agent->link, CTL_SLICE_PREPARE, s->prepare_id, &s->status);
}

void agent_launch_prepare(struct agent_slice *s)
{
	struct ctl_slice_spec *spec = s->spec;
	struct refusal r = {.err = 0};
	struct fds f = {.n = 0};
	char text[640];

	int err = open_files(spec, &f, &r);
	if (err == 0 && strcmp(spec->uffd, "user-only") != 0)
		err = open_device(&f, "userfaultfd", "/dev/userfaultfd", false, &r);
	if (err == 0 && strncmp(spec->engine, "kvm", 3) == 0)
		err = open_device(&f, "kvm", "/dev/kvm", true, &r);
	if (err != 0)
		goto failed;
	/* The copy is ours to complete; its own descriptor names, if a coordinator sent any, mean
	 * nothing. */
	struct ctl_slice_spec full = *spec;
	full.fds = f.tags;
	full.n_fds = f.n;
	full.uid = full.gid = s->uid;
	/* Any port: each slice of this host has its own, and tells the others which. */
	snprintf(full.fabric_bind, sizeof(full.fabric_bind),
		strchr(s->agent->cfg.fabric, ':') != NULL ? "[%s]:0" : "%s:0",
		s->agent->cfg.fabric);
	snprintf(full.run_dir, sizeof(full.run_dir), "%s", s->dir);
	err = ctl_conn_request(
		s->conn, CTL_SLICE_PREPARE, &full, f.fd, f.n, 0, prepare_reply, s, NULL);
	if (err == 0) {
		fds_close(&f); /* the queue has its own */
		return;
	}
	refuse(&r, err, NULL, "cannot pass the specification on: %s", err_text(err));
failed:
	fds_close(&f);
	snprintf(text, sizeof(text), "%s%s%s", r.text, r.hint == NULL ? "" : "; ",
		r.hint == NULL ? "" : r.hint);
	agent_launch_fail(s, err, text);
}

void agent_launch_fail(struct agent_slice *s, int err, const char *text)
{
	struct agent *agent = s->agent;

	log_warn(agent, "vm %s: slice %u not prepared: %s", s->status.ref.vm, s->status.ref.slice,
		text);
	ctl_msg_fini(CTL_MSG_slice_spec, s->spec);
	free(s->spec);
	s->spec = NULL;
	if (agent->link_ready && agent->link_serial == s->prepare_serial)
		ctl_conn_refuse(agent->link, CTL_SLICE_PREPARE, s->prepare_id, err, NULL, "%.*s",
			400, text);
	s->forget = true; /* the coordinator has its answer: no further word about this slice */
	agent_slice_kill(s);
}
