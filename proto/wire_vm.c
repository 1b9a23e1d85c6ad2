/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/wire_vm.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

#define FENCE_KINDS 3u
#define RESET_KINDS 3u

/* FENCE is the longest: call, vcpu, asker, kind, asid, start, bytes, targets. */
STATIC_CHECK(
	4 + 2 + 2 + 1 + 2 + 8 + 8 + 8 * WIRE_VM_TARGET_WORDS <= WIRE_VM_HEAD_MAX, "a fence fits");
STATIC_CHECK(4 + 2 + 2 + 2 + WIRE_VM_CONSOLE_MAX <= WIRE_VM_HEAD_MAX, "console bytes fit");
STATIC_CHECK(4 + 2 + 2 + 1 + 2 + 2 + 1 + WIRE_VM_WHY_MAX <= WIRE_VM_HEAD_MAX, "a reason fits");

static void put_words(struct wcur *c, const uint64_t *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wcur_u64(c, w[i]);
}

static void get_words(struct rcur *c, uint64_t *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		w[i] = rcur_u64(c);
}

size_t wire_vm_encode(const struct wire_vm_msg *m, void *buf)
{
	struct wcur c = wcur_of(buf, WIRE_VM_HEAD_MAX);
	wcur_u32(&c, m->call);
	wcur_u16(&c, m->vcpu.v);
	wcur_u16(&c, m->asker.v);
	switch ((int)m->type) {
	case WIRE_VM_INTR:
		put_words(&c, m->u.intr, WIRE_VM_INTR_WORDS);
		break;
	case WIRE_VM_LOAD:
	case WIRE_VM_STORE:
		wcur_u64(&c, m->u.access.addr.v);
		wcur_u8(&c, m->u.access.size);
		if (m->type == WIRE_VM_STORE)
			wcur_u64(&c, m->u.access.value);
		break;
	case WIRE_VM_LOAD_ANSWER:
		wcur_u8(&c, m->u.load.ok);
		wcur_u64(&c, m->u.load.value);
		break;
	case WIRE_VM_FENCE:
		wcur_u8(&c, m->u.fence.kind);
		wcur_u16(&c, m->u.fence.asid);
		wcur_u64(&c, m->u.fence.start);
		wcur_u64(&c, m->u.fence.bytes);
		put_words(&c, m->u.fence.targets, WIRE_VM_TARGET_WORDS);
		break;
	case WIRE_VM_HART_START:
		wcur_u64(&c, m->u.start.pc);
		wcur_u64(&c, m->u.start.opaque);
		break;
	case WIRE_VM_HART_ANSWER:
		wcur_u32(&c, (uint32_t)m->u.hart.error);
		wcur_u32(&c, m->u.hart.state);
		break;
	case WIRE_VM_CONSOLE:
		CHECK(m->u.console.len <= WIRE_VM_CONSOLE_MAX);
		wcur_u16(&c, m->u.console.len);
		wcur_bytes(&c, m->u.console.bytes, m->u.console.len);
		break;
	case WIRE_VM_GO:
		wcur_u64(&c, m->u.go.origin_ns);
		break;
	case WIRE_VM_RESET:
		wcur_u8(&c, m->u.reset.kind);
		wcur_u32(&c, m->u.reset.reason);
		break;
	case WIRE_VM_END: {
		size_t len = strnlen(m->u.end.why, WIRE_VM_WHY_MAX);
		wcur_u8(&c, m->u.end.end);
		wcur_u16(&c, m->u.end.a.v);
		wcur_u16(&c, m->u.end.b.v);
		wcur_u8(&c, (uint8_t)len);
		wcur_bytes(&c, m->u.end.why, len);
		break;
	}
	case WIRE_VM_INTR_ACK:
	case WIRE_VM_STORE_ACK:
	case WIRE_VM_FENCE_ACK:
	case WIRE_VM_HART_STATUS:
	case WIRE_VM_PARK:
	case WIRE_VM_PARKED:
		break;
	}
	CHECK(!c.bad);
	return c.used;
}

static bool access_ok(const struct wire_vm_msg *m)
{
	uint8_t size = m->u.access.size;
	return (size == 1 || size == 2 || size == 4 || size == 8) && m->u.access.addr.v % size == 0;
}

/* Text from a peer goes to logs and terminals: printable ASCII or nothing. */
static bool get_why(struct rcur *c, char why[WIRE_VM_WHY_MAX + 1])
{
	size_t len = rcur_u8(c);
	if (len > WIRE_VM_WHY_MAX)
		return false;
	const char *p = rcur_bytes(c, len);
	if (p == NULL)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isprint((unsigned char)p[i]))
			return false;
	}
	memcpy(why, p, len);
	why[len] = '\0';
	return true;
}

