# SPDX-License-Identifier: Apache-2.0
# The data plane's moving part.
noinst_LIBRARIES += proto/libxport.a
proto_libxport_a_SOURCES = \
	proto/xport_mem.c proto/xport_mem.h

# What a user of the data plane links, before BASE_LIBS.
XPORT_LIBS = proto/libxport.a proto/libwire.a
