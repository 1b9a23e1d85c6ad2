# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/base/base_ut
TESTS += tests/unit/base/base_ut
tests_unit_base_base_ut_SOURCES = \
	tests/unit/base/barrier_ut.c \
	tests/unit/base/buf_ut.c \
	tests/unit/base/byte_fifo_ut.c \
	tests/unit/base/check_ut.c \
	tests/unit/base/clock_ut.c \
	tests/unit/base/err_ut.c \
	tests/unit/base/list_ut.c \
	tests/unit/base/lk_ut.c \
	tests/unit/base/log_ut.c \
	tests/unit/base/loop_ut.c \
	tests/unit/base/opts_ut.c \
	tests/unit/base/rng_ut.c \
	tests/unit/base/sm_ut.c \
	tests/unit/base/trace_ut.c
tests_unit_base_base_ut_LDADD = $(UT_LIBS)
