/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/err.h"
#include "proto/rv64_map.h"
#include "vio/aplic.h"
#include "vio/rtc.h"
#include "vio/syscon.h"
#include "vio/uart16550.h"
#include "vio/vio.h"

#define VIO_MACHINE_MAGIC 0x766d6163u

struct vio_machine {
	uint32_t magic;
	struct vio_bus *bus;
	struct aplic *aplic;
	struct uart16550 *uart;
	struct rtc *rtc;
	struct syscon *syscon;
};

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
	return syscon_create(cfg->power, cfg->arg, &m->syscon);
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

void vio_machine_reset(struct vio_machine *m)
{
	OBJ_CHECK(m, VIO_MACHINE_MAGIC);
	uart16550_reset(m->uart);
	rtc_reset(m->rtc);
	aplic_reset(m->aplic);
}
