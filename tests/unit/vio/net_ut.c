/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

/*
 * A guest with a TCP of its own, in which nothing is lost: it talks DHCP to the NAT and fetches a
 * file from a server on this host's loopback.
 */
#define SLOT       6u
#define FRAME      1700u
#define RX_BUFFERS 64u
#define HEADER     12u
#define FILE_BYTES 300000u
#define GUEST      0x0a00020fu
#define GATEWAY    0x0a000202u
#define GUEST_PORT 40000u

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static struct fixture f;
static struct virtio_driver vd;
static struct vd_buf rx[RX_BUFFERS], tx;
static uint8_t gateway_mac[6];
static int server = -1;

static void start(bool open)
{
	struct vio_net_cfg cfg = {.open = open};
	memcpy(cfg.mac, guest_mac, 6);
	fixture_init(&f);
	UT_OK(vio_machine_add_net(f.m, SLOT, &cfg));
	UT_OK(vio_machine_start(f.m));
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
	vd_start(&vd);
	tx = fixture_buf(&f, FRAME, false);
	/* One descriptor each, in order: descriptor i is rx[i]. */
	for (unsigned i = 0; i < RX_BUFFERS; i++) {
		rx[i] = fixture_buf(&f, FRAME, true);
		UT_EQ(vd_add(&vd, 0, &rx[i], 1), i);
	}
	vd_kick(&vd, 0);
}

static void before(void)
{
	f.m = NULL;
	server = -1;
}

static void after(void)
{
	if (f.m != NULL)
		fixture_fini(&f);
	if (server >= 0)
		close(server);
}

UT_SUITE_WITH(net, before, after);

/* ---- frames ---- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint32_t sum(const uint8_t *p, size_t len, uint32_t s)
{
	for (size_t i = 0; i < len; i++)
		s += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/* Send what follows the virtio header. */
static void send_frame(const uint8_t *frame, uint32_t len)
{
	memset(fixture_bytes(&f, tx), 0, HEADER);
	memcpy(fixture_bytes(&f, tx) + HEADER, frame, len);
	struct vd_buf b = {tx.gpa, HEADER + len, false};
	vd_do(&vd, 1, &b, 1);
}

/* The next frame, copied out, its buffer given back. */
static uint32_t receive_frame(uint8_t *frame)
{
	uint16_t head;
	uint32_t written;
	vd_wait_used(&vd, 0, &head, &written);
	CHECK(head < RX_BUFFERS && written > HEADER && written <= FRAME);
	memcpy(frame, fixture_bytes(&f, rx[head]) + HEADER, written - HEADER);
	vd_publish(&vd, 0, head);
	vd_kick(&vd, 0);
	return written - HEADER;
}

static uint32_t make_ip(uint8_t *frame, unsigned proto, uint32_t dst, uint32_t payload)
{
	memcpy(frame, gateway_mac, 6);
	memcpy(frame + 6, guest_mac, 6);
	put16(frame + 12, 0x0800);
	uint8_t *ip = frame + 14;
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, 20 + payload);
	ip[8] = 64;
	ip[9] = (uint8_t)proto;
	put32(ip + 12, proto == 17 && dst == 0xffffffff ? 0 : GUEST);
	put32(ip + 16, dst);
	put16(ip + 10, ~sum(ip, 20, 0) & 0xffff);
	return 34 + payload;
}

/* Answers the gateway's question for us on the way. */
static bool handle_arp(const uint8_t *frame)
{
	if (get16(frame + 12) != 0x0806)
		return false;
	if (get16(frame + 20) == 1 && get32(frame + 38) == GUEST) {
		uint8_t reply[42];
		memcpy(reply, frame + 6, 6);
		memcpy(reply + 6, guest_mac, 6);
		memcpy(reply + 12, frame + 12, 8);
		put16(reply + 20, 2);
		memcpy(reply + 22, guest_mac, 6);
		put32(reply + 28, GUEST);
		memcpy(reply + 32, frame + 22, 10);
		send_frame(reply, sizeof(reply));
	}
	return true;
}

