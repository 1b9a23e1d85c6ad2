/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "coordinator/pki.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/ctl_conn.h"
#include "tests/lib/ut.h"

/* Certificates and the TLS connections they make: each is the other's test. */
static char dir[64], other[80];

static void make(const char *d, const char *name, enum tls_role role)
{
	char expires[32], why[256];

	UT_OK(pki_make_cert(d, name, name, role, expires, why));
	UT_EQ(strlen(expires), 10);
}

static void before(void)
{
	char expires[32], why[256];

	snprintf(dir, sizeof(dir), "%s", "/tmp/mb-pki-XXXXXX");
	UT_CHECK(mkdtemp(dir) != NULL);
	snprintf(other, sizeof(other), "%s/other", dir);
	UT_OK(pki_make_ca(dir, expires, why));
	UT_EQ(strlen(expires), 10);
	make(dir, "coordinator", TLS_ROLE_COORDINATOR);
	make(dir, "admin", TLS_ROLE_ADMIN);
	make(dir, "h1", TLS_ROLE_AGENT);
}

static void empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
	rmdir(path);
}

static void after(void)
{
	empty(other);
	empty(dir);
}

UT_SUITE_WITH(pki, before, after);

UT_TEST(nothing_is_overwritten)
{
	char expires[32], why[256], path[128];
	struct stat st, again;

	snprintf(path, sizeof(path), "%s/ca.key", dir);
	UT_CHECK(stat(path, &st) == 0);
	UT_EQ(st.st_mode & 0777, 0600);
	UT_ERR(pki_make_ca(dir, expires, why), EXISTS);
	UT_HAS_STR(why, "nothing is overwritten");
	UT_CHECK(stat(path, &again) == 0 && again.st_ino == st.st_ino &&
		 again.st_size == st.st_size);
	UT_ERR(pki_make_cert(dir, "h1", "h1", TLS_ROLE_AGENT, expires, why), EXISTS);
	/* A half that is there already leaves no other half behind. */
	snprintf(path, sizeof(path), "%s/h2.crt", dir);
	FILE *f = fopen(path, "w");
	UT_CHECK(f != NULL);
	fclose(f);
	UT_CHECK(pki_make_cert(dir, "h2", "h2", TLS_ROLE_AGENT, expires, why) != 0);
	snprintf(path, sizeof(path), "%s/h2.key", dir);
	UT_CHECK(access(path, F_OK) < 0);
}

UT_TEST(without_a_ca)
{
	char expires[32], why[256];

	UT_ERR(pki_make_cert("/nowhere", "h", "h", TLS_ROLE_AGENT, expires, why), NOT_FOUND);
	UT_HAS_STR(why, "mirrorball init");
}

UT_TEST(contexts)
{
	struct tls_ctx *ctx;
	char why[256];

	UT_OK(tls_ctx_create(dir, "h1", &ctx, why));
	UT_EQ(tls_ctx_identity(ctx)->role, TLS_ROLE_AGENT);
	UT_EQ_STR(tls_ctx_identity(ctx)->name, "h1");
	tls_ctx_destroy(ctx);
	UT_ERR(tls_ctx_create(dir, "nobody", &ctx, why), AUTH);
	UT_HAS_STR(why, "nobody.crt");
	UT_ERR(tls_ctx_create(dir, "ca", &ctx, why), AUTH); /* a CA is nobody */
	UT_HAS_STR(why, "names no role");
	UT_EQ_STR(tls_role_text(TLS_ROLE_VIEWER), "viewer");
	UT_CHECK(tls_role_text(TLS_ROLE_NONE) == NULL);
	UT_EQ(tls_role_of("coordinator"), TLS_ROLE_COORDINATOR);
	UT_EQ(tls_role_of("root"), TLS_ROLE_NONE);
}

struct side {
	struct ctl_conn *conn;
	bool ready;
	int err;
	char why[256];
	struct tls_identity peer;
};

static void on_ready(void *arg, struct ctl_conn *conn, const struct ctl_hello *hello)
{
	struct side *s = arg;

	s->ready = true;
	s->peer = tls_peer(ctl_conn_io(conn));
}

static void on_message(void *arg, struct ctl_conn *conn, const struct ctl_rx *rx)
{
}

