/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "node-agent/slice_ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/sm.h"
#include "base/byte_fifo.h"
#include "node-agent/slice_exec.h"
#include "proto/ctl_conn.h"
#include "proto/ctl_unix.h"

#define SLICE_CTL_MAGIC 0x534c4354u /* SLCT */
#define LISTENER_MAGIC  0x534c434cu /* SLCL */
#define LINGER_NS       UINT64_C(30000000000)
#define BACKLOG_BYTES   (64u << 10)
#define LISTENERS_MAX   8u

/* The diagram stands in slice_ctl.h. States are those of the protocol. */
#define STOPPABLE (SM_NEXT(CTL_SLICE_STOPPING) | SM_NEXT(CTL_SLICE_STOPPED))
static const struct sm_state slice_states[] = {
	[CTL_SLICE_NONE] = {"none", SM_NEXT(CTL_SLICE_NEW)},
	[CTL_SLICE_NEW] = {"new", SM_NEXT(CTL_SLICE_PREPARED) | STOPPABLE},
	[CTL_SLICE_PREPARED] = {"prepared", SM_NEXT(CTL_SLICE_CONNECTED) | STOPPABLE},
	[CTL_SLICE_CONNECTED] = {"connected", SM_NEXT(CTL_SLICE_RUNNING) | STOPPABLE},
	[CTL_SLICE_RUNNING] = {"running", STOPPABLE},
	[CTL_SLICE_STOPPING] = {"stopping", SM_NEXT(CTL_SLICE_STOPPED)},
	[CTL_SLICE_STOPPED] = {"stopped", 0},
};
static const struct sm_table slice_table = {"slice", slice_states, ARRAY_SIZE(slice_states), NULL};

/* Somebody attached to the console. */
struct listener {
	uint32_t magic;
	struct list node;
	struct slice_ctl *ctl;
	struct ctl_stream *stream;
	struct byte_fifo in; /* for the guest */
};

/* A request that the slice works on. `type` 0: none. */
struct pending {
	uint16_t type;
	uint32_t id;
	bool orphan; /* the connection that asked is gone */
};

struct slice_ctl_stats {
	struct ctl_slice_stats msg;
	uint32_t cap;
};

struct slice_ctl {
	uint32_t magic;
	struct loop *loop;
	int listen_fd;
	struct loop_fd *lf;
	struct loop_timer *timer; /* linger */
	const struct slice_ctl_ops *ops;
	void *arg;
	struct sm sm;
	struct ctl_slice_status status;
	struct ctl_conn *conn; /* the agent, or NULL */
	struct pending step;   /* prepare, connect or start */
	struct pending stop;
	struct slice_exec exec;
	struct list listeners;
	unsigned n_listeners;
	struct byte_fifo backlog; /* console output that nobody has seen */
	uint64_t console_dropped;
	bool finished;
};

static void move(struct slice_ctl *ctl, enum ctl_slice_state to)
{
	sm_move(&ctl->sm, to);
	ctl->status.state = to;
}

static void answer_status(struct slice_ctl *ctl, struct pending *p)
{
	if (p->type != 0 && !p->orphan && ctl->conn != NULL)
		ctl_conn_reply(ctl->conn, p->type, p->id, &ctl->status);
	p->type = 0;
}

static void answer_fault(struct slice_ctl *ctl, struct pending *p, int err, const char *text)
{
	if (p->type != 0 && !p->orphan && ctl->conn != NULL)
		ctl_conn_refuse(ctl->conn, p->type, p->id, err, NULL, "%s", text);
	p->type = 0;
}

static void listener_free(struct listener *l)
{
	l->ctl->n_listeners--;
	list_remove(&l->node);
	byte_fifo_fini(&l->in);
	OBJ_FINI(l, LISTENER_MAGIC);
	free(l);
}

/* --- answers of the slice -------------------------------------------------------------------- */

