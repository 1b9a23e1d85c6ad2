# SPDX-License-Identifier: Apache-2.0
# The control plane: messages, framing, connections, TLS.
CTL_PROTOS = proto/admin.proto proto/hello.proto proto/host.proto proto/slice.proto \
	proto/stream.proto proto/vm.proto
CTL_PB_C = $(CTL_PROTOS:.proto=.pb-c.c)
CTL_PB_H = $(CTL_PROTOS:.proto=.pb-c.h)

proto/%.pb-c.c proto/%.pb-c.h: proto/%.proto
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) -I$(top_srcdir) --c_out=. $<

AM_CPPFLAGS += $(PROTOBUFC_CFLAGS) $(OPENSSL_CFLAGS)
noinst_LIBRARIES += proto/libctl.a
proto_libctl_a_SOURCES = \
	proto/ctl_conn.c proto/ctl_conn.h proto/ctl_conn_int.h \
	proto/ctl_io.h \
	proto/ctl_stream.c \
	proto/ctl_unix.c proto/ctl_unix.h \
	proto/daemon.c proto/daemon.h \
	proto/wire_ctl.c proto/wire_ctl.def proto/wire_ctl.h \
	proto/wire_ctl_types.def proto/wire_ctl_undef.h \
	proto/xport_tls.c proto/xport_tls.h
nodist_proto_libctl_a_SOURCES = $(CTL_PB_C)
proto/wire_ctl.$(OBJEXT): $(CTL_PB_H)
$(CTL_PB_C:.c=.$(OBJEXT)): $(CTL_PB_H)

# What a program of the control plane links, before BASE_LIBS.
CTL_LIBS = proto/libctl.a $(PROTOBUFC_LIBS) $(OPENSSL_LIBS)

EXTRA_DIST += $(CTL_PROTOS)
CLEANFILES += $(CTL_PB_C) $(CTL_PB_H)
EXTRA_DIST += proto/README.md
