# SPDX-License-Identifier: Apache-2.0
# Programs inside the guest; tests/guest/run cross-compiles them. `slice-plant` is the slice with the
# planted bugs compiled in, whatever the rest of this build has.
check_PROGRAMS += tests/guest/slice-plant
tests_guest_slice_plant_SOURCES = $(SLICE_SOURCES) $(LIBSLICE_SOURCES) $(DSM_SOURCES) \
	proto/credit.c proto/credit.h
tests_guest_slice_plant_CPPFLAGS = $(AM_CPPFLAGS) -DPLANT_BUGS=1
tests_guest_slice_plant_LDADD = $(SLICE_LIBS) $(SLICE_HOST_LIBS)

dist_check_SCRIPTS += tests/guest/run
EXTRA_DIST += tests/guest/README.md tests/guest/guest.c tests/guest/guest.h tests/guest/atomics.c \
	tests/guest/clockhop.c tests/guest/forks.c tests/guest/litmus.c tests/guest/memwalk.c
