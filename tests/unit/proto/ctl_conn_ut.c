/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/ctl_conn.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/ctl_unix.h"
#include "tests/lib/ut.h"
#include "tests/unit/proto/ctl_pair.h"

UT_SUITE(ctl_conn);

struct answer {
	unsigned n;
	int err;
	char text[512];
	uint32_t value;
};

static void on_reply(void *arg, int err, const void *msg, const struct ctl_fault *fault)
{
	struct answer *a = arg;

	a->n++;
	a->err = err;
	snprintf(a->text, sizeof(a->text), "%s", err == 0 ? "" : fault->text);
	a->value = err == 0 ? ((const struct ctl_slice_status *)msg)->state : 0;
}

static void serve_status(struct end *e, const struct ctl_rx *rx)
{
	struct ctl_slice_status s = {
		.ref = {.vm = "x"}, .state = CTL_SLICE_RUNNING, .reason = CTL_STOP_NONE};

	ctl_conn_reply(e->conn, rx->type, rx->id, &s);
}

static void serve_refusal(struct end *e, const struct ctl_rx *rx)
{
	ctl_conn_refuse(e->conn, rx->type, rx->id, ERR_STATE, "a hint", "no %s today", "slices");
}

static const struct ctl_slice_ref ref = {.vm = "x", .slice = 5};

static int ask(struct pair *p, struct answer *a, uint64_t timeout_ns)
{
	memset(a, 0, sizeof(*a));
	return ctl_conn_request(
		p->a.conn, CTL_SLICE_START, &ref, NULL, 0, timeout_ns, on_reply, a, NULL);
}

UT_TEST(request_and_answer)
{
	struct pair p;
	struct answer a;

	pair_init(&p, NULL, NULL);
	UT_ERR(ask(&p, &a, 0), STATE); /* not before the handshake */
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	p.b.serve = serve_status;
	UT_OK(ask(&p, &a, 0));
	UT_EQ(a.n, 0);
	PAIR_UNTIL(&p, a.n == 1);
	UT_EQ(a.err, 0);
	UT_EQ(a.value, CTL_SLICE_RUNNING);
	UT_EQ(p.b.last_value, 5);
	p.b.serve = serve_refusal;
	UT_OK(ask(&p, &a, 0));
	PAIR_UNTIL(&p, a.n == 1);
	UT_EQ(a.err, ERR_STATE);
	UT_EQ_STR(a.text, "no slices today");
	pair_fini(&p);
}

UT_TEST(versions)
{
	struct ctl_conn_params old = {
		.hello = {.major = 1, .program = "new-agent", .version = "3"}};
	struct pair p;

	old.hello.major = CTL_VERSION_MAJOR + 1;
	pair_init(&p, &old, NULL);
	PAIR_UNTIL(&p, p.a.conn == NULL && p.b.conn == NULL);
	UT_EQ(p.a.down_err, ERR_VERSION);
	UT_EQ(p.b.down_err, ERR_VERSION);
	UT_HAS_STR(p.a.why, "new-agent 3 speaks 2");
	UT_HAS_STR(p.a.why, "same release");
	UT_CHECK(!p.a.ready && !p.b.ready);
	pair_fini(&p);
}

UT_TEST(timeout_and_late_answer)
{
	struct pair p;
	struct answer a;

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	UT_OK(ask(&p, &a, 1000000));
	PAIR_UNTIL(&p, a.n == 1 && p.b.requests == 1);
	UT_EQ(a.err, ERR_TIMEOUT);
	struct ctl_slice_status s = {.ref = {.vm = "x"}};
	ctl_conn_reply(p.b.conn, p.b.last_type, p.b.last_id, &s);
	p.b.serve = serve_status;
	UT_OK(ask(&p, &a, 0));
	PAIR_UNTIL(&p, a.n == 1); /* the late one is not taken for this one's */
	UT_EQ(a.value, CTL_SLICE_RUNNING);
	pair_fini(&p);
}

UT_TEST(end_answers_requests)
{
	struct pair p;
	struct answer a, b;

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	UT_OK(ask(&p, &a, 0));
	PAIR_UNTIL(&p, p.b.requests == 1);
	ctl_conn_destroy(p.b.conn);
	p.b.conn = NULL;
	PAIR_UNTIL(&p, a.n == 1);
	UT_EQ(a.err, ERR_LINK_DOWN);
	UT_CHECK(p.a.conn == NULL && p.a.down_err == ERR_LINK_DOWN);
	pair_fini(&p);

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	UT_OK(ask(&p, &b, 0));
	ctl_conn_destroy(p.a.conn);
	p.a.conn = NULL;
	UT_EQ(b.n, 1);
	UT_EQ(b.err, ERR_CANCELED);
	pair_fini(&p);
}

