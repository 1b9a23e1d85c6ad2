/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/lib/slice_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "proto/ctl_unix.h"

struct driven {
	struct slice_driver *d;
	unsigned index;
	int pid, pidfd; /* 0 and -1: ended */
	struct loop_fd *watch;
	struct ctl_conn *conn;
	bool ready;
	struct ctl_slice_status status;
};

struct slice_driver {
	struct loop *loop;
	struct slice_driver_cfg cfg;
	struct ctl_slice_part parts[SLICE_MAX];
	uint8_t incarnation[16], key[32];
	struct driven slices[SLICE_MAX];
	struct loop_timer *timer;
	bool timed_out;
};

/* One request that is waited for. */
struct ask {
	bool done;
	int err;
	struct ctl_slice_status *status;
	struct ctl_slice_stats *stats;
};

static void on_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct ask *a = arg;

	a->done = true;
	a->err = err;
	if (err != 0)
		fprintf(stderr, "slice-driver: %s\n", fault->text);
	else if (a->stats != NULL)
		a->err = ctl_msg_copy(CTL_MSG_slice_stats, a->stats, msg);
	else if (a->status != NULL)
		*a->status = *(const struct ctl_slice_status *)msg;
}

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct driven *s = arg;

	s->ready = true;
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	ctl_conn_refuse(conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL, "not served");
}

static void forgotten(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct driven *s = arg;
	const struct ctl_slice_status *status = rx->msg;

	if (rx->type != CTL_SLICE_EVENT || status->state == CTL_SLICE_NEW)
		return;
	s->status = *status;
	if (status->state == CTL_SLICE_STOPPED &&
		ctl_conn_request(
			conn, CTL_SLICE_FORGET, &status->ref, NULL, 0, 0, forgotten, s, NULL) != 0)
		kill(s->pid, SIGKILL);
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct driven *s = arg;

	ctl_conn_destroy(conn);
	s->conn = NULL;
	s->ready = false;
}

static const struct ctl_conn_ops conn_ops = {
	.ready = on_ready,
	.request = on_request,
	.event = on_event,
	.down = on_down,
};

static void on_exit_event(void *arg, int fd, unsigned ready)
{
	struct driven *s = arg;

	loop_fd_remove(s->watch);
	waitpid(s->pid, NULL, 0);
	close(s->pidfd);
	s->pidfd = -1;
	s->pid = 0;
	if (s->status.state == CTL_SLICE_STOPPED)
		return;
	s->status.state = CTL_SLICE_STOPPED;
	s->status.reason = CTL_STOP_LOST;
	snprintf(s->status.text, sizeof(s->status.text), "slice %u ended without a word", s->index);
}

static int spawn(struct driven *s, int listen_fd)
{
	const struct slice_driver_cfg *cfg = &s->d->cfg;
	char log[512];
	char *argv[] = {(char *)cfg->program, (char *)"--ctl-fd", (char *)"3", (char *)"--log",
		(char *)(cfg->log == NULL ? "info" : cfg->log), NULL};
	posix_spawn_file_actions_t fa;
	pid_t pid = 0;

	snprintf(log, sizeof(log), "%s/slice%u.log", cfg->dir, s->index);
	if (posix_spawn_file_actions_init(&fa) != 0)
		return ERR_NO_MEMORY;
	int rc = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	rc = rc != 0 ? rc
		     : posix_spawn_file_actions_addopen(
			       &fa, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&fa, 1, 2);
	rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&fa, listen_fd, 3);
	rc = rc != 0 ? rc : posix_spawn(&pid, cfg->program, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (rc != 0)
		return err_from_errno(rc);
	s->pid = pid;
	return 0;
}

