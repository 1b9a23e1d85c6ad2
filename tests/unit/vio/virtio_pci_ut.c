/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/virtio_pci.h"

#include "proto/rv64_map.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

/* The registers of any device, seen on a random-number device. */
#define SLOT        4u
#define F_INDIRECT  (UINT64_C(1) << 28)
#define F_EVENT_IDX (UINT64_C(1) << 29)
#define F_VERSION_1 (UINT64_C(1) << 32)

static struct fixture f;
static struct virtio_driver vd;

static void before(void)
{
	fixture_init(&f);
	UT_OK(vio_machine_add_rng(f.m, SLOT));
	UT_OK(vio_machine_start(f.m));
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
}

static void after(void)
{
	fixture_fini(&f);
}

UT_SUITE_WITH(virtio_pci, before, after);

UT_TEST(identity)
{
	UT_EQ(vd_config_read(f.bus, SLOT, 0, 4), 0x10441af4);
	UT_EQ(vd_config_read(f.bus, SLOT, 8, 1), 1);
	UT_EQ(vd_config_read(f.bus, SLOT, 0x2c, 2), 0x1af4);
	UT_EQ(vd.vectors, 2);
	UT_EQ(vd_common_read(&vd, VD_NUM_QUEUES, 2), 1);
}

UT_TEST(features_are_negotiated)
{
	UT_EQ(vd_offered(&vd), F_VERSION_1 | F_EVENT_IDX | F_INDIRECT);
	vd_common_write(&vd, VD_DEVICE_FEATURE_SELECT, 4, 2);
	UT_EQ(vd_common_read(&vd, VD_DEVICE_FEATURE, 4), 0);
	UT_EQ(vd_negotiate(&vd, F_EVENT_IDX) & 8, 0); /* not a modern driver */
	UT_EQ(vd_negotiate(&vd, F_VERSION_1 | 1) & 8, 0);
	UT_EQ(vd_negotiate(&vd, F_VERSION_1), 11);
	/* Final: another choice does not count. */
	vd_common_write(&vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
	vd_common_write(&vd, VD_DRIVER_FEATURE, 4, 1);
	vd_driver_ok(&vd);
	UT_EQ(vd_status(&vd), 15);
	vd_common_write(&vd, VD_DRIVER_FEATURE_SELECT, 4, 7);
	vd_common_write(&vd, VD_DRIVER_FEATURE, 4, 1);
	UT_EQ(vd_common_read(&vd, VD_DRIVER_FEATURE, 4), 0);
}

UT_TEST(driver_ok_needs_features_ok)
{
	vd_reset(&vd);
	vd_common_write(&vd, VD_STATUS, 1, 7);
	UT_EQ(vd_status(&vd), 3);
	/* NEEDS_RESET is not the driver's to set, and bits are never taken back but by a reset. */
	vd_common_write(&vd, VD_STATUS, 1, 64 | 1);
	UT_EQ(vd_status(&vd), 3);
	vd_reset(&vd);
	UT_EQ(vd_status(&vd), 0);
}

UT_TEST(queue_registers)
{
	UT_EQ(vd_negotiate(&vd, F_VERSION_1), 11);
	vd_common_write(&vd, VD_QUEUE_SELECT, 2, 0);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_SIZE, 2), 8);
	vd_common_write(&vd, VD_QUEUE_SIZE, 2, 3);
	vd_common_write(&vd, VD_QUEUE_SIZE, 2, 16);
	vd_common_write(&vd, VD_QUEUE_SIZE, 2, 0);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_SIZE, 2), 8);
	vd_common_write(&vd, VD_QUEUE_VECTOR, 2, 1);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_VECTOR, 2), 1);
	vd_common_write(&vd, VD_QUEUE_VECTOR, 2, 2);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_VECTOR, 2), 0xffff);
	vd_common_write(&vd, VD_CONFIG_VECTOR, 2, 9);
	UT_EQ(vd_common_read(&vd, VD_CONFIG_VECTOR, 2), 0xffff);
	vd_write(&vd, vd.common + VD_QUEUE_DESC, 8, UINT64_C(0x123456789abcdef0));
	UT_EQ(vd_read(&vd, vd.common + VD_QUEUE_DESC, 8), UINT64_C(0x123456789abcdef0));
	UT_EQ(vd_common_read(&vd, VD_QUEUE_DESC + 4, 4), 0x12345678);
	vd_queue_setup(&vd, 0, 4);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_ENABLE, 2), 1);
	/* Fixed once enabled. */
	vd_common_write(&vd, VD_QUEUE_SIZE, 2, 8);
	vd_common_write(&vd, VD_QUEUE_USED, 4, 0);
	vd_common_write(&vd, VD_QUEUE_ENABLE, 2, 0);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_SIZE, 2), 4);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_USED, 4), (uint32_t)vd.queues[0].used.v);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_ENABLE, 2), 1);
	/* No such queue. */
	vd_common_write(&vd, VD_QUEUE_SELECT, 2, 1);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_SIZE, 2), 0);
	vd_common_write(&vd, VD_QUEUE_ENABLE, 2, 1);
	vd_common_write(&vd, VD_QUEUE_SELECT, 2, 0xffff);
	UT_EQ(vd_common_read(&vd, VD_QUEUE_ENABLE, 2), 0);
}

