/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_VIO_FIXTURE_H
#define TESTS_UNIT_VIO_FIXTURE_H

#include "tests/lib/fake_gate.h"
#include "tests/lib/msi_sink.h"
#include "tests/lib/virtio_driver.h"
#include "vio/vio.h"

/* A machine over fake memory whose interrupts go to a sink; CHECKs where a test could not go on. */
struct fixture {
	struct fake_gate g;
	struct msi_sink sink;
	struct stream *uart;
	struct vio_machine *m;
	struct vio_bus *bus;
	/* what vio_machine_cfg.power was told */
	unsigned powers;
	enum vio_power power;
	uint32_t power_code;
};

#define FIXTURE_RAM_BYTES (UINT64_C(16) << 20)
#define FIXTURE_HARTS     4u

void fixture_init(struct fixture *f);
void fixture_fini(struct fixture *f);

/* An unlinked file of `bytes` in which 512-byte sector s is filled with the bytes s, s + 1, ... */
int fixture_file(uint64_t bytes);
/* The byte at `off` of such a file. */
uint8_t fixture_file_byte(uint64_t off);

/* One buffer of guest memory. */
struct vd_buf fixture_buf(struct fixture *f, uint32_t bytes, bool in);
uint8_t *fixture_bytes(struct fixture *f, struct vd_buf b);

uint32_t fixture_read32(struct fixture *f, uint64_t at);
void fixture_write32(struct fixture *f, uint64_t at, uint32_t value);
uint8_t fixture_read8(struct fixture *f, uint64_t at);
void fixture_write8(struct fixture *f, uint64_t at, uint8_t value);

#endif
