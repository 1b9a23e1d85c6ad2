/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/bench/figures.h"

#include <stdio.h>
#include <string.h>

/* Host 0 is the home of all pages and serves; host 1 is the one that faults and asks. */
#define HOME   0u
#define FAULTS 1u
#define THIRD  2u
#define FOURTH 3u

#define TURNS_SHARE 5u /* so many fewer turns than other operations: they take longer */

struct bench {
	struct member *m;
	const struct figures_cfg *cfg;
	struct series *out;  /* NULL: warming up */
	uint32_t generation; /* of the pages' bytes */
	unsigned fresh;      /* first page of the home that nobody has touched */
	uint64_t turns;      /* of the ping-pong so far */
};

static const struct {
	const char *name, *unit;
	enum figure reference;
} table[FIG_N] = {
#define FIGURE(id, reference, unit, name) [FIG_##id] = {name, unit, FIG_##reference},
#include "tests/bench/figures.def"
#undef FIGURE
};

static void keep(struct bench *b, enum figure f, double v)
{
	if (b->out != NULL)
		series_add(&b->out[f], v);
}

static void keep_us(struct bench *b, enum figure f, uint64_t ns)
{
	keep(b, f, (double)ns / 1000.0);
}

static void keep_rate(struct bench *b, enum figure f, const struct bench_times *t)
{
	keep(b, f, (double)t->n * 1e9 / (double)t->total_ns);
}

static int order(
	struct bench *b, unsigned host, const struct member_cmd *cmd, struct member_answer *a)
{
	return member_order(&b->m[host], cmd) != 0 ? -1 : member_answer(&b->m[host], a);
}

/* The same kind of order to two hosts at once; the answer of the second. */
static int order_both(struct bench *b, const struct member_cmd *home,
	const struct member_cmd *faults, struct member_answer *a)
{
	struct member_answer other;
	if (member_order(&b->m[HOME], home) != 0 || member_order(&b->m[FAULTS], faults) != 0)
		return -1;
	int rc = member_answer(&b->m[FAULTS], a);
	return rc != 0 ? rc : member_answer(&b->m[HOME], &other);
}

/* ---- round trips ---------------------------------------------------------------------------- */

static int links_open(struct bench *b)
{
	for (unsigned kind = 0; kind < LINK_KINDS; kind++) {
		struct member_cmd home = {.order = ORDER_LINK_OPEN, .link = kind}, faults = home;
		struct member_answer a_home, a_faults;
		faults.asks = true;
		if (order(b, HOME, &home, &a_home) != 0 ||
			order(b, FAULTS, &faults, &a_faults) != 0)
			return -1;
		home.order = faults.order = ORDER_LINK_JOIN;
		memcpy(home.peers[0], a_faults.address, sizeof(home.peers[0]));
		memcpy(faults.peers[0], a_home.address, sizeof(faults.peers[0]));
		if (order_both(b, &home, &faults, &a_home) != 0)
			return -1;
	}
	return 0;
}

static int round_trips(
	struct bench *b, enum link_kind link, unsigned window, struct bench_times *out)
{
	struct member_cmd serve = {
		.order = ORDER_LINK_SERVE, .link = link, .n = b->cfg->pages, .window = window};
	struct member_cmd ask = serve;
	struct member_answer a;
	ask.order = ORDER_LINK_ASK;
	int rc = order_both(b, &serve, &ask, &a);
	*out = a.times;
	return rc;
}

static int measure_links(struct bench *b)
{
	struct bench_times t;
	if (round_trips(b, LINK_TCP, 1, &t) != 0)
		return -1;
	keep_us(b, FIG_RT_TCP, t.p50_ns);
	if (round_trips(b, LINK_PLAIN, 1, &t) != 0)
		return -1;
	keep_us(b, FIG_RT_PLAIN, t.p50_ns);
	if (round_trips(b, LINK_SEALED, 1, &t) != 0)
		return -1;
	keep_us(b, FIG_RT_SEALED, t.p50_ns);
	keep_us(b, FIG_RT_SEALED_P99, t.p99_ns);
	if (round_trips(b, LINK_SEALED, LINK_WINDOW_MAX, &t) != 0)
		return -1;
	keep_rate(b, FIG_STREAM_SEALED, &t);
	if (round_trips(b, LINK_OFI, LINK_WINDOW_MAX, &t) != 0)
		return -1;
	keep_rate(b, FIG_STREAM_RAW, &t);
	return 0;
}

