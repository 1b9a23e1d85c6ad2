/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lib/ut.h"

static char *text;

static void drop_text(void)
{
	free(text);
	text = NULL;
}

UT_SUITE_WITH(trace, NULL, drop_text);

/* The dump as text; valid until the test ends. */
static char *dump(void)
{
	int fd = memfd_create("trace", MFD_CLOEXEC);
	UT_CHECK(fd >= 0);
	trace_dump(fd);
	off_t size = lseek(fd, 0, SEEK_END);
	drop_text();
	text = calloc(1, (size_t)size + 1);
	UT_CHECK(text != NULL);
	UT_EQ(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	return text;
}

static unsigned count(const char *s, const char *part)
{
	unsigned n = 0;
	for (; (s = strstr(s, part)) != NULL; s += strlen(part))
		n++;
	return n;
}

UT_TEST(prints_what_was_recorded)
{
	uint64_t before_ns = clock_now_ns(clock_host());
	trace_thread("test");
	trace("an event", 0, UINT64_MAX, 0x1234);
	uint64_t after_ns = clock_now_ns(clock_host());
	char *line = strstr(dump(), " test an event 0x0 0xffffffffffffffff 0x1234\n");
	UT_CHECK(line != NULL);
	while (line > text && line[-1] != '\n')
		line--;
	uint64_t s, ns;
	UT_EQ(sscanf(line, "%" SCNu64 ".%9" SCNu64 " ", &s, &ns), 2);
	ns += s * UINT64_C(1000000000);
	/* Within a millisecond: the time-stamp counter is turned into time by two readings. */
	UT_CHECK(ns + 1000000 >= before_ns && ns <= after_ns + 1000000);
}

UT_TEST(names_are_cut)
{
	trace_thread("a name longer than it may be");
	trace("named", 1, 2, 3);
	UT_HAS_STR(dump(), " a name longer t named 0x1 0x2 0x3\n");
	trace_thread("");
	UT_HAS_STR(dump(), " - named 0x1 0x2 0x3\n");
	trace_thread("test");
}

UT_TEST(keeps_the_last_events)
{
	char part[64];
	for (uint64_t i = 0; i < 5000; i++)
		trace("numbered", i, 0, 0);
	UT_EQ(count(dump(), "numbered"), 4095);
	for (uint64_t i = 0; i < 5000; i += 1) {
		snprintf(part, sizeof(part), "numbered 0x%" PRIx64 " ", i);
		if (i % 97 == 0 || i == 904 || i == 905 || i == 4999)
			UT_EQ(strstr(text, part) != NULL, i >= 905);
	}
}

struct turns {
	pthread_barrier_t barrier;
};

static void *trace_odd(void *arg)
{
	struct turns *turns = arg;
	trace_thread("odd");
	for (uint64_t i = 1; i < 20; i += 2) {
		pthread_barrier_wait(&turns->barrier);
		trace("turn", i, 0, 0);
		pthread_barrier_wait(&turns->barrier);
	}
	return NULL;
}

UT_TEST(merges_threads_by_time)
{
	struct turns turns;
	pthread_t thread;
	char part[64];
	UT_EQ(pthread_barrier_init(&turns.barrier, NULL, 2), 0);
	UT_EQ(pthread_create(&thread, NULL, trace_odd, &turns), 0);
	trace_thread("even");
	for (uint64_t i = 0; i < 20; i += 2) {
		trace("turn", i, 0, 0);
		pthread_barrier_wait(&turns.barrier);
		pthread_barrier_wait(&turns.barrier);
	}
	UT_EQ(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&turns.barrier);
	const char *at = dump();
	for (uint64_t i = 0; i < 20; i++) {
		snprintf(part, sizeof(part), " %s turn 0x%" PRIx64 " ", i % 2 == 0 ? "even" : "odd",
			i);
		at = strstr(at, part);
		UT_CHECK(at != NULL);
	}
	trace_thread("test");
}

static void *trace_once_as_short(UNUSED void *arg)
{
	trace_thread("short");
	trace("short lived", 1, 2, 3);
	return NULL;
}

/* A thousand threads must not cost a thousand rings; what the last one did stays readable. */
UT_TEST(rings_of_ended_threads_are_reused)
{
	for (unsigned i = 0; i < 1000; i++) {
		pthread_t thread;
		UT_EQ(pthread_create(&thread, NULL, trace_once_as_short, NULL), 0);
		UT_EQ(pthread_join(thread, NULL), 0);
	}
	UT_EQ(count(dump(), " short short lived 0x1 0x2 0x3\n"), 1000);
	UT_HAS_STR(text, "threads left out: 0\n");
}

static atomic_bool stop;

static void *trace_equal_arguments(UNUSED void *arg)
{
	trace_thread("busy");
	for (uint64_t i = 0; !atomic_load(&stop); i++)
		trace("equal", i, i, i);
	return NULL;
}

/* No torn event, whatever the writer does meanwhile. */
UT_TEST(dumps_while_threads_record)
{
	pthread_t threads[2];
	atomic_store(&stop, false);
	for (unsigned i = 0; i < 2; i++)
		UT_EQ(pthread_create(&threads[i], NULL, trace_equal_arguments, NULL), 0);
	bool torn = false;
	for (unsigned round = 0; round < 20; round++) {
		for (const char *at = dump(); (at = strstr(at, "equal ")) != NULL; at++) {
			uint64_t v[3];
			torn |= sscanf(at, "equal %" SCNx64 " %" SCNx64 " %" SCNx64, &v[0], &v[1],
					&v[2]) != 3;
			torn |= v[0] != v[1] || v[0] != v[2];
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		UT_EQ(pthread_join(threads[i], NULL), 0);
	UT_CHECK(!torn);
}
