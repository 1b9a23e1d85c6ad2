/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of every test program: hart 0 with a stack; other harts come through hart_entry (HSM
 * start).
 */
	.option norelax
	.section .text.start, "ax"
	.globl _start
_start:
	beqz a0, 1f
	/* OpenSBI boots on any hart, by lottery: hand over to hart 0, and stop. */
	li a0, 0
	la a1, _start
	li a2, 0
	li a6, 0
	li a7, 0x48534d
	ecall
	li a6, 1
	ecall
	j .
1:	la sp, stacks_first
	la t0, bss_start
	la t1, bss_end
1:	bgeu t0, t1, 2f
	sd zero, 0(t0)
	addi t0, t0, 8
	j 1b
2:	li t0, 0x6000
	csrs sstatus, t0
	fscsr zero
	call main
	mv a1, a0
	snez a1, a1
	li a0, 0
	li a6, 0
	li a7, 0x53525354
	ecall
	j .

/* a0 = hart id, a1 = opaque: calls secondary(hart, opaque) on its own stack. */
	.globl hart_entry
hart_entry:
	la sp, stacks_first
	li t0, STACK_BYTES
	mul t0, t0, a0
	add sp, sp, t0
	li t0, 0x6000
	csrs sstatus, t0
	fscsr zero
	call secondary
1:	wfi
	j 1b

/* long sbi(a0, a1, a2, a3, a4, ext (a5), fn (a6), struct sbi_ret *(a7)) */
	.globl sbi_raw
sbi_raw:
	addi sp, sp, -16
	sd a7, 0(sp)
	mv a7, a5
	ecall
	ld t0, 0(sp)
	sd a0, 0(t0)
	sd a1, 8(t0)
	addi sp, sp, 16
	ret
