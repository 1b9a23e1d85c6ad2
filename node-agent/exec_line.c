/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/exec_line.h"

#include <string.h>

/* A decimal number that ends at a blank or the end; moves *p behind both. */
static bool number(const char **p, const char *end, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	const char *start = *p;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		if (mul_overflows(v, UINT64_C(10), &v) ||
			add_overflows(v, (uint64_t)(**p - '0'), &v))
			return false;
	if (*p == start || v > max)
		return false;
	if (*p < end && *(*p)++ != ' ')
		return false;
	*out = v;
	return true;
}

struct exec_line exec_line_parse(const char *line, size_t len)
{
	struct exec_line bad = {.kind = EXEC_LINE_BAD};
	struct exec_line l = {.kind = EXEC_LINE_EXIT};
	const char *p = line, *end = line + len;
	uint64_t status;

	if (len == 5 && memcmp(line, "READY", 5) == 0)
		return (struct exec_line){.kind = EXEC_LINE_READY};
	if (len >= 5 && memcmp(line, "ERROR", 5) == 0)
		return (struct exec_line){.kind = EXEC_LINE_ERROR};
	if (len < 5 || memcmp(line, "EXIT ", 5) != 0 || line[len - 1] == ' ')
		return bad;
	p += 5;
	if (!number(&p, end, 255, &status) || !number(&p, end, UINT64_MAX, &l.out_bytes) ||
		!number(&p, end, UINT64_MAX, &l.err_bytes) || p != end)
		return bad;
	l.status = (uint32_t)status;
	return l;
}

void exec_lines_feed(struct exec_lines *lines, const void *buf, size_t len,
	void (*fn)(void *arg, const struct exec_line *line), void *arg)
{
	const char *p = buf;

	for (size_t i = 0; i < len; i++) {
		if (p[i] != '\n') {
			if (lines->len < sizeof(lines->line))
				lines->line[lines->len++] = p[i];
			else
				lines->too_long = true;
			continue;
		}
		struct exec_line l = {.kind = EXEC_LINE_BAD};
		if (!lines->too_long)
			l = exec_line_parse(lines->line, lines->len);
		lines->len = 0;
		lines->too_long = false;
		fn(arg, &l);
	}
}
