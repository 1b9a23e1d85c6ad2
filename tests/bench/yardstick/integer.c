/* SPDX-License-Identifier: Apache-2.0 */
/* Integer work: loops in registers, calls, tables, bytes, lists, an interpreter's dispatch. */
#include <stdlib.h>
#include <string.h>

#include "yardstick.h"

#define NOINLINE __attribute__((noinline, noclone))

/* ---- calls and returns ----------------------------------------------------------------------- */

static NOINLINE uint64_t fib_of(uint64_t n)
{
	return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2);
}

static uint64_t fib(uint64_t n)
{
	return fib_of(n);
}

/* ---- a bit at a time ------------------------------------------------------------------------- */

static uint64_t crc(uint64_t n)
{
	uint32_t c = UINT32_MAX;

	for (uint64_t i = 0; i < n * 1000; i++) {
		c ^= i & 0xff;
		for (unsigned bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (0xedb88320u & -(c & 1));
	}
	return c;
}

/* ---- byte stores with strides ---------------------------------------------------------------- */

#define SIEVE_SIZE (1u << 20)

static uint64_t sieve(uint64_t n)
{
	uint8_t *composite = yard_alloc(SIEVE_SIZE);
	uint64_t primes = 0;

	yard_begin();
	for (uint64_t round = 0; round < n; round++) {
		memset(composite, 0, SIEVE_SIZE);
		for (uint32_t i = 2; i < SIEVE_SIZE; i++) {
			if (composite[i])
				continue;
			primes++;
			for (uint64_t k = (uint64_t)i * i; k < SIEVE_SIZE; k += i)
				composite[k] = 1;
		}
	}
	return primes;
}

/* ---- quicksort ------------------------------------------------------------------------------- */

static void sort_range(uint32_t *v, int64_t from, int64_t to)
{
	while (from < to) {
		uint32_t pivot = v[(from + to) / 2];
		int64_t i = from, k = to;

		while (i <= k) {
			while (v[i] < pivot)
				i++;
			while (v[k] > pivot)
				k--;
			if (i <= k) {
				uint32_t t = v[i];
				v[i++] = v[k];
				v[k--] = t;
			}
		}
		sort_range(v, from, k);
		from = i;
	}
}

static uint64_t sort(uint64_t n)
{
	size_t count = n * 1000;
	uint32_t *v = yard_alloc(count * sizeof(*v));
	uint64_t r = 3, sum = 0;

	for (size_t i = 0; i < count; i++)
		v[i] = (uint32_t)yard_random(&r);
	yard_begin();
	sort_range(v, 0, (int64_t)count - 1);
	yard_end();
	for (size_t i = 1; i < count; i++) {
		if (v[i - 1] > v[i])
			yard_die("sort: out of order at %zu", i);
		sum = sum * 31 + v[i];
	}
	return sum;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The C library's, which calls back. */
static uint64_t qsort_calls(uint64_t n)
{
	size_t count = n * 1000;
	uint32_t *v = yard_alloc(count * sizeof(*v));
	uint64_t r = 4;

	for (size_t i = 0; i < count; i++)
		v[i] = (uint32_t)yard_random(&r);
	yard_begin();
	qsort(v, count, sizeof(*v), compare);
	return v[0] + v[count / 2] * UINT64_C(3) + v[count - 1] * UINT64_C(5);
}

/* ---- a hash table of words ------------------------------------------------------------------- */

#define HASH_SLOTS (1u << 17)
#define HASH_WORD  16

static uint32_t hash_slot(char (*table)[HASH_WORD], const char *word)
{
	uint32_t h = 2166136261u;

	for (const char *p = word; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	h %= HASH_SLOTS;
	while (table[h][0] != '\0' && strcmp(table[h], word) != 0)
		h = (h + 1) % HASH_SLOTS;
	return h;
}

static uint64_t hash(uint64_t n)
{
	char(*table)[HASH_WORD] = yard_alloc(HASH_SLOTS * HASH_WORD);
	uint32_t *counts = yard_alloc(HASH_SLOTS * sizeof(*counts));
	uint64_t r = 5, sum = 0;

	yard_begin();
	for (uint64_t i = 0; i < n * 1000; i++) {
		char word[HASH_WORD] = "";
		uint64_t x = yard_random(&r) % 50000;
		size_t len = 0;
		do
			word[len++] = (char)('a' + x % 26);
		while ((x /= 26) != 0);
		memcpy(word + len, "-word", 6);
		uint32_t slot = hash_slot(table, word);
		memcpy(table[slot], word, HASH_WORD);
		sum += ++counts[slot];
	}
	return sum;
}

/* ---- compression: LZ77 with one hash of three bytes ------------------------------------------ */

#define LZ_BYTES (1u << 18)
#define LZ_HASH  (1u << 13)

static uint32_t lz_at(const uint8_t *p)
{
	return ((p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) * 2654435761u) >> 19;
}

/* Tokens: 0 and a byte, or a length and a distance of two bytes. */
static size_t lz_pack(const uint8_t *in, size_t len, uint8_t *out, uint32_t *last)
{
	size_t at = 0, o = 0;

	memset(last, 0xff, LZ_HASH * sizeof(*last));
	while (at < len) {
		size_t n = 0;
		uint32_t from = UINT32_MAX;
		if (at + 3 <= len) {
			uint32_t *slot = &last[lz_at(in + at)];
			from = *slot;
			*slot = (uint32_t)at;
		}
		if (from != UINT32_MAX && at - from < 65536)
			while (n < 255 && at + n < len && in[from + n] == in[at + n])
				n++;
		if (n >= 4) {
			out[o++] = (uint8_t)n;
			out[o++] = (uint8_t)(at - from);
			out[o++] = (uint8_t)((at - from) >> 8);
			at += n;
		} else {
			out[o++] = 0;
			out[o++] = in[at++];
		}
	}
	return o;
}

static size_t lz_unpack(const uint8_t *in, size_t len, uint8_t *out)
{
	size_t o = 0;

	for (size_t at = 0; at < len;) {
		size_t n = in[at++];
		if (n == 0) {
			out[o++] = in[at++];
			continue;
		}
		size_t distance = in[at] | (size_t)in[at + 1] << 8;
		at += 2;
		for (; n > 0; n--, o++)
			out[o] = out[o - distance];
	}
	return o;
}

static uint64_t compress(uint64_t n)
{
	uint8_t *text = yard_alloc(LZ_BYTES), *packed = yard_alloc(2 * LZ_BYTES),
		*back = yard_alloc(LZ_BYTES);
	uint32_t *last = yard_alloc(LZ_HASH * sizeof(*last));
	uint64_t r = 6, sum = 0;

	/* Words of a small vocabulary, so that there is something to find. */
	for (size_t i = 0; i < LZ_BYTES;) {
		uint64_t w = yard_random(&r) % 700 * 1000003;
		for (unsigned k = 0; k < 3 + w % 6 && i < LZ_BYTES; k++)
			text[i++] = (uint8_t)('a' + (w >> k * 3) % 23);
		if (i < LZ_BYTES)
			text[i++] = ' ';
	}
	yard_begin();
	for (uint64_t round = 0; round < n; round++) {
		size_t len = lz_pack(text, LZ_BYTES, packed, last);
		if (lz_unpack(packed, len, back) != LZ_BYTES || memcmp(text, back, LZ_BYTES) != 0)
			yard_die("compress: not what was packed");
		sum += len;
		text[round % LZ_BYTES] ^= 1;
	}
	return sum;
}

/* ---- a list, a small matrix, a state machine, and a checksum: as CoreMark has them ----------- */

struct mark_item {
	struct mark_item *next;
	int16_t key, value;
};

#define MARK_ITEMS 200
#define MARK_SIDE  12

static uint16_t mark_crc(uint16_t c, uint16_t v)
{
	for (unsigned i = 0; i < 16; i++, v >>= 1)
		c = (uint16_t)(((c ^ v) & 1) != 0 ? (c >> 1) ^ 0xa001 : c >> 1);
	return c;
}

static struct mark_item *mark_merge(struct mark_item *a, struct mark_item *b)
{
	struct mark_item head, *tail = &head;

	while (a != NULL && b != NULL) {
		struct mark_item **least = a->key <= b->key ? &a : &b;
		tail->next = *least;
		tail = *least;
		*least = tail->next;
	}
	tail->next = a != NULL ? a : b;
	return head.next;
}

static struct mark_item *mark_sort(struct mark_item *list)
{
	struct mark_item *slow = list, *fast;

	if (list == NULL || list->next == NULL)
		return list;
	for (fast = list->next; fast != NULL && fast->next != NULL; fast = fast->next->next)
		slow = slow->next;
	fast = slow->next;
	slow->next = NULL;
	return mark_merge(mark_sort(list), mark_sort(fast));
}

static uint16_t mark_list(struct mark_item *items, uint64_t *r)
{
	struct mark_item *list = NULL, *back = NULL;
	uint16_t c = 0;

	for (unsigned i = 0; i < MARK_ITEMS; i++) {
		items[i] =
			(struct mark_item){list, (int16_t)(yard_random(r) % 500), (int16_t)(i * 7)};
		list = &items[i];
	}
	list = mark_sort(list);
	for (int16_t want = 0; want < 500; want += 25) {
		const struct mark_item *p = list;
		while (p != NULL && p->key < want)
			p = p->next;
		c = mark_crc(c, p == NULL ? 0 : (uint16_t)p->value);
	}
	while (list != NULL) {
		struct mark_item *next = list->next;
		list->next = back;
		back = list;
		list = next;
	}
	return mark_crc(c, (uint16_t)back->key);
}

static uint16_t mark_matrix(int16_t v)
{
	int16_t a[MARK_SIDE][MARK_SIDE], b[MARK_SIDE][MARK_SIDE];
	int32_t sum = 0;

	for (int i = 0; i < MARK_SIDE; i++)
		for (int k = 0; k < MARK_SIDE; k++) {
			a[i][k] = (int16_t)(i * v + k);
			b[i][k] = (int16_t)(k * v - i);
		}
	for (int i = 0; i < MARK_SIDE; i++)
		for (int k = 0; k < MARK_SIDE; k++) {
			int32_t c = 0;
			for (int m = 0; m < MARK_SIDE; m++)
				c += a[i][m] * b[m][k];
			sum += (c >> 2 & 15) * (c >> 5 & 127);
		}
	return (uint16_t)sum;
}

/* Which words are numbers, and of what kind. */
static uint16_t mark_states(const char *text)
{
	enum { START, SIGN, WHOLE, FRACTION, EXPONENT, POWER, BAD, N } state = START;
	uint16_t ends[N] = {0}, c = 0;

	for (const char *p = text;; p++) {
		char ch = *p;
		if (ch == ',' || ch == '\0') {
			ends[state]++;
			state = START;
			if (ch == '\0')
				break;
			continue;
		}
		int digit = ch >= '0' && ch <= '9';
		switch (state) {
		case START:
			state = digit                    ? WHOLE
				: ch == '+' || ch == '-' ? SIGN
				: ch == '.'              ? FRACTION
							 : BAD;
			break;
		case SIGN:
			state = digit ? WHOLE : ch == '.' ? FRACTION : BAD;
			break;
		case WHOLE:
			state = digit ? WHOLE : ch == '.' ? FRACTION : ch == 'e' ? EXPONENT : BAD;
			break;
		case FRACTION:
			state = digit ? FRACTION : ch == 'e' ? EXPONENT : BAD;
			break;
		case EXPONENT:
			state = digit || ch == '+' || ch == '-' ? POWER : BAD;
			break;
		case POWER:
			state = digit ? POWER : BAD;
			break;
		default:
			break;
		}
	}
	for (unsigned i = 0; i < N; i++)
		c = mark_crc(c, ends[i]);
	return c;
}

static uint64_t mark(uint64_t n)
{
	static const char text[] =
		"5012,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,"
		"-.123e-2,-87e+832,T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^,7,+,e,1.e";
	struct mark_item *items = yard_alloc(MARK_ITEMS * sizeof(*items));
	uint64_t r = 7;
	uint16_t c = 0;

	yard_begin();
	for (uint64_t i = 0; i < n; i++) {
		c = mark_crc(c, mark_list(items, &r));
		for (int16_t k = 1; k < 5; k++)
			c = mark_crc(c, mark_matrix((int16_t)(k + (int16_t)(i & 7))));
		for (unsigned k = 0; k < 8; k++)
			c = mark_crc(c, mark_states(text + k));
	}
	return c;
}

/* ---- an interpreter's dispatch: an indirect jump every few instructions ---------------------- */

enum vm_op { VM_PUSH, VM_ADD, VM_XOR, VM_MUL, VM_DUP, VM_SWAP, VM_LOOP, VM_END };

static uint64_t bytecode(uint64_t n)
{
	static const uint8_t program[] = {VM_PUSH, 3, VM_ADD, VM_DUP, VM_PUSH, 13, VM_MUL, VM_SWAP,
		VM_XOR, VM_PUSH, 7, VM_XOR, VM_DUP, VM_ADD, VM_PUSH, 1, VM_ADD, VM_LOOP, VM_END};
	uint64_t stack[16] = {1}, *top = stack, left = n * 1000, t;
	const uint8_t *pc = program;

	for (;;) {
		switch ((enum vm_op) * pc++) {
		case VM_PUSH:
			*++top = *pc++;
			break;
		case VM_ADD:
			top--;
			*top += top[1];
			break;
		case VM_XOR:
			top--;
			*top ^= top[1];
			break;
		case VM_MUL:
			top--;
			*top *= top[1];
			break;
		case VM_DUP:
			top++;
			*top = top[-1];
			break;
		case VM_SWAP:
			t = top[0];
			top[0] = top[-1];
			top[-1] = t;
			break;
		case VM_LOOP:
			if (--left > 0)
				pc = program;
			break;
		case VM_END:
			return *top;
		}
	}
}

const struct yard_kernel yard_integer[] = {
	{"fib", fib},
	{"crc", crc},
	{"sieve", sieve},
	{"sort", sort},
	{"qsort", qsort_calls},
	{"hash", hash},
	{"compress", compress},
	{"mark", mark},
	{"bytecode", bytecode},
	{NULL, NULL},
};
