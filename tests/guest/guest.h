/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the programs inside the guest share: its processors and NUMA nodes, memory with a home,
 * time, random numbers, threads on processors. Linked statically, without the project's libraries.
 * What the guest's kernel refuses ends the program with status 2.
 */
#define GUEST_PAGE     4096u
#define GUEST_CPUS_MAX 128
#define GUEST_TICKS_US 10 /* rdtime: 10 MHz */

/* The processors, one of each node in turn: 0, 2, 1, 3 for two nodes of two. */
struct guest_cpus {
	unsigned n, nodes;
	unsigned cpu[GUEST_CPUS_MAX], node[GUEST_CPUS_MAX];
};

__attribute__((format(printf, 1, 2), noreturn)) void guest_die(const char *fmt, ...);
void guest_cpus(struct guest_cpus *out);
void guest_pin(unsigned cpu);
unsigned guest_cpu_now(void);

/* Zeroed pages on `node` and nowhere else, each one there when this returns. */
void *guest_pages(size_t n, unsigned node);
/* The same, shared with the processes that this one will fork. */
void *guest_shared_pages(size_t n, unsigned node);

/* The time CSR, and CLOCK_MONOTONIC in ns. */
uint64_t guest_ticks(void);
uint64_t guest_clock_ns(void);
void guest_wait_until(uint64_t ticks);

/* The first word of a page that a planted "early-revoke-marked" is about. */
#define GUEST_MARK UINT64_C(0x6d627265766f6b65)

/* A hash of two words; also the step of a random sequence: x = guest_mix(x, 0). */
uint64_t guest_mix(uint64_t a, uint64_t b);

/*
 * Runs body(arg, i) for i in [0, n) on the i-th processor of `cpus` each, and waits for all. When
 * they take longer than `seconds`, says so with the name and ends the program with status 1: a loop
 * that never finishes is what some of the tests look for.
 */
void guest_run(const struct guest_cpus *cpus, unsigned n, unsigned seconds, const char *name,
	void (*body)(void *arg, unsigned i), void *arg);

/* All of n threads are here; `b` is zeroed memory. */
struct guest_barrier {
	_Alignas(64) _Atomic unsigned arrived;
	_Alignas(64) _Atomic unsigned phase;
};
void guest_barrier(struct guest_barrier *b, unsigned n);

/* "--name VALUE" pairs as numbers; anything else ends the program with status 2. */
struct guest_opt {
	const char *name;
	uint64_t *value;
};
void guest_options(int argc, char **argv, const struct guest_opt *opts, size_t n);

#endif
