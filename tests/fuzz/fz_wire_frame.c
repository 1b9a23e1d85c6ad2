/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a frame and the heads of the handshake, as a stranger may send them. */
#include <string.h>

#include "base/err.h"
#include "proto/wire_frame.h"
#include "proto/wire_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_frame f;
	struct wire_hello h;
	int err;
	if (wire_frame_decode(data, size, &f) == 0) {
		uint8_t again[WIRE_FRAME_BYTES];
		wire_frame_encode(&f, again);
		CHECK(memcmp(again, data, sizeof(again)) == 0);
		CHECK(wire_frame_size(&f) == size);
	}
	if (wire_hello_decode(data, size, &h) == 0)
		CHECK(h.from.v < SLICE_MAX && h.to.v < SLICE_MAX);
	if (wire_refuse_decode(data, size, &err) == 0)
		CHECK(err < 0);
	return 0;
}
