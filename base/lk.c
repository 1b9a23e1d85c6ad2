/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lk.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "base/trace.h"

#define LK_HELD_MAX 8
#define NS_PER_S    UINT64_C(1000000000)

static const unsigned lk_ranks[] = {
#define LK(name, rank, text) rank,
#include "base/lk.def"
#undef LK
};

static const char *const lk_names[] = {
#define LK(name, rank, text) "lk " #name,
#include "base/lk.def"
#undef LK
};

/* The locks this thread holds; ranks rise from bottom to top. */
static _Thread_local struct lk *lk_stack[LK_HELD_MAX];
static _Thread_local unsigned lk_depth;

/*
 * Not pthread_self(): that is an opaque type, and a thread's id must never be zero or be given out
 * twice.
 */
static uint64_t lk_self(void)
{
	static _Atomic uint64_t last;
	static _Thread_local uint64_t id;
	if (unlikely(id == 0))
		id = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
	return id;
}

/* Before blocking on the mutex, so that a wrong order is reported and not deadlocked on. */
static void lk_check_order(const struct lk *lk)
{
	CHECK(lk->class < LK_N);
	CHECK(!lk_held(lk));
	CHECK(lk_depth < LK_HELD_MAX);
	if (lk_depth == 0)
		return;
	const struct lk *top = lk_stack[lk_depth - 1];
	if (unlikely(lk_ranks[lk->class] <= lk_ranks[top->class])) {
		trace(lk_names[top->class], lk_ranks[top->class], lk_depth, 0);
		trace(lk_names[lk->class], lk_ranks[lk->class], 0, 0);
		CHECK(!"locks are taken in rising rank, see base/lk.def");
	}
}

/*
 * The owner is only ever compared with the reader's own id, which only the reader stores: relaxed
 * is enough.
 */
static void lk_set_owner(struct lk *lk, uint64_t owner)
{
	atomic_store_explicit(&lk->owner, owner, memory_order_relaxed);
}

static void lk_push(struct lk *lk)
{
	lk_stack[lk_depth++] = lk;
	lk_set_owner(lk, lk_self());
}

static void lk_pop(struct lk *lk)
{
	lk_assert_held(lk);
	lk_set_owner(lk, 0);
	unsigned at = lk_depth;
	while (lk_stack[--at] != lk)
		CHECK(at > 0);
	for (; at + 1 < lk_depth; at++)
		lk_stack[at] = lk_stack[at + 1];
	lk_depth--;
}

void lk_init(struct lk *lk, enum lk_class class)
{
	CHECK(class < LK_N);
	CHECK(pthread_mutex_init(&lk->mutex, NULL) == 0);
	lk->class = class;
	atomic_init(&lk->owner, 0);
}

void lk_fini(struct lk *lk)
{
	CHECK(atomic_load_explicit(&lk->owner, memory_order_relaxed) == 0);
	CHECK(pthread_mutex_destroy(&lk->mutex) == 0);
}

void lk_lock(struct lk *lk)
{
	lk_check_order(lk);
	CHECK(pthread_mutex_lock(&lk->mutex) == 0);
	lk_push(lk);
}

void lk_unlock(struct lk *lk)
{
	lk_pop(lk);
	CHECK(pthread_mutex_unlock(&lk->mutex) == 0);
}

bool lk_held(const struct lk *lk)
{
	return atomic_load_explicit(&lk->owner, memory_order_relaxed) == lk_self();
}

void lk_cond_init(struct lk_cond *c)
{
	pthread_condattr_t attr;
	CHECK(pthread_condattr_init(&attr) == 0);
	CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&c->cond, &attr) == 0);
	CHECK(pthread_condattr_destroy(&attr) == 0);
}

void lk_cond_fini(struct lk_cond *c)
{
	CHECK(pthread_cond_destroy(&c->cond) == 0);
}

/* Whoever waits holds nothing else: the one who is to signal might need it. */
static void lk_check_only(const struct lk *lk)
{
	lk_assert_held(lk);
	CHECK(lk_depth == 1);
}

void lk_cond_wait(struct lk_cond *c, struct lk *lk)
{
	lk_check_only(lk);
	lk_pop(lk);
	CHECK(pthread_cond_wait(&c->cond, &lk->mutex) == 0);
	lk_push(lk);
}

bool lk_cond_wait_until(struct lk_cond *c, struct lk *lk, uint64_t deadline_ns)
{
	const struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
	lk_check_only(lk);
	lk_pop(lk);
	int rc = pthread_cond_timedwait(&c->cond, &lk->mutex, &ts);
	lk_push(lk);
	CHECK(rc == 0 || rc == ETIMEDOUT);
	return rc == 0;
}

void lk_cond_signal(struct lk_cond *c)
{
	CHECK(pthread_cond_signal(&c->cond) == 0);
}

void lk_cond_broadcast(struct lk_cond *c)
{
	CHECK(pthread_cond_broadcast(&c->cond) == 0);
}
