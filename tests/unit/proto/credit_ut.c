/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/credit.h"
#include "tests/lib/ut.h"

UT_SUITE(credit);

static const struct credit_cfg cfg = {.window = {2, 1, 4}, .queue_max = {3, 3, 3}};

static void both(struct credit *a, struct credit *b)
{
	credit_init(a, &cfg);
	credit_init(b, &cfg);
	UT_EQ(credit_open(a, cfg.window), 0);
	UT_EQ(credit_open(b, cfg.window), 0);
}

UT_TEST(nothing_goes_before_the_windows_are_known)
{
	struct credit c;
	bool now = true;
	uint16_t bad[MSG_CLASS_N] = {1, 0, 1};

	credit_init(&c, &cfg);
	UT_EQ(credit_open(&c, bad), ERR_PROTOCOL);
	UT_EQ(credit_send(&c, MSG_RESPONSE, &now), 0);
	UT_CHECK(!now);
}

UT_TEST(a_message_without_credit_waits_and_none_overtakes_it)
{
	struct credit a, b;
	enum msg_class class;
	uint16_t back[MSG_CLASS_N];
	bool now;

	both(&a, &b);
	UT_EQ(credit_send(&a, MSG_FORWARD, &now), 0);
	UT_CHECK(now);
	UT_EQ(credit_send(&a, MSG_FORWARD, &now), 0);
	UT_CHECK(!now);
	UT_CHECK(!credit_next(&a, &class));
	UT_EQ(credit_arrived(&b, MSG_FORWARD), 0);
	credit_consumed(&b, MSG_FORWARD);
	UT_CHECK(credit_due(&b));
	UT_CHECK(credit_collect(&b, back));
	UT_CHECK(!credit_collect(&b, (uint16_t[MSG_CLASS_N]){0}));
	UT_EQ(credit_returned(&a, back), 0);
	UT_EQ(credit_send(&a, MSG_FORWARD, &now), 0);
	UT_CHECK(!now); /* behind the one that waits */
	UT_CHECK(credit_next(&a, &class));
	UT_EQ(class, MSG_FORWARD);
	UT_CHECK(!credit_next(&a, &class));
	UT_EQ(a.waits, 2);
}

UT_TEST(classes_do_not_wait_for_each_other_and_the_highest_goes_first)
{
	struct credit a;
	enum msg_class class;
	uint16_t back[MSG_CLASS_N] = {1, 1, 1};
	bool now;

	credit_init(&a, &cfg);
	UT_EQ(credit_open(&a, cfg.window), 0);
	for (unsigned i = 0; i < 5; i++) {
		UT_EQ(credit_send(&a, MSG_RESPONSE, &now), 0);
		UT_CHECK(now == (i < 4));
	}
	for (unsigned i = 0; i < 3; i++) {
		UT_EQ(credit_send(&a, MSG_REQUEST, &now), 0);
		UT_CHECK(now == (i < 2));
	}
	UT_EQ(credit_send(&a, MSG_FORWARD, &now), 0);
	UT_CHECK(now);
	UT_EQ(credit_returned(&a, back), 0);
	UT_CHECK(credit_next(&a, &class));
	UT_EQ(class, MSG_RESPONSE);
	UT_CHECK(credit_next(&a, &class));
	UT_EQ(class, MSG_REQUEST);
}

UT_TEST(queues_are_bounded)
{
	struct credit a;
	bool now;

	credit_init(&a, &cfg);
	for (unsigned i = 0; i < 3; i++)
		UT_EQ(credit_send(&a, MSG_REQUEST, &now), 0);
	UT_EQ(credit_send(&a, MSG_REQUEST, &now), ERR_FULL);
	UT_EQ(credit_send(&a, MSG_FORWARD, &now), 0);
}

UT_TEST(a_peer_that_cheats_is_found)
{
	struct credit a, b;
	uint16_t back[MSG_CLASS_N] = {0, 1, 0};

	both(&a, &b);
	UT_EQ(credit_arrived(&b, MSG_FORWARD), 0);
	UT_EQ(credit_arrived(&b, MSG_FORWARD), ERR_PROTOCOL);
	UT_EQ(credit_returned(&a, back), ERR_PROTOCOL);
}
