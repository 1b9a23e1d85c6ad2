# SPDX-License-Identifier: Apache-2.0
# Figures of a VM's memory between hosts: tests/bench/run prints them.
check_PROGRAMS += tests/bench/fabric-bench
tests_bench_fabric_bench_SOURCES = \
	tests/bench/fabric_bench_main.c \
	tests/bench/figures.c tests/bench/figures.def tests/bench/figures.h \
	tests/bench/host.c tests/bench/host.h \
	tests/bench/link.h tests/bench/link_ofi.c tests/bench/link_tcp.c tests/bench/link_xport.c \
	tests/bench/local_fault.c tests/bench/local_fault.h \
	tests/bench/member.c tests/bench/member.h \
	tests/bench/samples.c tests/bench/samples.h
tests_bench_fabric_bench_LDADD = dsm/libdsm.a $(XPORT_LIBS) $(BASE_LIBS)

TESTS += tests/bench/fabric_bench_check
dist_check_SCRIPTS += tests/bench/fabric_bench_check
EXTRA_DIST += tests/bench/README.md tests/bench/bench.sh tests/bench/run tests/bench/table tests/bench/lone_guest.c

# The yardstick of the rv64 engine; its programs are cross-compiled by tests/bench/yardstick/build.
EXTRA_DIST += tests/bench/engine tests/bench/engine_table tests/bench/yardstick

# Where the time of a guest goes.
TESTS += tests/bench/profile_check
dist_check_SCRIPTS += tests/bench/profile_check
EXTRA_DIST += tests/bench/profile tests/bench/profile_table tests/bench/guest_symbols

# The bars of memory between hosts.
TESTS += tests/bench/dsm_check
dist_check_SCRIPTS += tests/bench/dsm_check
EXTRA_DIST += tests/bench/dsm tests/bench/dsm_guest.c tests/bench/dsm_rows tests/bench/dsm_table
