/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of a fuzz target in a normal build: gives it every file of its corpus as it is, cut at
 * every length, and with random changes. Arguments are files to use instead of
 * $srcdir/tests/fuzz/corpora/X (X from the program's name, fz_X); -m N is the number of changed
 * copies of each file, -r the seed of the changes. What was being run is printed on a crash.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/rng.h"

#define REPLAY_INPUT_BYTES (1u << 20)
#define REPLAY_CUTS        256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replay_mutations = 200;
static uint64_t replay_seed = 1;
static unsigned replay_files;
static uint64_t replay_runs;
static char replay_what[512]; /* for replay_on_crash() */

static void replay_on_crash(int signum)
{
	static const char text[] = "\ncrashed on: ";
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
		write(STDERR_FILENO, replay_what, strlen(replay_what)) < 0 ||
		write(STDERR_FILENO, "\n", 1) < 0)
		_exit(1);
	signal(signum, SIG_DFL);
	raise(signum);
}

/* A copy of exactly `size` bytes on the heap, so that a sanitizer sees a read behind it. */
static void replay_one(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	CHECK(exact != NULL);
	if (size > 0)
		memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	replay_runs++;
}

/* Change 1 to 4 places: flip a bit, set a byte, set it to an edge value, or copy from elsewhere. */
static void replay_mutate(struct rng *rng, uint8_t *data, size_t size)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	for (uint64_t n = 1 + rng_below(rng, 4); n > 0; n--) {
		uint8_t *at = &data[rng_below(rng, size)];
		switch (rng_below(rng, 4)) {
		case 0:
			*at ^= (uint8_t)(1u << rng_below(rng, 8));
			break;
		case 1:
			*at = (uint8_t)rng_u64(rng);
			break;
		case 2:
			*at = edges[rng_below(rng, sizeof(edges))];
			break;
		default:
			*at = data[rng_below(rng, size)];
		}
	}
}

static void replay_input(const char *name, const uint8_t *data, size_t size)
{
	snprintf(replay_what, sizeof(replay_what), "%s", name);
	replay_one(data, size);
	for (size_t i = 0; i < MIN(size, REPLAY_CUTS); i++) {
		snprintf(replay_what, sizeof(replay_what), "%s cut to %zu bytes", name, i);
		replay_one(data, i);
	}
	uint8_t *copy = malloc(size > 0 ? size : 1);
	CHECK(copy != NULL);
	for (unsigned i = 0; size > 0 && i < replay_mutations; i++) {
		struct rng rng;
		snprintf(replay_what, sizeof(replay_what), "%s, -r %" PRIu64 ", change %u", name,
			replay_seed, i);
		rng_init(&rng, replay_seed + i);
		memcpy(copy, data, size);
		replay_mutate(&rng, copy, size);
		replay_one(copy, size);
	}
	free(copy);
}

static int replay_file(const char *path)
{
	static uint8_t data[REPLAY_INPUT_BYTES];
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		return 1;
	}
	size_t size = fread(data, 1, sizeof(data), f);
	int bad = ferror(f) || !feof(f);
	fclose(f);
	if (bad) {
		fprintf(stderr, "%s: unreadable, or longer than %u bytes\n", path,
			REPLAY_INPUT_BYTES);
		return 1;
	}
	replay_files++;
	replay_input(path, data, size);
	return 0;
}

static int replay_path(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return replay_file(path);
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort), bad = 0;
	for (int i = 0; i < n; i++) {
		char file[4096];
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			bad |= replay_file(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return bad;
}

static int replay_corpus(const char *program)
{
	const char *srcdir = getenv("srcdir");
	const char *slash = strrchr(program, '/');
	const char *name = slash != NULL ? slash + 1 : program;
	char path[4096];
	if (strncmp(name, "fz_", 3) == 0)
		name += 3;
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpora/%s", srcdir != NULL ? srcdir : ".",
		name);
	return replay_path(path);
}

int main(int argc, char **argv)
{
	static const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		signal(crashes[i], replay_on_crash);
	for (int c; (c = getopt(argc, argv, "m:r:")) != -1;) {
		if (c == 'm') {
			replay_mutations = (unsigned)strtoul(optarg, NULL, 0);
		} else if (c == 'r') {
			replay_seed = strtoull(optarg, NULL, 0);
		} else {
			fprintf(stderr, "usage: %s [-m COPIES] [-r SEED] [FILE ...]\n", argv[0]);
			return 2;
		}
	}
	int bad = optind == argc ? replay_corpus(argv[0]) : 0;
	for (int i = optind; i < argc; i++)
		bad |= replay_path(argv[i]);
	if (replay_files == 0) {
		fprintf(stderr, "%s: the corpus is empty\n", argv[0]);
		return 1;
	}
	printf("%u files, %" PRIu64 " inputs\n", replay_files, replay_runs);
	return bad;
}
