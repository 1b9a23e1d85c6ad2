/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/virtio.h"

#include <sched.h>
#include <stdatomic.h>

#include "tests/lib/fake_gate.h"
#include "tests/lib/ut.h"

/* A device that does nothing but tell what the core asks of it, without any transport. */
struct probe {
	struct virtio_dev dev;
	_Atomic unsigned runs[2];
	_Atomic unsigned resets, destroyed;
	_Atomic bool hold; /* run() stays inside until it is told to come back */
	_Atomic bool inside, abandoned;
	_Atomic uint64_t next_ns;
};

static struct fake_gate g;
static struct probe p;
static _Atomic unsigned interrupts;

static uint64_t probe_run(struct virtio_dev *dev, unsigned w)
{
	atomic_fetch_add(&p.runs[w], 1);
	while (atomic_load(&p.hold)) {
		atomic_store(&p.inside, true);
		if (virtio_dev_abandon(dev))
			atomic_store(&p.abandoned, true);
		sched_yield();
	}
	atomic_store(&p.inside, false);
	return atomic_load(&p.next_ns);
}

static void probe_reset(struct virtio_dev *dev)
{
	CHECK(lk_held(&dev->lk) && !atomic_load(&p.inside));
	atomic_fetch_add(&p.resets, 1);
}

static void probe_destroy(struct virtio_dev *dev)
{
	atomic_fetch_add(&p.destroyed, 1);
}

static const struct virtio_dev_ops probe_ops = {
	"probe", probe_run, NULL, probe_reset, probe_destroy};

static void probe_interrupt(void *ctx, uint16_t vector)
{
	atomic_fetch_add(&interrupts, 1);
}

static void before(void)
{
	fake_gate_init(&g, 1 << 20);
	memset(&p, 0, sizeof(p));
	atomic_store(&p.next_ns, VIRTIO_RUN_WHEN_NOTIFIED);
	atomic_store(&interrupts, 0);
	const struct virtio_dev_cfg cfg = {
		.ops = &probe_ops,
		.gate = &g.gate,
		.id = VIRTIO_ID_RNG,
		.features = 1,
		.n_queues = 4,
		.n_workers = 2,
		.queue_size = 16,
	};
	UT_OK(virtio_dev_init(&p.dev, &cfg));
	p.dev.transport = (struct virtio_transport){probe_interrupt, NULL};
	UT_OK(virtio_dev_start(&p.dev));
}

static void after(void)
{
	atomic_store(&p.hold, false);
	virtio_dev_stop(&p.dev);
	virtio_dev_fini(&p.dev);
	fake_gate_fini(&g);
}

UT_SUITE_WITH(virtio, before, after);

static void set_status(uint8_t status)
{
	lk_lock(&p.dev.lk);
	virtio_dev_set_status_locked(&p.dev, status);
	lk_unlock(&p.dev.lk);
}

static uint8_t status(void)
{
	lk_lock(&p.dev.lk);
	uint8_t s = p.dev.status;
	lk_unlock(&p.dev.lk);
	return s;
}

static void live(void)
{
	lk_lock(&p.dev.lk);
	virtio_dev_set_features_locked(&p.dev, VIRTIO_F_VERSION_1);
	lk_unlock(&p.dev.lk);
	set_status(1);
	set_status(3);
	set_status(11);
	set_status(15);
}

/* Until worker `w` has run more than `seen` times. */
static unsigned wait_run(unsigned w, unsigned seen)
{
	while (atomic_load(&p.runs[w]) <= seen)
		sched_yield();
	return atomic_load(&p.runs[w]);
}

static void wait_inside(void)
{
	while (!atomic_load(&p.inside))
		sched_yield();
}

UT_TEST(nothing_runs_before_the_driver)
{
	virtio_dev_kick(&p.dev, 0);
	UT_OK(virtio_dev_pause(&p.dev, UINT64_MAX));
	virtio_dev_resume(&p.dev);
	UT_EQ(atomic_load(&p.runs[0]), 0);
	UT_CHECK(virtio_dev_queue(&p.dev, 0) == NULL);
	UT_CHECK(virtio_dev_queue(&p.dev, 99) == NULL);
}

UT_TEST(every_worker_starts_with_the_driver)
{
	live();
	unsigned n = wait_run(0, 0);
	wait_run(1, 0);
	virtio_dev_kick(&p.dev, 0);
	wait_run(0, n);
}

UT_TEST(a_worker_that_asks_runs_again)
{
	atomic_store(&p.next_ns, 1);
	live();
	wait_run(0, 100);
}

