/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's work: calls, faults, processes, pipes, switches, files. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "yardstick.h"

static uint64_t calls(uint64_t n)
{
	for (uint64_t i = 0; i < n * 1000; i++)
		syscall(SYS_getppid);
	return n;
}

static _Atomic uint64_t signals_seen;

static void on_signal(int number)
{
	signals_seen++;
}

static uint64_t signals(uint64_t n)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGUSR1, &action, NULL);
	yard_begin();
	for (uint64_t i = 0; i < n * 1000; i++)
		raise(SIGUSR1);
	return signals_seen;
}

/* ---- faults on untouched pages --------------------------------------------------------------- */

#define FAULT_PAGES 2048u
#define PAGE        4096u

static uint64_t faults(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint8_t *p = mmap(NULL, FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			yard_die("faults: %s", strerror(errno));
		madvise(p, FAULT_PAGES * PAGE, MADV_NOHUGEPAGE);
		for (size_t k = 0; k < FAULT_PAGES; k++)
			sum += ++p[k * PAGE];
		munmap(p, FAULT_PAGES * PAGE);
	}
	return sum;
}

/* ---- processes ------------------------------------------------------------------------------- */

static uint64_t processes(uint64_t n, int exec)
{
	uint64_t good = 0;
	int status;

	for (uint64_t i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (exec)
				execl("/proc/self/exe", "yardstick", "nothing", (char *)NULL);
			_exit(exec ? 1 : 0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			yard_die("fork: %s", strerror(errno));
		good += status == 0;
	}
	return good;
}

static uint64_t forks(uint64_t n)
{
	return processes(n, 0);
}

static uint64_t execs(uint64_t n)
{
	return processes(n, 1);
}

/* ---- a word there and back ------------------------------------------------------------------- */

static void echo(int in, int out)
{
	uint64_t word;

	while (read(in, &word, sizeof(word)) == (ssize_t)sizeof(word)) {
		word++;
		if (write(out, &word, sizeof(word)) != (ssize_t)sizeof(word))
			break;
	}
}

static uint64_t pipes(uint64_t n)
{
	int there[2], back[2], status;
	uint64_t word = 0;
	pid_t pid;

	if (pipe(there) != 0 || pipe(back) != 0 || (pid = fork()) < 0)
		yard_die("pipe: %s", strerror(errno));
	if (pid == 0) {
		close(there[1]);
		close(back[0]);
		yard_pin(yard_cpus() - 1);
		echo(there[0], back[1]);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	yard_pin(0);
	yard_begin();
	for (uint64_t i = 0; i < n * 100; i++)
		if (write(there[1], &word, sizeof(word)) != (ssize_t)sizeof(word) ||
			read(back[0], &word, sizeof(word)) != (ssize_t)sizeof(word))
			yard_die("pipe: %s", strerror(errno));
	yard_end();
	close(there[1]);
	waitpid(pid, &status, 0);
	return word;
}

/* ---- bytes through a pipe -------------------------------------------------------------------- */

#define BULK_BYTES 65536u

static uint64_t pipe_bulk(uint64_t n)
{
	static uint8_t buf[BULK_BYTES];
	uint64_t left = n * BULK_BYTES, sum = 0;
	int p[2], status;
	pid_t pid;

	if (pipe(p) != 0 || (pid = fork()) < 0)
		yard_die("pipe: %s", strerror(errno));
	if (pid == 0) {
		close(p[0]);
		yard_pin(yard_cpus() - 1);
		for (uint64_t i = 0; i < n; i++)
			if (write(p[1], buf, BULK_BYTES) != (ssize_t)BULK_BYTES)
				_exit(1);
		_exit(0);
	}
	close(p[1]);
	yard_pin(0);
	while (left > 0) {
		ssize_t got = read(p[0], buf, BULK_BYTES);
		if (got <= 0)
			yard_die("pipe: the writer has ended early");
		left -= (uint64_t)got;
		sum += (uint64_t)got;
	}
	yard_end();
	waitpid(pid, &status, 0);
	return sum;
}

/* ---- two threads in turn on one processor ---------------------------------------------------- */

static struct {
	_Atomic uint32_t turn;
	uint64_t rounds, sum;
} duet;

static void duet_play(uint32_t me)
{
	yard_pin(0);
	for (uint64_t i = 0; i < duet.rounds; i++) {
		while (atomic_load(&duet.turn) != me)
			syscall(SYS_futex, &duet.turn, FUTEX_WAIT_PRIVATE, !me, NULL, NULL, 0);
		duet.sum += me + 1;
		atomic_store(&duet.turn, !me);
		syscall(SYS_futex, &duet.turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

static void *duet_main(void *arg)
{
	duet_play(1);
	return NULL;
}

static uint64_t switches(uint64_t n)
{
	pthread_t other;

	duet.rounds = n * 100;
	if (pthread_create(&other, NULL, duet_main, NULL) != 0)
		yard_die("switches: no thread");
	duet_play(0);
	pthread_join(other, NULL);
	return duet.sum;
}

/* ---- a tree of files ------------------------------------------------------------------------- */

#define TREE      "/tmp/yardstick-tree"
#define TREE_DIRS 10

static uint64_t tree_bytes;

static int tree_see(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	if (kind == FTW_F)
		tree_bytes += (uint64_t)st->st_size;
	return 0;
}

static int tree_drop(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	return remove(path);
}

static void tree_make(void)
{
	char path[96];

	if (mkdir(TREE, 0755) != 0)
		yard_die("tree: %s: %s", TREE, strerror(errno));
	for (unsigned d = 0; d < TREE_DIRS; d++) {
		snprintf(path, sizeof(path), TREE "/%u", d);
		if (mkdir(path, 0755) != 0)
			yard_die("tree: %s: %s", path, strerror(errno));
		for (unsigned f = 0; f < TREE_DIRS; f++) {
			snprintf(path, sizeof(path), TREE "/%u/file%u", d, f);
			int fd = open(path, O_WRONLY | O_CREAT, 0644);
			if (fd < 0 || write(fd, path, strlen(path)) < 0)
				yard_die("tree: %s: %s", path, strerror(errno));
			close(fd);
		}
	}
}

/* Made once, walked four times, and taken down. */
static uint64_t tree(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		tree_make();
		for (unsigned k = 0; k < 4; k++)
			nftw(TREE, tree_see, 8, FTW_PHYS);
		if (nftw(TREE, tree_drop, 8, FTW_PHYS | FTW_DEPTH) != 0)
			yard_die("tree: cannot be removed: %s", strerror(errno));
	}
	return tree_bytes;
}

const struct yard_kernel yard_system[] = {
	{"syscall", calls},
	{"signal", signals},
	{"fault", faults},
	{"fork", forks},
	{"exec", execs},
	{"pipe", pipes},
	{"pipe-bulk", pipe_bulk},
	{"switch", switches},
	{"tree", tree},
	{NULL, NULL},
};
