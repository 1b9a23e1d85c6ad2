/* SPDX-License-Identifier: Apache-2.0 */
#include "base/opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define FILE_MAX_BYTES (64u << 10)

int opts_bytes(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t v;

	if (*text < '0' || *text > '9')
		return ERR_INVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0)
		return ERR_INVAL;
	if (*end != '\0') {
		const char *u = strchr(units, *end);
		if (u == NULL || (strcmp(end + 1, "") != 0 && strcmp(end + 1, "iB") != 0))
			return ERR_INVAL;
		for (const char *p = units; p <= u; p++)
			if (mul_overflows(v, UINT64_C(1024), &v))
				return ERR_INVAL;
	}
	*out = v;
	return 0;
}

static const struct opt *opt_find(const struct opt *opts, const char *name, size_t len)
{
	for (const struct opt *o = opts; o->name != NULL; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

static bool set_u32(uint32_t *out, const char *text)
{
	char *end;

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool set_flag(bool *out, const char *text)
{
	if (text == NULL || strcmp(text, "yes") == 0)
		*out = true;
	else if (strcmp(text, "no") == 0)
		*out = false;
	else
		return false;
	return true;
}

static int opt_set(const struct opt *o, const char *text, char why[256])
{
	struct opt_texts *texts = o->value;
	bool ok = true;

	switch (o->kind) {
	case OPT_FLAG:
		ok = set_flag(o->value, text);
		break;
	case OPT_TEXT:
		*(const char **)o->value = text;
		break;
	case OPT_U32:
		ok = set_u32(o->value, text);
		break;
	case OPT_BYTES:
		ok = opts_bytes(text, o->value) == 0;
		break;
	case OPT_TEXTS:
		ok = texts->n < ARRAY_SIZE(texts->v);
		if (ok)
			texts->v[texts->n++] = text;
		break;
	}
	if (ok)
		return 0;
	if (o->kind == OPT_TEXTS)
		snprintf(why, 256, "--%s is given more than %zu times", o->name,
			ARRAY_SIZE(texts->v));
	else
		snprintf(why, 256, "'%.80s' is no value for --%s: %s", text, o->name,
			o->kind == OPT_FLAG  ? "yes or no"
			: o->kind == OPT_U32 ? "a whole number"
					     : "a number of bytes, as 512M or 2G");
	return ERR_INVAL;
}

int opts_parse(const struct opt *opts, int argc, char **argv, const char **words, unsigned max,
	unsigned *dashes, char why[256])
{
	unsigned n = 0;
	bool only_words = false;

	if (dashes != NULL)
		*dashes = UINT32_MAX;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		if (!only_words && strcmp(a, "--") == 0) {
			only_words = true;
			if (dashes != NULL)
				*dashes = n;
			continue;
		}
		if (only_words || a[0] != '-' || a[1] == '\0') {
			if (n == max) {
				snprintf(why, 256, "'%.100s' is one word too many", a);
				return ERR_INVAL;
			}
			words[n++] = a;
			continue;
		}
		const char *eq = strchr(a, '=');
		size_t len = eq == NULL ? strlen(a) : (size_t)(eq - a);
		const struct opt *o = a[1] == '-' ? opt_find(opts, a + 2, len - 2) : NULL;
		if (o == NULL) {
			snprintf(why, 256, "'%.100s' is no option here; --help lists them", a);
			return ERR_INVAL;
		}
		const char *text = eq == NULL ? NULL : eq + 1;
		if (text == NULL && o->kind != OPT_FLAG) {
			if (i + 1 == argc) {
				snprintf(why, 256, "--%s needs a value: %s", o->name, o->arg);
				return ERR_INVAL;
			}
			text = argv[++i];
		}
		int err = opt_set(o, text, why);
		if (err != 0)
			return err;
	}
	if (dashes != NULL && *dashes == UINT32_MAX)
		*dashes = n;
	return (int)n;
}

static char *read_all(const char *path, char why[256])
{
	FILE *f = fopen(path, "re");
	char *text = NULL;

	if (f == NULL) {
		snprintf(why, 256, "%.180s: %s", path, strerror(errno));
		return NULL;
	}
	text = malloc(FILE_MAX_BYTES + 1);
	size_t n = text == NULL ? 0 : fread(text, 1, FILE_MAX_BYTES, f);
	if (text == NULL || ferror(f) || !feof(f)) {
		snprintf(why, 256, "%.180s: cannot be read, or is larger than 64 KiB", path);
		free(text);
		text = NULL;
	} else {
		text[n] = '\0';
	}
	fclose(f);
	return text;
}

static char *trim(char *s)
{
	size_t n;

	while (*s == ' ' || *s == '\t')
		s++;
	for (n = strlen(s); n > 0 && strchr(" \t\r", s[n - 1]) != NULL; n--)
		s[n - 1] = '\0';
	return s;
}

int opts_file(const struct opt *opts, const char *path, char **text, char why[256])
{
	char *all = read_all(path, why);
	char *rest = all, *line;
	char cause[200];
	unsigned number = 0;

	if (all == NULL)
		return ERR_IO;
	while ((line = strsep(&rest, "\n")) != NULL) {
		number++;
		line = trim(line);
		if (*line == '\0' || *line == '#')
			continue;
		char *eq = strchr(line, '=');
		const struct opt *o = NULL;
		char inner[256] = "is no setting here";
		if (eq != NULL) {
			*eq = '\0';
			char *name = trim(line);
			o = opt_find(opts, name, strlen(name));
		}
		if (o != NULL && opt_set(o, trim(eq + 1), inner) == 0)
			continue;
		snprintf(cause, sizeof(cause), "%.40s %.140s", o == NULL ? line : "", inner);
		snprintf(why, 256, "%.40s line %u: %.180s", path, number, trim(cause));
		free(all);
		return ERR_INVAL;
	}
	*text = all;
	return 0;
}

void opts_help(const struct opt *opts, FILE *out)
{
	for (const struct opt *o = opts; o->name != NULL; o++) {
		char head[64];
		snprintf(head, sizeof(head), "--%s%s%s", o->name, o->arg == NULL ? "" : " ",
			o->arg == NULL ? "" : o->arg);
		fprintf(out, "  %-26s %s\n", head, o->help);
	}
}