/* The references: what a remote fault can not be faster than. */
static int measure_raw(struct bench *b)
{
	const struct member_cmd local = {.order = ORDER_LOCAL_FAULTS, .n = b->cfg->pages};
	struct member_answer a;
	struct bench_times t;
	if (round_trips(b, LINK_OFI, 1, &t) != 0 || order(b, FAULTS, &local, &a) != 0)
		return -1;
	keep_us(b, FIG_RT_RAW, t.p50_ns);
	keep_us(b, FIG_RT_RAW_P99, t.p99_ns);
	keep_rate(b, FIG_RT_RATE, &t);
	keep_us(b, FIG_LOCAL_RAW, a.times.p50_ns);
	keep_us(b, FIG_FLOOR, t.p50_ns + a.times.p50_ns);
	return 0;
}

/* ---- faults --------------------------------------------------------------------------------- */

static int hosts_open(struct bench *b, bool ahead)
{
	struct member_cmd cmd = {.order = ORDER_HOST_OPEN};
	struct member_answer a;
	cmd.host.n = b->cfg->hosts;
	cmd.host.mode = b->cfg->mode;
	cmd.host.ahead = ahead;
	/* Those that all touch, those that are touched once each repetition, one for the turns. */
	cmd.host.pages = b->cfg->pages * (b->cfg->repeat + 2) + 1;
	b->fresh = b->cfg->pages;
	b->generation = 0;
	for (unsigned i = 0; i < b->cfg->hosts; i++) {
		cmd.host.self = i;
		if (order(b, i, &cmd, &a) != 0)
			return -1;
		memcpy(cmd.peers[i], a.address, sizeof(cmd.peers[i]));
	}
	cmd.order = ORDER_HOST_JOIN;
	for (unsigned i = 0; i < b->cfg->hosts; i++)
		if (member_order(&b->m[i], &cmd) != 0)
			return -1;
	for (unsigned i = 0; i < b->cfg->hosts; i++)
		if (member_answer(&b->m[i], &a) != 0)
			return -1;
	return 0;
}

/* `host` touches the common pages, all of which make it wait for a fault of that kind. */
static int touch(struct bench *b, unsigned host, enum host_fault fault, struct bench_times *out)
{
	struct member_cmd cmd = {.order = ORDER_TOUCH};
	struct member_answer a;
	cmd.touch = (struct host_touch){.n = b->cfg->pages,
		.fault = fault,
		.before = b->generation,
		.after = b->generation + 1};
	if (fault != HOST_READ)
		b->generation++;
	int rc = order(b, host, &cmd, &a);
	if (out != NULL)
		*out = a.times;
	return rc;
}

/* From here on each function finds the home as the only one with the pages, and leaves it so. */

static int measure_read_and_upgrade(struct bench *b)
{
	struct bench_times read, upgrade, home;
	if (touch(b, FAULTS, HOST_READ, &read) != 0 ||
		touch(b, FAULTS, HOST_UPGRADE, &upgrade) != 0 ||
		touch(b, HOME, HOST_WRITE, &home) != 0)
		return -1;
	keep_us(b, FIG_READ, read.p50_ns);
	keep_us(b, FIG_READ_FLOOR, read.p50_ns);
	keep_us(b, FIG_READ_P99, read.p99_ns);
	keep_rate(b, FIG_ONE_BY_ONE, &read);
	keep_us(b, FIG_UPGRADE_1, upgrade.p50_ns);
	keep_us(b, FIG_UPGRADE_1_P99, upgrade.p99_ns);
	keep_us(b, FIG_WRITE_HOME, home.p50_ns);
	return 0;
}

static int measure_write(struct bench *b)
{
	struct bench_times write, upgrade;
	if (touch(b, FAULTS, HOST_WRITE, &write) != 0 || touch(b, HOME, HOST_WRITE, NULL) != 0 ||
		touch(b, FAULTS, HOST_READ, NULL) != 0 ||
		touch(b, HOME, HOST_UPGRADE, &upgrade) != 0)
		return -1;
	keep_us(b, FIG_WRITE, write.p50_ns);
	keep_us(b, FIG_WRITE_P99, write.p99_ns);
	keep_us(b, FIG_UPGRADE_HOME, upgrade.p50_ns);
	return 0;
}

static int measure_three(struct bench *b)
{
	struct bench_times upgrade, read;
	if (b->cfg->hosts < 3)
		return 0;
	if (touch(b, FAULTS, HOST_READ, NULL) != 0 || touch(b, THIRD, HOST_READ, NULL) != 0 ||
		touch(b, FAULTS, HOST_UPGRADE, &upgrade) != 0 ||
		touch(b, THIRD, HOST_WRITE, NULL) != 0 || touch(b, FAULTS, HOST_READ, &read) != 0 ||
		touch(b, HOME, HOST_WRITE, NULL) != 0)
		return -1;
	keep_us(b, FIG_UPGRADE_2, upgrade.p50_ns);
	keep_us(b, FIG_READ_THREE, read.p50_ns);
	return 0;
}

