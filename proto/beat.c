/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/beat.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lk.h"
#include "base/log.h"
#include "base/trace.h"

#define BEAT_MAGIC UINT32_C(0x62656174)

/* Beats go out at each fifth tick: ten times in the lease, but at least so often. */
#define ROUND_MAX_NS UINT64_C(250000000)
#define ROUND_TICKS  5u
/* Datagrams that are read before the lease is looked at, so that a flood can not put that off. What
 * a socket's buffer holds by default is less. */
#define DRAIN_MAX 4096u

struct beat_target {
	struct sockaddr_storage addr;
	slice_id_t slice;
};

struct beat {
	uint32_t magic;
	struct beat_cfg cfg; /* without `bind` and, once started, `secret` */
	char address[NET_ADDR_BYTES];
	int fd, wake_fd;
	uint64_t tick_ns;
	pthread_t thread;
	bool started; /* [owner] */
	_Atomic bool stop;

	/* Of the thread alone, once started. */
	struct beat_core *core;
	struct beat_target *targets;
	unsigned n_peers;
	uint64_t next_ns;
	unsigned ticks; /* since the last round */
	uint64_t send_failed;
	bool lost;

	struct lk lk; /* the rest; held for copies only */
	struct lk_cond changed;
	struct beat_stats stats;
	bool ready, ended;
	bool in_doubt;
	slice_id_t doubt;
	char missing[160]; /* why it is not ready */
};

static uint64_t now_ns(void)
{
	return clock_now_ns(clock_host());
}

/* ---- datagrams ----------------------------------------------------------------------------- */

static void send_to(struct beat *b, unsigned peer, const uint8_t *bytes)
{
	const struct beat_target *t = &b->targets[peer];
	/* What can not be sent is as good as lost on the way: the lease tells, not the error. */
	if (sendto(b->fd, bytes, WIRE_BEAT_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL,
		    (const struct sockaddr *)&t->addr, net_addr_len(&t->addr)) != WIRE_BEAT_BYTES)
		b->send_failed++;
}

static void take(struct beat *b, uint8_t *bytes, size_t len)
{
	struct beat_reply reply;
	uint64_t clock_ns = clock_now_ns(b->cfg.clock);
	int err = beat_core_take(b->core, bytes, len, now_ns(), clock_ns, &reply);
	/* R-BEAT-12: one that has lost the lease must not seem alive. */
	if (err != 0 || !reply.wanted || b->lost)
		return;
	uint8_t out[WIRE_BEAT_BYTES];
	beat_core_answer(b->core, &reply, clock_now_ns(b->cfg.clock), out);
	send_to(b, reply.peer, out);
}

/* Everything that has arrived. A process that was stopped finds the beats of meanwhile here. */
static void drain(struct beat *b)
{
	for (unsigned i = 0; i < DRAIN_MAX; i++) {
		uint8_t bytes[WIRE_BEAT_BYTES];
		/* MSG_TRUNC: the real length, so that a longer one does not pass for a beat. */
		ssize_t n = recv(b->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n >= 0)
			take(b, bytes, (size_t)n);
	}
}

static void send_round(struct beat *b)
{
	uint8_t out[WIRE_BEAT_BYTES];
	for (unsigned i = 0; i < b->n_peers; i++) {
		beat_core_ask(b->core, i, clock_now_ns(b->cfg.clock), out);
		send_to(b, i, out);
	}
	beat_core_round(b->core, now_ns());
}

/* ---- what is known ------------------------------------------------------------------------- */

static void look_at_clocks(struct beat *b, struct beat_clocks *out)
{
	uint64_t clock_ns = clock_now_ns(b->cfg.clock);
	bool reference = slice_eq(b->cfg.self, b->cfg.reference);
	*out = (struct beat_clocks){.known = reference};
	for (unsigned i = 0; i < b->n_peers; i++) {
		struct skew_estimate e;
		if (!beat_core_estimate(b->core, i, clock_ns, &e)) {
			out->worst_ns = UINT64_MAX;
			continue;
		}
		out->worst_ns = MAX(out->worst_ns, e.error_ns);
		if (reference) {
			out->rtt_ns = MAX(out->rtt_ns, e.rtt_ns);
		} else if (slice_eq(b->targets[i].slice, b->cfg.reference)) {
			out->known = true;
			out->offset_ns = e.offset_ns;
			out->drift_ppb = e.drift_ppb;
			out->error_ns = e.error_ns;
			out->rtt_ns = e.rtt_ns;
		}
	}
}

