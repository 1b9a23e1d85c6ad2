# SPDX-License-Identifier: Apache-2.0
# The coordinator.
AM_CPPFLAGS += $(SQLITE_CFLAGS)
noinst_LIBRARIES += coordinator/libcoord.a
coordinator_libcoord_a_SOURCES = \
	coordinator/coord.h \
	coordinator/coord_gather.c \
	coordinator/coord_host.c \
	coordinator/coord_pages.c \
	coordinator/coord_place.c coordinator/coord_place.h \
	coordinator/coord_rpc.c \
	coordinator/coord_stats.c \
	coordinator/coord_store.c coordinator/coord_store.h \
	coordinator/coord_vm.c \
	coordinator/coord_wait.c

sbin_PROGRAMS += mirrorball-coordinator
mirrorball_coordinator_SOURCES = coordinator/coord.c
mirrorball_coordinator_LDADD = coordinator/libcoord.a $(CTL_LIBS) $(SQLITE_LIBS) $(BASE_LIBS)
dist_man_MANS += coordinator/mirrorball-coordinator.8
EXTRA_DIST += coordinator/README.md
