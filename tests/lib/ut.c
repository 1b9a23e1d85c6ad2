/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner of a unit-test binary:
 *	-l		list the tests
 *	-s SUITE	only this suite
 *	-t TEST		only tests of this name
 *	-x TEST		not this one
 *	-v		also name what passed
 *	-r SEED		of random tests
 *	-w SECONDS	a test may take, 0: no limit (120)
 * The last line is "N passed, N failed, N skipped", in tests. Exits 1 when one failed, 77 when none
 * failed and none passed.
 */
#include "tests/lib/ut.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/trace.h"

#define UT_TEXT_BYTES   1024
#define UT_OUTPUT_BYTES (1u << 20)

static struct {
	const char *program, *suite, *test, *except;
	bool list, verbose, seed_given;
	unsigned limit_s;
	uint64_t seed;
} ut_options = {.limit_s = 120};

static struct ut_test *ut_first, **ut_last = &ut_first;
static unsigned ut_passed, ut_failed, ut_skipped;

/* Of the running test. */
static struct {
	const char *suite, *name;
	bool seed_used, skipped;
	char reason[UT_TEXT_BYTES];
} ut_now;

void ut_register(struct ut_test *t)
{
	*ut_last = t;
	ut_last = &t->next;
}

uint64_t ut_seed(void)
{
	ut_now.seed_used = true;
	if (!ut_options.seed_given) {
		rng_system(&ut_options.seed, sizeof(ut_options.seed));
		ut_options.seed_given = true;
	}
	return ut_options.seed;
}

/* --- assertions --- */

