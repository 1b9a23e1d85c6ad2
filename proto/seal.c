/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/seal.h"

#include <stdlib.h>
#include <string.h>

/* OpenSSL has a type of this name, we an error code (base/err.def). */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#undef ERR_STATE

#include "base/buf.h"
#include "base/err.h"

#define SEAL_MAGIC UINT32_C(0x5345414c)
#define IV_BYTES   12u

enum seal_dir { SEAL_UNUSED, SEAL_SEALS, SEAL_OPENS };

struct seal {
	uint32_t magic;
	enum seal_dir dir;   /* set by the first use: one key must not serve both */
	bool broken;         /* an error has closed it */
	uint64_t next;       /* counter of the next frame */
	EVP_CIPHER_CTX *ctx; /* NULL when plain */
	uint8_t key[SEAL_KEY_BYTES];
};

void seal_derive(const struct seal_origin *o, const char *purpose, uint8_t key[SEAL_KEY_BYTES])
{
	/* R-XP-21: salt = both nonces, info = fixed text, incarnation, ids, purpose. */
	uint8_t salt[2 * SEAL_NONCE_BYTES];
	memcpy(salt, o->nonce_lo, SEAL_NONCE_BYTES);
	memcpy(salt + SEAL_NONCE_BYTES, o->nonce_hi, SEAL_NONCE_BYTES);

	uint8_t info[128];
	struct wcur c = wcur_of(info, sizeof(info));
	static const char label[] = "mirrorball data plane 1";
	wcur_bytes(&c, label, sizeof(label));
	wcur_bytes(&c, o->incarnation->b, sizeof(o->incarnation->b));
	wcur_u16(&c, o->lo.v);
	wcur_u16(&c, o->hi.v);
	wcur_bytes(&c, purpose, strlen(purpose));
	CHECK(!c.bad);

	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	CHECK(kdf != NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	CHECK(ctx != NULL);
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)o->secret->b, SEAL_SECRET_BYTES),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, c.used),
		OSSL_PARAM_construct_end(),
	};
	CHECK(EVP_KDF_derive(ctx, key, SEAL_KEY_BYTES, params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

void seal_mac(const uint8_t key[SEAL_KEY_BYTES], const void *bytes, size_t len, uint8_t mac[32])
{
	unsigned got = 32;
	CHECK(HMAC(EVP_sha256(), key, SEAL_KEY_BYTES, bytes, len, mac, &got) != NULL && got == 32);
}

bool seal_mac_equal(const uint8_t a[32], const uint8_t b[32])
{
	return CRYPTO_memcmp(a, b, 32) == 0;
}

void seal_wipe(void *bytes, size_t len)
{
	OPENSSL_cleanse(bytes, len);
}

int seal_create(const uint8_t *key, struct seal **out)
{
	struct seal *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(s, SEAL_MAGIC);
	s->next = 1;
	if (key != NULL) {
		s->ctx = EVP_CIPHER_CTX_new();
		if (s->ctx == NULL) {
			free(s);
			return ERR_NO_MEMORY;
		}
		memcpy(s->key, key, SEAL_KEY_BYTES);
	}
	*out = s;
	return 0;
}

void seal_destroy(struct seal *s)
{
	if (s == NULL)
		return;
	EVP_CIPHER_CTX_free(s->ctx);
	OPENSSL_cleanse(s->key, sizeof(s->key));
	OBJ_FINI(s, SEAL_MAGIC);
	free(s);
}

uint64_t seal_next(const struct seal *s)
{
	OBJ_CHECK(s, SEAL_MAGIC);
	return s->next;
}

/* The first use says what it is for and expands the key, once. */
static void seal_set_dir(struct seal *s, enum seal_dir dir)
{
	OBJ_CHECK(s, SEAL_MAGIC);
	if (likely(s->dir == dir))
		return;
	CHECK(s->dir == SEAL_UNUSED);
	s->dir = dir;
	if (s->ctx == NULL)
		return;
	int rc = dir == SEAL_SEALS
			 ? EVP_EncryptInit_ex(s->ctx, EVP_aes_256_gcm(), NULL, s->key, NULL)
			 : EVP_DecryptInit_ex(s->ctx, EVP_aes_256_gcm(), NULL, s->key, NULL);
	CHECK(rc == 1);
	OPENSSL_cleanse(s->key, sizeof(s->key));
}

/* R-XP-22: four zero bytes and the counter, big-endian as in RFC 5116 section 3.2. */
static void seal_iv(uint64_t sequence, uint8_t iv[IV_BYTES])
{
	memset(iv, 0, IV_BYTES);
	for (unsigned i = 0; i < 8; i++)
		iv[IV_BYTES - 1 - i] = (uint8_t)(sequence >> (8 * i));
}

void seal_seal(struct seal *s, const void *aad, size_t aad_bytes, const void *head,
	size_t head_bytes, const void *data, size_t data_bytes, uint8_t *out)
{
	seal_set_dir(s, SEAL_SEALS);
	/* 2^64 frames never happen; if they did, a nonce would be used twice. */
	CHECK(s->next != 0);
	uint64_t sequence = s->next++;
	if (s->ctx == NULL) {
		if (head_bytes > 0)
			memcpy(out, head, head_bytes);
		if (data_bytes > 0)
			memcpy(out + head_bytes, data, data_bytes);
		return;
	}
	uint8_t iv[IV_BYTES];
	int n;
	seal_iv(sequence, iv);
	CHECK(EVP_EncryptInit_ex(s->ctx, NULL, NULL, NULL, iv) == 1);
	CHECK(EVP_EncryptUpdate(s->ctx, NULL, &n, aad, (int)aad_bytes) == 1);
	if (head_bytes > 0)
		CHECK(EVP_EncryptUpdate(s->ctx, out, &n, head, (int)head_bytes) == 1);
	if (data_bytes > 0)
		CHECK(EVP_EncryptUpdate(s->ctx, out + head_bytes, &n, data, (int)data_bytes) == 1);
	uint8_t *tag = out + head_bytes + data_bytes;
	CHECK(EVP_EncryptFinal_ex(s->ctx, tag, &n) == 1 && n == 0);
	CHECK(EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_GET_TAG, SEAL_TAG_BYTES, tag) == 1);
}

/* Decrypt and check; the counter is the caller's. */
static int seal_open_at(struct seal *s, uint64_t sequence, const void *aad, size_t aad_bytes,
	uint8_t *text, size_t bytes)
{
	if (s->ctx == NULL)
		return 0;
	if (bytes < SEAL_TAG_BYTES || bytes > INT32_MAX)
		return ERR_FORMAT;
	uint8_t iv[IV_BYTES];
	uint8_t *tag = text + bytes - SEAL_TAG_BYTES;
	int len = (int)(bytes - SEAL_TAG_BYTES), n;
	seal_iv(sequence, iv);
	CHECK(EVP_DecryptInit_ex(s->ctx, NULL, NULL, NULL, iv) == 1);
	CHECK(EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_SET_TAG, SEAL_TAG_BYTES, tag) == 1);
	CHECK(EVP_DecryptUpdate(s->ctx, NULL, &n, aad, (int)aad_bytes) == 1);
	if (len > 0)
		CHECK(EVP_DecryptUpdate(s->ctx, text, &n, text, len) == 1);
	/* Only this one depends on what the peer has sent. */
	return EVP_DecryptFinal_ex(s->ctx, tag, &n) == 1 ? 0 : ERR_AUTH;
}

int seal_open(struct seal *s, uint64_t sequence, const void *aad, size_t aad_bytes, uint8_t *text,
	size_t bytes)
{
	seal_set_dir(s, SEAL_OPENS);
	/* R-XP-23 */
	int rc = s->broken || sequence != s->next
			 ? ERR_REPLAY
			 : seal_open_at(s, sequence, aad, aad_bytes, text, bytes);
	if (rc != 0)
		s->broken = true;
	else
		s->next++;
	return rc;
}

int seal_open_later(struct seal *s, uint64_t sequence, const void *aad, size_t aad_bytes,
	uint8_t *text, size_t bytes)
{
	seal_set_dir(s, SEAL_OPENS);
	if (sequence < s->next || sequence == UINT64_MAX)
		return ERR_REPLAY;
	int rc = seal_open_at(s, sequence, aad, aad_bytes, text, bytes);
	if (rc == 0)
		s->next = sequence + 1;
	return rc;
}