static int measure_four(struct bench *b)
{
	struct bench_times upgrade;
	if (b->cfg->hosts < 4)
		return 0;
	if (touch(b, FAULTS, HOST_READ, NULL) != 0 || touch(b, THIRD, HOST_READ, NULL) != 0 ||
		touch(b, FOURTH, HOST_READ, NULL) != 0 ||
		touch(b, FAULTS, HOST_UPGRADE, &upgrade) != 0 ||
		touch(b, HOME, HOST_WRITE, NULL) != 0)
		return -1;
	keep_us(b, FIG_UPGRADE_3, upgrade.p50_ns);
	return 0;
}

static int measure_local(struct bench *b)
{
	struct member_cmd cmd = {.order = ORDER_TOUCH};
	struct member_answer a;
	cmd.touch = (struct host_touch){
		.first = b->fresh, .n = b->cfg->pages, .fault = HOST_WRITE, .after = 1};
	b->fresh += b->cfg->pages;
	if (order(b, HOME, &cmd, &a) != 0)
		return -1;
	keep_us(b, FIG_LOCAL, a.times.p50_ns);
	return 0;
}

static int measure_turns(struct bench *b)
{
	struct member_cmd home = {.order = ORDER_TURNS}, faults;
	struct member_answer a;
	unsigned turns = MAX(1u, b->cfg->pages / TURNS_SHARE);
	home.turns = (struct host_turns){.page = b->cfg->pages * (b->cfg->repeat + 2),
		.n = turns,
		.first = true,
		.start = b->turns};
	faults = home;
	faults.turns.first = false;
	if (order_both(b, &home, &faults, &a) != 0)
		return -1;
	b->turns += 2 * turns;
	struct bench_times t = {.n = 2 * a.times.n, .total_ns = a.times.total_ns};
	keep_us(b, FIG_TURN, t.total_ns / t.n);
	keep_rate(b, FIG_TURN_RATE, &t);
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* One repetition; every other one the other way round, so that what drifts hits both. */
static int measure_once(struct bench *b, bool other_way, bool turns)
{
	int (*const faults[])(struct bench *) = {measure_read_and_upgrade, measure_write,
		measure_three, measure_four, measure_local};
	if (!other_way && measure_raw(b) != 0)
		return -1;
	for (unsigned i = 0; !turns && i < ARRAY_SIZE(faults); i++)
		if (faults[i](b) != 0)
			return -1;
	if (turns && measure_turns(b) != 0)
		return -1;
	if (!turns && measure_links(b) != 0)
		return -1;
	return other_way ? measure_raw(b) : 0;
}

static int order_all(struct bench *b, enum member_order what)
{
	const struct member_cmd cmd = {.order = what};
	struct member_answer a;
	for (unsigned i = 0; i < b->cfg->hosts; i++)
		if (order(b, i, &cmd, &a) != 0)
			return -1;
	return 0;
}

/* The same memory begun anew, in which pages are asked for ahead. */
static int measure_stream(struct bench *b, struct series *out)
{
	struct bench_times read;
	if (hosts_open(b, true) != 0)
		return -1;
	for (unsigned i = 0; i <= b->cfg->repeat; i++) {
		b->out = i == 0 ? NULL : out;
		if (touch(b, HOME, HOST_WRITE, NULL) != 0 ||
			touch(b, FAULTS, HOST_READ, &read) != 0)
			return -1;
		keep_rate(b, FIG_STREAM, &read);
	}
	return order_all(b, ORDER_HOST_STOP);
}

int figures_measure(struct member *members, const struct figures_cfg *cfg, struct series out[FIG_N])
{
	struct bench b = {.m = members, .cfg = cfg};
	CHECK(cfg->hosts >= 2 && cfg->hosts <= HOSTS_MAX && 2 * cfg->repeat <= SERIES_MAX);
	if (links_open(&b) != 0 || hosts_open(&b, false) != 0 ||
		touch(&b, HOME, HOST_WRITE, NULL) != 0)
		return -1;
	/* Turns come last: how many faults they take is not known, and all others are counted. */
	for (unsigned turns = 0; turns < 2; turns++)
		for (unsigned i = 0; i <= cfg->repeat; i++) {
			b.out = i == 0 ? NULL : out;
			if (measure_once(&b, i % 2 != 0, turns != 0) != 0)
				return -1;
		}
	if (order_all(&b, ORDER_HOST_STOP) != 0 || order_all(&b, ORDER_HOST_CLOSE) != 0)
		return -1;
	return measure_stream(&b, out);
}

void figures_print(const struct series figures[FIG_N], const char *where)
{
	for (unsigned i = 0; i < FIG_N; i++) {
		const struct series *s = &figures[i], *ref = &figures[table[i].reference];
		if (s->n == 0 || ref->n == 0)
			continue;
		printf("%s: %s\t%s\t%.3f\t%.3f\t%.3f\t%.3f\t%u\n", where, table[i].name,
			table[i].unit, series_median(s), series_median(ref), series_low(s),
			series_high(s), s->n);
	}
}