_Noreturn void ut_fail(const char *file, int line, const char *func, const char *fmt, ...)
{
	char text[UT_TEXT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	CU_assertImplementation(CU_FALSE, (unsigned)line, text, file, func, CU_TRUE);
	UNREACHABLE(); /* CUnit has jumped out of the test */
}

void ut_skip(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(ut_now.reason, sizeof(ut_now.reason), fmt, ap);
	va_end(ap);
	ut_now.skipped = true;
}

void ut_eq(const char *file, int line, const char *func, const char *what, uint64_t a, uint64_t b)
{
	if (a != b)
		ut_fail(file, line, func,
			"%s: %" PRId64 " (0x%" PRIx64 ") and %" PRId64 " (0x%" PRIx64 ")", what,
			(int64_t)a, a, (int64_t)b, b);
}

void ut_eq_str(const char *file, int line, const char *func, const char *what, const char *a,
	const char *b)
{
	if (a == NULL || b == NULL || strcmp(a, b) != 0)
		ut_fail(file, line, func, "%s: \"%s\" and \"%s\"", what, a != NULL ? a : "(null)",
			b != NULL ? b : "(null)");
}

void ut_eq_mem(const char *file, int line, const char *func, const char *what, const void *a,
	const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			ut_fail(file, line, func, "%s: byte %zu of %zu is 0x%02x and 0x%02x", what,
				i, n, x[i], y[i]);
}

void ut_has_str(const char *file, int line, const char *func, const char *what, const char *s,
	const char *part)
{
	if (strstr(s, part) == NULL)
		ut_fail(file, line, func, "%s: \"%.400s\" lacks \"%s\"", what, s, part);
}

void ut_err(const char *file, int line, const char *func, const char *what, int got, int want)
{
	if (got != want)
		ut_fail(file, line, func, "%s: %s (%d) and not %s", what, err_name(got), got,
			err_name(want));
}

/* --- a child that must abort --- */

static void ut_child(int err_fd, void (*fn)(void *), void *arg)
{
	const struct rlimit no_core = {0, 0};
	setrlimit(RLIMIT_CORE, &no_core);
	dup2(err_fd, STDERR_FILENO);
	fn(arg);
	_exit(0);
}

/* All of `fd`; what does not fit is read and dropped, so that the writer does not block. */
static void ut_read_all(int fd, char *buf, size_t size)
{
	size_t used = 0;
	for (;;) {
		char drop[4096];
		bool fits = used < size - 1;
		ssize_t n =
			fits ? read(fd, buf + used, size - 1 - used) : read(fd, drop, sizeof(drop));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += fits ? (size_t)n : 0;
	}
	buf[used] = '\0';
}

const char *ut_aborts(const char *file, int line, const char *func, void (*fn)(void *), void *arg,
	const char *text)
{
	static char output[UT_OUTPUT_BYTES];
	int pipe_fds[2], status;
	CHECK(pipe(pipe_fds) == 0);
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		ut_child(pipe_fds[1], fn, arg);
	close(pipe_fds[1]);
	ut_read_all(pipe_fds[0], output, sizeof(output));
	close(pipe_fds[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		ut_fail(file, line, func, "no abort: status 0x%x, output \"%.400s\"",
			(unsigned)status, output);
	if (strstr(output, text) == NULL)
		ut_fail(file, line, func, "\"%s\" is not in \"%.400s\"", text, output);
	return output;
}

/* --- the runner --- */

static void ut_on_alarm(int signum)
{
	static const char text[] = ": the test takes too long\n";
	if (write(STDERR_FILENO, ut_now.name, strlen(ut_now.name)) < 0 ||
		write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	trace_dump(STDERR_FILENO);
	signal(SIGABRT, SIG_DFL);
	raise(SIGABRT);
}

static void ut_on_start(const CU_pTest test, const CU_pSuite suite)
{
	ut_now.suite = suite->pName;
	ut_now.name = test->pName;
	ut_now.seed_used = ut_now.skipped = false;
	alarm(ut_options.limit_s);
}

static void ut_on_end(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failures)
{
	alarm(0);
	if (failures != NULL) {
		ut_failed++;
		for (CU_pFailureRecord f = failures; f != NULL; f = f->pNext)
			printf("FAIL %s.%s: %s:%u: %s\n", suite->pName, test->pName, f->strFileName,
				f->uiLineNumber, f->strCondition);
		printf("  repeat: %s -s %s -t %s", ut_options.program, suite->pName, test->pName);
		if (ut_now.seed_used)
			printf(" -r %" PRIu64, ut_options.seed);
		printf("\n");
	} else if (ut_now.skipped) {
		ut_skipped++;
		printf("skip %s.%s: %s\n", suite->pName, test->pName, ut_now.reason);
	} else {
		ut_passed++;
		if (ut_options.verbose)
			printf("ok %s.%s\n", suite->pName, test->pName);
	}
	fflush(stdout);
}

static bool ut_wanted(const struct ut_test *t)
{
	return (ut_options.suite == NULL || strcmp(t->suite->name, ut_options.suite) == 0) &&
	       (ut_options.test == NULL || strcmp(t->name, ut_options.test) == 0) &&
	       (ut_options.except == NULL || strcmp(t->name, ut_options.except) != 0);
}

/* Add the wanted tests to CUnit's registry, or print them. Returns their number. */
static unsigned ut_fill(void)
{
	unsigned n = 0;
	for (const struct ut_test *t = ut_first; t != NULL; t = t->next) {
		if (!ut_wanted(t))
			continue;
		n++;
		if (ut_options.list) {
			printf("%s.%s\n", t->suite->name, t->name);
			continue;
		}
		CU_pSuite suite = CU_get_suite(t->suite->name);
		if (suite == NULL)
			suite = CU_add_suite_with_setup_and_teardown(
				t->suite->name, NULL, NULL, t->suite->before, t->suite->after);
		CHECK(suite != NULL);
		CHECK(CU_add_test(suite, t->name, t->fn) != NULL);
	}
	return n;
}

static int ut_usage(void)
{
	fprintf(stderr, "usage: %s [-lv] [-s SUITE] [-t TEST] [-x TEST] [-r SEED] [-w SECONDS]\n",
		ut_options.program);
	return 2;
}

static bool ut_parse(int argc, char **argv)
{
	ut_options.program = argv[0];
	for (int c; (c = getopt(argc, argv, "ls:t:x:vr:w:")) != -1;) {
		if (c == 'l') {
			ut_options.list = true;
		} else if (c == 's') {
			ut_options.suite = optarg;
		} else if (c == 't') {
			ut_options.test = optarg;
		} else if (c == 'x') {
			ut_options.except = optarg;
		} else if (c == 'v') {
			ut_options.verbose = true;
		} else if (c == 'r') {
			ut_options.seed = strtoull(optarg, NULL, 0);
			ut_options.seed_given = true;
		} else if (c == 'w') {
			ut_options.limit_s = (unsigned)strtoul(optarg, NULL, 0);
		} else {
			return false;
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	if (!ut_parse(argc, argv))
		return ut_usage();
	signal(SIGALRM, ut_on_alarm);
	signal(SIGPIPE, SIG_IGN);
	CHECK(CU_initialize_registry() == CUE_SUCCESS);
	if (ut_fill() == 0) {
		fprintf(stderr, "%s: no such test\n", ut_options.program);
		return 2;
	}
	if (!ut_options.list) {
		CU_set_test_start_handler(ut_on_start);
		CU_set_test_complete_handler(ut_on_end);
		CHECK(CU_run_all_tests() == CUE_SUCCESS);
		printf("%u passed, %u failed, %u skipped\n", ut_passed, ut_failed, ut_skipped);
	}
	CU_cleanup_registry();
	if (ut_failed > 0)
		return 1;
	return ut_skipped > 0 && ut_passed == 0 ? 77 : 0;
}
