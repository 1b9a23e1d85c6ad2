# SPDX-License-Identifier: Apache-2.0
# Unit tests: one binary per folder, described by tests/unit/FOLDER/FOLDER_ut.mk.
check_LIBRARIES += tests/lib/libut.a
tests_lib_libut_a_SOURCES = tests/lib/ut.c tests/lib/ut.h

# What a unit-test binary links after the libraries under test.
UT_LIBS = tests/lib/libut.a $(BASE_LIBS) $(CUNIT_LIBS)

include tests/unit/base/base_ut.mk
include tests/unit/proto/proto_ut.mk
include tests/unit/dsm/dsm_ut.mk
include tests/unit/vcpu/vcpu_ut.mk
include tests/unit/vio/vio_ut.mk
include tests/unit/node-agent/node-agent_ut.mk
include tests/unit/coordinator/coordinator_ut.mk
include tests/sim/sim.mk
include tests/fuzz/fuzz.mk
include tests/lint/lint.mk

EXTRA_DIST += tests/README.md
