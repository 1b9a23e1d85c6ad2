/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_YARDSTICK_YARDSTICK_H
#define TESTS_BENCH_YARDSTICK_YARDSTICK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Small programs inside the guest whose time is a figure of tests/bench/engine. Each does `n` units
 * of work and returns a sum of its results, which has to be the same on every machine. Linked
 * statically, without the project's libraries. What the guest's kernel refuses ends the program.
 */
struct yard_kernel {
	const char *name;
	uint64_t (*run)(uint64_t n);
};

extern const struct yard_kernel yard_integer[], yard_double[], yard_single[], yard_memory[],
	yard_system[], yard_atomics[];

__attribute__((format(printf, 1, 2), noreturn)) void yard_die(const char *fmt, ...);

/* The time begins now, and what came before was preparation. */
void yard_begin(void);

/* The time ends now; without it, when the kernel returns. */
void yard_end(void);

/* Zeroed memory, each page there. */
void *yard_alloc(size_t bytes);

/* The next of a random sequence, the same everywhere. */
uint64_t yard_random(uint64_t *state);

/* Processors that are online; to run on one of them only. */
unsigned yard_cpus(void);
void yard_pin(unsigned cpu);

#endif
