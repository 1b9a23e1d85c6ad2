/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/admin.pb-c.h"
#include "proto/hello.pb-c.h"
#include "proto/host.pb-c.h"
#include "proto/slice.pb-c.h"
#include "proto/stream.pb-c.h"
#include "proto/vm.pb-c.h"

#define SAME(plain, wire) STATIC_CHECK((int)(plain) == (int)(wire), "numbers of " #plain " differ")
SAME(CTL_SLICE_LAST, MIRRORBALL__SLICE_STATE__SLICE_STOPPED);
SAME(CTL_SLICE_RUNNING, MIRRORBALL__SLICE_STATE__SLICE_RUNNING);
SAME(CTL_STOP_LAST, MIRRORBALL__STOP_REASON__STOP_ERROR);
SAME(CTL_STOP_LOST, MIRRORBALL__STOP_REASON__STOP_LOST);
SAME(CTL_VM_LAST, MIRRORBALL__VM_STATE__VM_FAILED);
SAME(CTL_VM_RUNNING, MIRRORBALL__VM_STATE__VM_RUNNING);
SAME(CTL_STREAM_LAST, MIRRORBALL__STREAM_KIND__STREAM_EXEC);
#undef SAME

/*
 * Field tables, made from wire_ctl.def: where a field is in the plain struct and in protobuf-c's,
 * and its rule. One pair of functions walks them for all messages.
 */
enum field_kind {
	FIELD_NAME,
	FIELD_STR,
	FIELD_TEXT,
	FIELD_FIXED,
	FIELD_BLOB,
	FIELD_U32,
	FIELD_U64,
	FIELD_S64,
	FIELD_FLAG,
	FIELD_ENUM,
	FIELD_SUB,
	FIELD_LIST,
};

struct field {
	const char *name;
	enum field_kind kind;
	uint32_t max;
	enum ctl_msg sub;
	size_t plain, plain_n; /* offsets */
	size_t wire, wire_n;
	const char *(*text)(uint32_t value); /* ENUM: its words */
};

struct msg {
	const char *name;
	size_t plain_bytes;
	const ProtobufCMessageDescriptor *wire;
	const struct field *fields;
	size_t n;
};

#define F(k, f, m, s)                                                                              \
	{                                                                                          \
		.name = #f, .kind = FIELD_##k, .max = (m), .sub = CTL_MSG_##s,                     \
		.plain = offsetof(PLAIN, f), .wire = offsetof(WIRE, f)                             \
	}
