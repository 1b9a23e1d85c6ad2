# SPDX-License-Identifier: Apache-2.0
# The data plane's pure part: messages, queues, flow control. None does I/O.
noinst_LIBRARIES += proto/libwire.a
proto_libwire_a_SOURCES = \
	proto/beat_core.c proto/beat_core.h \
	proto/credit.c proto/credit.h \
	proto/ids.h proto/rv64_map.h proto/xport.h \
	proto/outq.c proto/outq.h \
	proto/seal.c proto/seal.h \
	proto/skew.c proto/skew.h \
	proto/wire_beat.c proto/wire_beat.h \
	proto/wire_frame.c proto/wire_frame.h \
	proto/wire_hello.c proto/wire_hello.h \
	proto/wire_msgs.c proto/wire_msgs.def proto/wire_msgs.h \
	proto/wire_page.c proto/wire_page.def proto/wire_page.h \
	proto/wire_vm.c proto/wire_vm.h
