/* SPDX-License-Identifier: Apache-2.0 */
/* A frame from a stranger never opens: the key is not in the input. */
#include <string.h>

#include "base/err.h"
#include "proto/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SEAL_KEY_BYTES] = {9, 9, 9};
	uint8_t text[512];
	struct seal *s;
	if (size < 8 || size > sizeof(text))
		return 0;
	if (seal_create(key, &s) != 0)
		return 0;
	memcpy(text, data, size);
	CHECK(seal_open(s, data[0], data, 8, text + 8, size - 8) != 0);
	seal_destroy(s);
	return 0;
}
