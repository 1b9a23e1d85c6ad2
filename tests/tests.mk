# SPDX-License-Identifier: Apache-2.0
# Unit tests: one binary per folder, described by tests/unit/FOLDER/FOLDER_ut.mk.
check_LIBRARIES += tests/lib/libut.a
tests_lib_libut_a_SOURCES = tests/lib/ut.c tests/lib/ut.h

# What a unit-test binary links after the libraries under test.
UT_LIBS = tests/lib/libut.a $(BASE_LIBS) $(CUNIT_LIBS)

# The runner has to report what fails.
check_PROGRAMS += tests/lib/ut_bad
tests_lib_ut_bad_SOURCES = tests/lib/ut_bad.c
tests_lib_ut_bad_LDADD = $(UT_LIBS)
TESTS += tests/lib/ut_check
dist_check_SCRIPTS += tests/lib/ut_check

include tests/unit/base/base_ut.mk
include tests/unit/proto/proto_ut.mk
include tests/unit/dsm/dsm_ut.mk
include tests/unit/vcpu/vcpu_ut.mk
include tests/unit/vio/vio_ut.mk
include tests/unit/node-agent/node-agent_ut.mk
include tests/unit/coordinator/coordinator_ut.mk
include tests/engine/engine.mk
include tests/guest/guest.mk
include tests/control/control.mk
include tests/bench/bench.mk
include tests/sim/sim.mk
include tests/fuzz/fuzz.mk
include tests/lint/lint.mk

EXTRA_DIST += tests/README.md

# For tests/lib/group.sh, which runs them one by one.
.PHONY: print-tests
print-tests:
	@echo $(TESTS)
