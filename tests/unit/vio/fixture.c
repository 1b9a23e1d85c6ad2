/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit/vio/fixture.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void fixture_power(void *arg, enum vio_power what, uint32_t code)
{
	struct fixture *f = arg;
	f->powers++;
	f->power = what;
	f->power_code = code;
}

static uint64_t fixture_wall_ns(void *arg)
{
	return UINT64_C(1700000000123456789);
}

void fixture_init(struct fixture *f)
{
	*f = (struct fixture){.powers = 0};
	fake_gate_init(&f->g, FIXTURE_RAM_BYTES);
	msi_sink_init(&f->sink);
	const struct stream_cfg uart = {.in_bytes = 256, .out_bytes = 256};
	CHECK(stream_create(&uart, &f->uart) == 0);
	const struct vio_machine_cfg cfg = {
		.irq = msi_sink_irq(&f->sink),
		.gate = &f->g.gate,
		.harts = FIXTURE_HARTS,
		.uart = f->uart,
		.wall_ns = fixture_wall_ns,
		.power = fixture_power,
		.arg = f,
	};
	CHECK(vio_machine_create(&cfg, &f->m) == 0);
	f->bus = vio_machine_bus(f->m);
}

void fixture_fini(struct fixture *f)
{
	vio_machine_destroy(f->m);
	stream_destroy(f->uart);
	msi_sink_fini(&f->sink);
	fake_gate_fini(&f->g);
}

uint8_t fixture_file_byte(uint64_t off)
{
	return (uint8_t)(off / 512 + off % 512);
}

int fixture_file(uint64_t bytes)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	CHECK(fd >= 0);
	uint8_t sector[512];
	for (uint64_t off = 0; off < bytes; off += sizeof(sector)) {
		for (unsigned i = 0; i < sizeof(sector); i++)
			sector[i] = fixture_file_byte(off + i);
		size_t n = (size_t)MIN(bytes - off, (uint64_t)sizeof(sector));
		CHECK(pwrite(fd, sector, n, (off_t)off) == (ssize_t)n);
	}
	return fd;
}

struct vd_buf fixture_buf(struct fixture *f, uint32_t bytes, bool in)
{
	return (struct vd_buf){.gpa = fake_gate_alloc(&f->g, bytes, 1), .bytes = bytes, .in = in};
}

uint8_t *fixture_bytes(struct fixture *f, struct vd_buf b)
{
	return fake_gate_at(&f->g, b.gpa, b.bytes);
}

uint32_t fixture_read32(struct fixture *f, uint64_t at)
{
	uint64_t v;
	CHECK(vio_bus_read(f->bus, (gpa_t){at}, 4, &v) == 0);
	return (uint32_t)v;
}

void fixture_write32(struct fixture *f, uint64_t at, uint32_t value)
{
	CHECK(vio_bus_write(f->bus, (gpa_t){at}, 4, value) == 0);
}

uint8_t fixture_read8(struct fixture *f, uint64_t at)
{
	uint64_t v;
	CHECK(vio_bus_read(f->bus, (gpa_t){at}, 1, &v) == 0);
	return (uint8_t)v;
}

void fixture_write8(struct fixture *f, uint64_t at, uint8_t value)
{
	CHECK(vio_bus_write(f->bus, (gpa_t){at}, 1, value) == 0);
}
