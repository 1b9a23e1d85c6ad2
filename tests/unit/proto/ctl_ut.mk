# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/proto/ctl_ut
TESTS += tests/unit/proto/ctl_ut
tests_unit_proto_ctl_ut_SOURCES = \
	tests/unit/proto/ctl_conn_ut.c \
	tests/unit/proto/ctl_pair.c tests/unit/proto/ctl_pair.h \
	tests/unit/proto/ctl_stream_ut.c \
	tests/unit/proto/wire_ctl_ut.c
tests_unit_proto_ctl_ut_LDADD = $(CTL_LIBS) $(UT_LIBS)
