# SPDX-License-Identifier: Apache-2.0
include dsm/core.mk
noinst_LIBRARIES += dsm/libdsm.a
dsm_libdsm_a_SOURCES = \
	$(DSM_CORE) \
	dsm/dsm.h \
	dsm/gate.c \
	dsm/ram.c dsm/ram.h \
	dsm/uffd.c dsm/uffd.h
