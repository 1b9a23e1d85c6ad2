/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "proto/rv64_map.h"
#include "vio/aplic.h"
#include "vio/blk.h"
#include "vio/console.h"
#include "vio/net.h"
#include "vio/pci.h"
#include "vio/pvpanic.h"
#include "vio/rng.h"
#include "vio/rtc.h"
#include "vio/syscon.h"
#include "vio/uart16550.h"
#include "vio/vio.h"
#include "vio/virtio_pci.h"

#define VIO_MACHINE_MAGIC 0x766d6163u

struct vio_machine {
	uint32_t magic;
	struct vio_bus *bus;
	struct aplic *aplic;
	struct uart16550 *uart;
	struct rtc *rtc;
	struct syscon *syscon;
	struct pci_host *pci;
	struct pci_func *bridge;
	struct pvpanic *pvpanic; /* NULL: none */
	struct virtio_pci *virtio[PCI_SLOTS];
	unsigned n_virtio;
	struct vio_machine_cfg cfg;
};

/* Slot 0, as on the `virt` board: the host bridge itself, which has nothing but its identity. */
static const struct pci_func_cfg vio_bridge_cfg = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.class = 0x060000,
};

static int vio_machine_create_pci(struct vio_machine *m)
{
	const struct pci_window low = {RV64_PCI32_BASE, RV64_PCI32_BYTES};
	const struct pci_window high = {RV64_PCI64_BASE, RV64_PCI64_BYTES};
	int err = pci_host_create(m->bus, low, high, &m->pci);
	return err != 0 ? err : pci_func_create(m->pci, 0, &vio_bridge_cfg, &m->bridge);
}

static int vio_machine_create_parts(struct vio_machine *m, const struct vio_machine_cfg *cfg)
{
	int err = vio_bus_create(&m->bus);
	if (err != 0)
		return err;
	const struct aplic_cfg aplic = {
		.irq = cfg->irq,
		.sources = RV64_APLIC_SOURCES,
		.harts = cfg->harts,
		.imsic_base = {RV64_IMSIC_S_BASE},
		.imsic_stride = RV64_IMSIC_STRIDE,
	};
	err = aplic_create(&aplic, &m->aplic);
	if (err != 0)
		return err;
	const struct vio_line uart = aplic_line(m->aplic, RV64_UART_IRQ);
	err = uart16550_create(&uart, cfg->uart, &m->uart);
	if (err != 0)
		return err;
	const struct vio_line rtc = aplic_line(m->aplic, RV64_RTC_IRQ);
	err = rtc_create(&rtc, cfg->wall_ns, cfg->arg, &m->rtc);
	if (err != 0)
		return err;
	err = syscon_create(cfg->power, cfg->arg, &m->syscon);
	return err != 0 ? err : vio_machine_create_pci(m);
}

static int vio_machine_map(struct vio_machine *m)
{
	const struct {
		uint64_t start, bytes;
		const struct vio_range_ops *ops;
		void *dev;
	} ranges[] = {
		{RV64_APLIC_S_BASE, RV64_APLIC_BYTES, &aplic_range_ops, m->aplic},
		{RV64_UART_BASE, RV64_UART_BYTES, &uart16550_range_ops, m->uart},
		{RV64_RTC_BASE, RV64_RTC_BYTES, &rtc_range_ops, m->rtc},
		{RV64_TEST_BASE, RV64_TEST_BYTES, &syscon_range_ops, m->syscon},
		{RV64_ECAM_BASE, RV64_ECAM_BYTES, &pci_host_ecam_ops, m->pci},
	};
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		int err = vio_bus_add(m->bus, (gpa_t){ranges[i].start}, ranges[i].bytes,
			ranges[i].ops, ranges[i].dev);
		if (err != 0)
			return err;
	}
	return 0;
}

int vio_machine_create(const struct vio_machine_cfg *cfg, struct vio_machine **out)
{
	CHECK(cfg->harts >= 1 && cfg->harts <= VCPU_MAX);
	struct vio_machine *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(m, VIO_MACHINE_MAGIC);
	m->cfg = *cfg;
	int err = vio_machine_create_parts(m, cfg);
	if (err == 0)
		err = vio_machine_map(m);
	if (err != 0) {
		vio_machine_destroy(m);
		return err;
	}
	*out = m;
	return 0;
}

void vio_machine_destroy(struct vio_machine *m)
{
	if (m == NULL)
		return;
	OBJ_FINI(m, VIO_MACHINE_MAGIC);
	for (unsigned i = 0; i < m->n_virtio; i++)
		virtio_pci_destroy(m->virtio[i]);
	pvpanic_destroy(m->pvpanic);
	pci_func_destroy(m->bridge);
	pci_host_destroy(m->pci);
	/* What drives a line goes before the interrupt controller. */
	syscon_destroy(m->syscon);
	rtc_destroy(m->rtc);
	uart16550_destroy(m->uart);
	aplic_destroy(m->aplic);
	vio_bus_destroy(m->bus);
	free(m);
}

struct vio_bus *vio_machine_bus(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	return m->bus;
}

int vio_machine_start(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	for (unsigned i = 0; i < m->n_virtio; i++) {
		int err = virtio_dev_start(virtio_pci_dev(m->virtio[i]));
		if (err == 0)
			continue;
		while (i-- > 0)
			virtio_dev_stop(virtio_pci_dev(m->virtio[i]));
		return err;
	}
	return 0;
}

