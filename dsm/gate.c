/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/err.h"
#include "dsm/dsm.h"

static bool dsm_gate_inside(const struct dsm_gate *gate, gpa_t at, size_t len)
{
	return at.v >= gate->base.v && range_inside(at.v - gate->base.v, len, gate->bytes);
}

/* What is left of `len` on the page of `at`. */
static size_t dsm_gate_piece(gpa_t at, size_t len)
{
	return MIN(len, PAGE_BYTES - at.v % PAGE_BYTES);
}

int dsm_gate_read(const struct dsm_gate *gate, gpa_t from, void *buf, size_t len)
{
	uint8_t *p = buf;
	if (!dsm_gate_inside(gate, from, len))
		return ERR_RANGE;
	while (len != 0) {
		size_t n = dsm_gate_piece(from, len);
		struct dsm_seg seg = {.gpa = from, .bytes = n};
		int err = gate->ops->pin(gate->ctx, &seg, 1);
		if (err != 0)
			return err;
		memcpy(p, seg.host, n);
		gate->ops->unpin(gate->ctx, &seg, 1);
		p += n;
		from.v += n;
		len -= n;
	}
	return 0;
}

int dsm_gate_write(const struct dsm_gate *gate, gpa_t to, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	if (!dsm_gate_inside(gate, to, len))
		return ERR_RANGE;
	while (len != 0) {
		size_t n = dsm_gate_piece(to, len);
		struct dsm_seg seg = {.gpa = to, .bytes = n, .write = true};
		int err = gate->ops->pin(gate->ctx, &seg, 1);
		if (err != 0)
			return err;
		memcpy(seg.host, p, n);
		gate->ops->unpin(gate->ctx, &seg, 1);
		p += n;
		to.v += n;
		len -= n;
	}
	return 0;
}
