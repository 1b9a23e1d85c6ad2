/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_LOCAL_FAULT_H
#define TESTS_BENCH_LOCAL_FAULT_H

#include "tests/bench/samples.h"

/*
 * Time `n` page faults that a thread of this process serves through userfaultfd, with nothing
 * of ours in between: the thread sleeps in poll, as a service thread does, and copies a page
 * in. 0, or -1 with the reason printed. Context: starts and ends a thread.
 */
int local_faults(unsigned n, uint64_t *ns);

#endif
