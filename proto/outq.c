/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/outq.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/wire_msgs.h"

void xport_msg_check(const struct xport_msg *msg)
{
	enum msg_class class;
	CHECK(wire_msg_class(msg->type, &class) == 0 && class == msg->class);
	CHECK(msg->type >= WIRE_XPORT_END);
	CHECK(msg->head_bytes <= XPORT_HEAD_MAX && (msg->head != NULL || msg->head_bytes == 0));
	CHECK(msg->data_bytes <= XPORT_DATA_MAX && (msg->data != NULL || msg->data_bytes == 0));
}

int outq_msg_new(const struct xport_msg *msg, uint64_t guest_ns, struct outq_msg **out)
{
	struct outq_msg *m = malloc(sizeof(*m) + msg->head_bytes + msg->data_bytes);
	if (m == NULL)
		return ERR_NO_MEMORY;
	list_init(&m->link);
	m->from = NULL;
	m->class = msg->class;
	m->type = msg->type;
	m->head_bytes = (uint16_t)msg->head_bytes;
	m->data_bytes = (uint16_t)msg->data_bytes;
	m->guest_ns = guest_ns;
	if (msg->head_bytes > 0)
		memcpy(m->bytes, msg->head, msg->head_bytes);
	if (msg->data_bytes > 0)
		memcpy(m->bytes + msg->head_bytes, msg->data, msg->data_bytes);
	*out = m;
	return 0;
}

void outq_msg_free(struct outq_msg *m)
{
	free(m);
}

void outq_init(struct outq *q, const struct credit_cfg *cfg)
{
	credit_init(&q->credit, cfg);
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		list_init(&q->ready[i]);
		list_init(&q->waiting[i]);
	}
}

static struct outq_msg *outq_shift(struct list *l)
{
	struct outq_msg *m = list_first(l, struct outq_msg, link);
	if (m != NULL)
		list_remove(&m->link);
	return m;
}

void outq_fini(struct outq *q)
{
	for (unsigned i = 0; i < MSG_CLASS_N; i++) {
		for (struct outq_msg *m; (m = outq_shift(&q->ready[i])) != NULL;)
			outq_msg_free(m);
		for (struct outq_msg *m; (m = outq_shift(&q->waiting[i])) != NULL;)
			outq_msg_free(m);
	}
}

int outq_admit(struct outq *q, enum msg_class class, bool *now)
{
	return credit_send(&q->credit, class, now);
}

void outq_add_ready(struct outq *q, struct outq_msg *m)
{
	list_push_back(&q->ready[m->class], &m->link);
}

void outq_add_waiting(struct outq *q, struct outq_msg *m)
{
	list_push_back(&q->waiting[m->class], &m->link);
}

struct outq_msg *outq_take(struct outq *q)
{
	/* Those without credit first: what has come back may let a higher class overtake. */
	for (enum msg_class class; credit_next(&q->credit, &class);) {
		struct outq_msg *m = outq_shift(&q->waiting[class]);
		CHECK(m != NULL);
		outq_add_ready(q, m);
	}
	for (unsigned i = MSG_CLASS_N; i-- > 0;) {
		struct outq_msg *m = outq_shift(&q->ready[i]);
		if (m != NULL)
			return m;
	}
	return NULL;
}

bool outq_has_ready(const struct outq *q, enum msg_class class)
{
	for (unsigned i = class; i < MSG_CLASS_N; i++)
		if (!list_empty(&q->ready[i]))
			return true;
	return false;
}
