# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += vio/libvio.a
vio_libvio_a_SOURCES = \
	vio/aplic.c vio/aplic.h \
	vio/blk.c vio/blk.h \
	vio/bus.c \
	vio/console.c vio/console.h \
	vio/disk.c vio/disk.h \
	vio/machine.c \
	vio/msix.c vio/msix.h \
	vio/net.c vio/net.h \
	vio/net_filter.c vio/net_filter.h \
	vio/pci.c vio/pci.h \
	vio/pvpanic.c vio/pvpanic.h \
	vio/rng.c vio/rng.h \
	vio/rtc.c vio/rtc.h \
	vio/stream.c vio/stream.h \
	vio/syscon.c vio/syscon.h \
	vio/uart16550.c vio/uart16550.h \
	vio/vio.h \
	vio/virtio.c vio/virtio.h \
	vio/virtio_pci.c vio/virtio_pci.h \
	vio/virtq.c vio/virtq.h
vio_libvio_a_CPPFLAGS = $(AM_CPPFLAGS) $(SLIRP_CFLAGS)

# What a program with devices links.
VIO_LIBS = vio/libvio.a $(SLIRP_LIBS)

EXTRA_DIST += vio/README.md docs/README.md docs/guest-machine.md
