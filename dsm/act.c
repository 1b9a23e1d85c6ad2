/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/trace.h"
#include "dsm/space.h"
#include "proto/wire_page.h"
#include "proto/xport.h"

/*
 * What the core decides, done: bytes, rights, messages, wake-ups. Revocations are only collected
 * here, and carried out (act_revoke) when the thread has taken in what there is, so that neighbours
 * go in one call of the kernel: each call interrupts every processor that runs a vCPU of the VM.
 */

static const uint8_t zero_page[PAGE_BYTES];

#ifdef PLANT_BUGS
/*
 * Acknowledge revocations before they are carried out: of all pages, or of those that begin with
 * DSM_PLANT_MARK, so that the guest's kernel lives until a test has found the bug.
 */
static _Atomic enum { EARLY_NONE, EARLY_ALL, EARLY_MARKED } plant_early;

int dsm_plant(const char *name)
{
	int early = name == NULL                               ? EARLY_NONE
		    : strcmp(name, "early-revoke") == 0        ? EARLY_ALL
		    : strcmp(name, "early-revoke-marked") == 0 ? EARLY_MARKED
							       : EARLY_NONE;
	atomic_store(&plant_early, early);
	return core_plant(early == EARLY_NONE ? name : "");
}
#endif

/* The first failure within a step decides what is said. */
static void failed(struct dsm *dsm, int err, const char *why)
{
	if (dsm->err != 0 || err == 0)
		return;
	dsm->err = err;
	dsm->err_why = why;
}

/* ---- bytes and rights ----------------------------------------------------------------------- */

void act_land(struct dsm *dsm)
{
	if (!dsm->landing)
		return;
	dsm->landing = false;
	failed(dsm, ram_fill(&dsm->ram, dsm->land_page, dsm->land_bytes),
		"no memory for a guest page");
}

static void act_install(struct dsm *dsm, uint64_t page, const void *bytes)
{
	dsm->landing = true;
	dsm->land_page = page;
	dsm->land_bytes = bytes;
}

static void retry_later(struct dsm *dsm, uint64_t page)
{
	if (dsm->retry_n < ARRAY_SIZE(dsm->retry))
		dsm->retry[dsm->retry_n++] = page;
	else
		uffd_wake(&dsm->uffd, page);
}

static bool device_at(struct dsm *dsm, uint64_t page)
{
	return pin_holds(dsm, page) || excl_busy(&dsm->excl, page);
}

static void act_map(struct dsm *dsm, uint64_t page, bool write)
{
	int err;
	if (!dsm->landing && !(ram_state(&dsm->ram, page) & RAM_LIVE))
		act_install(dsm, page, NULL); /* of our own share, and never touched */
	if (dsm->landing && dsm->land_page == page) {
		dsm->landing = false;
		err = uffd_install(&dsm->uffd, page, dsm->land_bytes, write);
	} else {
		act_land(dsm);
		write |= (ram_state(&dsm->ram, page) & RAM_WRITE) != 0;
		bool pinned = dsm->uffd.way == UFFD_BY_COPY && !write && device_at(dsm, page);
		err = uffd_grant(&dsm->uffd, page, write, pinned);
	}
	dsm->mapped_page = page;
	if (err == ERR_AGAIN)
		retry_later(dsm, page);
	else
		failed(dsm, err, "the kernel refused a right to a guest page");
}

void act_retry(struct dsm *dsm)
{
	unsigned n = dsm->retry_n;
	dsm->retry_n = 0;
	for (unsigned i = 0; i < n; i++) {
		int err =
			uffd_grant(&dsm->uffd, dsm->retry[i], false, device_at(dsm, dsm->retry[i]));
		if (err == ERR_AGAIN)
			retry_later(dsm, dsm->retry[i]);
		else
			failed(dsm, err, "the kernel refused a right to a guest page");
	}
}

/* A page that still waits to be mapped is taken away: its waiters ask again. */
static void retry_forget(struct dsm *dsm, uint64_t page)
{
	for (unsigned i = 0; i < dsm->retry_n; i++)
		if (dsm->retry[i] == page) {
			dsm->retry[i--] = dsm->retry[--dsm->retry_n];
			uffd_wake(&dsm->uffd, page);
		}
}

