/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/lk.h"
#include "base/loop.h"
#include "tests/lib/ut.h"

static struct {
	unsigned n;
	enum log_level level;
	char line[2048];
} got;

static void take_line(UNUSED void *arg, enum log_level level, const char *line)
{
	got.n++;
	got.level = level;
	snprintf(got.line, sizeof(got.line), "%s", line);
}

static void begin(void)
{
	got.n = 0;
	log_init("program", "vm1");
	log_set_level(LOG_INFO);
	log_set_sink(take_line, NULL);
}

static void end(void)
{
	log_set_sink(NULL, NULL);
	log_set_level(LOG_INFO);
}

UT_SUITE_WITH(log, begin, end);

UT_TEST(a_line_has_all_its_parts)
{
	log_warn(dsm, "page lost, page 0x%x, peer %d", 0x10u, 3);
	UT_EQ(got.n, 1);
	UT_EQ(got.level, LOG_WARN);
	/* 2026-01-31T12:00:00.000Z */
	UT_EQ(strcspn(got.line, " "), 24);
	UT_EQ(got.line[10], 'T');
	UT_EQ(got.line[23], 'Z');
	UT_EQ_STR(got.line + 24, " warn program vm1 dsm: page lost, page 0x10, peer 3");
}

UT_TEST(without_a_vm)
{
	log_init("agent", NULL);
	log_error(agent, "text");
	UT_EQ_STR(got.line + 24, " error agent - agent: text");
}

UT_TEST(levels)
{
	log_error(vcpu, "a");
	log_warn(vcpu, "a");
	log_info(vcpu, "a");
	UT_EQ(got.n, 3);
	log_debug(vcpu, "a");
	UT_EQ(got.n, 3);
	log_set_level(LOG_DEBUG);
	log_debug(vcpu, "a");
	UT_EQ(got.n, 4);
	log_set_level(LOG_ERROR);
	log_warn(vcpu, "a");
	UT_EQ(got.n, 4);
	log_error(vcpu, "a");
	UT_EQ(got.n, 5);
}

static int evaluated;

UT_TEST(debug_arguments_cost_nothing_when_off)
{
	evaluated = 0;
	log_debug(base, "%d", ++evaluated);
	UT_EQ(evaluated, 0);
}

UT_TEST(switches)
{
	UT_OK(log_set("dsm=debug,xport=error"));
	UT_CHECK(log_enabled(LOG_DEBUG, LOG_dsm));
	UT_CHECK(!log_enabled(LOG_WARN, LOG_xport));
	UT_CHECK(!log_enabled(LOG_DEBUG, LOG_vcpu));
	UT_CHECK(log_enabled(LOG_INFO, LOG_vcpu));
	UT_OK(log_set("warn"));
	UT_CHECK(!log_enabled(LOG_INFO, LOG_dsm));
	UT_OK(log_set("debug,dsm=warn"));
	UT_CHECK(log_enabled(LOG_DEBUG, LOG_cli));
	UT_CHECK(!log_enabled(LOG_INFO, LOG_dsm));
	UT_OK(log_set("dsm=debug,info")); /* the later one wins */
	UT_CHECK(!log_enabled(LOG_DEBUG, LOG_dsm));
}

UT_TEST(bad_switches_change_nothing)
{
	static const char *const bad[] = {"", ",", "loud", "DEBUG", "dsm", "dsm=", "=debug",
		"dsm=loud", "nosuch=debug", "dsm=debug,", ",dsm=debug", "dsm=debug,,vio=debug",
		"dsm=debug,nosuch=debug", " debug", "debug ", "dsm==debug", "dsm=debug=debug",
		"debu", "debugs", "ds=debug", "dsmx=debug"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		UT_ERR(log_set(bad[i]), INVAL);
		for (unsigned s = 0; s < LOG_SUBSYS_N; s++) {
			UT_CHECK(log_enabled(LOG_INFO, s));
			UT_CHECK(!log_enabled(LOG_DEBUG, s));
		}
	}
}

