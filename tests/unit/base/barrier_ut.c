/* SPDX-License-Identifier: Apache-2.0 */
#include "base/barrier.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/ut.h"

UT_SUITE(barrier);

#define ROUNDS 20000

/*
 *  Store buffering: each side stores to its word and reads the other's. Without barriers both may
 *  read 0; only one side has one here. The rounds begin together.
 */
static struct {
	_Atomic unsigned light_round, heavy_round;
	_Alignas(64) _Atomic unsigned light;
	_Alignas(64) _Atomic unsigned heavy;
	unsigned light_saw[ROUNDS], heavy_saw[ROUNDS];
} sb;

static void meet(_Atomic unsigned *mine, _Atomic unsigned *others, unsigned round)
{
	atomic_store(mine, round);
	while (atomic_load(others) < round)
		sched_yield();
}

static void *light_side(UNUSED void *arg)
{
	for (unsigned i = 1; i <= ROUNDS; i++) {
		meet(&sb.light_round, &sb.heavy_round, i);
		atomic_store_explicit(&sb.light, i, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		sb.light_saw[i - 1] = atomic_load_explicit(&sb.heavy, memory_order_relaxed);
	}
	return NULL;
}

UT_TEST(the_light_side_needs_no_barrier)
{
	pthread_t light;
	unsigned both_late = 0;

	UT_EQ(barrier_arm(), 0);
	UT_EQ(pthread_create(&light, NULL, light_side, NULL), 0);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		meet(&sb.heavy_round, &sb.light_round, i);
		atomic_store_explicit(&sb.heavy, i, memory_order_relaxed);
		barrier_heavy();
		sb.heavy_saw[i - 1] = atomic_load_explicit(&sb.light, memory_order_relaxed);
	}
	UT_EQ(pthread_join(light, NULL), 0);
	for (unsigned i = 1; i <= ROUNDS; i++)
		both_late += sb.light_saw[i - 1] < i && sb.heavy_saw[i - 1] < i;
	UT_EQ(both_late, 0);
}
