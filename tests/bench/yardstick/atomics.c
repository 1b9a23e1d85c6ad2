/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that all processors share, each with a thread of its own. */
#include <pthread.h>
#include <stdatomic.h>

#include "yardstick.h"

#define THREADS_MAX 64

static struct {
	_Alignas(64) _Atomic uint64_t counter;
	_Alignas(64) _Atomic uint32_t word;
	_Alignas(64) uint64_t plain;
	pthread_mutex_t mutex;
	_Alignas(64) _Atomic unsigned ready;
	unsigned threads;
	uint64_t rounds;
	void (*body)(unsigned me);
} s = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *thread_main(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	yard_pin(me);
	if (++s.ready == s.threads)
		yard_begin();
	while (s.ready < s.threads)
		;
	s.body(me);
	return NULL;
}

static uint64_t share(uint64_t rounds, void (*body)(unsigned))
{
	pthread_t thread[THREADS_MAX];

	s.threads = yard_cpus() < THREADS_MAX ? yard_cpus() : THREADS_MAX;
	/* The same work in all, however many do it. */
	s.rounds = rounds / s.threads;
	s.body = body;
	for (unsigned i = 0; i < s.threads; i++)
		if (pthread_create(&thread[i], NULL, thread_main, (void *)(uintptr_t)i) != 0)
			yard_die("atomics: no thread");
	for (unsigned i = 0; i < s.threads; i++)
		pthread_join(thread[i], NULL);
	yard_end();
	return s.counter + s.plain;
}

static void amo_body(unsigned me)
{
	for (uint64_t i = 0; i < s.rounds; i++)
		atomic_fetch_add(&s.counter, 1);
}

/* A compare and exchange is LR and SC. */
static void lrsc_body(unsigned me)
{
	for (uint64_t i = 0; i < s.rounds; i++) {
		uint64_t old = atomic_load_explicit(&s.counter, memory_order_relaxed);
		while (!atomic_compare_exchange_weak(&s.counter, &old, old + 1))
			;
	}
}

/* Counters of their own, a cache line apart: the price without contention. */
static void own_body(unsigned me)
{
	static struct {
		_Alignas(64) _Atomic uint64_t n;
	} own[THREADS_MAX];

	for (uint64_t i = 0; i < s.rounds; i++)
		atomic_fetch_add(&own[me].n, 1);
	atomic_fetch_add(&s.counter, own[me].n);
}

static void mutex_body(unsigned me)
{
	for (uint64_t i = 0; i < s.rounds; i++) {
		pthread_mutex_lock(&s.mutex);
		s.plain++;
		pthread_mutex_unlock(&s.mutex);
	}
}

/* Fences between stores that others read. */
static void fence_body(unsigned me)
{
	for (uint64_t i = 0; i < s.rounds; i++) {
		atomic_store_explicit(&s.word, (uint32_t)i, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
	}
	atomic_fetch_add(&s.counter, s.rounds);
}

static uint64_t amo(uint64_t n)
{
	return share(n * 1000, amo_body);
}

static uint64_t lrsc(uint64_t n)
{
	return share(n * 1000, lrsc_body);
}

static uint64_t amo_own(uint64_t n)
{
	return share(n * 1000, own_body);
}

static uint64_t mutex(uint64_t n)
{
	return share(n * 1000, mutex_body);
}

static uint64_t fence(uint64_t n)
{
	return share(n * 1000, fence_body);
}

const struct yard_kernel yard_atomics[] = {
	{"amo", amo},
	{"amo-own", amo_own},
	{"lrsc", lrsc},
	{"mutex", mutex},
	{"fence", fence},
	{NULL, NULL},
};
