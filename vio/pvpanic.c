/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/pvpanic.h"

#include <stdlib.h>

#include "base/err.h"

#define PVPANIC_MAGIC 0x70767061u

#define PVPANIC_PANICKED  0x1u /* a read says which events are known */
#define PVPANIC_BAR_BYTES 0x1000u

struct pvpanic {
	uint32_t magic;
	struct pci_func *func;
	vio_power_fn *power;
	void *arg;
};

static uint64_t pvpanic_read(void *dev, uint64_t off, unsigned size)
{
	return off == 0 ? PVPANIC_PANICKED : vio_ones(size);
}

static void pvpanic_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct pvpanic *p = dev;
	OBJ_CHECK(p, PVPANIC_MAGIC);
	if (off == 0 && (value & PVPANIC_PANICKED) != 0)
		p->power(p->arg, VIO_POWER_PANIC, 0);
}

static const struct pci_func_ops pvpanic_func_ops = {
	.bar = {"pvpanic", pvpanic_read, pvpanic_write},
};

int pvpanic_create(
	struct pci_host *host, unsigned slot, vio_power_fn *power, void *arg, struct pvpanic **out)
{
	struct pvpanic *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(p, PVPANIC_MAGIC);
	p->power = power;
	p->arg = arg;
	const struct pci_func_cfg cfg = {
		.vendor = 0x1b36,
		.device = 0x0011,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.revision = 1,
		.class = 0x088000,
		.bars = {{.bytes = PVPANIC_BAR_BYTES}},
		.ops = &pvpanic_func_ops,
		.dev = p,
	};
	int err = pci_func_create(host, slot, &cfg, &p->func);
	if (err != 0) {
		free(p);
		return err;
	}
	*out = p;
	return 0;
}

void pvpanic_destroy(struct pvpanic *p)
{
	if (p == NULL)
		return;
	OBJ_FINI(p, PVPANIC_MAGIC);
	pci_func_destroy(p->func);
	free(p);
}

void pvpanic_reset(struct pvpanic *p)
{
	OBJ_CHECK(p, PVPANIC_MAGIC);
	pci_func_reset(p->func);
}
