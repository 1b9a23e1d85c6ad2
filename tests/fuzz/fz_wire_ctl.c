/* SPDX-License-Identifier: Apache-2.0 */
/* A message of the control plane: the first byte chooses which, the rest is its bytes. What is
 * accepted must encode, and decode to the same again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/wire_ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	enum ctl_msg msg = (enum ctl_msg)(1 + data[0] % (CTL_MSG_N - 1));
	void *plain = malloc(ctl_msg_bytes(msg)), *again = malloc(ctl_msg_bytes(msg));
	uint8_t *one = NULL, *two = NULL;
	size_t one_len, two_len;

	CHECK(plain != NULL && again != NULL);
	if (ctl_msg_decode(msg, data + 1, size - 1, plain) == 0) {
		CHECK(ctl_msg_encode(msg, plain, SIZE_MAX, &one, &one_len) == 0);
		if (one_len <= CTL_PAYLOAD_MAX) {
			CHECK(ctl_msg_decode(msg, one, one_len, again) == 0);
			CHECK(ctl_msg_encode(msg, again, SIZE_MAX, &two, &two_len) == 0);
			CHECK(one_len == two_len && memcmp(one, two, one_len) == 0);
			ctl_msg_fini(msg, again);
		}
		FILE *null = fopen("/dev/null", "w");
		CHECK(null != NULL);
		ctl_msg_json(msg, plain, null);
		fclose(null);
		ctl_msg_fini(msg, plain);
	}
	free(one);
	free(two);
	free(plain);
	free(again);
	return 0;
}
