/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/slice.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/ut.h"

/*
 * Each act runs in a child that enters the sandbox, on a thread that was there before: so a filter
 * that only its own thread is under, or that only ends a thread, lets the child live.
 */

UT_SUITE(slice_sandbox);

#define LIVED 42

struct actor {
	void (*act)(void);
	int go; /* read end of a pipe */
};

static void *actor_thread(void *arg)
{
	struct actor *a = arg;
	char c;
	ssize_t n = read(a->go, &c, 1);
	if (n == 1)
		a->act();
	return NULL;
}

static int child(void (*act)(void), const struct ctl_slice_spec *spec)
{
	struct rlimit none = {0, 0};
	pthread_t thread;
	int pipes[2];
	setrlimit(RLIMIT_CORE, &none);
	if (pipe(pipes) != 0)
		return 1;
	struct actor a = {act, pipes[0]};
	if (pthread_create(&thread, NULL, actor_thread, &a) != 0)
		return 1;
	if (slice_sandbox_enter(spec) != 0)
		return 2;
	if (write(pipes[1], "x", 1) != 1)
		return 3;
	pthread_join(thread, NULL);
	return LIVED;
}

/* What became of a child that has done this: its wait status. */
static int fate(void (*act)(void), uint32_t uid)
{
	struct ctl_slice_spec spec = {.vm = "vm", .uid = uid, .gid = uid};
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(child(act, &spec));
	UT_CHECK(pid > 0);
	UT_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

static void lives(void (*act)(void))
{
	int status = fate(act, 0);
	UT_CHECK(WIFEXITED(status));
	UT_EQ(WEXITSTATUS(status), LIVED);
}

static void is_killed(void (*act)(void))
{
	int status = fate(act, 0);
	UT_CHECK(WIFSIGNALED(status));
	UT_EQ(WTERMSIG(status), SIGSYS);
}

static void must(bool ok)
{
	if (!ok)
		_exit(4);
}

/* What a slice does all the time. */
static void ordinary_work(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED && munmap(p, 4096) == 0);
	int fd = open("/dev/null", O_RDONLY);
	must(fd >= 0 && close(fd) == 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	must(fd >= 0 && close(fd) == 0);
	struct timespec t;
	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
}

UT_TEST(what_a_slice_needs_is_allowed)
{
	lives(ordinary_work);
}

static void make_directory(void)
{
	(void)mkdir("/nowhere/x", 0700);
}

static void open_for_writing(void)
{
	(void)open("/dev/null", O_WRONLY);
}

static void create_a_file(void)
{
	(void)open("/nowhere/x", O_RDONLY | O_CREAT, 0600);
}

static void remove_a_file(void)
{
	(void)unlink("/nowhere/x");
}

UT_TEST(files_can_not_be_changed)
{
	is_killed(make_directory);
	is_killed(open_for_writing);
	is_killed(create_a_file);
	is_killed(remove_a_file);
}

static void map_code(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void turn_data_into_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED);
	(void)mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void run_a_program(void)
{
	char *argv[] = {(char *)"true", NULL};
	(void)execv("/bin/true", argv);
}

UT_TEST(nothing_new_can_be_executed)
{
	is_killed(map_code);
	is_killed(turn_data_into_code);
	is_killed(run_a_program);
}

static void signal_another(void)
{
	(void)kill(getppid(), 0);
}

static void trace_another(void)
{
	(void)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static void type_on_the_terminal(void)
{
	(void)ioctl(0, TIOCSTI, "x");
}

static void enter_a_namespace(void)
{
	(void)unshare(CLONE_NEWUSER);
}

UT_TEST(others_are_out_of_reach)
{
	is_killed(signal_another);
	is_killed(trace_another);
	is_killed(type_on_the_terminal);
	is_killed(enter_a_namespace);
}

#ifdef __x86_64__
/* getpid by the calling convention of the x32 ABI, whose numbers mean other things. */
static void call_by_another_convention(void)
{
	(void)syscall(0x40000000 | SYS_getpid);
}

UT_TEST(another_calling_convention_is_no_way_round)
{
	is_killed(call_by_another_convention);
}
#endif

#define UID 2000000

static void be_nobody_special(void)
{
	must(getuid() == UID && geteuid() == UID && getgid() == UID && getegid() == UID);
	must(open("/proc/1/environ", O_RDONLY) < 0);
}

UT_TEST(root_becomes_the_user_of_the_vm)
{
	if (geteuid() != 0)
		UT_SKIP("needs root");
	int status = fate(be_nobody_special, UID);
	UT_CHECK(WIFEXITED(status));
	UT_EQ(WEXITSTATUS(status), LIVED);
}
