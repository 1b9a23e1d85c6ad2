# SPDX-License-Identifier: Apache-2.0
# The data plane's moving part.
noinst_LIBRARIES += proto/libxport.a
proto_libxport_a_SOURCES = \
	proto/beat.c proto/beat.h \
	proto/net_addr.c proto/net_addr.h \
	proto/xport_mem.c proto/xport_mem.h \
	proto/xport_ofi.c proto/xport_ofi.h proto/xport_ofi_int.h \
	proto/xport_ofi_fab.c proto/xport_ofi_hs.c proto/xport_ofi_rx.c proto/xport_ofi_tx.c
AM_CPPFLAGS += $(FABRIC_CFLAGS)

# What a user of the data plane links, before BASE_LIBS.
XPORT_LIBS = proto/libxport.a proto/libwire.a $(FABRIC_LIBS) $(OPENSSL_LIBS)
