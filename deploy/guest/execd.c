/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of `mirrorball vm exec`: takes commands from the virtio-console port
 * org.mirrorball.exec, runs each with /bin/sh -c, and carries its stdout and stderr byte for byte
 * over org.mirrorball.out and org.mirrorball.err. The protocol is written down in README.md beside
 * this file.
 *
 * Statically linked and alone: it has to work in an initial RAM disk and in any root filesystem.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CMD_MAX_BYTES  (1u << 20)
#define LINE_MAX_BYTES 64
#define COPY_BYTES     65536

/* One direction of output: the pipe's read end, the port, and what has been passed on. */
struct stream {
	int pipe_fd;
	int port_fd;
	uint64_t n_bytes;
};

static int sigchld_fd[2];

static void die(const char *what)
{
	fprintf(stderr, "execd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void on_sigchld(int sig)
{
	const int saved = errno;

	(void)sig;
	/* A full pipe already says what there is to say. */
	if (write(sigchld_fd[1], "", 1) < 0)
		errno = saved;
	errno = saved;
}

/* Finds the character device of the port NAME by sysfs, since nothing here may rely on udev. */
static int port_open(const char *name, int flags)
{
	char path[300], text[64];
	struct dirent *e;
	int fd = -1;
	DIR *d = opendir("/sys/class/virtio-ports");

	while (d && fd < 0 && (e = readdir(d))) {
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f)) {
			text[strcspn(text, "\n")] = 0;
			if (!strcmp(text, name)) {
				snprintf(path, sizeof(path), "/dev/%s", e->d_name);
				fd = open(path, flags | O_CLOEXEC);
			}
		}
		fclose(f);
	}
	if (d)
		closedir(d);
	return fd;
}

/*
 * A port whose host end is away reads as end of file and polls as hung up; wait for the host to
 * come.
 */
static void port_wait(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	poll(&p, 1, -1);
	if (p.revents & POLLHUP)
		poll(NULL, 0, 50);
}

static void port_write(int fd, const char *buf, size_t n)
{
	while (n) {
		const ssize_t w = write(fd, buf, n);

		if (w > 0) {
			buf += w;
			n -= (size_t)w;
		} else if (w < 0 && errno != EINTR && errno != EAGAIN && errno != EPIPE) {
			die("writing to a port");
		} else {
			port_wait(fd, POLLOUT);
		}
	}
}

static void port_read(int fd, char *buf, size_t n)
{
	while (n) {
		const ssize_t r = read(fd, buf, n);

		if (r > 0) {
			buf += r;
			n -= (size_t)r;
		} else if (r < 0 && errno != EINTR && errno != EAGAIN) {
			die("reading from a port");
		} else {
			port_wait(fd, POLLIN);
		}
	}
}

static void say(int fd, const char *fmt, ...)
{
	char line[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	port_write(fd, line, (size_t)n);
}

/*
 * Reads a request line without its newline; what does not fit is cut, and then no request matches
 * it.
 */
static void read_line(int fd, char line[LINE_MAX_BYTES])
{
	size_t n = 0;
	char c;

	for (;;) {
		port_read(fd, &c, 1);
		if (c == '\n')
			break;
		if (n < LINE_MAX_BYTES - 1)
			line[n++] = c;
	}
	line[n] = 0;
}

/* Takes what the pipe has; returns 0 at its end. */
static int stream_pump(struct stream *s, char *buf)
{
	ssize_t n;

	do
		n = read(s->pipe_fd, buf, COPY_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 1;
	if (n <= 0)
		return 0;
	port_write(s->port_fd, buf, (size_t)n);
	s->n_bytes += (uint64_t)n;
	return 1;
}

static pid_t spawn(const char *cmd, int out_fd, int err_fd)
{
	const pid_t pid = fork();

	if (pid)
		return pid;
	const int null_fd = open("/dev/null", O_RDONLY);

	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0)
		_exit(126);
	if (null_fd > 2)
		close(null_fd);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
	_exit(127);
}

static int stream_open(struct stream *s, int *write_fd)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -1;
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	s->pipe_fd = fd[0];
	s->n_bytes = 0;
	*write_fd = fd[1];
	return 0;
}

/*
 * Runs one command. It is over when the shell has ended and what it wrote has been read: a daemon
 * it left behind may hold the pipes open for ever, so after the shell's end only the bytes already
 * there are taken.
 */
static int run(const char *cmd, struct stream s[2], char *buf)
{
	int wfd[2], status = 0, open_streams = 2, ended = 0;
	pid_t pid;

	if (stream_open(&s[0], &wfd[0]) || stream_open(&s[1], &wfd[1]))
		die("pipe");
	pid = spawn(cmd, wfd[0], wfd[1]);
	if (pid < 0)
		die("fork");
	close(wfd[0]);
	close(wfd[1]);
	while (open_streams || !ended) {
		struct pollfd p[3] = {{s[0].pipe_fd, POLLIN, 0}, {s[1].pipe_fd, POLLIN, 0},
			{sigchld_fd[0], POLLIN, 0}};

		if (poll(p, 3, ended ? 0 : -1) < 0 && errno != EINTR)
			die("poll");
		if (ended && !p[0].revents && !p[1].revents)
			break;
		for (int i = 0; i < 2; i++) {
			if (p[i].revents && !stream_pump(&s[i], buf)) {
				close(s[i].pipe_fd);
				s[i].pipe_fd = -1;
				open_streams--;
			}
		}
		while (read(sigchld_fd[0], buf, COPY_BYTES) > 0)
			;
		if (!ended && waitpid(pid, &status, WNOHANG) == pid)
			ended = 1;
	}
	for (int i = 0; i < 2; i++)
		if (s[i].pipe_fd >= 0)
			close(s[i].pipe_fd);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void serve(int exec_fd, struct stream s[2])
{
	char line[LINE_MAX_BYTES], rest;
	char *buf = malloc(COPY_BYTES), *cmd = malloc(CMD_MAX_BYTES + 1);
	unsigned int n;

	if (!buf || !cmd)
		die("malloc");
	say(exec_fd, "READY\n");
	for (;;) {
		read_line(exec_fd, line);
		if (sscanf(line, "RUN %7u%c", &n, &rest) != 1 || n > CMD_MAX_BYTES) {
			say(exec_fd, "ERROR want RUN and at most %u bytes\n", CMD_MAX_BYTES);
			continue;
		}
		port_read(exec_fd, cmd, n);
		cmd[n] = 0;

		const int status = run(cmd, s, buf);

		say(exec_fd, "EXIT %d %llu %llu\n", status, (unsigned long long)s[0].n_bytes,
			(unsigned long long)s[1].n_bytes);
	}
}

int main(void)
{
	struct stream s[2] = {{.pipe_fd = -1}, {.pipe_fd = -1}};
	struct sigaction sa = {.sa_handler = on_sigchld, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
	const int exec_fd = port_open("org.mirrorball.exec", O_RDWR);

	s[0].port_fd = port_open("org.mirrorball.out", O_WRONLY);
	s[1].port_fd = port_open("org.mirrorball.err", O_WRONLY);
	if (exec_fd < 0 || s[0].port_fd < 0 || s[1].port_fd < 0)
		die("opening the ports org.mirrorball.{exec,out,err}");
	if (pipe2(sigchld_fd, O_CLOEXEC | O_NONBLOCK) < 0)
		die("pipe");
	sigemptyset(&sa.sa_mask);
	sigaction(SIGCHLD, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	serve(exec_fd, s);
	return 0;
}
