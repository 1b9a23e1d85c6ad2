# SPDX-License-Identifier: Apache-2.0
# Heartbeats and what they measure.
check_PROGRAMS += tests/unit/proto/beat_ut
TESTS += tests/unit/proto/beat_ut
tests_unit_proto_beat_ut_SOURCES = \
	tests/unit/proto/beat_core_ut.c \
	tests/unit/proto/beat_ut.c \
	tests/unit/proto/net_addr_ut.c \
	tests/unit/proto/skew_ut.c \
	tests/unit/proto/wire_beat_ut.c
tests_unit_proto_beat_ut_LDADD = $(XPORT_LIBS) $(UT_LIBS)
