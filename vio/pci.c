/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/pci.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/lk.h"

#define PCI_HOST_MAGIC 0x70636968u
#define PCI_FUNC_MAGIC 0x70636966u

#define PCI_CONFIG_BYTES 256u

/* PCI Local Bus 3.0, 6.1 and 6.2 */
enum {
	PCI_VENDOR = 0x00,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09,
	PCI_CACHE_LINE = 0x0c,
	PCI_BAR0 = 0x10,
	PCI_SUBVENDOR = 0x2c,
	PCI_SUBDEVICE = 0x2e,
	PCI_CAP_FIRST = 0x34,
	PCI_INT_LINE = 0x3c,
	PCI_CAPS = 0x40,

	PCI_COMMAND_MEM = 0x0002,
	PCI_COMMAND_WRITABLE = 0x0546, /* memory, master, parity, SERR, INTx off */
	PCI_STATUS_CAPS = 0x0010,
	PCI_BAR_WIDE = 0x4,
	PCI_CAP_MSIX = 0x11,
};

struct pci_bar {
	struct pci_func *func;
	uint64_t bytes; /* 0: none */
	bool wide;
	bool mapped;
	uint64_t at; /* where, when mapped */
};

struct pci_func {
	uint32_t magic;
	struct pci_host *host;
	unsigned slot;
	struct pci_func_cfg cfg;
	struct msix *msix; /* NULL: none */
	unsigned msix_cap;
	unsigned caps_end, last_cap;
	/* [lk: pci] but for set-up */
	struct pci_bar bars[PCI_BARS];
	uint8_t config[PCI_CONFIG_BYTES], initial[PCI_CONFIG_BYTES];
	uint8_t wmask[PCI_CONFIG_BYTES];
	uint8_t watched[PCI_CONFIG_BYTES];
};

struct pci_host {
	uint32_t magic;
	struct vio_bus *bus;
	struct pci_window windows[2];
	struct lk lk; /* configuration of all functions */
	struct pci_func *slots[PCI_SLOTS];
};

static uint32_t pci_get(const uint8_t *p, unsigned size)
{
	uint32_t v = 0;
	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)p[i] << (8 * i);
	return v;
}

static void pci_put(uint8_t *p, unsigned size, uint32_t v)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* ---- BARs ---- */

static uint64_t pci_bar_access_msix(
	struct pci_func *f, unsigned bar, uint64_t off, unsigned size, uint64_t *write, bool *mine)
{
	*mine = false;
	if (f->msix == NULL || bar != f->cfg.msix_bar)
		return 0;
	uint64_t table = f->cfg.msix_table_off, pba = f->cfg.msix_pba_off;
	if (off >= table && off - table < (uint64_t)msix_vectors(f->msix) * MSIX_ENTRY_BYTES) {
		*mine = true;
		if (write == NULL)
			return msix_table_read(f->msix, off - table, size);
		msix_table_write(f->msix, off - table, size, *write);
	} else if (off >= pba && off - pba < sizeof(uint64_t)) {
		*mine = true;
		if (write == NULL)
			return msix_pba_read(f->msix, off - pba, size);
	}
	return 0;
}

static uint64_t pci_bar_read(void *dev, uint64_t off, unsigned size)
{
	struct pci_bar *bar = dev;
	struct pci_func *f = bar->func;
	OBJ_CHECK(f, PCI_FUNC_MAGIC);
	bool mine;
	uint64_t v = pci_bar_access_msix(f, (unsigned)(bar - f->bars), off, size, NULL, &mine);
	return mine ? v : f->cfg.ops->bar.read(f->cfg.dev, off, size);
}

static void pci_bar_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct pci_bar *bar = dev;
	struct pci_func *f = bar->func;
	OBJ_CHECK(f, PCI_FUNC_MAGIC);
	bool mine;
	pci_bar_access_msix(f, (unsigned)(bar - f->bars), off, size, &value, &mine);
	if (!mine)
		f->cfg.ops->bar.write(f->cfg.dev, off, size, value);
}

