# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/base/base_ut
TESTS += tests/unit/base/base_ut
tests_unit_base_base_ut_SOURCES = \
	tests/unit/base/err_ut.c
tests_unit_base_base_ut_LDADD = $(UT_LIBS)
