/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running code with a whole register file of its own.
 *
 * struct frame (rt.h): x[32] at 0, f[32] at 256, pc 512, host context (sp gp tp ra s0-s11) after.
 * sscratch points to the frame while such code runs.
 */
#define F_F   256
#define F_PC  512
#define F_FCSR 520
#define F_CTX 528
	.option norelax
	.text

.macro each_x op
	.irp n, 1,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op x\n, 8*\n(a0)
	.endr
.endm
.macro each_f op
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	\op f\n, F_F+8*\n(a0)
	.endr
.endm
.macro context op
	\op sp, F_CTX+0(a0)
	\op gp, F_CTX+8(a0)
	\op tp, F_CTX+16(a0)
	\op ra, F_CTX+24(a0)
	\op s0, F_CTX+32(a0)
	\op s1, F_CTX+40(a0)
	\op s2, F_CTX+48(a0)
	\op s3, F_CTX+56(a0)
	\op s4, F_CTX+64(a0)
	\op s5, F_CTX+72(a0)
	\op s6, F_CTX+80(a0)
	\op s7, F_CTX+88(a0)
	\op s8, F_CTX+96(a0)
	\op s9, F_CTX+104(a0)
	\op s10, F_CTX+112(a0)
	\op s11, F_CTX+120(a0)
.endm

/* void frame_run(struct frame *f): run from f->pc in the privilege of sstatus.SPP, until the C
 * handler returns false. The registers are then in the frame. */
	.balign 4
	.globl frame_run
frame_run:
	context sd
	csrw sscratch, a0
	la t0, frame_trap
	csrw stvec, t0
frame_resume:
	ld t0, F_PC(a0)
	csrw sepc, t0
	lw t0, F_FCSR(a0)
	each_f fld
	fscsr t0
	each_x ld
	ld x2, 16(a0)
	ld a0, 80(a0)
	sret

	.balign 4
frame_trap:
	csrrw a0, sscratch, a0
	each_x sd
	sd x2, 16(a0)
	csrr t0, sscratch
	sd t0, 80(a0)
	csrw sscratch, a0
	/* The code may have switched the unit off. */
	csrr t1, sstatus
	li t0, 0x6000
	csrs sstatus, t0
	frcsr t0
	sw t0, F_FCSR(a0)
	each_f fsd
	csrr t0, sepc
	sd t0, F_PC(a0)
	/* The C handler gets sstatus as it was at the trap. */
	ld sp, F_CTX+0(a0)
	ld gp, F_CTX+8(a0)
	ld tp, F_CTX+16(a0)
	mv a1, t1
	call frame_handler
	mv t0, a0
	csrr a0, sscratch
	bnez t0, frame_resume
	context ld
	ret
