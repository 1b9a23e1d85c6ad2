/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_RV64_MAP_H
#define PROTO_RV64_MAP_H

/*
 * Physical memory map of the rv64 machine: that of QEMU's `virt` board with aia=aplic-imsic
 * (hw/riscv/virt.c names the regions), so that what is made for that board fits. Sizes in bytes.
 */
#define RV64_TEST_BASE     UINT64_C(0x00100000) /* syscon power-off and reboot */
#define RV64_TEST_BYTES    UINT64_C(0x1000)
#define RV64_RTC_BASE      UINT64_C(0x00101000) /* goldfish RTC, wired interrupt 11 */
#define RV64_RTC_BYTES     UINT64_C(0x1000)
#define RV64_RTC_IRQ       11
#define RV64_APLIC_S_BASE  UINT64_C(0x0d000000) /* supervisor APLIC domain, MSI delivery */
#define RV64_APLIC_BYTES   UINT64_C(0x8000)
#define RV64_APLIC_SOURCES 96
#define RV64_UART_BASE     UINT64_C(0x10000000) /* ns16550a, wired interrupt 10 */
#define RV64_UART_BYTES    UINT64_C(0x100)
#define RV64_UART_IRQ      10
#define RV64_IMSIC_S_BASE                                                                          \
	UINT64_C(0x28000000) /* one 4 KiB interrupt file per hart, in hart order */
#define RV64_IMSIC_STRIDE UINT64_C(0x1000)
#define RV64_IMSIC_IDS    255                  /* interrupt identities 1..255 */
#define RV64_ECAM_BASE    UINT64_C(0x30000000) /* PCIe configuration space */
#define RV64_ECAM_BYTES   UINT64_C(0x10000000)
#define RV64_PCI32_BASE   UINT64_C(0x40000000) /* 32-bit PCI memory window */
#define RV64_PCI32_BYTES  UINT64_C(0x40000000)
#define RV64_RAM_BASE     UINT64_C(0x80000000)
#define RV64_PCI64_BASE   UINT64_C(0x400000000) /* 64-bit PCI window; RAM ends below */
#define RV64_PCI64_BYTES  UINT64_C(0x400000000)

#define RV64_TIMEBASE_HZ UINT64_C(10000000)

#endif
