/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/pci.h"

#include "proto/rv64_map.h"
#include "tests/lib/msi_sink.h"
#include "tests/lib/ut.h"
#include "tests/lib/virtio_driver.h"

static struct msi_sink sink;
static struct vio_bus *bus;
static struct pci_host *host;
static struct pci_func *funcs[2];
static uint64_t last_off;
static unsigned watched_reads, watched_writes;

static uint64_t on_read(void *dev, uint64_t off, unsigned size)
{
	last_off = off;
	return (uintptr_t)dev;
}

static void on_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	last_off = off;
}

static void on_config_read(void *dev, unsigned off)
{
	watched_reads++;
}

static void on_config_written(void *dev, unsigned off)
{
	watched_writes++;
}

static const struct pci_func_ops ops = {
	{"test", on_read, on_write}, on_config_read, on_config_written};

static void before(void)
{
	const struct pci_window low = {RV64_PCI32_BASE, RV64_PCI32_BYTES};
	const struct pci_window high = {RV64_PCI64_BASE, RV64_PCI64_BYTES};
	msi_sink_init(&sink);
	UT_OK(vio_bus_create(&bus));
	UT_OK(pci_host_create(bus, low, high, &host));
	UT_OK(vio_bus_add(bus, (gpa_t){RV64_ECAM_BASE}, RV64_ECAM_BYTES, &pci_host_ecam_ops, host));
	for (unsigned i = 0; i < 2; i++) {
		const struct pci_func_cfg cfg = {
			.vendor = 0x1234,
			.device = (uint16_t)(0x5670 + i),
			.revision = 3,
			.class = 0x010802,
			.bars = {{0x4000, true}, {0}, {0x1000, false}},
			.ops = &ops,
			.dev = (void *)(uintptr_t)(i + 1),
			.msix_vectors = 4,
			.msix_bar = 0,
			.msix_table_off = 0x2000,
			.msix_pba_off = 0x3000,
			.irq = msi_sink_irq(&sink),
		};
		UT_OK(pci_func_create(host, 5 + i, &cfg, &funcs[i]));
	}
	watched_reads = watched_writes = 0;
}

static void after(void)
{
	for (unsigned i = 0; i < 2; i++)
		pci_func_destroy(funcs[i]);
	pci_host_destroy(host);
	vio_bus_destroy(bus);
	msi_sink_fini(&sink);
}

UT_SUITE_WITH(pci, before, after);

static uint32_t rd(unsigned slot, unsigned off, unsigned size)
{
	return vd_config_read(bus, slot, off, size);
}

static void wr(unsigned slot, unsigned off, unsigned size, uint32_t v)
{
	vd_config_write(bus, slot, off, size, v);
}

/* Who answers at an address: 1 or 2, 0: nobody. */
static uint64_t who(uint64_t at)
{
	uint64_t v;
	return vio_bus_read(bus, (gpa_t){at}, 4, &v) == 0 ? v : 0;
}

static void place(unsigned slot, uint64_t at)
{
	wr(slot, 0x10, 4, (uint32_t)at);
	wr(slot, 0x14, 4, (uint32_t)(at >> 32));
}

UT_TEST(the_header)
{
	UT_EQ(rd(5, 0, 4), 0x56701234);
	UT_EQ(rd(5, 2, 2), 0x5670);
	UT_EQ(rd(5, 3, 1), 0x56);
	UT_EQ(rd(5, 8, 4), 0x01080203);
	UT_EQ(rd(5, 6, 2) & 0x10, 0x10);
	UT_EQ(rd(5, 0x0e, 1), 0);
	UT_EQ(rd(5, 0x3d, 1), 0); /* no INTx */
	wr(5, 0x3c, 1, 0x42);
	UT_EQ(rd(5, 0x3c, 1), 0x42);
	wr(5, 0, 4, 0);
	wr(5, 8, 4, 0);
	UT_EQ(rd(5, 0, 4), 0x56701234);
	wr(5, 4, 2, 0xffff);
	UT_EQ(rd(5, 4, 2), 0x0546);
}