static void step_done(struct slice_ctl *ctl, uint16_t type, enum ctl_slice_state to)
{
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	if (sm_state(&ctl->sm) >= CTL_SLICE_STOPPING)
		return; /* a stop has overtaken it */
	CHECK(ctl->step.type == type);
	move(ctl, to);
	answer_status(ctl, &ctl->step);
}

void slice_ctl_prepared(struct slice_ctl *ctl, const char *fabric, const char *beat)
{
	snprintf(ctl->status.beat, sizeof(ctl->status.beat), "%s", beat);
	snprintf(ctl->status.fabric, sizeof(ctl->status.fabric), "%s", fabric);
	step_done(ctl, CTL_SLICE_PREPARE, CTL_SLICE_PREPARED);
}

void slice_ctl_done(struct slice_ctl *ctl)
{
	if (ctl->step.type == CTL_SLICE_START)
		step_done(ctl, CTL_SLICE_START, CTL_SLICE_RUNNING);
	else
		step_done(ctl, CTL_SLICE_CONNECT, CTL_SLICE_CONNECTED);
}

void slice_ctl_refuse(struct slice_ctl *ctl, int err, const char *fmt, ...)
{
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	answer_fault(ctl, &ctl->step, err, text);
}

void slice_ctl_stopped(struct slice_ctl *ctl, enum ctl_stop_reason reason, const char *fmt, ...)
{
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	struct ctl_stream_close close = {.code = -ERR_VM_STOPPED, .reason = reason};
	va_list ap;

	if (sm_state(&ctl->sm) == CTL_SLICE_STOPPED)
		return;
	move(ctl, CTL_SLICE_STOPPED);
	va_start(ap, fmt);
	vsnprintf(ctl->status.text, sizeof(ctl->status.text), fmt, ap);
	va_end(ap);
	ctl->status.reason = reason;
	snprintf(close.text, sizeof(close.text), "%s", ctl->status.text);
	slice_exec_reset(&ctl->exec, &close);
	while (!list_empty(&ctl->listeners)) {
		struct listener *l = list_first(&ctl->listeners, struct listener, node);
		ctl_stream_close(l->stream, &close);
		listener_free(l);
	}
	answer_fault(ctl, &ctl->step, ERR_VM_STOPPED, ctl->status.text);
	/* Order matters: the agent learns the reason before its request to stop is answered. */
	if (ctl->conn != NULL)
		ctl_conn_event(ctl->conn, CTL_SLICE_EVENT, 0, &ctl->status);
	answer_status(ctl, &ctl->stop);
	loop_timer_arm(ctl->timer, LINGER_NS);
}

void slice_ctl_guest_reset(struct slice_ctl *ctl)
{
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	struct ctl_stream_close close = {
		.code = -ERR_GUEST, .reason = CTL_STOP_REBOOT, .text = "the guest was reset"};

	ctl->status.resets++;
	slice_exec_reset(&ctl->exec, &close);
	if (ctl->conn != NULL)
		ctl_conn_event(ctl->conn, CTL_SLICE_EVENT, 0, &ctl->status);
}

enum ctl_slice_state slice_ctl_state(const struct slice_ctl *ctl)
{
	return (enum ctl_slice_state)sm_state(&ctl->sm);
}

static void finish(struct slice_ctl *ctl)
{
	if (ctl->finished)
		return;
	ctl->finished = true;
	ctl->ops->finished(ctl->arg);
}

static void on_linger(void *arg)
{
	finish(arg);
}

/* --- counters -------------------------------------------------------------------------------- */

void slice_ctl_stat(struct slice_ctl_stats *out, const char *name, const char *unit, int64_t value)
{
	if (out->msg.n_stats == out->cap) {
		uint32_t cap = out->cap == 0 ? 64 : out->cap * 2;
		struct ctl_stat *stats = realloc(out->msg.stats, cap * sizeof(*stats));
		if (stats == NULL)
			return; /* a missing figure is the least of the troubles then */
		out->msg.stats = stats;
		out->cap = cap;
	}
	struct ctl_stat *s = &out->msg.stats[out->msg.n_stats++];
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->unit, sizeof(s->unit), "%s", unit);
	s->value = value;
}

