/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "node-agent/rv64_fdt.h"

#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "proto/rv64_map.h"
#include "vcpu/vcpu.h"

/*
 * The tree is written front to back with libfdt's sequential interface. The first error sticks in
 * `err`, so the code below reads like the tree. Bindings: Linux Documentation/devicetree/bindings,
 * named at each node.
 */
struct tree {
	void *blob;
	int err; /* of libfdt, negative; 0: none */
};

/* Phandles: the CPUs' interrupt controllers follow after these. */
enum { PHANDLE_IMSIC = 1, PHANDLE_APLIC, PHANDLE_TEST, PHANDLE_CPU0 };

/*
 * interrupt numbers at a hart's own controller (privileged architecture, table of mcause): S
 * external interrupt.
 */
#define RV_IRQ_S_EXT 9
/* Device-tree flag of a wired interrupt: level, active high. */
#define IRQ_LEVEL_HIGH 4
/* PCI ranges, first cell (IEEE 1275 PCI binding): 32-bit and 64-bit memory space. */
#define PCI_SPACE_MEM32 0x02000000u
#define PCI_SPACE_MEM64 0x03000000u
/* NUMA distances: to itself and to another host. */
#define DISTANCE_LOCAL  10
#define DISTANCE_REMOTE 20
/* Bytes of a Zicbom and Zicboz block, as the engine has them. */
#define CBO_BLOCK_BYTES 64

static void keep(struct tree *t, int err)
{
	if (t->err == 0 && err < 0)
		t->err = err;
}

static void begin(struct tree *t, const char *name)
{
	keep(t, fdt_begin_node(t->blob, name));
}

static void begin_at(struct tree *t, const char *name, uint64_t addr)
{
	char buf[40];
	snprintf(buf, sizeof(buf), "%s@%llx", name, (unsigned long long)addr);
	begin(t, buf);
}

static void end(struct tree *t)
{
	keep(t, fdt_end_node(t->blob));
}

static void prop_str(struct tree *t, const char *name, const char *value)
{
	keep(t, fdt_property_string(t->blob, name, value));
}

static void prop_u32(struct tree *t, const char *name, uint32_t value)
{
	keep(t, fdt_property_u32(t->blob, name, value));
}

static void prop_flag(struct tree *t, const char *name)
{
	keep(t, fdt_property(t->blob, name, NULL, 0));
}

/* `n` cells of 32 bits. */
static void prop_cells(struct tree *t, const char *name, const uint32_t *cells, size_t n)
{
	void *p;
	int err = fdt_property_placeholder(t->blob, name, (int)(n * sizeof(fdt32_t)), &p);
	keep(t, err);
	for (size_t i = 0; err == 0 && i < n; i++) {
		fdt32_t cell = cpu_to_fdt32(cells[i]);
		memcpy((char *)p + i * sizeof(cell), &cell, sizeof(cell));
	}
}

#define PROP_CELLS(t, name, ...)                                                                   \
	prop_cells(t, name, (const uint32_t[]){__VA_ARGS__},                                       \
		ARRAY_SIZE(((const uint32_t[]){__VA_ARGS__})))

static uint32_t hi(uint64_t v)
{
	return (uint32_t)(v >> 32);
}

static uint32_t lo(uint64_t v)
{
	return (uint32_t)v;
}

static void prop_reg(struct tree *t, uint64_t addr, uint64_t bytes)
{
	PROP_CELLS(t, "reg", hi(addr), lo(addr), hi(bytes), lo(bytes));
}

/* A list of strings: each with its NUL, one behind the other. */
static void prop_strings(struct tree *t, const char *name, const char *const *list)
{
	size_t bytes = 0;
	for (size_t i = 0; list[i] != NULL; i++)
		bytes += strlen(list[i]) + 1;
	void *p;
	int err = fdt_property_placeholder(t->blob, name, (int)bytes, &p);
	keep(t, err);
	for (size_t i = 0; err == 0 && list[i] != NULL; i++) {
		memcpy(p, list[i], strlen(list[i]) + 1);
		p = (char *)p + strlen(list[i]) + 1;
	}
}

/* chosen.yaml */
static void put_chosen(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	begin(t, "chosen");
	prop_str(t, "bootargs", cfg->append);
	prop_str(t, "stdout-path", "/soc/serial@10000000");
	if (cfg->initrd_bytes != 0) {
		uint64_t last = cfg->initrd.v + cfg->initrd_bytes;
		PROP_CELLS(t, "linux,initrd-start", hi(cfg->initrd.v), lo(cfg->initrd.v));
		PROP_CELLS(t, "linux,initrd-end", hi(last), lo(last));
	}
	uint8_t seed[32];
	rng_system(seed, sizeof(seed));
	keep(t, fdt_property(t->blob, "rng-seed", seed, sizeof(seed)));
	end(t);
}

