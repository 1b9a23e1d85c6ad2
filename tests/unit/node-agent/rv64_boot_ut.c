/* SPDX-License-Identifier: Apache-2.0 */
#include "node-agent/rv64_boot.h"

#include <libfdt.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/rv64_map.h"
#include "tests/lib/ut.h"
#include "vcpu/vcpu.h"

#define RAM_BYTES (UINT64_C(64) << 20)

static uint8_t *ram;

/* A gate to plain memory. */
static int plain_pin(void *ctx, struct dsm_seg *segs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (segs[i].gpa.v < RV64_RAM_BASE ||
			!range_inside(segs[i].gpa.v - RV64_RAM_BASE, segs[i].bytes, RAM_BYTES))
			return ERR_RANGE;
		segs[i].host = ram + (segs[i].gpa.v - RV64_RAM_BASE);
	}
	return 0;
}

static void plain_unpin(void *ctx, const struct dsm_seg *segs, size_t n)
{
}

static const struct dsm_gate_ops plain_ops = {plain_pin, plain_unpin};
static const struct dsm_gate gate = {&plain_ops, NULL, {RV64_RAM_BASE}, RAM_BYTES};

static void before(void)
{
	ram = calloc(1, RAM_BYTES);
}

static void after(void)
{
	free(ram);
}

UT_SUITE_WITH(rv64_boot, before, after);

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("file", 0);
	CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	return fd;
}

/* A kernel of 4 KiB that says it needs `image_size`. */
static int kernel_of(uint64_t text_offset, uint64_t image_size, const char *magic2)
{
	uint8_t image[4096] = {0x13};
	memcpy(image + 8, &text_offset, 8);
	memcpy(image + 16, &image_size, 8);
	memcpy(image + 56, magic2, 4);
	image[4095] = 0x5a;
	return file_of(image, sizeof(image));
}

static const struct dsm_node nodes[] = {
	{{0}, {RV64_RAM_BASE}, RAM_BYTES / 2},
	{{1}, {RV64_RAM_BASE + RAM_BYTES / 2}, RAM_BYTES / 2},
};
static const uint16_t vcpu_node[] = {0, 0, 1};

static struct rv64_fdt_cfg fdt_cfg(void)
{
	return (struct rv64_fdt_cfg){.nodes = nodes,
		.n_nodes = 2,
		.vcpus = 3,
		.vcpu_node = vcpu_node,
		.append = "quiet"};
}

static int load(int kernel, int initrd, gpa_t *fdt_addr, char *why)
{
	struct rv64_boot boot = {kernel, initrd};
	struct rv64_fdt_cfg cfg = fdt_cfg();
	gpa_t pc;
	int err = rv64_boot_load(&boot, &cfg, &gate, &pc, fdt_addr, why);
	if (err == 0)
		CHECK(pc.v == RV64_RAM_BASE + 0x200000);
	close(kernel);
	if (initrd >= 0)
		close(initrd);
	return err;
}

UT_TEST(kernel_initrd_and_tree_lie_where_the_boot_protocol_wants_them)
{
	char why[RV64_BOOT_ERROR_MAX];
	gpa_t at;
	UT_OK(load(kernel_of(0x200000, 0x300000, "RSC\x05"), file_of("initrd!", 7), &at, why));
	UT_EQ(ram[0x200000], 0x13);
	UT_EQ(ram[0x200fff], 0x5a);
	UT_EQ_MEM(ram + 0x600000, "initrd!", 7); /* behind image_size, 2 MiB aligned */
	const void *fdt = ram + (at.v - RV64_RAM_BASE);
	UT_EQ(at.v % 0x200000, 0);
	UT_EQ(fdt_check_header(fdt), 0);
	int chosen = fdt_path_offset(fdt, "/chosen");
	UT_EQ_STR((const char *)fdt_getprop(fdt, chosen, "bootargs", NULL), "quiet");
	const fdt64_t *end = fdt_getprop(fdt, chosen, "linux,initrd-end", NULL);
	UT_EQ(fdt64_ld(end), RV64_RAM_BASE + 0x600007);
}