static const struct vio_range_ops pci_bar_range_ops = {"pci bar", pci_bar_read, pci_bar_write};

/* Where the guest wants the BAR; false: nowhere. An address outside the windows (as while sizing)
 * is nowhere. */
static bool pci_bar_wanted_locked(const struct pci_func *f, unsigned i, uint64_t *at)
{
	const struct pci_bar *bar = &f->bars[i];
	const uint8_t *reg = &f->config[PCI_BAR0 + 4 * i];
	if (bar->bytes == 0 || (pci_get(&f->config[PCI_COMMAND], 2) & PCI_COMMAND_MEM) == 0)
		return false;
	uint64_t addr = pci_get(reg, 4) & ~UINT32_C(0xf);
	if (bar->wide)
		addr |= (uint64_t)pci_get(reg + 4, 4) << 32;
	for (unsigned w = 0; w < ARRAY_SIZE(f->host->windows); w++) {
		const struct pci_window *win = &f->host->windows[w];
		if (addr >= win->base && range_inside(addr - win->base, bar->bytes, win->bytes)) {
			*at = addr;
			return true;
		}
	}
	return false;
}

static void pci_bar_unmap_locked(struct pci_bar *bar)
{
	if (bar->mapped)
		vio_bus_remove(bar->func->host->bus, (gpa_t){bar->at});
	bar->mapped = false;
}

static void pci_func_unmap_moved_locked(struct pci_func *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		uint64_t at;
		bool wanted = pci_bar_wanted_locked(f, i, &at);
		if (!wanted || at != f->bars[i].at)
			pci_bar_unmap_locked(&f->bars[i]);
	}
}

static void pci_func_map_locked(struct pci_func *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &f->bars[i];
		uint64_t at;
		if (bar->mapped || !pci_bar_wanted_locked(f, i, &at))
			continue;
		/* On top of another BAR: the older one keeps the addresses until it moves away. */
		int err =
			vio_bus_add(f->host->bus, (gpa_t){at}, bar->bytes, &pci_bar_range_ops, bar);
		bar->mapped = err == 0;
		bar->at = at;
	}
}

/* After a change of a BAR or a command register: others may have waited for the place. */
static void pci_host_remap_locked(struct pci_host *host)
{
	for (unsigned s = 0; s < PCI_SLOTS; s++)
		if (host->slots[s] != NULL)
			pci_func_unmap_moved_locked(host->slots[s]);
	for (unsigned s = 0; s < PCI_SLOTS; s++)
		if (host->slots[s] != NULL)
			pci_func_map_locked(host->slots[s]);
}

/* ---- configuration space ---- */

static uint32_t pci_config_read_locked(struct pci_func *f, unsigned off, unsigned size)
{
	if (off >= PCI_CONFIG_BYTES)
		return 0;
	if (f->watched[off])
		f->cfg.ops->config_read(f->cfg.dev, off);
	return pci_get(&f->config[off], size);
}

static void pci_config_write_locked(struct pci_func *f, unsigned off, unsigned size, uint32_t value)
{
	if (off >= PCI_CONFIG_BYTES)
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t mask = f->wmask[off + i], byte = (uint8_t)(value >> (8 * i));
		uint8_t *p = &f->config[off + i];
		*p = (uint8_t)((*p & ~mask) | (byte & mask));
	}
	if (off < PCI_BAR0 + 4 * PCI_BARS)
		pci_host_remap_locked(f->host);
	if (f->msix != NULL && (off & ~3u) == f->msix_cap)
		msix_control(f->msix, (uint16_t)pci_get(&f->config[f->msix_cap + 2], 2));
	if (f->watched[off])
		f->cfg.ops->config_written(f->cfg.dev, off);
}

/* The function that an ECAM offset names, or NULL. */
static struct pci_func *pci_ecam_func(struct pci_host *host, uint64_t off)
{
	uint64_t bus = off >> 20, slot = off >> 15 & 31, fn = off >> 12 & 7;
	return bus == 0 && fn == 0 ? host->slots[slot] : NULL;
}

