# SPDX-License-Identifier: Apache-2.0
# The cluster simulator: tests/sim/run drives it.
check_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = tests/sim/sim.c tests/sim/sim.h tests/sim/sim_check.c \
	tests/sim/sim_main.c tests/sim/sim_net.c tests/sim/sim_slice.c
tests_sim_sim_LDADD = dsm/libdsm.a proto/libwire.a $(BASE_LIBS)
dist_check_SCRIPTS += tests/sim/run
EXTRA_DIST += tests/sim/README.md
