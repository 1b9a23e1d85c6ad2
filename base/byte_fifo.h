/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BYTE_FIFO_H
#define BASE_BYTE_FIFO_H

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* A bounded ring of bytes whose memory is taken with the first byte and given back by
 * byte_fifo_fini(). */
struct byte_fifo {
	uint8_t *p;
	size_t cap, head, len;
};

static inline void byte_fifo_init(struct byte_fifo *f, size_t cap)
{
	*f = (struct byte_fifo){.cap = cap};
}

static inline void byte_fifo_fini(struct byte_fifo *f)
{
	free(f->p);
	*f = (struct byte_fifo){.cap = f->cap};
}

/* Append; returns how many bytes found room. */
static inline size_t byte_fifo_put(struct byte_fifo *f, const void *buf, size_t len)
{
	if (len > f->cap - f->len)
		len = f->cap - f->len;
	if (len == 0)
		return 0;
	if (f->p == NULL)
		f->p = malloc(f->cap);
	if (f->p == NULL)
		return 0;
	size_t at = (f->head + f->len) % f->cap;
	size_t first = MIN(len, f->cap - at);
	memcpy(f->p + at, buf, first);
	memcpy(f->p, (const uint8_t *)buf + first, len - first);
	f->len += len;
	return len;
}

/* The first bytes that lie in one piece; NULL and 0 when empty. */
static inline const uint8_t *byte_fifo_peek(const struct byte_fifo *f, size_t *len)
{
	*len = MIN(f->len, f->cap - f->head);
	return *len == 0 ? NULL : f->p + f->head;
}

static inline void byte_fifo_drop(struct byte_fifo *f, size_t len)
{
	CHECK(len <= f->len);
	f->head = (f->head + len) % f->cap;
	f->len -= len;
}

/* Take up to `len` bytes; returns how many there were. */
static inline size_t byte_fifo_get(struct byte_fifo *f, void *buf, size_t len)
{
	size_t done = 0, n;

	while (done < len) {
		const uint8_t *p = byte_fifo_peek(f, &n);
		if (p == NULL)
			break;
		n = MIN(n, len - done);
		memcpy((uint8_t *)buf + done, p, n);
		byte_fifo_drop(f, n);
		done += n;
	}
	return done;
}

#endif