static void query(struct slice_ctl *ctl, const struct ctl_rx *rx)
{
	struct slice_ctl_stats stats = {.msg.status = ctl->status};

	if (sm_state(&ctl->sm) >= CTL_SLICE_PREPARED)
		ctl->ops->stats(ctl->arg, &stats);
	slice_ctl_stat(&stats, "console.dropped", "bytes", (int64_t)ctl->console_dropped);
	ctl_conn_reply(ctl->conn, rx->type, rx->id, &stats.msg);
	free(stats.msg.stats);
}

static void pages(struct slice_ctl *ctl, const struct ctl_rx *rx)
{
	struct ctl_hot_page out[CTL_PAGES_MAX] = {{.address = 0}};
	struct ctl_slice_pages msg = {.status = ctl->status, .pages = out};

	if (sm_state(&ctl->sm) >= CTL_SLICE_PREPARED)
		msg.n_pages = ctl->ops->pages(ctl->arg, out, CTL_PAGES_MAX);
	for (uint32_t i = 0; i < msg.n_pages; i++)
		out[i].home = ctl->status.ref.slice;
	ctl_conn_reply(ctl->conn, rx->type, rx->id, &msg);
}

/* --- console --------------------------------------------------------------------------------- */

static void console_data(
	void *arg, struct ctl_stream *s, enum ctl_channel channel, const void *buf, size_t len)
{
	struct listener *l = arg;
	OBJ_CHECK(l, LISTENER_MAGIC);

	/* The window is as large as the buffer, so only a failed allocation leaves a rest. */
	size_t put = byte_fifo_put(&l->in, buf, len);
	ctl_stream_consumed(s, len - put);
	l->ctl->ops->port_readable(l->ctl->arg, SLICE_PORT_CONSOLE);
}

static void console_credit(void *arg, struct ctl_stream *s, uint32_t bytes)
{
	/* What could not be sent is not kept: see console_write(). */
}

static void console_closed(void *arg, struct ctl_stream *s, const struct ctl_stream_close *close)
{
	struct listener *l = arg;
	OBJ_CHECK(l, LISTENER_MAGIC);

	listener_free(l);
}

static const struct ctl_stream_ops console_ops = {
	.data = console_data,
	.credit = console_credit,
	.closed = console_closed,
};

static void console_open(struct slice_ctl *ctl, const struct ctl_rx *rx)
{
	struct listener *l = ctl->n_listeners >= LISTENERS_MAX ? NULL : calloc(1, sizeof(*l));
	const uint8_t *p;
	size_t n;

	if (l == NULL) {
		ctl_conn_refuse(ctl->conn, rx->type, rx->id, ERR_FULL,
			"leave one of them with Ctrl-]", "%u are attached to this console",
			ctl->n_listeners);
		return;
	}
	OBJ_INIT(l, LISTENER_MAGIC);
	l->ctl = ctl;
	byte_fifo_init(&l->in, CTL_STREAM_WINDOW);
	list_init(&l->node);
	list_push_back(&ctl->listeners, &l->node);
	ctl->n_listeners++;
	l->stream = ctl_stream_accept(ctl->conn, rx->id, &console_ops, l);
	while ((p = byte_fifo_peek(&ctl->backlog, &n)) != NULL) {
		ctl_stream_write(l->stream, CTL_CHANNEL_MAIN, p, n);
		byte_fifo_drop(&ctl->backlog, n);
	}
}

/* The newest bytes are the ones worth keeping. */
static void backlog_put(struct slice_ctl *ctl, const uint8_t *buf, size_t len)
{
	size_t skip = len > BACKLOG_BYTES ? len - BACKLOG_BYTES : 0;
	size_t room = BACKLOG_BYTES - ctl->backlog.len;
	size_t drop = len - skip > room ? len - skip - room : 0;

	byte_fifo_drop(&ctl->backlog, drop);
	size_t put = byte_fifo_put(&ctl->backlog, buf + skip, len - skip);
	ctl->console_dropped += skip + drop + (len - skip - put);
}

