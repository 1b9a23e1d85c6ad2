/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "base/err.h"
#include "dsm/space.h"

/*
 * The gate. A set goes one of two ways: if the rights to its few pages are here, a window (excl.h)
 * holds them without the service thread; otherwise the core takes them in ascending order, and the
 * device's thread sleeps.
 *
 *	made --window--> active --unpin--> freed
 *	  `--queue--> waiting --answer--> active --queue--> freed by the service thread
 */

/* ---- device threads ------------------------------------------------------------------------- */

static bool seg_inside(const struct dsm *dsm, const struct dsm_seg *seg)
{
	return seg->gpa.v >= dsm->gate.base.v &&
	       range_inside(seg->gpa.v - dsm->gate.base.v, seg->bytes, dsm->gate.bytes);
}

/* Pages of all segments, an upper bound; 0: nothing to pin. ERR_RANGE. */
static int count_pages(const struct dsm *dsm, const struct dsm_seg *segs, size_t n, size_t *out)
{
	uint64_t bytes = 0;
	size_t pages = 0;
	if (n > DSM_SEGS_MAX)
		return ERR_RANGE;
	for (size_t i = 0; i < n; i++) {
		if (!seg_inside(dsm, &segs[i]) || segs[i].bytes > DSM_PIN_BYTES_MAX - bytes)
			return ERR_RANGE;
		bytes += segs[i].bytes;
		if (segs[i].bytes != 0)
			pages += gpa_page((gpa_t){segs[i].gpa.v + segs[i].bytes - 1}).v -
				 gpa_page(segs[i].gpa).v + 1;
	}
	*out = pages;
	return 0;
}

static int by_page(const void *a, const void *b)
{
	uint64_t x = ((const struct core_pin_page *)a)->page.v;
	uint64_t y = ((const struct core_pin_page *)b)->page.v;
	return x < y ? -1 : x > y;
}

/* The pages of the segments, ascending and each once. NULL: no memory. */
static struct pin_set *set_make(const struct dsm_seg *segs, size_t n, size_t pages)
{
	struct pin_set *set = calloc(1, sizeof(*set) + pages * sizeof(set->pages[0]));
	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (segs[i].bytes == 0)
			continue;
		uint64_t last = gpa_page((gpa_t){segs[i].gpa.v + segs[i].bytes - 1}).v;
		for (uint64_t p = gpa_page(segs[i].gpa).v; p <= last; p++)
			set->pages[set->n++] = (struct core_pin_page){{p}, segs[i].write};
	}
	qsort(set->pages, set->n, sizeof(set->pages[0]), by_page);
	size_t kept = 0;
	for (size_t i = 0; i < set->n; i++) {
		if (kept != 0 && set->pages[kept - 1].page.v == set->pages[i].page.v)
			set->pages[kept - 1].write |= set->pages[i].write;
		else
			set->pages[kept++] = set->pages[i];
	}
	set->n = kept;
	set->window = -1;
	list_init(&set->link);
	lk_cond_init(&set->done);
	return set;
}

static void set_free(struct pin_set *set)
{
	list_remove(&set->link);
	lk_cond_fini(&set->done);
	free(set);
}

static bool pin_by_window(struct dsm *dsm, struct pin_set *set)
{
	uint64_t pages[EXCL_PAGES];
	bool write[EXCL_PAGES];
	if (set->n > EXCL_PAGES)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		pages[i] = dsm_index(dsm, set->pages[i].page);
		write[i] = set->pages[i].write;
	}
	set->window = excl_pin(&dsm->excl, pages, write, (unsigned)set->n);
	return set->window >= 0;
}

static int pin_by_core(struct dsm *dsm, struct pin_set *set)
{
	lk_lock(&dsm->queue_lk);
	if (atomic_load(&dsm->over)) {
		lk_unlock(&dsm->queue_lk);
		return ERR_VM_STOPPED;
	}
	list_push_back(&dsm->pins, &set->link);
	service_kick(dsm);
	while (!set->finished)
		lk_cond_wait(&set->done, &dsm->queue_lk);
	int err = set->err;
	lk_unlock(&dsm->queue_lk);
	return err;
}

