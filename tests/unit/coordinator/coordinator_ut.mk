# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/coordinator/coord_ut
TESTS += tests/unit/coordinator/coord_ut
tests_unit_coordinator_coord_ut_SOURCES = \
	coordinator/symbols.c coordinator/symbols.h \
	coordinator/pki.c coordinator/pki.h \
	tests/unit/coordinator/coord_place_ut.c \
	tests/unit/coordinator/coord_store_ut.c \
	tests/unit/coordinator/pki_ut.c \
	tests/unit/coordinator/symbols_ut.c
tests_unit_coordinator_coord_ut_LDADD = coordinator/libcoord.a $(CTL_LIBS) $(SQLITE_LIBS) $(UT_LIBS)
