/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BARRIER_H
#define BASE_BARRIER_H

#include "base/check.h"

/*
 *  The rare half of a barrier of two unlike halves. Two threads that each store and then read what
 *  the other stores need a full barrier in between, both of them. Once barrier_arm() has succeeded,
 *  barrier_heavy() has every running thread of the process pass through one, so that the frequent
 *  side needs none but keeps the compiler from reordering (membarrier(2)).
 *
 *  Armed for good and for the whole process. ERR_KERNEL: this kernel does not have it, and both
 *  sides need barriers of their own; barrier_heavy() is then the caller's. Context: any thread.
 */
MUST_CHECK int barrier_arm(void);
/* A full barrier; of the order of a microsecond once armed. Context: any thread. */
void barrier_heavy(void);

#endif