/* Never holds the guest up: a terminal that was stopped must not stop the kernel's log. */
static void console_write(struct slice_ctl *ctl, const void *buf, size_t len)
{
	if (list_empty(&ctl->listeners)) {
		backlog_put(ctl, buf, len);
		return;
	}
	list_foreach(it, &ctl->listeners)
	{
		struct listener *l = list_entry(it, struct listener, node);
		ctl->console_dropped +=
			len - ctl_stream_write(l->stream, CTL_CHANNEL_MAIN, buf, len);
	}
}

static size_t console_read(struct slice_ctl *ctl, uint8_t *buf, size_t len)
{
	size_t done = 0;

	list_foreach(it, &ctl->listeners)
	{
		struct listener *l = list_entry(it, struct listener, node);
		size_t n = byte_fifo_get(&l->in, buf + done, len - done);
		ctl_stream_consumed(l->stream, n);
		done += n;
	}
	return done;
}

size_t slice_ctl_port_write(
	struct slice_ctl *ctl, enum slice_port port, const void *buf, size_t len)
{
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	switch (port) {
	case SLICE_PORT_CONSOLE:
		console_write(ctl, buf, len);
		return len;
	case SLICE_PORT_EXEC:
		slice_exec_control(&ctl->exec, buf, len);
		return len;
	case SLICE_PORT_OUT:
		return slice_exec_output(&ctl->exec, CTL_CHANNEL_OUT, buf, len);
	case SLICE_PORT_ERR:
		return slice_exec_output(&ctl->exec, CTL_CHANNEL_ERR, buf, len);
	case SLICE_PORT_N:
		break;
	}
	UNREACHABLE();
}

size_t slice_ctl_port_read(struct slice_ctl *ctl, enum slice_port port, void *buf, size_t len)
{
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	if (port == SLICE_PORT_CONSOLE)
		return console_read(ctl, buf, len);
	if (port == SLICE_PORT_EXEC)
		return slice_exec_read(&ctl->exec, buf, len);
	return 0;
}

static void exec_tx_ready(void *arg)
{
	struct slice_ctl *ctl = arg;

	ctl->ops->port_readable(ctl->arg, SLICE_PORT_EXEC);
}

static void exec_rx_room(void *arg, enum ctl_channel channel)
{
	struct slice_ctl *ctl = arg;

	ctl->ops->port_writable(
		ctl->arg, channel == CTL_CHANNEL_OUT ? SLICE_PORT_OUT : SLICE_PORT_ERR);
}

/* --- requests of the agent ------------------------------------------------------------------- */

static void refuse_state(struct slice_ctl *ctl, const struct ctl_rx *rx)
{
	ctl_conn_refuse(ctl->conn, rx->type, rx->id, ERR_STATE, "ask for its state first",
		"%s is not possible, %s", ctl_type_name(rx->type),
		ctl->step.type != 0 ? "another step is in progress"
				    : ctl_slice_state_text(sm_state(&ctl->sm)));
}

/* One of the three steps to running; `from` is the state it starts in. */
static bool step_begin(struct slice_ctl *ctl, const struct ctl_rx *rx, enum ctl_slice_state from)
{
	if (sm_state(&ctl->sm) != from || ctl->step.type != 0) {
		refuse_state(ctl, rx);
		return false;
	}
	ctl->step = (struct pending){.type = rx->type, .id = rx->id};
	return true;
}

static bool spec_sane(const struct ctl_slice_spec *spec)
{
	uint64_t vcpus = 0, memory = 0;
	bool self = false;

	for (uint32_t i = 0; i < spec->n_slices; i++) {
		const struct ctl_slice_part *p = &spec->slices[i];
		if (p->slice >= SLICE_MAX || p->vcpus > VCPU_MAX || p->vcpu_first > VCPU_MAX ||
			p->memory_bytes % PAGE_BYTES != 0 ||
			add_overflows(memory, p->memory_bytes, &memory))
			return false;
		vcpus += p->vcpus;
		self |= p->slice == spec->slice;
	}
	return self && vcpus == spec->vcpus && vcpus <= VCPU_MAX && memory == spec->memory_bytes;
}

