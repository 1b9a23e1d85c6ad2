/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_ctl.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/ut.h"

UT_SUITE(wire_ctl);

/* Decode a literal. */
#define DECODE(msg, bytes, out) ctl_msg_decode(CTL_MSG_##msg, bytes, sizeof(bytes) - 1, out)

UT_TEST(head_round_trip)
{
	struct ctl_head in = {0x1234, 57, 0x0102, 0xdeadbeef}, out;
	uint8_t b[CTL_HEAD_BYTES];

	ctl_head_encode(&in, b);
	UT_EQ(b[0], 0x34); /* little-endian */
	UT_EQ(b[8], 0xef);
	UT_OK(ctl_head_decode(b, CTL_PAYLOAD_MAX, &out));
	UT_EQ(out.payload_bytes, in.payload_bytes);
	UT_EQ(out.type, in.type);
	UT_EQ(out.flags, in.flags);
	UT_EQ(out.id, in.id);
	UT_OK(ctl_head_decode(b, 0x1234, &out));
	UT_ERR(ctl_head_decode(b, 0x1233, &out), PROTOCOL);
}

static void make_spec(struct ctl_slice_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	snprintf(spec->vm, sizeof(spec->vm), "%s", "demo");
	memset(spec->incarnation, 7, 16);
	memset(spec->key, 9, 32);
	spec->slice = 1;
	spec->n_slices = 2;
	spec->slices = calloc(2, sizeof(*spec->slices));
	UT_CHECK(spec->slices != NULL);
	for (uint32_t i = 0; i < 2; i++) {
		spec->slices[i].slice = i;
		snprintf(spec->slices[i].host, sizeof(spec->slices[i].host), "%s",
			i == 0 ? "a" : "b");
		spec->slices[i].memory_bytes = UINT64_C(1) << 40;
	}
	spec->clock_offset_ns = -50000000;
	spec->clock_ppm = -200;
	spec->unsealed = true;
	snprintf(spec->append, sizeof(spec->append), "%s", "console=ttyS0 \"quoted\"");
}

UT_TEST(round_trip)
{
	struct ctl_slice_spec in, out, copy;
	uint8_t *buf;
	size_t len;

	make_spec(&in);
	UT_OK(ctl_msg_encode(CTL_MSG_slice_spec, &in, CTL_PAYLOAD_MAX, &buf, &len));
	UT_OK(ctl_msg_decode(CTL_MSG_slice_spec, buf, len, &out));
	UT_OK(ctl_msg_copy(CTL_MSG_slice_spec, &copy, &out));
	ctl_msg_fini(CTL_MSG_slice_spec, &out);
	UT_CHECK(out.slices == NULL && out.n_slices == 0);
	UT_EQ_STR(copy.vm, "demo");
	UT_EQ_MEM(copy.incarnation, in.incarnation, 16);
	UT_EQ_MEM(copy.key, in.key, 32);
	UT_EQ(copy.n_slices, 2);
	UT_EQ_STR(copy.slices[1].host, "b");
	UT_EQ(copy.slices[1].memory_bytes, UINT64_C(1) << 40);
	UT_EQ(copy.clock_offset_ns, -50000000);
	UT_EQ(copy.clock_ppm, -200);
	UT_CHECK(copy.unsealed);
	UT_EQ_STR(copy.append, in.append);
	UT_ERR(ctl_msg_encode(CTL_MSG_slice_spec, &in, len - 1, &buf, &len), RANGE);
	ctl_msg_fini(CTL_MSG_slice_spec, &copy);
	ctl_msg_fini(CTL_MSG_slice_spec, &in);
	free(buf);
}

UT_TEST(empty_messages)
{
	struct ctl_nothing nothing;
	struct ctl_vm_list list;

	UT_OK(ctl_msg_decode(CTL_MSG_nothing, NULL, 0, &nothing));
	UT_OK(ctl_msg_decode(CTL_MSG_vm_list, NULL, 0, &list));
	UT_EQ(list.n_vms, 0);
	ctl_msg_fini(CTL_MSG_vm_list, NULL);
	ctl_msg_fini(CTL_MSG_none, &list);
	UT_CHECK(ctl_msg_bytes(CTL_MSG_nothing) > 0);
}

