# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/barrier.c base/barrier.h \
	base/buf.h \
	base/byte_fifo.h \
	base/check.c base/check.h \
	base/clock.c base/clock.h \
	base/err.c base/err.def base/err.h \
	base/list.h \
	base/lk.c base/lk.def base/lk.h \
	base/log.c base/log.def base/log.h \
	base/loop.c base/loop.h \
	base/opts.c base/opts.h \
	base/rng.c base/rng.h \
	base/sm.c base/sm.h \
	base/trace.c base/trace.h

# What a program that uses base/ links, last.
BASE_LIBS = base/libbase.a $(EVENT_LIBS)

EXTRA_DIST += base/README.md
