# SPDX-License-Identifier: Apache-2.0
# The command line.
bin_PROGRAMS += mirrorball
mirrorball_SOURCES = \
	coordinator/cli.c coordinator/cli.h \
	coordinator/cli_console.c \
	coordinator/cli_exec.c \
	coordinator/cli_host.c \
	coordinator/cli_init.c \
	coordinator/cli_out.c coordinator/cli_out.h \
	coordinator/cli_pages.c \
	coordinator/cli_stats.c \
	coordinator/symbols.c coordinator/symbols.h \
	coordinator/cli_vm.c \
	coordinator/pki.c coordinator/pki.h
mirrorball_LDADD = $(CTL_LIBS) $(BASE_LIBS)
dist_man_MANS += coordinator/mirrorball.1
