/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#include "base/clock.h"
#include "base/err.h"

/*
 * tests/sim/sim [--seed N] [--seeds N] [--seconds S] [--slices N] [--progress STEPS]
 *               [--plant NAME] [--until-failure] [--verbose] [--rows]
 *
 * Runs seeds SEED, SEED + 1, ... until their number or the seconds are used up. Prints every failed
 * seed and how to repeat it. With --progress each takes STEPS steps, in which every vCPU must
 * retire. Exit status: 0 all passed (with --until-failure: one failed), else 1.
 */
struct options {
	uint64_t seed, seeds, progress;
	unsigned seconds, slices;
	const char *plant;
	bool until_failure, verbose, rows;
};

static void usage(void)
{
	fprintf(stderr,
		"usage: sim [--seed N] [--seeds N] [--seconds S] [--slices N] [--progress STEPS]\n"
		"           [--plant NAME] [--until-failure] [--verbose] [--rows]\n");
	exit(2);
}

static void options_read(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 't'},
		{"slices", required_argument, NULL, 'c'},
		{"progress", required_argument, NULL, 'g'},
		{"plant", required_argument, NULL, 'p'},
		{"until-failure", no_argument, NULL, 'u'},
		{"verbose", no_argument, NULL, 'v'},
		{"rows", no_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			o->seeds = strtoull(optarg, NULL, 0);
			break;
		case 't':
			o->seconds = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'c':
			o->slices = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'g':
			o->progress = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			o->plant = optarg;
			break;
		case 'u':
			o->until_failure = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'r':
			o->rows = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc || o->slices == 1 || o->slices > SIM_SLICES_MAX)
		usage();
}

static void plant(const char *name)
{
	if (name == NULL)
		return;
#ifdef PLANT_BUGS
	if (core_plant(name) == 0)
		return;
	fprintf(stderr, "sim: no planted bug \"%s\"; there are:\n", name);
	for (unsigned i = 0; core_plant_names[i] != NULL; i++)
		fprintf(stderr, "  %s\n", core_plant_names[i]);
#else
	fprintf(stderr, "sim: built without planted bugs (configure --enable-plant)\n");
#endif
	exit(2);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void totals_print(const struct sim_totals *t, uint64_t *steps, uint64_t n)
{
	qsort(steps, n, sizeof(*steps), by_value);
	printf("seeds %" PRIu64 ", steps %" PRIu64 " (median %" PRIu64
	       " a seed), instructions %" PRIu64 "\n",
		n, t->steps, n == 0 ? 0 : steps[n / 2], t->retired);
	if (t->early_least != UINT64_MAX)
		printf("every vCPU retired at least %" PRIu64 " in its run\n", t->early_least);
	printf("given back %" PRIu64 ", credit waits %" PRIu64 ", busy %" PRIu64 ", holds %" PRIu64
	       ", timeouts %" PRIu64 ", yields %" PRIu64 ", nudges %" PRIu64 ", redirects %" PRIu64
	       ", unchanged %" PRIu64 ", zero %" PRIu64 ", ahead %" PRIu64 " (used %" PRIu64
	       ", lost %" PRIu64 ")\n",
		t->full_caches, t->credit_waits, t->queued, t->holds, t->hold_timeouts, t->yields,
		t->nudges, t->redirects, t->unchanged, t->zero, t->ahead, t->ahead_used,
		t->ahead_lost);
}

/* Transitions that no seed has taken; how many. */
static unsigned rows_print(const struct sim_totals *t, bool all)
{
	unsigned untaken = 0;

	for (size_t i = 0; i < t->n_rows; i++) {
		const struct core_row *r = &t->rows[i];
		if (all || r->taken == 0)
			printf("%s: %s %s x %s taken %" PRIu64 "\n",
				r->taken == 0 ? "UNTAKEN" : "row", r->machine, r->state, r->event,
				r->taken);
		untaken += r->taken == 0;
	}
	printf("transitions %zu, untaken %u\n", t->n_rows, untaken);
	return untaken;
}

int main(int argc, char **argv)
{
	struct options o = {.seed = 1, .seeds = UINT64_MAX};
	static struct sim_totals totals = {.early_least = UINT64_MAX};
	uint64_t failed = 0, n = 0, max = 1024, begin_ns = clock_now_ns(clock_host());
	uint64_t *steps = malloc(max * sizeof(*steps));

	options_read(argc, argv, &o);
	if (o.seeds == UINT64_MAX && o.seconds == 0)
		o.seeds = 1;
	plant(o.plant);
	while (n < o.seeds && !(o.until_failure && failed != 0)) {
		char why[256];
		struct sim_cfg cfg;
		if (o.seconds != 0 &&
			clock_now_ns(clock_host()) - begin_ns > o.seconds * UINT64_C(1000000000))
			break;
		if (n == max)
			steps = realloc(steps, (max *= 2) * sizeof(*steps));
		CHECK(steps != NULL);
		sim_cfg_from_seed(&cfg, o.seed + n);
		if (o.slices != 0) {
			cfg.slices = o.slices;
			cfg.steps = cfg.steps * MAX(o.slices, 8) / 8;
		}
		if (o.progress != 0)
			sim_cfg_progress(&cfg, o.progress);
		if (!sim_run(o.seed + n, &cfg, o.verbose, &totals, why, &steps[n])) {
			failed++;
			printf("seed %" PRIu64 " failed: %s\n", o.seed + n, why);
			printf("repeat: tests/sim/sim --seed %" PRIu64, o.seed + n);
			if (o.slices != 0)
				printf(" --slices %u", o.slices);
			if (o.progress != 0)
				printf(" --progress %" PRIu64, o.progress);
			printf(o.plant != NULL ? " --plant %s\n" : "\n", o.plant);
			fflush(stdout);
		}
		n++;
	}
	totals_print(&totals, steps, n);
	free(steps);
	rows_print(&totals, o.rows);
	printf("seeds failed %" PRIu64 "\n", failed);
	return (failed != 0) != o.until_failure;
}
