# SPDX-License-Identifier: Apache-2.0
# The coherence core: part of libdsm.a, and all that the simulator and the fuzzers link of dsm/.
DSM_CORE = \
	dsm/cache.def dsm/home.def \
	dsm/ahead.c dsm/ahead.h \
	dsm/core.c dsm/core.h dsm/core_int.h \
	dsm/core_ahead.c dsm/core_cache.c dsm/core_home.c dsm/core_look.c dsm/core_map.c \
	dsm/core_pages.c \
	dsm/hot.c dsm/hot.h \
	dsm/core_plant.c dsm/core_revoke.c dsm/core_want.c
