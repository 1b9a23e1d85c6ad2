/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "vio/blk.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/lib/ut.h"
#include "tests/unit/vio/fixture.h"

#define SLOT        2u
#define IMAGE_BYTES (UINT64_C(1) << 20)

static struct fixture f;
static struct virtio_driver vd;
static int image; /* a second descriptor of the image */

static void attach(uint64_t bytes, bool read_only, int overlay, uint64_t limit)
{
	fixture_init(&f);
	struct vio_blk_cfg cfg = {
		.fd = fixture_file(bytes),
		.read_only = read_only,
		.overlay_fd = overlay,
		.overlay_limit_bytes = limit,
		.serial = "a serial number that is too long",
		.queues = 2,
	};
	image = dup(cfg.fd);
	CHECK(image >= 0);
	UT_OK(vio_machine_add_blk(f.m, SLOT, &cfg));
	UT_OK(vio_machine_start(f.m));
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
	vd_start(&vd);
}

static void before(void)
{
	image = -1;
	f.m = NULL;
}

static void after(void)
{
	if (f.m != NULL)
		fixture_fini(&f);
	if (image >= 0)
		close(image);
}

UT_SUITE_WITH(blk, before, after);

/* Header, data, status as one chain; gives the status. */
static uint8_t request(unsigned q, uint32_t type, uint64_t sector, struct vd_buf data)
{
	struct vd_buf head = fixture_buf(&f, 16, false), status = fixture_buf(&f, 1, true);
	struct wcur c = wcur_of(fixture_bytes(&f, head), 16);
	wcur_u32(&c, type);
	wcur_u32(&c, 0);
	wcur_u64(&c, sector);
	*fixture_bytes(&f, status) = 0xee;
	struct vd_buf bufs[3] = {head, data, status};
	if (data.bytes == 0)
		bufs[1] = status;
	vd_do(&vd, q, bufs, data.bytes == 0 ? 2 : 3);
	return *fixture_bytes(&f, status);
}

static const struct vd_buf none = {.bytes = 0};

UT_TEST(configuration_tells_size_and_queues)
{
	attach(IMAGE_BYTES, false, -1, 0);
	UT_EQ(vd_read(&vd, vd.device, 4), IMAGE_BYTES / 512);
	UT_EQ(vd_read(&vd, vd.device + 34, 2), 2);
	UT_EQ(vd_common_read(&vd, VD_NUM_QUEUES, 2), 2);
	UT_EQ(vd_config_read(f.bus, SLOT, 0x00, 4), 0x10421af4);
}

UT_TEST(reads_on_every_queue)
{
	attach(IMAGE_BYTES, false, -1, 0);
	for (unsigned q = 0; q < 2; q++) {
		struct vd_buf data = fixture_buf(&f, 3 * 512, true);
		UT_EQ(request(q, 0, 5, data), 0);
		for (unsigned i = 0; i < data.bytes; i++)
			UT_EQ(fixture_bytes(&f, data)[i], fixture_file_byte(5 * 512 + i));
	}
}

UT_TEST(a_large_request_goes_in_pieces)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf data = fixture_buf(&f, IMAGE_BYTES, true);
	UT_EQ(request(0, 0, 0, data), 0);
	for (unsigned i = 0; i < data.bytes; i += 511)
		UT_EQ(fixture_bytes(&f, data)[i], fixture_file_byte(i));
}

UT_TEST(an_indirect_request_in_odd_pieces)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf head = fixture_buf(&f, 16, false), all = fixture_buf(&f, 513, true);
	struct wcur c = wcur_of(fixture_bytes(&f, head), 16);
	wcur_u64(&c, 0);
	wcur_u64(&c, 9);
	const struct vd_buf bufs[] = {
		{head.gpa, 7, false},
		{{head.gpa.v + 7}, 9, false},
		{all.gpa, 100, true},
		{{all.gpa.v + 100}, 413, true},
	};
	uint16_t got;
	uint32_t written;
	vd_add_indirect(&vd, 0, bufs, 4);
	vd_kick(&vd, 0);
	vd_wait_used(&vd, 0, &got, &written);
	UT_EQ(written, 513);
	UT_EQ(fixture_bytes(&f, all)[512], 0);
	for (unsigned i = 0; i < 512; i++)
		UT_EQ(fixture_bytes(&f, all)[i], fixture_file_byte(9 * 512 + i));
}