/* ---- revocations ---------------------------------------------------------------------------- */

static void act_revoke_later(struct dsm *dsm, uint64_t page, bool unmap)
{
	if (dsm->revokes_n == dsm->revokes_max) {
		size_t max = MAX(dsm->revokes_max * 2, 64);
		struct dsm_revoke *p = realloc(dsm->revokes, max * sizeof(*p));
		if (p != NULL)
			dsm->revokes = p;
		struct dsm_revoke *q = p == NULL ? NULL : realloc(dsm->revoking, max * sizeof(*q));
		if (q == NULL) {
			failed(dsm, ERR_NO_MEMORY, "no memory to revoke a page");
			return;
		}
		dsm->revoking = q;
		dsm->revokes_max = max;
	}
	/* From here on no window opens on it. */
	ram_mark(&dsm->ram, page, unmap ? RAM_READ | RAM_WRITE : RAM_WRITE, 0);
	retry_forget(dsm, page);
	dsm->revokes[dsm->revokes_n++] = (struct dsm_revoke){page, unmap};
}

bool act_revoke_pending(const struct dsm *dsm, uint64_t page)
{
	for (size_t i = 0; i < dsm->revokes_n; i++)
		if (dsm->revokes[i].page == page)
			return true;
	return false;
}

static int by_kind_and_page(const void *a, const void *b)
{
	const struct dsm_revoke *x = a, *y = b;
	if (x->unmap != y->unmap)
		return x->unmap ? 1 : -1;
	return x->page < y->page ? -1 : x->page > y->page;
}

/* Split what is collected: pages in windows stay, the number of the others goes to `revoking`. */
static size_t revokes_free(struct dsm *dsm)
{
	size_t n = 0, left = 0;
	for (size_t i = 0; i < dsm->revokes_n; i++) {
		struct dsm_revoke r = dsm->revokes[i];
		if (excl_busy(&dsm->excl, r.page))
			dsm->revokes[left++] = r;
		else
			dsm->revoking[n++] = r;
	}
	dsm->revokes_n = left;
	qsort(dsm->revoking, n, sizeof(dsm->revoking[0]), by_kind_and_page);
	return n;
}

static void revoke_run(struct dsm *dsm, const struct dsm_revoke *first, size_t n)
{
	trace("dsm revoke page n unmap", first->page, n, first->unmap);
	int err = first->unmap ? uffd_drop(&dsm->uffd, first->page, n)
			       : uffd_protect(&dsm->uffd, first->page, n);
	failed(dsm, err, "the kernel did not take a guest page away");
	for (size_t i = 0; first->unmap && i < n; i++)
		excl_left(&dsm->excl, first->page + i);
}

static void revokes_carry_out(struct dsm *dsm, size_t first, size_t n)
{
	for (size_t i = 0, run; i < n; i += run) {
		const struct dsm_revoke *r = &dsm->revoking[first + i];
		for (run = 1;
			i + run < n && r[run].unmap == r->unmap && r[run].page == r->page + run;
			run++)
			;
		revoke_run(dsm, r, run);
	}
}

/* The core may answer with more to revoke, and both arrays may move: no pointer into them here. */
static void revokes_tell(struct dsm *dsm, size_t n)
{
	for (size_t i = 0; i < n && !dsm->ended; i++) {
		const struct core_event ev = {
			.type = CORE_EV_REVOKED,
			.page = dsm_page(dsm, dsm->revoking[i].page),
		};
		(void)service_step(dsm, &ev); /* can only fail with the VM, which has been told */
	}
}

#ifdef PLANT_BUGS
/* Those of `revoking` that the planted bug is about, moved behind the others: how many. */
static size_t revokes_planted(struct dsm *dsm, size_t n)
{
	int early = atomic_load(&plant_early);
	size_t good = 0;
	for (size_t i = 0; i < n && early != EARLY_NONE; i++) {
		struct dsm_revoke r = dsm->revoking[i];
		uint64_t first;
		memcpy(&first, ram_bytes(&dsm->ram, r.page), sizeof(first));
		if (early == EARLY_ALL || first == DSM_PLANT_MARK)
			continue;
		dsm->revoking[i] = dsm->revoking[good];
		dsm->revoking[good++] = r;
	}
	return early == EARLY_NONE ? 0 : n - good;
}

