/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "base/lk.h"
#include "base/log.h"

#define LOOP_MAGIC       0x4c4f4f50u
#define LOOP_FD_MAGIC    0x4c504644u
#define LOOP_TIMER_MAGIC 0x4c50544du

struct loop_postee {
	struct list link;
	loop_fn *fn;
	void *arg;
};

struct loop_signal {
	struct list link;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

struct loop {
	uint32_t magic;
	struct event_base *base;
	struct event *wake_event;
	struct event *limit_event; /* ends the wait of loop_once() */
	int wake_fd;               /* eventfd, written by other threads */
	unsigned users;            /* fds and timers that are still there */
	struct list signals;       /* of struct loop_signal */
	bool stopped;              /* ends loop_run() */
	struct lk lk;              /* class loop */
	struct list posts;         /* of struct loop_postee; [lk: loop] */
	bool stop_asked;           /* [lk: loop] */
	_Atomic bool running;      /* and then on `thread` */
	pthread_t thread;
};

struct loop_fd {
	uint32_t magic;
	struct loop *loop;
	struct event *event;
	loop_fd_fn *fn;
	void *arg;
};

struct loop_timer {
	uint32_t magic;
	struct loop *loop;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

/*
 * A loop may be built on one thread and run on another, but not touched from outside while it runs.
 */
static void loop_check_thread(struct loop *loop)
{
	OBJ_CHECK(loop, LOOP_MAGIC);
	/* Pairs with the release store in loop_enter(). */
	if (atomic_load_explicit(&loop->running, memory_order_acquire))
		CHECK(pthread_equal(loop->thread, pthread_self()));
}

static void loop_enter(struct loop *loop)
{
	OBJ_CHECK(loop, LOOP_MAGIC);
	CHECK(!atomic_load_explicit(&loop->running, memory_order_relaxed)); /* nor nested */
	loop->thread = pthread_self();
	atomic_store_explicit(&loop->running, true, memory_order_release);
}

static void loop_leave(struct loop *loop)
{
	atomic_store_explicit(&loop->running, false, memory_order_release);
}

static void loop_wake(struct loop *loop)
{
	const uint64_t one = 1;
	ssize_t n;
	do {
		n = write(loop->wake_fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	/* EAGAIN: the counter is full, so the loop is awake anyway. */
	CHECK(n == sizeof(one) || errno == EAGAIN);
}

/* Take all posts into `taken`; true if the loop was asked to stop. */
static bool loop_take_posts(struct loop *loop, struct list *taken)
{
	list_init(taken);
	lk_lock(&loop->lk);
	while (!list_empty(&loop->posts)) {
		struct list *l = loop->posts.next;
		list_remove(l);
		list_push_back(taken, l);
	}
	bool stop = loop->stop_asked;
	loop->stop_asked = false;
	lk_unlock(&loop->lk);
	return stop;
}

static void loop_on_wake(int fd, UNUSED short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t count;
	if (read(fd, &count, sizeof(count)) < 0)
		CHECK(errno == EAGAIN || errno == EINTR);

	/* What is posted from here on wakes the loop again, so other events get their turn. */
	struct list taken;
	bool stop = loop_take_posts(loop, &taken);
	list_foreach_safe(l, &taken)
	{
		struct loop_postee *p = list_entry(l, struct loop_postee, link);
		list_remove(l);
		p->fn(p->arg);
		free(p);
	}
	if (stop) {
		loop->stopped = true;
		event_base_loopbreak(loop->base);
	}
}

static void loop_on_limit(UNUSED int fd, UNUSED short what, UNUSED void *arg)
{
}

static void loop_on_library_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_limited(base, "libevent: %s", text);
}

/* Instead of libevent's exit(): it is called where the library's state is broken. */
static void loop_on_library_fatal(UNUSED int err)
{
	UNREACHABLE();
}

static void loop_library_start(void)
{
	event_set_log_callback(loop_on_library_log);
	event_set_fatal_callback(loop_on_library_fatal);
}

static struct event_base *loop_base_new(void)
{
	struct event_config *config = event_config_new();
	if (config == NULL)
		return NULL;
	/* Microseconds, and timers counted from now, not from the start of the round. */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

int loop_create(struct loop **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, loop_library_start);

	int rc = ERR_NO_MEMORY;
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return rc;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		rc = err_from_errno(errno);
		goto undo_alloc;
	}
	loop->base = loop_base_new();
	if (loop->base == NULL)
		goto undo_wake_fd;
	loop->wake_event =
		event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, loop_on_wake, loop);
	if (loop->wake_event == NULL)
		goto undo_base;
	loop->limit_event = evtimer_new(loop->base, loop_on_limit, NULL);
	if (loop->limit_event == NULL)
		goto undo_wake_event;
	if (event_add(loop->wake_event, NULL) != 0)
		goto undo_limit_event;
	lk_init(&loop->lk, LK_loop);
	list_init(&loop->posts);
	list_init(&loop->signals);
	OBJ_INIT(loop, LOOP_MAGIC);
	*out = loop;
	return 0;

undo_limit_event:
	event_free(loop->limit_event);
undo_wake_event:
	event_free(loop->wake_event);
undo_base:
	event_base_free(loop->base);
undo_wake_fd:
	close(loop->wake_fd);
undo_alloc:
	free(loop);
	return rc;
}

void loop_destroy(struct loop *loop)
{
	OBJ_CHECK(loop, LOOP_MAGIC);
	CHECK(!atomic_load_explicit(&loop->running, memory_order_relaxed));
	CHECK(loop->users == 0);
	struct list taken;
	loop_take_posts(loop, &taken);
	list_foreach_safe(l, &taken) free(list_entry(l, struct loop_postee, link));
	list_foreach_safe(l, &loop->signals)
	{
		struct loop_signal *s = list_entry(l, struct loop_signal, link);
		event_free(s->event);
		free(s);
	}
	event_free(loop->limit_event);
	event_free(loop->wake_event);
	event_base_free(loop->base);
	close(loop->wake_fd);
	lk_fini(&loop->lk);
	OBJ_FINI(loop, LOOP_MAGIC);
	free(loop);
}

void loop_run(struct loop *loop)
{
	loop_enter(loop);
	while (!loop->stopped)
		CHECK(event_base_loop(loop->base, 0) >= 0);
	loop->stopped = false;
	loop_leave(loop);
}

void loop_once(struct loop *loop, int timeout_ms)
{
	loop_enter(loop);
	if (timeout_ms > 0) {
		const struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
		CHECK(evtimer_add(loop->limit_event, &tv) == 0);
	}
	/* EVLOOP_NONBLOCK alone goes on for as long as something is ready. */
	int flags = EVLOOP_ONCE | (timeout_ms == 0 ? EVLOOP_NONBLOCK : 0);
	CHECK(event_base_loop(loop->base, flags) >= 0);
	evtimer_del(loop->limit_event);
	loop_leave(loop);
}

void loop_stop(struct loop *loop)
{
	OBJ_CHECK(loop, LOOP_MAGIC);
	lk_lock(&loop->lk);
	loop->stop_asked = true;
	lk_unlock(&loop->lk);
	loop_wake(loop);
}

void loop_post(struct loop *loop, loop_fn *fn, void *arg)
{
	OBJ_CHECK(loop, LOOP_MAGIC);
	struct loop_postee *p = malloc(sizeof(*p));
	CHECK(p != NULL); /* a lost post would hang its waiter: worse than a restart */
	*p = (struct loop_postee){.fn = fn, .arg = arg};
	lk_lock(&loop->lk);
	bool first = list_empty(&loop->posts);
	list_push_back(&loop->posts, &p->link);
	lk_unlock(&loop->lk);
	if (first)
		loop_wake(loop);
}

/* --- file descriptors --- */

static void loop_on_fd(int fd, short what, void *arg)
{
	struct loop_fd *lf = arg;
	OBJ_CHECK(lf, LOOP_FD_MAGIC);
	lf->fn(lf->arg, fd,
		((what & EV_READ) != 0 ? LOOP_READ : 0) |
			((what & EV_WRITE) != 0 ? LOOP_WRITE : 0));
}

static short loop_fd_events(unsigned events)
{
	CHECK((events & ~(LOOP_READ | LOOP_WRITE)) == 0);
	return (short)(EV_PERSIST | ((events & LOOP_READ) != 0 ? EV_READ : 0) |
		       ((events & LOOP_WRITE) != 0 ? EV_WRITE : 0));
}

int loop_fd_add(
	struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *arg, struct loop_fd **out)
{
	int rc = ERR_NO_MEMORY;
	loop_check_thread(loop);
	struct loop_fd *lf = calloc(1, sizeof(*lf));
	if (lf == NULL)
		return rc;
	*lf = (struct loop_fd){.magic = LOOP_FD_MAGIC, .loop = loop, .fn = fn, .arg = arg};
	lf->event = event_new(loop->base, fd, loop_fd_events(events), loop_on_fd, lf);
	if (lf->event == NULL)
		goto undo_alloc;
	if (events != 0 && event_add(lf->event, NULL) != 0) {
		rc = ERR_INVAL; /* epoll refuses the descriptor: closed, or a plain file */
		goto undo_event;
	}
	loop->users++;
	*out = lf;
	return 0;

undo_event:
	event_free(lf->event);
undo_alloc:
	free(lf);
	return rc;
}

void loop_fd_set(struct loop_fd *lf, unsigned events)
{
	OBJ_CHECK(lf, LOOP_FD_MAGIC);
	loop_check_thread(lf->loop);
	int fd = event_get_fd(lf->event);
	event_del(lf->event);
	CHECK(event_assign(lf->event, lf->loop->base, fd, loop_fd_events(events), loop_on_fd, lf) ==
		0);
	if (events != 0)
		CHECK(event_add(lf->event, NULL) == 0);
}

void loop_fd_remove(struct loop_fd *lf)
{
	OBJ_CHECK(lf, LOOP_FD_MAGIC);
	loop_check_thread(lf->loop);
	lf->loop->users--;
	event_free(lf->event);
	OBJ_FINI(lf, LOOP_FD_MAGIC);
	free(lf);
}

/* --- timers and signals --- */

static void loop_on_timer(UNUSED int fd, UNUSED short what, void *arg)
{
	struct loop_timer *t = arg;
	OBJ_CHECK(t, LOOP_TIMER_MAGIC);
	t->fn(t->arg);
}

int loop_timer_create(struct loop *loop, loop_fn *fn, void *arg, struct loop_timer **out)
{
	loop_check_thread(loop);
	struct loop_timer *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return ERR_NO_MEMORY;
	*t = (struct loop_timer){.magic = LOOP_TIMER_MAGIC, .loop = loop, .fn = fn, .arg = arg};
	t->event = evtimer_new(loop->base, loop_on_timer, t);
	if (t->event == NULL) {
		free(t);
		return ERR_NO_MEMORY;
	}
	loop->users++;
	*out = t;
	return 0;
}

void loop_timer_arm(struct loop_timer *t, uint64_t after_ns)
{
	OBJ_CHECK(t, LOOP_TIMER_MAGIC);
	loop_check_thread(t->loop);
	/* Rounded up: a timer is never early. A year is for ever. */
	const uint64_t us_per_s = 1000000, year_us = 365 * 86400 * us_per_s;
	uint64_t us = MIN(after_ns / 1000 + (after_ns % 1000 != 0), year_us);
	const struct timeval tv = {(time_t)(us / us_per_s), (suseconds_t)(us % us_per_s)};
	CHECK(evtimer_add(t->event, &tv) == 0);
}

void loop_timer_disarm(struct loop_timer *t)
{
	OBJ_CHECK(t, LOOP_TIMER_MAGIC);
	loop_check_thread(t->loop);
	evtimer_del(t->event);
}

void loop_timer_destroy(struct loop_timer *t)
{
	OBJ_CHECK(t, LOOP_TIMER_MAGIC);
	loop_check_thread(t->loop);
	t->loop->users--;
	event_free(t->event);
	OBJ_FINI(t, LOOP_TIMER_MAGIC);
	free(t);
}

static void loop_on_signal(UNUSED int signum, UNUSED short what, void *arg)
{
	struct loop_signal *s = arg;
	s->fn(s->arg);
}

int loop_signal_add(struct loop *loop, int signum, loop_fn *fn, void *arg)
{
	int rc = ERR_NO_MEMORY;
	loop_check_thread(loop);
	struct loop_signal *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return rc;
	*s = (struct loop_signal){.fn = fn, .arg = arg};
	s->event = evsignal_new(loop->base, signum, loop_on_signal, s);
	if (s->event == NULL)
		goto undo_alloc;
	if (evsignal_add(s->event, NULL) != 0) {
		rc = ERR_INVAL;
		goto undo_event;
	}
	list_push_back(&loop->signals, &s->link);
	return 0;

undo_event:
	event_free(s->event);
undo_alloc:
	free(s);
	return rc;
}

struct event_base *loop_base(struct loop *loop)
{
	OBJ_CHECK(loop, LOOP_MAGIC);
	return loop->base;
}