/* riscv/cpus.yaml, riscv/extensions.yaml */
static void put_cpu(struct tree *t, const struct rv64_fdt_cfg *cfg, unsigned i)
{
	begin_at(t, "cpu", i);
	prop_str(t, "device_type", "cpu");
	PROP_CELLS(t, "reg", i);
	prop_str(t, "status", "okay");
	prop_str(t, "compatible", "riscv");
	prop_str(t, "riscv,isa", vcpu_rv64_isa());
	prop_str(t, "riscv,isa-base", "rv64i");
	prop_strings(t, "riscv,isa-extensions", vcpu_rv64_extensions(cfg->svadu));
	prop_u32(t, "riscv,cbom-block-size", CBO_BLOCK_BYTES);
	prop_u32(t, "riscv,cboz-block-size", CBO_BLOCK_BYTES);
	prop_str(t, "mmu-type", "riscv,sv48");
	prop_u32(t, "numa-node-id", cfg->vcpu_node[i]);
	begin(t, "interrupt-controller");
	prop_u32(t, "#interrupt-cells", 1);
	prop_flag(t, "interrupt-controller");
	prop_str(t, "compatible", "riscv,cpu-intc");
	prop_u32(t, "phandle", PHANDLE_CPU0 + i);
	end(t);
	end(t);
}

static void put_cpus(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	begin(t, "cpus");
	prop_u32(t, "#address-cells", 1);
	prop_u32(t, "#size-cells", 0);
	prop_u32(t, "timebase-frequency", (uint32_t)RV64_TIMEBASE_HZ);
	for (unsigned i = 0; i < cfg->vcpus; i++)
		put_cpu(t, cfg, i);
	end(t);
}

/* numa.txt: memory per node, and the distances between them */
static void put_memory(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	for (size_t i = 0; i < cfg->n_nodes; i++) {
		begin_at(t, "memory", cfg->nodes[i].start.v);
		prop_str(t, "device_type", "memory");
		prop_reg(t, cfg->nodes[i].start.v, cfg->nodes[i].bytes);
		prop_u32(t, "numa-node-id", (uint32_t)i);
		end(t);
	}
	if (cfg->n_nodes < 2)
		return;
	size_t n = cfg->n_nodes * cfg->n_nodes;
	uint32_t *cells = calloc(n * 3, sizeof(*cells));
	if (cells == NULL) {
		keep(t, -FDT_ERR_NOSPACE);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		size_t a = i / cfg->n_nodes, b = i % cfg->n_nodes;
		cells[3 * i] = (uint32_t)a;
		cells[3 * i + 1] = (uint32_t)b;
		cells[3 * i + 2] = a == b ? DISTANCE_LOCAL : DISTANCE_REMOTE;
	}
	begin(t, "distance-map");
	prop_str(t, "compatible", "numa-distance-map-v1");
	prop_cells(t, "distance-matrix", cells, n * 3);
	end(t);
	free(cells);
}

/* interrupt-controller/riscv,imsics.yaml, riscv,aplic.yaml */
static void put_interrupt_controllers(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	begin_at(t, "interrupt-controller", RV64_IMSIC_S_BASE);
	prop_str(t, "compatible", "riscv,imsics");
	prop_reg(t, RV64_IMSIC_S_BASE, RV64_IMSIC_STRIDE * cfg->vcpus);
	prop_flag(t, "interrupt-controller");
	prop_u32(t, "#interrupt-cells", 0);
	prop_flag(t, "msi-controller");
	prop_u32(t, "#msi-cells", 0);
	prop_u32(t, "riscv,num-ids", RV64_IMSIC_IDS);
	uint32_t *cells = calloc(2 * (size_t)cfg->vcpus, sizeof(*cells));
	if (cells == NULL) {
		keep(t, -FDT_ERR_NOSPACE);
		return;
	}
	for (unsigned i = 0; i < cfg->vcpus; i++) {
		cells[2 * i] = PHANDLE_CPU0 + i;
		cells[2 * i + 1] = RV_IRQ_S_EXT;
	}
	prop_cells(t, "interrupts-extended", cells, 2 * (size_t)cfg->vcpus);
	free(cells);
	prop_u32(t, "phandle", PHANDLE_IMSIC);
	end(t);

	begin_at(t, "interrupt-controller", RV64_APLIC_S_BASE);
	prop_str(t, "compatible", "riscv,aplic");
	prop_reg(t, RV64_APLIC_S_BASE, RV64_APLIC_BYTES);
	prop_flag(t, "interrupt-controller");
	prop_u32(t, "#interrupt-cells", 2);
	prop_u32(t, "#address-cells", 0);
	prop_u32(t, "msi-parent", PHANDLE_IMSIC);
	prop_u32(t, "riscv,num-sources", RV64_APLIC_SOURCES);
	prop_u32(t, "phandle", PHANDLE_APLIC);
	end(t);
}

