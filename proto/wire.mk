# SPDX-License-Identifier: Apache-2.0
# The data plane's pure part: page messages, flow control. Neither does I/O.
noinst_LIBRARIES += proto/libwire.a
proto_libwire_a_SOURCES = \
	proto/credit.c proto/credit.h \
	proto/ids.h proto/rv64_map.h proto/xport.h proto/wire_msgs.def \
	proto/wire_page.c proto/wire_page.def proto/wire_page.h
