/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_XPORT_TLS_H
#define PROTO_XPORT_TLS_H

#include "proto/ctl_io.h"

/*
 * Control connections between hosts: TLS 1.3 over TCP, certificates on both sides, all signed by
 * the installation's own CA. Who somebody is stands in the certificate's subject: OU is the role,
 * CN the name. Loop's thread only.
 */
enum tls_role {
	TLS_ROLE_NONE, /* no or an unknown OU: refused */
	TLS_ROLE_VIEWER,
	TLS_ROLE_OPERATOR,
	TLS_ROLE_ADMIN,
	TLS_ROLE_AGENT,
	TLS_ROLE_COORDINATOR,
};

struct tls_identity {
	enum tls_role role;
	char name[64];
};

struct tls_ctx;

/* "admin" and so on; NULL / TLS_ROLE_NONE for what is none. Context: any. */
const char *tls_role_text(enum tls_role role);
enum tls_role tls_role_of(const char *text);

/* Load ca.crt, NAME.crt and NAME.key of the directory. On an error `why` says which file and what
 * to do. */
MUST_CHECK int tls_ctx_create(
	const char *pki_dir, const char *name, struct tls_ctx **out, char why[256]);
void tls_ctx_destroy(struct tls_ctx *ctx);
/* Whom our own certificate names. */
const struct tls_identity *tls_ctx_identity(const struct tls_ctx *ctx);

/*
 * Begin to connect to "host:port" or "[v6]:port"; the peer must have the role `expect`. Only the
 * look-up of a name that is not an address may block. ERR_INVAL: not an address.
 */
MUST_CHECK int tls_connect(struct tls_ctx *ctx, const char *address, enum tls_role expect,
	struct ctl_io **out, char why[256]);

/* Listen on "host:port"; port 0 picks one. *bound gets the address as tls_connect() takes it. */
MUST_CHECK int tls_listen(const char *address, int *out_fd, char bound[96], char why[256]);
/* Accept one. ERR_AGAIN: nobody there. */
MUST_CHECK int tls_accept(struct tls_ctx *ctx, int listen_fd, struct ctl_io **out);

/* The peer of a connection that is ready. */
struct tls_identity tls_peer(struct ctl_io *io);

#endif
