/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

#define TRACE_EVENTS     4096u
#define TRACE_NAME_BYTES 16
#define TRACE_DUMP_RINGS 256u
#define TRACE_OUT_BYTES  4096
#define TRACE_LINE_BYTES 256
#define TRACE_WHAT_BYTES 96
#define NS_PER_S         UINT64_C(1000000000)

struct trace_event {
	_Atomic uint64_t ticks;
	_Atomic(const char *) what;
	_Atomic uint64_t arg[3];
};

/*
 * Written by one thread, read by whoever dumps. `head` counts the events ever recorded; while it is
 * h the writer may be changing the slot of event h, which is also that of event h - TRACE_EVENTS.
 * All slot stores are release stores that follow the store of `head`, so a reader that sees a new
 * value in a slot also sees a `head` that tells it so.
 *
 * Rings are never freed: the ring of a thread that has ended stays readable until another thread
 * takes it over.
 */
struct trace_ring {
	struct trace_ring *next; /* [const after it is in the list] */
	_Atomic bool taken;
	_Atomic uint64_t head;
	_Atomic uint64_t name[TRACE_NAME_BYTES / sizeof(uint64_t)];
	struct trace_event event[TRACE_EVENTS];
};

static _Atomic(struct trace_ring *) trace_rings;
static _Thread_local struct trace_ring *trace_mine;
static pthread_once_t trace_once = PTHREAD_ONCE_INIT;
static pthread_key_t trace_key;
/* The moment that turns ticks into time. [const after trace_once] */
static uint64_t trace_base_ticks, trace_base_ns;

static uint64_t trace_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The time-stamp counter costs a third of clock_gettime(); elsewhere ticks are nanoseconds. */
static uint64_t trace_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return trace_now_ns();
#endif
}

static void trace_thread_ended(void *ring_arg)
{
	struct trace_ring *ring = ring_arg;
	trace_mine = NULL;
	/*
	 * Pairs with the acquire exchange in trace_ring_reuse(): the next owner continues our head.
	 */
	atomic_store_explicit(&ring->taken, false, memory_order_release);
}

static void trace_start(void)
{
	CHECK(pthread_key_create(&trace_key, trace_thread_ended) == 0);
	trace_base_ticks = trace_ticks();
	trace_base_ns = trace_now_ns();
}

static struct trace_ring *trace_ring_reuse(void)
{
	/* Pairs with the release exchange in trace_ring_new(). */
	struct trace_ring *ring = atomic_load_explicit(&trace_rings, memory_order_acquire);
	for (; ring != NULL; ring = ring->next) {
		/* Pairs with the release store in trace_thread_ended(). */
		if (!atomic_exchange_explicit(&ring->taken, true, memory_order_acquire))
			return ring;
	}
	return NULL;
}

/*
 * NULL without memory: tracing must not be what ends a process, and check_failed() must not
 * recurse.
 */
static struct trace_ring *trace_ring_new(void)
{
	struct trace_ring *ring = calloc(1, sizeof(*ring));
	if (ring == NULL)
		return NULL;
	atomic_store_explicit(&ring->taken, true, memory_order_relaxed);
	ring->next = atomic_load_explicit(&trace_rings, memory_order_relaxed);
	/* Pairs with the acquire loads of trace_rings in trace_ring_reuse() and trace_dump(). */
	while (!atomic_compare_exchange_weak_explicit(
		&trace_rings, &ring->next, ring, memory_order_release, memory_order_relaxed))
		;
	return ring;
}

static struct trace_ring *trace_ring_get(void)
{
	if (likely(trace_mine != NULL))
		return trace_mine;
	pthread_once(&trace_once, trace_start);
	struct trace_ring *ring = trace_ring_reuse();
	if (ring == NULL)
		ring = trace_ring_new();
	if (ring == NULL)
		return NULL;
	trace_mine = ring;
	pthread_setspecific(trace_key, ring);
	trace_thread("");
	return ring;
}

void trace(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	struct trace_ring *ring = trace_ring_get();
	if (unlikely(ring == NULL))
		return;
	uint64_t h = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct trace_event *e = &ring->event[h % TRACE_EVENTS];
	/* All pair with the acquire loads in trace_read(). */
	atomic_store_explicit(&e->ticks, trace_ticks(), memory_order_release);
	atomic_store_explicit(&e->what, what, memory_order_release);
	atomic_store_explicit(&e->arg[0], a, memory_order_release);
	atomic_store_explicit(&e->arg[1], b, memory_order_release);
	atomic_store_explicit(&e->arg[2], c, memory_order_release);
	atomic_store_explicit(&ring->head, h + 1, memory_order_release);
}

void trace_thread(const char *name)
{
	struct trace_ring *ring = trace_ring_get();
	if (ring == NULL)
		return;
	char text[TRACE_NAME_BYTES] = {0};
	uint64_t words[TRACE_NAME_BYTES / sizeof(uint64_t)];
	memcpy(text, name, strnlen(name, TRACE_NAME_BYTES - 1));
	memcpy(words, text, sizeof(words));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		atomic_store_explicit(&ring->name[i], words[i], memory_order_relaxed);
}

/* --- dump: no locks, no allocation, no stdio --- */

struct trace_out {
	int fd;
	size_t used;
	char buf[TRACE_OUT_BYTES];
};

