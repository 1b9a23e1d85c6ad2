/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/agent.h"
#include "proto/ctl_unix.h"

#define RECONNECT_NS UINT64_C(500000000)
#define STOP_NS      UINT64_C(5000000000) /* patience with a slice that is to end */

int agent_slice_new(struct agent *agent, struct agent_slice **out)
{
	struct agent_slice *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(s, AGENT_SLICE_MAGIC);
	s->agent = agent;
	s->dir_fd = -1;
	s->pidfd = -1;
	list_init(&s->node);
	list_push_back(&agent->slices, &s->node);
	*out = s;
	return 0;
}

void agent_slice_free(struct agent_slice *s)
{
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	list_remove(&s->node);
	ctl_conn_destroy(s->conn);
	if (s->pid_watch != NULL)
		loop_fd_remove(s->pid_watch);
	if (s->pidfd >= 0)
		close(s->pidfd);
	if (s->timer != NULL)
		loop_timer_destroy(s->timer);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	if (s->spec != NULL)
		ctl_msg_fini(CTL_MSG_slice_spec, s->spec);
	free(s->spec);
	OBJ_FINI(s, AGENT_SLICE_MAGIC);
	free(s);
}

struct agent_slice *agent_slice_find_any(struct agent *agent, const struct ctl_slice_ref *ref)
{
	list_foreach(it, &agent->slices)
	{
		struct agent_slice *s = list_entry(it, struct agent_slice, node);
		if (s->status.ref.slice == ref->slice && strcmp(s->status.ref.vm, ref->vm) == 0)
			return s;
	}
	return NULL;
}

struct agent_slice *agent_slice_find(struct agent *agent, const struct ctl_slice_ref *ref)
{
	list_foreach(it, &agent->slices)
	{
		struct agent_slice *s = list_entry(it, struct agent_slice, node);
		if (s->status.ref.slice == ref->slice && strcmp(s->status.ref.vm, ref->vm) == 0 &&
			memcmp(s->status.ref.incarnation, ref->incarnation,
				sizeof(ref->incarnation)) == 0)
			return s;
	}
	return NULL;
}

static int open_pidfd(int pid)
{
	return (int)syscall(SYS_pidfd_open, pid,
		0); /* close-on-exec by itself; glibc 2.36 has no wrapper for all */
}

void agent_slice_kill(struct agent_slice *s)
{
	if (s->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

/* Give it time to end, then kill it. */
static void end_soon(struct agent_slice *s)
{
	if (s->pidfd < 0 || s->killing)
		return;
	s->killing = true;
	loop_timer_arm(s->timer, STOP_NS);
}

/* --- death ----------------------------------------------------------------------------------- */

static void exit_text(struct agent_slice *s, char *text, size_t cap)
{
	siginfo_t si = {.si_pid = 0};
	char log[512];

	agent_dir_log(s->agent, &s->status.ref, log);
	if (s->child && waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED | WNOHANG) == 0 &&
		si.si_pid != 0)
		snprintf(text, cap, "slice %u on %s %s %d; its log is %s", s->status.ref.slice,
			s->agent->name,
			si.si_code == CLD_EXITED ? "ended with status" : "was killed by signal",
			si.si_status, log);
	else
		snprintf(text, cap, "slice %u on %s has ended; its log is %s", s->status.ref.slice,
			s->agent->name, log);
}

static void forgotten(struct agent_slice *s)
{
	struct agent *agent = s->agent;
	struct ctl_nothing nothing;

	if (s->forget_serial != 0 && agent->link_ready && agent->link_serial == s->forget_serial)
		ctl_conn_reply(agent->link, CTL_SLICE_FORGET, s->forget_id, &nothing);
	agent_slice_free(s);
}

void agent_slice_gone(struct agent_slice *s, const char *text)
{
	struct agent *agent = s->agent;

	ctl_conn_destroy(s->conn);
	s->conn = NULL;
	s->conn_ready = false;
	if (s->timer != NULL)
		loop_timer_disarm(s->timer);
	if (s->status.state != CTL_SLICE_STOPPED && !s->forget) {
		s->status.state = CTL_SLICE_STOPPED;
		s->status.reason = CTL_STOP_LOST;
		snprintf(s->status.text, sizeof(s->status.text), "%s", text);
		log_warn(agent, "vm %s: %s", s->status.ref.vm, text);
		agent_link_event(agent, &s->status);
	}
	if (s->spec != NULL)
		agent_launch_fail(s, ERR_VM_STOPPED, text);
	if (s->adopting)
		agent_adopt_done(s);
	agent_dir_remove(s);
	if (s->forget)
		forgotten(s);
}

static void on_exit_event(void *arg, int fd, unsigned ready)
{
	struct agent_slice *s = arg;
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	char text[1024];

	exit_text(s, text, sizeof(text));
	loop_fd_remove(s->pid_watch);
	s->pid_watch = NULL;
	close(s->pidfd);
	s->pidfd = -1;
	agent_slice_gone(s, text);
}

/* --- connection ------------------------------------------------------------------------------ */

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct agent_slice *s = arg;
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);

	s->conn_ready = true;
	if (s->spec != NULL)
		agent_launch_prepare(s);
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	ctl_conn_refuse(conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL,
		"an agent serves no requests of slices");
}