UT_TEST(nobody_home)
{
	uint64_t v;
	UT_EQ(rd(9, 0, 4), UINT32_MAX);
	UT_EQ(rd(9, 0, 2), 0xffff);
	wr(9, 4, 2, 6);
	/* Other functions and other buses. */
	UT_OK(vio_bus_read(bus, (gpa_t){RV64_ECAM_BASE + (5 << 15) + (1 << 12)}, 4, &v));
	UT_EQ(v, UINT32_MAX);
	UT_OK(vio_bus_read(bus, (gpa_t){RV64_ECAM_BASE + (1 << 20) + (5 << 15)}, 4, &v));
	UT_EQ(v, UINT32_MAX);
	UT_OK(vio_bus_read(bus, (gpa_t){RV64_ECAM_BASE + RV64_ECAM_BYTES - 4}, 4, &v));
	UT_EQ(v, UINT32_MAX);
	/* Odd accesses; beyond the 256 bytes. */
	UT_OK(vio_bus_read(bus, (gpa_t){RV64_ECAM_BASE + (5 << 15) + 1}, 2, &v));
	UT_EQ(v, 0xffff);
	UT_OK(vio_bus_read(bus, (gpa_t){RV64_ECAM_BASE + (5 << 15)}, 8, &v));
	UT_EQ(v, UINT64_MAX);
	UT_EQ(rd(5, 0x100, 4), 0);
	UT_EQ(rd(5, 0xffc, 4), 0);
	wr(5, 0x100, 4, 1);
	wr(5, 0xffc, 4, 1);
}

UT_TEST(bars_are_sized)
{
	wr(5, 0x10, 4, UINT32_MAX);
	wr(5, 0x14, 4, UINT32_MAX);
	UT_EQ(rd(5, 0x10, 4), 0xffffc004);
	UT_EQ(rd(5, 0x14, 4), UINT32_MAX);
	wr(5, 0x18, 4, UINT32_MAX);
	UT_EQ(rd(5, 0x18, 4), 0xfffff000);
	wr(5, 0x1c, 4, UINT32_MAX);
	UT_EQ(rd(5, 0x1c, 4), 0);
	wr(5, 0x30, 4, UINT32_MAX);
	UT_EQ(rd(5, 0x30, 4), 0);
}

UT_TEST(bars_move_at_run_time)
{
	uint64_t at = RV64_PCI64_BASE + 0x10000;
	place(5, at);
	UT_EQ(who(at), 0);
	wr(5, 4, 2, 2);
	UT_EQ(who(at + 4), 1);
	UT_EQ(last_off, 4);
	place(5, at + 0x4000);
	UT_EQ(who(at), 0);
	UT_EQ(who(at + 0x4000), 1);
	place(5, RV64_PCI32_BASE);
	UT_EQ(who(RV64_PCI32_BASE), 1);
	wr(5, 4, 2, 0);
	UT_EQ(who(RV64_PCI32_BASE), 0);
	wr(5, 0x18, 4, RV64_PCI32_BASE + 0x100000);
	wr(5, 4, 2, 2);
	UT_EQ(who(RV64_PCI32_BASE + 0x100000 + 0xffc), 1);
	UT_EQ(last_off, 0xffc);
}

UT_TEST(outside_the_windows_is_nowhere)
{
	wr(5, 4, 2, 2);
	const uint64_t bad[] = {0, RV64_RAM_BASE, RV64_PCI32_BASE - 0x4000, RV64_UART_BASE,
		RV64_PCI64_BASE + RV64_PCI64_BYTES, UINT64_MAX};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		place(5, bad[i]);
		UT_CHECK(who(bad[i] & ~UINT64_C(0x3fff)) != 1);
	}
	place(5, RV64_PCI64_BASE + RV64_PCI64_BYTES - 0x4000);
	UT_EQ(who(RV64_PCI64_BASE + RV64_PCI64_BYTES - 4), 1);
}

