# SPDX-License-Identifier: Apache-2.0
# The control plane as users meet it: real programs over loopback, with a slice that has no guest.
check_PROGRAMS += tests/control/fake-slice
tests_control_fake_slice_SOURCES = tests/control/fake_slice.c
tests_control_fake_slice_LDADD = $(SLICE_CTL_LIBS) $(CTL_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/lib/slice-driver
tests_lib_slice_driver_SOURCES = tests/lib/slice_driver.c tests/lib/slice_driver.h \
	tests/lib/slice_driver_main.c
tests_lib_slice_driver_LDADD = $(CTL_LIBS) $(BASE_LIBS)

check_PROGRAMS += tests/control/odd-peer
tests_control_odd_peer_SOURCES = tests/control/odd_peer.c
tests_control_odd_peer_LDADD = $(CTL_LIBS) $(BASE_LIBS)

dist_check_SCRIPTS += tests/control/run tests/control/control.py
EXTRA_DIST += tests/control/README.md
