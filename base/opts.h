/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OPTS_H
#define BASE_OPTS_H

#include <stdio.h>

#include "base/check.h"

/*
 * Options of a program or of one of its verbs: "--name VALUE", "--name=VALUE", "--flag", and the
 * same names as "name = VALUE" lines of a configuration file. Unlike getopt it writes typed values,
 * checks their range, and says in one line what is wrong.
 */
enum opt_kind {
	OPT_FLAG,  /* bool */
	OPT_TEXT,  /* const char *, points into argv or the text of the file */
	OPT_U32,   /* uint32_t */
	OPT_BYTES, /* uint64_t: a number with K, M, G or T (powers of 1024) */
	OPT_TEXTS, /* struct opt_texts: may be repeated */
};

struct opt_texts {
	const char *v[16];
	unsigned n;
};

struct opt {
	const char *name; /* without dashes; NULL ends the table */
	enum opt_kind kind;
	void *value;
	const char *arg; /* "FILE", for --help */
	const char *help;
};

/*
 * Parse argv[1..]; what is no option is collected in `words` (at most `max`), all that follows "--"
 * included. Returns the number of words, or ERR_INVAL with a sentence in `why`. A lone "--" is
 * noted in *dashes (index of the first word behind it, or the number of words), which may be NULL.
 * Context: any.
 */
MUST_CHECK int opts_parse(const struct opt *opts, int argc, char **argv, const char **words,
	unsigned max, unsigned *dashes, char why[256]);

/*
 * Lines of a file; *text is its content, which the values point into: free it when they are no
 * longer used. Values given on the command line win if the file is parsed first.
 */
MUST_CHECK int opts_file(const struct opt *opts, const char *path, char **text, char why[256]);

/* The table, for --help. */
void opts_help(const struct opt *opts, FILE *out);

/* "512M" into bytes; ERR_INVAL. */
MUST_CHECK int opts_bytes(const char *text, uint64_t *out);

#endif
