/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses to configuration space and BARs of a whole machine whose workers do not run. The input
 * is a list of 8 bytes each: what (bit 0-1: log2 of the size, bit 2: write, bit 3: memory instead
 * of configuration), slot or page, offset (16 bits), value (32 bits).
 */
#include "base/buf.h"
#include "base/err.h"
#include "proto/rv64_map.h"
#include "tests/lib/fake_gate.h"
#include "vio/vio.h"

#define RAM_BYTES UINT64_C(0x4000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_gate g;
static struct vio_machine *machine;

static void on_msi(void *ctx, gpa_t addr, uint32_t data)
{
}

static void on_power(void *arg, enum vio_power what, uint32_t code)
{
}

static const struct vio_irq_ops irq_ops = {on_msi};

static void make(void)
{
	static struct stream *uart;
	const struct stream_cfg stream = {64, 64, STREAM_LOSSY_UNHEARD};
	fake_gate_init(&g, RAM_BYTES);
	CHECK(stream_create(&stream, &uart) == 0);
	const struct vio_machine_cfg cfg = {
		.irq = {&irq_ops, NULL},
		.gate = &g.gate,
		.harts = 2,
		.uart = uart,
		.power = on_power,
	};
	CHECK(vio_machine_create(&cfg, &machine) == 0);
	CHECK(vio_machine_add_rng(machine, 1) == 0);
	CHECK(vio_machine_add_rng(machine, 2) == 0);
	CHECK(vio_machine_add_pvpanic(machine, 3) == 0);
}

static void access_one(struct rcur *c)
{
	uint8_t what = rcur_u8(c), place = rcur_u8(c);
	uint16_t off = rcur_u16(c);
	uint32_t value = rcur_u32(c);
	unsigned size = 1u << (what & 3);
	uint64_t at = RV64_ECAM_BASE + ((uint64_t)place << 15) + off, v = value;
	if ((what & 8) != 0)
		at = (place & 1 ? RV64_PCI64_BASE : RV64_PCI32_BASE) +
		     ((uint64_t)(place >> 1) << 12) + off;
	int err = (what & 4) != 0 ? vio_bus_write(vio_machine_bus(machine), (gpa_t){at}, size, v)
				  : vio_bus_read(vio_machine_bus(machine), (gpa_t){at}, size, &v);
	CHECK(err == 0 || err == ERR_NOT_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (machine == NULL)
		make();
	for (struct rcur c = rcur_of(data, size); c.left >= 8;)
		access_one(&c);
	vio_machine_reset(machine);
	uint64_t v;
	CHECK(vio_bus_read(vio_machine_bus(machine), (gpa_t){RV64_PCI64_BASE}, 4, &v) ==
		ERR_NOT_FOUND);
	return 0;
}