UT_TEST(the_first_keeps_a_place_until_it_leaves)
{
	uint64_t at = RV64_PCI64_BASE;
	wr(5, 4, 2, 2);
	wr(6, 4, 2, 2);
	place(5, at);
	place(6, at);
	UT_EQ(who(at), 1);
	place(5, at + 0x4000);
	UT_EQ(who(at), 2);
	UT_EQ(who(at + 0x4000), 1);
	/* Two that change places. */
	place(6, at + 0x4000);
	UT_EQ(who(at), 0);
	place(5, at);
	UT_EQ(who(at), 1);
	UT_EQ(who(at + 0x4000), 2);
}

static unsigned find_cap(unsigned slot, unsigned id)
{
	unsigned steps = 0;
	for (unsigned at = rd(slot, 0x34, 1); at != 0 && steps < 48; at = rd(slot, at + 1, 1))
		if (rd(slot, at, 1) == id)
			return at;
	return 0;
}

UT_TEST(msix_lies_in_its_bar)
{
	uint64_t at = RV64_PCI64_BASE, v;
	unsigned cap = find_cap(5, 0x11);
	UT_CHECK(cap != 0);
	UT_EQ(rd(5, cap + 2, 2), 3);
	UT_EQ(rd(5, cap + 4, 4), 0x2000);
	UT_EQ(rd(5, cap + 8, 4), 0x3000);
	place(5, at);
	wr(5, 4, 2, 6);
	UT_OK(vio_bus_write(bus, (gpa_t){at + 0x2000 + 16 + 8}, 4, 77));
	UT_OK(vio_bus_write(bus, (gpa_t){at + 0x2000 + 16 + 12}, 4, 0));
	UT_OK(vio_bus_read(bus, (gpa_t){at + 0x2000 + 16 + 8}, 4, &v));
	UT_EQ(v, 77);
	wr(5, cap + 2, 2, 0xffff);
	UT_EQ(rd(5, cap + 2, 2), 0xc003);
	msix_notify(pci_func_msix(funcs[0]), 1);
	UT_EQ(msi_sink_count(&sink, 77), 0);
	UT_OK(vio_bus_read(bus, (gpa_t){at + 0x3000}, 8, &v));
	UT_EQ(v, 2);
	UT_OK(vio_bus_write(bus, (gpa_t){at + 0x3000}, 8, 0)); /* read-only */
	wr(5, cap + 3, 1, 0x80);
	UT_EQ(msi_sink_count(&sink, 77), 1);
}

UT_TEST(watched_capabilities_are_told)
{
	static const uint8_t body[6] = {1, 2, 3, 4, 5, 6}, wmask[6] = {0, 0, 0xff, 0xff, 0, 0};
	unsigned cap = pci_func_add_cap(funcs[1], 0x09, body, sizeof(body), wmask, true);
	UT_EQ(find_cap(6, 0x09), cap);
	UT_EQ(find_cap(6, 0x11) != 0, true);
	watched_reads = 0;
	UT_EQ(rd(6, cap + 4, 4), 0x06050403);
	UT_EQ(watched_reads, 1);
	wr(6, cap + 4, 4, UINT32_MAX);
	UT_EQ(watched_writes, 1);
	UT_EQ(rd(6, cap + 4, 4), 0x0605ffff);
}

UT_TEST(reset_unmaps)
{
	place(5, RV64_PCI64_BASE);
	wr(5, 4, 2, 6);
	UT_EQ(who(RV64_PCI64_BASE), 1);
	pci_func_reset(funcs[0]);
	UT_EQ(who(RV64_PCI64_BASE), 0);
	UT_EQ(rd(5, 4, 2), 0);
	UT_EQ(rd(5, 0x10, 4), 4);
}

UT_TEST(slots)
{
	const struct pci_func_cfg cfg = {.vendor = 1};
	struct pci_func *f;
	UT_ERR(pci_func_create(host, 5, &cfg, &f), EXISTS);
	UT_ERR(pci_func_create(host, 32, &cfg, &f), RANGE);
	UT_OK(pci_func_create(host, 31, &cfg, &f));
	pci_func_destroy(f);
	UT_OK(pci_host_slot_free(host, 31));
}
