/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a slice's fabric, as the coordinator passes it on: text of any kind. */
#include <stdlib.h>
#include <string.h>

#include "proto/xport_ofi_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_storage a;
	char *text = malloc(size + 1);

	CHECK(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (ofi_addr_parse(text, &a) == 0)
		CHECK(a.ss_family == AF_INET || a.ss_family == AF_INET6);
	free(text);
	return 0;
}
