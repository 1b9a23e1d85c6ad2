/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/beat_core.h"

#include <stdlib.h>

#include "base/err.h"
#include "proto/wire_frame.h"

#define BEAT_CORE_MAGIC UINT32_C(0x42435245)

struct beat_core_peer {
	slice_id_t id;
	struct seal *out, *in;
	struct skew skew;
	uint64_t heard_ns; /* host's clock */
};

struct beat_core {
	uint32_t magic;
	slice_id_t self;
	uint32_t incarnation;
	uint64_t lease_ns;
	bool armed;
	uint64_t round_ns; /* host's clock at our last round */
	struct beat_counts counts;
	uint16_t by_id[SLICE_MAX]; /* place + 1; 0: no peer */
	unsigned n_peers;
	struct beat_core_peer peers[];
};

/* R-BEAT-3: a key for each pair, direction and incarnation; no nonces, as nothing is agreed. */
static int peer_keys(struct beat_core *c, const struct beat_core_cfg *cfg, struct beat_core_peer *p)
{
	uint8_t key[SEAL_KEY_BYTES];
	bool low = c->self.v < p->id.v;
	struct seal_origin o = {
		.secret = cfg->secret,
		.incarnation = &cfg->incarnation,
		.lo = low ? c->self : p->id,
		.hi = low ? p->id : c->self,
	};
	seal_derive(&o, low ? "beats lo-hi" : "beats hi-lo", key);
	int err = seal_create(key, &p->out);
	seal_derive(&o, low ? "beats hi-lo" : "beats lo-hi", key);
	if (err == 0)
		err = seal_create(key, &p->in);
	seal_wipe(key, sizeof(key));
	return err;
}

int beat_core_create(const struct beat_core_cfg *cfg, struct beat_core **out)
{
	CHECK(cfg->n_peers < SLICE_MAX && cfg->lease_ns > 0);
	struct beat_core *c = calloc(1, sizeof(*c) + cfg->n_peers * sizeof(c->peers[0]));
	if (c == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(c, BEAT_CORE_MAGIC);
	c->self = cfg->self;
	c->incarnation = wire_frame_incarnation(&cfg->incarnation);
	c->lease_ns = cfg->lease_ns;
	c->n_peers = cfg->n_peers;
	for (unsigned i = 0; i < c->n_peers; i++) {
		slice_id_t id = cfg->peers[i];
		CHECK(id.v < SLICE_MAX && !slice_eq(id, c->self) && c->by_id[id.v] == 0);
		c->peers[i].id = id;
		c->by_id[id.v] = (uint16_t)(i + 1);
		int err = peer_keys(c, cfg, &c->peers[i]);
		if (err != 0) {
			beat_core_destroy(c);
			return err;
		}
	}
	*out = c;
	return 0;
}

void beat_core_destroy(struct beat_core *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->n_peers; i++) {
		seal_destroy(c->peers[i].out);
		seal_destroy(c->peers[i].in);
	}
	OBJ_FINI(c, BEAT_CORE_MAGIC);
	free(c);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void seal_beat(struct beat_core *c, unsigned peer, struct wire_beat *b, uint8_t *out)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	CHECK(peer < c->n_peers);
	b->from = c->self;
	b->to = c->peers[peer].id;
	b->incarnation = c->incarnation;
	wire_beat_seal(b, c->peers[peer].out, out);
	c->counts.out++;
}

void beat_core_ask(
	struct beat_core *c, unsigned peer, uint64_t clock_ns, uint8_t out[WIRE_BEAT_BYTES])
{
	struct wire_beat b = {.kind = WIRE_BEAT_ASK, .sent_ns = clock_ns};
	seal_beat(c, peer, &b, out);
}

void beat_core_answer(struct beat_core *c, const struct beat_reply *reply, uint64_t clock_ns,
	uint8_t out[WIRE_BEAT_BYTES])
{
	struct wire_beat b = {
		.kind = WIRE_BEAT_ANSWER,
		.sent_ns = MAX(clock_ns, reply->got_ns),
		.asked_ns = reply->asked_ns,
		.got_ns = reply->got_ns,
	};
	seal_beat(c, reply->peer, &b, out);
}

