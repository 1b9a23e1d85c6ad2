/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/daemon.h"

#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "proto/wire_ctl.h"

int daemon_bad(const struct daemon *d, int status, const char *why)
{
	fprintf(stderr, "%s: %s\n", d->program, why);
	return status;
}

static void help(const struct daemon *d, const struct opt *opts)
{
	fputs(d->usage, stdout);
	opts_help(opts, stdout);
	printf("\nThe names of the options are also the settings of the configuration file (name = "
	       "value).\n");
}

/* The command line names the file, and wins over it. */
static int parse(
	const struct opt *opts, int argc, char **argv, struct daemon_args *a, char why[256])
{
	int n = opts_parse(opts, argc, argv, NULL, 0, NULL, why);
	if (n < 0 || a->config == NULL)
		return n;
	n = opts_file(opts, a->config, &a->file, why);
	return n != 0 ? n : opts_parse(opts, argc, argv, NULL, 0, NULL, why);
}

bool daemon_args_read(const struct daemon *d, const struct opt *opts, int argc, char **argv,
	struct daemon_args *a, int *status)
{
	char why[256];

	*status = 0;
	if (parse(opts, argc, argv, a, why) < 0) {
		*status = daemon_bad(d, 2, why);
	} else if (a->help) {
		help(d, opts);
	} else if (a->version) {
		printf("%s %s, control protocol %u.%u\n", d->program, PACKAGE_VERSION,
			CTL_VERSION_MAJOR, CTL_VERSION_MINOR);
	} else {
		log_init(d->name, NULL);
		signal(SIGPIPE, SIG_IGN);
		if (a->log == NULL || log_set(a->log) == 0)
			return true;
		*status = daemon_bad(d, 2, "--log: no such level or subsystem");
	}
	daemon_args_free(a);
	return false;
}

void daemon_args_free(struct daemon_args *a)
{
	free(a->file);
	a->file = NULL;
}
