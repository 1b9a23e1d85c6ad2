/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atomics: AMO and LR/SC by all processors on the same words. Every variable is on a page of its
 * own, with homes in turn on each node.
 *
 *	atomics [--count N] [--seconds N]
 *
 *	amo    counters by amoadd.d and amoadd.w: exact, and no value handed out twice
 *	swap   a lock by amoswap over two plain counters
 *	lrsc   a counter by a constrained LR/SC loop: exact, and it finishes
 *	list   a stack by LR/SC with a load between the two. Everybody pops two elements and pushes
 *	       them in the other order: an SC that succeeds though the head has been away and come
 *	       back (ABA) loses or doubles elements
 * Each thread does N of each; who is not done after --seconds hangs, which is a failure. Every
 * fourth time on average it pauses for up to 25 us, so that the pages are fetched away meanwhile.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

#define ELEMENTS 16

struct element {
	_Alignas(GUEST_PAGE) uint64_t mark;
	struct element *next;
	uint64_t owner; /* 0: in the list */
	uint64_t uses, check;
};

/* A page per word. */
struct word {
	_Alignas(GUEST_PAGE) uint64_t mark;
	uint64_t v;
};

struct score {
	_Alignas(GUEST_PAGE) uint64_t bad, sum;
};

static struct {
	struct guest_cpus cpus;
	uint64_t count;
	struct word *w[4]; /* on nodes in turn */
	struct element *elements[ELEMENTS];
	struct score score[GUEST_CPUS_MAX]; /* each by its thread */
} t;

/* ---- instructions --------------------------------------------------------------------------- */

static uint64_t amoadd_d(uint64_t *p, uint64_t v)
{
	uint64_t old;
	__asm__ volatile("amoadd.d.aqrl %0, %2, %1" : "=r"(old), "+A"(*p) : "r"(v) : "memory");
	return old;
}

static uint32_t amoadd_w(uint32_t *p, uint32_t v)
{
	uint64_t old;
	__asm__ volatile("amoadd.w.aqrl %0, %2, %1" : "=r"(old), "+A"(*p) : "r"(v) : "memory");
	return (uint32_t)old;
}

static uint64_t amoswap_aq(uint64_t *p, uint64_t v)
{
	uint64_t old;
	__asm__ volatile("amoswap.d.aq %0, %2, %1" : "=r"(old), "+A"(*p) : "r"(v) : "memory");
	return old;
}

static void amoswap_rl(uint64_t *p, uint64_t v)
{
	__asm__ volatile("amoswap.d.rl zero, %1, %0" : "+A"(*p) : "r"(v) : "memory");
}

/* The constrained loop of the specification: 16 instructions at most, no other memory access. */
static uint64_t lrsc_add(uint64_t *p, uint64_t v)
{
	uint64_t old, new, failed;
	__asm__ volatile("0:	lr.d.aq %0, %3\n"
			 "	add %1, %0, %4\n"
			 "	sc.d.rl %2, %1, %3\n"
			 "	bnez %2, 0b\n"
			 : "=&r"(old), "=&r"(new), "=&r"(failed), "+A"(*p)
			 : "r"(v)
			 : "memory");
	return old;
}

/* One try to take the first element. False: the SC failed. */
static bool try_pop(struct element **head, struct element **out)
{
	struct element *first, *next;
	uint64_t failed;
	__asm__ volatile("	lr.d.aq %0, %3\n"
			 "	li %2, 0\n"
			 "	beqz %0, 0f\n"
			 "	ld %1, %4(%0)\n"
			 "	sc.d.rl %2, %1, %3\n"
			 "0:\n"
			 : "=&r"(first), "=&r"(next), "=&r"(failed), "+A"(*head)
			 : "i"(offsetof(struct element, next))
			 : "memory");
	*out = first;
	return failed == 0;
}

/* One try to put `e`, whose next is `expected`, in front. */
static bool try_push(struct element **head, struct element *expected, struct element *e)
{
	struct element *first;
	uint64_t failed = 1;
	__asm__ volatile("	lr.d.aq %0, %2\n"
			 "	bne %0, %3, 0f\n"
			 "	sc.d.rl %1, %4, %2\n"
			 "0:\n"
			 : "=&r"(first), "+&r"(failed), "+A"(*head)
			 : "r"(expected), "r"(e)
			 : "memory");
	return failed == 0;
}

static void pause_by_chance(unsigned me, uint64_t i)
{
	uint64_t h = guest_mix(i, me);
	if (h % 4 == 0)
		guest_wait_until(guest_ticks() + (h >> 2) % (25 * GUEST_TICKS_US));
}

/* ---- counters ------------------------------------------------------------------------------- */

static void do_amo(void *arg, unsigned me)
{
	struct score *s = &t.score[me];
	uint64_t last_d = 0, last_w = 0;
	uint32_t *half = (uint32_t *)&t.w[1]->v + 1;
	(void)arg;
	for (uint64_t i = 0; i < t.count; i++) {
		pause_by_chance(me, i);
		uint64_t d = amoadd_d(&t.w[0]->v, 1), w = amoadd_w(half, 1);
		s->bad += (i > 0 && d <= last_d) + (i > 0 && w <= last_w);
		s->sum += d + w;
		last_d = d;
		last_w = w;
	}
}

