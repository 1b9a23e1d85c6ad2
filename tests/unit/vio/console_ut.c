/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/console.h"

#include "base/buf.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

#define SLOT       3u
#define PORT_BYTES 64u

#define READER_TURNS 10000u

static struct fixture f;
static struct virtio_driver vd;
static struct stream *streams[2];

static void before(void)
{
	fixture_init(&f);
	const struct stream_cfg console = {PORT_BYTES, PORT_BYTES, STREAM_LOSSY_UNHEARD};
	const struct stream_cfg exec = {PORT_BYTES, PORT_BYTES, STREAM_LOSSLESS};
	UT_OK(stream_create(&console, &streams[0]));
	UT_OK(stream_create(&exec, &streams[1]));
	const struct vio_port ports[] = {{NULL, streams[0]}, {"org.mirrorball.exec", streams[1]}};
	UT_OK(vio_machine_add_console(f.m, SLOT, ports, 2));
	UT_OK(vio_machine_start(f.m));
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
}

static void after(void)
{
	fixture_fini(&f);
	stream_destroy(streams[0]);
	stream_destroy(streams[1]);
}

UT_SUITE_WITH(console, before, after);

static void control(uint32_t id, uint16_t event, uint16_t value)
{
	struct vd_buf b = fixture_buf(&f, 8, false);
	struct wcur c = wcur_of(fixture_bytes(&f, b), 8);
	wcur_u32(&c, id);
	wcur_u16(&c, event);
	wcur_u16(&c, value);
	vd_do(&vd, 3, &b, 1);
}

static struct vd_buf control_rx;

/* Make room for one control message to the guest. */
static void control_offer(void)
{
	control_rx = fixture_buf(&f, 64, true);
	vd_add(&vd, 2, &control_rx, 1);
	vd_kick(&vd, 2);
}

static void control_expect(uint32_t id, uint16_t event, uint16_t value, const char *name)
{
	uint16_t head;
	uint32_t written;
	vd_wait_used(&vd, 2, &head, &written);
	struct rcur c = rcur_of(fixture_bytes(&f, control_rx), written);
	UT_EQ(rcur_u32(&c), id);
	UT_EQ(rcur_u16(&c), event);
	UT_EQ(rcur_u16(&c), value);
	UT_EQ(c.left, strlen(name));
	UT_EQ_MEM(rcur_bytes(&c, c.left), name, strlen(name));
	control_offer();
}

/* As Linux does it. */
static void handshake(void)
{
	vd_start(&vd);
	control_offer();
	control(UINT32_MAX, 0, 1);
	control_expect(0, 1, 1, "");
	control_expect(1, 1, 1, "");
	control(0, 3, 1);
	control_expect(0, 4, 1, "");
	control(1, 3, 1);
	control_expect(1, 7, 1, "org.mirrorball.exec");
	control(0, 6, 1);
	control(1, 6, 1);
}

UT_TEST(ports_are_announced_and_named)
{
	handshake();
	UT_CHECK(stream_host_guest_open(streams[0]));
	UT_CHECK(stream_host_guest_open(streams[1]));
	stream_host_open(streams[1], true);
	control_expect(1, 6, 1, "");
	control(1, 6, 0);
	UT_CHECK(!stream_host_guest_open(streams[1]));
}

UT_TEST(bytes_go_both_ways)
{
	handshake();
	stream_host_open(streams[1], true);
	control_expect(1, 6, 1, "");
	struct vd_buf out = fixture_buf(&f, 5, false), in = fixture_buf(&f, 100, true);
	memcpy(fixture_bytes(&f, out), "hello", 5);
	vd_do(&vd, 5, &out, 1);
	char got[8];
	UT_EQ(stream_host_read(streams[1], got, sizeof(got)), 5);
	UT_EQ_MEM(got, "hello", 5);
	vd_add(&vd, 4, &in, 1);
	vd_kick(&vd, 4);
	UT_EQ(stream_host_write(streams[1], "world", 5), 5);
	uint16_t head;
	uint32_t written;
	vd_wait_used(&vd, 4, &head, &written);
	UT_EQ(written, 5);
	UT_EQ_MEM(fixture_bytes(&f, in), "world", 5);
}

UT_TEST(a_lossless_port_leaves_bytes_in_the_ring)
{
	handshake();
	struct vd_buf out = fixture_buf(&f, 3 * PORT_BYTES, false);
	for (unsigned i = 0; i < out.bytes; i++)
		fixture_bytes(&f, out)[i] = (uint8_t)i;
	vd_add(&vd, 5, &out, 1);
	vd_kick(&vd, 5);
	uint16_t head;
	uint32_t written;
	for (unsigned i = 0; i < out.bytes; i++) {
		uint8_t byte;
		if (i + PORT_BYTES < out.bytes)
			UT_CHECK(!vd_used(&vd, 5, &head, &written));
		while (stream_host_read(streams[1], &byte, 1) == 0)
			UT_EQ(vd_status(&vd), 15);
		UT_EQ(byte, (uint8_t)i);
	}
	vd_wait_used(&vd, 5, &head, &written);
	UT_EQ(stream_host_dropped(streams[1]), 0);
}

