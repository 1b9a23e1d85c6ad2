/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/ctl_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "proto/wire_ctl.h"

static int unix_handshake(struct ctl_io *io)
{
	return 0;
}

/* Descriptors that came in a packet which is refused must not stay open. */
static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void take_fds(struct msghdr *mh, int *fds, unsigned *n_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		const unsigned char *data = CMSG_DATA(c);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
			if (*n_fds < CTL_FDS_MAX)
				fds[(*n_fds)++] = fd;
			else
				close(fd);
		}
	}
}

static int unix_read(struct ctl_io *io, void *buf, size_t len, size_t *done, int fds[CTL_FDS_MAX],
	unsigned *n_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CTL_FDS_MAX * sizeof(int))];
	struct iovec iov = {buf, len};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};

	*n_fds = 0;
	ssize_t n = recvmsg(io->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return ERR_AGAIN;
	if (n < 0) {
		snprintf(io->why, sizeof(io->why), "receive: %s", strerror(errno));
		return ERR_LINK_DOWN;
	}
	take_fds(&mh, fds, n_fds);
	if (n == 0) {
		close_all(fds, *n_fds);
		snprintf(io->why, sizeof(io->why), "closed by the other side");
		return ERR_LINK_DOWN;
	}
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		close_all(fds, *n_fds);
		snprintf(io->why, sizeof(io->why), "a packet is longer than the protocol allows");
		return ERR_PROTOCOL;
	}
	*done = (size_t)n;
	return 0;
}

static int unix_write(struct ctl_io *io, const void *buf, size_t len, const int *fds,
	unsigned n_fds, size_t *done)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CTL_FDS_MAX * sizeof(int))];
	struct iovec iov = {(void *)buf, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		memset(control, 0, sizeof(control));
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	ssize_t n = sendmsg(io->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
		io->want_write = true;
		return ERR_AGAIN;
	}
	if (n < 0) {
		snprintf(io->why, sizeof(io->why), "send: %s", strerror(errno));
		return ERR_LINK_DOWN;
	}
	*done = (size_t)n;
	return 0;
}

static void unix_destroy(struct ctl_io *io)
{
	close(io->fd);
	free(io);
}

static const struct ctl_io_ops unix_ops = {
	.handshake = unix_handshake,
	.read = unix_read,
	.write = unix_write,
	.destroy = unix_destroy,
};

static int io_create(int fd, struct ctl_io **out)
{
	struct ctl_io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return ERR_NO_MEMORY;
	io->ops = &unix_ops;
	io->fd = fd;
	io->packets = true;
	*out = io;
	return 0;
}

static int address_of(const char *path, struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa->sun_path))
		return ERR_RANGE;
	memcpy(sa->sun_path, path, strlen(path) + 1);
	return 0;
}

int ctl_unix_listen(const char *path, int *out_fd)
{
	struct sockaddr_un sa;
	int err = address_of(path, &sa);

	if (err != 0)
		return err;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_from_errno(errno);
	/* Set on the socket before bind, so that there is no moment with a wider mode. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(fd, 8) < 0) {
		err = err_from_errno(errno);
		close(fd);
		return err;
	}
	*out_fd = fd;
	return 0;
}

int ctl_unix_connect(const char *path, struct ctl_io **out, int *pid)
{
	struct sockaddr_un sa;
	int err = address_of(path, &sa);

	if (err != 0)
		return err;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_from_errno(errno);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		err = errno == EAGAIN ? ERR_AGAIN : ERR_CONNECT;
		goto undo_fd;
	}
	err = io_create(fd, out);
	if (err != 0)
		goto undo_fd;
	*pid = cred.pid;
	return 0;
undo_fd:
	close(fd);
	return err;
}

int ctl_unix_accept(int listen_fd, struct ctl_io **out)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return ERR_AGAIN;
	if (fd < 0)
		return err_from_errno(errno);
	int err = io_create(fd, out);
	if (err != 0)
		close(fd);
	return err;
}
