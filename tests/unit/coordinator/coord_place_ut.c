/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coord_place.h"

#include "tests/lib/ut.h"

UT_SUITE(coord_place);

#define MIB(n) ((uint64_t)(n) << 20)

static struct place_host host(
	const char *name, uint32_t cpus, uint32_t used, uint64_t mib, uint64_t used_mib)
{
	return (struct place_host){name, true, cpus, used, MIB(mib), MIB(used_mib)};
}

UT_TEST(what_can_not_be)
{
	char why[256];
	struct place_want w = {.vcpus = 2, .hosts = 3, .memory_bytes = MIB(384)};

	UT_ERR(place_check(&w, why), INVAL);
	UT_HAS_STR(why, "2 vCPUs can not be spread over 3 hosts");
	w.vcpus = 3;
	UT_OK(place_check(&w, why));
	w.memory_bytes = MIB(512);
	UT_ERR(place_check(&w, why), INVAL);
	UT_HAS_STR(why, "memory of 512 MiB can not be spread evenly over 3 hosts");
	UT_HAS_STR(why, "768 MiB");
	w.memory_bytes = MIB(384) + 1;
	UT_ERR(place_check(&w, why), INVAL);
	w.memory_bytes = 0;
	UT_ERR(place_check(&w, why), INVAL);
	w = (struct place_want){.vcpus = 1, .hosts = 0, .memory_bytes = MIB(128)};
	UT_ERR(place_check(&w, why), INVAL);
	w.hosts = SLICE_MAX + 1;
	UT_ERR(place_check(&w, why), INVAL);
	w = (struct place_want){.vcpus = VCPU_MAX + 1, .hosts = 1, .memory_bytes = MIB(128)};
	UT_ERR(place_check(&w, why), INVAL);
}

UT_TEST(even_shares)
{
	struct place_host hosts[] = {
		host("c", 4, 0, 4096, 0), host("a", 4, 0, 4096, 0), host("b", 4, 0, 4096, 0)};
	struct place_want w = {.vcpus = 8, .hosts = 3, .memory_bytes = MIB(3 * 256)};
	struct ctl_slice_part parts[3];
	char why[256];

	UT_OK(place(&w, hosts, 3, parts, why));
	for (uint32_t i = 0; i < 3; i++) {
		static const char *const names[] = {"a", "b", "c"};
		static const uint32_t vcpus[] = {3, 3, 2}, first[] = {0, 3, 6};
		UT_EQ(parts[i].slice, i);
		UT_EQ_STR(parts[i].host, names[i]);
		UT_EQ(parts[i].vcpus, vcpus[i]);
		UT_EQ(parts[i].vcpu_first, first[i]);
		UT_EQ(parts[i].memory_bytes, MIB(256));
	}
}

UT_TEST(order_of_hosts)
{
	/* By share of processors given away, then free memory, then name. */
	struct place_host hosts[] = {host("busy", 2, 2, 9999, 0), host("half", 8, 4, 9999, 0),
		host("small", 2, 0, 1024, 0), host("large", 2, 0, 8192, 0)};
	struct place_want w = {.vcpus = 4, .hosts = 4, .memory_bytes = MIB(4 * 128)};
	struct ctl_slice_part parts[4];
	char why[256];

	UT_OK(place(&w, hosts, 4, parts, why));
	UT_EQ_STR(parts[0].host, "large");
	UT_EQ_STR(parts[1].host, "small");
	UT_EQ_STR(parts[2].host, "half");
	UT_EQ_STR(parts[3].host, "busy");
}

UT_TEST(refusals_name_hosts_and_causes)
{
	struct place_host hosts[] = {
		host("a", 4, 0, 1024, 0), host("b", 4, 0, 1024, 900), host("c", 4, 0, 1024, 0)};
	struct place_want w = {.vcpus = 2, .hosts = 2, .memory_bytes = MIB(512)};
	struct ctl_slice_part parts[2];
	char why[256];

	hosts[2].online = false;
	UT_ERR(place(&w, hosts, 3, parts, why), FULL);
	UT_HAS_STR(why, "2 hosts are wanted and 1 fit");
	UT_HAS_STR(why, "b has 124 MiB free, 256 are needed");
	UT_HAS_STR(why, "c is not connected");
	hosts[1].memory_used_bytes = MIB(768);
	UT_OK(place(&w, hosts, 3, parts, why)); /* exactly enough */
	w.cache_bytes = 1;
	UT_ERR(place(&w, hosts, 3, parts, why), FULL);
	hosts[1].memory_used_bytes = MIB(2000); /* more than it has */
	UT_ERR(place(&w, hosts, 3, parts, why), FULL);
	UT_HAS_STR(why, "b has 0 MiB free");
	UT_ERR(place(&w, hosts, 0, parts, why), FULL);
}
