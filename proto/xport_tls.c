/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/xport_tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* OpenSSL has a type of the name of one of our error codes. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#undef ERR_STATE

#include "base/err.h"
#include "proto/wire_ctl.h"

#define TLS_IO_MAGIC 0x544c5349u /* TLSI */

struct tls_ctx {
	SSL_CTX *ssl;
	struct tls_identity self;
};

struct tls_io {
	struct ctl_io io;
	uint32_t magic;
	SSL *ssl;
	bool connecting; /* TCP is not up yet */
	enum tls_role expect;
	struct tls_identity peer;
	char address[96];
};

static const char *const role_names[] = {
	[TLS_ROLE_NONE] = NULL,
	[TLS_ROLE_VIEWER] = "viewer",
	[TLS_ROLE_OPERATOR] = "operator",
	[TLS_ROLE_ADMIN] = "admin",
	[TLS_ROLE_AGENT] = "agent",
	[TLS_ROLE_COORDINATOR] = "coordinator",
};

const char *tls_role_text(enum tls_role role)
{
	return (size_t)role < ARRAY_SIZE(role_names) ? role_names[role] : NULL;
}

enum tls_role tls_role_of(const char *text)
{
	for (size_t i = 1; i < ARRAY_SIZE(role_names); i++)
		if (strcmp(text, role_names[i]) == 0)
			return (enum tls_role)i;
	return TLS_ROLE_NONE;
}

static const char *ssl_reason(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_last_error());
	return s == NULL ? "no further detail" : s;
}

/* --- identity and context -------------------------------------------------------------------- */

/* One subject entry, whole and without control characters, or false. */
static bool subject_entry(X509 *cert, int nid, char *out, size_t cap)
{
	int len = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), nid, out, (int)cap);

	return len > 0 && (size_t)len < cap && strlen(out) == (size_t)len;
}

static struct tls_identity identity_of(X509 *cert)
{
	struct tls_identity id = {.role = TLS_ROLE_NONE};
	char role[32];

	if (cert != NULL && subject_entry(cert, NID_organizationalUnitName, role, sizeof(role)) &&
		subject_entry(cert, NID_commonName, id.name, sizeof(id.name)) &&
		ctl_name_valid(id.name))
		id.role = tls_role_of(role);
	return id;
}

static int load(SSL_CTX *ssl, const char *dir, const char *name, char why[256])
{
	char path[1200];

	snprintf(path, sizeof(path), "%s/ca.crt", dir);
	if (SSL_CTX_load_verify_locations(ssl, path, NULL) != 1)
		goto bad;
	snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
	if (SSL_CTX_use_certificate_file(ssl, path, SSL_FILETYPE_PEM) != 1)
		goto bad;
	snprintf(path, sizeof(path), "%s/%s.key", dir, name);
	if (SSL_CTX_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM) != 1)
		goto bad;
	if (SSL_CTX_check_private_key(ssl) == 1)
		return 0;
bad:
	snprintf(why, 256,
		"%.120s: %s; make the files with 'mirrorball init', or name their directory with "
		"--pki",
		path, access(path, R_OK) < 0 ? strerror(errno) : ssl_reason());
	return ERR_AUTH;
}

int tls_ctx_create(const char *pki_dir, const char *name, struct tls_ctx **out, char why[256])
{
	struct tls_ctx *ctx = calloc(1, sizeof(*ctx));
	int err = ERR_NO_MEMORY;

	snprintf(why, 256, "%s", err_text(err));
	if (ctx == NULL)
		return err;
	ERR_clear_error();
	ctx->ssl = SSL_CTX_new(TLS_method());
	if (ctx->ssl == NULL)
		goto undo_ctx;
	SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_3_VERSION);
	SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(ctx->ssl, 1);
	/* Every connection is a full handshake: they are few and long, and a ticket would outlive a
	 * revoked file. */
	SSL_CTX_set_num_tickets(ctx->ssl, 0);
	SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(
		ctx->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	err = load(ctx->ssl, pki_dir, name, why);
	if (err != 0)
		goto undo_ssl;
	ctx->self = identity_of(SSL_CTX_get0_certificate(ctx->ssl));
	if (ctx->self.role == TLS_ROLE_NONE) {
		snprintf(why, 256, "%.120s/%.60s.crt names no role; make it with 'mirrorball init'",
			pki_dir, name);
		err = ERR_AUTH;
		goto undo_ssl;
	}
	*out = ctx;
	return 0;
undo_ssl:
	SSL_CTX_free(ctx->ssl);
undo_ctx:
	free(ctx);
	return err;
}