UT_TEST(names)
{
	struct ctl_vm_ref ref;
	char long_name[2 + 64 + 1] = "\x0a\x40";

	UT_OK(DECODE(vm_ref,
		"\x0a\x04"
		"a-1.",
		&ref));
	UT_EQ_STR(ref.name, "a-1.");
	UT_ERR(DECODE(vm_ref, "", &ref), FORMAT);
	UT_ERR(DECODE(vm_ref, "\x0a\x01/", &ref), FORMAT);
	UT_ERR(DECODE(vm_ref, "\x0a\x02..", &ref), FORMAT);
	UT_ERR(DECODE(vm_ref,
		       "\x0a\x03"
		       "a\x1b"
		       "b",
		       &ref),
		FORMAT);
	UT_ERR(DECODE(vm_ref, "\x0a\x02\xc3\xa4", &ref), FORMAT);
	memset(long_name + 2, 'x', 64);
	UT_ERR(ctl_msg_decode(CTL_MSG_vm_ref, long_name, 66, &ref), RANGE);
	long_name[1] = 63;
	UT_OK(ctl_msg_decode(CTL_MSG_vm_ref, long_name, 65, &ref));
	UT_CHECK(!ctl_name_valid("") && !ctl_name_valid("-x") && ctl_name_valid("0x"));
}

UT_TEST(texts)
{
	struct ctl_hello hello;
	struct ctl_fault fault;
	char long_text[3 + 600] = "\x12\xd8\x04"; /* field 2, 600 bytes */

	UT_ERR(DECODE(hello,
		       "\x1a\x02"
		       "a\n",
		       &hello),
		FORMAT); /* a STR has no control characters */
	UT_OK(DECODE(fault,
		"\x12\x04"
		"a\n\x7f"
		"b",
		&fault));
	UT_EQ_STR(fault.text, "a??b");
	memset(long_text + 3, 'x', 600);
	UT_OK(ctl_msg_decode(CTL_MSG_fault, long_text, sizeof(long_text), &fault));
	UT_EQ(strlen(fault.text), sizeof(fault.text) - 1);
}