static bool pci_ecam_access_ok(uint64_t off, unsigned size)
{
	return size <= 4 && off % size == 0;
}

static uint64_t pci_ecam_read(void *dev, uint64_t off, unsigned size)
{
	struct pci_host *host = dev;
	OBJ_CHECK(host, PCI_HOST_MAGIC);
	struct pci_func *f = pci_ecam_func(host, off);
	if (f == NULL || !pci_ecam_access_ok(off, size))
		return vio_ones(size);
	lk_lock(&host->lk);
	uint32_t v = pci_config_read_locked(f, (unsigned)(off & 0xfff), size);
	lk_unlock(&host->lk);
	return v;
}

static void pci_ecam_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct pci_host *host = dev;
	OBJ_CHECK(host, PCI_HOST_MAGIC);
	struct pci_func *f = pci_ecam_func(host, off);
	if (f == NULL || !pci_ecam_access_ok(off, size))
		return;
	lk_lock(&host->lk);
	pci_config_write_locked(f, (unsigned)(off & 0xfff), size, (uint32_t)value);
	lk_unlock(&host->lk);
}

const struct vio_range_ops pci_host_ecam_ops = {"pci ecam", pci_ecam_read, pci_ecam_write};

/* ---- set-up ---- */

int pci_host_create(
	struct vio_bus *bus, struct pci_window low, struct pci_window high, struct pci_host **out)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	if (host == NULL)
		return ERR_NO_MEMORY;
	host->bus = bus;
	host->windows[0] = low;
	host->windows[1] = high;
	lk_init(&host->lk, LK_pci);
	OBJ_INIT(host, PCI_HOST_MAGIC);
	*out = host;
	return 0;
}

void pci_host_destroy(struct pci_host *host)
{
	if (host == NULL)
		return;
	for (unsigned s = 0; s < PCI_SLOTS; s++)
		CHECK(host->slots[s] == NULL);
	OBJ_FINI(host, PCI_HOST_MAGIC);
	lk_fini(&host->lk);
	free(host);
}

int pci_host_slot_free(const struct pci_host *host, unsigned slot)
{
	OBJ_CHECK(host, PCI_HOST_MAGIC);
	if (slot >= PCI_SLOTS)
		return ERR_RANGE;
	return host->slots[slot] != NULL ? ERR_EXISTS : 0;
}

static void pci_func_init_bars(struct pci_func *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar_cfg *cfg = &f->cfg.bars[i];
		f->bars[i].func = f;
		if (cfg->bytes == 0)
			continue;
		CHECK(is_pow2(cfg->bytes) && cfg->bytes >= 16 && cfg->bytes <= UINT32_C(1) << 31);
		f->bars[i].bytes = cfg->bytes;
		f->bars[i].wide = cfg->wide;
		unsigned reg = PCI_BAR0 + 4 * i;
		pci_put(&f->wmask[reg], 4, ~(uint32_t)(cfg->bytes - 1));
		if (cfg->wide) {
			CHECK(i + 1 < PCI_BARS && f->cfg.bars[i + 1].bytes == 0);
			pci_put(&f->initial[reg], 4, PCI_BAR_WIDE);
			pci_put(&f->wmask[reg + 4], 4, UINT32_MAX);
		}
	}
}

static void pci_func_init_header(struct pci_func *f)
{
	uint8_t *c = f->initial;
	pci_put(c + PCI_VENDOR, 2, f->cfg.vendor);
	pci_put(c + PCI_VENDOR + 2, 2, f->cfg.device);
	c[PCI_REVISION] = f->cfg.revision;
	pci_put(c + PCI_CLASS, 3, f->cfg.class);
	pci_put(c + PCI_SUBVENDOR, 2, f->cfg.subvendor);
	pci_put(c + PCI_SUBDEVICE, 2, f->cfg.subdevice);
	pci_put(f->wmask + PCI_COMMAND, 2, PCI_COMMAND_WRITABLE);
	f->wmask[PCI_CACHE_LINE] = 0xff;
	f->wmask[PCI_INT_LINE] = 0xff;
	pci_func_init_bars(f);
}

