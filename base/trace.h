/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdint.h>

/*
 * A ring of 4096 events per thread (the last 4095 are readable), always recording, printed (all
 * threads, merged by time) when a CHECK fails and on demand. `what` must be a string literal: only
 * the pointer is stored. Costs a few ns. Context: any thread; the first call of a thread allocates
 * its ring.
 */
void trace(const char *what, uint64_t a, uint64_t b, uint64_t c);

/* Names the calling thread in dumps ("vcpu3"). Copied, cut at 15 bytes. Context: any thread. */
void trace_thread(const char *name);

/*
 * Write all rings to a file descriptor. Async-signal-safe enough for a failed CHECK: no locks, no
 * allocation.
 */
void trace_dump(int fd);

#endif
