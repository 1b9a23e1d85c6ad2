/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yardstick: the guest's part of tests/bench/engine.
 *
 *	yardstick KERNEL N		does N units of KERNEL; prints "ns TIME" and "sum RESULT"
 *	yardstick time FILE CMD ARG...	runs CMD with its output in FILE; prints "ns TIME"
 *	yardstick source N		prints a C program of N functions
 *	yardstick nothing		ends at once; what `exec` runs
 *
 * The time is that of CLOCK_MONOTONIC, which follows the host's.
 */
#include "yardstick.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t begun_ns, ended_ns;

void yard_die(const char *fmt, ...)
{
	va_list ap;

	fputs("yardstick: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(2);
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void yard_begin(void)
{
	begun_ns = clock_ns();
}

void yard_end(void)
{
	ended_ns = clock_ns();
}

void *yard_alloc(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		yard_die("no memory for %zu bytes: %s", bytes, strerror(errno));
	return p;
}

uint64_t yard_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

unsigned yard_cpus(void)
{
	return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

void yard_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		yard_die("cannot run on processor %u: %s", cpu, strerror(errno));
}

/* ---- a command's time ------------------------------------------------------------------------ */

static int time_command(const char *file, char **argv)
{
	int status, fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	pid_t pid;

	if (fd < 0)
		yard_die("cannot write %s: %s", file, strerror(errno));
	yard_begin();
	pid = fork();
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execvp(argv[0], argv);
		yard_die("cannot run %s: %s", argv[0], strerror(errno));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		yard_die("cannot run %s: %s", argv[0], strerror(errno));
	yard_end();
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		yard_die("%s ended with status %#x", argv[0], (unsigned)status);
	printf("ns %" PRIu64 "\n", ended_ns - begun_ns);
	return 0;
}

/* ---- something to compile -------------------------------------------------------------------- */

/* No headers, and functions that a compiler has to think about. */
static void print_source(uint64_t n)
{
	uint64_t r = 1;

	puts("struct node { struct node *next; long key, value; double weight; };");
	for (uint64_t i = 0; i < n; i++) {
		unsigned a = yard_random(&r) % 97 + 2, b = yard_random(&r) % 89 + 3;
		printf("long f%" PRIu64 "(struct node *p, long *v, long n)\n{\n"
		       "\tlong sum = %u;\n"
		       "\tfor (long i = 0; i < n; i++) {\n"
		       "\t\tswitch (v[i] %% %u) {\n"
		       "\t\tcase 0: sum += v[i] * %u; break;\n"
		       "\t\tcase 1: sum ^= sum << %u; break;\n"
		       "\t\tcase 2: v[i] = sum / %u; break;\n"
		       "\t\tdefault: sum -= v[(i * %u) %% n];\n\t\t}\n\t}\n",
			i, a, b, a, a % 13 + 1, b, b);
		printf("\tfor (; p; p = p->next)\n"
		       "\t\tif (p->key > %u && p->weight * %u.5 < sum)\n"
		       "\t\t\tp->value += sum, p->weight /= %u;\n"
		       "\treturn sum%s;\n}\n",
			a, b, b, i == 0 ? "" : " + f0(p, v, n / 2)");
	}
}

/* ---- arguments ------------------------------------------------------------------------------- */

static const struct yard_kernel *find(const char *name)
{
	const struct yard_kernel *const all[] = {
		yard_integer, yard_double, yard_single, yard_memory, yard_system, yard_atomics};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct yard_kernel *k = all[i]; k->name != NULL; k++)
			if (strcmp(k->name, name) == 0)
				return k;
	return NULL;
}

static uint64_t number(const char *s)
{
	char *end;
	uint64_t n = strtoull(s, &end, 10);

	if (*s == '\0' || *end != '\0' || n == 0)
		yard_die("\"%s\" is not a number of units", s);
	return n;
}

static int run(const struct yard_kernel *k, uint64_t n)
{
	uint64_t sum;

	yard_begin();
	sum = k->run(n);
	if (ended_ns == 0)
		yard_end();
	printf("ns %" PRIu64 "\nsum %016" PRIx64 "\n", ended_ns - begun_ns, sum);
	return 0;
}

int main(int argc, char **argv)
{
	const struct yard_kernel *k;

	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0;
	if (argc >= 4 && strcmp(argv[1], "time") == 0)
		return time_command(argv[2], argv + 3);
	if (argc != 3)
		yard_die("usage: yardstick KERNEL N | time FILE CMD ARG... | source N | nothing");
	if (strcmp(argv[1], "source") == 0) {
		print_source(number(argv[2]));
		return 0;
	}
	k = find(argv[1]);
	if (k == NULL)
		yard_die("no kernel \"%s\"", argv[1]);
	return run(k, number(argv[2]));
}