UT_TEST(writes_reach_the_image)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf data = fixture_buf(&f, 1024, false);
	memset(fixture_bytes(&f, data), 0x5a, 1024);
	UT_EQ(request(0, 1, 7, data), 0);
	UT_EQ(request(1, 4, 0, none), 0);
	uint8_t got[1024];
	UT_EQ(pread(image, got, sizeof(got), 7 * 512), sizeof(got));
	UT_EQ_MEM(got, fixture_bytes(&f, data), sizeof(got));
}

UT_TEST(outside_the_disk_is_an_error_of_the_request)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf in = fixture_buf(&f, 1024, true), out = fixture_buf(&f, 1024, false);
	uint64_t last = IMAGE_BYTES / 512 - 1;
	UT_EQ(request(0, 0, last, in), 1);
	UT_EQ(request(0, 1, last, out), 1);
	UT_EQ(request(0, 0, UINT64_MAX, in), 1);
	UT_EQ(request(0, 1, UINT64_C(1) << 55, out), 1);
	struct vd_buf odd = fixture_buf(&f, 100, true);
	UT_EQ(request(0, 0, 0, odd), 1);
	UT_EQ(request(0, 99, 0, in), 2);
	UT_EQ(request(0, 0, 0, in), 0);
	UT_EQ(vd_status(&vd), 15);
}

UT_TEST(a_read_only_disk_refuses_writes)
{
	attach(IMAGE_BYTES, true, -1, 0);
	UT_CHECK((vd_offered(&vd) & 1u << 5) != 0);
	struct vd_buf data = fixture_buf(&f, 512, false);
	UT_EQ(request(0, 1, 0, data), 1);
	UT_EQ(request(0, 11, 0, data), 1);
	UT_EQ(request(0, 4, 0, none), 0);
}

UT_TEST(an_odd_image_continues_with_zeros)
{
	attach(1000, false, -1, 0);
	UT_EQ(vd_read(&vd, vd.device, 4), 2);
	struct vd_buf data = fixture_buf(&f, 1024, true);
	memset(fixture_bytes(&f, data), 0xff, 1024);
	UT_EQ(request(0, 0, 0, data), 0);
	UT_EQ(fixture_bytes(&f, data)[999], fixture_file_byte(999));
	UT_EQ(fixture_bytes(&f, data)[1000], 0);
	UT_EQ(fixture_bytes(&f, data)[1023], 0);
}

UT_TEST(an_image_that_shrinks_gives_an_error)
{
	attach(IMAGE_BYTES, false, -1, 0);
	UT_EQ(ftruncate(image, 4096), 0);
	struct vd_buf data = fixture_buf(&f, 512, true);
	UT_EQ(request(0, 0, 100, data), 1);
	UT_EQ(request(0, 0, 7, data), 0);
}

static int overlay(void)
{
	int fd = -1;
	UT_OK(vio_overlay_open("/tmp", &fd));
	return fd;
}

UT_TEST(a_non_persistent_disk_leaves_the_image_alone)
{
	attach(IMAGE_BYTES, false, overlay(), IMAGE_BYTES);
	struct vd_buf out = fixture_buf(&f, 1024, false), in = fixture_buf(&f, 8192, true);
	memset(fixture_bytes(&f, out), 0x77, 1024);
	UT_EQ(request(0, 1, 3, out), 0);
	UT_EQ(request(0, 4, 0, none), 0);
	UT_EQ(request(1, 0, 0, in), 0);
	for (unsigned i = 0; i < in.bytes; i++) {
		bool mine = i >= 3 * 512 && i < 5 * 512;
		UT_EQ(fixture_bytes(&f, in)[i], mine ? 0x77 : fixture_file_byte(i));
	}
	uint8_t got[4096];
	UT_EQ(pread(image, got, sizeof(got), 0), sizeof(got));
	for (unsigned i = 0; i < sizeof(got); i++)
		UT_EQ(got[i], fixture_file_byte(i));
}

UT_TEST(a_full_overlay_is_an_error_and_the_disk_goes_on)
{
	attach(IMAGE_BYTES, false, overlay(), 8192);
	struct vd_buf out = fixture_buf(&f, 4096, false), in = fixture_buf(&f, 4096, true);
	memset(fixture_bytes(&f, out), 0x11, 4096);
	UT_EQ(request(0, 1, 0, out), 0);
	UT_EQ(request(0, 1, 80, out), 0);
	UT_EQ(request(0, 1, 160, out), 1);
	UT_EQ(request(0, 1, 161, out), 1);
	/* What has its room can be written again, and everything be read. */
	UT_EQ(request(0, 1, 80, out), 0);
	UT_EQ(request(0, 0, 160, in), 0);
	UT_EQ(fixture_bytes(&f, in)[0], fixture_file_byte(160 * 512));
	UT_EQ(vd_status(&vd), 15);
}

