/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/rng.h"

#include "proto/rv64_map.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"
#include "vio/virtio_pci.h"

#define SLOT 4u

static struct fixture f;
static struct virtio_driver vd;

static void before(void)
{
	fixture_init(&f);
	UT_OK(vio_machine_add_rng(f.m, SLOT));
	UT_OK(vio_machine_start(f.m));
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
	vd_start(&vd);
}

static void after(void)
{
	fixture_fini(&f);
}

UT_SUITE_WITH(rng, before, after);

UT_TEST(bytes_come_and_differ)
{
	struct vd_buf a = fixture_buf(&f, 64, true), b = fixture_buf(&f, 64, true);
	UT_EQ(vd_do(&vd, 0, &a, 1), 64);
	UT_EQ(vd_do(&vd, 0, &b, 1), 64);
	UT_CHECK(memcmp(fixture_bytes(&f, a), fixture_bytes(&f, b), 64) != 0);
}

UT_TEST(the_burst_is_bounded_and_more_comes_later)
{
	struct vd_buf a = fixture_buf(&f, 65536, true);
	uint64_t got = 0;
	while (got < 2 * RNG_BURST_BYTES) {
		uint32_t n = vd_do(&vd, 0, &a, 1);
		UT_CHECK(n > 0 && n <= 4096);
		got += n;
	}
}

UT_TEST(a_request_that_gives_no_room_breaks_the_device)
{
	struct vd_buf a = fixture_buf(&f, 64, false);
	vd_add(&vd, 0, &a, 1);
	vd_kick(&vd, 0);
	vd_wait_broken(&vd);
}

/* The device in a bus of its own, on a clock that only the test moves. */
UT_TEST(the_rate_follows_the_clock)
{
	struct clock_manual clock;
	clock_manual_init(&clock, 1);
	const struct rng_cfg cfg = {.bytes_per_s = 1000000, .clock = &clock.clock};
	const struct pci_window low = {RV64_PCI32_BASE, RV64_PCI32_BYTES};
	const struct pci_window high = {RV64_PCI64_BASE, RV64_PCI64_BYTES};
	const struct vio_irq irq = msi_sink_irq(&f.sink);
	struct vio_bus *bus;
	struct pci_host *host;
	struct virtio_dev *dev;
	struct virtio_pci *vp;
	UT_OK(vio_bus_create(&bus));
	UT_OK(pci_host_create(bus, low, high, &host));
	UT_OK(vio_bus_add(bus, (gpa_t){RV64_ECAM_BASE}, RV64_ECAM_BYTES, &pci_host_ecam_ops, host));
	UT_OK(rng_create(&f.g.gate, &cfg, &dev));
	UT_OK(virtio_pci_create(host, 1, &irq, dev, &vp));
	UT_OK(virtio_dev_start(dev));
	struct virtio_driver own;
	vd_init(&own, bus, &f.g, &f.sink, 1);
	vd_start(&own);
	struct vd_buf a = fixture_buf(&f, 4096, true);
	for (uint64_t got = 0; got < RNG_BURST_BYTES; got += 4096)
		UT_EQ(vd_do(&own, 0, &a, 1), 4096);
	/* Nothing is left, and a millisecond is worth a thousand bytes. */
	clock_manual_advance(&clock, 1000000);
	UT_EQ(vd_do(&own, 0, &a, 1), 1000);
	virtio_pci_destroy(vp);
	pci_host_destroy(host);
	vio_bus_destroy(bus);
}
