/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_UT_H
#define TESTS_LIB_UT_H

#include <string.h>

#include "base/check.h"
#include "base/err.h"

/*
 * Unit tests over CUnit. A file X_ut.c says UT_SUITE(X) once and then
 *
 *	UT_TEST(what_is_shown)
 *	{
 *		UT_EQ(x_count(), 3);
 *	}
 *
 * and is only linked to be run: constructors register its tests. main() is in ut.c, see there for
 * the options. A failed assertion ends its test. Assertions belong to the thread that runs the
 * test; other threads store what they found, or CHECK.
 */
typedef void ut_fn(void);

struct ut_suite {
	const char *name;
	ut_fn *before, *after; /* around each test, may be NULL; `after` runs after failures too */
};

struct ut_test {
	const struct ut_suite *suite;
	const char *name;
	ut_fn *fn;
	struct ut_test *next;
};

#define UT_SUITE(suite) UT_SUITE_WITH(suite, NULL, NULL)
#define UT_SUITE_WITH(suite, before_each, after_each)                                              \
	static const struct ut_suite ut_this_suite = {#suite, before_each, after_each}

#define UT_TEST(test)                                                                              \
	static void test(void);                                                                    \
	__attribute__((constructor)) static void ut_register_##test(void)                          \
	{                                                                                          \
		static struct ut_test t = {&ut_this_suite, #test, test, NULL};                     \
		ut_register(&t);                                                                   \
	}                                                                                          \
	static void test(void)

void ut_register(struct ut_test *t);

#define UT_CHECK(cond)                                                                             \
	do {                                                                                       \
		if (!(cond))                                                                       \
			UT_FAIL("%s", #cond);                                                      \
	} while (0)

#define UT_FAIL(...) ut_fail(__FILE__, __LINE__, __func__, __VA_ARGS__)

/* Two numbers, of any integer type up to 64 bits or an enum. */
#define UT_EQ(a, b) ut_eq(__FILE__, __LINE__, __func__, #a " == " #b, (uint64_t)(a), (uint64_t)(b))

#define UT_EQ_STR(a, b)     ut_eq_str(__FILE__, __LINE__, __func__, #a " == " #b, a, b)
#define UT_EQ_MEM(a, b, n)  ut_eq_mem(__FILE__, __LINE__, __func__, #a " == " #b, a, b, n)
#define UT_HAS_STR(s, part) ut_has_str(__FILE__, __LINE__, __func__, #s " contains " #part, s, part)

/* The error code of a call: 0, or ERR_`name`. */
#define UT_OK(call)        ut_err(__FILE__, __LINE__, __func__, #call, call, 0)
#define UT_ERR(call, name) ut_err(__FILE__, __LINE__, __func__, #call, call, ERR_##name)

/* Leave the test, uncounted as passed; the reason says what is missing. */
#define UT_SKIP(...)                                                                               \
	do {                                                                                       \
		ut_skip(__VA_ARGS__);                                                              \
		return;                                                                            \
	} while (0)

/*
 * fn(arg), run in a child, must end by SIGABRT with `text` on its stderr. The child has no thread
 * but the caller's. Yields all of its stderr, until the next UT_ABORTS.
 */
#define UT_ABORTS(fn, arg, text) ut_aborts(__FILE__, __LINE__, __func__, fn, arg, text)

/*
 * The seed of this run, from -r or else from the kernel. A failure of the test that asked for it
 * prints it with the command that repeats the test.
 */
uint64_t ut_seed(void);

PRINTF_LIKE(4, 5)
_Noreturn void ut_fail(const char *file, int line, const char *func, const char *fmt, ...);
PRINTF_LIKE(1, 2) void ut_skip(const char *fmt, ...);
void ut_eq(const char *file, int line, const char *func, const char *what, uint64_t a, uint64_t b);
void ut_eq_str(const char *file, int line, const char *func, const char *what, const char *a,
	const char *b);
void ut_eq_mem(const char *file, int line, const char *func, const char *what, const void *a,
	const void *b, size_t n);
void ut_has_str(const char *file, int line, const char *func, const char *what, const char *s,
	const char *part);
void ut_err(const char *file, int line, const char *func, const char *what, int got, int want);
const char *ut_aborts(const char *file, int line, const char *func, void (*fn)(void *), void *arg,
	const char *text);

#endif
