/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COORDINATOR_CLI_H
#define COORDINATOR_CLI_H

#include <stdio.h>

#include "base/loop.h"
#include "base/opts.h"
#include "proto/ctl_conn.h"
#include "proto/xport_tls.h"

/*
 * Inside of the command line `mirrorball`. A verb parses its options, talks to the coordinator
 * through cli_call(), and returns the exit status.
 */
#define CLI_OK    0
#define CLI_ERROR 1
#define CLI_USAGE 2
/* Of `vm exec`: beyond what a command of the guest should use. */
#define CLI_EXEC_ERROR   200 /* could not be run, or its connection was lost */
#define CLI_EXEC_PANIC   201
#define CLI_EXEC_LOST    202
#define CLI_EXEC_TIMEOUT 203
#define CLI_EXEC_STOPPED 204

struct cli {
	/* Options that every verb has. */
	const char *coordinator, *pki, *identity, *output;
	bool help, json;
	struct loop *loop;
	struct tls_ctx *tls;
	struct ctl_conn *conn;
	bool ready;
	char why[256]; /* why the connection ended; empty: it stands */
};

#define CLI_OPTS(cli)                                                                              \
	{"coordinator", OPT_TEXT, &(cli)->coordinator, "HOST:PORT",                                \
		"or $MIRRORBALL_COORDINATOR (127.0.0.1:7440)"},                                    \
		{"pki", OPT_TEXT, &(cli)->pki, "DIR",                                              \
			"certificates, or $MIRRORBALL_PKI (/etc/mirrorball/pki)"},                 \
		{"identity", OPT_TEXT, &(cli)->identity, "NAME",                                   \
			"whose certificate, or $MIRRORBALL_IDENTITY (admin)"},                     \
		{"output", OPT_TEXT, &(cli)->output, "FORMAT", "text or json"},                    \
	{                                                                                          \
		"help", OPT_FLAG, &(cli)->help, NULL, "this text"                                  \
	}

struct verb {
	const char *noun, *verb; /* verb NULL: a noun that is its own verb */
	const char *args;        /* for --help */
	const char *help;
	int (*run)(struct cli *cli, int argc, char **argv);
};

/*
 * Parse a verb's options and words. Prints help or what is wrong; true: go on. `min` words are
 * needed, at most `max` taken.
 */
bool cli_parse(struct cli *cli, const struct verb *verb, const struct opt *opts, int argc,
	char **argv, const char **words, unsigned min, unsigned max, unsigned *n, int *status);

/* Connect (once); prints why not. */
MUST_CHECK int cli_connect(struct cli *cli);
/* Ask and wait. *reply is the plain struct of the type's answer, to be freed with cli_free().
 * Prints a refusal. */
MUST_CHECK int cli_call(struct cli *cli, uint16_t type, const void *msg, void **reply);
/* The same without printing: *fault says why. */
MUST_CHECK int cli_try(
	struct cli *cli, uint16_t type, const void *msg, void **reply, struct ctl_fault *fault);
void cli_free(uint16_t type, void *reply);
void cli_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Which option table entry a verb is; for its help. */
const struct verb *cli_verb(const char *noun, const char *verb);

/* cli_text.c: numbers for people. */
const char *cli_bytes(uint64_t bytes, char out[32]);
const char *cli_time(uint64_t unix_ms, char out[32]);

int cli_init(struct cli *cli, int argc, char **argv);
int cli_host_list(struct cli *cli, int argc, char **argv);
int cli_host_show(struct cli *cli, int argc, char **argv);
int cli_host_remove(struct cli *cli, int argc, char **argv);
int cli_audit_list(struct cli *cli, int argc, char **argv);
int cli_vm_create(struct cli *cli, int argc, char **argv);
int cli_vm_start(struct cli *cli, int argc, char **argv);
int cli_vm_stop(struct cli *cli, int argc, char **argv);
int cli_vm_destroy(struct cli *cli, int argc, char **argv);
int cli_vm_list(struct cli *cli, int argc, char **argv);
int cli_vm_show(struct cli *cli, int argc, char **argv);
int cli_vm_pages(struct cli *cli, int argc, char **argv);
int cli_vm_stats(struct cli *cli, int argc, char **argv);
int cli_vm_wait(struct cli *cli, int argc, char **argv);
int cli_vm_console(struct cli *cli, int argc, char **argv);
int cli_vm_exec(struct cli *cli, int argc, char **argv);

#endif