static void prepare(struct slice_ctl *ctl, const struct ctl_rx *rx)
{
	const struct ctl_slice_spec *spec = rx->msg;
	int fds[CTL_FDS_MAX];

	if (!step_begin(ctl, rx, CTL_SLICE_NEW))
		return;
	if (spec->n_fds != rx->n_fds || !spec_sane(spec)) {
		answer_fault(ctl, &ctl->step, ERR_FORMAT, "the specification contradicts itself");
		return;
	}
	snprintf(ctl->status.ref.vm, sizeof(ctl->status.ref.vm), "%s", spec->vm);
	memcpy(ctl->status.ref.incarnation, spec->incarnation, sizeof(spec->incarnation));
	ctl->status.ref.slice = spec->slice;
	for (unsigned i = 0; i < rx->n_fds; i++) {
		fds[i] = rx->fds[i];
		rx->fds[i] = -1;
	}
	ctl->ops->prepare(ctl->arg, spec, fds);
}

static void stop(struct slice_ctl *ctl, const struct ctl_rx *rx)
{
	const struct ctl_slice_stop *msg = rx->msg;

	if (sm_state(&ctl->sm) == CTL_SLICE_STOPPED) {
		ctl_conn_reply(ctl->conn, rx->type, rx->id, &ctl->status);
		return;
	}
	if (ctl->stop.type != 0 && !ctl->stop.orphan) {
		refuse_state(ctl, rx);
		return;
	}
	bool again = sm_state(&ctl->sm) == CTL_SLICE_STOPPING;
	ctl->stop = (struct pending){.type = rx->type, .id = rx->id};
	if (again)
		return;
	move(ctl, CTL_SLICE_STOPPING);
	ctl->ops->stop(ctl->arg, (enum ctl_stop_reason)msg->reason, msg->text);
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct slice_ctl *ctl = arg;
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	const struct ctl_stream_open *open = rx->msg;
	struct ctl_nothing nothing;

	switch (rx->type) {
	case CTL_SLICE_PREPARE:
		prepare(ctl, rx);
		break;
	case CTL_SLICE_CONNECT:
		if (step_begin(ctl, rx, CTL_SLICE_PREPARED))
			ctl->ops->connect(ctl->arg, rx->msg);
		break;
	case CTL_SLICE_START:
		if (step_begin(ctl, rx, CTL_SLICE_CONNECTED))
			ctl->ops->start(ctl->arg);
		break;
	case CTL_SLICE_STOP:
		stop(ctl, rx);
		break;
	case CTL_SLICE_QUERY:
		query(ctl, rx);
		break;
	case CTL_SLICE_PAGES:
		pages(ctl, rx);
		break;
	case CTL_SLICE_FORGET:
		if (sm_state(&ctl->sm) != CTL_SLICE_STOPPED) {
			refuse_state(ctl, rx);
			break;
		}
		ctl_conn_reply(conn, rx->type, rx->id, &nothing);
		ctl_conn_finish(conn, ERR_VM_STOPPED,
			"the slice has ended"); /* finish() follows in on_down() */
		break;
	case CTL_STREAM_OPEN:
		if (sm_state(&ctl->sm) < CTL_SLICE_PREPARED ||
			sm_state(&ctl->sm) >= CTL_SLICE_STOPPING)
			refuse_state(ctl, rx);
		else if (open->kind == CTL_STREAM_CONSOLE)
			console_open(ctl, rx);
		else if (open->kind == CTL_STREAM_EXEC)
			slice_exec_open(&ctl->exec, conn, rx);
		else
			ctl_conn_refuse(
				conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL, "no such stream");
		break;
	default:
		ctl_conn_refuse(conn, rx->type, rx->id, ERR_UNSUPPORTED, NULL,
			"a slice does not serve %s", ctl_type_name(rx->type));
		break;
	}
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	/* Agents send none yet; a later minor version may. */
}

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct slice_ctl *ctl = arg;
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);

	ctl_conn_event(conn, CTL_SLICE_EVENT, 0, &ctl->status);
}

