/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/disk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

#define BYTES 65536u

static struct disk *d;
static int image = -1;

static void make(uint64_t bytes, bool overlay, uint64_t limit, bool read_only)
{
	struct disk_cfg cfg = {
		.fd = fixture_file(bytes),
		.read_only = read_only,
		.overlay_fd = -1,
		.overlay_limit_bytes = limit,
	};
	if (overlay)
		UT_OK(disk_overlay_open("/tmp", &cfg.overlay_fd));
	image = dup(cfg.fd);
	UT_OK(disk_create(&cfg, &d));
}

static void after(void)
{
	disk_destroy(d);
	d = NULL;
	if (image >= 0)
		close(image);
	image = -1;
}

UT_SUITE_WITH(disk, NULL, after);

UT_TEST(arguments_are_checked)
{
	uint8_t b[1024];
	make(BYTES, false, 0, false);
	UT_ERR(disk_read(d, 1, b, 512), INVAL);
	UT_ERR(disk_read(d, 0, b, 100), INVAL);
	UT_ERR(disk_read(d, BYTES, b, 512), RANGE);
	UT_ERR(disk_write(d, BYTES - 512, b, 1024), RANGE);
	UT_ERR(disk_read(d, UINT64_MAX - 511, b, 1024), RANGE);
	UT_ERR(disk_discard(d, 0, UINT64_C(1) << 63), RANGE);
	UT_ERR(disk_zero(d, BYTES, 512, true), RANGE);
	UT_OK(disk_read(d, BYTES, b, 0));
	UT_OK(disk_discard(d, 512, 0));
	UT_OK(disk_zero(d, 512, 0, false));
}

UT_TEST(a_read_only_disk)
{
	uint8_t b[512];
	make(BYTES, false, 0, true);
	UT_CHECK(disk_read_only(d));
	UT_OK(disk_read(d, 0, b, 512));
	UT_ERR(disk_write(d, 0, b, 512), DENIED);
	UT_ERR(disk_discard(d, 0, 512), DENIED);
	UT_ERR(disk_zero(d, 0, 512, false), DENIED);
	UT_OK(disk_flush(d));
}

UT_TEST(the_tail_of_an_odd_image)
{
	uint8_t b[512];
	make(700, false, 0, false);
	UT_EQ(disk_bytes(d), 1024);
	UT_OK(disk_read(d, 512, b, 512));
	UT_EQ(b[187], fixture_file_byte(699));
	UT_EQ(b[188], 0);
	memset(b, 9, sizeof(b));
	UT_OK(disk_write(d, 512, b, 512));
	UT_OK(disk_read(d, 512, b, 512));
	UT_EQ(b[511], 9);
}

UT_TEST(an_image_that_is_no_file)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	struct disk_cfg cfg = {.fd = fds[0], .overlay_fd = -1};
	UT_ERR(disk_create(&cfg, &d), FORMAT);
	close(fds[0]);
	close(fds[1]);
	int dummy;
	UT_CHECK(disk_overlay_open("/nonexistent/dir", &dummy) != 0);
}

UT_TEST(a_host_that_fails)
{
	uint8_t b[512] = {0};
	struct disk_cfg cfg = {.fd = open("/dev/full", O_RDWR | O_CLOEXEC), .overlay_fd = -1};
	if (cfg.fd < 0)
		UT_SKIP("/dev/full is missing");
	close(cfg.fd);
	/* A descriptor that can only be read is an image that can not be written. */
	char path[] = "/tmp/disk_ut-XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	cfg.fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(cfg.fd >= 0 && unlink(path) == 0);
	close(fd);
	UT_OK(disk_create(&cfg, &d));
	UT_ERR(disk_write(d, 0, b, 512), IO);
	UT_OK(disk_read(d, 0, b, 512));
	/* And zeroes fall back to writing. */
	UT_ERR(disk_zero(d, 0, 512, true), IO);
}

UT_TEST(the_overlay_counts_its_blocks)
{
	static uint8_t b[16384];
	make(BYTES, true, 3 * 4096, false);
	UT_OK(disk_write(d, 512, b, 512));
	UT_EQ(disk_overlay_bytes(d), 4096);
	UT_OK(disk_write(d, 0, b, 4096));
	UT_EQ(disk_overlay_bytes(d), 4096);
	/* Across blocks, none of which is whole. */
	UT_OK(disk_write(d, 4096 - 512, b, 1024));
	UT_EQ(disk_overlay_bytes(d), 2 * 4096);
	UT_ERR(disk_write(d, 16384, b, 8192), NO_SPACE);
	UT_OK(disk_write(d, 16384, b, 4096));
	UT_ERR(disk_write(d, 32768, b, 512), NO_SPACE);
	/* A part of a block frees nothing. */
	UT_OK(disk_discard(d, 16384, 2048));
	UT_EQ(disk_overlay_bytes(d), 3 * 4096);
	UT_OK(disk_discard(d, 0, BYTES));
	UT_EQ(disk_overlay_bytes(d), 0);
	UT_OK(disk_read(d, 0, b, 512));
	UT_EQ(b[1], fixture_file_byte(1));
	UT_OK(disk_flush(d));
}

UT_TEST(a_last_block_that_is_not_whole)
{
	uint8_t b[512];
	make(5000, true, BYTES, false);
	UT_EQ(disk_bytes(d), 5120);
	memset(b, 3, sizeof(b));
	UT_OK(disk_write(d, 4096, b, 512));
	UT_OK(disk_read(d, 4608, b, 512));
	UT_EQ(b[0], fixture_file_byte(4608));
	UT_EQ(b[391], fixture_file_byte(4999));
	UT_EQ(b[392], 0);
}

/* Against a plain array, in any order and of any size. */
static void compare_with_a_model(bool overlay)
{
	static uint8_t model[BYTES], buf[BYTES];
	struct rng rng;
	rng_init(&rng, ut_seed());
	make(BYTES, overlay, BYTES, false);
	for (unsigned i = 0; i < BYTES; i++)
		model[i] = fixture_file_byte(i);
	for (unsigned step = 0; step < 2000; step++) {
		uint64_t off = 512 * rng_below(&rng, BYTES / 512);
		size_t len = 512 * (size_t)rng_below(&rng, 1 + MIN(40, (BYTES - off) / 512));
		switch (rng_below(&rng, 4)) {
		case 0:
			memset(buf, (int)rng_below(&rng, 256), len);
			memcpy(model + off, buf, len);
			UT_OK(disk_write(d, off, buf, len));
			break;
		case 1:
			memset(model + off, 0, len);
			UT_OK(disk_zero(d, off, len, rng_below(&rng, 2) != 0));
			break;
		default:
			UT_OK(disk_read(d, off, buf, len));
			UT_EQ_MEM(buf, model + off, len);
		}
	}
	if (!overlay)
		return;
	UT_EQ(pread(image, buf, BYTES, 0), BYTES);
	for (unsigned i = 0; i < BYTES; i++)
		UT_EQ(buf[i], fixture_file_byte(i));
}

UT_TEST(random_requests_on_an_image)
{
	compare_with_a_model(false);
}

UT_TEST(random_requests_on_an_overlay)
{
	compare_with_a_model(true);
}
