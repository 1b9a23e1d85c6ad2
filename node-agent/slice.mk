# SPDX-License-Identifier: Apache-2.0
# The slice process. libslice.a is what its tests can link without the engine.
noinst_LIBRARIES += node-agent/libslice.a
node_agent_libslice_a_SOURCES = \
	node-agent/gclock.c node-agent/gclock.h \
	node-agent/route.c node-agent/route.h node-agent/route_int.h \
	node-agent/route_call.c \
	node-agent/route_fence.c \
	node-agent/route_intr.c \
	node-agent/route_mmio.c \
	node-agent/rv64_boot.c node-agent/rv64_boot.h \
	node-agent/rv64_fdt.c node-agent/rv64_fdt.h
