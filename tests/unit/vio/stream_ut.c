/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/stream.h"

#include <pthread.h>
#include <sched.h>

#include "tests/lib/ut.h"

static struct stream *s;
static unsigned dev_events, host_events;

static void on_dev(void *arg, unsigned events)
{
	dev_events |= events;
}

static void on_host(void *arg, unsigned events)
{
	host_events |= events;
}

static void make(enum stream_policy policy)
{
	const struct stream_cfg cfg = {.in_bytes = 8, .out_bytes = 8, .policy = policy};
	UT_OK(stream_create(&cfg, &s));
	stream_dev_bind(s, on_dev, NULL);
	stream_host_bind(s, on_host, NULL);
	dev_events = host_events = 0;
}

static void after(void)
{
	stream_destroy(s);
	s = NULL;
}

UT_SUITE_WITH(stream, NULL, after);

UT_TEST(bytes_keep_their_order_around_the_end_of_the_buffer)
{
	make(STREAM_LOSSLESS);
	char got[8];
	for (unsigned i = 0; i < 20; i++) {
		char five[5] = {'a', 'b', 'c', 'd', (char)('0' + i % 10)};
		UT_EQ(stream_dev_put(s, five, 5), 5);
		UT_EQ(stream_host_read(s, got, sizeof(got)), 5);
		UT_EQ_MEM(got, five, 5);
		UT_EQ(stream_host_write(s, five, 5), 5);
		UT_EQ(stream_dev_get(s, got, sizeof(got)), 5);
		UT_EQ_MEM(got, five, 5);
	}
	UT_EQ(stream_host_read(s, got, sizeof(got)), 0);
}

UT_TEST(a_lossless_stream_takes_what_fits)
{
	make(STREAM_LOSSLESS);
	UT_EQ(stream_dev_put(s, "0123456789", 10), 8);
	UT_EQ(stream_dev_writable(s), 0);
	UT_EQ(stream_dev_put(s, "x", 1), 0);
	UT_EQ(stream_host_write(s, "0123456789", 10), 8);
	UT_EQ(stream_host_writable(s), 0);
	UT_EQ(stream_host_dropped(s), 0);
	UT_EQ(stream_host_readable(s), 8);
	UT_EQ(stream_dev_readable(s), 8);
}

UT_TEST(an_unheard_stream_keeps_the_newest_bytes)
{
	make(STREAM_LOSSY_UNHEARD);
	char got[9] = "";
	UT_EQ(stream_dev_writable(s), SIZE_MAX);
	UT_EQ(stream_dev_put(s, "abcdef", 6), 6);
	UT_EQ(stream_dev_put(s, "ghij", 4), 4);
	UT_EQ(stream_host_dropped(s), 2);
	UT_EQ(stream_dev_put(s, "0123456789ABCDEF", 16), 16);
	UT_EQ(stream_host_dropped(s), 18);
	UT_EQ(stream_host_read(s, got, 8), 8);
	UT_EQ_STR(got, "89ABCDEF");
}

UT_TEST(a_heard_one_pushes_back)
{
	make(STREAM_LOSSY_UNHEARD);
	stream_host_open(s, true);
	UT_CHECK(stream_dev_heard(s));
	UT_EQ(stream_dev_put(s, "0123456789", 10), 8);
	UT_EQ(stream_dev_writable(s), 0);
	UT_EQ(stream_host_dropped(s), 0);
	stream_host_open(s, false);
	UT_EQ(stream_dev_writable(s), SIZE_MAX);
}

UT_TEST(each_end_is_told_of_the_other)
{
	make(STREAM_LOSSLESS);
	stream_dev_put(s, "ab", 2);
	UT_EQ(host_events, STREAM_READABLE);
	host_events = 0;
	stream_dev_put(s, "c", 1);
	UT_EQ(host_events, 0);
	char got[8];
	stream_host_read(s, got, 1);
	UT_EQ(dev_events, STREAM_WRITABLE);
	dev_events = 0;
	stream_host_write(s, "x", 1);
	UT_EQ(dev_events, STREAM_READABLE);
	stream_dev_get(s, got, 1);
	UT_EQ(host_events, STREAM_WRITABLE);
	dev_events = host_events = 0;
	stream_dev_open(s, true);
	stream_dev_open(s, true);
	UT_EQ(host_events, STREAM_PEER);
	UT_CHECK(stream_host_guest_open(s));
	stream_host_open(s, true);
	UT_EQ(dev_events, STREAM_PEER);
}

UT_TEST(reset_keeps_the_last_words)
{
	make(STREAM_LOSSLESS);
	stream_dev_open(s, true);
	stream_dev_put(s, "panic", 5);
	stream_host_write(s, "input", 5);
	stream_dev_reset(s);
	UT_EQ(stream_dev_readable(s), 0);
	UT_EQ(stream_host_readable(s), 5);
	UT_CHECK(!stream_host_guest_open(s));
}

#define MANY 20000u

static void *produce(void *arg)
{
	for (unsigned i = 0; i < MANY;) {
		uint8_t byte = (uint8_t)(i * 13);
		if (stream_dev_put(s, &byte, 1) == 1)
			i++;
		else
			sched_yield();
	}
	return NULL;
}

UT_TEST(two_threads)
{
	make(STREAM_LOSSLESS);
	stream_dev_bind(s, NULL, NULL);
	stream_host_bind(s, NULL, NULL);
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, produce, NULL) == 0);
	unsigned wrong = 0;
	for (unsigned i = 0; i < MANY;) {
		uint8_t got[8];
		size_t n = stream_host_read(s, got, sizeof(got));
		if (n == 0)
			sched_yield();
		for (size_t k = 0; k < n; k++, i++)
			wrong += got[k] != (uint8_t)(i * 13);
	}
	CHECK(pthread_join(thread, NULL) == 0);
	UT_EQ(wrong, 0);
}
