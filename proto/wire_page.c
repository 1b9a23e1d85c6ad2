/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "proto/wire_page.h"

#include "base/buf.h"
#include "base/err.h"

struct desc {
	const char *name;
	uint16_t type;
	uint8_t class;
	uint8_t bytes;
	uint16_t fields;
};

static const struct desc descs[] = {
#define WIRE_PAGE(name, number, class, fields, bytes, text)                                        \
	{#name, number, MSG_##class, bytes, (uint16_t)(fields)},
#include "proto/wire_page.def"
#undef WIRE_PAGE
};

/* The size that the fields add up to is the size that the table states. */
#define BYTES_OF(f)                                                                                \
	(((f)&WPF_PAGE ? 8u : 0u) + ((f)&WPF_RUN ? 2u : 0u) + ((f)&WPF_REQ ? 4u : 0u) +            \
		((f)&WPF_GEN ? 4u : 0u) + ((f)&WPF_VERSION ? 4u : 0u) +                            \
		((f)&WPF_STAMP ? 8u : 0u) + ((f)&WPF_THIRD ? 2u : 0u) + ((f)&WPF_ACKS ? 2u : 0u) + \
		((f)&WPF_KIND ? 2u : 0u) + ((f)&WPF_FLAGS ? 1u : 0u))
#define WIRE_PAGE(name, number, class, fields, bytes, text)                                        \
	STATIC_CHECK(BYTES_OF(fields) == (bytes), "size of " #name);                               \
	STATIC_CHECK((bytes) <= WIRE_PAGE_HEAD_MAX, "room for " #name);                            \
	STATIC_CHECK((number) >= WIRE_PAGE_FIRST && (number) <= WIRE_PAGE_LAST, "range");
#include "proto/wire_page.def"
#undef WIRE_PAGE

static const struct desc *desc_find(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(descs); i++) {
		if (descs[i].type == type)
			return &descs[i];
	}
	return NULL;
}

size_t wire_page_encode(const struct wire_page *msg, uint8_t out[WIRE_PAGE_HEAD_MAX])
{
	const struct desc *d = desc_find(msg->type);
	CHECK(d != NULL);
	struct wcur c = wcur_of(out, WIRE_PAGE_HEAD_MAX);

	if (d->fields & WPF_PAGE)
		wcur_u64(&c, msg->page.v);
	if (d->fields & WPF_RUN)
		wcur_u16(&c, msg->run);
	if (d->fields & WPF_REQ)
		wcur_u32(&c, msg->req);
	if (d->fields & WPF_GEN)
		wcur_u32(&c, msg->gen);
	if (d->fields & WPF_VERSION)
		wcur_u32(&c, msg->version);
	if (d->fields & WPF_STAMP)
		wcur_u64(&c, msg->stamp);
	if (d->fields & WPF_THIRD)
		wcur_u16(&c, msg->third.v);
	if (d->fields & WPF_ACKS)
		wcur_u16(&c, msg->acks);
	if (d->fields & WPF_KIND)
		wcur_u16(&c, msg->kind);
	if (d->fields & WPF_FLAGS)
		wcur_u8(&c, msg->flags);
	CHECK(!c.bad && c.used == d->bytes);
	return c.used;
}

/* Which flags may a type carry? */
static uint8_t flags_allowed(uint16_t type)
{
	switch (type) {
	case WIRE_PAGE_DATA:
		return WIRE_PAGE_EXCL | WIRE_PAGE_ZERO | WIRE_PAGE_UNCHANGED | WIRE_PAGE_CLEAN;
	case WIRE_PAGE_GETS:
		return WIRE_PAGE_AHEAD;
	case WIRE_PAGE_GETM:
		return WIRE_PAGE_UPGRADE;
	case WIRE_PAGE_DONE:
		return WIRE_PAGE_CLEAN;
	case WIRE_PAGE_OWN_ACK:
		return WIRE_PAGE_YES;
	default:
		return 0;
	}
}

bool wire_page_run_good(const struct wire_page *m)
{
	bool may = m->type == WIRE_PAGE_GETS || m->type == WIRE_PAGE_DONE ||
		   (m->type == WIRE_PAGE_GETM && (m->flags & WIRE_PAGE_UPGRADE) == 0);

	return m->run == 1 || (may && m->run != 0 && m->run <= WIRE_PAGE_RUN_MAX);
}

/* Values that no sender that keeps the rules produces (R-DSM-2). */
static bool values_good(const struct wire_page *m)
{
	if (!wire_page_run_good(m) || m->third.v >= SLICE_MAX || m->acks >= SLICE_MAX)
		return false;
	if ((m->flags & ~flags_allowed(m->type)) != 0)
		return false;
	if (m->type == WIRE_PAGE_DATA) {
		bool excl = (m->flags & WIRE_PAGE_EXCL) != 0;
		bool zero = (m->flags & WIRE_PAGE_ZERO) != 0;
		bool unchanged = (m->flags & WIRE_PAGE_UNCHANGED) != 0;
		bool clean = (m->flags & WIRE_PAGE_CLEAN) != 0;
		if ((zero && unchanged) || (!excl && (unchanged || clean || m->acks != 0)) ||
			(unchanged && clean))
			return false;
	}
	if (m->type == WIRE_PAGE_REDIRECT && m->kind != WIRE_PAGE_GETS &&
		m->kind != WIRE_PAGE_GETM && m->kind != WIRE_PAGE_PUT && m->kind != WIRE_PAGE_DROP)
		return false;
	return true;
}

bool wire_page_has_data(const struct wire_page *msg)
{
	return msg->type == WIRE_PAGE_DATA &&
	       (msg->flags & (WIRE_PAGE_ZERO | WIRE_PAGE_UNCHANGED)) == 0;
}

int wire_page_decode(uint16_t type, const void *head, size_t head_bytes, size_t data_bytes,
	struct wire_page *out)
{
	const struct desc *d = desc_find(type);
	if (d == NULL || head_bytes != d->bytes)
		return ERR_FORMAT;
	struct rcur c = rcur_of(head, head_bytes);
	struct wire_page m = {.type = type, .run = 1};

	if (d->fields & WPF_PAGE)
		m.page.v = rcur_u64(&c);
	if (d->fields & WPF_RUN)
		m.run = rcur_u16(&c);
	if (d->fields & WPF_REQ)
		m.req = rcur_u32(&c);
	if (d->fields & WPF_GEN)
		m.gen = rcur_u32(&c);
	if (d->fields & WPF_VERSION)
		m.version = rcur_u32(&c);
	if (d->fields & WPF_STAMP)
		m.stamp = rcur_u64(&c);
	if (d->fields & WPF_THIRD)
		m.third.v = rcur_u16(&c);
	if (d->fields & WPF_ACKS)
		m.acks = rcur_u16(&c);
	if (d->fields & WPF_KIND)
		m.kind = rcur_u16(&c);
	if (d->fields & WPF_FLAGS)
		m.flags = rcur_u8(&c);
	if (!rcur_done(&c) || !values_good(&m))
		return ERR_FORMAT;
	if (data_bytes != (wire_page_has_data(&m) ? PAGE_BYTES : 0))
		return ERR_FORMAT;
	*out = m;
	return 0;
}

enum msg_class wire_page_class(uint16_t type)
{
	const struct desc *d = desc_find(type);
	return d == NULL ? MSG_CLASS_N : (enum msg_class)d->class;
}

const char *wire_page_name(uint16_t type)
{
	const struct desc *d = desc_find(type);
	return d == NULL ? "?" : d->name;
}
