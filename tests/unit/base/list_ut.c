/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include "tests/lib/ut.h"

UT_SUITE(list);

struct item {
	int value;
	struct list link;
};

static void expect(const struct list *head, const char *want)
{
	char got[32];
	size_t n = 0;
	list_foreach(l, (struct list *)head)
	{
		UT_CHECK(l->next->prev == l && l->prev->next == l);
		got[n++] = (char)('0' + list_entry(l, struct item, link)->value);
	}
	got[n] = '\0';
	UT_EQ_STR(got, want);
	UT_EQ(list_empty(head), n == 0);
}

UT_TEST(push_and_remove_at_every_place)
{
	struct item items[] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
	struct list head;
	list_init(&head);
	expect(&head, "");
	UT_CHECK(list_first(&head, struct item, link) == NULL);
	list_push_back(&head, &items[1].link);
	list_push_back(&head, &items[2].link);
	list_push_front(&head, &items[0].link);
	list_push_back(&head, &items[3].link);
	expect(&head, "0123");
	UT_CHECK(list_first(&head, struct item, link) == &items[0]);
	list_remove(&items[1].link);
	expect(&head, "023");
	list_insert_after(&items[2].link, &items[1].link);
	expect(&head, "0213");
	list_remove(&items[0].link);
	list_remove(&items[3].link);
	expect(&head, "21");
	list_remove(&items[2].link);
	list_remove(&items[1].link);
	expect(&head, "");
}

UT_TEST(remove_twice_is_harmless)
{
	struct item a = {.value = 1}, b = {.value = 2};
	struct list head;
	list_init(&head);
	list_push_back(&head, &a.link);
	list_push_back(&head, &b.link);
	list_remove(&a.link);
	UT_CHECK(list_empty(&a.link));
	list_remove(&a.link);
	expect(&head, "2");
}

UT_TEST(the_current_node_may_go)
{
	struct item items[5];
	struct list head;
	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_push_back(&head, &items[i].link);
	}
	list_foreach_safe(l, &head)
	{
		if (list_entry(l, struct item, link)->value % 2 == 0)
			list_remove(l);
	}
	expect(&head, "13");
	list_foreach_safe(l, &head) list_remove(l);
	expect(&head, "");
}
