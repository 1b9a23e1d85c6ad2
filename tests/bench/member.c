/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "tests/bench/member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/local_fault.h"

#define ANSWER_MS 60000

struct work {
	const char *ip;
	int fd;
	void *links[LINK_KINDS];
	struct host *host;
};

static const struct link_ops *const link_kinds[LINK_KINDS] = {
	[LINK_TCP] = &link_tcp,
	[LINK_OFI] = &link_ofi,
	[LINK_SEALED] = &link_sealed,
	[LINK_PLAIN] = &link_plain,
};

int bench_complain(const char *what, const char *why)
{
	fprintf(stderr, "fabric-bench: %s: %s\n", what, why);
	return -1;
}

/* ---- in the member -------------------------------------------------------------------------- */

static int work_timed(struct work *w, const struct member_cmd *cmd, struct member_answer *a)
{
	uint64_t *ns = calloc(cmd->n, sizeof(*ns));
	CHECK(ns != NULL);
	uint64_t begin = bench_now_ns();
	int rc = cmd->order == ORDER_LOCAL_FAULTS
			 ? local_faults(cmd->n, ns)
			 : link_kinds[cmd->link]->ask(w->links[cmd->link], cmd->n, cmd->window, ns);
	uint64_t total = bench_now_ns() - begin;
	if (rc == 0) {
		a->times = bench_times_of(ns, cmd->n);
		a->times.total_ns = total;
	}
	free(ns);
	return rc;
}

static int work_do(struct work *w, const struct member_cmd *cmd, struct member_answer *a)
{
	const struct link_ops *link = link_kinds[cmd->link];
	struct host_cfg host = cmd->host;
	switch (cmd->order) {
	case ORDER_LINK_OPEN:
		return link->open(w->ip, cmd->asks, &w->links[cmd->link], a->address);
	case ORDER_LINK_JOIN:
		return link->join(w->links[cmd->link], cmd->peers[0]);
	case ORDER_LINK_SERVE:
		return link->serve(w->links[cmd->link], cmd->n);
	case ORDER_LINK_ASK:
	case ORDER_LOCAL_FAULTS:
		return work_timed(w, cmd, a);
	case ORDER_HOST_OPEN:
		host.ip = w->ip;
		return host_open(&host, &w->host, a->address);
	case ORDER_HOST_JOIN:
		return host_join(w->host, cmd->peers);
	case ORDER_TOUCH:
		return host_touch(w->host, &cmd->touch, &a->times);
	case ORDER_TURNS:
		return host_turns(w->host, &cmd->turns, &a->times);
	case ORDER_HOST_STOP:
		host_stop(w->host);
		return 0;
	case ORDER_HOST_CLOSE:
		host_close(w->host);
		w->host = NULL;
		return 0;
	case ORDER_END:
		return 0;
	}
	UNREACHABLE();
}

static void work_run(struct work *w)
{
	for (;;) {
		struct member_cmd cmd;
		struct member_answer a = {.err = 0};
		if (recv(w->fd, &cmd, sizeof(cmd), 0) != sizeof(cmd))
			return;
		a.err = work_do(w, &cmd, &a);
		if (send(w->fd, &a, sizeof(a), MSG_NOSIGNAL) != sizeof(a) || cmd.order == ORDER_END)
			return;
	}
}

static int enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		return bench_complain(netns, strerror(errno));
	close(fd);
	return 0;
}

/* As if the host had this processor alone: the `index`th that we may use, counted in a circle. */
static int settle(unsigned index)
{
	cpu_set_t all, one;
	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return bench_complain("sched_getaffinity", strerror(errno));
	unsigned skip = index % (unsigned)CPU_COUNT(&all), cpu = 0;
	while (!CPU_ISSET(cpu, &all) || skip-- > 0)
		cpu++;
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0)
		return bench_complain("sched_setaffinity", strerror(errno));
	return 0;
}

static _Noreturn void member_main(int fd, unsigned index, const char *ip, const char *netns)
{
	struct work w = {.ip = ip, .fd = fd};
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || settle(index) != 0 ||
		(netns != NULL && enter(netns) != 0))
		_exit(1);
	work_run(&w);
	if (w.host != NULL)
		host_close(w.host);
	for (unsigned i = 0; i < LINK_KINDS; i++)
		if (w.links[i] != NULL)
			link_kinds[i]->close(w.links[i]);
	_exit(0);
}

/* ---- outside -------------------------------------------------------------------------------- */

int member_start(struct member *m, unsigned index, const char *ip, const char *netns)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return bench_complain("socketpair", strerror(errno));
	m->pid = fork();
	if (m->pid == 0) {
		close(fds[0]);
		member_main(fds[1], index, ip, netns);
	}
	close(fds[1]);
	m->fd = fds[0];
	return m->pid > 0 ? 0 : bench_complain("fork", strerror(errno));
}

int member_order(struct member *m, const struct member_cmd *cmd)
{
	if (send(m->fd, cmd, sizeof(*cmd), MSG_NOSIGNAL) != sizeof(*cmd))
		return bench_complain("a host of the bench", "has ended");
	return 0;
}

int member_answer(struct member *m, struct member_answer *out)
{
	struct pollfd p = {.fd = m->fd, .events = POLLIN};
	if (poll(&p, 1, ANSWER_MS) != 1)
		return bench_complain("a host of the bench", "does not answer");
	if (recv(m->fd, out, sizeof(*out), 0) != sizeof(*out))
		return bench_complain("a host of the bench", "has ended");
	return out->err;
}

void member_end(struct member *m)
{
	const struct member_cmd end = {.order = ORDER_END};
	struct member_answer a;
	if (m->pid <= 0)
		return;
	if (member_order(m, &end) != 0 || member_answer(m, &a) != 0)
		kill(m->pid, SIGKILL);
	close(m->fd);
	waitpid(m->pid, NULL, 0);
	m->pid = 0;
}
