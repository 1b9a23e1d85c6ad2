/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/msi_sink.h"

#include "base/clock.h"

#define MSI_SINK_WAIT_NS UINT64_C(20000000000)

static void msi_sink_take(void *ctx, gpa_t addr, uint32_t data)
{
	struct msi_sink *s = ctx;
	lk_lock(&s->lk);
	s->counts[data % MSI_SINK_MAX]++;
	s->total++;
	s->last_addr = addr;
	s->last_data = data;
	lk_cond_broadcast(&s->came);
	lk_unlock(&s->lk);
}

static const struct vio_irq_ops msi_sink_ops = {msi_sink_take};

void msi_sink_init(struct msi_sink *s)
{
	*s = (struct msi_sink){.total = 0};
	lk_init(&s->lk, LK_test);
	lk_cond_init(&s->came);
}

void msi_sink_fini(struct msi_sink *s)
{
	lk_cond_fini(&s->came);
	lk_fini(&s->lk);
}

struct vio_irq msi_sink_irq(struct msi_sink *s)
{
	return (struct vio_irq){&msi_sink_ops, s};
}

uint64_t msi_sink_count(struct msi_sink *s, uint32_t data)
{
	lk_lock(&s->lk);
	uint64_t n = s->counts[data % MSI_SINK_MAX];
	lk_unlock(&s->lk);
	return n;
}

uint64_t msi_sink_total(struct msi_sink *s)
{
	lk_lock(&s->lk);
	uint64_t n = s->total;
	lk_unlock(&s->lk);
	return n;
}

void msi_sink_wait(struct msi_sink *s, uint32_t data, uint64_t seen)
{
	uint64_t deadline_ns = clock_now_ns(clock_host()) + MSI_SINK_WAIT_NS;
	lk_lock(&s->lk);
	while (s->counts[data % MSI_SINK_MAX] <= seen)
		CHECK(lk_cond_wait_until(&s->came, &s->lk, deadline_ns));
	lk_unlock(&s->lk);
}
