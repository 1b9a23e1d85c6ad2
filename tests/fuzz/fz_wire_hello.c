/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a slice says before it has proved who it is. The first byte chooses: a HELLO, or a REFUSE. A
 * HELLO that decodes encodes to the same bytes again, and what it may differ in is said in words.
 */
#include "proto/wire_hello.h"

#include <string.h>

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hello(const uint8_t *data, size_t size)
{
	const struct wire_hello ours = {
		.version = WIRE_HELLO_VERSION,
		.sealed = true,
		.from = {1},
		.to = {0},
		.incarnation = {{1, 2, 3, 4}},
		.epoch = 3,
		.window = {32, 32, 64},
		.provider = "tcp",
	};
	struct wire_hello theirs;
	uint8_t again[WIRE_HELLO_BYTES];
	const char *text = NULL;

	if (wire_hello_decode(data, size, &theirs) != 0)
		return;
	CHECK(memchr(theirs.provider, '\0', sizeof(theirs.provider)) != NULL);
	wire_hello_encode(&theirs, again);
	CHECK(size == sizeof(again) && memcmp(again, data, size) == 0);
	CHECK(wire_hello_match(&ours, &theirs, &text) == 0 || text != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int err;

	if (size < 1)
		return 0;
	if ((data[0] & 1) == 0) {
		hello(data + 1, size - 1);
	} else if (wire_refuse_decode(data + 1, size - 1, &err) == 0) {
		CHECK(err_class(err) == ERR_CLASS_LINK || err_class(err) == ERR_CLASS_PEER);
	}
	return 0;
}
