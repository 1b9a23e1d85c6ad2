/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire_vm.h"

#include <string.h>

/*
 * Messages between slices about vCPUs and the life of the VM: two bytes of type, then the message.
 * What decodes must encode to the same bytes again.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_vm_msg m;
	uint8_t again[WIRE_VM_HEAD_MAX];
	if (size < 2)
		return 0;
	uint16_t type = (uint16_t)(data[0] | data[1] << 8);
	if (wire_vm_decode(type, data + 2, size - 2, &m) != 0)
		return 0;
	size_t n = wire_vm_encode(&m, again);
	CHECK(n == size - 2 && memcmp(again, data + 2, n) == 0);
	return 0;
}