void beat_core_round(struct beat_core *c, uint64_t host_ns)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	c->round_ns = host_ns;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static int open_beat(struct beat_core *c, uint8_t *bytes, size_t len, struct wire_beat *b)
{
	int err = wire_beat_head(bytes, len, b);
	if (err != 0)
		return err;
	if (!slice_eq(b->to, c->self) || c->by_id[b->from.v] == 0)
		return ERR_NOT_FOUND;
	/* Only to tell a late one of an earlier life from an attack; the key would not fit. */
	if (b->incarnation != c->incarnation)
		return ERR_STALE;
	return wire_beat_open(bytes, c->peers[c->by_id[b->from.v] - 1].in, b);
}

int beat_core_take(struct beat_core *c, uint8_t *bytes, size_t len, uint64_t host_ns,
	uint64_t clock_ns, struct beat_reply *reply)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	struct wire_beat b;
	*reply = (struct beat_reply){.wanted = false};
	int err = open_beat(c, bytes, len, &b);
	if (err != 0) {
		if (err == ERR_REPLAY)
			c->counts.late++;
		else
			c->counts.dropped++;
		return err;
	}
	unsigned place = c->by_id[b.from.v] - 1u;
	struct beat_core_peer *p = &c->peers[place];
	p->heard_ns = MAX(p->heard_ns, host_ns);
	c->counts.in++;
	if (b.kind == WIRE_BEAT_ASK)
		*reply = (struct beat_reply){true, place, b.sent_ns, clock_ns};
	else
		(void)skew_add(&p->skew, b.asked_ns, b.got_ns, b.sent_ns, clock_ns);
	return 0;
}

/* ---- the lease and the clocks -------------------------------------------------------------- */

void beat_core_arm(struct beat_core *c, uint64_t host_ns)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	for (unsigned i = 0; i < c->n_peers; i++)
		c->peers[i].heard_ns = host_ns;
	c->round_ns = host_ns;
	c->armed = true;
}

static uint64_t since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static slice_id_t lowest(const struct beat_core *c)
{
	slice_id_t low = c->peers[0].id;
	for (unsigned i = 1; i < c->n_peers; i++) {
		if (c->peers[i].id.v < low.v)
			low = c->peers[i].id;
	}
	return low;
}

bool beat_core_judge_self(const struct beat_core *c, uint64_t host_ns, struct beat_verdict *v)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	/* R-BEAT-11: the others count from our last beat as we do from theirs. */
	if (!c->armed || c->n_peers == 0 || since(host_ns, c->round_ns) < c->lease_ns)
		return false;
	*v = (struct beat_verdict){lowest(c), true, since(host_ns, c->round_ns)};
	return true;
}

bool beat_core_doubt(const struct beat_core *c, uint64_t host_ns, struct beat_verdict *v)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	bool found = false;
	if (!c->armed)
		return false;
	for (unsigned i = 0; i < c->n_peers; i++) {
		const struct beat_core_peer *p = &c->peers[i];
		uint64_t silent = since(host_ns, p->heard_ns);
		if (silent < c->lease_ns - c->lease_ns / BEAT_CORE_AT_ONCE ||
			(found && p->id.v > v->peer.v))
			continue;
		*v = (struct beat_verdict){p->id, false, silent};
		found = true;
	}
	return found;
}

bool beat_core_judge(struct beat_core *c, uint64_t host_ns, struct beat_verdict *v)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	uint64_t longest = 0;
	if (!c->armed)
		return false;
	for (unsigned i = 0; i < c->n_peers; i++)
		longest = MAX(longest, since(host_ns, c->peers[i].heard_ns));
	c->counts.silence_max_ns = MAX(c->counts.silence_max_ns, longest);
	/* R-BEAT-13: both ends of a cut have to name the same connection. */
	return longest >= c->lease_ns && beat_core_doubt(c, host_ns, v);
}

bool beat_core_estimate(
	const struct beat_core *c, unsigned peer, uint64_t clock_ns, struct skew_estimate *out)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	CHECK(peer < c->n_peers);
	return skew_get(&c->peers[peer].skew, clock_ns, out);
}

const struct beat_counts *beat_core_counts(const struct beat_core *c)
{
	OBJ_CHECK(c, BEAT_CORE_MAGIC);
	return &c->counts;
}
