/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/check.h"

/*
 * An event loop over libevent, owned by one thread. Everything here is called on that thread,
 * except loop_post() and loop_stop(), which are how other threads reach it. libevent's types do not
 * leave loop.c but through loop_base().
 */
struct loop;
struct loop_fd;
struct loop_timer;
struct event_base;

#define LOOP_READ  1u
#define LOOP_WRITE 2u

typedef void loop_fd_fn(void *arg, int fd, unsigned ready);
typedef void loop_fn(void *arg);

MUST_CHECK int loop_create(struct loop **out);
void loop_destroy(struct loop *loop);

/* Run until loop_stop(). */
void loop_run(struct loop *loop);
/*
 * Dispatch what is ready; block at most `timeout_ms` (0: do not block, <0: for ever). For tests and
 * foreign loops.
 */
void loop_once(struct loop *loop, int timeout_ms);
void loop_stop(struct loop *loop);

/* Run fn(arg) on the loop's thread, in order of posting. Context: any thread. */
void loop_post(struct loop *loop, loop_fn *fn, void *arg);

/* Level-triggered. The loop never closes `fd`. */
MUST_CHECK int loop_fd_add(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *arg,
	struct loop_fd **out);
void loop_fd_set(struct loop_fd *lf, unsigned events);
void loop_fd_remove(struct loop_fd *lf);

/* A one-shot timer, armed with loop_timer_arm(). */
MUST_CHECK int loop_timer_create(
	struct loop *loop, loop_fn *fn, void *arg, struct loop_timer **out);
void loop_timer_arm(struct loop_timer *t, uint64_t after_ns);
void loop_timer_disarm(struct loop_timer *t);
void loop_timer_destroy(struct loop_timer *t);

/* fn(arg) on a signal, on the loop's thread. */
MUST_CHECK int loop_signal_add(struct loop *loop, int signum, loop_fn *fn, void *arg);

/* For files that must give libevent's base to another library (bufferevents, evhttp). */
struct event_base *loop_base(struct loop *loop);

#endif