static void ask_gateway_mac(void)
{
	uint8_t frame[FRAME] = {0};
	memset(frame, 0xff, 6);
	memcpy(frame + 6, guest_mac, 6);
	static const uint8_t arp[8] = {0x08, 0x06, 0, 1, 8, 0, 6, 4};
	memcpy(frame + 12, arp, 8);
	put16(frame + 20, 1);
	memcpy(frame + 22, guest_mac, 6);
	put32(frame + 28, GUEST);
	put32(frame + 38, GATEWAY);
	send_frame(frame, 42);
	do
		receive_frame(frame);
	while (get16(frame + 12) != 0x0806 || get16(frame + 20) != 2);
	memcpy(gateway_mac, frame + 22, 6);
}

/* ---- DHCP ---- */

UT_TEST(dhcp_offers_the_address)
{
	start(false);
	uint8_t frame[FRAME] = {0};
	uint8_t *udp = frame + 34, *bootp = udp + 8;
	memset(gateway_mac, 0xff, 6);
	put16(udp, 68);
	put16(udp + 2, 67);
	put16(udp + 4, 8 + 300);
	bootp[0] = 1; /* request */
	bootp[1] = 1;
	bootp[2] = 6;
	put32(bootp + 4, 0x12345678);
	memcpy(bootp + 28, guest_mac, 6);
	put32(bootp + 236, 0x63825363);
	static const uint8_t options[] = {53, 1, 1, 255};
	memcpy(bootp + 240, options, sizeof(options));
	send_frame(frame, make_ip(frame, 17, 0xffffffff, 8 + 300));

	do
		receive_frame(frame);
	while (get16(frame + 12) != 0x0800 || frame[23] != 17);
	UT_EQ(get16(udp + 2), 68);
	UT_EQ(bootp[0], 2);
	UT_EQ(get32(bootp + 4), 0x12345678);
	UT_EQ(get32(bootp + 16), GUEST);
	UT_EQ(bootp[242 - 2], 53);
	UT_EQ(bootp[244 - 2], 2);
}

/* ---- TCP ---- */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct tcp {
	uint32_t dst, seq, ack;
	unsigned port;
};

static void tcp_send(struct tcp *t, unsigned flags, const char *data)
{
	uint8_t frame[FRAME] = {0};
	uint32_t len = (uint32_t)strlen(data);
	uint8_t *tcp = frame + 34, pseudo[12] = {0};
	put16(tcp, GUEST_PORT);
	put16(tcp + 2, t->port);
	put32(tcp + 4, t->seq);
	put32(tcp + 8, t->ack);
	tcp[12] = 5 << 4;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 16384);
	memcpy(tcp + 20, data, len);
	put32(pseudo, GUEST);
	put32(pseudo + 4, t->dst);
	pseudo[9] = 6;
	put16(pseudo + 10, 20 + len);
	put16(tcp + 16, ~sum(tcp, 20 + len, sum(pseudo, 12, 0)) & 0xffff);
	t->seq += len + ((flags & (SYN | FIN)) != 0);
	send_frame(frame, make_ip(frame, 6, t->dst, 20 + len));
}

/* The next segment of this connection: flags, and where its data are. */
static unsigned tcp_receive(struct tcp *t, uint8_t *frame, uint8_t **data, uint32_t *len)
{
	for (;;) {
		receive_frame(frame);
		if (handle_arp(frame) || frame[23] != 6)
			continue;
		uint8_t *tcp = frame + 34;
		unsigned head = (tcp[12] >> 4) * 4u, flags = tcp[13];
		*len = get16(frame + 16) - 20 - head;
		*data = tcp + head;
		if ((flags & SYN) != 0)
			t->ack = get32(tcp + 4);
		if ((flags & RST) == 0 && get32(tcp + 4) != t->ack)
			continue; /* sent again */
		t->ack += *len + ((flags & (SYN | FIN)) != 0);
		return flags;
	}
}

