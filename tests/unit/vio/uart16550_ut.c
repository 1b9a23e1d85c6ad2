/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/uart16550.h"

#include "tests/lib/ut.h"

static struct stream *s;
static struct uart16550 *u;
static bool level;

static void on_line(void *ctx, unsigned source, bool now)
{
	CHECK(source == 10);
	level = now;
}

static void before(void)
{
	const struct stream_cfg cfg = {64, 8, STREAM_LOSSY_UNHEARD};
	const struct vio_line line = {on_line, NULL, 10};
	UT_OK(stream_create(&cfg, &s));
	UT_OK(uart16550_create(&line, s, &u));
	level = false;
}

static void after(void)
{
	uart16550_destroy(u);
	stream_destroy(s);
}

UT_SUITE_WITH(uart16550, before, after);

enum { RBR = 0, THR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

static unsigned rd(unsigned reg)
{
	return (unsigned)uart16550_range_ops.read(u, reg, 1);
}

static void wr(unsigned reg, unsigned value)
{
	uart16550_range_ops.write(u, reg, 1, value);
}

UT_TEST(bytes_go_out)
{
	char got[3];
	wr(THR, 'h');
	wr(THR, 'i');
	UT_EQ(rd(LSR), 0x60);
	UT_EQ(stream_host_read(s, got, 3), 2);
	UT_EQ_MEM(got, "hi", 2);
}

UT_TEST(bytes_come_in_by_interrupt)
{
	wr(FCR, 0x01);
	wr(IER, 0x01);
	UT_CHECK(!level);
	UT_EQ(rd(IIR), 0xc1);
	stream_host_write(s, "ab", 2);
	UT_CHECK(level);
	UT_EQ(rd(IIR), 0xc4);
	UT_EQ(rd(LSR) & 1, 1);
	UT_EQ(rd(RBR), 'a');
	UT_CHECK(level);
	UT_EQ(rd(RBR), 'b');
	UT_CHECK(!level);
	UT_EQ(rd(LSR) & 1, 0);
	UT_EQ(rd(RBR), 0);
}

UT_TEST(below_the_trigger_level_it_is_a_timeout)
{
	wr(FCR, 0xc1);
	wr(IER, 0x01);
	stream_host_write(s, "abc", 3);
	UT_EQ(rd(IIR), 0xcc);
	stream_host_write(s, "0123456789abc", 13);
	rd(LSR);
	rd(RBR);
	UT_EQ(rd(IIR), 0xc4);
}

UT_TEST(nothing_is_overrun_by_the_host)
{
	wr(FCR, 0x01);
	char sent[64];
	for (unsigned i = 0; i < sizeof(sent); i++)
		sent[i] = (char)('0' + i % 70);
	UT_EQ(stream_host_write(s, sent, sizeof(sent)), sizeof(sent));
	for (unsigned i = 0; i < sizeof(sent); i++) {
		UT_EQ(rd(LSR) & 3, 1);
		UT_EQ(rd(RBR), sent[i]);
	}
}

/* As the 8250 driver starts a transmission, and as it tests for the THRE bug. */
UT_TEST(enabling_the_transmit_interrupt_raises_it)
{
	wr(IER, 0x02);
	UT_CHECK(level);
	UT_EQ(rd(IIR), 0x02);
	UT_CHECK(!level);
	UT_EQ(rd(IIR), 0x01);
	wr(IER, 0);
	wr(IER, 0x02);
	UT_EQ(rd(IIR), 0x02);
	wr(THR, 'x');
	UT_CHECK(level);
	UT_EQ(rd(IIR), 0x02);
	wr(IER, 0);
	UT_CHECK(!level);
}

UT_TEST(a_slow_listener_slows_the_guest)
{
	char got[16];
	stream_host_open(s, true);
	wr(IER, 0x02);
	for (unsigned i = 0; i < 9; i++) {
		UT_EQ(rd(LSR) & 0x20, 0x20);
		wr(THR, '0' + i);
	}
	rd(IIR);
	UT_EQ(rd(LSR) & 0x60, 0);
	UT_CHECK(!level);
	UT_EQ(stream_host_read(s, got, 1), 1);
	UT_CHECK(level);
	UT_EQ(rd(LSR) & 0x60, 0x60);
	UT_EQ(stream_host_read(s, got, 16), 8);
	UT_EQ(got[7], '8');
	UT_EQ(stream_host_dropped(s), 0);
}

UT_TEST(without_a_listener_nothing_waits)
{
	for (unsigned i = 0; i < 100; i++) {
		UT_EQ(rd(LSR) & 0x20, 0x20);
		wr(THR, i);
	}
	UT_EQ(stream_host_dropped(s), 92);
}

UT_TEST(loop_mode_gives_back_bytes_and_lines)
{
	wr(MCR, 0x1a);
	UT_EQ(rd(MSR), 0x90);
	wr(MCR, 0x15);
	UT_EQ(rd(MSR), 0x60);
	wr(THR, 'q');
	UT_EQ(rd(LSR) & 1, 1);
	wr(THR, 'r'); /* no FIFO: one byte only */
	UT_EQ(rd(LSR) & 2, 2);
	UT_EQ(rd(LSR) & 2, 0);
	UT_EQ(rd(RBR), 'q');
	UT_EQ(stream_host_readable(s), 0);
	wr(MCR, 0x0b);
	UT_EQ(rd(MSR), 0xb0);
}

UT_TEST(an_overrun_is_a_line_status_interrupt)
{
	wr(IER, 0x04);
	wr(MCR, 0x10);
	wr(THR, 'a');
	wr(THR, 'b');
	UT_CHECK(level);
	UT_EQ(rd(IIR), 0x06);
	rd(LSR);
	UT_CHECK(!level);
}

UT_TEST(registers_hold_their_values)
{
	wr(SCR, 0x5a);
	UT_EQ(rd(SCR), 0x5a);
	wr(LCR, 0x83);
	wr(0, 0x34);
	wr(1, 0x12);
	UT_EQ(rd(0), 0x34);
	UT_EQ(rd(1), 0x12);
	wr(LCR, 0x03);
	UT_EQ(rd(IER), 0);
	wr(IER, 0xff);
	UT_EQ(rd(IER), 0x0f);
	wr(LSR, 0);
	UT_EQ(rd(LSR), 0x60);
	uart16550_reset(u);
	UT_EQ(rd(SCR), 0);
	UT_EQ(rd(LCR), 0);
	UT_CHECK(!level);
}

UT_TEST(other_accesses_do_nothing)
{
	UT_EQ(uart16550_range_ops.read(u, 0, 4), 0xffffffff);
	UT_EQ(uart16550_range_ops.read(u, 8, 1), 0xff);
	uart16550_range_ops.write(u, 0, 4, 'x');
	uart16550_range_ops.write(u, 200, 1, 'x');
	UT_EQ(stream_host_readable(s), 0);
}

UT_TEST(clearing_the_fifo_makes_room)
{
	wr(FCR, 0x01);
	stream_host_write(s, "abc", 3);
	wr(FCR, 0x03);
	UT_EQ(rd(LSR) & 1, 0);
	stream_host_write(s, "d", 1);
	UT_EQ(rd(RBR), 'd');
}