static void do_swap(void *arg, unsigned me)
{
	volatile uint64_t *a = &t.w[1]->v, *b = &t.w[2]->v;
	(void)arg;
	for (uint64_t i = 0; i < t.count; i++) {
		pause_by_chance(me, i);
		while (amoswap_aq(&t.w[0]->v, 1) != 0)
			while (*(volatile uint64_t *)&t.w[0]->v != 0)
				;
		t.score[me].bad += *a != *b;
		*a = *a + 1;
		*b = *b + 1;
		amoswap_rl(&t.w[0]->v, 0);
	}
}

static void do_lrsc(void *arg, unsigned me)
{
	struct score *s = &t.score[me];
	uint64_t last = 0;
	(void)arg;
	for (uint64_t i = 0; i < t.count; i++) {
		pause_by_chance(me, i);
		uint64_t old = lrsc_add(&t.w[0]->v, 1);
		s->bad += i > 0 && old <= last;
		s->sum += old;
		last = old;
	}
}

/* ---- the list ------------------------------------------------------------------------------- */

static struct element **head(void)
{
	return (struct element **)&t.w[0]->v;
}

static struct element *pop(unsigned me)
{
	struct element *e;
	for (;;) {
		/* Have its page here: the loop with a load inside has no promise of progress. */
		e = *(struct element *volatile *)head();
		if (e == NULL)
			continue;
		(void)*(struct element *volatile *)&e->next;
		if (try_pop(head(), &e) && e != NULL)
			break;
	}
	t.score[me].bad += e->owner != 0 || e->check != ~e->uses || e->mark != GUEST_MARK;
	*(volatile uint64_t *)&e->owner = me + 1;
	e->uses++;
	e->check = ~e->uses;
	return e;
}

static void push(struct element *e, unsigned me)
{
	struct element *first;
	t.score[me].bad += *(volatile uint64_t *)&e->owner != me + 1;
	e->owner = 0;
	do {
		first = *(struct element *volatile *)head();
		*(struct element *volatile *)&e->next = first;
		__asm__ volatile("fence w, w" ::: "memory");
	} while (!try_push(head(), first, e));
}

static void do_list(void *arg, unsigned me)
{
	(void)arg;
	for (uint64_t i = 0; i < t.count; i++) {
		pause_by_chance(me, i);
		struct element *a = pop(me), *b = pop(me);
		push(a, me);
		push(b, me);
	}
}

static void list_begin(void)
{
	struct element *next = NULL;
	for (unsigned i = 0; i < ELEMENTS; i++) {
		*t.elements[i] = (struct element){.mark = GUEST_MARK, .next = next, .check = ~0ull};
		next = t.elements[i];
	}
	*head() = next;
}

/* Every element once, and used as often as it was taken. */
static uint64_t list_wrong(void)
{
	uint64_t n = 0, uses = 0;
	for (const struct element *e = *head(); e != NULL && n <= ELEMENTS; e = e->next) {
		n++;
		uses += e->uses;
	}
	return (n != ELEMENTS) + (uses != 2 * t.count * t.cpus.n);
}

/* ---- the tests ------------------------------------------------------------------------------ */

static bool test(const char *name, unsigned seconds, void (*body)(void *arg, unsigned i))
{
	const uint64_t all = t.count * t.cpus.n, sum = all * (all - 1) / 2;
	uint64_t bad = 0, got = 0, wrong = 0;
	for (unsigned i = 0; i < 4; i++)
		*t.w[i] = (struct word){.mark = GUEST_MARK};
	memset(t.score, 0, sizeof(t.score));
	if (body == do_list)
		list_begin();
	uint64_t began = guest_ticks();
	guest_run(&t.cpus, t.cpus.n, seconds, name, body, NULL);
	for (unsigned i = 0; i < t.cpus.n; i++) {
		bad += t.score[i].bad;
		got += t.score[i].sum;
	}
	if (body == do_amo)
		wrong = (t.w[0]->v != all) + (t.w[1]->v >> 32 != all) + (got != 2 * sum);
	else if (body == do_swap)
		wrong = (t.w[1]->v != all) + (t.w[2]->v != all);
	else if (body == do_lrsc)
		wrong = (t.w[0]->v != all) + (got != sum);
	else
		wrong = list_wrong();
	bool ok = bad == 0 && wrong == 0;
	printf("%s: %llu by each of %u processors in %llu ms: %llu broken on the way, %llu wrong "
	       "at "
	       "the end: %s\n",
		name, (unsigned long long)t.count, t.cpus.n,
		(unsigned long long)(guest_ticks() - began) / (1000 * GUEST_TICKS_US),
		(unsigned long long)bad, (unsigned long long)wrong, ok ? "PASS" : "FAIL");
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t seconds = 60;
	t.count = 5000;
	const struct guest_opt opts[] = {
		{"count", &t.count},
		{"seconds", &seconds},
	};
	guest_options(argc, argv, opts, sizeof(opts) / sizeof(opts[0]));
	guest_cpus(&t.cpus);
	printf("atomics: %u processors, %u nodes\n", t.cpus.n, t.cpus.nodes);
	bool ok = true;
	for (unsigned first = 0; first < t.cpus.nodes; first++) {
		for (unsigned i = 0; i < 4; i++)
			t.w[i] = guest_pages(1, (first + i) % t.cpus.nodes);
		for (unsigned i = 0; i < ELEMENTS; i++)
			t.elements[i] = guest_pages(1, (first + i) % t.cpus.nodes);
		ok &= test("amo", (unsigned)seconds, do_amo);
		ok &= test("swap", (unsigned)seconds, do_swap);
		ok &= test("lrsc", (unsigned)seconds, do_lrsc);
		ok &= test("list", (unsigned)seconds, do_list);
	}
	return ok ? 0 : 1;
}
