/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit/proto/ctl_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ctl_unix.h"
#include "tests/lib/ut.h"

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct end *e = arg;

	e->ready = true;
}

static void on_request(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct end *e = arg;

	e->requests++;
	e->last_type = rx->type;
	e->last_id = rx->id;
	if (rx->type == CTL_SLICE_START)
		e->last_value = ((const struct ctl_slice_ref *)rx->msg)->slice;
	if (rx->n_fds > 0) {
		e->last_fd = rx->fds[0];
		rx->fds[0] = -1;
	}
	if (e->serve != NULL)
		e->serve(e, rx);
}

static void on_event(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
	struct end *e = arg;

	e->events++;
	e->last_type = rx->type;
	e->last_id = rx->id;
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct end *e = arg;

	UT_CHECK(conn == e->conn);
	e->down_err = err;
	snprintf(e->why, sizeof(e->why), "%s", why);
	ctl_conn_destroy(conn);
	e->conn = NULL;
}

const struct ctl_conn_ops end_ops = {on_ready, on_request, on_event, on_down};

static void start(struct pair *p)
{
	char path[64];

	memset(p, 0, sizeof(*p));
	UT_OK(loop_create(&p->loop));
	snprintf(p->dir, sizeof(p->dir), "%s", "/tmp/mb-pair-XXXXXX");
	UT_CHECK(mkdtemp(p->dir) != NULL);
	snprintf(path, sizeof(path), "%s/s", p->dir);
	UT_OK(ctl_unix_listen(path, &p->listen_fd));
}

static void accept_end(struct pair *p, struct end *b, const struct ctl_conn_params *params)
{
	struct ctl_conn_params none = {.hello = {.program = "b", .version = "1"}};
	struct ctl_io *io;

	b->last_fd = -1;
	UT_OK(ctl_unix_accept(p->listen_fd, &io));
	UT_OK(ctl_conn_create(p->loop, io, params == NULL ? &none : params, &end_ops, b, &b->conn));
}

static void connect_ends(struct pair *p, struct end *a, struct end *b,
	const struct ctl_conn_params *pa, const struct ctl_conn_params *pb)
{
	struct ctl_conn_params params = {.hello = {.program = "a", .version = "1"}};
	struct ctl_io *io;
	char path[64];
	int pid;

	if (pa != NULL)
		params = *pa;
	params.connector = true;
	a->last_fd = -1;
	snprintf(path, sizeof(path), "%s/s", p->dir);
	UT_OK(ctl_unix_connect(path, &io, &pid));
	UT_EQ(pid, getpid());
	UT_OK(ctl_conn_create(p->loop, io, &params, &end_ops, a, &a->conn));
	accept_end(p, b, pb);
}

void pair_init(struct pair *p, const struct ctl_conn_params *a, const struct ctl_conn_params *b)
{
	start(p);
	connect_ends(p, &p->a, &p->b, a, b);
}

void pair_more(struct pair *p, struct end *a, struct end *b)
{
	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	connect_ends(p, a, b, NULL, NULL);
}

int pair_init_raw(struct pair *p, const struct ctl_conn_params *b)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	start(p);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", p->dir);
	UT_CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	accept_end(p, &p->b, b);
	return fd;
}

void pair_fini(struct pair *p)
{
	char path[64];

	ctl_conn_destroy(p->a.conn);
	ctl_conn_destroy(p->b.conn);
	close(p->listen_fd);
	snprintf(path, sizeof(path), "%s/s", p->dir);
	unlink(path);
	rmdir(p->dir);
	loop_destroy(p->loop);
}
