/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "node-agent/rv64_boot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Linux Documentation/arch/riscv/boot-image-header.rst: a 64-byte header in front of the flat
 * image. The image goes to RAM start + text_offset, is entered at its first byte, and may use
 * image_size bytes from there (its .bss is behind the file's end).
 */
#define IMAGE_HEADER_BYTES 64
#define IMAGE_MAGIC2       0x05435352u /* "RSC\x05" */
#define LOAD_ALIGN         UINT64_C(0x200000)
#define CHUNK_BYTES        (64u << 10)

static PRINTF_LIKE(3, 4) int fail(char *why, int err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, RV64_BOOT_ERROR_MAX, fmt, ap);
	va_end(ap);
	return err;
}

static int file_bytes(int fd, const char *what, uint64_t *out, char *why)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return fail(
			why, err_from_errno(errno), "%s: cannot stat: %s", what, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return fail(why, ERR_FORMAT, "%s: not a regular, non-empty file", what);
	*out = (uint64_t)st.st_size;
	return 0;
}

static int read_exact(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_from_errno(errno) : ERR_IO;
		done += (size_t)n;
	}
	return 0;
}

/* Copy `bytes` of a file to guest address `to`. */
static int load_file(
	int fd, const char *what, uint64_t bytes, const struct dsm_gate *gate, gpa_t to, char *why)
{
	uint8_t *buf = malloc(CHUNK_BYTES);
	if (buf == NULL)
		return fail(why, ERR_NO_MEMORY, "%s: out of memory", what);
	int err = 0;
	for (uint64_t off = 0; off < bytes && err == 0; off += CHUNK_BYTES) {
		size_t n = (size_t)MIN(bytes - off, (uint64_t)CHUNK_BYTES);
		err = read_exact(fd, buf, n, off);
		if (err == 0)
			err = dsm_gate_write(gate, (gpa_t){to.v + off}, buf, n);
	}
	free(buf);
	return err == 0 ? 0 : fail(why, err, "%s: cannot load: %s", what, err_text(err));
}

/* Where the kernel goes and how much room it takes. */
static int kernel_place(
	int fd, uint64_t file, const struct dsm_gate *gate, gpa_t *to, uint64_t *room, char *why)
{
	uint8_t header[IMAGE_HEADER_BYTES];
	if (file < sizeof(header) || read_exact(fd, header, sizeof(header), 0) != 0)
		return fail(why, ERR_FORMAT, "kernel: shorter than an image header");
	if (header[0] == 0x1f && header[1] == 0x8b)
		return fail(why, ERR_FORMAT, "kernel: gzip-compressed; unpack it first (zcat)");
	struct rcur c = rcur_of(header, sizeof(header));
	rcur_bytes(&c, 8); /* code */
	uint64_t text_offset = rcur_u64(&c);
	uint64_t image_size = rcur_u64(&c);
	rcur_bytes(&c, 32); /* flags, version, reserved, magic */
	if (rcur_u32(&c) != IMAGE_MAGIC2)
		return fail(
			why, ERR_FORMAT, "kernel: not a flat RISC-V Linux Image (no RSC magic)");
	uint64_t need = MAX(image_size, file);
	if (text_offset % PAGE_BYTES != 0 || text_offset >= gate->bytes ||
		need > gate->bytes - text_offset)
		return fail(why, ERR_RANGE, "kernel: needs %llu MiB of memory behind offset 0x%llx",
			(unsigned long long)(need >> 20), (unsigned long long)text_offset);
	*to = (gpa_t){gate->base.v + text_offset};
	*room = need;
	return 0;
}

static uint64_t align_up(uint64_t v, uint64_t align)
{
	return align_down(v + align - 1, align);
}

int rv64_boot_load(const struct rv64_boot *boot, struct rv64_fdt_cfg *fdt,
	const struct dsm_gate *gate, gpa_t *pc, gpa_t *fdt_addr, char *why)
{
	uint64_t end = gate->base.v + gate->bytes;
	uint64_t kernel_bytes = 0, room = 0;
	gpa_t kernel = {0};
	int err = file_bytes(boot->kernel_fd, "kernel", &kernel_bytes, why);
	if (err == 0)
		err = kernel_place(boot->kernel_fd, kernel_bytes, gate, &kernel, &room, why);
	if (err == 0)
		err = load_file(boot->kernel_fd, "kernel", kernel_bytes, gate, kernel, why);
	if (err != 0)
		return err;

	uint64_t next = align_up(kernel.v + room, LOAD_ALIGN);
	fdt->initrd = (gpa_t){next};
	fdt->initrd_bytes = 0;
	if (boot->initrd_fd >= 0) {
		uint64_t bytes;
		err = file_bytes(boot->initrd_fd, "initrd", &bytes, why);
		if (err != 0)
			return err;
		if (next >= end || bytes > end - next)
			return fail(why, ERR_RANGE,
				"initrd: %llu MiB do not fit behind the kernel in %llu MiB of "
				"memory",
				(unsigned long long)(bytes >> 20),
				(unsigned long long)(gate->bytes >> 20));
		err = load_file(boot->initrd_fd, "initrd", bytes, gate, fdt->initrd, why);
		if (err != 0)
			return err;
		fdt->initrd_bytes = bytes;
		next = align_up(next + bytes, LOAD_ALIGN);
	}

	void *blob;
	size_t blob_bytes;
	err = rv64_fdt_build(fdt, &blob, &blob_bytes);
	if (err != 0)
		return fail(why, err, "device tree: %s", err_text(err));
	if (next >= end || blob_bytes > end - next)
		err = fail(why, ERR_RANGE, "device tree: no room behind kernel and initrd");
	else if ((err = dsm_gate_write(gate, (gpa_t){next}, blob, blob_bytes)) != 0)
		fail(why, err, "device tree: cannot load: %s", err_text(err));
	free(blob);
	if (err != 0)
		return err;
	*pc = kernel;
	*fdt_addr = (gpa_t){next};
	return 0;
}
