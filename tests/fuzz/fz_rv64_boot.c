/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel image, as a user names it, and behind it an initial RAM disk: the first two bytes say
 * how many bytes the image has. Whatever its header says, all lands inside guest memory, or nothing
 * is started and the reason is said.
 */
#include "node-agent/rv64_boot.h"

#include <libfdt.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/rv64_map.h"
#include "tests/lib/fake_gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_BYTES (UINT64_C(16) << 20)

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(size == 0 || write(fd, data, size) == (ssize_t)size);
	return fd;
}

static bool in_ram(gpa_t at)
{
	return at.v >= RV64_RAM_BASE && at.v < RV64_RAM_BASE + RAM_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dsm_node node = {{0}, {RV64_RAM_BASE}, RAM_BYTES};
	static const uint16_t vcpu_node[1];
	static struct fake_gate gate;
	struct rv64_fdt_cfg fdt = {.nodes = &node,
		.n_nodes = 1,
		.vcpus = 1,
		.vcpu_node = vcpu_node,
		.append = "quiet"};
	char why[RV64_BOOT_ERROR_MAX] = "";
	gpa_t pc, fdt_at;

	if (size < 2)
		return 0;
	if (gate.ram == NULL)
		fake_gate_init(&gate, RAM_BYTES);
	size_t kernel = MIN((size_t)(data[0] | data[1] << 8), size - 2);
	const struct rv64_boot boot = {
		.kernel_fd = file_of(data + 2, kernel),
		.initrd_fd = kernel < size - 2 ? file_of(data + 2 + kernel, size - 2 - kernel) : -1,
	};
	if (rv64_boot_load(&boot, &fdt, &gate.gate, &pc, &fdt_at, why) == 0) {
		CHECK(in_ram(pc) && in_ram(fdt_at));
		CHECK(fdt_check_header(fake_gate_at(&gate, fdt_at, sizeof(struct fdt_header))) ==
			0);
	} else {
		CHECK(why[0] != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
	}
	close(boot.kernel_fd);
	if (boot.initrd_fd >= 0)
		close(boot.initrd_fd);
	return 0;
}