/* One event of one ring, copied out. */
struct trace_record {
	uint64_t ticks;
	const char *what;
	uint64_t arg[3];
};

/* Where the dump is in one ring, and the event it has there. */
struct trace_cursor {
	const struct trace_ring *ring;
	uint64_t at, end;
	struct trace_record record;
};

static void trace_flush(struct trace_out *o)
{
	for (size_t done = 0; done < o->used;) {
		ssize_t n = write(o->fd, o->buf + done, o->used - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	o->used = 0;
}

static void trace_put(struct trace_out *o, const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i] != '\0'; i++) {
		if (o->used == sizeof(o->buf))
			trace_flush(o);
		o->buf[o->used++] = s[i];
	}
}

/* At least `width` digits in `radix`. */
static void trace_put_number(struct trace_out *o, uint64_t v, unsigned radix, unsigned width)
{
	char digits[32];
	size_t at = sizeof(digits);
	digits[--at] = '\0';
	while (v != 0 || width > 0) {
		digits[--at] = "0123456789abcdef"[v % radix];
		v /= radix;
		width -= width > 0;
	}
	trace_put(o, digits + at, sizeof(digits));
}

/* Load the event at c->at; false if it has been overwritten or is being so. */
static bool trace_read(struct trace_cursor *c)
{
	const struct trace_event *e = &c->ring->event[c->at % TRACE_EVENTS];
	/* All pair with the release stores in trace(). */
	c->record.ticks = atomic_load_explicit(&e->ticks, memory_order_acquire);
	c->record.what = atomic_load_explicit(&e->what, memory_order_acquire);
	for (size_t i = 0; i < ARRAY_SIZE(c->record.arg); i++)
		c->record.arg[i] = atomic_load_explicit(&e->arg[i], memory_order_acquire);
	return atomic_load_explicit(&c->ring->head, memory_order_acquire) - c->at < TRACE_EVENTS;
}

/* Move to the next readable event, from c->at on. */
static bool trace_cursor_load(struct trace_cursor *c)
{
	for (; c->at < c->end; c->at++)
		if (trace_read(c))
			return true;
	return false;
}

/* Ticks to CLOCK_MONOTONIC, by the line through the first moment and now. */
static uint64_t trace_ticks_to_ns(uint64_t ticks, uint64_t now_ticks, uint64_t now_ns)
{
	uint64_t span = now_ticks - trace_base_ticks;
	if (span == 0 || ticks <= trace_base_ticks)
		return trace_base_ns;
	unsigned __int128 since = (unsigned __int128)(ticks - trace_base_ticks);
	return trace_base_ns + (uint64_t)(since * (now_ns - trace_base_ns) / span);
}

static void trace_put_event(struct trace_out *o, const struct trace_cursor *c, uint64_t ns)
{
	char name[TRACE_NAME_BYTES];
	uint64_t words[TRACE_NAME_BYTES / sizeof(uint64_t)];
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = atomic_load_explicit(&c->ring->name[i], memory_order_relaxed);
	memcpy(name, words, sizeof(name));

	trace_put_number(o, ns / NS_PER_S, 10, 1);
	trace_put(o, ".", 1);
	trace_put_number(o, ns % NS_PER_S, 10, 9);
	trace_put(o, " ", 1);
	trace_put(o, name[0] != '\0' ? name : "-", TRACE_NAME_BYTES);
	trace_put(o, " ", 1);
	trace_put(o, c->record.what, TRACE_WHAT_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(c->record.arg); i++) {
		trace_put(o, " 0x", 3);
		trace_put_number(o, c->record.arg[i], 16, 1);
	}
	trace_put(o, "\n", 1);
}

void trace_dump(int fd)
{
	struct trace_cursor cursor[TRACE_DUMP_RINGS];
	struct trace_out out = {.fd = fd};
	unsigned n = 0, skipped = 0;

	/* Pairs with the release exchange in trace_ring_new(). */
	const struct trace_ring *ring = atomic_load_explicit(&trace_rings, memory_order_acquire);
	for (; ring != NULL; ring = ring->next) {
		if (n == TRACE_DUMP_RINGS) {
			skipped++;
			continue;
		}
		struct trace_cursor *c = &cursor[n];
		c->ring = ring;
		/* Pairs with the release store of head in trace(). */
		c->end = atomic_load_explicit(&ring->head, memory_order_acquire);
		c->at = c->end < TRACE_EVENTS ? 0 : c->end - TRACE_EVENTS;
		n += trace_cursor_load(c);
	}
	uint64_t now_ticks = trace_ticks(), now_ns = trace_now_ns();

	trace_put(&out, "trace begins: seconds thread event arguments\n", TRACE_LINE_BYTES);
	while (n > 0) {
		unsigned first = 0;
		for (unsigned i = 1; i < n; i++)
			if (cursor[i].record.ticks < cursor[first].record.ticks)
				first = i;
		struct trace_cursor *c = &cursor[first];
		trace_put_event(&out, c, trace_ticks_to_ns(c->record.ticks, now_ticks, now_ns));
		c->at++;
		if (!trace_cursor_load(c))
			cursor[first] = cursor[--n];
	}
	trace_put(&out, "trace ends, threads left out: ", TRACE_LINE_BYTES);
	trace_put_number(&out, skipped, 10, 1);
	trace_put(&out, "\n", 1);
	trace_flush(&out);
}
