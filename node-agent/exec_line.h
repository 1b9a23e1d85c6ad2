/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODE_AGENT_EXEC_LINE_H
#define NODE_AGENT_EXEC_LINE_H

#include "base/check.h"

/*
 * The lines that a guest sends on its port "org.mirrorball.exec": "READY", "EXIT <status>
 * <out_bytes> <err_bytes>", "ERROR <text>". They are foreign bytes: anything else is EXEC_LINE_BAD,
 * and no input grows anything.
 */
enum exec_line_kind { EXEC_LINE_READY, EXEC_LINE_EXIT, EXEC_LINE_ERROR, EXEC_LINE_BAD };

struct exec_line {
	enum exec_line_kind kind;
	uint32_t status; /* EXIT: 0..255 */
	uint64_t out_bytes, err_bytes;
};

/* One line without its end. Context: any. */
struct exec_line exec_line_parse(const char *line, size_t len);

/* Collects lines from bytes; longer ones than fit come out as bad. */
struct exec_lines {
	char line[128];
	size_t len;
	bool too_long;
};

/* Feed bytes; calls fn for every finished line. Context: any. */
void exec_lines_feed(struct exec_lines *lines, const void *buf, size_t len,
	void (*fn)(void *arg, const struct exec_line *line), void *arg);

#endif
