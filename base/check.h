/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Programmer errors: always checked, also in release builds. A failed CHECK prints the place and
 * the trace rings of all threads to stderr and aborts. Never use it on bytes from a guest, peer,
 * file or user: those get an error code.
 */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			check_failed(__FILE__, __LINE__, __func__, #cond);                         \
	} while (0)

#define UNREACHABLE() check_failed(__FILE__, __LINE__, __func__, "unreachable")

#define STATIC_CHECK(cond, text) _Static_assert(cond, text)

_Noreturn void check_failed(const char *file, int line, const char *func, const char *what);

/*
 * Heap objects that are passed as `void *` begin with a magic number, unique in the project
 * (checked by tests/lint). The object macros are to be used at every cast and every public entry.
 */
#define OBJ_INIT(obj, m)  ((obj)->magic = (m))
#define OBJ_CHECK(obj, m) CHECK((obj) != NULL && (obj)->magic == (m))
#define OBJ_FINI(obj, m)                                                                           \
	do {                                                                                       \
		OBJ_CHECK(obj, m);                                                                 \
		(obj)->magic = 0;                                                                  \
	} while (0)

#define MUST_CHECK                    __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)             __attribute__((format(printf, f, a)))
#define ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define UNUSED                        __attribute__((unused))
#define likely(x)                     __builtin_expect(!!(x), 1)
#define unlikely(x)                   __builtin_expect(!!(x), 0)
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/*
 * Each argument is evaluated once: it may be a call, or a variable that another thread changes. Of
 * two values of it the first would be compared and the second, perhaps beyond the bound, be used.
 * The type is that of `?:`. The counter keeps the names of nested uses apart.
 */
#define MIN(a, b) CHECK_PICK(a, <, b, __COUNTER__)
#define MAX(a, b) CHECK_PICK(a, >, b, __COUNTER__)

#define CHECK_PICK(a, op, b, id) CHECK_PICK_AS(a, op, b, id)
#define CHECK_PICK_AS(a, op, b, id)                                                                \
	({                                                                                         \
		__typeof__(1 ? (a) : (b)) pick_a_##id = (a), pick_b_##id = (b);                    \
		pick_a_##id op pick_b_##id ? pick_a_##id : pick_b_##id;                            \
	})

/* Checked arithmetic: true on overflow, *out is then unspecified. */
#define add_overflows(a, b, out) __builtin_add_overflow((a), (b), (out))
#define sub_overflows(a, b, out) __builtin_sub_overflow((a), (b), (out))
#define mul_overflows(a, b, out) __builtin_mul_overflow((a), (b), (out))

/* Is [off, off + len) inside [0, size)? Never overflows. */
static inline bool range_inside(uint64_t off, uint64_t len, uint64_t size)
{
	return len <= size && off <= size - len;
}

static inline bool is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* `align` must be a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

#endif
