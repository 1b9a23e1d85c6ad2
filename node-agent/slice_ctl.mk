# SPDX-License-Identifier: Apache-2.0
# The slice's side of its control socket; also what test programs drive.
noinst_LIBRARIES += node-agent/libslicectl.a
node_agent_libslicectl_a_SOURCES = \
	node-agent/exec_line.c node-agent/exec_line.h \
	node-agent/slice_ctl.c node-agent/slice_ctl.h \
	node-agent/slice_exec.c node-agent/slice_exec.h

# Before CTL_LIBS.
SLICE_CTL_LIBS = node-agent/libslicectl.a
