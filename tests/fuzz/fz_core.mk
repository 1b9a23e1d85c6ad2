# SPDX-License-Identifier: Apache-2.0
FUZZ += tests/fuzz/fz_dsm_events tests/fuzz/fz_wire_page
tests_fuzz_fz_dsm_events_LDADD = dsm/libdsm.a proto/libwire.a $(FZ_LIBS)
tests_fuzz_fz_wire_page_LDADD = proto/libwire.a $(FZ_LIBS)
