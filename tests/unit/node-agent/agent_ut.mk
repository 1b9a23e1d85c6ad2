# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/node-agent/agent_ut
TESTS += tests/unit/node-agent/agent_ut
tests_unit_node_agent_agent_ut_SOURCES = \
	tests/unit/node-agent/agent_dir_ut.c \
	tests/unit/node-agent/exec_line_ut.c
tests_unit_node_agent_agent_ut_LDADD = node-agent/libagent.a $(SLICE_CTL_LIBS) $(CTL_LIBS) $(UT_LIBS)
