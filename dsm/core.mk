# SPDX-License-Identifier: Apache-2.0
# The coherence core alone: what the simulator and the fuzzers link besides the run-time.
DSM_CORE = \
	dsm/cache.def dsm/core.h dsm/home.def
