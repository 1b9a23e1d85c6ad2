/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/syscon.h"

#include <stdlib.h>

#include "base/err.h"

#define SYSCON_MAGIC 0x73797363u

enum { SYSCON_OFF = 0x5555, SYSCON_REBOOT = 0x7777, SYSCON_FAIL = 0x3333 };

struct syscon {
	uint32_t magic;
	vio_power_fn *power;
	void *arg;
};

static uint64_t syscon_read(void *dev, uint64_t off, unsigned size)
{
	return off == 0 && size == 4 ? 0 : vio_ones(size);
}

static void syscon_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct syscon *s = dev;
	OBJ_CHECK(s, SYSCON_MAGIC);
	if (off != 0 || (size != 4 && size != 2))
		return;
	uint32_t code = (uint32_t)value >> 16;
	switch (value & 0xffff) {
	case SYSCON_OFF:
		s->power(s->arg, VIO_POWER_OFF, 0);
		break;
	case SYSCON_REBOOT:
		s->power(s->arg, VIO_POWER_REBOOT, 0);
		break;
	case SYSCON_FAIL:
		s->power(s->arg, VIO_POWER_FAIL, code);
		break;
	default:
		break;
	}
}

const struct vio_range_ops syscon_range_ops = {"power", syscon_read, syscon_write};

int syscon_create(vio_power_fn *power, void *arg, struct syscon **out)
{
	struct syscon *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ERR_NO_MEMORY;
	s->power = power;
	s->arg = arg;
	OBJ_INIT(s, SYSCON_MAGIC);
	*out = s;
	return 0;
}

void syscon_destroy(struct syscon *s)
{
	if (s == NULL)
		return;
	OBJ_FINI(s, SYSCON_MAGIC);
	free(s);
}
