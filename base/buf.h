/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <string.h>

#include "base/check.h"

/*
 * Bounded little-endian cursors. A read or write past the end does nothing, returns 0, and marks
 * the cursor bad, so that a decoder reads all its fields and asks once at the end.
 */
struct rcur {
	const uint8_t *p;
	size_t left;
	bool bad;
};

struct wcur {
	uint8_t *p;
	size_t left;
	size_t used;
	bool bad;
};

static inline struct rcur rcur_of(const void *p, size_t len)
{
	return (struct rcur){.p = p, .left = len};
}

static inline struct wcur wcur_of(void *p, size_t len)
{
	return (struct wcur){.p = p, .left = len};
}

/* `len` bytes of the input in place, or NULL (and bad). */
static inline const void *rcur_bytes(struct rcur *c, size_t len)
{
	if (c->bad || len > c->left) {
		c->bad = true;
		return NULL;
	}
	const void *p = c->p;
	if (len != 0) /* NULL + 0 is undefined before C2x */
		c->p += len;
	c->left -= len;
	return p;
}

static inline void wcur_bytes(struct wcur *c, const void *src, size_t len)
{
	if (c->bad || len > c->left) {
		c->bad = true;
		return;
	}
	if (len == 0)
		return;
	memcpy(c->p, src, len);
	c->p += len;
	c->left -= len;
	c->used += len;
}

#define BUF_CURSOR_FNS(bits)                                                                       \
	static inline uint##bits##_t rcur_u##bits(struct rcur *c)                                  \
	{                                                                                          \
		const uint8_t *p = rcur_bytes(c, (bits) / 8);                                      \
		uint##bits##_t v = 0;                                                              \
		for (unsigned i = 0; p != NULL && i < (bits) / 8; i++)                             \
			v |= (uint##bits##_t)((uint##bits##_t)p[i] << (8 * i));                    \
		return v;                                                                          \
	}                                                                                          \
	static inline void wcur_u##bits(struct wcur *c, uint##bits##_t v)                          \
	{                                                                                          \
		uint8_t b[(bits) / 8];                                                             \
		for (unsigned i = 0; i < (bits) / 8; i++)                                          \
			b[i] = (uint8_t)(v >> (8 * i));                                            \
		wcur_bytes(c, b, sizeof(b));                                                       \
	}
BUF_CURSOR_FNS(8)
BUF_CURSOR_FNS(16)
BUF_CURSOR_FNS(32)
BUF_CURSOR_FNS(64)
#undef BUF_CURSOR_FNS

/* Whole input taken and nothing missing? */
static inline bool rcur_done(const struct rcur *c)
{
	return !c->bad && c->left == 0;
}

#endif
