/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/trace.h"
#include "dsm/prio.h"
#include "dsm/space.h"
#include "proto/wire_page.h"
#include "proto/xport.h"

/*
 * The service thread: the only one that steps the core, moves pages and calls the transport's
 * progress. It sleeps in one epoll over userfaultfd, the transport and an eventfd for requests of
 * this process, until the core's next deadline at the latest. It never touches the guest mapping,
 * and takes no lock but the two short ones of pin.c.
 *
 * A turn: take in messages, faults and requests (each a step of the core, whose actions are carried
 * out at once, revocations collected); then revoke in batches until there is nothing to revoke;
 * then look whether to end or to sleep.
 */
#define TURN_MESSAGES 64u
#define TURN_FAULTS   16u

enum { WAIT_UFFD, WAIT_XPORT, WAIT_KICK, WAIT_N };

void service_kick(void *arg)
{
	struct dsm *dsm = arg;
	/* Sequentially consistent; partner: the clearing in kicks_taken, before it looks for work.
	 */
	if (!atomic_exchange(&dsm->kicked, true))
		CHECK(eventfd_write(dsm->kick_fd, 1) == 0);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void retired_read(struct dsm *dsm)
{
	for (unsigned i = 0; i < dsm->n_vcpus; i++) {
		const _Atomic uint64_t *n =
			atomic_load_explicit(&dsm->slots[i].retired, memory_order_acquire);
		if (n != NULL)
			dsm->retired[i] = atomic_load_explicit(n, memory_order_relaxed);
	}
}

static int core_raw_step(struct dsm *dsm, const struct core_event *ev)
{
	retired_read(dsm);
	dsm->mapped_page = UINT64_MAX;
	int err = core_step(dsm->core, clock_now_ns(clock_host()), dsm->retired, ev, act_sink, dsm);
	act_land(dsm);
	return err;
}

/* Look at faults, or leave who has one asleep in it. */
static int faults_watch(struct dsm *dsm, bool on)
{
	if (dsm->watching == on)
		return 0;
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = WAIT_UFFD};
	if (epoll_ctl(dsm->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, dsm->uffd.fd, &ev) != 0) {
		log_error(dsm, "epoll_ctl: %m");
		return ERR_KERNEL;
	}
	dsm->watching = on;
	return 0;
}

void service_fail(struct dsm *dsm, int err, const char *why)
{
	if (dsm->ended)
		return;
	dsm->ended = true;
	(void)faults_watch(dsm, false);
	log_error(
		dsm, "guest memory has failed, slice %u: %s: %s", dsm->self.v, why, err_text(err));
	const struct core_event ev = {.type = CORE_EV_STOP};
	(void)core_raw_step(dsm, &ev); /* ends every wait; it has nothing to fail at */
	pin_end(dsm);
	dsm->failed(dsm->failed_arg, err, why);
}

