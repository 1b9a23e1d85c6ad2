/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forks: many processes, made on every processor at once and each run on another: fork, exec of
 * this program, and the status that the parent expects.
 *
 *	forks [--count N] [--seconds N]
 *
 * As a child (--child K --cpu C) it goes to processor C, checks that it is there and that its
 * arguments and environment have come, and ends with a status made of K.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define SELF "/proc/self/exe"

static struct {
	struct guest_cpus cpus;
	uint64_t count;
	_Atomic uint64_t next, bad, by_node[GUEST_CPUS_MAX];
} t;

/* 1 to 200: neither success nor what a shell or guest_die() ends with by chance. */
static int status_of(uint64_t k)
{
	return (int)(guest_mix(k, 7) % 198) + 3;
}

static int child(uint64_t k, uint64_t cpu)
{
	char want[32];
	const char *word = getenv("FORKS_WORD");
	snprintf(want, sizeof(want), "%llu", (unsigned long long)guest_mix(k, 8));
	guest_pin((unsigned)cpu);
	return word != NULL && strcmp(word, want) == 0 && guest_cpu_now() == cpu ? status_of(k) : 2;
}

static void become(uint64_t k, unsigned cpu)
{
	char number[32], on[32], word[64];
	char *argv[] = {(char *)"forks", (char *)"--child", number, (char *)"--cpu", on, NULL};
	char *envp[] = {word, NULL};
	snprintf(number, sizeof(number), "%llu", (unsigned long long)k);
	snprintf(on, sizeof(on), "%u", cpu);
	snprintf(word, sizeof(word), "FORKS_WORD=%llu", (unsigned long long)guest_mix(k, 8));
	execve(SELF, argv, envp);
	_exit(1);
}

static void thread_main(void *arg, unsigned me)
{
	(void)arg;
	for (;;) {
		uint64_t k = atomic_fetch_add(&t.next, 1);
		int status = 0;
		if (k >= t.count)
			return;
		/* To the other node every other time; all processors in the end. */
		unsigned to = (unsigned)(me + 1 + k) % t.cpus.n;
		pid_t pid = fork();
		if (pid == 0)
			become(k, t.cpus.cpu[to]);
		pid_t got = pid < 0 ? -1 : waitpid(pid, &status, 0);
		bool ok = got == pid && got > 0 && WIFEXITED(status) &&
			  WEXITSTATUS(status) == status_of(k);
		if (!ok && atomic_fetch_add(&t.bad, 1) < 10)
			printf("forks: process %llu on processor %u: pid %d, status 0x%x, "
			       "expected %d\n",
				(unsigned long long)k, t.cpus.cpu[to], (int)got, status,
				status_of(k));
		atomic_fetch_add(&t.by_node[t.cpus.node[to]], 1);
	}
}

int main(int argc, char **argv)
{
	uint64_t seconds = 120, k = UINT64_MAX, cpu = 0;
	t.count = 1000;
	const struct guest_opt opts[] = {
		{"count", &t.count},
		{"seconds", &seconds},
		{"child", &k},
		{"cpu", &cpu},
	};
	guest_options(argc, argv, opts, sizeof(opts) / sizeof(opts[0]));
	if (k != UINT64_MAX)
		return child(k, cpu);
	guest_cpus(&t.cpus);
	uint64_t began = guest_ticks();
	guest_run(&t.cpus, t.cpus.n, (unsigned)seconds, "forks", thread_main, NULL);
	bool everywhere = true;
	for (unsigned i = 0; i < t.cpus.nodes; i++)
		everywhere &= t.by_node[i] != 0;
	bool ok = t.bad == 0 && everywhere;
	printf("forks: %llu processes in %llu s, %llu wrong, %s: %s\n", (unsigned long long)t.count,
		(unsigned long long)(guest_ticks() - began) / (1000000 * GUEST_TICKS_US),
		(unsigned long long)t.bad, everywhere ? "on all nodes" : "not on all nodes",
		ok ? "PASS" : "FAIL");
	return ok ? 0 : 1;
}
