/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_PKI_H
#define COORDINATOR_PKI_H

#include "proto/xport_tls.h"

/*
 * The installation's own certificates: ECDSA P-256, made with OpenSSL's library. A directory holds
 * ca.key and ca.crt, and NAME.key and NAME.crt for everybody who has been given a certificate.
 * Files are created with mode 0600 and never overwritten; what a failed call has made is removed.
 * Blocks for a few file writes.
 */
#define PKI_CA_DAYS   3650u
#define PKI_CERT_DAYS 1095u

/* Make a CA in `dir` (made if missing). ERR_EXISTS: there is one. `expires` is a date for
 * people. */
MUST_CHECK int pki_make_ca(const char *dir, char expires[32], char why[256]);

/* Certify `subject` for a role with the CA of `dir`, in files FILE.key and FILE.crt. */
MUST_CHECK int pki_make_cert(const char *dir, const char *file, const char *subject,
	enum tls_role role, char expires[32], char why[256]);

#endif