static int pci_func_init_msix(struct pci_func *f)
{
	if (f->cfg.msix_vectors == 0)
		return 0;
	int err = msix_create(&f->cfg.irq, f->cfg.msix_vectors, &f->msix);
	if (err != 0)
		return err;
	uint8_t body[10], wmask[10] = {0x00, 0xc0}; /* enable and function mask */
	pci_put(body, 2, f->cfg.msix_vectors - 1);
	pci_put(body + 2, 4, f->cfg.msix_table_off | f->cfg.msix_bar);
	pci_put(body + 6, 4, f->cfg.msix_pba_off | f->cfg.msix_bar);
	f->msix_cap = pci_func_add_cap(f, PCI_CAP_MSIX, body, sizeof(body), wmask, false);
	return 0;
}

int pci_func_create(
	struct pci_host *host, unsigned slot, const struct pci_func_cfg *cfg, struct pci_func **out)
{
	int err = pci_host_slot_free(host, slot);
	if (err != 0)
		return err;
	struct pci_func *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return ERR_NO_MEMORY;
	f->host = host;
	f->slot = slot;
	f->cfg = *cfg;
	f->caps_end = PCI_CAPS;
	OBJ_INIT(f, PCI_FUNC_MAGIC);
	pci_func_init_header(f);
	err = pci_func_init_msix(f);
	if (err != 0) {
		free(f);
		return err;
	}
	memcpy(f->config, f->initial, sizeof(f->config));
	lk_lock(&host->lk);
	host->slots[slot] = f;
	lk_unlock(&host->lk);
	*out = f;
	return 0;
}

unsigned pci_func_add_cap(struct pci_func *f, uint8_t id, const void *body, size_t len,
	const uint8_t *wmask, bool watch)
{
	OBJ_CHECK(f, PCI_FUNC_MAGIC);
	unsigned at = f->caps_end;
	CHECK(len + 2 <= PCI_CONFIG_BYTES - at);
	f->initial[at] = id;
	memcpy(&f->initial[at + 2], body, len);
	if (wmask != NULL)
		memcpy(&f->wmask[at + 2], wmask, len);
	memset(&f->watched[at], watch, len + 2);
	f->initial[f->last_cap != 0 ? f->last_cap + 1 : PCI_CAP_FIRST] = (uint8_t)at;
	f->initial[PCI_STATUS] |= PCI_STATUS_CAPS;
	f->last_cap = at;
	f->caps_end = (unsigned)(at + 2 + len + 3) & ~3u;
	memcpy(f->config, f->initial, sizeof(f->config));
	return at;
}

void pci_func_destroy(struct pci_func *f)
{
	if (f == NULL)
		return;
	pci_func_reset(f);
	lk_lock(&f->host->lk);
	f->host->slots[f->slot] = NULL;
	lk_unlock(&f->host->lk);
	msix_destroy(f->msix);
	OBJ_FINI(f, PCI_FUNC_MAGIC);
	free(f);
}

void pci_func_reset(struct pci_func *f)
{
	OBJ_CHECK(f, PCI_FUNC_MAGIC);
	lk_lock(&f->host->lk);
	memcpy(f->config, f->initial, sizeof(f->config));
	pci_host_remap_locked(f->host);
	if (f->msix != NULL)
		msix_reset(f->msix);
	lk_unlock(&f->host->lk);
}

uint8_t *pci_func_config(struct pci_func *f)
{
	OBJ_CHECK(f, PCI_FUNC_MAGIC);
	lk_assert_held(&f->host->lk);
	return f->config;
}

struct msix *pci_func_msix(struct pci_func *f)
{
	OBJ_CHECK(f, PCI_FUNC_MAGIC);
	return f->msix;
}
