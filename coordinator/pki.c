/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "coordinator/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* OpenSSL has a type of the name of one of our error codes. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "base/err.h"

#define PATH_BYTES 1200
/* Hosts whose clocks are a little behind must accept a certificate that is a minute old. */
#define BACKDATE_S 3600

static int fail(char why[256], int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int fail(char why[256], int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, 256, fmt, ap);
	va_end(ap);
	return err;
}

static int fail_ssl(char why[256], const char *what)
{
	const char *s = ERR_reason_error_string(ERR_peek_last_error());

	return fail(why, ERR_IO, "%s: %s", what, s == NULL ? "OpenSSL gives no reason" : s);
}

static void path_of(char out[PATH_BYTES], const char *dir, const char *name, const char *ext)
{
	snprintf(out, PATH_BYTES, "%s/%s.%s", dir, name, ext);
}

/* A new file, readable by its owner alone; never through a link, never over another. */
static FILE *create_file(const char *path, char why[256])
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (f == NULL) {
		fail(why, 0, "%.180s: %s", path,
			errno == EEXIST ? "exists already; nothing is overwritten"
					: strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return f;
}

static int write_pem(const char *dir, const char *name, EVP_PKEY *key, X509 *cert, char why[256])
{
	char key_path[PATH_BYTES], cert_path[PATH_BYTES];

	path_of(key_path, dir, name, "key");
	path_of(cert_path, dir, name, "crt");
	FILE *kf = create_file(key_path, why);
	if (kf == NULL)
		return ERR_EXISTS;
	FILE *cf = create_file(cert_path, why);
	if (cf == NULL)
		goto undo_key;
	bool ok = PEM_write_PrivateKey(kf, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		  PEM_write_X509(cf, cert) == 1;
	ok = fflush(kf) == 0 && fsync(fileno(kf)) == 0 && fflush(cf) == 0 &&
	     fsync(fileno(cf)) == 0 && ok;
	if (!ok) {
		fail(why, 0, "%.180s: cannot be written; is the disk full?", key_path);
		fclose(cf);
		unlink(cert_path);
		goto undo_key;
	}
	fclose(cf);
	fclose(kf);
	return 0;
undo_key:
	fclose(kf);
	unlink(key_path);
	return ERR_IO;
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool set_serial(X509 *cert)
{
	BIGNUM *bn = BN_new();
	bool ok = bn != NULL && BN_rand(bn, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;

	BN_free(bn);
	return ok;
}

static bool set_name(X509_NAME *name, const char *role, const char *subject)
{
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
		       (const unsigned char *)"mirrorball", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(
		       name, "OU", MBSTRING_ASC, (const unsigned char *)role, -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(
		       name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1, 0) == 1;
}

/* An unsigned certificate; `issuer` NULL: of itself. */
static X509 *new_cert(
	EVP_PKEY *key, X509 *issuer, const char *role, const char *subject, unsigned days)
{
	X509 *cert = X509_new();

	if (cert == NULL)
		return NULL;
	if (X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_S) != NULL &&
		X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * 24 * 3600) != NULL &&
		X509_set_pubkey(cert, key) == 1 &&
		set_name(X509_get_subject_name(cert), role, subject) &&
		X509_set_issuer_name(cert, X509_get_subject_name(issuer == NULL ? cert : issuer)) ==
			1)
		return cert;
	X509_free(cert);
	return NULL;
}

static void expiry(const X509 *cert, char out[32])
{
	struct tm tm;

	out[0] = '\0';
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		strftime(out, 32, "%Y-%m-%d", &tm);
}

int pki_make_ca(const char *dir, char expires[32], char why[256])
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int err;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail(why, err_from_errno(errno), "%.180s: %s", dir, strerror(errno));
	ERR_clear_error();
	key = EVP_EC_gen("P-256");
	cert = key == NULL ? NULL : new_cert(key, NULL, "ca", "mirrorball CA", PKI_CA_DAYS);
	if (cert == NULL ||
		!add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
		!add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
		!add_ext(cert, cert, NID_subject_key_identifier, "hash") ||
		X509_sign(cert, key, EVP_sha256()) == 0)
		err = fail_ssl(why, "cannot make the CA");
	else
		err = write_pem(dir, "ca", key, cert, why);
	if (err == 0)
		expiry(cert, expires);
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

static int load_ca(const char *dir, EVP_PKEY **key, X509 **cert, char why[256])
{
	char path[PATH_BYTES];
	FILE *f;

	*key = NULL;
	*cert = NULL;
	path_of(path, dir, "ca", "key");
	f = fopen(path, "re");
	if (f == NULL)
		return fail(why, ERR_NOT_FOUND, "%.150s: %s; 'mirrorball init' makes a CA", path,
			strerror(errno));
	*key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	path_of(path, dir, "ca", "crt");
	f = fopen(path, "re");
	if (f != NULL) {
		*cert = PEM_read_X509(f, NULL, NULL, NULL);
		fclose(f);
	}
	if (*key != NULL && *cert != NULL && X509_check_private_key(*cert, *key) == 1)
		return 0;
	EVP_PKEY_free(*key);
	X509_free(*cert);
	return fail(why, ERR_FORMAT, "%.150s and ca.key are not a certificate and its key", path);
}

int pki_make_cert(const char *dir, const char *file, const char *subject, enum tls_role role,
	char expires[32], char why[256])
{
	EVP_PKEY *ca_key, *key;
	X509 *ca, *cert;

	ERR_clear_error();
	int err = load_ca(dir, &ca_key, &ca, why);
	if (err != 0)
		return err;
	key = EVP_EC_gen("P-256");
	cert = key == NULL ? NULL : new_cert(key, ca, tls_role_text(role), subject, PKI_CERT_DAYS);
	if (cert == NULL || !add_ext(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
		!add_ext(cert, ca, NID_key_usage, "critical,digitalSignature") ||
		!add_ext(cert, ca, NID_ext_key_usage,
			role == TLS_ROLE_COORDINATOR ? "serverAuth" : "clientAuth") ||
		!add_ext(cert, ca, NID_subject_key_identifier, "hash") ||
		!add_ext(cert, ca, NID_authority_key_identifier, "keyid:always") ||
		X509_sign(cert, ca_key, EVP_sha256()) == 0)
		err = fail_ssl(why, "cannot make the certificate");
	else
		err = write_pem(dir, file, key, cert, why);
	if (err == 0)
		expiry(cert, expires);
	X509_free(cert);
	EVP_PKEY_free(key);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return err;
}