static bool decode_body(struct rcur *c, struct wire_vm_msg *m)
{
	switch ((int)m->type) {
	case WIRE_VM_INTR:
		get_words(c, m->u.intr, WIRE_VM_INTR_WORDS);
		return true;
	case WIRE_VM_LOAD:
	case WIRE_VM_STORE:
		m->u.access.addr.v = rcur_u64(c);
		m->u.access.size = rcur_u8(c);
		if (m->type == WIRE_VM_STORE)
			m->u.access.value = rcur_u64(c);
		return c->bad || access_ok(m);
	case WIRE_VM_LOAD_ANSWER: {
		uint8_t ok = rcur_u8(c);
		m->u.load.ok = ok == 1;
		m->u.load.value = rcur_u64(c);
		return ok <= 1;
	}
	case WIRE_VM_FENCE:
		m->u.fence.kind = rcur_u8(c);
		m->u.fence.asid = rcur_u16(c);
		m->u.fence.start = rcur_u64(c);
		m->u.fence.bytes = rcur_u64(c);
		get_words(c, m->u.fence.targets, WIRE_VM_TARGET_WORDS);
		return m->u.fence.kind < FENCE_KINDS;
	case WIRE_VM_HART_START:
		m->u.start.pc = rcur_u64(c);
		m->u.start.opaque = rcur_u64(c);
		return true;
	case WIRE_VM_HART_ANSWER:
		m->u.hart.error = (int32_t)rcur_u32(c);
		m->u.hart.state = rcur_u32(c);
		return m->u.hart.state <= 6;
	case WIRE_VM_CONSOLE: {
		m->u.console.len = rcur_u16(c);
		if (m->u.console.len > WIRE_VM_CONSOLE_MAX)
			return false;
		const void *p = rcur_bytes(c, m->u.console.len);
		if (p != NULL)
			memcpy(m->u.console.bytes, p, m->u.console.len);
		return true;
	}
	case WIRE_VM_GO:
		m->u.go.origin_ns = rcur_u64(c);
		return true;
	case WIRE_VM_RESET:
		m->u.reset.kind = rcur_u8(c);
		m->u.reset.reason = rcur_u32(c);
		return m->u.reset.kind < RESET_KINDS;
	case WIRE_VM_END:
		m->u.end.end = rcur_u8(c);
		m->u.end.a.v = rcur_u16(c);
		m->u.end.b.v = rcur_u16(c);
		return m->u.end.end >= VM_END_POWER_OFF && m->u.end.end <= VM_END_FAILED &&
		       m->u.end.a.v < SLICE_MAX && m->u.end.b.v < SLICE_MAX &&
		       m->u.end.a.v <= m->u.end.b.v && get_why(c, m->u.end.why);
	case WIRE_VM_INTR_ACK:
	case WIRE_VM_STORE_ACK:
	case WIRE_VM_FENCE_ACK:
	case WIRE_VM_HART_STATUS:
	case WIRE_VM_PARK:
	case WIRE_VM_PARKED:
		return true;
	}
	return false;
}

bool wire_vm_has(uint16_t type)
{
	return (type >= WIRE_VM_INTR && type <= WIRE_VM_CONSOLE) ||
	       (type >= WIRE_VM_PARK && type <= WIRE_VM_END);
}

int wire_vm_decode(uint16_t type, const void *buf, size_t len, struct wire_vm_msg *out)
{
	if (!wire_vm_has(type))
		return ERR_PROTOCOL;
	struct rcur c = rcur_of(buf, len);
	struct wire_vm_msg m = {.type = (enum wire_msg_type)type};
	m.call = rcur_u32(&c);
	m.vcpu.v = rcur_u16(&c);
	m.asker.v = rcur_u16(&c);
	if (m.vcpu.v >= VCPU_MAX || m.asker.v >= VCPU_MAX || !decode_body(&c, &m) || !rcur_done(&c))
		return ERR_PROTOCOL;
	*out = m;
	return 0;
}

const char *vm_end_name(enum vm_end end)
{
	switch (end) {
	case VM_END_POWER_OFF:
		return "power-off";
	case VM_END_PANIC:
		return "panic";
	case VM_END_STOPPED:
		return "stopped";
	case VM_END_SLICE_LOST:
		return "slice-lost";
	case VM_END_FAILED:
		return "failed";
	}
	return "unknown";
}
