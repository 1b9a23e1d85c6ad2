/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node-agent/slice.h"

/*
 * The only file that gives privileges up. It runs when memory, userfaultfd, images and listening
 * sockets exist, and before the first byte of a peer or guest is parsed. What is left to a slice
 * that has been broken into: its own VM's memory and files, the network as its user, and nothing
 * that could be executed.
 *
 * A system call that is not listed kills the process: a slice that does something else is not a
 * slice any more. Its agent reports the signal.
 */

static const int allowed[] = {
	/* descriptors */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	/* network: the fabric and the NAT of the guest */
	SCMP_SYS(socket),
	SCMP_SYS(socketpair),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	/* memory, threads, time */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(mincore),
	SCMP_SYS(futex),
	SCMP_SYS(membarrier),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(tgkill),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(sched_setattr),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(prctl),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
};

/* The only requests that may be made of a device or socket. */
static const unsigned long ioctls[] = {
	UFFDIO_REGISTER,
	UFFDIO_UNREGISTER,
	UFFDIO_WAKE,
	UFFDIO_COPY,
	UFFDIO_ZEROPAGE,
	UFFDIO_WRITEPROTECT,
	UFFDIO_CONTINUE,
	FIONREAD,
	FIONBIO,
};

static int add_rules(scmp_filter_ctx f)
{
	int e = 0;
	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(allowed); i++)
		e = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(ioctls); i++)
		e = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)ioctls[i]));
	/* Name look-ups of the NAT read resolv.conf; nothing is opened for writing. */
	if (e == 0)
		e = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			SCMP_A2_32(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
	/* No memory becomes executable; the code cache is mapped before (vcpu/rv64/jit/code.c). */
	if (e == 0)
		e = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (e == 0)
		e = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return e;
}

static int filter_enter(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (f == NULL)
		return ERR_NO_MEMORY;
	int e = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	/* By default a call of another ABI (x32, i386) ends its thread only: a slice that hangs. */
	if (e == 0)
		e = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (e == 0)
		e = add_rules(f);
	if (e == 0)
		e = seccomp_load(f);
	seccomp_release(f);
	if (e == 0)
		return 0;
	errno = -e;
	log_error(slice, "cannot enter the system call filter: %m");
	return ERR_KERNEL;
}

/* Namespaces and user, which only root can leave. */
static int user_enter(const struct ctl_slice_spec *spec)
{
	if (geteuid() != 0 || spec->uid == 0)
		return 0;
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
		log_error(slice, "cannot enter namespaces of its own: %m");
		return ERR_KERNEL;
	}
	if (setgroups(0, NULL) != 0 || setresgid(spec->gid, spec->gid, spec->gid) != 0 ||
		setresuid(spec->uid, spec->uid, spec->uid) != 0) {
		log_error(slice, "cannot become user %u, group %u: %m", spec->uid, spec->gid);
		return ERR_KERNEL;
	}
	return 0;
}

int slice_sandbox_enter(const struct ctl_slice_spec *spec)
{
	int err = user_enter(spec);
	if (err != 0)
		return err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		log_error(slice, "cannot give up new privileges: %m");
		return ERR_KERNEL;
	}
	return filter_enter();
}
