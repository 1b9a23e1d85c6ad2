# SPDX-License-Identifier: Apache-2.0

# The slice's parts. slice_spec.c switches planted bugs on wherever they are, so that its tests link
# the routes and what those need; the tests of the routes bring vCPUs of their own.
check_PROGRAMS += tests/unit/node-agent/slice_ut tests/unit/node-agent/route_ut
TESTS += tests/unit/node-agent/slice_ut tests/unit/node-agent/route_ut
tests_unit_node_agent_slice_ut_SOURCES = \
	tests/unit/node-agent/gclock_ut.c \
	tests/unit/node-agent/rv64_boot_ut.c \
	tests/unit/node-agent/slice_sandbox_ut.c \
	tests/unit/node-agent/slice_spec_ut.c
tests_unit_node_agent_slice_ut_LDADD = node-agent/libslice.a vcpu/libvcpu.a vio/libvio.a \
	dsm/libdsm.a $(XPORT_LIBS) $(CTL_LIBS) $(FDT_LIBS) $(SECCOMP_LIBS) $(UT_LIBS) -lm
tests_unit_node_agent_route_ut_SOURCES = tests/unit/node-agent/route_ut.c
tests_unit_node_agent_route_ut_LDADD = node-agent/libslice.a vio/libvio.a $(XPORT_LIBS) $(UT_LIBS)

# With planted bugs compiled in, whatever the rest of this build has.
check_PROGRAMS += tests/unit/node-agent/fence_ut
TESTS += tests/unit/node-agent/fence_ut
tests_unit_node_agent_fence_ut_SOURCES = tests/unit/node-agent/fence_ut.c \
	node-agent/route.c node-agent/route_call.c node-agent/route_fence.c node-agent/route_intr.c \
	node-agent/route_mmio.c
tests_unit_node_agent_fence_ut_CPPFLAGS = $(AM_CPPFLAGS) -DPLANT_BUGS=1
tests_unit_node_agent_fence_ut_LDADD = vio/libvio.a $(XPORT_LIBS) $(UT_LIBS)
include tests/unit/node-agent/agent_ut.mk
