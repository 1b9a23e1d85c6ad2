# SPDX-License-Identifier: Apache-2.0
include dsm/core.mk
noinst_LIBRARIES += dsm/libdsm.a
# Also of tests/guest/slice-plant.
DSM_SOURCES = \
	$(DSM_CORE) \
	dsm/dsm.h \
	dsm/act.c \
	dsm/excl.c dsm/excl.h \
	dsm/gate.c \
	dsm/pin.c \
	dsm/ram.c dsm/ram.h \
	dsm/prio.c dsm/prio.h \
	dsm/service.c \
	dsm/space.c dsm/space.h \
	dsm/stats.c dsm/stats.h \
	dsm/uffd.c dsm/uffd.h
dsm_libdsm_a_SOURCES = $(DSM_SOURCES)

EXTRA_DIST += dsm/README.md dsm/LOCKING.md
