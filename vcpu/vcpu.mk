# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += vcpu/libvcpu.a
vcpu_libvcpu_a_SOURCES = \
	vcpu/group.c \
	vcpu/vcpu.c vcpu/vcpu.h vcpu/vcpu_ops.h vcpu/vcpu_state.h \
	vcpu/rv64/jit/code.c vcpu/rv64/jit/code.h \
	vcpu/rv64/jit/jit.c vcpu/rv64/jit/jit.h \
	vcpu/rv64/jit/ops.c \
	vcpu/rv64/jit/region.c vcpu/rv64/jit/region.h \
	vcpu/rv64/jit/tr.c vcpu/rv64/jit/tr.h \
	vcpu/rv64/jit/tr_csr.c vcpu/rv64/jit/tr_fp.c vcpu/rv64/jit/tr_int.c vcpu/rv64/jit/tr_mem.c \
	vcpu/rv64/jit/tr_regs.c \
	vcpu/rv64/jit/x86.c vcpu/rv64/jit/x86.h \
	vcpu/rv64/rv_amo.c vcpu/rv64/rv_amo.h \
	vcpu/rv64/rv_bits.h \
	vcpu/rv64/rv_csr.c vcpu/rv64/rv_csr.def \
	vcpu/rv64/rv_decode.c vcpu/rv64/rv_decode.h \
	vcpu/rv64/rv_disas.c \
	vcpu/rv64/rv_format.def vcpu/rv64/rv_insn.def \
	vcpu/rv64/rv_fp.c vcpu/rv64/rv_fp.h \
	vcpu/rv64/rv_hart.c vcpu/rv64/rv_hart.h \
	vcpu/rv64/rv_imsic.c vcpu/rv64/rv_imsic.h \
	vcpu/rv64/rv_interp.c \
	vcpu/rv64/rv_mmio.c \
	vcpu/rv64/rv_mmu.c vcpu/rv64/rv_mmu.h \
	vcpu/rv64/rv_ops_fp.inc vcpu/rv64/rv_ops_int.inc \
	vcpu/rv64/rv_ops_mem.inc vcpu/rv64/rv_ops_sys.inc \
	vcpu/rv64/rv_sbi.c \
	vcpu/rv64/rv_softfp.c vcpu/rv64/rv_softfp.h \
	vcpu/rv64/rv_tlb.c vcpu/rv64/rv_tlb.h \
	vcpu/rv64/rv_trap.c

EXTRA_DIST += vcpu/README.md
