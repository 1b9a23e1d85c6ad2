/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/wire_page.h"
#include "tests/lib/ut.h"

UT_SUITE(wire_page);

static const uint16_t types[] = {
#define WIRE_PAGE(name, number, class, fields, bytes, text) number,
#include "proto/wire_page.def"
#undef WIRE_PAGE
};

static struct wire_page sample(uint16_t type)
{
	return (struct wire_page){
		.type = type,
		.page = {0x1122334455667788},
		.run = 1,
		.req = 0x01020304,
		.gen = 0x11121314,
		.version = 0x21222324,
		.stamp = 0x3132333435363738,
		.third = {0xab},
		.acks = type == WIRE_PAGE_DATA ? 0 : 0xcd,
		.kind = WIRE_PAGE_PUT,
	};
}

UT_TEST(every_message_survives_the_wire)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct wire_page in = sample(types[i]), out, again;
		uint8_t head[WIRE_PAGE_HEAD_MAX], head2[WIRE_PAGE_HEAD_MAX];
		size_t n = wire_page_encode(&in, head);
		size_t data = wire_page_has_data(&in) ? PAGE_BYTES : 0;
		UT_EQ(wire_page_decode(types[i], head, n, data, &out), 0);
		UT_EQ(out.type, types[i]);
		UT_EQ(out.page.v, in.page.v);
		UT_EQ(wire_page_encode(&out, head2), n);
		UT_CHECK(memcmp(head, head2, n) == 0);
		/* One byte too few or too many, a page where none belongs. */
		UT_EQ(wire_page_decode(types[i], head, n - 1, data, &again), ERR_FORMAT);
		UT_EQ(wire_page_decode(types[i], head, n + 1, data, &again), ERR_FORMAT);
		UT_EQ(wire_page_decode(types[i], head, n, PAGE_BYTES - data, &again), ERR_FORMAT);
		UT_EQ(wire_page_decode(types[i], head, n, 17, &again), ERR_FORMAT);
	}
}

UT_TEST(the_bytes_are_those_of_the_document)
{
	struct wire_page m = sample(WIRE_PAGE_INV);
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	static const uint8_t want[] = {
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* page */
		0x04, 0x03, 0x02, 0x01,                         /* req */
		0x24, 0x23, 0x22, 0x21,                         /* version */
		0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, /* stamp */
		0xab, 0x00,                                     /* third */
	};
	UT_EQ(wire_page_encode(&m, head), sizeof(want));
	UT_CHECK(memcmp(head, want, sizeof(want)) == 0);
}

static int recode(struct wire_page m, size_t data)
{
	uint8_t head[WIRE_PAGE_HEAD_MAX];
	struct wire_page out;
	size_t n = wire_page_encode(&m, head);
	return wire_page_decode(m.type, head, n, data, &out);
}

UT_TEST(values_that_nobody_sends_are_refused)
{
	struct wire_page m = sample(WIRE_PAGE_GETS);
	m.flags = WIRE_PAGE_UPGRADE;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m = sample(WIRE_PAGE_INV);
	m.third.v = SLICE_MAX;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m = sample(WIRE_PAGE_GETM);
	m.flags = WIRE_PAGE_YES;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m = sample(WIRE_PAGE_REDIRECT);
	m.kind = WIRE_PAGE_DONE;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m = sample(WIRE_PAGE_FWD_GETM);
	m.acks = SLICE_MAX;
	UT_EQ(recode(m, 0), ERR_FORMAT);
}

UT_TEST(only_requests_are_for_several_pages)
{
	struct wire_page m = sample(WIRE_PAGE_GETS);
	m.run = WIRE_PAGE_RUN_MAX;
	UT_EQ(recode(m, 0), 0);
	m.run++;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m.run = 0;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m = sample(WIRE_PAGE_GETM);
	m.run = 2;
	UT_EQ(recode(m, 0), 0);
	m.flags = WIRE_PAGE_UPGRADE; /* each page has a version of its own */
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m = sample(WIRE_PAGE_DROP);
	m.run = 2;
	UT_EQ(recode(m, 0), ERR_FORMAT);
}

UT_TEST(data_says_truly_whether_a_page_comes_with_it)
{
	struct wire_page m = sample(WIRE_PAGE_DATA);
	UT_EQ(recode(m, PAGE_BYTES), 0);
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m.flags = WIRE_PAGE_ZERO;
	UT_EQ(recode(m, 0), 0);
	UT_EQ(recode(m, PAGE_BYTES), ERR_FORMAT);
	m.flags = WIRE_PAGE_EXCL | WIRE_PAGE_UNCHANGED;
	UT_EQ(recode(m, 0), 0);
	m.flags = WIRE_PAGE_UNCHANGED; /* a read grant always brings the page */
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m.flags = WIRE_PAGE_EXCL | WIRE_PAGE_UNCHANGED | WIRE_PAGE_ZERO;
	UT_EQ(recode(m, 0), ERR_FORMAT);
	m.flags = 0;
	m.acks = 1; /* a read waits for nobody */
	UT_EQ(recode(m, PAGE_BYTES), ERR_FORMAT);
	m.acks = 0;
	m.flags = WIRE_PAGE_EXCL | WIRE_PAGE_CLEAN;
	UT_EQ(recode(m, PAGE_BYTES), 0);
	m.flags = WIRE_PAGE_CLEAN; /* of a page that was given away */
	UT_EQ(recode(m, PAGE_BYTES), ERR_FORMAT);
	m.flags = WIRE_PAGE_EXCL | WIRE_PAGE_UNCHANGED | WIRE_PAGE_CLEAN;
	UT_EQ(recode(m, 0), ERR_FORMAT);
}

struct row {
	uint16_t number;
	enum msg_class class;
};

UT_TEST(the_table_is_that_of_all_messages)
{
	static const struct row rows[] = {
#define MSG(name, number, class, text) {number, MSG_##class},
#include "proto/wire_msgs.def"
#undef MSG
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].number < WIRE_PAGE_FIRST || rows[i].number > WIRE_PAGE_LAST)
			continue;
		n++;
		UT_EQ(wire_page_class(rows[i].number), rows[i].class);
		UT_CHECK(strcmp(wire_page_name(rows[i].number), "?") != 0);
	}
	UT_EQ(n, ARRAY_SIZE(types));
	UT_EQ(wire_page_class(0x01fe), MSG_CLASS_N);
}