static int launch(struct driven *s)
{
	struct ctl_conn_params params = {.connector = true,
		.hello = {.program = "slice-driver", .version = PACKAGE_VERSION}};
	struct ctl_io *io;
	char path[108];
	int fd, pid;

	snprintf(path, sizeof(path), "%.90s/ctl%u", s->d->cfg.dir, s->index);
	unlink(path);
	int err = ctl_unix_listen(path, &fd);
	if (err == 0) {
		err = spawn(s, fd);
		close(fd);
	}
	if (err == 0)
		err = ctl_unix_connect(path, &io, &pid);
	if (err == 0)
		err = ctl_conn_create(s->d->loop, io, &params, &conn_ops, s, &s->conn);
	unlink(path);
	if (err != 0)
		return err;
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (s->pidfd < 0)
		return ERR_KERNEL;
	return loop_fd_add(s->d->loop, s->pidfd, LOOP_READ, on_exit_event, s, &s->watch);
}

static void on_timer(void *arg)
{
	struct slice_driver *d = arg;

	d->timed_out = true;
}

static void share(struct slice_driver *d)
{
	const struct ctl_vm_spec *vm = &d->cfg.vm;
	uint32_t vcpu = 0;

	for (unsigned i = 0; i < d->cfg.slices; i++) {
		struct ctl_slice_part *p = &d->parts[i];
		p->slice = i;
		snprintf(p->host, sizeof(p->host), "host%u", i);
		p->vcpus = vm->vcpus / d->cfg.slices + (i < vm->vcpus % d->cfg.slices ? 1 : 0);
		p->vcpu_first = vcpu;
		p->memory_bytes = vm->memory_bytes / d->cfg.slices;
		vcpu += p->vcpus;
	}
}

int slice_driver_create(
	struct loop *loop, const struct slice_driver_cfg *cfg, struct slice_driver **out)
{
	struct slice_driver *d = calloc(1, sizeof(*d));
	int err;

	if (d == NULL)
		return ERR_NO_MEMORY;
	d->loop = loop;
	d->cfg = *cfg;
	for (unsigned i = 0; i < SLICE_MAX; i++)
		d->slices[i] = (struct driven){.d = d, .index = i, .pidfd = -1};
	share(d);
	rng_system(d->incarnation, sizeof(d->incarnation));
	rng_system(d->key, sizeof(d->key));
	err = loop_timer_create(loop, on_timer, d, &d->timer);
	for (unsigned i = 0; err == 0 && i < cfg->slices; i++) {
		err = launch(&d->slices[i]);
		while (err == 0 && d->slices[i].pid != 0 && !d->slices[i].ready)
			loop_once(loop, -1);
		if (err == 0 && d->slices[i].pid == 0)
			err = ERR_PEER_DOWN;
	}
	if (err == 0) {
		*out = d;
		return 0;
	}
	fprintf(stderr, "slice-driver: cannot start %s: %s; see the logs in %s\n", cfg->program,
		err_text(err), cfg->dir);
	slice_driver_destroy(d);
	return err;
}

void slice_driver_destroy(struct slice_driver *d)
{
	for (unsigned i = 0; i < d->cfg.slices; i++) {
		struct driven *s = &d->slices[i];
		ctl_conn_destroy(s->conn);
		if (s->pid == 0)
			continue;
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
		if (s->watch != NULL)
			loop_fd_remove(s->watch);
		if (s->pidfd >= 0)
			close(s->pidfd);
	}
	if (d->timer != NULL)
		loop_timer_destroy(d->timer);
	free(d);
}

/* --- specification --------------------------------------------------------------------------- */

struct fds {
	struct ctl_fd_tag tags[CTL_FDS_MAX];
	int fd[CTL_FDS_MAX];
	unsigned n;
};

static int add_file(struct fds *f, const char *name, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0 || f->n == CTL_FDS_MAX) {
		fprintf(stderr, "slice-driver: %s: %s\n", path, strerror(errno));
		return ERR_IO;
	}
	snprintf(f->tags[f->n].name, sizeof(f->tags[0].name), "%s", name);
	f->fd[f->n++] = fd;
	return 0;
}