UT_TEST(descriptors_travel)
{
	struct pair p;
	struct answer a;
	struct stat x, y;
	int fds[2] = {open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY)};

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	p.b.serve = serve_status;
	memset(&a, 0, sizeof(a));
	UT_OK(ctl_conn_request(p.a.conn, CTL_SLICE_START, &ref, fds, 2, 0, on_reply, &a, NULL));
	UT_CHECK(fstat(fds[0], &x) == 0);
	close(fds[0]);
	close(fds[1]);
	PAIR_UNTIL(&p, a.n == 1);
	UT_CHECK(p.b.last_fd >= 0 && fstat(p.b.last_fd, &y) == 0 && x.st_rdev == y.st_rdev);
	close(p.b.last_fd);
	pair_fini(&p);
}

UT_TEST(events)
{
	struct pair p;
	struct ctl_slice_status s = {.ref = {.vm = "x"}};

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	ctl_conn_event(p.b.conn, CTL_SLICE_EVENT, 77, &s);
	PAIR_UNTIL(&p, p.a.events == 1);
	UT_EQ(p.a.last_type, CTL_SLICE_EVENT);
	UT_EQ(p.a.last_id, 77);
	pair_fini(&p);
}

UT_TEST(finish_writes_all_first)
{
	struct pair p;
	struct ctl_slice_status s = {.ref = {.vm = "x"}};

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	for (int i = 0; i < 100; i++)
		ctl_conn_event(p.b.conn, CTL_SLICE_EVENT, 0, &s);
	ctl_conn_finish(p.b.conn, ERR_VM_STOPPED, "that is all");
	PAIR_UNTIL(&p, p.b.conn == NULL && p.a.conn == NULL);
	UT_EQ(p.b.down_err, ERR_VM_STOPPED);
	UT_EQ(p.a.events, 100);
	pair_fini(&p);
}

static void serve_by_leaving(struct end *e, const struct ctl_rx *rx)
{
	ctl_conn_destroy(e->conn);
	e->conn = NULL;
}

UT_TEST(destroyed_by_its_own_callback)
{
	struct pair p;
	struct answer a;

	pair_init(&p, NULL, NULL);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	p.b.serve = serve_by_leaving;
	UT_OK(ask(&p, &a, 0));
	PAIR_UNTIL(&p, p.b.conn == NULL && p.a.conn == NULL);
	UT_EQ(a.err, ERR_LINK_DOWN);
	pair_fini(&p);
}

UT_TEST(silence)
{
	struct ctl_conn_params b = {.hello = {.program = "b"}, .handshake_ns = 20000000};
	struct pair p;

	close(pair_init_raw(&p, &b)); /* gone at once */
	PAIR_UNTIL(&p, p.b.conn == NULL);
	UT_EQ(p.b.down_err, ERR_LINK_DOWN);
	pair_fini(&p);
	int fd = pair_init_raw(&p, &b); /* never speaks */
	PAIR_UNTIL(&p, p.b.conn == NULL);
	UT_EQ(p.b.down_err, ERR_TIMEOUT);
	UT_HAS_STR(p.b.why, "no handshake");
	pair_fini(&p);
	close(fd);
}

static void send_frame(
	int fd, uint16_t type, uint16_t flags, uint32_t id, const void *buf, size_t len)
{
	uint8_t frame[4096];
	struct ctl_head head = {(uint32_t)len, type, flags, id};

	ctl_head_encode(&head, frame);
	memcpy(frame + CTL_HEAD_BYTES, buf, len);
	UT_EQ(send(fd, frame, CTL_HEAD_BYTES + len, 0), CTL_HEAD_BYTES + len);
}

static void send_hello(int fd)
{
	send_frame(fd, CTL_HELLO, 0, 1, "\x08\x01", 2);
}

/* Two peers whose connection is idle ping each other; one that only reads is given up. */
UT_TEST(idle)
{
	struct ctl_conn_params q = {.hello = {.program = "q"}, .idle_ns = 60000000};
	struct pair p;

	pair_init(&p, &q, &q);
	PAIR_UNTIL(&p, p.a.ready && p.b.ready);
	uint64_t end = clock_now_ns(clock_host()) + 200000000;
	while (clock_now_ns(clock_host()) < end)
		loop_once(p.loop, 20);
	UT_CHECK(p.a.conn != NULL && p.b.conn != NULL);
	pair_fini(&p);
	int fd = pair_init_raw(&p, &q);
	send_hello(fd);
	PAIR_UNTIL(&p, p.b.conn == NULL);
	UT_CHECK(p.b.ready && p.b.down_err == ERR_TIMEOUT);
	pair_fini(&p);
	close(fd);
}