static uint8_t ranges(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct vd_buf data = fixture_buf(&f, 16, false);
	struct wcur c = wcur_of(fixture_bytes(&f, data), 16);
	wcur_u64(&c, sector);
	wcur_u32(&c, sectors);
	wcur_u32(&c, flags);
	return request(0, type, 0, data);
}

UT_TEST(discard_frees_the_overlay)
{
	attach(IMAGE_BYTES, false, overlay(), 4096);
	struct vd_buf out = fixture_buf(&f, 4096, false);
	UT_EQ(request(0, 1, 0, out), 0);
	UT_EQ(request(0, 1, 8, out), 1);
	UT_EQ(ranges(11, 0, 8, 0), 0);
	UT_EQ(request(0, 1, 8, out), 0);
}

UT_TEST(zeroes_read_as_zero)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf in = fixture_buf(&f, 4096, true);
	UT_EQ(ranges(13, 1, 3, 0), 0);
	UT_EQ(ranges(13, 5, 1, 1), 0);
	UT_EQ(request(0, 0, 0, in), 0);
	for (unsigned i = 0; i < in.bytes; i++) {
		bool zero = (i >= 512 && i < 4 * 512) || (i >= 5 * 512 && i < 6 * 512);
		UT_EQ(fixture_bytes(&f, in)[i], zero ? 0 : fixture_file_byte(i));
	}
	UT_EQ(ranges(11, 0, 8, 0), 0);
	UT_EQ(ranges(11, 0, 8, 1), 2);
	UT_EQ(ranges(13, 0, 8, 2), 2);
	UT_EQ(ranges(13, 0, 4096, 0), 1);
	UT_EQ(ranges(13, UINT64_MAX, 1, 0), 1);
	struct vd_buf odd = fixture_buf(&f, 15, false);
	UT_EQ(request(0, 13, 0, odd), 1);
}

UT_TEST(zeroes_on_an_overlay)
{
	attach(IMAGE_BYTES, false, overlay(), IMAGE_BYTES);
	struct vd_buf in = fixture_buf(&f, 512, true);
	UT_EQ(ranges(13, 1, 2, 1), 0);
	UT_EQ(request(0, 0, 2, in), 0);
	UT_EQ(fixture_bytes(&f, in)[7], 0);
	UT_EQ(request(0, 0, 3, in), 0);
	UT_EQ(fixture_bytes(&f, in)[7], fixture_file_byte(3 * 512 + 7));
}

UT_TEST(the_serial_number_is_cut)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf in = fixture_buf(&f, 20, true);
	UT_EQ(request(0, 8, 0, in), 0);
	UT_EQ_MEM(fixture_bytes(&f, in), "a serial number that", 20);
}

UT_TEST(a_chain_without_room_for_a_status_breaks_the_device)
{
	attach(IMAGE_BYTES, false, -1, 0);
	const struct vd_buf head = fixture_buf(&f, 16, false);
	vd_add(&vd, 0, &head, 1);
	vd_kick(&vd, 0);
	vd_wait_broken(&vd);
	/* A reset heals it. */
	vd_start(&vd);
	struct vd_buf in = fixture_buf(&f, 512, true);
	UT_EQ(request(0, 0, 0, in), 0);
}

UT_TEST(no_size_is_no_disk)
{
	fixture_init(&f);
	struct vio_blk_cfg cfg = {.fd = fixture_file(0), .overlay_fd = -1, .queues = 1};
	UT_ERR(vio_machine_add_blk(f.m, SLOT, &cfg), FORMAT);
	close(cfg.fd);
	cfg.fd = fixture_file(512);
	cfg.queues = 0;
	UT_ERR(vio_machine_add_blk(f.m, SLOT, &cfg), RANGE);
}

/* ---- reset while a request is on its way ---- */

struct hold {
	struct lk lk;
	struct lk_cond changed;
	bool on, inside;
};
static struct hold hold;

/* Stops a worker inside the gate until it is let go. */
static void hold_gate(void *arg)
{
	struct hold *h = arg;
	lk_lock(&h->lk);
	while (h->on) {
		h->inside = true;
		lk_cond_broadcast(&h->changed);
		lk_cond_wait(&h->changed, &h->lk);
	}
	lk_unlock(&h->lk);
}

static void hold_set(bool on)
{
	lk_lock(&hold.lk);
	hold.on = on;
	hold.inside = false;
	lk_cond_broadcast(&hold.changed);
	lk_unlock(&hold.lk);
}

static void hold_wait_inside(void)
{
	lk_lock(&hold.lk);
	while (!hold.inside)
		lk_cond_wait(&hold.changed, &hold.lk);
	lk_unlock(&hold.lk);
}