static int open_all(const struct slice_driver *d, unsigned i, struct fds *f)
{
	const struct ctl_vm_spec *vm = &d->cfg.vm;
	char name[16];
	int err = 0;

	if (i == 0 && vm->kernel[0] != '\0')
		err = add_file(f, "kernel", vm->kernel, O_RDONLY);
	if (i == 0 && err == 0 && vm->initrd[0] != '\0')
		err = add_file(f, "initrd", vm->initrd, O_RDONLY);
	for (uint32_t j = 0; i == 0 && err == 0 && j < vm->n_disks; j++) {
		snprintf(name, sizeof(name), "disk%u", j);
		err = add_file(
			f, name, vm->disks[j].path, vm->disks[j].nonpersistent ? O_RDONLY : O_RDWR);
	}
	if (err == 0 && strcmp(vm->uffd, "user-only") != 0 &&
		access("/dev/userfaultfd", R_OK | W_OK) == 0)
		err = add_file(f, "userfaultfd", "/dev/userfaultfd", O_RDWR);
	return err;
}

static void fill(
	const struct slice_driver *d, unsigned i, struct fds *f, struct ctl_slice_spec *out)
{
	const struct ctl_vm_spec *vm = &d->cfg.vm;

	memset(out, 0, sizeof(*out));
	snprintf(out->vm, sizeof(out->vm), "%s", vm->name[0] == '\0' ? "driven" : vm->name);
	memcpy(out->incarnation, d->incarnation, sizeof(out->incarnation));
	memcpy(out->key, d->key, sizeof(out->key));
	out->slice = i;
	out->slices = (struct ctl_slice_part *)d->parts;
	out->n_slices = d->cfg.slices;
	out->vcpus = vm->vcpus;
	out->memory_bytes = vm->memory_bytes;
	out->cache_bytes = vm->cache_bytes;
	snprintf(out->fabric_bind, sizeof(out->fabric_bind), "127.0.0.1:0");
	snprintf(out->provider, sizeof(out->provider), "%s", vm->provider);
	out->unsealed = vm->unsealed;
	snprintf(out->append, sizeof(out->append), "%s", vm->append);
	snprintf(out->net, sizeof(out->net), "%s", i == 0 ? vm->net : "none");
	snprintf(out->uffd, sizeof(out->uffd), "%s", vm->uffd[0] == '\0' ? "auto" : vm->uffd);
	snprintf(out->cpu, sizeof(out->cpu), "%s", vm->cpu);
	snprintf(out->engine, sizeof(out->engine), "%s",
		vm->engine[0] == '\0' ? "rv64" : vm->engine);
	snprintf(out->run_dir, sizeof(out->run_dir), "%s", d->cfg.dir);
	out->lease_ms = vm->lease_ms == 0 ? 5000 : vm->lease_ms;
	out->disks = i == 0 ? vm->disks : NULL;
	out->n_disks = i == 0 ? vm->n_disks : 0;
	out->options = vm->options;
	out->n_options = vm->n_options;
	for (uint32_t j = 0; j < vm->n_clocks; j++) {
		if (vm->clocks[j].slice != i)
			continue;
		out->clock_offset_ns = vm->clocks[j].offset_ns;
		out->clock_ppm = vm->clocks[j].ppm;
	}
	out->fds = f->tags;
	out->n_fds = f->n;
}

/* Ask every slice from `first` on at once and wait for all answers. */
static int ask_all(struct slice_driver *d, uint16_t type, unsigned first, unsigned end)
{
	struct ask asks[SLICE_MAX] = {{.done = false}};
	struct ctl_slice_mesh mesh = {.n_peers = d->cfg.slices};
	int err = 0;

	mesh.peers = calloc(d->cfg.slices, sizeof(*mesh.peers));
	CHECK(mesh.peers != NULL);
	for (unsigned i = 0; i < d->cfg.slices; i++) {
		mesh.peers[i].slice = i;
		snprintf(mesh.peers[i].host, sizeof(mesh.peers[i].host), "host%u", i);
		snprintf(mesh.peers[i].address, sizeof(mesh.peers[i].address), "%s",
			d->slices[i].status.fabric);
		snprintf(mesh.peers[i].beat, sizeof(mesh.peers[i].beat), "%s",
			d->slices[i].status.beat);
	}
	for (unsigned i = first; err == 0 && i < end; i++) {
		struct driven *s = &d->slices[i];
		struct ctl_slice_spec spec;
		struct fds f = {.n = 0};
		const void *msg = &s->status.ref;

		asks[i].status = &s->status;
		mesh.ref = s->status.ref;
		if (type == CTL_SLICE_PREPARE) {
			err = open_all(d, i, &f);
			fill(d, i, &f, &spec);
			msg = &spec;
		} else if (type == CTL_SLICE_CONNECT) {
			msg = &mesh;
		}
		if (err == 0)
			err = s->conn == NULL ? ERR_PEER_DOWN
					      : ctl_conn_request(s->conn, type, msg, f.fd, f.n, 0,
							on_reply, &asks[i], NULL);
		for (unsigned j = 0; j < f.n; j++)
			close(f.fd[j]);
		asks[i].done = err != 0;
	}
	for (unsigned i = first; i < end; i++) {
		while (asks[i].status != NULL && !asks[i].done)
			loop_once(d->loop, -1);
		err = err == 0 ? asks[i].err : err;
	}
	free(mesh.peers);
	return err;
}

