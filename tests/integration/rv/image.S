/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header that makes a flat program a kernel: Documentation/arch/riscv/boot-image-header.rst of
 * Linux. Linked in front of everything else.
 */
	.option norvc
	.section .text.start, "ax"
	j _start
	.balign 8
	.dword 0x200000              /* text_offset: link.ld's address in RAM at 0x8000_0000 */
	.dword image_end - 0x80200000
	.dword 0                     /* flags: little-endian */
	.word 2, 0                   /* version 0.2 */
	.dword 0
	.ascii "RISCV\0\0\0"
	.ascii "RSC\005"
	.word 0
	.option rvc
