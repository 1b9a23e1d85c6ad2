/* SPDX-License-Identifier: Apache-2.0 */
/* Options as words of a command line, one in each line of the input, and as a file of settings. */
#include "base/opts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS 16

struct values {
	bool flag;
	const char *text;
	uint32_t number;
	uint64_t bytes;
	struct opt_texts texts;
};

static void check(int got, const struct values *v, const char *why)
{
	CHECK(got <= WORDS && v->texts.n <= ARRAY_SIZE(v->texts.v));
	if (got < 0)
		CHECK(why[0] != '\0' && memchr(why, '\0', 256) != NULL);
}

static void as_words(const struct opt *opts, struct values *v, char *text)
{
	const char *words[WORDS];
	char *argv[WORDS + 2] = {text}, why[256] = "", *rest = text;
	unsigned dashes = 0;
	int argc = 1;

	while (argc <= WORDS && (argv[argc] = strsep(&rest, "\n")) != NULL)
		argc++;
	argv[argc] = NULL;
	check(opts_parse(opts, argc, argv, words, ARRAY_SIZE(words), &dashes, why), v, why);
}

static void as_file(const struct opt *opts, struct values *v, const uint8_t *data, size_t size)
{
	char path[64], why[256] = "", *text = NULL;
	int fd = memfd_create("options", MFD_CLOEXEC);

	CHECK(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int err = opts_file(opts, path, &text, why);
	check(err, v, why);
	if (err == 0)
		free(text);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct values v = {0};
	const struct opt opts[] = {
		{"flag", OPT_FLAG, &v.flag, NULL, "a flag"},
		{"text", OPT_TEXT, &v.text, "TEXT", "a text"},
		{"number", OPT_U32, &v.number, "N", "a number"},
		{"memory", OPT_BYTES, &v.bytes, "SIZE", "a size"},
		{"disk", OPT_TEXTS, &v.texts, "PATH", "may be repeated"},
		{.name = NULL},
	};
	char *text = malloc(size + 1);

	CHECK(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	as_words(opts, &v, text);
	memset(&v, 0, sizeof(v));
	as_file(opts, &v, data, size);
	free(text);
	return 0;
}