UT_TEST(the_tree_describes_nodes_harts_and_controllers)
{
	struct rv64_fdt_cfg cfg = fdt_cfg();
	void *fdt;
	size_t bytes;
	UT_OK(rv64_fdt_build(&cfg, &fdt, &bytes));
	UT_EQ(bytes, fdt_totalsize(fdt));
	int cpu2 = fdt_path_offset(fdt, "/cpus/cpu@2");
	UT_EQ(fdt32_to_cpu(*(const fdt32_t *)fdt_getprop(fdt, cpu2, "numa-node-id", NULL)), 1);
	int len;
	UT_CHECK(fdt_getprop(fdt, fdt_path_offset(fdt, "/distance-map"), "distance-matrix", &len));
	UT_EQ(len, 4 * 3 * 4);
	int imsic = fdt_path_offset(fdt, "/soc/interrupt-controller@28000000");
	const fdt32_t *ext = fdt_getprop(fdt, imsic, "interrupts-extended", &len);
	UT_EQ(len, 3 * 2 * 4);
	/* In hart order: the phandle of hart 2's own controller comes last. */
	int intc2 = fdt_path_offset(fdt, "/cpus/cpu@2/interrupt-controller");
	UT_EQ(fdt32_to_cpu(ext[4]), fdt_get_phandle(fdt, intc2));
	UT_CHECK(fdt_path_offset(fdt, "/memory@82000000") > 0);
	free(fdt);
}

UT_TEST(a_tree_without_room_is_an_error)
{
	static uint16_t many[VCPU_MAX];
	struct rv64_fdt_cfg cfg = fdt_cfg();
	char *append = malloc(2 << 20);
	memset(append, 'x', (2 << 20) - 1);
	append[(2 << 20) - 1] = '\0';
	cfg.vcpus = VCPU_MAX;
	cfg.vcpu_node = many;
	cfg.append = append;
	void *fdt;
	size_t bytes;
	UT_ERR(rv64_fdt_build(&cfg, &fdt, &bytes), NO_SPACE);
	free(append);
}

UT_TEST(files_that_are_no_kernel_are_refused_with_the_reason)
{
	char why[RV64_BOOT_ERROR_MAX];
	gpa_t at;
	UT_ERR(load(kernel_of(0x200000, 0, "ABCD"), -1, &at, why), FORMAT);
	UT_HAS_STR(why, "RISC-V Linux Image");
	UT_ERR(load(file_of("\x1f\x8b", 2), -1, &at, why), FORMAT);
	uint8_t gz[64] = {0x1f, 0x8b};
	UT_ERR(load(file_of(gz, sizeof(gz)), -1, &at, why), FORMAT);
	UT_HAS_STR(why, "zcat");
	UT_ERR(load(kernel_of(0x200000, RAM_BYTES, "RSC\x05"), -1, &at, why), RANGE);
	UT_ERR(load(kernel_of(UINT64_MAX & ~UINT64_C(4095), 1, "RSC\x05"), -1, &at, why), RANGE);
	UT_ERR(load(kernel_of(0x200000, UINT64_MAX, "RSC\x05"), -1, &at, why), RANGE);
}

UT_TEST(an_initrd_that_does_not_fit_is_refused)
{
	char why[RV64_BOOT_ERROR_MAX];
	gpa_t at;
	int big = memfd_create("big", 0);
	CHECK(ftruncate(big, (off_t)RAM_BYTES) == 0);
	UT_ERR(load(kernel_of(0x200000, 0, "RSC\x05"), big, &at, why), RANGE);
	UT_HAS_STR(why, "initrd");
	UT_ERR(load(kernel_of(0x200000, 0, "RSC\x05"), memfd_create("empty", 0), &at, why), FORMAT);
}

/* The tree needs only the engine's description of itself. */
const char *vcpu_rv64_isa(void)
{
	return "rv64imafdc";
}

const char *const *vcpu_rv64_extensions(bool svadu)
{
	static const char *const list[] = {"i", "m", NULL};
	return list;
}
