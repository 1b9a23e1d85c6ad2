# SPDX-License-Identifier: Apache-2.0
# The coherence core by itself: needs no kernel feature, no thread, no transport.
check_PROGRAMS += tests/unit/dsm/core_ut
TESTS += tests/unit/dsm/core_ut
tests_unit_dsm_core_ut_SOURCES = \
	tests/unit/dsm/core_rig.c tests/unit/dsm/core_rig.h \
	tests/unit/dsm/ahead_ut.c \
	tests/unit/dsm/core_ahead_ut.c \
	tests/unit/dsm/core_cache_ut.c \
	tests/unit/dsm/core_home_ut.c \
	tests/unit/dsm/core_look_ut.c \
	tests/unit/dsm/core_map_ut.c \
	tests/unit/dsm/core_pages_ut.c \
	tests/unit/dsm/core_revoke_ut.c \
	tests/unit/dsm/core_ut.c \
	tests/unit/dsm/core_want_ut.c \
	tests/unit/dsm/hot_ut.c
tests_unit_dsm_core_ut_LDADD = dsm/libdsm.a proto/libwire.a $(UT_LIBS)
