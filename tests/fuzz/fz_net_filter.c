/* SPDX-License-Identifier: Apache-2.0 */
/* An Ethernet frame of the guest at the door to the host's network. What passes is ARP or IPv4, and
 * never goes to the host itself or its neighbours. */
#include "vio/net_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vio_net_range inside = {0x0a000200, 24}, fabric = {0xc0a80700, 24};
	static struct net_filter f;

	if (f.n == 0)
		CHECK(net_filter_init(&f, false, inside, &fabric, 1) == 0);
	if (!net_filter_passes(&f, data, size))
		return 0;
	CHECK(size >= 14);
	if (data[12] == 0x08 && data[13] == 0x06)
		return 0;
	CHECK(data[12] == 0x08 && data[13] == 0x00 && size >= 34);
	const uint8_t *to = data + 30;
	CHECK(to[0] != 0 && to[0] != 127 && !(to[0] == 169 && to[1] == 254));
	CHECK(!(to[0] == 192 && to[1] == 168 && to[2] == 7));
	return 0;
}