UT_TEST(reset_and_pause_wait_for_a_request_in_flight)
{
	lk_init(&hold.lk, LK_test);
	lk_cond_init(&hold.changed);
	attach(IMAGE_BYTES, false, -1, 0);
	vio_machine_stop(f.m);
	f.g.before = hold_gate;
	f.g.arg = &hold;
	UT_OK(vio_machine_start(f.m));

	struct vd_buf head = fixture_buf(&f, 16, false), status = fixture_buf(&f, 1, true);
	struct vd_buf data = fixture_buf(&f, 512, true);
	const struct vd_buf bufs[] = {head, data, status};
	hold_set(true);
	vd_add(&vd, 0, bufs, 3);
	vd_kick(&vd, 0);
	hold_wait_inside();

	UT_ERR(vio_machine_quiesce(f.m, 0), TIMEOUT);
	vio_machine_resume(f.m);
	/* The register does not wait for the request, and says that the reset is not done. */
	vd_common_write(&vd, VD_STATUS, 1, 0);
	UT_EQ(vd_status(&vd), 15);
	vd_common_write(&vd, VD_STATUS, 1, 1);
	UT_EQ(vd_status(&vd), 15);
	hold_set(false);
	vd_reset(&vd);
	UT_EQ(fixture_bytes(&f, data)[1], 0);

	vd_start(&vd);
	UT_EQ(request(0, 0, 0, data), 0);
	UT_OK(vio_machine_quiesce(f.m, UINT64_MAX));
	uint64_t pins = atomic_load(&f.g.pins);
	uint16_t got;
	uint32_t written;
	vd_add(&vd, 0, bufs, 3);
	vd_kick(&vd, 0);
	UT_EQ(atomic_load(&f.g.pins), pins);
	vio_machine_resume(f.m);
	vd_wait_used(&vd, 0, &got, &written);
	lk_cond_fini(&hold.changed);
	vio_machine_stop(f.m);
	f.g.before = NULL;
	lk_fini(&hold.lk);
}

UT_TEST(resets_in_the_middle_of_requests)
{
	attach(IMAGE_BYTES, false, overlay(), IMAGE_BYTES);
	struct vd_buf head = fixture_buf(&f, 16, false), status = fixture_buf(&f, 1, true);
	struct vd_buf data = fixture_buf(&f, 65536, true);
	const struct vd_buf bufs[] = {head, data, status};
	for (unsigned i = 0; i < 200; i++) {
		for (unsigned k = 0; k < 8; k++)
			vd_add(&vd, k % 2, bufs, 3);
		vd_kick(&vd, 0);
		vd_kick(&vd, 1);
		for (unsigned k = 0; k < i % 7; k++)
			vd_status(&vd);
		vd_reset(&vd);
		/* The memory is the guest's again: nothing of the last life may come later. */
		memset(fixture_bytes(&f, data), 0xcc, data.bytes);
		UT_EQ(fixture_bytes(&f, data)[i], 0xcc);
		vd_start(&vd);
	}
	struct vd_buf in = fixture_buf(&f, 512, true);
	UT_EQ(request(1, 0, 0, in), 0);
	for (unsigned i = 0; i < data.bytes; i++)
		UT_EQ(fixture_bytes(&f, data)[i], 0xcc);
}

UT_TEST(a_stopped_vm_halts_the_device)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf in = fixture_buf(&f, 512, true);
	UT_EQ(request(0, 0, 0, in), 0);
	atomic_store(&f.g.fail, ERR_VM_STOPPED);
	const struct vd_buf bufs[] = {fixture_buf(&f, 16, false), in, fixture_buf(&f, 1, true)};
	vd_add(&vd, 0, bufs, 3);
	vd_kick(&vd, 0);
	UT_OK(vio_machine_quiesce(f.m, UINT64_MAX));
	vio_machine_resume(f.m);
	UT_EQ(vd_status(&vd), 15);
}

UT_TEST(a_reboot_starts_afresh)
{
	attach(IMAGE_BYTES, false, -1, 0);
	struct vd_buf in = fixture_buf(&f, 512, true);
	UT_EQ(request(0, 0, 0, in), 0);
	vio_machine_reset(f.m);
	uint64_t v;
	UT_ERR(vio_bus_read(f.bus, (gpa_t){vd.bar}, 4, &v), NOT_FOUND);
	vd_init(&vd, f.bus, &f.g, &f.sink, SLOT);
	UT_EQ(vd_status(&vd), 0);
	vd_start(&vd);
	UT_EQ(request(1, 0, 0, in), 0);
}
