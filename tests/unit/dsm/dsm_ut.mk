# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/dsm/dsm_ut
TESTS += tests/unit/dsm/dsm_ut
tests_unit_dsm_dsm_ut_SOURCES = \
	tests/unit/dsm/cluster.c tests/unit/dsm/cluster.h \
	tests/unit/dsm/excl_ut.c \
	tests/unit/dsm/files.c tests/unit/dsm/files.h \
	tests/unit/dsm/gate_ut.c \
	tests/unit/dsm/pin_ut.c \
	tests/unit/dsm/ram_ut.c \
	tests/unit/dsm/service_ut.c \
	tests/unit/dsm/share_ut.c \
	tests/unit/dsm/space_ut.c \
	tests/unit/dsm/stats_ut.c \
	tests/unit/dsm/uffd_ut.c
tests_unit_dsm_dsm_ut_LDADD = tests/lib/libviotest.a dsm/libdsm.a $(XPORT_LIBS) $(UT_LIBS)
include tests/unit/dsm/core_ut.mk