UT_TEST(wrong_widths_and_places_are_harmless)
{
	UT_EQ(vd_read(&vd, vd.common + VD_STATUS, 4), 0xffffffff);
	UT_EQ(vd_read(&vd, vd.common + VD_QUEUE_SIZE, 1), 0xff);
	UT_EQ(vd_read(&vd, vd.common + 1, 1), 0xff);
	UT_EQ(vd_read(&vd, vd.common + 0x38, 4), 0xffffffff);
	UT_EQ(vd_read(&vd, vd.common + 0xff8, 8), UINT64_MAX);
	vd_write(&vd, vd.common + VD_STATUS, 4, 1);
	vd_write(&vd, vd.common, 8, UINT64_MAX);
	vd_write(&vd, vd.common + 0x38, 4, 1);
	UT_EQ(vd_status(&vd), 0);
	for (uint32_t off = 0; off < 0x8000; off += 4) {
		if (off >= vd.common && off < vd.common + 0x40)
			continue;
		vd_write(&vd, off, 4, UINT32_MAX);
		vd_read(&vd, off, 4);
		vd_read(&vd, off, 1);
	}
	UT_EQ(vd_status(&vd), 0);
}

UT_TEST(a_notification_of_nothing)
{
	vd_kick(&vd, 0);
	vd_write(&vd, vd.notify + 4 * 77, 2, 77);
	vd_write(&vd, vd.notify + 1, 1, 0);
	vd_start(&vd);
	vd_kick(&vd, 0);
	struct vd_buf b = fixture_buf(&f, 16, true);
	UT_EQ(vd_do(&vd, 0, &b, 1), 16);
}

UT_TEST(the_isr_is_cleared_by_reading)
{
	vd_start(&vd);
	struct vd_buf b = fixture_buf(&f, 16, true);
	vd_do(&vd, 0, &b, 1);
	UT_EQ(vd_read(&vd, vd.isr, 1), 1);
	UT_EQ(vd_read(&vd, vd.isr, 1), 0);
	UT_EQ(vd_read(&vd, vd.isr, 4), UINT32_MAX);
}

UT_TEST(a_queue_outside_memory_breaks_the_device)
{
	UT_EQ(vd_negotiate(&vd, F_VERSION_1), 11);
	vd_queue_setup(&vd, 0, 4);
	vd_reset(&vd);
	UT_EQ(vd_negotiate(&vd, F_VERSION_1), 11);
	vd_common_write(&vd, VD_QUEUE_SELECT, 2, 0);
	vd_common_write(&vd, VD_QUEUE_DESC, 4, 0x1000);
	vd_common_write(&vd, VD_QUEUE_ENABLE, 2, 1);
	vd_driver_ok(&vd);
	vd_wait_broken(&vd);
	UT_EQ(vd_read(&vd, vd.isr, 1) & 2, 2);
	/* It stays so until it is reset. */
	vd_common_write(&vd, VD_STATUS, 1, 15);
	UT_EQ(vd_status(&vd) & 64, 64);
	vd_start(&vd);
	struct vd_buf b = fixture_buf(&f, 16, true);
	UT_EQ(vd_do(&vd, 0, &b, 1), 16);
}

UT_TEST(registers_through_configuration_space)
{
	unsigned cap = vd.pci_cfg_cap;
	vd_config_write(f.bus, SLOT, cap + 8, 4, vd.common + VD_NUM_QUEUES);
	vd_config_write(f.bus, SLOT, cap + 12, 4, 2);
	UT_EQ(vd_config_read(f.bus, SLOT, cap + 16, 2), 1);
	vd_config_write(f.bus, SLOT, cap + 8, 4, vd.common + VD_STATUS);
	vd_config_write(f.bus, SLOT, cap + 12, 4, 1);
	vd_config_write(f.bus, SLOT, cap + 16, 1, 1);
	UT_EQ(vd_status(&vd), 1);
	UT_EQ(vd_config_read(f.bus, SLOT, cap + 16, 1), 1);
	/* Another BAR, a bad length, a bad place. */
	vd_config_write(f.bus, SLOT, cap + 16, 4, 2);
	const uint32_t bad[][3] = {{1, 0, 4}, {0, 0, 3}, {0, 2, 4}, {0, UINT32_MAX, 4},
		{0, 0x8000, 4}, {255, UINT32_MAX, UINT32_MAX}, {0, 0, 0}};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		vd_config_write(f.bus, SLOT, cap + 4, 1, bad[i][0]);
		vd_config_write(f.bus, SLOT, cap + 8, 4, bad[i][1]);
		vd_config_write(f.bus, SLOT, cap + 12, 4, bad[i][2]);
		vd_config_write(f.bus, SLOT, cap + 16, 4, 0);
		vd_config_read(f.bus, SLOT, cap + 16, 4);
	}
	UT_EQ(vd_status(&vd), 3);
}

UT_TEST(any_write_to_configuration_space_is_harmless)
{
	for (unsigned off = 0; off < 256; off += 4) {
		vd_config_write(f.bus, SLOT, off, 4, UINT32_MAX);
		vd_config_read(f.bus, SLOT, off, 4);
		vd_config_write(f.bus, SLOT, off, 4, 0);
	}
	UT_EQ(vd_config_read(f.bus, SLOT, 0, 4), 0x10441af4);
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
	vd_start(&vd);
	struct vd_buf b = fixture_buf(&f, 16, true);
	UT_EQ(vd_do(&vd, 0, &b, 1), 16);
}

UT_TEST(a_taken_slot)
{
	UT_ERR(vio_machine_add_rng(f.m, SLOT), EXISTS);
	UT_ERR(vio_machine_add_rng(f.m, 0), EXISTS);
	UT_ERR(vio_machine_add_rng(f.m, 32), RANGE);
}
