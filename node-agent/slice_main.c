/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/trace.h"
#include "node-agent/slice.h"

/* The program mirrorball-slice: see mirrorball-slice.8. */

struct slice_post {
	struct slice *slice;
	slice_post_fn *fn;
	max_align_t what[];
};

static void run_post(void *arg)
{
	struct slice_post *p = arg;
	p->fn(p->slice, p->what);
	free(p);
}

void slice_post(struct slice *s, slice_post_fn *fn, const void *what, size_t what_bytes)
{
	struct slice_post *p = malloc(sizeof(*p) + what_bytes);
	/* What cannot be told cannot be handled either; the agent sees a dead slice. */
	CHECK(p != NULL);
	p->slice = s;
	p->fn = fn;
	if (what_bytes != 0)
		memcpy(p->what, what, what_bytes);
	loop_post(s->loop, run_post, p);
}

static void usage(FILE *out)
{
	fputs("usage: mirrorball-slice --ctl-fd N [--log SPEC]\n"
	      "\n"
	      "One slice of a VM. mirrorball-agent(8) starts it and tells it what to do over the\n"
	      "listening Unix socket N; there is nothing to be done with it by hand.\n"
	      "\n"
	      "  --ctl-fd N   descriptor of the listening control socket\n"
	      "  --log SPEC   log level, or SUBSYSTEM=LEVEL separated by commas\n"
	      "  --version    print the version\n"
	      "  --help       print this\n",
		out);
}

/* 0: go on; else the exit status + 1. */
static int parse(int argc, char **argv, int *ctl_fd)
{
	static const struct option options[] = {
		{"ctl-fd", required_argument, NULL, 'c'},
		{"log", required_argument, NULL, 'l'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int opt;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		char *end;
		switch (opt) {
		case 'c':
			errno = 0;
			*ctl_fd = (int)strtol(optarg, &end, 10);
			if (errno != 0 || *end != '\0' || end == optarg || *ctl_fd < 0) {
				fprintf(stderr,
					"mirrorball-slice: --ctl-fd: '%s' is no descriptor\n",
					optarg);
				return 1 + EXIT_FAILURE;
			}
			break;
		case 'l':
			if (log_set(optarg) != 0) {
				fprintf(stderr, "mirrorball-slice: --log: '%s' is not known\n",
					optarg);
				return 1 + EXIT_FAILURE;
			}
			break;
		case 'V':
			puts("mirrorball-slice " PACKAGE_VERSION);
			return 1 + EXIT_SUCCESS;
		case 'h':
			usage(stdout);
			return 1 + EXIT_SUCCESS;
		default:
			usage(stderr);
			return 1 + EXIT_FAILURE;
		}
	}
	if (optind < argc || *ctl_fd < 0) {
		usage(stderr);
		return 1 + EXIT_FAILURE;
	}
	return 0;
}

static int run(struct slice *s, int ctl_fd)
{
	int err = loop_create(&s->loop);
	if (err == 0)
		err = slice_life_init(s);
	if (err == 0)
		err = slice_ctl_create(s->loop, ctl_fd, &slice_life_ops, s, &s->ctl);
	if (err != 0) {
		log_error(slice, "cannot serve the control socket: %s", err_text(err));
		return EXIT_FAILURE;
	}
	loop_run(s->loop);
	slice_ctl_destroy(s->ctl);
	slice_life_fini(s);
	slice_spec_drop(s);
	loop_destroy(s->loop);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int ctl_fd = -1;
	log_init("slice", NULL);
	int stop = parse(argc, argv, &ctl_fd);
	if (stop != 0)
		return stop - 1;
	trace_thread("main");
	signal(SIGPIPE, SIG_IGN);
	struct slice *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		fputs("mirrorball-slice: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	OBJ_INIT(s, SLICE_MAGIC);
	s->fds = SLICE_NO_FDS;
	int status = run(s, ctl_fd);
	free(s);
	return status;
}
