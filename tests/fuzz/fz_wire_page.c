/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "proto/wire_page.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Coherence messages: two bytes of type, one that says how much payload came, then the head. What
 * is accepted must be written back as the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t payloads[] = {0, PAGE_BYTES, 1, PAGE_BYTES - 1};
	uint8_t again[WIRE_PAGE_HEAD_MAX];
	struct wire_page msg;

	if (size < 3)
		return 0;
	uint16_t type = (uint16_t)(data[0] | data[1] << 8);
	size_t payload = payloads[data[2] % ARRAY_SIZE(payloads)];
	if (wire_page_decode(type, data + 3, size - 3, payload, &msg) != 0)
		return 0;
	CHECK(msg.type == type && wire_page_class(type) < MSG_CLASS_N);
	CHECK(wire_page_has_data(&msg) == (payload == PAGE_BYTES));
	CHECK(wire_page_encode(&msg, again) == size - 3);
	CHECK(memcmp(again, data + 3, size - 3) == 0);
	return 0;
}