static bool same_ref(const struct ctl_slice_ref *a, const struct ctl_slice_ref *b)
{
	return a->slice == b->slice && strcmp(a->vm, b->vm) == 0 &&
	       memcmp(a->incarnation, b->incarnation, sizeof(a->incarnation)) == 0;
}

/* A slice is less trusted than we are: it may speak about itself only. */
static void take_status(struct agent_slice *s, const struct ctl_slice_status *status)
{
	struct ctl_slice_ref ref = s->status.ref;

	s->status = *status;
	s->status.ref = ref;
	s->status.pid = (uint64_t)s->pid;
}

static void forget_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	/* Either way it ends, or is ended. */
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct agent_slice *s = arg;
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	const struct ctl_slice_status *status = rx->msg;

	if (rx->type != CTL_SLICE_EVENT)
		return;
	/* One without a specification has nothing to tell; found after a restart, nobody will ever
	 * give it one. */
	if (status->state == CTL_SLICE_NEW) {
		if (s->adopting)
			agent_slice_kill(s);
		return;
	}
	if (!same_ref(&status->ref, &s->status.ref)) {
		log_limited(agent, "vm %s: slice %u speaks for another", s->status.ref.vm,
			s->status.ref.slice);
		agent_slice_kill(s);
		return;
	}
	take_status(s, status);
	if (s->adopting)
		agent_adopt_done(s);
	else
		agent_link_event(s->agent, &s->status);
	if (status->state != CTL_SLICE_STOPPED)
		return;
	log_info(agent, "vm %s: slice %u stopped, %s: %s", s->status.ref.vm, s->status.ref.slice,
		ctl_stop_reason_text(s->status.reason), s->status.text);
	if (ctl_conn_request(
		    conn, CTL_SLICE_FORGET, &s->status.ref, NULL, 0, 0, forget_reply, s, NULL) != 0)
		agent_slice_kill(s);
	end_soon(s);
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct agent_slice *s = arg;
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);

	ctl_conn_destroy(conn);
	s->conn = NULL;
	s->conn_ready = false;
	/* When the process ends, pidfd says so; when it lives, we need a connection. */
	if (s->pidfd >= 0 && !s->killing)
		loop_timer_arm(s->timer, RECONNECT_NS);
}

static const struct ctl_conn_ops conn_ops = {
	.ready = on_ready,
	.request = on_request,
	.event = on_event,
	.down = on_down,
};

static int slice_connect(struct agent_slice *s, int *pid)
{
	struct ctl_conn_params params = {
		.connector = true,
		.hello = {.program = "mirrorball-agent", .version = PACKAGE_VERSION},
	};
	char path[64];
	struct ctl_io *io;

	agent_dir_socket(s, path);
	int err = ctl_unix_connect(path, &io, pid);
	if (err != 0)
		return err;
	return ctl_conn_create(s->agent->loop, io, &params, &conn_ops, s, &s->conn);
}

static void on_timer(void *arg)
{
	struct agent_slice *s = arg;
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	int pid;

	if (s->killing) {
		log_warn(agent, "vm %s: slice %u does not end, killing it", s->status.ref.vm,
			s->status.ref.slice);
		agent_slice_kill(s);
		return;
	}
	if (s->conn == NULL && slice_connect(s, &pid) != 0)
		loop_timer_arm(s->timer, RECONNECT_NS);
}

