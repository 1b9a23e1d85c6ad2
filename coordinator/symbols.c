/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "coordinator/symbols.h"
#include "proto/ids.h"

#define FILE_MAX       (64u << 20)
#define NAME_MAX_CHARS 63
#define NAMED          3u

struct symbol {
	uint64_t at;
	char name[NAME_MAX_CHARS + 1];
};

struct symbols {
	uint64_t base, end; /* of the image, as linked or as it runs */
	uint64_t load;
	struct symbol *v;
	size_t n, cap;
};

static int add(struct symbols *s, uint64_t at, const char *name)
{
	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 4096 : s->cap * 2;
		struct symbol *v = realloc(s->v, cap * sizeof(*v));
		if (v == NULL)
			return ERR_NO_MEMORY;
		s->v = v;
		s->cap = cap;
	}
	struct symbol *e = &s->v[s->n++];
	e->at = at;
	snprintf(e->name, sizeof(e->name), "%s", name);
	return 0;
}

/* Lines of address, kind, name, and in kallsyms the module, which is not part of the image. */
static int take_line(struct symbols *s, const char *line)
{
	unsigned long long at;
	char kind, name[NAME_MAX_CHARS + 1], module[2];

	if (sscanf(line, "%llx %c %63s %1s", &at, &kind, name, module) != 3)
		return 0;
	if (strcmp(name, "_start") == 0)
		s->base = at;
	if (strcmp(name, "_end") == 0)
		s->end = at;
	/* Not the assembler's own labels, nor "$x", which says that code begins. Names go to a
	 * terminal. */
	for (const char *c = name; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return 0;
	return name[0] == '.' || name[0] == '$' ? 0 : add(s, at, name);
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static int read_lines(struct symbols *s, FILE *f)
{
	char line[512];
	size_t bytes = 0;
	int err = 0;

	while (err == 0 && fgets(line, sizeof(line), f) != NULL) {
		bytes += strlen(line);
		err = bytes > FILE_MAX ? ERR_RANGE : take_line(s, line);
	}
	if (err == 0 && ferror(f))
		err = ERR_IO;
	if (err == 0 && (s->n < 3 || s->end <= s->base))
		err = ERR_FORMAT;
	return err;
}

/* What was wrong with the file, for a person. */
static void explain(int err, const char *path, char *why, size_t why_bytes)
{
	if (err == ERR_FORMAT)
		snprintf(why, why_bytes,
			"%s has no addresses of _start and _end: Debian's System.map is an empty "
			"one, read /proc/kallsyms as the guest's root",
			path);
	else if (err == ERR_RANGE)
		snprintf(why, why_bytes, "%s: too large to be the symbols of a kernel", path);
	else
		snprintf(why, why_bytes, "%s: %s", path, err_text(err));
}

int symbols_load(const char *path, uint64_t load, struct symbols **out, char *why, size_t why_bytes)
{
	FILE *f = fopen(path, "re");
	struct symbols *s;

	if (f == NULL) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		return ERR_NOT_FOUND;
	}
	s = calloc(1, sizeof(*s));
	int err = s == NULL ? ERR_NO_MEMORY : read_lines(s, f);
	fclose(f);
	if (err != 0) {
		symbols_free(s);
		explain(err, path, why, why_bytes);
		return err;
	}
	s->load = load;
	qsort(s->v, s->n, sizeof(*s->v), by_address);
	*out = s;
	return 0;
}

void symbols_free(struct symbols *s)
{
	if (s != NULL)
		free(s->v);
	free(s);
}

/* First symbol above `at`. */
static size_t above(const struct symbols *s, uint64_t at)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->v[mid].at > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

struct found {
	const char *name;
	uint64_t bytes; /* on the page */
};

/* Keep the largest, in order. */
static void keep(struct found best[NAMED], const char *name, uint64_t bytes)
{
	struct found f = {name, bytes};

	for (unsigned i = 0; i < NAMED; i++) {
		if (f.bytes > best[i].bytes) {
			struct found t = best[i];
			best[i] = f;
			f = t;
		}
	}
}

void symbols_page(const struct symbols *s, uint64_t address, char *out, size_t bytes)
{
	uint64_t at = s->base + (address - s->load), end = at + PAGE_BYTES;
	struct found best[NAMED] = {{NULL, 0}};
	unsigned n = 0, shown = 0;
	size_t len = 0;

	out[0] = '\0';
	if (address < s->load || address - s->load >= s->end - s->base)
		return;
	size_t i = above(s, at);
	for (i -= i > 0; i < s->n && s->v[i].at < end; i++) {
		uint64_t from = MAX(s->v[i].at, at);
		uint64_t to = MIN(i + 1 < s->n ? s->v[i + 1].at : s->end, end);
		if (to <= from)
			continue; /* another name of the same address follows */
		n++;
		keep(best, s->v[i].name, to - from);
	}
	for (; shown < NAMED && best[shown].name != NULL && len < bytes; shown++)
		len += (size_t)snprintf(
			out + len, bytes - len, "%s%s", shown == 0 ? "" : " ", best[shown].name);
	if (n > shown && len < bytes)
		snprintf(out + len, bytes - len, " +%u", n - shown);
}
