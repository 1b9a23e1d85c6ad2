# SPDX-License-Identifier: Apache-2.0
# The slice process. libslice.a is what its tests can link without the engine.
noinst_LIBRARIES += node-agent/libslice.a
LIBSLICE_SOURCES = \
	node-agent/gclock.c node-agent/gclock.h \
	node-agent/route.c node-agent/route.h node-agent/route_int.h \
	node-agent/route_call.c \
	node-agent/route_fence.c \
	node-agent/route_intr.c \
	node-agent/route_mmio.c \
	node-agent/rv64_boot.c node-agent/rv64_boot.h \
	node-agent/rv64_fdt.c node-agent/rv64_fdt.h \
	node-agent/slice_sandbox.c \
	node-agent/slice.h node-agent/slice_spec.c
node_agent_libslice_a_SOURCES = $(LIBSLICE_SOURCES)

libexec_PROGRAMS += mirrorball-slice
SLICE_SOURCES = \
	node-agent/slice_beat.c \
	node-agent/slice_build.c \
	node-agent/slice_devices.c \
	node-agent/slice_env.c \
	node-agent/slice_life.c \
	node-agent/slice_main.c \
	node-agent/slice_net.c \
	node-agent/slice_ports.c \
	node-agent/slice_stats.c
mirrorball_slice_SOURCES = $(SLICE_SOURCES)
SLICE_LIBS = $(SLICE_CTL_LIBS) vcpu/libvcpu.a $(VIO_LIBS)
SLICE_HOST_LIBS = $(XPORT_LIBS) $(CTL_LIBS) $(BASE_LIBS) $(FABRIC_LIBS) $(SECCOMP_LIBS) \
	$(FDT_LIBS) -lm
mirrorball_slice_LDADD = node-agent/libslice.a $(SLICE_LIBS) dsm/libdsm.a $(SLICE_HOST_LIBS)
dist_man_MANS += node-agent/mirrorball-slice.8
