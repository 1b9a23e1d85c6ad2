/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register accesses and wires of the APLIC. The input is a list of 8 bytes each: what (bit 0-1:
 * log2 of the size, bit 2: write, bit 3: a wire), source, offset (16 bits), value (32 bits).
 */
#include "base/buf.h"
#include "proto/rv64_map.h"
#include "vio/aplic.h"

#define HARTS   3u
#define SOURCES 96u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever the guest writes, a message goes to the interrupt file of a hart that exists. */
static void on_msi(void *ctx, gpa_t addr, uint32_t data)
{
	CHECK(addr.v >= RV64_IMSIC_S_BASE && addr.v < RV64_IMSIC_S_BASE + HARTS * PAGE_BYTES);
	CHECK(addr.v % PAGE_BYTES == 0 && data <= 0x7ff);
}

static const struct vio_irq_ops irq_ops = {on_msi};

static void access_one(struct aplic *a, struct rcur *c)
{
	uint8_t what = rcur_u8(c), source = rcur_u8(c);
	uint16_t off = rcur_u16(c);
	uint32_t value = rcur_u32(c);
	unsigned size = 1u << (what & 3);
	uint64_t at = off % (RV64_APLIC_BYTES - 8);
	if ((what & 8) != 0) {
		const struct vio_line line = aplic_line(a, 1 + source % SOURCES);
		vio_line_set(&line, (value & 1) != 0);
	} else if ((what & 4) != 0) {
		aplic_range_ops.write(a, at, size, value);
	} else {
		aplic_range_ops.read(a, at, size);
	}
}

/* Source 0 and those above the last are never pending or enabled. */
static void check_edges(struct aplic *a)
{
	for (unsigned off = 0x1c00; off <= 0x1e00; off += 0x100) {
		CHECK((aplic_range_ops.read(a, off, 4) & 1) == 0);
		CHECK((aplic_range_ops.read(a, off + 12, 4) & ~UINT64_C(1)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct aplic *a;
	const struct aplic_cfg cfg = {
		.irq = {&irq_ops, NULL},
		.sources = SOURCES,
		.harts = HARTS,
		.imsic_base = {RV64_IMSIC_S_BASE},
		.imsic_stride = RV64_IMSIC_STRIDE,
	};
	CHECK(a != NULL || aplic_create(&cfg, &a) == 0);
	for (struct rcur c = rcur_of(data, size); c.left >= 8;)
		access_one(a, &c);
	check_edges(a);
	aplic_reset(a);
	return 0;
}
