# SPDX-License-Identifier: Apache-2.0
# The cluster simulator; tests/sim/run drives it. `sim-plant` is the same with the planted bugs
# compiled in, whatever the rest of this build has.
SIM_SOURCES = tests/sim/sim.c tests/sim/sim.h tests/sim/sim_check.c \
	tests/sim/sim_main.c tests/sim/sim_net.c tests/sim/sim_slice.c
check_PROGRAMS += tests/sim/sim tests/sim/sim-plant
tests_sim_sim_SOURCES = $(SIM_SOURCES)
tests_sim_sim_LDADD = dsm/libdsm.a proto/libwire.a $(BASE_LIBS)
tests_sim_sim_plant_SOURCES = $(SIM_SOURCES) $(DSM_CORE) proto/credit.c proto/wire_page.c
tests_sim_sim_plant_CPPFLAGS = $(AM_CPPFLAGS) -DPLANT_BUGS=1
tests_sim_sim_plant_LDADD = $(BASE_LIBS)
# What a write upgrade costs by the number of sharers; tests/bench/dsm prints it.
check_PROGRAMS += tests/sim/upgrade
tests_sim_upgrade_SOURCES = tests/sim/upgrade_main.c
tests_sim_upgrade_LDADD = dsm/libdsm.a proto/libwire.a $(BASE_LIBS)
dist_check_SCRIPTS += tests/sim/run
EXTRA_DIST += tests/sim/README.md
