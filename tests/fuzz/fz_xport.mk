# SPDX-License-Identifier: Apache-2.0
FUZZ += tests/fuzz/fz_wire_beat tests/fuzz/fz_wire_frame tests/fuzz/fz_wire_hello \
	tests/fuzz/fz_seal_open tests/fuzz/fz_xport_addr
tests_fuzz_fz_wire_beat_LDADD = $(XPORT_LIBS) $(FZ_LIBS)
tests_fuzz_fz_wire_frame_LDADD = $(XPORT_LIBS) $(FZ_LIBS)
tests_fuzz_fz_wire_hello_LDADD = $(XPORT_LIBS) $(FZ_LIBS)
tests_fuzz_fz_seal_open_LDADD = $(XPORT_LIBS) $(FZ_LIBS)
tests_fuzz_fz_xport_addr_LDADD = $(XPORT_LIBS) $(FZ_LIBS)
