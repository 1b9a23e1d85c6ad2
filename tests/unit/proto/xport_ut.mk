# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/proto/xport_ut
TESTS += tests/unit/proto/xport_ut
tests_unit_proto_xport_ut_SOURCES = \
	tests/unit/proto/seal_ut.c \
	tests/unit/proto/wire_frame_ut.c \
	tests/unit/proto/wire_vm_ut.c \
	tests/unit/proto/ofi_rig.c tests/unit/proto/ofi_rig.h \
	tests/unit/proto/xport_mem_ut.c \
	tests/unit/proto/xport_ofi_bad_ut.c \
	tests/unit/proto/xport_ofi_idle_ut.c \
	tests/unit/proto/xport_ofi_join_ut.c \
	tests/unit/proto/xport_ofi_ut.c \
	tests/unit/proto/xport_rig.c tests/unit/proto/xport_rig.h
tests_unit_proto_xport_ut_LDADD = $(XPORT_LIBS) $(UT_LIBS)