/*
 * The planted bug: long enough after the answer that others have written meanwhile. The array may
 * have moved and holds nothing new: what the answers added is only collected.
 */
static void revokes_too_late(struct dsm *dsm, size_t first, size_t n)
{
	const struct timespec late = {.tv_nsec = 300000};
	if (n == 0)
		return;
	(void)nanosleep(&late, NULL);
	revokes_carry_out(dsm, first, n);
}
#endif

bool act_revoke(struct dsm *dsm)
{
	if (dsm->revokes_n == 0)
		return false;
	size_t n = revokes_free(dsm), late = 0;
#ifdef PLANT_BUGS
	late = revokes_planted(dsm, n);
#endif
	revokes_carry_out(dsm, 0, n - late);
	if (dsm->err == 0)
		revokes_tell(dsm, n);
#ifdef PLANT_BUGS
	revokes_too_late(dsm, n - late, late);
#endif
	return n != 0;
}

/* ---- messages ------------------------------------------------------------------------------- */

static void act_send(struct dsm *dsm, const struct core_action *a)
{
	struct wire_page msg = *a->msg;
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	const void *data = NULL;
	if (wire_page_has_data(&msg)) {
		uint64_t page = dsm_index(dsm, msg.page);
		data = ram_state(&dsm->ram, page) & RAM_LIVE ? ram_bytes(&dsm->ram, page)
							     : zero_page;
	}
	const struct xport_msg out = {
		.peer = a->peer,
		.class = wire_page_class(msg.type),
		.type = msg.type,
		.head = head,
		.head_bytes = wire_page_encode(&msg, head),
		.data = data,
		.data_bytes = data != NULL ? PAGE_BYTES : 0,
	};
	int err = xport_send(dsm->xport, &out);
	if (err != 0 && err != ERR_PEER_DOWN) /* that comes as an event, behind what was received */
		failed(dsm, err, "a message could not be sent");
}

/* ---- waiters -------------------------------------------------------------------------------- */

static void act_wake(struct dsm *dsm, const struct core_action *a)
{
	struct dsm_slot *slot = &dsm->slots[a->slot];
	CHECK(a->slot < dsm->n_slots && slot->waiting);
	if (a->err != 0)
		return; /* stays asleep until dsm_stop lets it go: it must not run on bytes that are
			   not there */
	slot->waiting = false;
	if (slot->remote)
		stats_hist_add(&dsm->latency, clock_now_ns(clock_host()) - slot->since_ns);
	if (slot->page != dsm->mapped_page)
		uffd_wake(&dsm->uffd, slot->page);
}

void act_sink(void *arg, const struct core_action *a)
{
	struct dsm *dsm = arg;
	OBJ_CHECK(dsm, DSM_MAGIC);
	uint64_t page = a->type == CORE_ACT_WAKE || a->type == CORE_ACT_PINNED
				? 0
				: dsm_index(dsm, a->page);
	if (a->type != CORE_ACT_MAP_RO && a->type != CORE_ACT_MAP_RW)
		act_land(dsm);
	if (dsm->err != 0 && a->type != CORE_ACT_PINNED)
		return; /* the step is lost; who waits is told by the stop that follows */
	switch (a->type) {
	case CORE_ACT_SEND:
		act_send(dsm, a);
		break;
	case CORE_ACT_INSTALL:
		CHECK(dsm->rx_data != NULL);
		act_install(dsm, page, dsm->rx_data);
		break;
	case CORE_ACT_ZERO:
		act_install(dsm, page, NULL);
		break;
	case CORE_ACT_MAP_RO:
	case CORE_ACT_MAP_RW:
		act_map(dsm, page, a->type == CORE_ACT_MAP_RW);
		break;
	case CORE_ACT_PROTECT:
	case CORE_ACT_UNMAP:
		act_revoke_later(dsm, page, a->type == CORE_ACT_UNMAP);
		break;
	case CORE_ACT_FREE:
		ram_retire(&dsm->ram, page);
		break;
	case CORE_ACT_WAKE:
		act_wake(dsm, a);
		break;
	case CORE_ACT_PINNED:
		pin_answer(dsm, a->pin, a->err);
		break;
	case CORE_ACT_N:
		UNREACHABLE();
	}
}