void tls_ctx_destroy(struct tls_ctx *ctx)
{
	if (ctx == NULL)
		return;
	SSL_CTX_free(ctx->ssl);
	free(ctx);
}

const struct tls_identity *tls_ctx_identity(const struct tls_ctx *ctx)
{
	return &ctx->self;
}

/* --- carrier operations ---------------------------------------------------------------------- */

static struct tls_io *tls_of(struct ctl_io *io)
{
	struct tls_io *t = container_of(io, struct tls_io, io);

	OBJ_CHECK(t, TLS_IO_MAGIC);
	return t;
}

/* What an OpenSSL call that did not succeed means; `why` is set for errors. */
static int tls_result(struct tls_io *t, int rc, int saved_errno)
{
	size_t cap = sizeof(t->io.why);
	long verify = SSL_get_verify_result(t->ssl);

	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return ERR_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->io.want_write = true;
		return ERR_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		snprintf(t->io.why, cap, "%s closed the connection", t->address);
		return ERR_LINK_DOWN;
	case SSL_ERROR_SYSCALL:
		snprintf(t->io.why, cap, "connection to %s lost: %s", t->address,
			saved_errno == 0 ? "closed" : strerror(saved_errno));
		return ERR_LINK_DOWN;
	default:
		break;
	}
	int reason = ERR_GET_REASON(ERR_peek_last_error());
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		snprintf(t->io.why, cap, "%s closed the connection", t->address);
		return ERR_LINK_DOWN;
	}
	if (verify != X509_V_OK)
		snprintf(t->io.why, cap,
			"the certificate of %s is refused: %s; both sides need certificates of one "
			"'mirrorball init'",
			t->address, X509_verify_cert_error_string(verify));
	else
		snprintf(t->io.why, cap,
			"TLS with %s failed: %s; is our certificate of the same 'mirrorball init', "
			"and is this the right port?",
			t->address, ssl_reason());
	return ERR_AUTH;
}

static int tls_connected(struct tls_io *t)
{
	int error = 0;
	socklen_t len = sizeof(error);
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);

	if (getsockopt(t->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && getpeername(t->io.fd, (struct sockaddr *)&sa, &sa_len) < 0) {
		t->io.want_write = true;
		return ERR_AGAIN;
	}
	if (error != 0) {
		snprintf(t->io.why, sizeof(t->io.why),
			"cannot connect to %s: %s; is the program running there?", t->address,
			strerror(error));
		return ERR_CONNECT;
	}
	t->connecting = false;
	return 0;
}

static int tls_handshake(struct ctl_io *io)
{
	struct tls_io *t = tls_of(io);
	int err = t->connecting ? tls_connected(t) : 0;

	if (err != 0)
		return err;
	ERR_clear_error();
	errno = 0;
	int rc = SSL_do_handshake(t->ssl);
	if (rc != 1)
		return tls_result(t, rc, errno);
	t->peer = identity_of(SSL_get0_peer_certificate(t->ssl));
	if (t->peer.role == TLS_ROLE_NONE) {
		snprintf(io->why, sizeof(io->why), "the certificate of %s names no known role",
			t->address);
		return ERR_AUTH;
	}
	if (t->expect != TLS_ROLE_NONE && t->peer.role != t->expect) {
		snprintf(io->why, sizeof(io->why),
			"%s has a certificate for %s %s, not for a %s; is the address right?",
			t->address, tls_role_text(t->peer.role), t->peer.name,
			tls_role_text(t->expect));
		return ERR_AUTH;
	}
	return 0;
}

static int tls_read(struct ctl_io *io, void *buf, size_t len, size_t *done, int fds[CTL_FDS_MAX],
	unsigned *n_fds)
{
	struct tls_io *t = tls_of(io);

	*n_fds = 0;
	ERR_clear_error();
	errno = 0;
	int rc = SSL_read_ex(t->ssl, buf, len, done);
	return rc == 1 ? 0 : tls_result(t, rc, errno);
}

static int tls_write(struct ctl_io *io, const void *buf, size_t len, const int *fds, unsigned n_fds,
	size_t *done)
{
	struct tls_io *t = tls_of(io);

	CHECK(n_fds == 0);
	ERR_clear_error();
	errno = 0;
	int rc = SSL_write_ex(t->ssl, buf, len, done);
	return rc == 1 ? 0 : tls_result(t, rc, errno);
}

static bool tls_pending(struct ctl_io *io)
{
	return SSL_pending(tls_of(io)->ssl) > 0;
}

