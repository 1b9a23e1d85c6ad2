/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/lk.h"
#include "vio/vio.h"

#define VIO_BUS_MAGIC 0x76627573u

struct vio_range {
	uint64_t start, last; /* inclusive: a range may end at the end of the address space */
	const struct vio_range_ops *ops;
	void *dev;
};

struct vio_bus {
	uint32_t magic;
	struct lk lk;             /* the table; held for a look-up, never over a handler */
	struct vio_range *ranges; /* ascending, disjoint */
	size_t n, room;
};

int vio_bus_create(struct vio_bus **out)
{
	struct vio_bus *bus = calloc(1, sizeof(*bus));
	if (bus == NULL)
		return ERR_NO_MEMORY;
	lk_init(&bus->lk, LK_bus);
	OBJ_INIT(bus, VIO_BUS_MAGIC);
	*out = bus;
	return 0;
}

void vio_bus_destroy(struct vio_bus *bus)
{
	if (bus == NULL)
		return;
	OBJ_FINI(bus, VIO_BUS_MAGIC);
	lk_fini(&bus->lk);
	free(bus->ranges);
	free(bus);
}

/* Index of the first range that ends at or after `addr`. */
static size_t vio_bus_lower_locked(const struct vio_bus *bus, uint64_t addr)
{
	size_t lo = 0, hi = bus->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (bus->ranges[mid].last < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int vio_bus_insert_locked(struct vio_bus *bus, const struct vio_range *r)
{
	size_t at = vio_bus_lower_locked(bus, r->start);
	if (at < bus->n && bus->ranges[at].start <= r->last)
		return ERR_EXISTS;
	if (bus->n == bus->room) {
		size_t room = bus->room != 0 ? bus->room * 2 : 16;
		struct vio_range *more = reallocarray(bus->ranges, room, sizeof(*more));
		if (more == NULL)
			return ERR_NO_MEMORY;
		bus->ranges = more;
		bus->room = room;
	}
	memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->n - at) * sizeof(*r));
	bus->ranges[at] = *r;
	bus->n++;
	return 0;
}

int vio_bus_add(struct vio_bus *bus, gpa_t start, uint64_t bytes, const struct vio_range_ops *ops,
	void *dev)
{
	OBJ_CHECK(bus, VIO_BUS_MAGIC);
	uint64_t last;
	if (bytes == 0 || add_overflows(start.v, bytes - 1, &last))
		return ERR_RANGE;
	struct vio_range r = {.start = start.v, .last = last, .ops = ops, .dev = dev};
	lk_lock(&bus->lk);
	int err = vio_bus_insert_locked(bus, &r);
	lk_unlock(&bus->lk);
	return err;
}

void vio_bus_remove(struct vio_bus *bus, gpa_t start)
{
	OBJ_CHECK(bus, VIO_BUS_MAGIC);
	lk_lock(&bus->lk);
	size_t at = vio_bus_lower_locked(bus, start.v);
	CHECK(at < bus->n && bus->ranges[at].start == start.v);
	bus->n--;
	memmove(&bus->ranges[at], &bus->ranges[at + 1], (bus->n - at) * sizeof(bus->ranges[0]));
	lk_unlock(&bus->lk);
}

static int vio_bus_find(struct vio_bus *bus, gpa_t addr, unsigned size, struct vio_range *out)
{
	OBJ_CHECK(bus, VIO_BUS_MAGIC);
	if (!is_pow2(size) || size > 8)
		return ERR_INVAL;
	int err = ERR_NOT_FOUND;
	lk_lock(&bus->lk);
	size_t at = vio_bus_lower_locked(bus, addr.v);
	if (at < bus->n && bus->ranges[at].start <= addr.v &&
		size - 1 <= bus->ranges[at].last - addr.v) {
		*out = bus->ranges[at];
		err = 0;
	}
	lk_unlock(&bus->lk);
	return err;
}

int vio_bus_read(struct vio_bus *bus, gpa_t addr, unsigned size, uint64_t *value)
{
	struct vio_range r;
	int err = vio_bus_find(bus, addr, size, &r);
	if (err != 0)
		return err;
	*value = r.ops->read(r.dev, addr.v - r.start, size) & vio_ones(size);
	return 0;
}

int vio_bus_write(struct vio_bus *bus, gpa_t addr, unsigned size, uint64_t value)
{
	struct vio_range r;
	int err = vio_bus_find(bus, addr, size, &r);
	if (err != 0)
		return err;
	r.ops->write(r.dev, addr.v - r.start, size, value & vio_ones(size));
	return 0;
}
