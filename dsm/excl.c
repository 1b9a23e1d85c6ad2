/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/excl.h"

#include <stdlib.h>

#include "base/err.h"

static void *windows_alloc(unsigned n)
{
	size_t bytes = n * sizeof(struct excl_window);
	struct excl_window *w = aligned_alloc(_Alignof(struct excl_window), bytes);
	for (unsigned i = 0; w != NULL && i < n; i++) {
		for (unsigned j = 0; j < EXCL_PAGES; j++)
			atomic_init(&w[i].page[j], 0);
		atomic_init(&w[i].wanted, false);
	}
	return w;
}

int excl_init(struct excl *ex, const struct ram *ram, unsigned n_vcpus, void (*closed)(void *arg),
	void *arg)
{
	*ex = (struct excl){.ram = ram, .n_vcpus = n_vcpus, .closed = closed, .arg = arg};
	ex->vcpu = windows_alloc(MAX(n_vcpus, 1));
	ex->pin = windows_alloc(EXCL_PIN_WINDOWS);
	ex->gens = calloc(EXCL_GENS, sizeof(*ex->gens));
	if (ex->vcpu != NULL && ex->pin != NULL && ex->gens != NULL)
		return 0;
	excl_fini(ex);
	return ERR_NO_MEMORY;
}

void excl_fini(struct excl *ex)
{
	free(ex->vcpu);
	free(ex->pin);
	free((void *)ex->gens);
	*ex = (struct excl){0};
}

/* ---- generations ---------------------------------------------------------------------------- */

static _Atomic uint32_t *gen_of(const struct excl *ex, uint64_t page)
{
	/* The top 16 bits of a multiplication by 2^64 / golden ratio. */
	return &ex->gens[page * UINT64_C(0x9e3779b97f4a7c15) >> 48];
}

uint32_t excl_generation(const struct excl *ex, uint64_t page)
{
	return atomic_load(gen_of(ex, page)); /* partner: excl_left */
}

void excl_left(struct excl *ex, uint64_t page)
{
	atomic_fetch_add(gen_of(ex, page), 1); /* partners: excl_generation, excl_begin */
}

/* ---- windows -------------------------------------------------------------------------------- */

static void window_close(struct excl *ex, struct excl_window *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		atomic_store(&w->page[i], 0); /* partner: excl_busy's second look */
	if (unlikely(atomic_load(&w->wanted)) && atomic_exchange(&w->wanted, false))
		ex->closed(ex->arg);
}

enum dsm_excl excl_begin(struct excl *ex, unsigned slot, uint64_t page, uint32_t gen)
{
	CHECK(slot < ex->n_vcpus);
	struct excl_window *w = &ex->vcpu[slot];
	atomic_store(&w->page[0], (uint32_t)page + 1); /* partner: excl_busy */
	enum dsm_excl got = DSM_EXCL_OK;
	/* No right at all but the old number: it is about to leave, or has come and is not noted
	 * yet (COPY maps before that). A write-touch finds out. */
	if (atomic_load(gen_of(ex, page)) != gen)
		got = DSM_EXCL_LOST;
	else if (!(ram_state(ex->ram, page) & RAM_WRITE))
		got = DSM_EXCL_READONLY;
	if (got != DSM_EXCL_OK)
		window_close(ex, w, 1);
	return got;
}

void excl_end(struct excl *ex, unsigned slot)
{
	CHECK(slot < ex->n_vcpus);
	window_close(ex, &ex->vcpu[slot], 1);
}

static int window_take(struct excl *ex)
{
	uint64_t taken = atomic_load(&ex->pin_taken);
	while (~taken != 0) {
		unsigned i = (unsigned)__builtin_ctzll(~taken);
		if (atomic_compare_exchange_weak(&ex->pin_taken, &taken, taken | UINT64_C(1) << i))
			return (int)i;
	}
	return ERR_AGAIN;
}

int excl_pin(struct excl *ex, const uint64_t *pages, const bool *write, unsigned n)
{
	CHECK(n <= EXCL_PAGES);
	int window = window_take(ex);
	if (window < 0)
		return ERR_AGAIN;
	struct excl_window *w = &ex->pin[window];
	for (unsigned i = 0; i < n; i++)
		atomic_store(&w->page[i], (uint32_t)pages[i] + 1); /* partner: excl_busy */
	for (unsigned i = 0; i < n; i++)
		if (!(ram_state(ex->ram, pages[i]) & (write[i] ? RAM_WRITE : RAM_READ))) {
			excl_unpin(ex, (unsigned)window);
			return ERR_AGAIN;
		}
	return window;
}

void excl_unpin(struct excl *ex, unsigned window)
{
	CHECK(window < EXCL_PIN_WINDOWS);
	window_close(ex, &ex->pin[window], EXCL_PAGES);
	atomic_fetch_and(&ex->pin_taken, ~(UINT64_C(1) << window));
}

static bool window_has(const struct excl_window *w, uint32_t word)
{
	for (unsigned i = 0; i < EXCL_PAGES; i++)
		if (atomic_load(&w->page[i]) == word)
			return true;
	return false;
}

/* Ask to be told of the closing; false when it has closed meanwhile. */
static bool window_want(struct excl_window *w, uint32_t word)
{
	if (!window_has(w, word))
		return false;
	atomic_store(&w->wanted, true); /* partner: window_close */
	return window_has(w, word);
}

bool excl_busy(struct excl *ex, uint64_t page)
{
	uint32_t word = (uint32_t)page + 1;
	for (unsigned i = 0; i < ex->n_vcpus; i++)
		if (atomic_load(&ex->vcpu[i].page[0]) == word && window_want(&ex->vcpu[i], word))
			return true;
	uint64_t taken = atomic_load(&ex->pin_taken);
	for (; taken != 0; taken &= taken - 1)
		if (window_want(&ex->pin[__builtin_ctzll(taken)], word))
			return true;
	return false;
}

bool excl_is_mine(const struct excl *ex, unsigned slot, uint64_t page)
{
	return slot < ex->n_vcpus && atomic_load(&ex->vcpu[slot].page[0]) == (uint32_t)page + 1;
}