int service_step(struct dsm *dsm, const struct core_event *ev)
{
	if (dsm->ended)
		return ERR_VM_STOPPED;
	int err = core_raw_step(dsm, ev);
	if (dsm->err != 0)
		service_fail(dsm, dsm->err, dsm->err_why);
	return err;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* The peer named by the core has broken the protocol; that may be another than the one whose
 * message brought it to light. */
static int blame(struct dsm *dsm, const struct xport_rx *rx, int err)
{
	slice_id_t bad = core_blame(dsm->core);
	log_error(dsm, "slice %u broke the coherence protocol, seen at a message %s of slice %u",
		bad.v, wire_page_name(rx->type), rx->peer.v);
	service_fail(dsm, err, "a peer broke the coherence protocol");
	if (slice_eq(bad, rx->peer))
		return err;
	dsm->xport->ops->disconnect(dsm->xport, bad);
	return 0;
}

int dsm_xport_message(void *arg, const struct xport_rx *rx)
{
	struct dsm *dsm = arg;
	OBJ_CHECK(dsm, DSM_MAGIC);
	if (rx->type < WIRE_PAGE_FIRST || rx->type > WIRE_PAGE_LAST)
		return dsm->other(dsm->other_arg, rx);
	if (dsm->ended)
		return 0;
	struct wire_page msg;
	int err = wire_page_decode(rx->type, rx->head, rx->head_bytes, rx->data_bytes, &msg);
	if (err != 0) {
		log_error(
			dsm, "slice %u sent a malformed %s", rx->peer.v, wire_page_name(rx->type));
		return ERR_PROTOCOL;
	}
	trace("dsm message type page peer", rx->type, msg.page.v, rx->peer.v);
	const struct core_event ev = {.type = CORE_EV_MESSAGE, .peer = rx->peer, .msg = &msg};
	dsm->rx_data = rx->data;
	err = service_step(dsm, &ev);
	dsm->rx_data = NULL;
	if (err != 0 && err != ERR_VM_STOPPED)
		return blame(dsm, rx, err);
	return 0;
}

void dsm_xport_down(void *arg, slice_id_t peer, int err)
{
	struct dsm *dsm = arg;
	OBJ_CHECK(dsm, DSM_MAGIC);
	if (dsm->ended)
		return;
	const struct core_event ev = {.type = CORE_EV_PEER_DOWN, .peer = peer};
	(void)service_step(dsm, &ev); /* ERR_VM_STOPPED by definition */
	log_info(dsm, "slice %u is gone, seen by slice %u: %s", peer.v, dsm->self.v, err_text(err));
	service_fail(dsm, err, "another slice is gone");
}

/* ---- faults --------------------------------------------------------------------------------- */

/* Of a thread that nobody has attached: one of the foreign slots, the same for the same page. */
static unsigned slot_of(const struct dsm *dsm, const struct uffd_fault *f)
{
	for (unsigned i = 0; i < dsm->n_vcpus; i++)
		if (atomic_load_explicit(&dsm->slots[i].tid, memory_order_acquire) == f->tid)
			return i;
	return dsm->n_vcpus + (unsigned)(f->page % DSM_FOREIGN_SLOTS);
}

static void fault_tell(struct dsm *dsm, unsigned i, uint64_t page, bool write)
{
	struct dsm_slot *slot = &dsm->slots[i];
	slot->waiting = true;
	slot->remote = false;
	slot->page = page;
	slot->write = write;
	slot->since_ns = clock_now_ns(clock_host());
	const struct core_event ev = {
		.type = CORE_EV_FAULT, .slot = i, .write = write, .page = dsm_page(dsm, page)};
	int err = service_step(dsm, &ev);
	CHECK(err == 0 || dsm->ended); /* the kernel reports faults inside RAM only */
	slot->remote = slot->waiting;
}

static void fault_take(struct dsm *dsm, const struct uffd_fault *f)
{
	unsigned i = slot_of(dsm, f);
	struct dsm_slot *slot = &dsm->slots[i];
	trace("dsm fault slot page write", i, f->page, f->write);
	if (excl_is_mine(&dsm->excl, i, f->page) && act_revoke_pending(dsm, f->page)) {
		/* The core would wait for the window to close, and the window for the page. */
		if (uffd_repair(&dsm->uffd, f->page) != 0)
			service_fail(dsm, ERR_KERNEL, "the kernel refused a right to a guest page");
		return;
	}
	if (!slot->waiting) {
		fault_tell(dsm, i, f->page, f->write);
		return;
	}
	/* Woken for nothing, or by a signal, and back at the same access: its answer is on the way.
	 */
	if (slot->page == f->page && (slot->write || !f->write))
		return;
	if (slot->again && slot->again_page != f->page) {
		uffd_wake(&dsm->uffd, f->page); /* foreign threads only: it asks again */
		return;
	}
	slot->again_write = f->write || (slot->again && slot->again_write);
	slot->again = true;
	slot->again_page = f->page;
}

static unsigned faults_take(struct dsm *dsm)
{
	struct uffd_fault faults[TURN_FAULTS];
	int n = uffd_read(&dsm->uffd, faults, TURN_FAULTS);
	if (n < 0) {
		service_fail(dsm, n, "userfaultfd has failed");
		return 0;
	}
	for (int i = 0; i < n && !dsm->ended; i++)
		fault_take(dsm, &faults[i]);
	return (unsigned)n;
}

/* Faults that came while their slot was waiting for another. */
static void faults_again(struct dsm *dsm)
{
	for (unsigned i = 0; i < dsm->n_slots; i++) {
		struct dsm_slot *slot = &dsm->slots[i];
		if (!slot->again || slot->waiting)
			continue;
		slot->again = false;
		fault_tell(dsm, i, slot->again_page, slot->again_write);
	}
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void publish(struct dsm *dsm)
{
	struct core_stats c;
	struct xport_stats x = {0};
	core_stats_get(dsm->core, &c);
	dsm->xport->ops->stats(dsm->xport, &x);
	const struct {
		uint64_t read_faults, write_faults, upgrades, migrated, silent, fetched, sent,
			ahead, ahead_used, ahead_lost, invalidated, put, bytes_in, bytes_out,
			pages_owned, pages_shared, holds, hold_timeouts;
	} now = {
		.read_faults = c.read_faults,
		.write_faults = c.write_faults,
		.upgrades = c.upgrades,
		.migrated = c.migrated,
		.silent = c.silent,
		.fetched = c.fetched + c.fetched_zero,
		.sent = c.sent,
		.ahead = c.ahead,
		.ahead_used = c.ahead_used,
		.ahead_lost = c.ahead_lost,
		.invalidated = c.invalidated,
		.put = c.put + c.dropped,
		.bytes_in = x.bytes_in,
		.bytes_out = x.bytes_out,
		.pages_owned = c.pages_owned,
		.pages_shared = c.pages_shared,
		.holds = c.holds,
		.hold_timeouts = c.hold_timeouts,
	};
#define STORE(name) atomic_store_explicit(&dsm->published.name, now.name, memory_order_relaxed);
	DSM_PUBLISHED(STORE)
#undef STORE
}

/* Stop and start to look at faults, as dsm_quiesce wants it; tell it when nothing is on its way. */
static void halt_serve(struct dsm *dsm)
{
	lk_lock(&dsm->queue_lk);
	bool halt = dsm->halt;
	if (halt && dsm->halted && !dsm->quiet &&
		(dsm->ended || (core_idle(dsm->core) && dsm->revokes_n == 0))) {
		dsm->quiet = true;
		lk_cond_broadcast(&dsm->quiet_cond);
	}
	lk_unlock(&dsm->queue_lk);
	if (halt == dsm->halted)
		return;
	dsm->halted = halt;
	if (!dsm->ended && faults_watch(dsm, !halt) != 0)
		service_fail(dsm, ERR_KERNEL, "epoll has failed");
	service_kick(dsm); /* another turn: quiet may be reached already, pins may wait */
}

/* What dsm_hot waits for. */
static void hot_serve(struct dsm *dsm)
{
	lk_lock(&dsm->queue_lk);
	if (dsm->hot != NULL) {
		dsm->hot_n = core_hot(dsm->core, dsm->hot, dsm->hot_max);
		dsm->hot = NULL;
		lk_cond_broadcast(&dsm->quiet_cond);
	}
	lk_unlock(&dsm->queue_lk);
}

/* Nanoseconds that the thread may sleep; UINT64_MAX: until it is woken. */
static uint64_t sleep_ns(struct dsm *dsm)
{
	if (dsm->ended)
		return UINT64_MAX;
	uint64_t next = core_next_ns(dsm->core);
	uint64_t now = clock_now_ns(clock_host());
	return next == UINT64_MAX ? UINT64_MAX : next > now ? next - now : 0;
}

static unsigned wait_ready(struct dsm *dsm, bool sleep)
{
	struct epoll_event ready[WAIT_N];
	uint64_t ns = sleep && dsm->xport->ops->may_sleep(dsm->xport) ? sleep_ns(dsm) : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
	int n = epoll_pwait2(
		dsm->epoll_fd, ready, WAIT_N, ns == UINT64_MAX ? NULL : &timeout, NULL);
	unsigned set = 0;
	for (int i = 0; i < n; i++)
		set |= 1u << ready[i].data.u32;
	if (n < 0 && errno != EINTR) {
		log_error(dsm, "epoll_pwait2: %m");
		service_fail(dsm, ERR_KERNEL, "epoll has failed");
	}
	return set;
}

static void kicks_taken(struct dsm *dsm)
{
	eventfd_t n;
	(void)eventfd_read(dsm->kick_fd, &n);
	atomic_store(&dsm->kicked, false); /* partner: service_kick */
	pin_serve(dsm);
}

/* Everything that a turn has set off inside this slice. True: a revocation was carried out. */
static bool settle(struct dsm *dsm)
{
	bool any = false;
	for (;;) {
		if (!dsm->ended && core_next_ns(dsm->core) <= clock_now_ns(clock_host())) {
			const struct core_event tick = {.type = CORE_EV_TICK};
			(void)service_step(dsm, &tick);
		}
		faults_again(dsm);
		if (dsm->ended || !act_revoke(dsm))
			return any;
		any = true;
		if (dsm->err != 0)
			service_fail(dsm, dsm->err, dsm->err_why);
	}
}

static bool stop_wanted(struct dsm *dsm)
{
	lk_lock(&dsm->queue_lk);
	bool stop = dsm->stopping;
	lk_unlock(&dsm->queue_lk);
	return stop;
}

int service_init(struct dsm *dsm)
{
	struct epoll_event kick = {.events = EPOLLIN, .data.u32 = WAIT_KICK};
	struct epoll_event xport = {.events = EPOLLIN, .data.u32 = WAIT_XPORT};
	int xport_fd = dsm->xport->ops->fd(dsm->xport);
	dsm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (dsm->epoll_fd < 0 ||
		epoll_ctl(dsm->epoll_fd, EPOLL_CTL_ADD, dsm->kick_fd, &kick) != 0 ||
		epoll_ctl(dsm->epoll_fd, EPOLL_CTL_ADD, xport_fd, &xport) != 0) {
		log_error(dsm, "can not watch descriptors: %m");
		return ERR_KERNEL;
	}
	return faults_watch(dsm, true);
}

/* The end at our own wish: as a failure, but nobody needs to be told of one. */
static void service_end(struct dsm *dsm)
{
	if (!dsm->ended) {
		const struct core_event ev = {.type = CORE_EV_STOP};
		dsm->ended = true;
		(void)core_raw_step(dsm, &ev); /* ends every wait; it has nothing to fail at */
	}
	pin_serve(dsm);
	publish(dsm);
}

void *service_run(void *arg)
{
	struct dsm *dsm = arg;
	OBJ_CHECK(dsm, DSM_MAGIC);
	trace_thread("dsm");
	prio_service(dsm->prio_base);
	bool busy = true;
	for (;;) {
		unsigned ready = wait_ready(dsm, !busy);
		busy = dsm->xport->ops->progress(dsm->xport, TURN_MESSAGES) != 0;
		if (ready & 1u << WAIT_UFFD && !dsm->ended)
			busy |= faults_take(dsm) != 0;
		if (ready & 1u << WAIT_KICK)
			kicks_taken(dsm);
		busy |= settle(dsm);
		if (ready & 1u << WAIT_KICK) {
			if (dsm->retry_n != 0 && !dsm->ended)
				act_retry(dsm);
			if (stop_wanted(dsm))
				break;
			hot_serve(dsm);
		}
		halt_serve(dsm);
		if (!busy)
			publish(dsm);
	}
	service_end(dsm);
	return NULL;
}
