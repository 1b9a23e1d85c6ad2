/* SPDX-License-Identifier: Apache-2.0 */
#include "vio/msix.h"

#include "tests/lib/msi_sink.h"
#include "tests/lib/ut.h"

static struct msi_sink sink;
static struct msix *x;

static void before(void)
{
	msi_sink_init(&sink);
	const struct vio_irq irq = msi_sink_irq(&sink);
	UT_OK(msix_create(&irq, 3, &x));
}

static void after(void)
{
	msix_destroy(x);
	msi_sink_fini(&sink);
}

UT_SUITE_WITH(msix, before, after);

static void entry(unsigned v, uint32_t control)
{
	msix_table_write(x, 16 * v, 8, UINT64_C(0x128000003));
	msix_table_write(x, 16 * v + 8, 4, 100 + v);
	msix_table_write(x, 16 * v + 12, 4, control);
}

UT_TEST(a_vector_sends_what_its_entry_says)
{
	entry(1, 0);
	msix_notify(x, 1);
	UT_EQ(msi_sink_total(&sink), 0);
	msix_control(x, MSIX_CONTROL_ENABLE);
	UT_EQ(msi_sink_total(&sink), 0);
	msix_notify(x, 1);
	UT_EQ(msi_sink_total(&sink), 1);
	UT_EQ(sink.last_addr.v, 0x128000000);
	UT_EQ(sink.last_data, 101);
}

UT_TEST(a_masked_vector_is_pending)
{
	entry(2, 1);
	msix_control(x, MSIX_CONTROL_ENABLE);
	msix_notify(x, 2);
	UT_EQ(msix_pba_read(x, 0, 8), 4);
	UT_EQ(msix_pba_read(x, 4, 4), 0);
	msix_table_write(x, 16 * 2 + 12, 4, 0);
	UT_EQ(msi_sink_total(&sink), 1);
	UT_EQ(msix_pba_read(x, 0, 4), 0);
	msix_control(x, MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK);
	msix_notify(x, 2);
	msix_notify(x, 2);
	UT_EQ(msix_pba_read(x, 0, 4), 4);
	msix_control(x, MSIX_CONTROL_ENABLE);
	UT_EQ(msi_sink_total(&sink), 2);
}

UT_TEST(bad_accesses_are_harmless)
{
	UT_EQ(msix_table_read(x, 12, 4), 1);
	UT_EQ(msix_table_read(x, 48, 4), UINT32_MAX);
	UT_EQ(msix_table_read(x, 0, 2), 0xffff);
	UT_EQ(msix_table_read(x, 4, 8), UINT64_MAX);
	msix_table_write(x, 48, 4, 1);
	msix_table_write(x, 0, 1, 1);
	UT_EQ(msix_pba_read(x, 8, 4), UINT32_MAX);
	UT_EQ(msix_pba_read(x, 0, 1), 0xff);
	msix_table_write(x, 12, 4, UINT32_MAX);
	UT_EQ(msix_table_read(x, 8, 8), UINT64_C(1) << 32);
	msix_notify(x, 3);
	msix_notify(x, 0xffff);
	UT_EQ(msix_vectors(x), 3);
}

UT_TEST(reset_masks_everything)
{
	entry(0, 0);
	msix_control(x, MSIX_CONTROL_ENABLE);
	msix_reset(x);
	msix_notify(x, 0);
	UT_EQ(msi_sink_total(&sink), 0);
	UT_EQ(msix_table_read(x, 12, 4), 1);
	UT_EQ(msix_table_read(x, 0, 8), 0);
}
