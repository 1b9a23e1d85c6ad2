/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "dsm/excl.h"

#include <pthread.h>
#include <sched.h>

#include "tests/lib/ut.h"

static struct ram ram;
static struct excl excl;
static _Atomic unsigned closings;

static void closed(void *arg)
{
	atomic_fetch_add(&closings, 1);
}

static void before(void)
{
	CHECK(ram_init(&ram, -1, 64 * PAGE_BYTES, true) == 0);
	CHECK(excl_init(&excl, &ram, 2, closed, NULL) == 0);
	atomic_store(&closings, 0);
}

static void after(void)
{
	excl_fini(&excl);
	ram_fini(&ram);
}

UT_SUITE_WITH(excl, before, after);

UT_TEST(a_window_needs_the_right)
{
	uint32_t gen = excl_generation(&excl, 7);
	UT_EQ(excl_begin(&excl, 0, 7, gen), DSM_EXCL_READONLY);
	ram_mark(&ram, 7, 0, RAM_BACKED | RAM_LIVE | RAM_READ);
	UT_EQ(excl_begin(&excl, 0, 7, gen), DSM_EXCL_READONLY);
	ram_mark(&ram, 7, 0, RAM_WRITE);
	UT_EQ(excl_begin(&excl, 0, 7, gen + 1), DSM_EXCL_LOST);
	UT_CHECK(!excl_busy(&excl, 7)); /* none of the three has left a window */
	UT_EQ(excl_begin(&excl, 0, 7, gen), DSM_EXCL_OK);
	UT_CHECK(excl_is_mine(&excl, 0, 7) && !excl_is_mine(&excl, 1, 7));
	excl_end(&excl, 0);
	UT_EQ(atomic_load(&closings), 0);
}

UT_TEST(who_waits_for_a_window_is_told_once)
{
	ram_mark(&ram, 7, 0, RAM_BACKED | RAM_LIVE | RAM_READ | RAM_WRITE);
	uint32_t gen = excl_generation(&excl, 7);
	UT_EQ(excl_begin(&excl, 1, 7, gen), DSM_EXCL_OK);
	ram_mark(&ram, 7, RAM_READ | RAM_WRITE, 0);
	UT_CHECK(!excl_busy(&excl, 8));
	UT_CHECK(excl_busy(&excl, 7));
	UT_CHECK(excl_busy(&excl, 7));
	excl_end(&excl, 1);
	UT_EQ(atomic_load(&closings), 1);
	UT_CHECK(!excl_busy(&excl, 7));
	excl_left(&excl, 7);
	ram_mark(&ram, 7, 0, RAM_READ | RAM_WRITE);
	UT_EQ(excl_begin(&excl, 1, 7, gen), DSM_EXCL_LOST);
}

UT_TEST(devices_hold_several_pages_or_none)
{
	uint64_t pages[EXCL_PAGES];
	bool write[EXCL_PAGES] = {false, true};
	for (unsigned i = 0; i < EXCL_PAGES; i++) {
		pages[i] = 10 + i;
		ram_mark(&ram, pages[i], 0, RAM_BACKED | RAM_LIVE | RAM_READ);
	}
	UT_EQ(excl_pin(&excl, pages, write, EXCL_PAGES), ERR_AGAIN);
	UT_CHECK(!excl_busy(&excl, 10));
	ram_mark(&ram, 11, 0, RAM_WRITE);
	int a = excl_pin(&excl, pages, write, EXCL_PAGES);
	int b = excl_pin(&excl, pages, write, 2);
	UT_CHECK(a >= 0 && b >= 0 && a != b);
	excl_unpin(&excl, (unsigned)a);
	UT_CHECK(excl_busy(&excl, 11) && !excl_busy(&excl, 12));
	excl_unpin(&excl, (unsigned)b);
	UT_CHECK(!excl_busy(&excl, 11));
	UT_EQ(atomic_load(&closings), 1);
}

UT_TEST(windows_of_devices_run_out)
{
	uint64_t page = 3;
	bool write = false;
	int window[EXCL_PIN_WINDOWS];
	ram_mark(&ram, 3, 0, RAM_BACKED | RAM_LIVE | RAM_READ);
	for (unsigned i = 0; i < EXCL_PIN_WINDOWS; i++) {
		window[i] = excl_pin(&excl, &page, &write, 1);
		UT_CHECK(window[i] >= 0);
	}
	UT_EQ(excl_pin(&excl, &page, &write, 1), ERR_AGAIN);
	for (unsigned i = 0; i < EXCL_PIN_WINDOWS; i++)
		excl_unpin(&excl, (unsigned)window[i]);
	UT_CHECK(excl_pin(&excl, &page, &write, 1) >= 0);
}

/*
 * The handshake itself: a vCPU opens windows and changes a plain word in them, another thread takes
 * the page away, waits for the window if there is one, and changes the same word.
 */
#define TAKES 3000u

static uint64_t shared_word;
static _Atomic bool taking_over;

static void *vcpu_run(void *arg)
{
	_Atomic uint64_t *mine = arg;
	while (!atomic_load(&taking_over)) {
		uint32_t gen = excl_generation(&excl, 5);
		if (excl_begin(&excl, 0, 5, gen) != DSM_EXCL_OK) {
			sched_yield();
			continue;
		}
		uint64_t v = shared_word;
		*(volatile uint64_t *)&shared_word = v + 1;
		atomic_fetch_add_explicit(mine, 1, memory_order_relaxed);
		excl_end(&excl, 0);
	}
	return NULL;
}

UT_TEST(window_and_revocation_exclude_each_other)
{
	pthread_t thread;
	_Atomic uint64_t mine = 0;
	uint64_t takes = 0;
	shared_word = 0;
	atomic_store(&taking_over, false);
	ram_mark(&ram, 5, 0, RAM_BACKED | RAM_LIVE | RAM_READ | RAM_WRITE);
	CHECK(pthread_create(&thread, NULL, vcpu_run, &mine) == 0);
	for (; takes < TAKES || atomic_load(&mine) < TAKES; takes++) {
		ram_mark(&ram, 5, RAM_READ | RAM_WRITE, 0);
		while (excl_busy(&excl, 5))
			sched_yield();
		uint64_t v = shared_word;
		*(volatile uint64_t *)&shared_word = v + 1;
		excl_left(&excl, 5);
		ram_mark(&ram, 5, 0, RAM_READ | RAM_WRITE);
		if (takes % 8 == 0)
			sched_yield();
	}
	atomic_store(&taking_over, true);
	CHECK(pthread_join(thread, NULL) == 0);
	UT_EQ(shared_word, atomic_load(&mine) + takes);
}
