# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += dsm/libdsm.a
dsm_libdsm_a_SOURCES = \
	dsm/dsm.h \
	dsm/gate.c