/* Which peer is not known well enough yet? */
static bool is_ready(struct beat *b, char why[160])
{
	uint64_t clock_ns = clock_now_ns(b->cfg.clock);
	for (unsigned i = 0; i < b->n_peers; i++) {
		struct skew_estimate e;
		unsigned id = b->targets[i].slice.v;
		if (!beat_core_estimate(b->core, i, clock_ns, &e)) {
			snprintf(why, 160,
				"no heartbeat of slice %u is answered: let UDP pass between the "
				"hosts' fabric addresses",
				id);
			return false;
		}
		if (e.error_ns > BEAT_READY_NS) {
			snprintf(why, 160,
				"the round trip to slice %u, %llu us, is too long to set clocks by",
				id, (unsigned long long)(e.rtt_ns / 1000));
			return false;
		}
	}
	return true;
}

static void publish(struct beat *b, const struct beat_clocks *clocks)
{
	char why[160] = "";
	struct beat_verdict v = {.peer = {0}};
	bool ready = b->ready || is_ready(b, why);
	bool in_doubt = beat_core_doubt(b->core, now_ns(), &v);
	if (ready && !b->ready)
		beat_core_arm(b->core, now_ns());
	lk_lock(&b->lk);
	b->stats = (struct beat_stats){*beat_core_counts(b->core), *clocks, b->send_failed};
	b->in_doubt = in_doubt;
	b->doubt = v.peer;
	if (!ready)
		memcpy(b->missing, why, sizeof(b->missing));
	if (ready && !b->ready) {
		b->ready = true;
		lk_cond_broadcast(&b->changed);
	}
	lk_unlock(&b->lk);
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void lose(struct beat *b, const struct beat_verdict *v)
{
	b->lost = true;
	trace("lease lost", v->peer.v, v->self, v->silent_ns);
	b->cfg.handler.lost(b->cfg.arg, v);
}

/* The lease first: what follows is only right while it holds. */
static void tick(struct beat *b, uint64_t host_ns)
{
	struct beat_verdict v;
	struct beat_clocks clocks;
	if (beat_core_judge(b->core, host_ns, &v)) {
		lose(b, &v);
		return;
	}
	/* Until all are known every tick asks, so that starting waits for no slow round. */
	if (++b->ticks >= ROUND_TICKS || !b->ready) {
		b->ticks = 0;
		send_round(b);
	}
	look_at_clocks(b, &clocks);
	publish(b, &clocks);
	b->cfg.handler.clocks(b->cfg.arg, &clocks);
}

static void wait_until(struct beat *b, uint64_t until_ns)
{
	struct pollfd p[2] = {
		{.fd = b->wake_fd, .events = POLLIN}, {.fd = b->fd, .events = POLLIN}};
	uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;
	struct timespec ts = {
		.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
	/* Interrupted is as good as woken: the loop looks at everything. */
	(void)ppoll(p, ARRAY_SIZE(p), b->lost ? NULL : &ts, NULL);
}

static void *beat_thread(void *arg)
{
	struct beat *b = arg;
	OBJ_CHECK(b, BEAT_MAGIC);
	trace_thread("beat");
	b->next_ns = now_ns();
	while (!atomic_load(&b->stop)) {
		struct beat_verdict v;
		wait_until(b, b->next_ns);
		/* Were we stopped for so long that the others have given us up? */
		if (!b->lost && beat_core_judge_self(b->core, now_ns(), &v))
			lose(b, &v);
		drain(b);
		uint64_t host_ns = now_ns();
		if (b->lost || host_ns < b->next_ns)
			continue;
		tick(b, host_ns);
		b->next_ns = host_ns + b->tick_ns;
	}
	return NULL;
}

/* ---- for the slice ------------------------------------------------------------------------- */

static int open_socket(struct beat *b, const char *bind_to)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	int err = net_addr_parse(bind_to, &a);
	if (err != 0)
		return err;
	net_addr_set_port(&a, 0);
	b->fd = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->fd < 0 || b->wake_fd < 0)
		return err_from_errno(errno);
	if (bind(b->fd, (struct sockaddr *)&a, net_addr_len(&a)) != 0 ||
		getsockname(b->fd, (struct sockaddr *)&a, &len) != 0)
		return ERR_CONNECT;
	return net_addr_format(&a, b->address);
}

