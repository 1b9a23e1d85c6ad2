# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += vio/libvio.a
vio_libvio_a_SOURCES = \
	vio/aplic.c vio/aplic.h \
	vio/bus.c \
	vio/machine.c \
	vio/rtc.c vio/rtc.h \
	vio/stream.c vio/stream.h \
	vio/syscon.c vio/syscon.h \
	vio/uart16550.c vio/uart16550.h \
	vio/vio.h