int slice_driver_start(struct slice_driver *d)
{
	unsigned n = d->cfg.slices;
	int err = ask_all(d, CTL_SLICE_PREPARE, 0, n);

	err = err != 0 ? err : ask_all(d, CTL_SLICE_CONNECT, 0, n);
	err = err != 0 ? err : ask_all(d, CTL_SLICE_START, 1, n);
	return err != 0 ? err : ask_all(d, CTL_SLICE_START, 0, 1);
}

static void stop_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	/* The event says it too. */
}

void slice_driver_stop(struct slice_driver *d, enum ctl_stop_reason reason)
{
	for (unsigned i = 0; i < d->cfg.slices; i++) {
		struct driven *s = &d->slices[i];
		struct ctl_slice_stop msg = {
			.ref = s->status.ref, .reason = reason, .text = "stopped by the driver"};
		if (s->status.ref.vm[0] == '\0')
			snprintf(msg.ref.vm, sizeof(msg.ref.vm), "none");
		if (s->conn != NULL && ctl_conn_request(s->conn, CTL_SLICE_STOP, &msg, NULL, 0, 0,
					       stop_reply, s, NULL) != 0)
			kill(s->pid, SIGKILL);
	}
}

bool slice_driver_wait(struct slice_driver *d, uint32_t timeout_ms)
{
	d->timed_out = false;
	if (timeout_ms != 0)
		loop_timer_arm(d->timer, (uint64_t)timeout_ms * 1000000);
	for (;;) {
		bool any = false;
		for (unsigned i = 0; i < d->cfg.slices; i++)
			any |= d->slices[i].pid != 0;
		if (!any || d->timed_out) {
			loop_timer_disarm(d->timer);
			return !any;
		}
		loop_once(d->loop, -1);
	}
}

const struct ctl_slice_status *slice_driver_status(const struct slice_driver *d, unsigned i)
{
	return &d->slices[i].status;
}

int slice_driver_pid(const struct slice_driver *d, unsigned i)
{
	return d->slices[i].pid;
}

struct ctl_conn *slice_driver_conn(const struct slice_driver *d, unsigned i)
{
	return d->slices[i].conn;
}

bool slice_driver_stat(struct slice_driver *d, unsigned i, const char *name, int64_t *value)
{
	struct ctl_slice_stats stats = {.n_stats = 0};
	struct ask a = {.stats = &stats};
	struct driven *s = &d->slices[i];
	bool found = false;

	if (s->conn == NULL || ctl_conn_request(s->conn, CTL_SLICE_QUERY, &s->status.ref, NULL, 0,
				       UINT64_C(5000000000), on_reply, &a, NULL) != 0)
		return false;
	while (!a.done)
		loop_once(d->loop, -1);
	for (uint32_t j = 0; a.err == 0 && j < stats.n_stats; j++) {
		if (strcmp(stats.stats[j].name, name) != 0)
			continue;
		*value = stats.stats[j].value;
		found = true;
	}
	ctl_msg_fini(CTL_MSG_slice_stats, &stats);
	return found;
}
