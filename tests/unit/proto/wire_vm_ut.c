/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_vm.h"

#include "base/rng.h"
#include "tests/lib/ut.h"

UT_SUITE(wire_vm);

static const uint16_t types[] = {
#define MSG(name, number, class, text) number,
#include "proto/wire_msgs.def"
#undef MSG
};

/* A message of `type` with every field that it has set to something allowed. */
static struct wire_vm_msg sample(uint16_t type)
{
	struct wire_vm_msg m = {
		.type = (enum wire_msg_type)type, .call = 0x01020304, .vcpu = {5}, .asker = {7}};
	switch (type) {
	case WIRE_VM_INTR:
		m.u.intr[0] = 3;
		m.u.intr[3] = UINT64_C(1) << 63;
		break;
	case WIRE_VM_LOAD:
	case WIRE_VM_STORE:
		m.u.access.addr.v = 0x10000008;
		m.u.access.size = 8;
		m.u.access.value = type == WIRE_VM_STORE ? UINT64_C(0x1122334455667788) : 0;
		break;
	case WIRE_VM_LOAD_ANSWER:
		m.u.load.ok = true;
		m.u.load.value = 99;
		break;
	case WIRE_VM_FENCE:
		m.u.fence.kind = 2;
		m.u.fence.asid = 0xabcd;
		m.u.fence.start = 0x1000;
		m.u.fence.bytes = UINT64_MAX;
		m.u.fence.targets[15] = 1;
		break;
	case WIRE_VM_HART_START:
		m.u.start.pc = 0x80200000;
		m.u.start.opaque = 1;
		break;
	case WIRE_VM_HART_ANSWER:
		m.u.hart.error = -6;
		m.u.hart.state = 4;
		break;
	case WIRE_VM_CONSOLE:
		m.u.console.len = 3;
		memcpy(m.u.console.bytes, "abc", 3);
		break;
	case WIRE_VM_GO:
		m.u.go.origin_ns = 12345;
		break;
	case WIRE_VM_RESET:
		m.u.reset.kind = 2;
		m.u.reset.reason = 1;
		break;
	case WIRE_VM_END:
		m.u.end.end = VM_END_SLICE_LOST;
		m.u.end.a.v = 1;
		m.u.end.b.v = 255;
		memcpy(m.u.end.why, "gone", 5);
		break;
	}
	return m;
}

UT_TEST(every_message_survives_the_wire)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!wire_vm_has(types[i]))
			continue;
		struct wire_vm_msg in = sample(types[i]), out;
		uint8_t buf[WIRE_VM_HEAD_MAX], again[WIRE_VM_HEAD_MAX];
		size_t len = wire_vm_encode(&in, buf);
		UT_OK(wire_vm_decode(types[i], buf, len, &out));
		UT_EQ(wire_vm_encode(&out, again), len);
		UT_EQ_MEM(buf, again, len);
		UT_EQ(out.call, in.call);
		UT_EQ(out.vcpu.v, 5);
	}
}

UT_TEST(a_message_of_any_other_length_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!wire_vm_has(types[i]))
			continue;
		struct wire_vm_msg in = sample(types[i]), out;
		uint8_t buf[WIRE_VM_HEAD_MAX + 1] = {0};
		size_t len = wire_vm_encode(&in, buf);
		for (size_t n = 0; n < len; n++)
			UT_ERR(wire_vm_decode(types[i], buf, n, &out), PROTOCOL);
		UT_ERR(wire_vm_decode(types[i], buf, len + 1, &out), PROTOCOL);
	}
}

static int decode(struct wire_vm_msg m)
{
	uint8_t buf[WIRE_VM_HEAD_MAX];
	struct wire_vm_msg out;
	return wire_vm_decode((uint16_t)m.type, buf, wire_vm_encode(&m, buf), &out);
}

UT_TEST(impossible_values_are_refused)
{
	struct wire_vm_msg m = sample(WIRE_VM_LOAD);
	m.u.access.size = 3;
	UT_ERR(decode(m), PROTOCOL);
	m.u.access.size = 8;
	m.u.access.addr.v = 4;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_FENCE);
	m.u.fence.kind = 3;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_HART_ANSWER);
	m.u.hart.state = 7;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_RESET);
	m.u.reset.kind = 3;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_INTR);
	m.vcpu.v = VCPU_MAX;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_END);
	m.u.end.end = 6;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_END);
	m.u.end.a.v = 2;
	m.u.end.b.v = 1;
	UT_ERR(decode(m), PROTOCOL);
	m = sample(WIRE_VM_END);
	m.u.end.why[0] = '\033'; /* nothing that could steer a terminal */
	UT_ERR(decode(m), PROTOCOL);
}

UT_TEST(foreign_types_and_noise_are_refused_or_decoded_within_bounds)
{
	struct rng rng;
	rng_init(&rng, ut_seed());
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t buf[WIRE_VM_HEAD_MAX];
		for (size_t k = 0; k < sizeof(buf); k++)
			buf[k] = (uint8_t)rng_u64(&rng);
		struct wire_vm_msg out;
		uint16_t type = (uint16_t)(0x01f0 + rng_below(&rng, 0x120));
		int err = wire_vm_decode(type, buf, rng_below(&rng, sizeof(buf) + 1), &out);
		if (!wire_vm_has(type))
			UT_EQ(err, ERR_PROTOCOL);
	}
}

UT_TEST(ends_have_names)
{
	UT_EQ_STR(vm_end_name(VM_END_PANIC), "panic");
	UT_EQ_STR(vm_end_name((enum vm_end)77), "unknown");
}
