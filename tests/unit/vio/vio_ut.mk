# SPDX-License-Identifier: Apache-2.0
# What unit tests and fuzz targets of devices share: fake guest memory, interrupts, a driver.
check_LIBRARIES += tests/lib/libviotest.a
tests_lib_libviotest_a_SOURCES = \
	tests/lib/fake_gate.c tests/lib/fake_gate.h \
	tests/lib/msi_sink.c tests/lib/msi_sink.h \
	tests/lib/virtio_driver.c tests/lib/virtio_driver.h
VIO_TEST_LIBS = tests/lib/libviotest.a $(VIO_LIBS) dsm/libdsm.a

check_PROGRAMS += tests/unit/vio/vio_ut
TESTS += tests/unit/vio/vio_ut
tests_unit_vio_vio_ut_SOURCES = \
	tests/unit/vio/aplic_ut.c \
	tests/unit/vio/blk_ut.c \
	tests/unit/vio/bus_ut.c \
	tests/unit/vio/console_ut.c \
	tests/unit/vio/disk_ut.c \
	tests/unit/vio/fixture.c tests/unit/vio/fixture.h \
	tests/unit/vio/machine_ut.c \
	tests/unit/vio/msix_ut.c \
	tests/unit/vio/net_filter_ut.c \
	tests/unit/vio/net_ut.c \
	tests/unit/vio/pci_ut.c \
	tests/unit/vio/pvpanic_ut.c \
	tests/unit/vio/rng_ut.c \
	tests/unit/vio/rtc_ut.c \
	tests/unit/vio/stream_ut.c \
	tests/unit/vio/syscon_ut.c \
	tests/unit/vio/uart16550_ut.c \
	tests/unit/vio/virtio_pci_ut.c \
	tests/unit/vio/virtio_ut.c \
	tests/unit/vio/virtq_ut.c
tests_unit_vio_vio_ut_LDADD = $(VIO_TEST_LIBS) $(UT_LIBS)
