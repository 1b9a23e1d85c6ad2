/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that do not pass, for ut_check: the runner has to say so. */
#include <signal.h>
#include <unistd.h>

#include "tests/lib/ut.h"

static unsigned before_calls, after_calls;

static void before(void)
{
	before_calls++;
}

static void after(void)
{
	after_calls++;
}

UT_SUITE_WITH(bad, before, after);

UT_TEST(passes)
{
	UT_EQ(before_calls, 1);
	UT_EQ(after_calls, 0);
}

UT_TEST(fails)
{
	UT_EQ(1 + 1, 3);
	raise(SIGKILL); /* not reached */
}

UT_TEST(goes_on_after_a_failure)
{
	UT_EQ(before_calls, 3);
	UT_EQ(after_calls, 2);
}

UT_TEST(skips)
{
	UT_SKIP("needs a %s", "moon");
}

UT_TEST(fails_with_seed)
{
	UT_CHECK(ut_seed() == 0);
}

UT_TEST(text_differs)
{
	UT_EQ_STR("left", "right");
}

UT_TEST(bytes_differ)
{
	UT_EQ_MEM("abc", "abd", 3);
}

UT_TEST(wrong_error)
{
	UT_ERR(ERR_INVAL, RANGE);
}

static void nothing(UNUSED void *arg)
{
}

static void fail(UNUSED void *arg)
{
	UNREACHABLE();
}

UT_TEST(does_not_abort)
{
	UT_ABORTS(nothing, NULL, "");
}

UT_TEST(aborts_with_other_words)
{
	UT_ABORTS(fail, NULL, "xyzzy");
}

UT_TEST(hangs)
{
	pause();
}
