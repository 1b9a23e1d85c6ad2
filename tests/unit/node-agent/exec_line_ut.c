/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/exec_line.h"

#include "tests/lib/ut.h"

UT_SUITE(exec_line);

static struct exec_line parse(const char *text)
{
	return exec_line_parse(text, strlen(text));
}

UT_TEST(good_lines)
{
	struct exec_line l = parse("EXIT 137 18446744073709551615 0");

	UT_EQ(l.kind, EXEC_LINE_EXIT);
	UT_EQ(l.status, 137);
	UT_EQ(l.out_bytes, UINT64_MAX);
	UT_EQ(l.err_bytes, 0);
	UT_EQ(parse("READY").kind, EXEC_LINE_READY);
	UT_EQ(parse("ERROR want RUN").kind, EXEC_LINE_ERROR);
	UT_EQ(parse("EXIT 0 0 0").kind, EXEC_LINE_EXIT);
}

UT_TEST(bad_lines)
{
	static const char *const bad[] = {"", "READY ", "ready", "EXIT", "EXIT ", "EXIT 0",
		"EXIT 0 0", "EXIT 0 0 0 0", "EXIT 0 0 0 ", "EXIT  0 0 0", "EXIT -1 0 0",
		"EXIT +1 0 0", "EXIT 256 0 0", "EXIT 0 18446744073709551616 0",
		"EXIT 0 99999999999999999999999 0", "EXIT 0 0x1 0", "EXIT a b c", "EXIT 0 0 0\r",
		"EXITS 0 0 0"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i]).kind != EXEC_LINE_BAD)
			UT_FAIL("'%s' is taken", bad[i]);
	UT_EQ(exec_line_parse("READY\0", 6).kind, EXEC_LINE_BAD);
}

struct seen {
	unsigned n;
	enum exec_line_kind kinds[8];
	uint32_t status;
};

static void see(void *arg, const struct exec_line *line)
{
	struct seen *s = arg;

	UT_CHECK(s->n < ARRAY_SIZE(s->kinds));
	s->kinds[s->n++] = line->kind;
	s->status = line->status;
}

UT_TEST(lines_from_pieces)
{
	static const char text[] = "READY\nEXIT 3 10 20\n";
	struct exec_lines lines = {.len = 0};
	struct seen s = {.n = 0};

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		exec_lines_feed(&lines, text + i, 1, see, &s);
	UT_EQ(s.n, 2);
	UT_EQ(s.kinds[0], EXEC_LINE_READY);
	UT_EQ(s.kinds[1], EXEC_LINE_EXIT);
	UT_EQ(s.status, 3);
}

UT_TEST(endless_line)
{
	struct exec_lines lines = {.len = 0};
	struct seen s = {.n = 0};
	char junk[1000];

	memset(junk, 'E', sizeof(junk));
	for (int i = 0; i < 100; i++)
		exec_lines_feed(&lines, junk, sizeof(junk), see, &s);
	UT_EQ(s.n, 0);
	exec_lines_feed(&lines, "\nREADY\n", 7, see, &s);
	UT_EQ(s.n, 2);
	UT_EQ(s.kinds[0], EXEC_LINE_BAD);
	UT_EQ(s.kinds[1], EXEC_LINE_READY);
}
