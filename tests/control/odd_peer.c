/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/ctl_conn.h"
#include "proto/xport_tls.h"

/*
 * odd-peer ADDRESS PKI IDENTITY MAJOR: shake hands as a peer of another major version; prints what
 * the other side says about that. Status 0: accepted, 3: refused because of the version, 1: else.
 */
struct odd {
	bool done;
	int status;
};

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *peer)
{
	struct odd *o = arg;

	o->done = true;
	o->status = 0;
}

static void on_message(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct odd *o = arg;

	printf("%s\n", why);
	o->done = true;
	o->status = err == ERR_VERSION ? 3 : 1;
}

int main(int argc, char **argv)
{
	static const struct ctl_conn_ops ops = {on_ready, on_message, on_message, on_down};
	struct ctl_conn_params params = {
		.connector = true, .hello = {.program = "odd-peer", .version = "9"}};
	struct odd o = {.status = 1};
	struct loop *loop;
	struct tls_ctx *tls;
	struct ctl_io *io;
	struct ctl_conn *conn;
	char why[256] = "";

	if (argc != 5)
		return 2;
	params.hello.major = (uint32_t)strtoul(argv[4], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	if (loop_create(&loop) != 0 || tls_ctx_create(argv[2], argv[3], &tls, why) != 0 ||
		tls_connect(tls, argv[1], TLS_ROLE_COORDINATOR, &io, why) != 0 ||
		ctl_conn_create(loop, io, &params, &ops, &o, &conn) != 0) {
		printf("%s\n", why);
		return 1;
	}
	while (!o.done)
		loop_once(loop, -1);
	ctl_conn_destroy(conn);
	tls_ctx_destroy(tls);
	loop_destroy(loop);
	return o.status;
}