static unsigned listen_on_loopback(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(server >= 0 && bind(server, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	CHECK(listen(server, 1) == 0 && getsockname(server, (struct sockaddr *)&sin, &len) == 0);
	return ntohs(sin.sin_port);
}

static uint8_t file_byte(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 1000);
}

/* Takes one request line and answers with the file. */
static void *serve(void *arg)
{
	char line[64];
	size_t got = 0;
	int fd = accept(server, NULL, NULL);
	CHECK(fd >= 0);
	while (got == 0 || line[got - 1] != '\n') {
		ssize_t n = read(fd, line + got, sizeof(line) - got);
		CHECK(n > 0);
		got += (size_t)n;
	}
	static uint8_t file[FILE_BYTES];
	for (uint32_t i = 0; i < FILE_BYTES; i++)
		file[i] = file_byte(i);
	for (size_t done = 0; done < FILE_BYTES;) {
		ssize_t n = write(fd, file + done, FILE_BYTES - done);
		CHECK(n > 0);
		done += (size_t)n;
	}
	close(fd);
	return NULL;
}

UT_TEST(a_file_comes_from_a_server_on_the_host)
{
	struct tcp t = {.dst = GATEWAY, .seq = 1000, .port = listen_on_loopback()};
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, serve, NULL) == 0);
	start(true);
	ask_gateway_mac();
	uint8_t frame[FRAME], *data;
	uint32_t len, got = 0, wrong = 0;
	tcp_send(&t, SYN, "");
	UT_EQ(tcp_receive(&t, frame, &data, &len) & (SYN | ACK | RST), SYN | ACK);
	tcp_send(&t, ACK, "");
	tcp_send(&t, ACK | PSH, "GET /file\r\n");
	for (unsigned flags = 0; (flags & FIN) == 0;) {
		flags = tcp_receive(&t, frame, &data, &len);
		UT_EQ(flags & RST, 0);
		for (uint32_t i = 0; i < len; i++)
			wrong += data[i] != file_byte(got + i);
		got += len;
		if (len != 0 || (flags & FIN) != 0)
			tcp_send(&t, ACK, "");
	}
	UT_EQ(got, FILE_BYTES);
	UT_EQ(wrong, 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

UT_TEST(the_host_is_closed_unless_opened)
{
	struct tcp t = {.dst = GATEWAY, .seq = 1000, .port = listen_on_loopback()};
	start(false);
	ask_gateway_mac();
	uint8_t frame[FRAME];
	/* Straight to the host's loopback: dropped by the filter, so only the second is
	 * answered. */
	struct tcp direct = {.dst = INADDR_LOOPBACK, .seq = 5, .port = t.port};
	tcp_send(&direct, SYN, "");
	tcp_send(&t, SYN, "");
	do
		receive_frame(frame);
	while (handle_arp(frame));
	/* Refused: a reset, or "destination unreachable". */
	bool reset = frame[23] == 6 && (frame[34 + 13] & RST) != 0;
	bool unreachable = frame[23] == 1 && frame[34] == 3;
	UT_CHECK(reset || unreachable);
	UT_EQ(get32(frame + 26), GATEWAY);
}

UT_TEST(a_reset_starts_a_new_life)
{
	start(false);
	ask_gateway_mac();
	vd_reset(&vd);
	vd_start(&vd);
	for (unsigned i = 0; i < RX_BUFFERS; i++)
		vd_add(&vd, 0, &rx[i], 1);
	vd_kick(&vd, 0);
	ask_gateway_mac();
}

UT_TEST(odd_frames_are_dropped)
{
	start(false);
	uint8_t frame[FRAME] = {0};
	send_frame(frame, 0);
	send_frame(frame, 13);
	send_frame(frame, 60);
	send_frame(frame, FRAME - HEADER);
	ask_gateway_mac();
	UT_EQ(vd_status(&vd), 15);
}

UT_TEST(buffers_without_room_break_the_device)
{
	start(false);
	struct vd_buf small = fixture_buf(&f, HEADER - 1, false);
	vd_add(&vd, 1, &small, 1);
	vd_kick(&vd, 1);
	vd_wait_broken(&vd);
	vd_start(&vd);
	struct vd_buf tiny = fixture_buf(&f, 20, true);
	vd_add(&vd, 0, &tiny, 1);
	vd_kick(&vd, 0);
	uint8_t frame[FRAME] = {0};
	memset(frame, 0xff, 6);
	memcpy(frame + 6, guest_mac, 6);
	static const uint8_t arp[8] = {0x08, 0x06, 0, 1, 8, 0, 6, 4};
	memcpy(frame + 12, arp, 8);
	put16(frame + 20, 1);
	memcpy(frame + 22, guest_mac, 6);
	put32(frame + 28, GUEST);
	put32(frame + 38, GATEWAY);
	struct vd_buf ask = fixture_buf(&f, HEADER + 42, false);
	memcpy(fixture_bytes(&f, ask) + HEADER, frame, 42);
	vd_add(&vd, 1, &ask, 1);
	vd_kick(&vd, 1);
	vd_wait_broken(&vd);
}
