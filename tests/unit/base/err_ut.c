/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>

#include "tests/lib/ut.h"

UT_SUITE(err);

static const struct {
	int code;
	int number;
	const char *name;
} rows[] = {
#define ERR(name, number, class, text) {ERR_##name, number, #name},
#include "base/err.def"
#undef ERR
};

UT_TEST(zero_is_no_error)
{
	UT_EQ_STR(err_name(0), "OK");
	UT_EQ_STR(err_text(0), "no error");
	UT_EQ(err_class(0), ERR_CLASS_NONE);
}

UT_TEST(codes_are_negative_and_unique)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		UT_CHECK(rows[i].code < 0);
		UT_EQ(rows[i].code, -rows[i].number);
		for (size_t j = 0; j < i; j++)
			UT_CHECK(rows[i].code != rows[j].code);
	}
}

UT_TEST(every_code_has_name_text_and_class)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		UT_EQ_STR(err_name(rows[i].code), rows[i].name);
		UT_CHECK(strlen(err_text(rows[i].code)) > 0);
		UT_CHECK(strcmp(err_text(rows[i].code), "unknown error") != 0);
		UT_CHECK(err_class(rows[i].code) != ERR_CLASS_NONE);
	}
	UT_EQ(err_class(ERR_AGAIN), ERR_CLASS_RETRY);
	UT_EQ(err_class(ERR_INVAL), ERR_CLASS_REQUEST);
	UT_EQ(err_class(ERR_REPLAY), ERR_CLASS_LINK);
	UT_EQ(err_class(ERR_PROTOCOL), ERR_CLASS_PEER);
	UT_EQ(err_class(ERR_GUEST), ERR_CLASS_VM);
	UT_EQ(err_class(ERR_NO_MEMORY), ERR_CLASS_NODE);
}

UT_TEST(unknown_codes_cost_one_request)
{
	static const int unknown[] = {1, -9999, INT32_MIN, INT32_MAX};
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		UT_EQ_STR(err_name(unknown[i]), "UNKNOWN");
		UT_EQ_STR(err_text(unknown[i]), "unknown error");
		UT_EQ(err_class(unknown[i]), ERR_CLASS_REQUEST);
	}
}

UT_TEST(errno_never_becomes_success)
{
	for (int e = -1; e < 4096; e++) {
		UT_CHECK(err_from_errno(e) < 0);
		UT_CHECK(strcmp(err_name(err_from_errno(e)), "UNKNOWN") != 0);
	}
}

UT_TEST(errno_keeps_its_meaning)
{
	UT_ERR(err_from_errno(EAGAIN), AGAIN);
	UT_ERR(err_from_errno(ETIMEDOUT), TIMEOUT);
	UT_ERR(err_from_errno(EINVAL), INVAL);
	UT_ERR(err_from_errno(ENOENT), NOT_FOUND);
	UT_ERR(err_from_errno(EEXIST), EXISTS);
	UT_ERR(err_from_errno(EACCES), DENIED);
	UT_ERR(err_from_errno(EPERM), DENIED);
	UT_ERR(err_from_errno(ENOSPC), NO_SPACE);
	UT_ERR(err_from_errno(ECONNREFUSED), CONNECT);
	UT_ERR(err_from_errno(ECONNRESET), LINK_DOWN);
	UT_ERR(err_from_errno(ENOMEM), NO_MEMORY);
	UT_ERR(err_from_errno(EMFILE), NO_FD);
	UT_ERR(err_from_errno(EIO), IO);
	UT_ERR(err_from_errno(0), IO);
}
