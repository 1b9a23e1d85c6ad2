/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/seal.h"

#include "tests/lib/ut.h"

static struct seal *sealer, *opener;
static uint8_t key[SEAL_KEY_BYTES];
static uint8_t frame[64];
static const char aad[] = "header";

static void before(void)
{
	memset(key, 7, sizeof(key));
	UT_OK(seal_create(key, &sealer));
	UT_OK(seal_create(key, &opener));
}

static void after(void)
{
	seal_destroy(sealer);
	seal_destroy(opener);
}

UT_SUITE_WITH(seal, before, after);

static void seal_one(void)
{
	seal_seal(sealer, aad, sizeof(aad), "head", 4, "data", 4, frame);
}

static int open_one(uint64_t sequence, size_t bytes)
{
	return seal_open(opener, sequence, aad, sizeof(aad), frame, bytes);
}

UT_TEST(what_is_sealed_opens_once)
{
	UT_EQ(seal_next(sealer), 1);
	seal_one();
	UT_EQ(seal_next(sealer), 2);
	UT_CHECK(memcmp(frame, "headdata", 8) != 0);
	uint8_t copy[sizeof(frame)];
	memcpy(copy, frame, sizeof(copy));
	UT_OK(open_one(1, 8 + SEAL_TAG_BYTES));
	UT_EQ_MEM(frame, "headdata", 8);
	memcpy(frame, copy, sizeof(copy));
	UT_ERR(open_one(1, 8 + SEAL_TAG_BYTES), REPLAY);
	/* And the connection is over. */
	seal_one();
	UT_ERR(open_one(2, 8 + SEAL_TAG_BYTES), REPLAY);
}

UT_TEST(a_gap_is_refused)
{
	seal_one();
	seal_one();
	UT_ERR(open_one(2, 8 + SEAL_TAG_BYTES), REPLAY);
}

UT_TEST(a_changed_byte_is_refused)
{
	seal_one();
	frame[3] ^= 1;
	UT_ERR(open_one(1, 8 + SEAL_TAG_BYTES), AUTH);
}

UT_TEST(a_changed_header_is_refused)
{
	seal_one();
	UT_ERR(seal_open(opener, 1, "Header", sizeof(aad), frame, 8 + SEAL_TAG_BYTES), AUTH);
}

UT_TEST(less_than_a_tag_is_refused)
{
	UT_ERR(open_one(1, SEAL_TAG_BYTES - 1), FORMAT);
}

UT_TEST(datagrams_may_be_lost_but_not_come_again)
{
	uint8_t first[sizeof(frame)];
	seal_one();
	memcpy(first, frame, sizeof(first));
	seal_one();
	UT_OK(seal_open_later(opener, 2, aad, sizeof(aad), frame, 8 + SEAL_TAG_BYTES));
	UT_ERR(seal_open_later(opener, 1, aad, sizeof(aad), first, 8 + SEAL_TAG_BYTES), REPLAY);
	seal_one();
	UT_OK(seal_open_later(opener, 3, aad, sizeof(aad), frame, 8 + SEAL_TAG_BYTES));
}

UT_TEST(plain_still_counts)
{
	struct seal *s, *o;
	UT_OK(seal_create(NULL, &s));
	UT_OK(seal_create(NULL, &o));
	seal_seal(s, aad, sizeof(aad), "head", 4, "data", 4, frame);
	UT_EQ_MEM(frame, "headdata", 8);
	int good = seal_open(o, 1, aad, sizeof(aad), frame, 8);
	int again = seal_open(o, 1, aad, sizeof(aad), frame, 8);
	seal_destroy(s);
	seal_destroy(o);
	UT_OK(good);
	UT_ERR(again, REPLAY);
}

UT_TEST(keys_depend_on_everything_they_are_made_of)
{
	struct seal_secret secret = {{1}};
	struct vm_incarnation inc = {{2}};
	struct seal_origin o = {.secret = &secret, .incarnation = &inc, .lo = {0}, .hi = {1}};
	uint8_t base[SEAL_KEY_BYTES], k[SEAL_KEY_BYTES];
	seal_derive(&o, "frames lo-hi", base);
	seal_derive(&o, "frames lo-hi", k);
	UT_EQ_MEM(k, base, sizeof(k));
	seal_derive(&o, "frames hi-lo", k);
	UT_CHECK(memcmp(k, base, sizeof(k)) != 0);
	o.nonce_hi[0]++;
	seal_derive(&o, "frames lo-hi", k);
	UT_CHECK(memcmp(k, base, sizeof(k)) != 0);
	o.nonce_hi[0]--;
	o.hi.v = 2;
	seal_derive(&o, "frames lo-hi", k);
	UT_CHECK(memcmp(k, base, sizeof(k)) != 0);
	o.hi.v = 1;
	secret.b[31]++;
	seal_derive(&o, "frames lo-hi", k);
	UT_CHECK(memcmp(k, base, sizeof(k)) != 0);
}
