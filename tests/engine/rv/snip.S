/* SPDX-License-Identifier: Apache-2.0 */
/*
 *  A page of short pieces to be run under frame_run, in S mode at its own address or in U mode
 *  through a user mapping. a1 is the address, a2 the data; results in a0. Each ends at an ebreak.
 */
	.option norelax
	.section .text.snip, "ax"
	.balign 4096
	.globl snips
snips:
	.option norvc
.macro snip name, insn:vararg
	.balign 16
	.globl snip_\name
snip_\name:
	\insn
	ebreak
.endm
	snip load, ld a0, 0(a1)
	snip store, sd a2, 0(a1)
	snip amo, amoadd.d a0, a2, (a1)
	snip lr, lr.d a0, (a1)
	snip sc, sc.d a0, a2, (a1)
	snip jump, jr a1
	snip loadb, lbu a0, 0(a1)
	snip storeb, sb a2, 0(a1)
	snip storew, sw a2, 0(a1)
	snip storeh, sh a2, 0(a1)
	snip loadw, lw a0, 0(a1)
	snip cbo_zero, .word 0x0045a00f
	snip cbo_clean, .word 0x0015a00f
	snip cbo_flush, .word 0x0025a00f
	snip cbo_inval, .word 0x0005a00f
	snip ecall, ecall
	snip wfi, wfi
	snip sret, sret
	snip sfence, sfence.vma
	snip sinval, .word 0x16000073
	snip sfence_w_inval, .word 0x18000073
	snip sfence_inval_ir, .word 0x18100073
	snip csr_s, csrr a0, sscratch
	snip csr_w, csrw sscratch, a2
	snip csr_cycle, csrr a0, cycle
	snip csr_time, csrr a0, time
	snip csr_instret, csrr a0, instret
	snip csr_ro, csrw cycle, a2
	snip fadd, fadd.d fa0, fa1, fa2
	snip fence_i, fence.i
	snip mret, .word 0x30200073
	snip nop, nop
	.balign 4096
