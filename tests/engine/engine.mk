# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/engine/rv-run
tests_engine_rv_run_SOURCES = tests/engine/rv-run.c
tests_engine_rv_run_LDADD = $(VCPU_TEST_LIBS) dsm/libdsm.a $(XPORT_LIBS) $(BASE_LIBS)
EXTRA_DIST += tests/engine/README.md tests/engine/gen tests/engine/run tests/engine/rv
