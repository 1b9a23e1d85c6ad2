/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/slice.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/rv64_map.h"
#include "tests/lib/ut.h"

#define UNIT (UINT64_C(128) << 20)

static struct slice *s;
static struct ctl_slice_part parts[2];
static struct ctl_fd_tag tags[3];
static struct ctl_slice_spec spec;

static void before(void)
{
	s = calloc(1, sizeof(*s));
	s->fds = SLICE_NO_FDS;
	parts[0] =
		(struct ctl_slice_part){.slice = 0, .host = "a", .vcpus = 2, .memory_bytes = UNIT};
	parts[1] = (struct ctl_slice_part){
		.slice = 3, .host = "b", .vcpu_first = 2, .vcpus = 1, .memory_bytes = 2 * UNIT};
	spec = (struct ctl_slice_spec){
		.vm = "vm",
		.slice = 3,
		.slices = parts,
		.n_slices = 2,
		.vcpus = 3,
		.memory_bytes = 3 * UNIT,
		.append = "quiet",
	};
}

static void after(void)
{
	slice_spec_drop(s);
	free(s);
}

UT_SUITE_WITH(slice_spec, before, after);

UT_TEST(nodes_and_vcpus_follow_each_other)
{
	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_EQ(s->self.v, 3);
	UT_EQ(s->leader.v, 0);
	UT_EQ(s->n_vcpus, 1);
	UT_EQ(s->nodes[1].start.v, RV64_RAM_BASE + UNIT);
	UT_EQ(s->vcpu_slice[1].v, 0);
	UT_EQ(s->vcpu_slice[2].v, 3);
	UT_EQ(s->vcpu_node[2], 1);
}

UT_TEST(what_does_not_add_up_is_refused_with_the_reason)
{
	spec.vcpus = 4;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "3 vCPUs, the VM 4");
	after();
	before();
	parts[1].memory_bytes = UNIT + 4096;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "128 MiB");
	after();
	before();
	parts[1].vcpu_first = 1;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	after();
	before();
	parts[1].slice = 0;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	after();
	before();
	spec.slice = 7;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "not in the list");
	after();
	before();
	parts[1].memory_bytes = UINT64_C(1) << 62;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	after();
	before();
	parts[1].slice = SLICE_MAX;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
}

UT_TEST(unknown_options_are_named)
{
	snprintf(spec.cpu, sizeof(spec.cpu), "vector=on");
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "svadu=off");
	after();
	before();
	snprintf(spec.engine, sizeof(spec.engine), "tcg");
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "rv64");
	after();
	before();
	snprintf(spec.net, sizeof(spec.net), "bridge");
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
}

UT_TEST(options_of_the_engine)
{
	static const char *const bad[] = {"rv64,", "rv64,jit", "rv64,cache=1K",
		"rv64,cache=", "rv64,threshold=0", "rv64,threshold=1x", "rv64,jit=off,turbo=on"};

	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_CHECK(s->vcpu_like.jit);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		after();
		before();
		snprintf(spec.engine, sizeof(spec.engine), "%s", bad[i]);
		UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
		UT_HAS_STR(s->ctl_text, "engine option");
	}
	after();
	before();
	snprintf(spec.engine, sizeof(spec.engine), "rv64,cache=1M,threshold=5,jit=off");
	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_CHECK(!s->vcpu_like.jit);
	UT_EQ(s->vcpu_like.jit_cache_bytes, 1048576);
	UT_EQ(s->vcpu_like.jit_threshold, 5);
}

UT_TEST(a_bug_that_cannot_be_planted_is_refused)
{
	static struct ctl_option option = {.name = "plant", .value = "no-such-bug"};
	spec.options = &option;
	spec.n_options = 1;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "plant");
}

UT_TEST(only_the_first_slice_needs_a_kernel)
{
	spec.slice = 0;
	UT_ERR(slice_spec_take(s, &spec, NULL), INVAL);
	UT_HAS_STR(s->ctl_text, "kernel");
}

UT_TEST(descriptors_are_sorted_by_name_and_strangers_closed)
{
	int fds[3];
	for (unsigned i = 0; i < 3; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	snprintf(tags[0].name, sizeof(tags[0].name), "disk1");
	snprintf(tags[1].name, sizeof(tags[1].name), "kernel");
	snprintf(tags[2].name, sizeof(tags[2].name), "disk9");
	spec.fds = tags;
	spec.n_fds = 3;
	spec.slice = 0;
	UT_OK(slice_spec_take(s, &spec, fds));
	UT_EQ(s->fds.disk[1], fds[0]);
	UT_EQ(s->fds.kernel, fds[1]);
	UT_EQ(fcntl(fds[2], F_GETFD), -1);
}

UT_TEST(panics_are_told_by_warm_resets_unless_the_command_line_speaks_of_them)
{
	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_EQ_STR(s->append, "quiet panic=-1 reboot=panic_warm");
	UT_CHECK(s->warm_is_panic);
	after();
	before();
	snprintf(spec.append, sizeof(spec.append), "quiet panic=5");
	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_EQ_STR(s->append, "quiet panic=5");
	UT_CHECK(!s->warm_is_panic);
}

UT_TEST(the_network_card_is_that_of_the_vms_name)
{
	uint8_t a[6], b[6], c[6];
	slice_mac("web", a);
	slice_mac("web", b);
	slice_mac("web2", c);
	UT_EQ_MEM(a, b, 6);
	UT_CHECK(memcmp(a, c, 6) != 0);
	/* Locally administered, not a group's. */
	UT_EQ(a[0] & 3, 2);
}

UT_TEST(the_lease_has_a_default)
{
	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_EQ(s->lease_ns, UINT64_C(5000000000));
	slice_spec_drop(s);
	memset(s, 0, sizeof(*s));
	s->fds = SLICE_NO_FDS;
	spec.lease_ms = 70;
	UT_OK(slice_spec_take(s, &spec, NULL));
	UT_EQ(s->lease_ns, 70000000);
}
