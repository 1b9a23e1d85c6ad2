# SPDX-License-Identifier: Apache-2.0
# The agent of a host.
noinst_LIBRARIES += node-agent/libagent.a
node_agent_libagent_a_SOURCES = \
	node-agent/agent.h \
	node-agent/agent_adopt.c \
	node-agent/agent_dir.c \
	node-agent/agent_host.c \
	node-agent/agent_launch.c \
	node-agent/agent_link.c \
	node-agent/agent_slice.c

sbin_PROGRAMS += mirrorball-agent
mirrorball_agent_SOURCES = node-agent/agent.c
mirrorball_agent_CPPFLAGS = $(AM_CPPFLAGS) -DLIBEXECDIR='"$(libexecdir)"'
mirrorball_agent_LDADD = node-agent/libagent.a $(CTL_LIBS) $(BASE_LIBS)
dist_man_MANS += node-agent/mirrorball-agent.8
EXTRA_DIST += node-agent/README.md