UT_TEST(percent_m_is_errno_and_errno_survives)
{
	errno = ENOENT;
	log_error(base, "open: %m");
	UT_EQ(errno, ENOENT);
	UT_HAS_STR(got.line, "base: open: No such file or directory");
}

UT_TEST(a_message_stays_one_line)
{
	log_error(base, "%s", "forged\n2026 error\r\033[2J\177 end \303\244");
	UT_HAS_STR(got.line, ": forged?2026 error??[2J? end \303\244");
}

UT_TEST(long_messages_are_cut)
{
	char text[3000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_error(base, "%s", text);
	size_t len = strlen(got.line);
	UT_CHECK(len < 1024 && len > 1000);
	UT_EQ_STR(got.line + len - 6, " [cut]");
	for (size_t n = 900; n < 1100; n++) {
		log_error(base, "%.*s", (int)n, text);
		UT_CHECK(strlen(got.line) < 1024);
	}
}

UT_TEST(a_flood_is_limited_and_counted)
{
	struct log_limit limit = {0};
	for (unsigned i = 0; i < 1000; i++)
		log_line_limited(&limit, LOG_xport, "bad frame, number %u", i);
	UT_EQ(got.n, 10);
	UT_EQ(got.level, LOG_WARN);
	UT_HAS_STR(got.line, "xport: bad frame, number 9");
	UT_EQ(limit.suppressed, 990);
	limit.window_ns -= UINT64_C(10000000000); /* ten seconds later */
	log_line_limited(&limit, LOG_xport, "bad frame");
	UT_EQ(got.n, 11);
	UT_HAS_STR(got.line, "xport: (990 lines like this left out) bad frame");
	log_line_limited(&limit, LOG_xport, "bad frame");
	UT_HAS_STR(got.line, "xport: bad frame");
}

UT_TEST(each_place_has_its_own_limit)
{
	for (unsigned i = 0; i < 20; i++) {
		log_limited(xport, "one");
		log_limited(xport, "two");
	}
	UT_EQ(got.n, 20);
	log_set_level(LOG_ERROR);
	log_limited(xport, "three");
	UT_EQ(got.n, 20);
}

UT_TEST(without_a_sink_lines_go_to_stderr)
{
	char buf[256];
	int fds[2], saved = dup(STDERR_FILENO);
	UT_CHECK(saved >= 0 && pipe(fds) == 0);
	log_set_sink(NULL, NULL);
	dup2(fds[1], STDERR_FILENO);
	log_error(cli, "text");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	ssize_t n = read(fds[0], buf, sizeof(buf) - 1);
	close(fds[0]);
	UT_CHECK(n > 24);
	buf[n] = '\0';
	UT_EQ_STR(buf + 24, " error program vm1 cli: text\n");
	UT_EQ(got.n, 0);
}

static void *log_many(UNUSED void *arg)
{
	for (unsigned i = 0; i < 1000; i++)
		log_info(base, "text");
	return NULL;
}

UT_TEST(threads_may_log_at_once)
{
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++)
		UT_EQ(pthread_create(&threads[i], NULL, log_many, NULL), 0);
	for (unsigned i = 0; i < 100; i++) {
		UT_OK(log_set(i % 2 == 0 ? "vio=debug" : "vio=info"));
		log_set_sink(take_line, NULL);
	}
	for (unsigned i = 0; i < 4; i++)
		UT_EQ(pthread_join(threads[i], NULL), 0);
	UT_EQ(got.n, 4000);
}

static void posted(UNUSED void *arg)
{
}

static void post_line(void *loop, UNUSED enum log_level level, UNUSED const char *line)
{
	loop_post(loop, posted, NULL);
}

/* How a slice sends its log on; from code that holds any lock of the data plane. */
UT_TEST(a_sink_may_post_to_a_loop)
{
	struct loop *loop;
	struct lk lk;
	UT_OK(loop_create(&loop));
	lk_init(&lk, LK_xport_peer);
	log_set_sink(post_line, loop);
	lk_lock(&lk);
	log_error(base, "text");
	lk_unlock(&lk);
	log_set_sink(NULL, NULL);
	lk_fini(&lk);
	loop_destroy(loop);
}
