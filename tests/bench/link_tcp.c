/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips over plain TCP sockets, waiting in epoll. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/link.h"

struct tcp {
	bool asks;
	int listen_fd, fd, epoll_fd;
	uint8_t buf[LINK_ANSWER_BYTES];
};

static int tcp_failed(const char *what)
{
	return bench_complain(what, strerror(errno));
}

static int tcp_address(const char *ip, unsigned port, struct sockaddr_in *a)
{
	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return inet_pton(AF_INET, ip, &a->sin_addr) == 1 ? 0 : bench_complain("tcp", "bad address");
}

static int tcp_open(const char *ip, bool asks, void **out, char *address)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct tcp *t = calloc(1, sizeof(*t));
	CHECK(t != NULL);
	*out = t;
	t->asks = asks;
	t->fd = -1;
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->listen_fd < 0 || t->epoll_fd < 0)
		return tcp_failed("socket");
	if (tcp_address(ip, 0, &a) != 0)
		return -1;
	if (bind(t->listen_fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
		listen(t->listen_fd, 1) != 0 ||
		getsockname(t->listen_fd, (struct sockaddr *)&a, &len) != 0)
		return tcp_failed("listen");
	snprintf(address, XPORT_OFI_ADDR_BYTES, "%s:%u", ip, ntohs(a.sin_port));
	return 0;
}

static int tcp_connect(struct tcp *t, const char *peer)
{
	char ip[XPORT_OFI_ADDR_BYTES];
	struct sockaddr_in a;
	unsigned port;
	if (sscanf(peer, "%79[^:]:%u", ip, &port) != 2 || tcp_address(ip, port, &a) != 0)
		return bench_complain("tcp", "bad address");
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->fd < 0 || connect(t->fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		return tcp_failed("connect");
	return 0;
}

static int tcp_join(void *link, const char *peer)
{
	struct tcp *t = link;
	const int one = 1;
	if (t->asks) {
		if (tcp_connect(t, peer) != 0)
			return -1;
	} else {
		t->fd = accept4(t->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (t->fd < 0)
			return tcp_failed("accept");
	}
	struct epoll_event ev = {.events = EPOLLIN};
	if (setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
		epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->fd, &ev) != 0)
		return tcp_failed("epoll");
	return 0;
}

static int tcp_take(struct tcp *t, size_t want)
{
	for (size_t have = 0; have < want;) {
		ssize_t n = recv(t->fd, t->buf + have, want - have, MSG_DONTWAIT);
		if (n > 0) {
			have += (size_t)n;
			continue;
		}
		struct epoll_event ev;
		if (n == 0 || errno != EAGAIN || epoll_wait(t->epoll_fd, &ev, 1, LINK_WAIT_MS) < 1)
			return bench_complain("tcp", "the other side is silent");
	}
	return 0;
}

static int tcp_give(struct tcp *t, size_t len)
{
	return send(t->fd, t->buf, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : tcp_failed("send");
}

static int tcp_serve(void *link, unsigned n)
{
	struct tcp *t = link;
	for (unsigned i = 0; i < n; i++)
		if (tcp_take(t, LINK_ASK_BYTES) != 0 || tcp_give(t, LINK_ANSWER_BYTES) != 0)
			return -1;
	return 0;
}

static int tcp_ask(void *link, unsigned n, unsigned window, uint64_t *ns)
{
	struct tcp *t = link;
	CHECK(window == 1);
	for (unsigned i = 0; i < n; i++) {
		uint64_t number = i, got, since = bench_now_ns();
		memcpy(t->buf, &number, sizeof(number));
		if (tcp_give(t, LINK_ASK_BYTES) != 0 || tcp_take(t, LINK_ANSWER_BYTES) != 0)
			return -1;
		ns[i] = bench_now_ns() - since;
		memcpy(&got, t->buf, sizeof(got));
		if (got != number)
			return bench_complain("tcp", "an answer to another request");
	}
	return 0;
}

static void tcp_close(void *link)
{
	struct tcp *t = link;
	const int fds[] = {t->fd, t->listen_fd, t->epoll_fd};
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(t);
}

const struct link_ops link_tcp = {tcp_open, tcp_join, tcp_serve, tcp_ask, tcp_close};
