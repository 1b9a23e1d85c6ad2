# SPDX-License-Identifier: Apache-2.0
# The data plane: libwire.a is pure, libxport.a moves bytes.
noinst_LIBRARIES += proto/libwire.a proto/libxport.a
proto_libwire_a_SOURCES = \
	proto/credit.c proto/credit.h \
	proto/ids.h proto/rv64_map.h proto/xport.h \
	proto/outq.c proto/outq.h \
	proto/wire_msgs.c proto/wire_msgs.def proto/wire_msgs.h
proto_libxport_a_SOURCES = \
	proto/xport_mem.c proto/xport_mem.h

# What a user of the data plane links, before BASE_LIBS.
XPORT_LIBS = proto/libxport.a proto/libwire.a
