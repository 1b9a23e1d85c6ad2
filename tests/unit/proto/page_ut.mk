# SPDX-License-Identifier: Apache-2.0
# Page messages and flow control.
check_PROGRAMS += tests/unit/proto/page_ut
TESTS += tests/unit/proto/page_ut
tests_unit_proto_page_ut_SOURCES = \
	tests/unit/proto/credit_ut.c \
	tests/unit/proto/wire_page_ut.c
tests_unit_proto_page_ut_LDADD = proto/libwire.a $(UT_LIBS)