static void conn_lost(struct slice_ctl *ctl)
{
	ctl_conn_destroy(ctl->conn);
	ctl->conn = NULL;
	ctl->step.orphan = true;
	ctl->stop.orphan = true;
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct slice_ctl *ctl = arg;
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);

	log_info(slice, "agent gone: %s", why);
	conn_lost(ctl);
	if (err == ERR_VM_STOPPED)
		finish(ctl);
}

static const struct ctl_conn_ops conn_ops = {
	.ready = on_ready,
	.request = on_request,
	.event = on_event,
	.down = on_down,
};

static void on_accept(void *arg, int fd, unsigned ready)
{
	struct slice_ctl *ctl = arg;
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	struct ctl_conn_params params = {
		.hello = {.program = "mirrorball-slice", .version = PACKAGE_VERSION}};
	struct ctl_io *io;
	struct ctl_conn *conn;

	int err = ctl_unix_accept(fd, &io);
	if (err == ERR_AGAIN)
		return;
	if (err == 0)
		err = ctl_conn_create(ctl->loop, io, &params, &conn_ops, ctl, &conn);
	if (err != 0) {
		log_warn(slice, "cannot accept an agent: %s", err_text(err));
		return;
	}
	if (ctl->conn != NULL) {
		log_info(slice, "another agent has connected, leaving the old one");
		conn_lost(ctl);
	}
	ctl->conn = conn;
}

int slice_ctl_create(struct loop *loop, int fd, const struct slice_ctl_ops *ops, void *arg,
	struct slice_ctl **out)
{
	struct slice_ctl *ctl = calloc(1, sizeof(*ctl));
	int err = ERR_NO_MEMORY;

	if (ctl == NULL)
		return err;
	/* The agent made the socket; listening again makes us, not it, the process that SO_PEERCRED
	 * names. */
	if (listen(fd, 8) < 0) {
		err = ERR_INVAL;
		goto undo_ctl;
	}
	OBJ_INIT(ctl, SLICE_CTL_MAGIC);
	ctl->loop = loop;
	ctl->listen_fd = fd;
	ctl->ops = ops;
	ctl->arg = arg;
	snprintf(ctl->status.ref.vm, sizeof(ctl->status.ref.vm), "none"); /* until prepared */
	sm_init(&ctl->sm, &slice_table, ctl, 0);
	move(ctl, CTL_SLICE_NEW);
	list_init(&ctl->listeners);
	byte_fifo_init(&ctl->backlog, BACKLOG_BYTES);
	slice_exec_init(&ctl->exec, exec_tx_ready, exec_rx_room, ctl);
	err = loop_timer_create(loop, on_linger, ctl, &ctl->timer);
	if (err != 0)
		goto undo_ctl;
	err = loop_fd_add(loop, fd, LOOP_READ, on_accept, ctl, &ctl->lf);
	if (err != 0)
		goto undo_timer;
	*out = ctl;
	return 0;
undo_timer:
	loop_timer_destroy(ctl->timer);
undo_ctl:
	free(ctl);
	return err;
}

void slice_ctl_destroy(struct slice_ctl *ctl)
{
	if (ctl == NULL)
		return;
	OBJ_CHECK(ctl, SLICE_CTL_MAGIC);
	loop_fd_remove(ctl->lf);
	loop_timer_destroy(ctl->timer);
	if (ctl->conn != NULL)
		conn_lost(ctl);
	slice_exec_fini(&ctl->exec);
	byte_fifo_fini(&ctl->backlog);
	close(ctl->listen_fd);
	OBJ_FINI(ctl, SLICE_CTL_MAGIC);
	free(ctl);
}