static void on_down(void *arg, struct ctl_conn *conn, int err, const char *why)
{
	struct side *s = arg;

	s->err = err;
	snprintf(s->why, sizeof(s->why), "%s", why);
	ctl_conn_destroy(conn);
	s->conn = NULL;
}

static const struct ctl_conn_ops ops = {on_ready, on_message, on_message, on_down};

/* A server with one identity, a client with another; runs until both know where they are. */
static void meet(const char *sdir, const char *sname, const char *cdir, const char *cname,
	enum tls_role expect, struct side *server, struct side *client)
{
	struct ctl_conn_params sp = {.hello = {.program = "s"}}, cp = {.connector = true};
	struct tls_ctx *sctx, *cctx;
	struct ctl_io *io;
	struct loop *loop;
	char why[256], address[96];
	int fd, err;

	memset(server, 0, sizeof(*server));
	memset(client, 0, sizeof(*client));
	UT_OK(loop_create(&loop));
	UT_OK(tls_ctx_create(sdir, sname, &sctx, why));
	UT_OK(tls_ctx_create(cdir, cname, &cctx, why));
	UT_OK(tls_listen("127.0.0.1:0", &fd, address, why));
	UT_OK(tls_connect(cctx, address, expect, &io, why));
	UT_OK(ctl_conn_create(loop, io, &cp, &ops, client, &client->conn));
	while ((err = tls_accept(sctx, fd, &io)) == ERR_AGAIN)
		loop_once(loop, 10);
	UT_OK(err);
	UT_OK(ctl_conn_create(loop, io, &sp, &ops, server, &server->conn));
	while (!(
		(server->ready && client->ready) || (server->conn == NULL && client->conn == NULL)))
		loop_once(loop, 100);
	ctl_conn_destroy(server->conn);
	ctl_conn_destroy(client->conn);
	close(fd);
	tls_ctx_destroy(sctx);
	tls_ctx_destroy(cctx);
	loop_destroy(loop);
}

UT_TEST(both_know_each_other)
{
	struct side s, c;

	meet(dir, "coordinator", dir, "h1", TLS_ROLE_COORDINATOR, &s, &c);
	UT_CHECK(s.ready && c.ready);
	UT_EQ(s.peer.role, TLS_ROLE_AGENT);
	UT_EQ_STR(s.peer.name, "h1");
	UT_EQ(c.peer.role, TLS_ROLE_COORDINATOR);
}

UT_TEST(another_ca)
{
	struct side s, c;
	char expires[32], why[256];

	UT_OK(pki_make_ca(other, expires, why));
	make(other, "admin", TLS_ROLE_ADMIN);
	make(other, "coordinator", TLS_ROLE_COORDINATOR);
	meet(dir, "coordinator", other, "admin", TLS_ROLE_COORDINATOR, &s, &c);
	UT_CHECK(!s.ready && !c.ready);
	UT_EQ(c.err, ERR_AUTH);
	UT_HAS_STR(c.why, "mirrorball init");
	meet(other, "coordinator", dir, "admin", TLS_ROLE_COORDINATOR, &s, &c);
	UT_CHECK(!s.ready && !c.ready);
}

/* A certificate of the right CA with the wrong role does not make a coordinator. */
UT_TEST(wrong_role)
{
	struct side s, c;

	meet(dir, "h1", dir, "admin", TLS_ROLE_COORDINATOR, &s, &c);
	UT_CHECK(!c.ready);
	UT_EQ(c.err, ERR_AUTH);
}

UT_TEST(addresses)
{
	struct tls_ctx *ctx;
	struct ctl_io *io;
	char why[256], bound[96];
	int fd;

	UT_OK(tls_ctx_create(dir, "admin", &ctx, why));
	UT_ERR(tls_connect(ctx, "nocolon", TLS_ROLE_COORDINATOR, &io, why), INVAL);
	UT_HAS_STR(why, "HOST:PORT");
	UT_ERR(tls_connect(ctx, "host:", TLS_ROLE_COORDINATOR, &io, why), INVAL);
	UT_ERR(tls_listen("192.0.2.1:1", &fd, bound, why), CONNECT);
	UT_HAS_STR(why, "cannot listen");
	tls_ctx_destroy(ctx);
}