void vio_machine_stop(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	rtc_stop(m->rtc);
	for (unsigned i = 0; i < m->n_virtio; i++)
		virtio_dev_stop(virtio_pci_dev(m->virtio[i]));
}

void vio_machine_halt(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	for (unsigned i = 0; i < m->n_virtio; i++)
		virtio_dev_halt(virtio_pci_dev(m->virtio[i]));
}

int vio_machine_quiesce(struct vio_machine *m, uint64_t timeout_ns)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	uint64_t start_ns = clock_now_ns(clock_host());
	int result = 0;
	/* All are asked, also after one was late, so that one more call suffices. */
	for (unsigned i = 0; i < m->n_virtio; i++) {
		uint64_t passed_ns = clock_now_ns(clock_host()) - start_ns;
		int err = virtio_dev_pause(virtio_pci_dev(m->virtio[i]),
			passed_ns < timeout_ns ? timeout_ns - passed_ns : 0);
		if (err != 0)
			result = err;
	}
	return result;
}

void vio_machine_resume(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	for (unsigned i = 0; i < m->n_virtio; i++)
		virtio_dev_resume(virtio_pci_dev(m->virtio[i]));
}

void vio_machine_reset(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	for (unsigned i = 0; i < m->n_virtio; i++)
		virtio_pci_reset(m->virtio[i]);
	if (m->pvpanic != NULL)
		pvpanic_reset(m->pvpanic);
	pci_func_reset(m->bridge);
	uart16550_reset(m->uart);
	rtc_reset(m->rtc);
	aplic_reset(m->aplic);
}

/* ---- PCI devices ---- */

/* Put a device, which is taken over in any case, into its slot. */
static int vio_machine_plug(struct vio_machine *m, unsigned slot, struct virtio_dev *dev)
{
	int err = virtio_pci_create(m->pci, slot, &m->cfg.irq, dev, &m->virtio[m->n_virtio]);
	if (err != 0) {
		dev->ops->destroy(dev);
		return err;
	}
	m->n_virtio++;
	return 0;
}

/* Before anything is taken over: can the slot be had? */
static int vio_machine_slot_free(struct vio_machine *m, unsigned slot)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	return pci_host_slot_free(m->pci, slot);
}

int vio_overlay_open(const char *dir, int *fd)
{
	return disk_overlay_open(dir, fd);
}

int vio_machine_add_blk(struct vio_machine *m, unsigned slot, const struct vio_blk_cfg *cfg)
{
	const struct disk_cfg disk_cfg = {
		.fd = cfg->fd,
		.read_only = cfg->read_only,
		.overlay_fd = cfg->overlay_fd,
		.overlay_limit_bytes = cfg->overlay_limit_bytes,
	};
	struct blk_cfg blk_cfg = {.queues = cfg->queues, .serial = cfg->serial};
	struct virtio_dev *dev;
	int err = vio_machine_slot_free(m, slot);
	if (err == 0)
		err = disk_create(&disk_cfg, &blk_cfg.disk);
	if (err != 0)
		return err;
	err = blk_create(m->cfg.gate, &blk_cfg, &dev);
	if (err != 0) {
		disk_destroy(blk_cfg.disk);
		return err;
	}
	return vio_machine_plug(m, slot, dev);
}

int vio_machine_add_console(
	struct vio_machine *m, unsigned slot, const struct vio_port *ports, unsigned n)
{
	struct console_port_cfg port_cfgs[CONSOLE_PORTS_MAX];
	const struct console_cfg cfg = {.ports = port_cfgs, .n_ports = n};
	struct virtio_dev *dev;
	int err = vio_machine_slot_free(m, slot);
	if (err == 0 && n > CONSOLE_PORTS_MAX)
		err = ERR_RANGE;
	if (err != 0)
		return err;
	for (unsigned i = 0; i < n; i++)
		port_cfgs[i] = (struct console_port_cfg){ports[i].name, ports[i].stream};
	err = console_create(m->cfg.gate, &cfg, &dev);
	return err != 0 ? err : vio_machine_plug(m, slot, dev);
}

int vio_machine_add_rng(struct vio_machine *m, unsigned slot)
{
	const struct rng_cfg cfg = {.bytes_per_s = RNG_BYTES_PER_S};
	struct virtio_dev *dev;
	int err = vio_machine_slot_free(m, slot);
	if (err == 0)
		err = rng_create(m->cfg.gate, &cfg, &dev);
	return err != 0 ? err : vio_machine_plug(m, slot, dev);
}

int vio_machine_add_net(struct vio_machine *m, unsigned slot, const struct vio_net_cfg *cfg)
{
	struct virtio_dev *dev;
	int err = vio_machine_slot_free(m, slot);
	if (err == 0)
		err = net_create(m->cfg.gate, cfg, &dev);
	return err != 0 ? err : vio_machine_plug(m, slot, dev);
}

int vio_machine_add_pvpanic(struct vio_machine *m, unsigned slot)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	if (m->pvpanic != NULL)
		return ERR_EXISTS;
	return pvpanic_create(m->pci, slot, m->cfg.power, m->cfg.arg, &m->pvpanic);
}