static void tls_destroy(struct ctl_io *io)
{
	struct tls_io *t = tls_of(io);

	ERR_clear_error();
	if (SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl); /* one attempt to say goodbye */
	ERR_clear_error();
	SSL_free(t->ssl);
	close(io->fd);
	OBJ_FINI(t, TLS_IO_MAGIC);
	free(t);
}

static const struct ctl_io_ops tls_ops = {
	.handshake = tls_handshake,
	.read = tls_read,
	.write = tls_write,
	.pending = tls_pending,
	.destroy = tls_destroy,
};

static int tls_io_create(struct tls_ctx *ctx, int fd, const char *address, struct tls_io **out)
{
	struct tls_io *t = calloc(1, sizeof(*t));
	int one = 1;

	if (t == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(t, TLS_IO_MAGIC);
	t->io.ops = &tls_ops;
	t->io.fd = fd;
	snprintf(t->address, sizeof(t->address), "%s", address);
	t->ssl = SSL_new(ctx->ssl);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1) {
		SSL_free(t->ssl);
		free(t);
		return ERR_NO_MEMORY;
	}
	/* Small frames in both directions: never wait for more to send. A failure only costs
	 * time. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*out = t;
	return 0;
}

struct tls_identity tls_peer(struct ctl_io *io)
{
	return tls_of(io)->peer;
}

/* --- addresses ------------------------------------------------------------------------------- */

/* "host:port" or "[v6]:port" into a list for bind or connect. */
static int resolve(const char *address, int flags, struct addrinfo **out, char why[256])
{
	char host[96];
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	size_t len = colon == NULL ? 0 : (size_t)(colon - address);

	if (colon == NULL || len >= sizeof(host) || colon[1] == '\0') {
		snprintf(why, 256, "'%.100s' is not an address; write HOST:PORT or [IPv6]:PORT",
			address);
		return ERR_INVAL;
	}
	memcpy(host, address, len);
	host[len] = '\0';
	char *h = host;
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		h++;
	}
	int rc = getaddrinfo(*h == '\0' ? NULL : h, colon + 1, &hints, out);
	if (rc == 0)
		return 0;
	snprintf(why, 256, "'%.100s': %s", address,
		rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	return ERR_INVAL;
}

int tls_connect(struct tls_ctx *ctx, const char *address, enum tls_role expect, struct ctl_io **out,
	char why[256])
{
	struct addrinfo *ai;
	struct tls_io *t;
	int err = resolve(address, 0, &ai, why);

	if (err != 0)
		return err;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		err = err_from_errno(errno);
		snprintf(why, 256, "socket: %s", strerror(errno));
		goto undo_ai;
	}
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS) {
		snprintf(why, 256, "cannot connect to %.100s: %s", address, strerror(errno));
		err = ERR_CONNECT;
		goto undo_fd;
	}
	err = tls_io_create(ctx, fd, address, &t);
	if (err != 0) {
		snprintf(why, 256, "%s", err_text(err));
		goto undo_fd;
	}
	t->connecting = true;
	t->expect = expect;
	SSL_set_connect_state(t->ssl);
	*out = &t->io;
	freeaddrinfo(ai);
	return 0;
undo_fd:
	close(fd);
undo_ai:
	freeaddrinfo(ai);
	return err;
}

static void address_text(const struct sockaddr *sa, socklen_t len, char out[96])
{
	char host[64], port[16];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, 96, "unknown");
	else
		snprintf(out, 96, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

int tls_listen(const char *address, int *out_fd, char bound[96], char why[256])
{
	struct addrinfo *ai;
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);
	int one = 1;
	int err = resolve(address, AI_PASSIVE, &ai, why);

	if (err != 0)
		return err;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto fail;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 64) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &sa_len) < 0)
		goto fail;
	address_text((struct sockaddr *)&sa, sa_len, bound);
	freeaddrinfo(ai);
	*out_fd = fd;
	return 0;
fail:
	err = err_from_errno(errno);
	snprintf(why, 256, "cannot listen on %.100s: %s", address, strerror(errno));
	if (fd >= 0)
		close(fd);
	freeaddrinfo(ai);
	return err;
}

int tls_accept(struct tls_ctx *ctx, int listen_fd, struct ctl_io **out)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);
	char address[96];
	struct tls_io *t;
	int fd = accept4(listen_fd, (struct sockaddr *)&sa, &sa_len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return ERR_AGAIN;
	if (fd < 0)
		return err_from_errno(errno);
	address_text((struct sockaddr *)&sa, sa_len, address);
	int err = tls_io_create(ctx, fd, address, &t);
	if (err != 0) {
		close(fd);
		return err;
	}
	SSL_set_accept_state(t->ssl);
	*out = &t->io;
	return 0;
}