int agent_slice_attach(struct agent_slice *s)
{
	int pid;
	int err = s->timer != NULL ? 0 : loop_timer_create(s->agent->loop, on_timer, s, &s->timer);

	if (err == 0)
		err = slice_connect(s, &pid);
	if (err != 0)
		return err;
	if (s->pid == 0)
		s->pid = pid;
	s->pidfd = open_pidfd(s->pid);
	if (s->pidfd < 0)
		return errno == ESRCH ? ERR_CONNECT : err_from_errno(errno);
	s->status.pid = (uint64_t)s->pid;
	err = loop_fd_add(s->agent->loop, s->pidfd, LOOP_READ, on_exit_event, s, &s->pid_watch);
	if (err != 0) {
		close(s->pidfd);
		s->pidfd = -1;
	}
	return err;
}

/* --- requests of the coordinator ------------------------------------------------------------- */

/* An answer on its way back; it outlives the slice. */
struct pass {
	struct agent *agent;
	struct ctl_slice_ref ref;
	uint64_t serial;
	uint16_t type;
	uint32_t id;
};

static void pass_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct pass *p = arg;
	struct agent *agent = p->agent;
	struct agent_slice *s = agent_slice_find(agent, &p->ref);
	struct ctl_slice_status status;
	struct ctl_slice_stats stats;
	struct ctl_slice_pages pages;

	if (agent->link_ready && agent->link_serial == p->serial) {
		if (err != 0) {
			ctl_conn_refuse_fault(agent->link, p->type, p->id, fault);
		} else if (p->type == CTL_SLICE_QUERY) {
			stats = *(const struct ctl_slice_stats *)msg;
			stats.status.ref = p->ref;
			stats.status.pid = s == NULL ? 0 : (uint64_t)s->pid;
			ctl_conn_reply(agent->link, p->type, p->id, &stats);
		} else if (p->type == CTL_SLICE_PAGES) {
			pages = *(const struct ctl_slice_pages *)msg;
			pages.status.ref = p->ref;
			ctl_conn_reply(agent->link, p->type, p->id, &pages);
		} else {
			if (s != NULL)
				take_status(s, msg);
			status = s != NULL ? s->status : *(const struct ctl_slice_status *)msg;
			status.ref = p->ref;
			ctl_conn_reply(agent->link, p->type, p->id, &status);
		}
	}
	free(p);
}

static bool answer_dead(struct agent_slice *s, const struct ctl_rx *rx)
{
	struct ctl_slice_stats stats = {.status = s->status};
	struct ctl_slice_pages pages = {.status = s->status};

	if (s->status.state != CTL_SLICE_STOPPED)
		return false;
	if (rx->type == CTL_SLICE_STOP)
		ctl_conn_reply(s->agent->link, rx->type, rx->id, &s->status);
	else if (rx->type == CTL_SLICE_QUERY)
		ctl_conn_reply(s->agent->link, rx->type, rx->id, &stats);
	else if (rx->type == CTL_SLICE_PAGES)
		ctl_conn_reply(s->agent->link, rx->type, rx->id, &pages);
	else
		return false;
	return true;
}

void agent_slice_pass(struct agent_slice *s, const struct ctl_rx *rx)
{
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	struct agent *agent = s->agent;
	struct pass *p;

	if (answer_dead(s, rx))
		return;
	/* A slice that is asked to stop is stopped, whether it answers or not. */
	if (rx->type == CTL_SLICE_STOP)
		end_soon(s);
	p = calloc(1, sizeof(*p));
	int err = p == NULL ? ERR_NO_MEMORY : s->conn_ready ? 0 : ERR_STATE;
	if (err == 0) {
		*p = (struct pass){agent, s->status.ref, agent->link_serial, rx->type, rx->id};
		err = ctl_conn_request(s->conn, rx->type, rx->msg, NULL, 0, 0, pass_reply, p, NULL);
	}
	if (err == 0)
		return;
	free(p);
	ctl_conn_refuse(agent->link, rx->type, rx->id, err, "see the slice's log on the host",
		"slice %u on %s can not be asked: %s", s->status.ref.slice, agent->name,
		err_text(err));
}

void agent_slice_forget(struct agent_slice *s, const struct ctl_rx *rx)
{
	OBJ_CHECK(s, AGENT_SLICE_MAGIC);
	s->forget = true;
	s->forget_id = rx->id;
	s->forget_serial = s->agent->link_serial;
	if (s->pidfd < 0)
		forgotten(s);
	else if (s->status.state != CTL_SLICE_STOPPED)
		agent_slice_kill(s);
	else
		end_soon(s);
}
