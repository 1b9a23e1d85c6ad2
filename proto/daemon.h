/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_DAEMON_H
#define PROTO_DAEMON_H

#include "base/opts.h"

/*
 * The command line that the coordinator and the node agent have in common: a configuration file
 * with the same names, where the command line wins, levels of the log, help and version.
 */
struct daemon_args {
	const char *config, *log;
	bool help, version;
	char *file; /* the configuration's text, which option values point into */
};

/* Their rows in a daemon's table of options, for a struct daemon_args; `example` is of --log. */
#define DAEMON_OPTS(a, example)                                                                    \
	{"config", OPT_TEXT, &(a)->config, "FILE", "read settings from FILE first"},               \
		{"log", OPT_TEXT, &(a)->log, "SPEC", "log levels, as debug or " example},          \
		{"help", OPT_FLAG, &(a)->help, NULL, "this text"},                                 \
	{                                                                                          \
		"version", OPT_FLAG, &(a)->version, NULL, "release and protocol"                   \
	}

struct daemon {
	const char *program; /* "mirrorball-agent" */
	const char *name;    /* in the log: "agent" */
	const char *usage;   /* what --help says before the options */
};

/* Say on stderr what is wrong; `status`, for the caller to end with. */
int daemon_bad(const struct daemon *d, int status, const char *why);

/*
 * Read the command line and the file that it names, answer --help and --version, set the log up and
 * ignore SIGPIPE. True: go on. False: end with *status. Context: start of main(), one thread;
 * daemon_args_free() at its end.
 */
MUST_CHECK bool daemon_args_read(const struct daemon *d, const struct opt *opts, int argc,
	char **argv, struct daemon_args *a, int *status);
void daemon_args_free(struct daemon_args *a);

#endif
