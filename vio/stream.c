/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/lk.h"

#define STREAM_MAGIC 0x73747265u

struct stream_ring {
	uint8_t *bytes;
	size_t size, first, used;
};

struct stream_end {
	stream_event_fn *fn;
	void *arg;
	bool open;
};

struct stream {
	uint32_t magic;
	enum stream_policy policy;
	struct lk lk;               /* all below */
	struct stream_ring in, out; /* to the guest, from the guest */
	struct stream_end dev, host;
	uint64_t dropped;
};

static size_t stream_ring_put(struct stream_ring *r, const uint8_t *buf, size_t len)
{
	len = MIN(len, r->size - r->used);
	if (len == 0)
		return 0;
	size_t at = (r->first + r->used) % r->size;
	size_t head = MIN(len, r->size - at);
	memcpy(r->bytes + at, buf, head);
	memcpy(r->bytes, buf + head, len - head);
	r->used += len;
	return len;
}

static void stream_ring_drop(struct stream_ring *r, size_t len)
{
	CHECK(len <= r->used);
	r->first = (r->first + len) % r->size;
	r->used -= len;
}

static size_t stream_ring_get(struct stream_ring *r, uint8_t *buf, size_t len)
{
	len = MIN(len, r->used);
	if (len == 0)
		return 0;
	size_t head = MIN(len, r->size - r->first);
	memcpy(buf, r->bytes + r->first, head);
	memcpy(buf + head, r->bytes, len - head);
	stream_ring_drop(r, len);
	return len;
}

/* Drop the lock, then tell an end: its callback takes locks of lower rank. */
static void stream_unlock_and_tell(struct stream *s, const struct stream_end *end, unsigned events)
{
	struct stream_end copy = *end;
	lk_unlock(&s->lk);
	if (events != 0 && copy.fn != NULL)
		copy.fn(copy.arg, events);
}

int stream_create(const struct stream_cfg *cfg, struct stream **out)
{
	CHECK(cfg->in_bytes > 0 && cfg->out_bytes > 0);
	struct stream *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ERR_NO_MEMORY;
	s->in = (struct stream_ring){.bytes = malloc(cfg->in_bytes), .size = cfg->in_bytes};
	s->out = (struct stream_ring){.bytes = malloc(cfg->out_bytes), .size = cfg->out_bytes};
	if (s->in.bytes == NULL || s->out.bytes == NULL) {
		free(s->in.bytes);
		free(s->out.bytes);
		free(s);
		return ERR_NO_MEMORY;
	}
	s->policy = cfg->policy;
	lk_init(&s->lk, LK_stream);
	OBJ_INIT(s, STREAM_MAGIC);
	*out = s;
	return 0;
}

void stream_destroy(struct stream *s)
{
	if (s == NULL)
		return;
	OBJ_FINI(s, STREAM_MAGIC);
	lk_fini(&s->lk);
	free(s->in.bytes);
	free(s->out.bytes);
	free(s);
}

static void stream_bind(struct stream *s, struct stream_end *end, stream_event_fn *fn, void *arg)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	end->fn = fn;
	end->arg = arg;
	lk_unlock(&s->lk);
}

/* Move bytes from a queue to the caller, and tell the end that fills it. */
static size_t stream_take(
	struct stream *s, struct stream_ring *r, struct stream_end *filler, void *buf, size_t len)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	size_t n = stream_ring_get(r, buf, len);
	stream_unlock_and_tell(s, filler, n != 0 ? STREAM_WRITABLE : 0);
	return n;
}

static size_t stream_used(struct stream *s, const struct stream_ring *r)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	size_t n = r->used;
	lk_unlock(&s->lk);
	return n;
}

static void stream_set_open(
	struct stream *s, struct stream_end *end, const struct stream_end *other, bool open)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	bool change = end->open != open;
	end->open = open;
	stream_unlock_and_tell(s, other, change ? STREAM_PEER : 0);
}

static bool stream_is_open(struct stream *s, const struct stream_end *end)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	bool open = end->open;
	lk_unlock(&s->lk);
	return open;
}

static bool stream_drops_locked(const struct stream *s)
{
	lk_assert_held(&s->lk);
	return s->policy == STREAM_LOSSY_UNHEARD && !s->host.open;
}

/* ---- the device's end ---- */

void stream_dev_bind(struct stream *s, stream_event_fn *fn, void *arg)
{
	stream_bind(s, &s->dev, fn, arg);
}

size_t stream_dev_put(struct stream *s, const void *buf, size_t len)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	const uint8_t *p = buf;
	size_t taken = 0;
	lk_lock(&s->lk);
	bool was_empty = s->out.used == 0;
	if (stream_drops_locked(s)) {
		/* The newest bytes stay. */
		size_t skip = len > s->out.size ? len - s->out.size : 0;
		size_t need = len - skip, room = s->out.size - s->out.used;
		size_t old = need > room ? need - room : 0;
		stream_ring_drop(&s->out, old);
		s->dropped += skip + old;
		taken = skip;
	}
	taken += stream_ring_put(&s->out, p + taken, len - taken);
	stream_unlock_and_tell(s, &s->host, was_empty && taken != 0 ? STREAM_READABLE : 0);
	return taken;
}

size_t stream_dev_get(struct stream *s, void *buf, size_t len)
{
	return stream_take(s, &s->in, &s->host, buf, len);
}

size_t stream_dev_readable(struct stream *s)
{
	return stream_used(s, &s->in);
}

size_t stream_dev_writable(struct stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	size_t n = stream_drops_locked(s) ? SIZE_MAX : s->out.size - s->out.used;
	lk_unlock(&s->lk);
	return n;
}

void stream_dev_open(struct stream *s, bool open)
{
	stream_set_open(s, &s->dev, &s->host, open);
}

bool stream_dev_heard(struct stream *s)
{
	return stream_is_open(s, &s->host);
}

void stream_dev_reset(struct stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	/* What the guest has said stays readable: the last words before a reboot matter. */
	s->in.first = s->in.used = 0;
	bool change = s->dev.open;
	s->dev.open = false;
	stream_unlock_and_tell(s, &s->host, STREAM_WRITABLE | (change ? STREAM_PEER : 0));
}

/* ---- the host's end ---- */

void stream_host_bind(struct stream *s, stream_event_fn *fn, void *arg)
{
	stream_bind(s, &s->host, fn, arg);
}

size_t stream_host_write(struct stream *s, const void *buf, size_t len)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	bool was_empty = s->in.used == 0;
	size_t n = stream_ring_put(&s->in, buf, len);
	stream_unlock_and_tell(s, &s->dev, was_empty && n != 0 ? STREAM_READABLE : 0);
	return n;
}

size_t stream_host_read(struct stream *s, void *buf, size_t len)
{
	return stream_take(s, &s->out, &s->dev, buf, len);
}

size_t stream_host_readable(struct stream *s)
{
	return stream_used(s, &s->out);
}

size_t stream_host_writable(struct stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	size_t n = s->in.size - s->in.used;
	lk_unlock(&s->lk);
	return n;
}

void stream_host_open(struct stream *s, bool open)
{
	stream_set_open(s, &s->host, &s->dev, open);
}

bool stream_host_guest_open(struct stream *s)
{
	return stream_is_open(s, &s->dev);
}

uint64_t stream_host_dropped(struct stream *s)
{
	OBJ_CHECK(s, STREAM_MAGIC);
	lk_lock(&s->lk);
	uint64_t n = s->dropped;
	lk_unlock(&s->lk);
	return n;
}
