/* SPDX-License-Identifier: Apache-2.0 */
/* The log switch as a user writes it. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char spec[256];
	if (size >= sizeof(spec))
		return 0;
	memcpy(spec, data, size);
	spec[size] = '\0';
	int rc = log_set(spec);
	CHECK(rc == 0 || rc == ERR_INVAL);
	return 0;
}
