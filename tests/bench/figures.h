/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_FIGURES_H
#define TESTS_BENCH_FIGURES_H

#include "tests/bench/member.h"

/* What fabric-bench measures between its hosts, see figures.def. */
enum figure {
#define FIGURE(id, reference, unit, name) FIG_##id,
#include "tests/bench/figures.def"
#undef FIGURE
	FIG_N
};

struct figures_cfg {
	unsigned hosts; /* 2 to HOSTS_MAX; some figures need more than two */
	unsigned repeat;
	unsigned pages; /* operations in a repetition */
	enum dsm_uffd_mode mode;
};

/* Figures that too few hosts can not give stay empty. 0, or -1 with the reason printed. */
int figures_measure(
	struct member *members, const struct figures_cfg *cfg, struct series out[FIG_N]);

/* A line for each: name, unit, ours, reference, low, high, repetitions; separated by tabs. `where`
 * goes before the name. */
void figures_print(const struct series figures[FIG_N], const char *where);

#endif
