/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "tests/lib/ut.h"

#define MS UINT64_C(1000000)

static struct loop *loop;
static int fds[2]; /* a socket pair */

static void begin(void)
{
	CHECK(loop_create(&loop) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
}

static void end(void)
{
	loop_destroy(loop);
	close(fds[0]);
	close(fds[1]);
}

UT_SUITE_WITH(loop, begin, end);

static void count_up(void *arg)
{
	++*(unsigned *)arg;
}

static uint64_t now_ns(void)
{
	return clock_now_ns(clock_host());
}

/* --- posts --- */

UT_TEST(posts_before_stop_are_run)
{
	unsigned n = 0;
	for (unsigned i = 0; i < 100; i++)
		loop_post(loop, count_up, &n);
	loop_stop(loop);
	loop_run(loop);
	UT_EQ(n, 100);
}

struct ticket {
	unsigned thread, number;
	uint64_t total;
};

#define THREADS 4u
#define TICKETS 2000u

static pthread_mutex_t ticket_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ticket tickets[THREADS][TICKETS];
static uint64_t tickets_drawn, tickets_seen;
static bool ticket_wrong;

static void see_ticket(void *arg)
{
	const struct ticket *t = arg;
	ticket_wrong |= t->total != tickets_seen;
	if (++tickets_seen == THREADS * TICKETS)
		loop_stop(loop);
}

static void *post_tickets(void *arg)
{
	struct ticket *mine = arg;
	for (unsigned i = 0; i < TICKETS; i++) {
		pthread_mutex_lock(&ticket_mutex);
		mine[i].total = tickets_drawn++;
		loop_post(loop, see_ticket, &mine[i]);
		pthread_mutex_unlock(&ticket_mutex);
	}
	return NULL;
}

UT_TEST(posts_of_all_threads_run_in_order)
{
	pthread_t threads[THREADS];
	tickets_drawn = tickets_seen = 0;
	ticket_wrong = false;
	for (unsigned i = 0; i < THREADS; i++)
		UT_EQ(pthread_create(&threads[i], NULL, post_tickets, tickets[i]), 0);
	loop_run(loop);
	for (unsigned i = 0; i < THREADS; i++)
		UT_EQ(pthread_join(threads[i], NULL), 0);
	UT_EQ(tickets_seen, THREADS * TICKETS);
	UT_CHECK(!ticket_wrong);
}

static unsigned reposts;

static void post_again(UNUSED void *arg)
{
	if (++reposts < 1000)
		loop_post(loop, post_again, NULL);
	else
		loop_stop(loop);
}

/* A stop that stayed would end the second run at its first wake-up. */
UT_TEST(stop_is_used_up_by_a_run)
{
	loop_stop(loop);
	loop_run(loop);
	reposts = 0;
	loop_post(loop, post_again, NULL);
	loop_run(loop);
	UT_EQ(reposts, 1000);
}

static void on_readable(void *arg, UNUSED int fd, unsigned ready)
{
	CHECK(ready == LOOP_READ);
	if (*(unsigned *)arg == 0)
		*(unsigned *)arg = reposts;
}

/* A post that posts itself for ever must not starve descriptors. */
UT_TEST(posts_leave_others_their_turn)
{
	struct loop_fd *lf;
	unsigned seen_at = 0;
	reposts = 0;
	UT_OK(loop_fd_add(loop, fds[0], LOOP_READ, on_readable, &seen_at, &lf));
	UT_EQ(write(fds[1], "x", 1), 1);
	loop_post(loop, post_again, NULL);
	loop_run(loop);
	loop_fd_remove(lf);
	UT_EQ(reposts, 1000);
	UT_CHECK(seen_at > 0 && seen_at < 10);
}

UT_TEST(posts_left_at_destroy_are_dropped)
{
	struct loop *other;
	unsigned n = 0;
	UT_OK(loop_create(&other));
	loop_post(other, count_up, &n);
	loop_destroy(other);
	UT_EQ(n, 0);
}

static void *run_loop(UNUSED void *arg)
{
	loop_run(loop);
	return NULL;
}

UT_TEST(a_loop_may_run_on_another_thread)
{
	pthread_t thread;
	unsigned n = 0;
	UT_EQ(pthread_create(&thread, NULL, run_loop, NULL), 0);
	for (unsigned i = 0; i < 100; i++)
		loop_post(loop, count_up, &n);
	loop_stop(loop);
	UT_EQ(pthread_join(thread, NULL), 0);
	UT_EQ(n, 100);
}

/* --- waiting --- */

UT_TEST(once_does_not_block_at_0)
{
	unsigned n = 0;
	loop_once(loop, 0);
	loop_post(loop, count_up, &n);
	loop_once(loop, 0);
	UT_EQ(n, 1);
}

UT_TEST(once_waits_its_time_and_no_longer)
{
	unsigned n = 0;
	uint64_t start_ns = now_ns();
	loop_once(loop, 20);
	UT_CHECK(now_ns() - start_ns >= 20 * MS);
	loop_post(loop, count_up, &n);
	loop_once(loop, 1000000); /* ends by the post; the time limit of a test is shorter */
	UT_EQ(n, 1);
	loop_post(loop, count_up, &n);
	loop_once(loop, -1);
	UT_EQ(n, 2);
}

/* --- descriptors --- */

struct seen {
	struct loop_fd *lf, *other;
	unsigned calls, ready;
};

static void note(void *arg, UNUSED int fd, unsigned ready)
{
	struct seen *seen = arg;
	seen->calls++;
	seen->ready |= ready;
}

UT_TEST(readable_and_writable)
{
	struct seen seen = {.calls = 0};
	UT_OK(loop_fd_add(loop, fds[0], LOOP_READ, note, &seen, &seen.lf));
	loop_once(loop, 0);
	UT_EQ(seen.calls, 0);
	UT_EQ(write(fds[1], "x", 1), 1);
	loop_once(loop, 0);
	loop_once(loop, 0); /* level-triggered: nobody has read */
	UT_EQ(seen.calls, 2);
	UT_EQ(seen.ready, LOOP_READ);
	loop_fd_set(seen.lf, LOOP_READ | LOOP_WRITE);
	loop_once(loop, 0);
	UT_EQ(seen.ready, LOOP_READ | LOOP_WRITE);
	seen = (struct seen){.lf = seen.lf};
	loop_fd_set(seen.lf, 0);
	loop_once(loop, 0);
	UT_EQ(seen.calls, 0);
	loop_fd_set(seen.lf, LOOP_WRITE);
	loop_once(loop, 0);
	UT_EQ(seen.ready, LOOP_WRITE);
	loop_fd_remove(seen.lf);
	loop_once(loop, 0);
	UT_EQ(seen.calls, 1);
	UT_EQ(write(fds[0], "x", 1), 1); /* not closed */
}

UT_TEST(a_closed_peer_is_readable)
{
	struct seen seen = {.calls = 0};
	UT_OK(loop_fd_add(loop, fds[0], LOOP_READ, note, &seen, &seen.lf));
	UT_EQ(shutdown(fds[1], SHUT_RDWR), 0);
	loop_once(loop, -1);
	UT_EQ(seen.ready, LOOP_READ);
	loop_fd_remove(seen.lf);
}

UT_TEST(added_without_events)
{
	struct seen seen = {.calls = 0};
	UT_OK(loop_fd_add(loop, fds[0], 0, note, &seen, &seen.lf));
	loop_once(loop, 0);
	UT_EQ(seen.calls, 0);
	loop_fd_remove(seen.lf);
}

static void keep_line(void *arg, UNUSED enum log_level level, const char *line)
{
	snprintf(arg, 256, "%s", line);
}

/* What libevent says about it goes to our log. */
UT_TEST(a_bad_descriptor_is_an_error)
{
	struct loop_fd *lf = NULL;
	char line[256] = "";
	log_set_sink(keep_line, line);
	UT_ERR(loop_fd_add(loop, 1000000, LOOP_READ, note, NULL, &lf), INVAL);
	log_set_sink(NULL, NULL);
	UT_CHECK(lf == NULL);
	UT_HAS_STR(line, " base: libevent: ");
}

static void remove_both(void *arg, UNUSED int fd, UNUSED unsigned ready)
{
	struct seen *seen = arg;
	seen->calls++;
	loop_fd_remove(seen->lf);
	loop_fd_remove(seen->other);
}

/* Both are ready in one round; whichever comes first removes itself and the other. */
UT_TEST(a_callback_may_remove_itself_and_others)
{
	struct seen seen = {.calls = 0};
	UT_OK(loop_fd_add(loop, fds[0], LOOP_WRITE, remove_both, &seen, &seen.lf));
	UT_OK(loop_fd_add(loop, fds[1], LOOP_WRITE, remove_both, &seen, &seen.other));
	loop_once(loop, 0);
	loop_once(loop, 0);
	UT_EQ(seen.calls, 1);
}

/* --- timers --- */

static void note_time(void *arg)
{
	*(uint64_t *)arg = now_ns();
	loop_stop(loop);
}

UT_TEST(a_timer_fires_once_and_never_early)
{
	static const uint64_t delays_ns[] = {0, 1, 999, 1001, 300000, 5 * MS};
	for (size_t i = 0; i < ARRAY_SIZE(delays_ns); i++) {
		struct loop_timer *t;
		uint64_t fired_ns = 0;
		UT_OK(loop_timer_create(loop, note_time, &fired_ns, &t));
		uint64_t start_ns = now_ns();
		loop_timer_arm(t, delays_ns[i]);
		loop_run(loop);
		UT_CHECK(fired_ns - start_ns >= delays_ns[i]);
		fired_ns = 0;
		loop_once(loop, 1);
		UT_EQ(fired_ns, 0);
		loop_timer_destroy(t);
	}
}

UT_TEST(timers_fire_in_order_of_time)
{
	struct loop_timer *late, *early;
	uint64_t late_ns = 0, early_ns = 0;
	UT_OK(loop_timer_create(loop, note_time, &late_ns, &late));
	UT_OK(loop_timer_create(loop, note_time, &early_ns, &early));
	loop_timer_arm(late, 10 * MS);
	loop_timer_arm(early, 1 * MS);
	while (late_ns == 0)
		loop_once(loop, -1);
	UT_CHECK(early_ns != 0 && early_ns < late_ns);
	loop_timer_destroy(late);
	loop_timer_destroy(early);
}

UT_TEST(arming_again_replaces)
{
	struct loop_timer *t;
	uint64_t fired_ns = 0;
	UT_OK(loop_timer_create(loop, note_time, &fired_ns, &t));
	loop_timer_arm(t, UINT64_MAX);
	loop_timer_arm(t, 1000);
	loop_run(loop);
	UT_CHECK(fired_ns != 0);
	fired_ns = 0;
	loop_timer_arm(t, 1 * MS);
	loop_timer_disarm(t);
	loop_timer_disarm(t);
	loop_once(loop, 5);
	UT_EQ(fired_ns, 0);
	loop_timer_arm(t, 1 * MS);
	loop_timer_destroy(t);
	loop_once(loop, 5);
	UT_EQ(fired_ns, 0);
}

/* --- signals, misuse --- */

UT_TEST(signals_arrive_on_the_loop)
{
	unsigned n = 0;
	UT_OK(loop_signal_add(loop, SIGUSR1, count_up, &n));
	raise(SIGUSR1);
	while (n == 0)
		loop_once(loop, -1);
	UT_EQ(n, 1);
}

UT_TEST(libevent_is_reachable)
{
	UT_CHECK(loop_base(loop) != NULL);
	UT_CHECK(event_base_get_method(loop_base(loop)) != NULL);
}

static void destroy_used(UNUSED void *arg)
{
	struct loop_timer *t;
	CHECK(loop_timer_create(loop, count_up, NULL, &t) == 0);
	loop_destroy(loop);
}

static void run_nested(UNUSED void *arg)
{
	loop_once(loop, 0);
}

static void run_inside_run(UNUSED void *arg)
{
	loop_post(loop, run_nested, NULL);
	loop_once(loop, -1);
}

static atomic_bool running;

static void note_running(UNUSED void *arg)
{
	atomic_store(&running, true);
}

static void touch_from_outside(UNUSED void *arg)
{
	pthread_t thread;
	struct loop_timer *t;
	CHECK(loop_timer_create(loop, count_up, NULL, &t) == 0);
	loop_post(loop, note_running, NULL);
	CHECK(pthread_create(&thread, NULL, run_loop, NULL) == 0);
	while (!atomic_load(&running))
		;
	loop_timer_arm(t, 1);
}

UT_TEST(misuse_aborts)
{
	UT_ABORTS(destroy_used, NULL, "loop->users == 0");
	UT_ABORTS(run_inside_run, NULL, "loop_enter");
	UT_ABORTS(touch_from_outside, NULL, "loop_check_thread");
}
