/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sends on its exec port, in pieces of the size that the first byte says. */
#include "base/check.h"
#include "node-agent/exec_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see(void *arg, const struct exec_line *line)
{
	CHECK(line->kind <= EXEC_LINE_BAD);
	CHECK(line->kind != EXEC_LINE_EXIT || line->status <= 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exec_lines lines = {.len = 0};

	if (size < 1)
		return 0;
	size_t piece = data[0] + (size_t)1;
	for (size_t at = 1; at < size; at += piece)
		exec_lines_feed(&lines, data + at, MIN(piece, size - at), see, NULL);
	return 0;
}
