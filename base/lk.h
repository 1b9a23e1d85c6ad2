/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LK_H
#define BASE_LK_H

#include <pthread.h>

#include "base/check.h"

/*
 * Mutexes with a class from lk.def: owner and rank are checked on every operation, in every build.
 */
enum lk_class {
#define LK(name, rank, text) LK_##name,
#include "base/lk.def"
#undef LK
	LK_N
};

struct lk {
	pthread_mutex_t mutex;
	enum lk_class class;
	_Atomic uint64_t owner; /* lk's id of the holding thread, 0: nobody */
};

/* For a lock of static storage: static struct lk x = LK_INITIALIZER(log). */
#define LK_INITIALIZER(name)                                                                       \
	{                                                                                          \
		.mutex = PTHREAD_MUTEX_INITIALIZER, .class = LK_##name                             \
	}

void lk_init(struct lk *lk, enum lk_class class);
void lk_fini(struct lk *lk);
void lk_lock(struct lk *lk);
void lk_unlock(struct lk *lk);
bool lk_held(const struct lk *lk);
#define lk_assert_held(lk) CHECK(lk_held(lk))

/* A condition variable on CLOCK_MONOTONIC. */
struct lk_cond {
	pthread_cond_t cond;
};
void lk_cond_init(struct lk_cond *c);
void lk_cond_fini(struct lk_cond *c);
void lk_cond_wait(struct lk_cond *c, struct lk *lk);
/* Until signalled or the host's monotonic clock has reached `deadline_ns`; false on time-out. */
bool lk_cond_wait_until(struct lk_cond *c, struct lk *lk, uint64_t deadline_ns);
void lk_cond_signal(struct lk_cond *c);
void lk_cond_broadcast(struct lk_cond *c);

#endif
