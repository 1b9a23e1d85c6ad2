/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/opts.h"
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

struct args {
	uint32_t ctl_fd;
	const char *log;
	bool help, version;
};

#define NO_FD UINT32_MAX

static void usage(const struct opt *opts)
{
	puts("usage: mirrorball-slice --ctl-fd N [OPTION]...\n"
	     "One slice of a VM. mirrorball-agent(8) starts it and tells it what to do over the\n"
	     "listening Unix socket N; there is nothing to be done with it by hand.");
	opts_help(opts, stdout);
}

/* 0: go on; else the exit status + 1. */
static int parse(int argc, char **argv, struct args *a)
{
	const struct opt opts[] = {
		{"ctl-fd", OPT_U32, &a->ctl_fd, "N", "descriptor of the listening control socket"},
		{"log", OPT_TEXT, &a->log, "SPEC", "log levels, as debug or dsm=debug,xport=warn"},
		{"help", OPT_FLAG, &a->help, NULL, "this text"},
		{"version", OPT_FLAG, &a->version, NULL, "print the version"},
		{.name = NULL},
	};
	char why[256];
	int n = opts_parse(opts, argc, argv, NULL, 0, NULL, why);
	if (n < 0) {
		fprintf(stderr, "mirrorball-slice: %s\n", why);
		return 1 + EXIT_FAILURE;
	}
	if (a->help) {
		usage(opts);
		return 1 + EXIT_SUCCESS;
	}
	if (a->version) {
		puts("mirrorball-slice " PACKAGE_VERSION);
		return 1 + EXIT_SUCCESS;
	}
	if (a->ctl_fd > INT_MAX || (a->log != NULL && log_set(a->log) != 0)) {
		fputs("mirrorball-slice: --ctl-fd N is needed, and --log takes log levels; --help "
		      "explains them\n",
			stderr);
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
	struct args a = {.ctl_fd = NO_FD};
	log_init("slice", NULL);
	int stop = parse(argc, argv, &a);
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
	int status = run(s, (int)a.ctl_fd);
	free(s);
	return status;
}
