/* SPDX-License-Identifier: Apache-2.0 */
#include "base/opts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/ut.h"

static bool flag;
static const char *name;
static uint32_t number;
static uint64_t bytes;
static struct opt_texts texts;
static char *file_text;

static const struct opt table[] = {
	{"flag", OPT_FLAG, &flag, NULL, "a flag"},
	{"name", OPT_TEXT, &name, "TEXT", "a name"},
	{"number", OPT_U32, &number, "N", "a number"},
	{"bytes", OPT_BYTES, &bytes, "SIZE", "a size"},
	{"also", OPT_TEXTS, &texts, "TEXT", "several"},
	{NULL, OPT_FLAG, NULL, NULL, NULL},
};

static void begin(void)
{
	flag = false;
	name = NULL;
	number = 0;
	bytes = 0;
	texts.n = 0;
	file_text = NULL;
}

static void end(void)
{
	free(file_text);
	file_text = NULL;
}

UT_SUITE_WITH(opts, begin, end);

static const char *words[3];
static unsigned dashes;
static char why[256];

/* The line, cut at blanks, as argv. */
static int parse(const char *line)
{
	static char copy[1024];
	char *argv[64] = {(char *)"program"};
	int argc = 1;
	why[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *rest = copy, *word; (word = strsep(&rest, " ")) != NULL;)
		if (*word != '\0')
			argv[argc++] = word;
	return opts_parse(table, argc, argv, words, ARRAY_SIZE(words), &dashes, why);
}

/* A configuration file with this content. */
static int parse_file(const char *content)
{
	char path[] = "/tmp/opts_ut.XXXXXX";
	int fd = mkstemp(path);
	UT_CHECK(fd >= 0);
	UT_EQ(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	why[0] = '\0';
	int rc = opts_file(table, path, &file_text, why);
	unlink(path);
	return rc;
}

UT_TEST(all_kinds_in_both_forms)
{
	UT_EQ(parse("--flag --name x --number 7 --bytes 2K --also a --also=b"), 0);
	UT_CHECK(flag);
	UT_EQ_STR(name, "x");
	UT_EQ(number, 7);
	UT_EQ(bytes, 2048);
	UT_EQ(texts.n, 2);
	UT_EQ_STR(texts.v[0], "a");
	UT_EQ_STR(texts.v[1], "b");
	UT_EQ(parse("--flag=no --name=--odd --number=4294967295"), 0);
	UT_CHECK(!flag);
	UT_EQ_STR(name, "--odd");
	UT_EQ(number, UINT32_MAX);
}

UT_TEST(words_and_dashes)
{
	UT_EQ(parse("a --flag b"), 2);
	UT_EQ_STR(words[0], "a");
	UT_EQ_STR(words[1], "b");
	UT_EQ(dashes, 2);
	UT_EQ(parse("a -- --flag --"), 3);
	UT_EQ(dashes, 1);
	UT_EQ_STR(words[1], "--flag");
	UT_EQ_STR(words[2], "--");
	UT_EQ(parse("-"), 1); /* by custom: standard input */
	UT_EQ(parse(""), 0);
	UT_ERR(parse("a b c d"), INVAL);
	UT_HAS_STR(why, "'d' is one word too many");
}

UT_TEST(wrong_options_say_what_is_wrong)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{"--nosuch", "'--nosuch' is no option"},
		{"--fla", "is no option"},
		{"--flags", "is no option"},
		{"-f", "is no option"},
		{"-flag", "is no option"},
		{"--=x", "is no option"},
		{"--flag=maybe", "yes or no"},
		{"--name", "--name needs a value: TEXT"},
		{"--number x", "'x' is no value for --number"},
		{"--number -1", "is no value for --number"},
		{"--number 4294967296", "is no value for --number"},
		{"--number 7x", "is no value for --number"},
		{"--number=", "is no value for --number"},
		{"--number 99999999999999999999", "is no value for --number"},
		{"--bytes 1X", "512M"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		UT_ERR(parse(bad[i].line), INVAL);
		UT_HAS_STR(why, bad[i].why);
	}
}

UT_TEST(repeats_are_bounded)
{
	char line[512] = "";
	for (size_t i = 0, at = 0; i < ARRAY_SIZE(texts.v); i++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "--also x ");
	UT_EQ(parse(line), 0);
	UT_EQ(texts.n, ARRAY_SIZE(texts.v));
	UT_ERR(parse("--also x"), INVAL);
	UT_HAS_STR(why, "more than 16 times");
}

UT_TEST(sizes)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0}, {"1", 1}, {"1K", 1024}, {"1KiB", 1024}, {"512M", UINT64_C(512) << 20},
		{"3G", UINT64_C(3) << 30}, {"2T", UINT64_C(2) << 40},
		{"18446744073709551615", UINT64_MAX}};
	static const char *const bad[] = {"", "K", "-1", "+1", " 1", "1 K", "1k", "1KB", "1KiBx",
		"1i", "1.5G", "0x10", "18446744073709551616", "18014398509481984K", "16777216T"};
	uint64_t v;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		UT_OK(opts_bytes(good[i].text, &v));
		UT_EQ(v, good[i].bytes);
	}
	v = 42;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		UT_ERR(opts_bytes(bad[i], &v), INVAL);
		UT_EQ(v, 42);
	}
}

UT_TEST(a_file_sets_the_same_names)
{
	UT_OK(parse_file(
		"# a comment\n\n  name = two words \r\nnumber=7\n\tflag = yes\nalso = a=b"));
	UT_EQ_STR(name, "two words");
	UT_EQ(number, 7);
	UT_CHECK(flag);
	UT_EQ_STR(texts.v[0], "a=b");
	/* The command line comes later and wins. */
	UT_EQ(parse("--number 8"), 0);
	UT_EQ(number, 8);
	UT_EQ_STR(name, "two words");
}

UT_TEST(a_bad_file_names_the_line)
{
	UT_ERR(parse_file("number = 7\nnosuch = 1\n"), INVAL);
	UT_HAS_STR(why, "line 2: nosuch");
	UT_ERR(parse_file("\n\nnumber = x\n"), INVAL);
	UT_HAS_STR(why, "line 3: ");
	UT_ERR(parse_file("just words\n"), INVAL);
	UT_HAS_STR(why, "line 1: just words");
	UT_ERR(opts_file(table, "/nonexistent/file", &file_text, why), IO);
	UT_HAS_STR(why, "/nonexistent/file: No such file");
	UT_CHECK(file_text == NULL);
}

UT_TEST(a_huge_file_is_refused)
{
	size_t size = (64u << 10) + 1;
	char *content = malloc(size + 1);
	UT_CHECK(content != NULL);
	memset(content, '#', size);
	content[size] = '\0';
	int rc = parse_file(content);
	free(content);
	UT_ERR(rc, IO);
	UT_HAS_STR(why, "64 KiB");
}

UT_TEST(help_lists_all)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	UT_CHECK(f != NULL);
	opts_help(table, f);
	fclose(f);
	bool flags = strstr(text, "  --flag ") != NULL && strstr(text, "a flag\n") != NULL;
	bool values = strstr(text, "  --number N ") != NULL;
	free(text);
	UT_CHECK(flags && values);
}