/* pci/host-generic-pci.yaml: no legacy interrupts, every function uses MSI-X */
static void put_pci(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	begin_at(t, "pci", RV64_ECAM_BASE);
	prop_str(t, "compatible", "pci-host-ecam-generic");
	prop_str(t, "device_type", "pci");
	prop_u32(t, "#address-cells", 3);
	prop_u32(t, "#size-cells", 2);
	prop_u32(t, "linux,pci-domain", 0);
	PROP_CELLS(t, "bus-range", 0, (uint32_t)(RV64_ECAM_BYTES >> 20) - 1);
	prop_flag(t, "dma-coherent");
	prop_reg(t, RV64_ECAM_BASE, RV64_ECAM_BYTES);
	prop_u32(t, "msi-parent", PHANDLE_IMSIC);
	prop_u32(t, "numa-node-id", cfg->device_node);
	PROP_CELLS(t, "ranges", PCI_SPACE_MEM32, hi(RV64_PCI32_BASE), lo(RV64_PCI32_BASE),
		hi(RV64_PCI32_BASE), lo(RV64_PCI32_BASE), hi(RV64_PCI32_BYTES),
		lo(RV64_PCI32_BYTES), PCI_SPACE_MEM64, hi(RV64_PCI64_BASE), lo(RV64_PCI64_BASE),
		hi(RV64_PCI64_BASE), lo(RV64_PCI64_BASE), hi(RV64_PCI64_BYTES),
		lo(RV64_PCI64_BYTES));
	end(t);
}

static void put_wired(struct tree *t, const char *name, uint64_t base, uint64_t bytes,
	const char *compatible, uint32_t irq)
{
	begin_at(t, name, base);
	prop_str(t, "compatible", compatible);
	prop_reg(t, base, bytes);
	prop_u32(t, "interrupt-parent", PHANDLE_APLIC);
	PROP_CELLS(t, "interrupts", irq, IRQ_LEVEL_HIGH);
	if (irq == RV64_UART_IRQ)
		prop_u32(t, "clock-frequency", 3686400);
	end(t);
}

static void put_soc(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	begin(t, "soc");
	prop_u32(t, "#address-cells", 2);
	prop_u32(t, "#size-cells", 2);
	prop_str(t, "compatible", "simple-bus");
	prop_flag(t, "ranges");
	put_interrupt_controllers(t, cfg);
	put_pci(t, cfg);
	put_wired(t, "serial", RV64_UART_BASE, RV64_UART_BYTES, "ns16550a", RV64_UART_IRQ);
	put_wired(t, "rtc", RV64_RTC_BASE, RV64_RTC_BYTES, "google,goldfish-rtc", RV64_RTC_IRQ);
	begin_at(t, "test", RV64_TEST_BASE);
	prop_strings(t, "compatible",
		(const char *const[]){"sifive,test1", "sifive,test0", "syscon", NULL});
	prop_reg(t, RV64_TEST_BASE, RV64_TEST_BYTES);
	prop_u32(t, "phandle", PHANDLE_TEST);
	end(t);
	end(t);
}

static void put_root(struct tree *t, const struct rv64_fdt_cfg *cfg)
{
	begin(t, "");
	prop_u32(t, "#address-cells", 2);
	prop_u32(t, "#size-cells", 2);
	prop_str(t, "compatible", "riscv-virtio");
	prop_str(t, "model", "mirrorball,rv64");
	put_chosen(t, cfg);
	put_memory(t, cfg);
	put_cpus(t, cfg);
	put_soc(t, cfg);
	end(t);
}

int rv64_fdt_build(const struct rv64_fdt_cfg *cfg, void **out, size_t *out_bytes)
{
	CHECK(cfg->n_nodes > 0 && cfg->vcpus > 0 && cfg->append != NULL);
	struct tree t = {.blob = malloc(RV64_FDT_MAX_BYTES)};
	if (t.blob == NULL)
		return ERR_NO_MEMORY;
	keep(&t, fdt_create(t.blob, (int)RV64_FDT_MAX_BYTES));
	keep(&t, fdt_finish_reservemap(t.blob));
	put_root(&t, cfg);
	keep(&t, fdt_finish(t.blob));
	if (t.err != 0) {
		free(t.blob);
		return ERR_NO_SPACE;
	}
	*out = t.blob;
	*out_bytes = fdt_totalsize(t.blob);
	return 0;
}