static void segs_place(struct dsm *dsm, struct dsm_seg *segs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		segs[i].host = dsm->ram.alias + (segs[i].gpa.v - dsm->gate.base.v);
}

static int pin_pin(void *ctx, struct dsm_seg *segs, size_t n)
{
	struct dsm *dsm = ctx;
	OBJ_CHECK(dsm, DSM_MAGIC);
	size_t pages;
	int err = count_pages(dsm, segs, n, &pages);
	if (err != 0)
		return err;
	if (atomic_load(&dsm->over)) /* partner: pin_end, dsm_stop */
		return ERR_VM_STOPPED;
	segs_place(dsm, segs, n);
	if (pages == 0)
		return 0;
	struct pin_set *set = set_make(segs, n, pages);
	if (set == NULL)
		return ERR_NO_MEMORY;
	if (!pin_by_window(dsm, set))
		err = pin_by_core(dsm, set);
	if (err != 0) {
		set_free(set);
		return err;
	}
	lk_lock(&dsm->pin_lk);
	list_push_back(&dsm->active, &set->link);
	lk_unlock(&dsm->pin_lk);
	return 0;
}

/* Sets of the same pages are as good as each other, so it does not matter whose is found. */
static bool same_pages(const struct pin_set *a, const struct pin_set *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->pages[i].page.v != b->pages[i].page.v ||
			a->pages[i].write != b->pages[i].write)
			return false;
	return true;
}

static struct pin_set *active_take(struct dsm *dsm, const struct pin_set *like)
{
	struct pin_set *found = NULL;
	lk_lock(&dsm->pin_lk);
	list_foreach(it, &dsm->active)
	{
		struct pin_set *set = list_entry(it, struct pin_set, link);
		if (same_pages(set, like)) {
			found = set;
			list_remove(it);
			break;
		}
	}
	lk_unlock(&dsm->pin_lk);
	return found;
}

static void pin_unpin(void *ctx, const struct dsm_seg *segs, size_t n)
{
	struct dsm *dsm = ctx;
	OBJ_CHECK(dsm, DSM_MAGIC);
	size_t pages;
	CHECK(count_pages(dsm, segs, n, &pages) == 0);
	if (pages == 0)
		return;
	struct pin_set *like = set_make(segs, n, pages);
	CHECK(like != NULL);
	struct pin_set *set = active_take(dsm, like);
	CHECK(set != NULL);
	set_free(like);
	if (set->window >= 0) {
		excl_unpin(&dsm->excl, (unsigned)set->window);
		set_free(set);
		return;
	}
	lk_lock(&dsm->queue_lk);
	list_push_back(&dsm->unpins, &set->link);
	service_kick(dsm);
	lk_unlock(&dsm->queue_lk);
}

const struct dsm_gate_ops pin_ops = {.pin = pin_pin, .unpin = pin_unpin};

/* ---- one slice: memory is here -------------------------------------------------------------- */

static int alone_pin(void *ctx, struct dsm_seg *segs, size_t n)
{
	struct dsm *dsm = ctx;
	OBJ_CHECK(dsm, DSM_MAGIC);
	size_t pages;
	int err = count_pages(dsm, segs, n, &pages);
	if (err != 0)
		return err;
	segs_place(dsm, segs, n);
	/* Only looked at when devices are at rest, which orders it. */
	atomic_fetch_add_explicit(&dsm->alone_pins, 1, memory_order_relaxed);
	return 0;
}

static void alone_unpin(void *ctx, const struct dsm_seg *segs, size_t n)
{
	struct dsm *dsm = ctx;
	OBJ_CHECK(dsm, DSM_MAGIC);
	atomic_fetch_sub_explicit(&dsm->alone_pins, 1, memory_order_relaxed);
}

const struct dsm_gate_ops pin_ops_alone = {.pin = alone_pin, .unpin = alone_unpin};

/* ---- service thread ------------------------------------------------------------------------- */

static void set_finish(struct dsm *dsm, struct pin_set *set, int err)
{
	lk_lock(&dsm->queue_lk);
	list_remove(&set->link);
	set->err = err;
	set->finished = true;
	lk_cond_signal(&set->done);
	lk_unlock(&dsm->queue_lk);
}

