/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a virtqueue on memory that the input fills. First byte: features; the rest
 * is guest memory from its beginning, where descriptors (at 0), available ring (at 0x400) and used
 * ring (at 0x600) lie.
 */
#include <string.h>

#include "base/err.h"
#include "tests/lib/fake_gate.h"
#include "vio/virtq.h"

#define RAM_BYTES UINT64_C(0x4000)
#define SIZE      16u
#define POPS      64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_gate g;
static struct virtq_chain chain;

static int serve(struct virtq *q)
{
	uint8_t bytes[64] = {0};
	bool notify;
	int err = virtq_pop(q, &chain);
	if (err != 0)
		return err;
	CHECK(chain.n_out + chain.n_in >= 1 && chain.n_out + chain.n_in <= VIRTQ_SEGS_MAX);
	size_t out = (size_t)MIN(chain.out_bytes, (uint64_t)sizeof(bytes));
	size_t in = (size_t)MIN(chain.in_bytes, (uint64_t)sizeof(bytes));
	CHECK(virtq_chain_read(q, &chain, chain.out_bytes - out, bytes, out) == 0);
	CHECK(virtq_chain_write(q, &chain, chain.in_bytes - in, bytes, in) == 0);
	CHECK(virtq_chain_read(q, &chain, chain.out_bytes, bytes, 1) == ERR_RANGE);
	err = virtq_push(q, &chain, (uint32_t)in);
	CHECK(err == 0);
	CHECK(virtq_should_notify(q, &notify) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (g.ram == NULL)
		fake_gate_init(&g, RAM_BYTES);
	if (size < 1)
		return 0;
	memset(g.ram, 0, RAM_BYTES);
	memcpy(g.ram, data + 1, MIN(size - 1, (size_t)RAM_BYTES));
	const struct virtq_cfg cfg = {
		.gate = &g.gate,
		.size = SIZE,
		.desc = {g.gate.base.v},
		.avail = {g.gate.base.v + 0x400},
		.used = {g.gate.base.v + 0x600},
		.event_idx = (data[0] & 1) != 0,
		.indirect = (data[0] & 2) != 0,
	};
	struct virtq q;
	CHECK(virtq_init(&q, &cfg) == 0);
	for (unsigned i = 0; i < POPS && serve(&q) == 0; i++)
		continue;
	CHECK(atomic_load(&g.pinned) == 0);
	return 0;
}