UT_TEST(a_reset_waits_for_the_workers)
{
	atomic_store(&p.hold, true);
	live();
	wait_inside();
	set_status(0);
	UT_EQ(status(), 15);
	UT_CHECK(virtio_dev_yield(&p.dev));
	UT_EQ(atomic_load(&p.resets), 0);
	/* What the driver does meanwhile does not count. */
	set_status(1);
	lk_lock(&p.dev.lk);
	virtio_dev_set_features_locked(&p.dev, 1);
	UT_CHECK(!virtio_dev_configurable_locked(&p.dev));
	lk_unlock(&p.dev.lk);
	while (!atomic_load(&p.abandoned))
		sched_yield();
	atomic_store(&p.hold, false);
	while (status() != 0)
		sched_yield();
	UT_EQ(atomic_load(&p.resets), 1);
	lk_lock(&p.dev.lk);
	UT_EQ(p.dev.features, 0);
	lk_unlock(&p.dev.lk);
	unsigned n = atomic_load(&p.runs[0]);
	live();
	wait_run(0, n);
}

UT_TEST(an_idle_device_is_reset_at_once)
{
	set_status(1);
	set_status(0);
	UT_EQ(status(), 0);
	UT_EQ(atomic_load(&p.resets), 1);
}

UT_TEST(pause_drains_and_holds)
{
	atomic_store(&p.hold, true);
	live();
	wait_inside();
	UT_ERR(virtio_dev_pause(&p.dev, 1000), TIMEOUT);
	UT_CHECK(virtio_dev_yield(&p.dev));
	UT_CHECK(!virtio_dev_abandon(&p.dev));
	atomic_store(&p.hold, false);
	UT_OK(virtio_dev_pause(&p.dev, UINT64_MAX));
	unsigned n = atomic_load(&p.runs[0]);
	virtio_dev_kick(&p.dev, 0);
	/* A reset works in a pause, and does not end it. */
	set_status(0);
	UT_EQ(status(), 0);
	live();
	UT_EQ(atomic_load(&p.runs[0]), n);
	virtio_dev_resume(&p.dev);
	wait_run(0, n);
}

/* At once, also while a worker is inside; a driver's reset does not end it, power-on does. */
UT_TEST(halt_holds_until_power_on)
{
	atomic_store(&p.hold, true);
	live();
	wait_inside();
	virtio_dev_halt(&p.dev);
	UT_CHECK(virtio_dev_yield(&p.dev) && virtio_dev_abandon(&p.dev));
	atomic_store(&p.hold, false);
	UT_OK(virtio_dev_pause(&p.dev, UINT64_MAX));
	virtio_dev_resume(&p.dev);
	unsigned n = atomic_load(&p.runs[0]);
	virtio_dev_kick(&p.dev, 0);
	set_status(0);
	UT_EQ(status(), 0);
	live();
	virtio_dev_kick(&p.dev, 0);
	UT_OK(virtio_dev_pause(&p.dev, UINT64_MAX));
	UT_EQ(atomic_load(&p.runs[0]), n);
	virtio_dev_resume(&p.dev);
	virtio_dev_power_reset(&p.dev);
	live();
	wait_run(0, n);
}

UT_TEST(a_broken_driver_is_told)
{
	live();
	wait_run(0, 0);
	virtio_dev_failed(&p.dev, ERR_FORMAT, "test");
	UT_EQ(status(), 15 | 64);
	UT_EQ(atomic_load(&interrupts), 1);
	UT_OK(virtio_dev_pause(&p.dev, UINT64_MAX));
	virtio_dev_resume(&p.dev);
	unsigned n = atomic_load(&p.runs[0]);
	virtio_dev_kick(&p.dev, 0);
	UT_OK(virtio_dev_pause(&p.dev, UINT64_MAX));
	UT_EQ(atomic_load(&p.runs[0]), n);
	virtio_dev_resume(&p.dev);
	set_status(0);
	UT_EQ(status(), 0);
}

UT_TEST(a_stopped_vm_is_not_the_drivers_fault)
{
	live();
	wait_run(0, 0);
	virtio_dev_failed(&p.dev, ERR_VM_STOPPED, "test");
	UT_EQ(status(), 15);
	UT_EQ(atomic_load(&interrupts), 0);
	UT_CHECK(virtio_dev_yield(&p.dev));
	virtio_dev_power_reset(&p.dev);
	UT_EQ(status(), 0);
	unsigned n = atomic_load(&p.runs[0]);
	live();
	wait_run(0, n);
}

UT_TEST(it_can_be_stopped_and_started)
{
	live();
	unsigned n = wait_run(0, 0);
	virtio_dev_stop(&p.dev);
	UT_OK(virtio_dev_start(&p.dev));
	wait_run(0, n);
}

UT_TEST(power_reset_waits)
{
	atomic_store(&p.next_ns, 1);
	live();
	for (unsigned i = 0; i < 50; i++) {
		virtio_dev_power_reset(&p.dev);
		UT_EQ(status(), 0);
		live();
	}
}
