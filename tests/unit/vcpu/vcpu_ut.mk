# SPDX-License-Identifier: Apache-2.0
check_LIBRARIES += tests/lib/libvcputest.a
tests_lib_libvcputest_a_SOURCES = tests/lib/vcpu_direct.c tests/lib/vcpu_direct.h
# What links vCPUs of its own.
VCPU_TEST_LIBS = tests/lib/libvcputest.a vcpu/libvcpu.a

check_PROGRAMS += tests/unit/vcpu/vcpu_ut
TESTS += tests/unit/vcpu/vcpu_ut
tests_unit_vcpu_vcpu_ut_SOURCES = \
	tests/unit/vcpu/amo_ut.c \
	tests/unit/vcpu/csr_ut.c \
	tests/unit/vcpu/decode_ut.c \
	tests/unit/vcpu/disas_ut.c \
	tests/unit/vcpu/fp_ut.c \
	tests/unit/vcpu/group_ut.c \
	tests/unit/vcpu/hart_ut.c \
	tests/unit/vcpu/imsic_ut.c \
	tests/unit/vcpu/interp_ut.c \
	tests/unit/vcpu/jit_ut.c \
	tests/unit/vcpu/mmio_ut.c \
	tests/unit/vcpu/mmu_ut.c \
	tests/unit/vcpu/rig.c tests/unit/vcpu/rig.h \
	tests/unit/vcpu/sbi_ut.c \
	tests/unit/vcpu/softfp_ut.c \
	tests/unit/vcpu/tlb_ut.c \
	tests/unit/vcpu/trap_ut.c \
	tests/unit/vcpu/vcpu_ut.c
tests_unit_vcpu_vcpu_ut_LDADD = $(VCPU_TEST_LIBS) $(UT_LIBS)