#define FN(k, f, m, s)                                                                             \
	{                                                                                          \
		.name = #f, .kind = FIELD_##k, .max = (m), .sub = CTL_MSG_##s,                     \
		.plain = offsetof(PLAIN, f), .plain_n = offsetof(PLAIN, n_##f),                    \
		.wire = offsetof(WIRE, f), .wire_n = offsetof(WIRE, n_##f)                         \
	}

/* Words of the enum that ends with that constant. */
#define TEXT_CTL_SLICE_LAST  ctl_slice_state_text
#define TEXT_CTL_STOP_LAST   ctl_stop_reason_text
#define TEXT_CTL_VM_LAST     ctl_vm_state_text
#define TEXT_CTL_STREAM_LAST NULL

/* The typedefs give the field macros, which know only the field, the two structs it belongs to. */
#define MSG(which, wire_name)                                                                      \
	static struct msg msg_##which(void)                                                        \
	{                                                                                          \
		typedef struct ctl_##which PLAIN;                                                  \
		typedef Mirrorball__##wire_name WIRE;                                              \
		const ProtobufCMessageDescriptor *desc = &mirrorball__##which##__descriptor;       \
		STATIC_CHECK(sizeof(WIRE) != 0, "protobuf-c knows it");                            \
		static const struct field fields[] = {
#define END(which)                                                                                 \
	{                                                                                          \
		.name = NULL                                                                       \
	}                                                                                          \
	}                                                                                          \
	;                                                                                          \
	return (struct msg){#which, sizeof(PLAIN), desc, fields, ARRAY_SIZE(fields) - 1};          \
	}
#define NAME(f, m)  F(NAME, f, m, none),
#define STR(f, m)   F(STR, f, m, none),
#define TEXT(f, m)  F(TEXT, f, m, none),
#define FIXED(f, m) F(FIXED, f, m, none),
#define U32(f)      F(U32, f, 0, none),
#define U64(f)      F(U64, f, 0, none),
#define S64(f)      F(S64, f, 0, none),
#define FLAG(f)     F(FLAG, f, 0, none),
#define ENUM(f, m)                                                                                 \
	{.name = #f,                                                                               \
		.kind = FIELD_ENUM,                                                                \
		.max = (m),                                                                        \
		.plain = offsetof(PLAIN, f),                                                       \
		.wire = offsetof(WIRE, f),                                                         \
		.text = TEXT_##m},
#define SUB(f, s) F(SUB, f, 0, s),
#define BLOB(f, m)                                                                                 \
	{.name = #f,                                                                               \
		.kind = FIELD_BLOB,                                                                \
		.max = (m),                                                                        \
		.plain = offsetof(PLAIN, f),                                                       \
		.plain_n = offsetof(PLAIN, n_##f),                                                 \
		.wire = offsetof(WIRE, f)},
#define LIST(f, s, m) FN(LIST, f, m, s),
/* clang-format off */
#include "proto/wire_ctl.def"
/* clang-format on */
#include "proto/wire_ctl_undef.h"

static struct msg msg_of(enum ctl_msg msg)
{
	switch (msg) {
#define MSG(which, wire_name)                                                                      \
	case CTL_MSG_##which:                                                                      \
		return msg_##which();
#define END(which)
#define NAME(f, m)
#define STR(f, m)
#define TEXT(f, m)
#define FIXED(f, m)
#define BLOB(f, m)
#define U32(f)
#define U64(f)
#define S64(f)
#define FLAG(f)
#define ENUM(f, m)
#define SUB(f, s)
#define LIST(f, s, m)
#include "proto/wire_ctl.def"
#include "proto/wire_ctl_undef.h"
	case CTL_MSG_none:
	case CTL_MSG_N:
		break;
	}
	UNREACHABLE();
}

/*
 * Memory of one decode or encode: a list of blocks within a budget, freed together. protobuf-c
 * multiplies lengths it has read without a check (its issue 796); the frame is capped, and so is
 * what it may allocate here.
 */
#define ARENA_BUDGET (8u << 20)

struct arena_block {
	struct arena_block *next;
	_Alignas(16) uint8_t bytes[];
};

struct arena {
	struct arena_block *blocks;
	size_t left;
	bool exhausted;
};

static void *arena_alloc(void *data, size_t bytes)
{
	struct arena *a = data;

	if (bytes > a->left) {
		a->exhausted = true;
		return NULL;
	}
	struct arena_block *b = malloc(sizeof(*b) + bytes);
	if (b == NULL)
		return NULL;
	a->left -= bytes;
	b->next = a->blocks;
	a->blocks = b;
	return b->bytes;
}

static void arena_free(void *data, void *p)
{
	/* All at once, in arena_fini(). */
}

static void arena_fini(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
}

bool ctl_name_valid(const char *s)
{
	if (*s == '\0' || *s == '.' || *s == '-' || *s == '_')
		return false;
	for (; *s != '\0'; s++) {
		bool alnum = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			     (*s >= '0' && *s <= '9');
		if (!alnum && *s != '.' && *s != '-' && *s != '_')
			return false;
	}
	return true;
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static int decode_text(const struct field *f, const char *s, char *out)
{
	size_t len = strlen(s);

	if (f->kind == FIELD_TEXT)
		len = MIN(len, (size_t)f->max - 1);
	else if (len >= f->max)
		return ERR_RANGE;
	memcpy(out, s, len);
	out[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (!is_control(out[i]))
			continue;
		if (f->kind != FIELD_TEXT)
			return ERR_FORMAT;
		out[i] = '?';
	}
	if (f->kind == FIELD_NAME && !ctl_name_valid(out))
		return ERR_FORMAT;
	return 0;
}

static int from_wire(struct msg m, const void *wire, uint8_t *out, size_t *left);

static int decode_fixed(const struct field *f, const ProtobufCBinaryData *bin, uint8_t *out)
{
	if (bin->len == 0)
		return 0;
	if (bin->len != f->max)
		return ERR_FORMAT;
	memcpy(out, bin->data, f->max);
	return 0;
}

static int decode_blob(
	const struct field *f, const ProtobufCBinaryData *bin, uint8_t **out, uint32_t *n)
{
	if (bin->len > f->max)
		return ERR_RANGE;
	if (bin->len == 0)
		return 0;
	*out = malloc(bin->len);
	if (*out == NULL)
		return ERR_NO_MEMORY;
	memcpy(*out, bin->data, bin->len);
	*n = (uint32_t)bin->len;
	return 0;
}

/* `left` bounds the plain memory as the arena bounds protobuf-c's: an empty element costs a peer
 * two bytes and us a whole struct. */
static int decode_list(const struct field *f, void *const *elems, size_t n, uint8_t **out,
	uint32_t *out_n, size_t *left)
{
	struct msg sub = msg_of(f->sub);
	int err = 0;

	if (n > f->max || n * sub.plain_bytes > *left)
		return ERR_RANGE;
	if (n == 0)
		return 0;
	*left -= n * sub.plain_bytes;
	*out = calloc(n, sub.plain_bytes);
	if (*out == NULL)
		return ERR_NO_MEMORY;
	*out_n =
		(uint32_t)n; /* the elements are zeroed, so fini may walk all of them at any time */
	for (size_t i = 0; i < n && err == 0; i++)
		err = from_wire(sub, elems[i], *out + i * sub.plain_bytes, left);
	return err;
}

static int field_from_wire(const struct field *f, const uint8_t *w, uint8_t *plain, size_t *left)
{
	uint8_t *p = plain + f->plain;
	const uint8_t *src = w + f->wire;

	switch (f->kind) {
	case FIELD_NAME:
	case FIELD_STR:
	case FIELD_TEXT:
		return decode_text(f, *(char *const *)src, (char *)p);
	case FIELD_FIXED:
		return decode_fixed(f, (const ProtobufCBinaryData *)src, p);
	case FIELD_BLOB:
		return decode_blob(f, (const ProtobufCBinaryData *)src, (uint8_t **)p,
			(uint32_t *)(plain + f->plain_n));
	case FIELD_U32:
		*(uint32_t *)p = *(const uint32_t *)src;
		return 0;
	case FIELD_ENUM:
		if (*(const int *)src < 0 || *(const uint32_t *)src > f->max)
			return ERR_RANGE;
		*(uint32_t *)p = *(const uint32_t *)src;
		return 0;
	case FIELD_U64:
	case FIELD_S64:
		*(uint64_t *)p = *(const uint64_t *)src;
		return 0;
	case FIELD_FLAG:
		*(bool *)p = *(const protobuf_c_boolean *)src != 0;
		return 0;
	case FIELD_SUB:
		if (*(void *const *)src == NULL)
			return ERR_FORMAT;
		return from_wire(msg_of(f->sub), *(void *const *)src, p, left);
	case FIELD_LIST:
		return decode_list(f, *(void *const *const *)src, *(const size_t *)(w + f->wire_n),
			(uint8_t **)p, (uint32_t *)(plain + f->plain_n), left);
	}
	UNREACHABLE();
}

static int from_wire(struct msg m, const void *wire, uint8_t *out, size_t *left)
{
	for (size_t i = 0; i < m.n; i++) {
		int err = field_from_wire(&m.fields[i], wire, out, left);
		if (err != 0)
			return err;
	}
	return 0;
}

int ctl_msg_decode(enum ctl_msg msg, const void *buf, size_t len, void *out)
{
	struct msg m = msg_of(msg);
	struct arena arena = {.left = ARENA_BUDGET};
	ProtobufCAllocator alloc = {arena_alloc, arena_free, &arena};
	size_t left = ARENA_BUDGET;
	int err;

	memset(out, 0, m.plain_bytes);
	if (len > CTL_PAYLOAD_MAX)
		return ERR_RANGE;
	/* protobuf-c wants a non-NULL pointer also for nothing. */
	ProtobufCMessage *wire = protobuf_c_message_unpack(
		m.wire, &alloc, len, len == 0 ? (const uint8_t *)"" : buf);
	if (wire == NULL)
		err = arena.exhausted ? ERR_RANGE : ERR_FORMAT;
	else
		err = from_wire(m, wire, out, &left);
	arena_fini(&arena);
	if (err != 0)
		ctl_msg_fini(msg, out);
	return err;
}

static ProtobufCMessage *to_wire(struct msg m, const uint8_t *plain, struct arena *arena);

static bool list_to_wire(const struct field *f, const uint8_t *elems, uint32_t n, void *dst,
	size_t *dst_n, struct arena *arena)
{
	struct msg sub = msg_of(f->sub);

	if (n == 0)
		return true;
	void **v = arena_alloc(arena, n * sizeof(*v));
	if (v == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		v[i] = to_wire(sub, elems + i * sub.plain_bytes, arena);
		if (v[i] == NULL)
			return false;
	}
	*(void ***)dst = v;
	*dst_n = n;
	return true;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static bool field_to_wire(
	const struct field *f, const uint8_t *plain, uint8_t *w, struct arena *arena)
{
	const uint8_t *p = plain + f->plain;
	uint8_t *dst = w + f->wire;

	switch (f->kind) {
	case FIELD_NAME:
	case FIELD_STR:
	case FIELD_TEXT:
		*(const char **)dst = (const char *)p;
		return true;
	case FIELD_FIXED:
		if (!all_zero(p, f->max))
			*(ProtobufCBinaryData *)dst = (ProtobufCBinaryData){f->max, (uint8_t *)p};
		return true;
	case FIELD_BLOB:
		*(ProtobufCBinaryData *)dst = (ProtobufCBinaryData){
			*(const uint32_t *)(plain + f->plain_n), *(uint8_t *const *)p};
		return true;
	case FIELD_U32:
	case FIELD_ENUM:
		*(uint32_t *)dst = *(const uint32_t *)p;
		return true;
	case FIELD_U64:
	case FIELD_S64:
		*(uint64_t *)dst = *(const uint64_t *)p;
		return true;
	case FIELD_FLAG:
		*(protobuf_c_boolean *)dst = *(const bool *)p;
		return true;
	case FIELD_SUB:
		*(void **)dst = to_wire(msg_of(f->sub), p, arena);
		return *(void **)dst != NULL;
	case FIELD_LIST:
		return list_to_wire(f, *(uint8_t *const *)p,
			*(const uint32_t *)(plain + f->plain_n), dst, (size_t *)(w + f->wire_n),
			arena);
	}
	UNREACHABLE();
}

static ProtobufCMessage *to_wire(struct msg m, const uint8_t *plain, struct arena *arena)
{
	ProtobufCMessage *w = arena_alloc(arena, m.wire->sizeof_message);

	if (w == NULL)
		return NULL;
	protobuf_c_message_init(m.wire, w);
	for (size_t i = 0; i < m.n; i++)
		if (!field_to_wire(&m.fields[i], plain, (uint8_t *)w, arena))
			return NULL;
	return w;
}

int ctl_msg_encode(enum ctl_msg msg, const void *plain, size_t max, uint8_t **out, size_t *out_len)
{
	struct msg m = msg_of(msg);
	struct arena arena = {.left = ARENA_BUDGET};
	uint8_t *buf = NULL;
	int err = ERR_NO_MEMORY;

	ProtobufCMessage *wire = to_wire(m, plain, &arena);
	if (wire == NULL) {
		err = arena.exhausted ? ERR_RANGE : ERR_NO_MEMORY;
		goto undo_arena;
	}
	size_t len = protobuf_c_message_get_packed_size(wire);
	if (len > max) {
		err = ERR_RANGE;
		goto undo_arena;
	}
	buf = malloc(len + 1);
	if (buf == NULL)
		goto undo_arena;
	protobuf_c_message_pack(wire, buf);
	*out = buf;
	*out_len = len;
	err = 0;
undo_arena:
	arena_fini(&arena);
	return err;
}

static void fini_fields(struct msg m, uint8_t *plain)
{
	for (size_t i = 0; i < m.n; i++) {
		const struct field *f = &m.fields[i];
		uint8_t *p = plain + f->plain;

		if (f->kind == FIELD_SUB) {
			fini_fields(msg_of(f->sub), p);
		} else if (f->kind == FIELD_BLOB) {
			free(*(void **)p);
		} else if (f->kind == FIELD_LIST) {
			struct msg sub = msg_of(f->sub);
			uint32_t n = *(uint32_t *)(plain + f->plain_n);
			for (uint32_t j = 0; j < n; j++)
				fini_fields(sub, *(uint8_t **)p + j * sub.plain_bytes);
			free(*(void **)p);
		}
	}
}

void ctl_msg_fini(enum ctl_msg msg, void *plain)
{
	if (plain == NULL || msg == CTL_MSG_none)
		return;
	struct msg m = msg_of(msg);
	fini_fields(m, plain);
	memset(plain, 0, m.plain_bytes);
}

/* On failure what could not be copied is empty, so that the whole can be given to fini. */
static bool copy_fields(struct msg m, uint8_t *dst, const uint8_t *src)
{
	bool ok = true;

	for (size_t i = 0; i < m.n; i++) {
		const struct field *f = &m.fields[i];
		uint32_t *n = (uint32_t *)(dst + f->plain_n);
		uint8_t **d = (uint8_t **)(dst + f->plain);
		const uint8_t *s;

		if (f->kind == FIELD_SUB) {
			ok &= copy_fields(msg_of(f->sub), dst + f->plain, src + f->plain);
			continue;
		}
		if (f->kind != FIELD_BLOB && f->kind != FIELD_LIST)
			continue;
		size_t each = f->kind == FIELD_BLOB ? 1 : msg_of(f->sub).plain_bytes;
		uint32_t want = *n;
		s = *d; /* copied with the struct: still the source's */
		*d = want == 0 ? NULL : malloc(want * each);
		*n = *d == NULL ? 0 : want;
		ok &= *n == want;
		if (*n == 0)
			continue;
		memcpy(*d, s, want * each);
		for (uint32_t j = 0; f->kind == FIELD_LIST && j < want; j++)
			ok &= copy_fields(msg_of(f->sub), *d + j * each, s + j * each);
	}
	return ok;
}

int ctl_msg_copy(enum ctl_msg msg, void *dst, const void *src)
{
	struct msg m = msg_of(msg);

	memcpy(dst, src, m.plain_bytes);
	if (copy_fields(m, dst, src))
		return 0;
	ctl_msg_fini(msg, dst);
	return ERR_NO_MEMORY;
}

size_t ctl_msg_bytes(enum ctl_msg msg)
{
	return MAX(msg_of(msg).plain_bytes,
		(size_t)1); /* `nothing` is empty, and malloc(0) may fail */
}

/* Text of a peer: quotes and backslashes are escaped, what is not well-formed UTF-8 becomes '?'. */
static void json_string(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	fputc('"', out);
	while (*p != '\0') {
		unsigned more = *p < 0x80                 ? 0
				: *p >= 0xc2 && *p < 0xe0 ? 1
				: *p >= 0xe0 && *p < 0xf0 ? 2
				: *p >= 0xf0 && *p < 0xf5 ? 3
							  : 9;
		unsigned n = 0;
		while (n < more && more != 9 && (p[n + 1] & 0xc0) == 0x80)
			n++;
		if (more == 9 || n < more || *p < 0x20) {
			fputc('?', out);
			p++;
			continue;
		}
		if (*p == '"' || *p == '\\')
			fputc('\\', out);
		fwrite(p, 1, more + 1, out);
		p += more + 1;
	}
	fputc('"', out);
}

static void json_msg(FILE *out, struct msg m, const uint8_t *plain);

static void json_list(FILE *out, const struct field *f, const uint8_t *elems, uint32_t n)
{
	struct msg sub = msg_of(f->sub);

	fputc('[', out);
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			fputc(',', out);
		json_msg(out, sub, elems + i * sub.plain_bytes);
	}
	fputc(']', out);
}

static void json_bytes(FILE *out, const uint8_t *p, size_t n)
{
	fputc('"', out);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%02x", p[i]);
	fputc('"', out);
}

static void json_field(FILE *out, const struct field *f, const uint8_t *plain)
{
	const uint8_t *p = plain + f->plain;

	switch (f->kind) {
	case FIELD_NAME:
	case FIELD_STR:
	case FIELD_TEXT:
		json_string(out, (const char *)p);
		return;
	case FIELD_FIXED:
		json_bytes(out, p, f->max);
		return;
	case FIELD_BLOB:
		json_bytes(out, *(uint8_t *const *)p, *(const uint32_t *)(plain + f->plain_n));
		return;
	case FIELD_ENUM:
		if (f->text != NULL) {
			json_string(out, f->text(*(const uint32_t *)p));
			return;
		}
		fprintf(out, "%u", *(const uint32_t *)p);
		return;
	case FIELD_U32:
		fprintf(out, "%u", *(const uint32_t *)p);
		return;
	case FIELD_U64:
		fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)p);
		return;
	case FIELD_S64:
		fprintf(out, "%lld", (long long)*(const int64_t *)p);
		return;
	case FIELD_FLAG:
		fputs(*(const bool *)p ? "true" : "false", out);
		return;
	case FIELD_SUB:
		json_msg(out, msg_of(f->sub), p);
		return;
	case FIELD_LIST:
		json_list(out, f, *(uint8_t *const *)p, *(const uint32_t *)(plain + f->plain_n));
		return;
	}
	UNREACHABLE();
}

static void json_msg(FILE *out, struct msg m, const uint8_t *plain)
{
	fputc('{', out);
	for (size_t i = 0; i < m.n; i++) {
		fprintf(out, "%s\"%s\":", i == 0 ? "" : ",", m.fields[i].name);
		json_field(out, &m.fields[i], plain);
	}
	fputc('}', out);
}

void ctl_msg_json(enum ctl_msg msg, const void *plain, FILE *out)
{
	json_msg(out, msg_of(msg), plain);
}

void ctl_head_encode(const struct ctl_head *head, uint8_t out[CTL_HEAD_BYTES])
{
	struct wcur c = wcur_of(out, CTL_HEAD_BYTES);

	wcur_u32(&c, head->payload_bytes);
	wcur_u16(&c, head->type);
	wcur_u16(&c, head->flags);
	wcur_u32(&c, head->id);
	CHECK(!c.bad);
}

int ctl_head_decode(const uint8_t in[CTL_HEAD_BYTES], uint32_t payload_max, struct ctl_head *out)
{
	struct rcur c = rcur_of(in, CTL_HEAD_BYTES);
	struct ctl_head head;

	head.payload_bytes = rcur_u32(&c);
	head.type = rcur_u16(&c);
	head.flags = rcur_u16(&c);
	head.id = rcur_u32(&c);
	if (c.bad || head.payload_bytes > payload_max)
		return ERR_PROTOCOL;
	*out = head;
	return 0;
}

struct type {
	uint16_t number;
	const char *name;
	enum ctl_msg request, reply;
};

static const struct type types[] = {
#define CTL(name, number, request, reply) {(number), #name, CTL_MSG_##request, CTL_MSG_##reply},
#include "proto/wire_ctl_types.def"
#undef CTL
};

static const struct type *type_of(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].number == number)
			return &types[i];
	return NULL;
}

enum ctl_msg ctl_type_request(uint16_t type)
{
	const struct type *t = type_of(type);
	return t == NULL ? CTL_MSG_none : t->request;
}

enum ctl_msg ctl_type_reply(uint16_t type)
{
	const struct type *t = type_of(type);
	return t == NULL ? CTL_MSG_none : t->reply;
}

const char *ctl_type_name(uint16_t type)
{
	const struct type *t = type_of(type);
	return t == NULL ? NULL : t->name;
}

static const char *text_of(const char *const *names, size_t n, uint32_t i)
{
	return i < n && names[i] != NULL ? names[i] : "unknown";
}

const char *ctl_slice_state_text(uint32_t state)
{
	static const char *const names[] = {
		[CTL_SLICE_NEW] = "new",
		[CTL_SLICE_PREPARED] = "prepared",
		[CTL_SLICE_CONNECTED] = "connected",
		[CTL_SLICE_RUNNING] = "running",
		[CTL_SLICE_STOPPING] = "stopping",
		[CTL_SLICE_STOPPED] = "stopped",
	};
	return text_of(names, ARRAY_SIZE(names), state);
}

const char *ctl_stop_reason_text(uint32_t reason)
{
	static const char *const names[] = {
		[CTL_STOP_NONE] = "none",
		[CTL_STOP_POWER_OFF] = "power-off",
		[CTL_STOP_REBOOT] = "reboot",
		[CTL_STOP_PANIC] = "panic",
		[CTL_STOP_LOST] = "lost-slice",
		[CTL_STOP_REQUEST] = "request",
		[CTL_STOP_ERROR] = "error",
	};
	return text_of(names, ARRAY_SIZE(names), reason);
}

const char *ctl_vm_state_text(uint32_t state)
{
	static const char *const names[] = {
		[CTL_VM_CREATED] = "created",
		[CTL_VM_STARTING] = "starting",
		[CTL_VM_RUNNING] = "running",
		[CTL_VM_STOPPING] = "stopping",
		[CTL_VM_STOPPED] = "stopped",
		[CTL_VM_FAILED] = "failed",
	};
	return text_of(names, ARRAY_SIZE(names), state);
}

void ctl_incarnation_text(const uint8_t incarnation[16], char out[33])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		out[2 * i] = digits[incarnation[i] >> 4];
		out[2 * i + 1] = digits[incarnation[i] & 15];
	}
	out[32] = '\0';
}
