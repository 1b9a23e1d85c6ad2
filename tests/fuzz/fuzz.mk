# SPDX-License-Identifier: Apache-2.0
# A fuzz target is a file tests/fuzz/fz_X.c that defines LLVMFuzzerTestOneInput(), a folder
# tests/fuzz/corpora/X with at least one input, and two lines here:
#	FUZZ += tests/fuzz/fz_X
#	tests_fuzz_fz_X_LDADD = LIBRARIES UNDER TEST $(FZ_LIBS)
# Normal builds replay the corpus in `make check`; --enable-fuzzers links libFuzzer instead.
FUZZ =
if FUZZERS
noinst_PROGRAMS += $(FUZZ)
FZ_LIBS = $(BASE_LIBS) $(FUZZ_ENGINE)
else
check_PROGRAMS += $(FUZZ)
TESTS += $(FUZZ)
check_LIBRARIES += tests/fuzz/libreplay.a
tests_fuzz_libreplay_a_SOURCES = tests/fuzz/replay_main.c
FZ_LIBS = tests/fuzz/libreplay.a $(BASE_LIBS)
endif

FUZZ += tests/fuzz/fz_log_spec
tests_fuzz_fz_log_spec_LDADD = $(FZ_LIBS)

FUZZ += tests/fuzz/fz_opts
tests_fuzz_fz_opts_LDADD = $(FZ_LIBS)

FUZZ += tests/fuzz/fz_aplic
tests_fuzz_fz_aplic_LDADD = $(VIO_TEST_LIBS) $(FZ_LIBS)
FUZZ += tests/fuzz/fz_blk_req
tests_fuzz_fz_blk_req_LDADD = $(VIO_TEST_LIBS) $(FZ_LIBS)
FUZZ += tests/fuzz/fz_net_filter
tests_fuzz_fz_net_filter_LDADD = $(VIO_TEST_LIBS) $(FZ_LIBS)
FUZZ += tests/fuzz/fz_pci_cfg
tests_fuzz_fz_pci_cfg_LDADD = $(VIO_TEST_LIBS) $(FZ_LIBS)
FUZZ += tests/fuzz/fz_virtq
tests_fuzz_fz_virtq_LDADD = $(VIO_TEST_LIBS) $(FZ_LIBS)
FUZZ += tests/fuzz/fz_wire_vm
tests_fuzz_fz_wire_vm_LDADD = proto/libwire.a $(FZ_LIBS)
FUZZ += tests/fuzz/fz_rv64_boot
tests_fuzz_fz_rv64_boot_LDADD = node-agent/libslice.a vcpu/libvcpu.a $(VIO_TEST_LIBS) $(FDT_LIBS) $(FZ_LIBS)
FUZZ += tests/fuzz/fz_rv_guest
tests_fuzz_fz_rv_guest_LDADD = $(VCPU_TEST_LIBS) $(FZ_LIBS)

include tests/fuzz/fz_xport.mk

EXTRA_DIST += tests/fuzz/README.md tests/fuzz/corpora

FUZZ += tests/fuzz/fz_wire_ctl tests/fuzz/fz_ctl_conn tests/fuzz/fz_exec_line
tests_fuzz_fz_wire_ctl_LDADD = $(CTL_LIBS) $(FZ_LIBS)
tests_fuzz_fz_ctl_conn_LDADD = $(CTL_LIBS) $(FZ_LIBS)
tests_fuzz_fz_exec_line_LDADD = $(SLICE_CTL_LIBS) $(FZ_LIBS)
include tests/fuzz/fz_core.mk
