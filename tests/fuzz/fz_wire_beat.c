/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/beat_core.h"

#include <string.h>

#include "base/err.h"

/*
 * Heartbeats. The first byte says how the rest comes: as a datagram from anybody, which must change
 * nothing but a counter; or as bodies of a peer that has the keys and keeps no rule, whose times go
 * through the measurement.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LEASE UINT64_C(5000000000)

static const struct seal_secret secret = {{1}};

static struct beat_core *make(uint16_t self, uint16_t peer)
{
	const slice_id_t peers[] = {{peer}};
	struct beat_core_cfg cfg = {
		.self = {self}, .secret = &secret, .peers = peers, .n_peers = 1, .lease_ns = LEASE};
	struct beat_core *c;
	return beat_core_create(&cfg, &c) == 0 ? c : NULL;
}

static void from_anybody(struct beat_core *c, const uint8_t *data, size_t size)
{
	uint8_t bytes[WIRE_BEAT_BYTES] = {0};
	struct beat_reply reply;
	struct skew_estimate e;
	memcpy(bytes, data, MIN(size, sizeof(bytes)));
	CHECK(beat_core_take(c, bytes, size, 1, 1, &reply) != 0 && !reply.wanted);
	CHECK(beat_core_counts(c)->in == 0 && !beat_core_estimate(c, 0, 1, &e));
}

/* Pieces of 33 bytes: kind, body, and the time at which it arrives. */
static void from_a_peer(const uint8_t *data, size_t size)
{
	struct skew k = {.n = 0};
	for (; size >= 33; data += 33, size -= 33) {
		struct wire_beat b = {
			.kind = (data[0] & 1) != 0 ? WIRE_BEAT_ASK : WIRE_BEAT_ANSWER};
		struct skew_estimate e;
		uint64_t now;
		memcpy(&now, data + 25, sizeof(now));
		if (wire_beat_body(data + 1, &b) != 0)
			continue;
		CHECK(b.got_ns <= b.sent_ns && b.sent_ns <= INT64_MAX && b.asked_ns <= INT64_MAX);
		if (b.kind == WIRE_BEAT_ANSWER)
			(void)skew_add(&k, b.asked_ns, b.got_ns, b.sent_ns, now);
		if (skew_get(&k, now, &e))
			CHECK(e.drift_ppb >= -1000000000 && e.drift_ppb <= 1000000000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if ((data[0] & 1) != 0) {
		from_a_peer(data + 1, size - 1);
		return 0;
	}
	struct beat_core *c = make(2, 1);
	if (c == NULL)
		return 0;
	from_anybody(c, data + 1, size - 1);
	beat_core_destroy(c);
	return 0;
}