UT_TEST(fixed_and_enums)
{
	struct ctl_slice_ref ref;
	struct ctl_slice_stop stop;
	struct ctl_stream_open open;

	UT_ERR(DECODE(slice_ref,
		       "\x0a\x01x\x12\x03"
		       "abc",
		       &ref),
		FORMAT);
	UT_OK(DECODE(slice_ref,
		"\x0a\x01x\x12\x10"
		"0123456789abcdef",
		&ref));
	UT_EQ_MEM(ref.incarnation, "0123456789abcdef", 16);
	UT_ERR(DECODE(slice_stop, "", &stop), FORMAT); /* without its ref */
	UT_ERR(DECODE(slice_stop, "\x0a\x03\x0a\x01x\x10\x07", &stop), RANGE);
	UT_OK(DECODE(slice_stop, "\x0a\x03\x0a\x01x\x10\x06", &stop));
	UT_EQ(stop.reason, CTL_STOP_ERROR);
	/* An enum is signed on the wire. */
	UT_ERR(DECODE(stream_open, "\x0a\x01x\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &open),
		RANGE);
}

UT_TEST(later_fields_are_skipped)
{
	struct ctl_vm_ref ref;

	UT_OK(DECODE(vm_ref, "\x0a\x01x\xa2\x06\x03zzz", &ref)); /* field 100 */
	UT_EQ_STR(ref.name, "x");
}

UT_TEST(not_protobuf)
{
	struct ctl_vm_ref ref;

	UT_ERR(DECODE(vm_ref, "\x0a", &ref), FORMAT);
	UT_ERR(DECODE(vm_ref,
		       "\x0a\x05"
		       "ab",
		       &ref),
		FORMAT);
	UT_ERR(DECODE(vm_ref, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &ref), FORMAT);
	UT_ERR(DECODE(vm_ref, "\x0b", &ref), FORMAT); /* a group */
}

/* Two bytes of the peer's cost us a struct each: bounded by the list's limit and by a budget. */
UT_TEST(amplification)
{
	size_t len = CTL_PAYLOAD_MAX;
	uint8_t *buf = malloc(len);
	struct ctl_vm_stats stats;
	struct ctl_host_list list;

	UT_CHECK(buf != NULL);
	for (size_t i = 0; i < len; i += 2) {
		buf[i] = 0x12;
		buf[i + 1] = 0;
	}
	UT_ERR(ctl_msg_decode(CTL_MSG_vm_stats, buf, len, &stats), RANGE);
	for (size_t i = 0; i < len; i += 2)
		buf[i] = 0x0a;
	UT_ERR(ctl_msg_decode(CTL_MSG_host_list, buf, 2 * 1025, &list), RANGE);
	UT_ERR(ctl_msg_decode(CTL_MSG_host_list, buf, len + 1, &list), RANGE);
	free(buf);
}

UT_TEST(blob)
{
	struct ctl_stream_open in = {.vm = "x", .kind = CTL_STREAM_EXEC}, out;
	uint8_t *buf;
	size_t len;

	in.n_command = 65536;
	in.command = malloc(65537);
	UT_CHECK(in.command != NULL);
	memset(in.command, 'c', 65537);
	UT_OK(ctl_msg_encode(CTL_MSG_stream_open, &in, CTL_PAYLOAD_MAX, &buf, &len));
	UT_OK(ctl_msg_decode(CTL_MSG_stream_open, buf, len, &out));
	UT_EQ(out.n_command, 65536);
	ctl_msg_fini(CTL_MSG_stream_open, &out);
	free(buf);
	in.n_command++;
	UT_OK(ctl_msg_encode(CTL_MSG_stream_open, &in, CTL_PAYLOAD_MAX, &buf, &len));
	UT_ERR(ctl_msg_decode(CTL_MSG_stream_open, buf, len, &out), RANGE);
	free(buf);
	free(in.command);
}

UT_TEST(types)
{
	UT_EQ(ctl_type_request(CTL_VM_START), CTL_MSG_vm_ref);
	UT_EQ(ctl_type_reply(CTL_VM_START), CTL_MSG_vm_info);
	UT_EQ(ctl_type_reply(CTL_SLICE_EVENT), CTL_MSG_none);
	UT_EQ(ctl_type_request(CTL_TYPE_STREAM_DATA), CTL_MSG_none);
	UT_EQ(ctl_type_request(9999), CTL_MSG_none);
	UT_EQ_STR(ctl_type_name(CTL_HELLO), "HELLO");
	UT_CHECK(ctl_type_name(9999) == NULL);
	UT_EQ_STR(ctl_stop_reason_text(CTL_STOP_LOST), "lost-slice");
	UT_EQ_STR(ctl_vm_state_text(CTL_VM_RUNNING), "running");
	UT_EQ_STR(ctl_slice_state_text(77), "unknown");
}

UT_TEST(json)
{
	struct ctl_slice_status s = {.ref = {.vm = "x", .slice = 3},
		.state = CTL_SLICE_RUNNING,
		.text = "say \"hi\\\" \xc3\xa4 \xff \xc3"};
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	UT_CHECK(f != NULL);
	ctl_msg_json(CTL_MSG_slice_status, &s, f);
	fclose(f);
	UT_EQ_STR(text,
		"{\"ref\":{\"vm\":\"x\",\"incarnation\":\"00000000000000000000000000000000\","
		"\"slice\":3},\"state\":\"running\",\"reason\":\"none\","
		"\"text\":\"say \\\"hi\\\\\\\" \xc3\xa4 ? ?\",\"fabric\":\"\",\"pid\":0,"
		"\"resets\":0,\"beat\":\"\"}");
	free(text);
}