/* The reader makes more room than the rest of a request needs, just as the worker looks for it. */
UT_TEST(a_reader_may_make_room_at_any_moment)
{
	handshake();
	struct vd_buf out = fixture_buf(&f, PORT_BYTES + 8, false);
	for (unsigned i = 0; i < out.bytes; i++)
		fixture_bytes(&f, out)[i] = (uint8_t)i;
	for (unsigned turn = 0; turn < READER_TURNS; turn++) {
		uint16_t head;
		uint32_t written;
		vd_add(&vd, 5, &out, 1);
		vd_kick(&vd, 5);
		for (size_t done = 0, n; done < out.bytes; done += n) {
			uint8_t bytes[PORT_BYTES / 4];
			while ((n = stream_host_read(streams[1], bytes, sizeof(bytes))) == 0)
				UT_EQ(vd_status(&vd), 15);
			UT_EQ_MEM(bytes, fixture_bytes(&f, out) + done, n);
		}
		vd_wait_used(&vd, 5, &head, &written);
	}
}

UT_TEST(the_console_drops_when_nobody_listens)
{
	handshake();
	struct vd_buf out = fixture_buf(&f, 3 * PORT_BYTES, false);
	for (unsigned i = 0; i < out.bytes; i++)
		fixture_bytes(&f, out)[i] = (uint8_t)i;
	vd_do(&vd, 1, &out, 1);
	UT_EQ(stream_host_dropped(streams[0]), 2 * PORT_BYTES);
	uint8_t got[PORT_BYTES];
	UT_EQ(stream_host_read(streams[0], got, sizeof(got)), PORT_BYTES);
	UT_EQ(got[0], 2 * PORT_BYTES);
}

UT_TEST(the_end_is_told_after_the_last_byte)
{
	handshake();
	stream_host_open(streams[1], true);
	control_expect(1, 6, 1, "");
	UT_EQ(stream_host_write(streams[1], "abc", 3), 3);
	stream_host_open(streams[1], false);
	/* The control queue has room, so only the bytes that wait hold the message back. */
	uint16_t head;
	uint32_t written;
	control(1, 99, 0);
	UT_CHECK(!vd_used(&vd, 2, &head, &written));
	struct vd_buf in = fixture_buf(&f, 8, true);
	vd_do(&vd, 4, &in, 1);
	control_expect(1, 6, 0, "");
}

UT_TEST(nothing_goes_to_a_port_that_is_not_open)
{
	handshake();
	control(1, 6, 0);
	struct vd_buf in = fixture_buf(&f, 8, true);
	vd_add(&vd, 4, &in, 1);
	UT_EQ(stream_host_write(streams[1], "abc", 3), 3);
	vd_kick(&vd, 4);
	uint16_t head;
	uint32_t written;
	control(1, 99, 0);
	UT_CHECK(!vd_used(&vd, 4, &head, &written));
	control(1, 6, 1);
	vd_wait_used(&vd, 4, &head, &written);
	UT_EQ(written, 3);
}

UT_TEST(foreign_control_messages_are_ignored)
{
	handshake();
	control(77, 3, 1);
	control(1, 77, 1);
	control(77, 6, 1);
	UT_EQ(vd_status(&vd), 15);
	struct vd_buf b = fixture_buf(&f, 7, false);
	vd_add(&vd, 3, &b, 1);
	vd_kick(&vd, 3);
	vd_wait_broken(&vd);
}

UT_TEST(reset_forgets_what_was_under_way)
{
	handshake();
	struct vd_buf out = fixture_buf(&f, 2 * PORT_BYTES, false);
	vd_add(&vd, 5, &out, 1);
	vd_kick(&vd, 5);
	vd_reset(&vd);
	UT_CHECK(!stream_host_guest_open(streams[1]));
	handshake();
	UT_EQ(vd_status(&vd), 15);
}

UT_TEST(one_port_without_the_feature)
{
	UT_CHECK((vd_negotiate(&vd, vd_offered(&vd) & ~UINT64_C(2)) & 8) != 0);
	vd_queue_setup(&vd, 0, 16);
	vd_queue_setup(&vd, 1, 16);
	vd_driver_ok(&vd);
	struct vd_buf out = fixture_buf(&f, 2, false), in = fixture_buf(&f, 8, true);
	memcpy(fixture_bytes(&f, out), "ok", 2);
	vd_do(&vd, 1, &out, 1);
	char got[2];
	UT_EQ(stream_host_read(streams[0], got, 2), 2);
	UT_EQ_MEM(got, "ok", 2);
	UT_EQ(stream_host_write(streams[0], "in", 2), 2);
	UT_EQ(vd_do(&vd, 0, &in, 1), 2);
}

UT_TEST(too_many_ports_and_long_names_are_refused)
{
	struct vio_port ports[9] = {{NULL, streams[0]}};
	UT_ERR(vio_machine_add_console(f.m, 5, ports, 9), RANGE);
	UT_ERR(vio_machine_add_console(f.m, 5, ports, 0), RANGE);
	ports[0].name = "a name of more than thirty-two bytes";
	UT_ERR(vio_machine_add_console(f.m, 5, ports, 1), INVAL);
}