static void violates(const char *what, const uint8_t *packet, size_t len, bool hello)
{
	struct pair p;
	int fd = pair_init_raw(&p, NULL);

	if (hello)
		send_hello(fd);
	UT_EQ(send(fd, packet, len, 0), len);
	PAIR_UNTIL(&p, p.b.conn == NULL);
	if (p.b.down_err != ERR_PROTOCOL)
		UT_FAIL("%s: %s", what, p.b.why);
	pair_fini(&p);
	close(fd);
}

UT_TEST(violations)
{
	static const struct {
		const char *what;
		bool hello;
		uint16_t type, flags;
		uint32_t id, announced;
		size_t len;
		const char *payload;
	} bad[] = {
		{"no hello", false, CTL_PING, 0, 0, 0, 0, ""},
		{"malformed hello", false, CTL_HELLO, 0, 1, 1, 1, "\xff"},
		{"hello as an answer", false, CTL_HELLO, CTL_FLAG_REPLY, 1, 2, 2, "\x08\x01"},
		{"second hello", true, CTL_HELLO, 0, 1, 2, 2, "\x08\x01"},
		{"malformed request", true, CTL_SLICE_START, 0, 3, 1, 1, "\xff"},
		{"answer of unknown type", true, 999, CTL_FLAG_REPLY, 3, 0, 0, ""},
		{"announces too much", true, CTL_PING, 0, 0, CTL_PAYLOAD_LOCAL_MAX + 1, 0, ""},
		{"packet longer than frame", true, CTL_PING, 0, 0, 0, 1, "x"},
		{"packet shorter than frame", true, CTL_PING, 0, 0, 2, 1, "x"},
		{"stream with our id", true, CTL_STREAM_OPEN, 0, 2, 5, 5, "\x0a\x01x\x10\x01"},
	};
	uint8_t packet[64];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ctl_head head = {bad[i].announced, bad[i].type, bad[i].flags, bad[i].id};
		ctl_head_encode(&head, packet);
		memcpy(packet + CTL_HEAD_BYTES, bad[i].payload, bad[i].len);
		violates(bad[i].what, packet, CTL_HEAD_BYTES + bad[i].len, bad[i].hello);
	}
	violates("half a header", packet, 5, true);
}

UT_TEST(unknown_request_is_refused)
{
	struct pair p;
	int fd = pair_init_raw(&p, NULL);
	uint8_t buf[512];
	struct ctl_head head;

	send_hello(fd);
	send_frame(fd, 999, 0, 3, "", 0);
	PAIR_UNTIL(&p, recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK) > 0 && p.b.ready);
	UT_CHECK(recv(fd, buf, sizeof(buf), 0) > 0); /* the hello */
	PAIR_UNTIL(&p, recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK) > 0);
	UT_OK(ctl_head_decode(buf, CTL_PAYLOAD_MAX, &head));
	UT_EQ(head.type, 999);
	UT_EQ(head.flags, CTL_FLAG_REPLY | CTL_FLAG_FAULT);
	UT_CHECK(p.b.conn != NULL);
	pair_fini(&p);
	close(fd);
}

/* A peer that does not read costs a bounded queue, then the connection. */
UT_TEST(output_is_bounded)
{
	struct pair p;
	int fd = pair_init_raw(&p, NULL);
	struct ctl_slice_status s = {.ref = {.vm = "x"}};

	memset(s.text, 'x', sizeof(s.text) - 1);
	send_hello(fd);
	PAIR_UNTIL(&p, p.b.ready);
	for (int i = 0; i < 200000 && p.b.conn != NULL; i++) {
		ctl_conn_event(p.b.conn, CTL_SLICE_EVENT, 0, &s);
		if (i % 1000 == 0)
			loop_once(p.loop, 0);
	}
	PAIR_UNTIL(&p, p.b.conn == NULL);
	UT_EQ(p.b.down_err, ERR_FULL);
	pair_fini(&p);
	close(fd);
}

UT_TEST(unix_errors)
{
	struct ctl_io *io;
	char path[200];
	int fd, pid;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	UT_ERR(ctl_unix_listen(path, &fd), RANGE);
	UT_ERR(ctl_unix_connect(path, &io, &pid), RANGE);
	UT_ERR(ctl_unix_connect("/nowhere/s", &io, &pid), CONNECT);
}