static bool number_take(struct dsm *dsm, struct pin_set *set)
{
	for (unsigned i = 0; i < CORE_PINS_MAX; i++)
		if (dsm->pin_by_number[i] == NULL) {
			dsm->pin_by_number[i] = set;
			set->number = i;
			return true;
		}
	return false;
}

static void pin_one(struct dsm *dsm, struct pin_set *set)
{
	const struct core_event ev = {
		.type = CORE_EV_PIN,
		.pin = set->number,
		.pages = set->pages,
		.n_pages = set->n,
	};
	unsigned number = set->number;
	int err = service_step(dsm, &ev);
	/* An error means that no answer comes; but if the VM has failed meanwhile, it has come. */
	if (err != 0 && dsm->pin_by_number[number] == set)
		pin_answer(dsm, number, err);
}

/* Untouched pages of our own share have nothing behind them until somebody looks. */
static int set_back(struct dsm *dsm, const struct pin_set *set)
{
	int err = 0;
	for (size_t i = 0; i < set->n && err == 0; i++) {
		uint64_t page = dsm_index(dsm, set->pages[i].page);
		if (!(ram_state(&dsm->ram, page) & RAM_LIVE))
			err = ram_fill(&dsm->ram, page, NULL);
	}
	return err;
}

void pin_answer(struct dsm *dsm, unsigned number, int err)
{
	struct pin_set *set = dsm->pin_by_number[number];
	CHECK(set != NULL);
	if (err == 0)
		err = set_back(dsm, set);
	if (err != 0)
		dsm->pin_by_number[number] = NULL;
	set_finish(dsm, set, err);
}

static void unpin_one(struct dsm *dsm, struct pin_set *set)
{
	const struct core_event ev = {.type = CORE_EV_UNPIN, .pin = set->number};
	if (!dsm->ended)
		(void)service_step(dsm, &ev); /* can only fail with the VM, which has been told */
	dsm->pin_by_number[set->number] = NULL;
	set_free(set);
}

/* Everything of one list into another. */
static void list_move(struct list *to, struct list *from)
{
	while (!list_empty(from)) {
		struct list *it = from->next;
		list_remove(it);
		list_push_back(to, it);
	}
}

void pin_serve(struct dsm *dsm)
{
	struct list unpins;
	list_init(&unpins);
	lk_lock(&dsm->queue_lk);
	list_move(&dsm->pin_wait, &dsm->pins);
	list_move(&unpins, &dsm->unpins);
	lk_unlock(&dsm->queue_lk);
	while (!list_empty(&unpins))
		unpin_one(dsm, list_first(&unpins, struct pin_set, link));
	while (!list_empty(&dsm->pin_wait) && !dsm->ended && !dsm->halted) {
		struct pin_set *set = list_first(&dsm->pin_wait, struct pin_set, link);
		if (!number_take(dsm, set))
			break;
		list_remove(&set->link);
		pin_one(dsm, set);
	}
	if (dsm->ended)
		pin_end(dsm);
}

void pin_end(struct dsm *dsm)
{
	lk_lock(&dsm->queue_lk);
	atomic_store(&dsm->over, true);
	list_move(&dsm->pin_wait, &dsm->pins);
	lk_unlock(&dsm->queue_lk);
	while (!list_empty(&dsm->pin_wait))
		set_finish(dsm, list_first(&dsm->pin_wait, struct pin_set, link), ERR_VM_STOPPED);
}

bool pin_holds(const struct dsm *dsm, uint64_t page)
{
	const struct core_pin_page key = {.page = dsm_page(dsm, page)};
	for (unsigned i = 0; i < CORE_PINS_MAX; i++) {
		const struct pin_set *set = dsm->pin_by_number[i];
		if (set != NULL && bsearch(&key, set->pages, set->n, sizeof(key), by_page) != NULL)
			return true;
	}
	return false;
}

void pin_fini(struct dsm *dsm)
{
	CHECK(list_empty(&dsm->active)); /* devices end before their memory */
	while (!list_empty(&dsm->unpins))
		set_free(list_first(&dsm->unpins, struct pin_set, link));
}