int beat_listen(const struct beat_cfg *cfg, struct beat **out)
{
	struct beat *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return ERR_NO_MEMORY;
	OBJ_INIT(b, BEAT_MAGIC);
	b->cfg = *cfg;
	b->cfg.bind = NULL;
	b->fd = b->wake_fd = -1;
	b->tick_ns = MAX(MIN(cfg->lease_ns / 10, ROUND_MAX_NS) / ROUND_TICKS, 1);
	lk_init(&b->lk, LK_beat);
	lk_cond_init(&b->changed);
	int err = open_socket(b, cfg->bind);
	if (err != 0) {
		beat_close(b);
		return err;
	}
	*out = b;
	return 0;
}

const char *beat_address(const struct beat *b)
{
	OBJ_CHECK(b, BEAT_MAGIC);
	return b->address;
}

static int take_peers(struct beat *b, const struct beat_peer *peers, unsigned n)
{
	slice_id_t ids[SLICE_MAX];
	CHECK(n < SLICE_MAX);
	b->targets = calloc(MAX(n, 1u), sizeof(*b->targets));
	if (b->targets == NULL)
		return ERR_NO_MEMORY;
	b->n_peers = n;
	for (unsigned i = 0; i < n; i++) {
		ids[i] = b->targets[i].slice = peers[i].slice;
		if (net_addr_parse(peers[i].address, &b->targets[i].addr) != 0) {
			log_error(xport, "\"%s\" of slice %u is no address for heartbeats",
				peers[i].address, peers[i].slice.v);
			return ERR_INVAL;
		}
	}
	struct beat_core_cfg cfg = {
		.self = b->cfg.self,
		.incarnation = b->cfg.incarnation,
		.secret = &b->cfg.secret,
		.peers = ids,
		.n_peers = n,
		.lease_ns = b->cfg.lease_ns,
	};
	int err = beat_core_create(&cfg, &b->core);
	seal_wipe(&b->cfg.secret, sizeof(b->cfg.secret));
	return err;
}

int beat_start(struct beat *b, const struct beat_peer *peers, unsigned n)
{
	OBJ_CHECK(b, BEAT_MAGIC);
	CHECK(!b->started && b->core == NULL);
	int err = take_peers(b, peers, n);
	if (err != 0)
		return err;
	int e = pthread_create(&b->thread, NULL, beat_thread, b);
	if (e != 0)
		return err_from_errno(e);
	b->started = true;
	return 0;
}

int beat_wait(struct beat *b, uint64_t deadline_ns, char why[160])
{
	OBJ_CHECK(b, BEAT_MAGIC);
	int err = 0;
	lk_lock(&b->lk);
	while (!b->ready && !b->ended && err == 0) {
		if (!lk_cond_wait_until(&b->changed, &b->lk, deadline_ns))
			err = ERR_TIMEOUT;
	}
	if (b->ready)
		err = 0;
	else if (b->ended)
		err = ERR_CANCELED;
	memcpy(why, b->missing, sizeof(b->missing));
	lk_unlock(&b->lk);
	return err;
}

void beat_stop(struct beat *b)
{
	OBJ_CHECK(b, BEAT_MAGIC);
	lk_lock(&b->lk);
	b->ended = true;
	lk_cond_broadcast(&b->changed);
	lk_unlock(&b->lk);
	if (!b->started)
		return;
	atomic_store(&b->stop, true);
	uint64_t one = 1;
	CHECK(write(b->wake_fd, &one, sizeof(one)) == sizeof(one));
	CHECK(pthread_join(b->thread, NULL) == 0);
	b->started = false;
}

void beat_close(struct beat *b)
{
	if (b == NULL)
		return;
	beat_stop(b);
	beat_core_destroy(b->core);
	free(b->targets);
	if (b->fd >= 0)
		close(b->fd);
	if (b->wake_fd >= 0)
		close(b->wake_fd);
	seal_wipe(&b->cfg.secret, sizeof(b->cfg.secret));
	lk_cond_fini(&b->changed);
	lk_fini(&b->lk);
	OBJ_FINI(b, BEAT_MAGIC);
	free(b);
}

void beat_stats_get(struct beat *b, struct beat_stats *out)
{
	OBJ_CHECK(b, BEAT_MAGIC);
	lk_lock(&b->lk);
	*out = b->stats;
	lk_unlock(&b->lk);
}

bool beat_doubt(struct beat *b, slice_id_t *peer)
{
	OBJ_CHECK(b, BEAT_MAGIC);
	lk_lock(&b->lk);
	bool in_doubt = b->in_doubt;
	if (in_doubt)
		*peer = b->doubt;
	lk_unlock(&b->lk);
	return in_doubt;
}
