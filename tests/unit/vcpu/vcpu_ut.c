/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.c: the mailbox, sleep, pause, HSM; with threads. */
#include <pthread.h>
#include <sched.h>

#include "tests/unit/vcpu/rig.h"

UT_SUITE_WITH(vcpu, rig_up, rig_down);

static pthread_t threads[RIG_HARTS];

static void *thread_main(void *arg)
{
	vcpu_run(arg);
	return NULL;
}

static void start(unsigned i)
{
	CHECK(pthread_create(&threads[i], NULL, thread_main, rig.v[i]) == 0);
}

static void join(unsigned i)
{
	vcpu_stop(rig.v[i]);
	CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Loop for ever, counting in t0. */
static const uint32_t loop[] = {I_ADDI(5, 5, 1), 0xffdff06f /* jal x0, -4 */};

static void await(bool (*cond)(void))
{
	while (!cond())
		sched_yield();
}

static _Atomic unsigned done_n;

static void done(void *arg)
{
	atomic_fetch_add(&done_n, 1);
}

static const struct vcpu_fence all = {.kind = VCPU_FENCE_VMA, .bytes = UINT64_MAX};

static bool one_done(void)
{
	return atomic_load(&done_n) >= 1;
}

static bool running(void)
{
	return atomic_load(vcpu_retired(rig.v[0])) > 1000;
}

static bool paused(void)
{
	return vcpu_paused(rig.v[0]);
}

static bool waits(void)
{
	struct vcpu_stats st;
	vcpu_stats_get(rig.v[0], &st);
	return st.wfi > 0 && atomic_load(&rig.v[0]->sleeping);
}

static bool woke(void)
{
	return atomic_load(&rig.v[0]->retired) > 2;
}

UT_TEST(a_stopped_hart_acknowledges_at_once)
{
	atomic_store(&done_n, 0);
	UT_OK(vcpu_post_fence(rig.v[0], &all, done, NULL));
	UT_EQ(done_n, 1);
	/* However many: the queue is bounded, so they become one. */
	for (unsigned i = 0; i < 2 * VCPU_FENCES_MAX; i++)
		UT_OK(vcpu_post_fence(rig.v[0], &all, done, NULL));
	UT_EQ(done_n, 1 + 2 * VCPU_FENCES_MAX);
}

UT_TEST(a_running_hart_acknowledges_between_instructions)
{
	atomic_store(&done_n, 0);
	rig_code(loop, ARRAY_SIZE(loop));
	UT_EQ(vcpu_hsm_start(rig.v[0], RIG_CODE, 0), 0);
	start(0);
	await(running);
	UT_OK(vcpu_post_fence(rig.v[0], &all, done, NULL));
	await(one_done);
	join(0);
	struct vcpu_stats st;
	vcpu_stats_get(rig.v[0], &st);
	UT_EQ(st.fences, 1);
}

UT_TEST(a_parked_hart_drops_its_translations_before_it_goes_on)
{
	uint64_t ctx = rig.h[0]->tlb_ctx;
	rig_code(loop, ARRAY_SIZE(loop));
	UT_OK(vcpu_post_fence(rig.v[0], &all, NULL, NULL));
	UT_EQ(rig.h[0]->tlb_ctx, ctx);
	vcpu_take_mail(rig.v[0]);
	UT_CHECK(rig.h[0]->tlb_ctx != ctx);
}

UT_TEST(fences_from_before_parking_are_answered)
{
	atomic_store(&done_n, 0);
	rig.v[0]->parked = false; /* about to stop itself */
	UT_OK(vcpu_post_fence(rig.v[0], &all, done, NULL));
	UT_EQ(done_n, 0);
	start(0);
	await(one_done);
	UT_EQ(vcpu_hsm_status(rig.v[0]), VCPU_STOPPED);
	join(0);
}

UT_TEST(a_full_queue_says_so)
{
	rig.v[0]->parked = false;
	for (unsigned i = 0; i < VCPU_FENCES_MAX; i++)
		UT_OK(vcpu_post_fence(rig.v[0], &all, NULL, NULL));
	UT_ERR(vcpu_post_fence(rig.v[0], &all, NULL, NULL), FULL);
	vcpu_take_mail(rig.v[0]);
	UT_OK(vcpu_post_fence(rig.v[0], &all, NULL, NULL));
	vcpu_take_mail(rig.v[0]);
}

UT_TEST(pause_and_resume)
{
	rig_code(loop, ARRAY_SIZE(loop));
	UT_EQ(vcpu_hsm_start(rig.v[0], RIG_CODE, 0), 0);
	start(0);
	await(running);
	vcpu_pause(rig.v[0]);
	await(paused);
	struct vcpu_state_rv64 s;
	UT_OK(vcpu_rv64_get_state(rig.v[0], &s));
	uint64_t at = atomic_load(vcpu_retired(rig.v[0]));
	UT_EQ(s.instret, at);
	atomic_store(&done_n, 0);
	UT_OK(vcpu_post_fence(rig.v[0], &all, done, NULL)); /* at once */
	UT_EQ(done_n, 1);
	vcpu_resume(rig.v[0]);
	while (atomic_load(vcpu_retired(rig.v[0])) == at)
		sched_yield();
	UT_CHECK(!vcpu_paused(rig.v[0]));
	join(0);
}

UT_TEST(wfi_wakes_for_a_message)
{
	static const uint32_t words[] = {I_WFI, I_ADDI(5, 5, 1), 0xffdff06f};

	rig_code(words, ARRAY_SIZE(words));
	UT_EQ(vcpu_hsm_start(rig.v[0], RIG_CODE, 0), 0);
	rig.h[0]->imsic.eidelivery = 1;
	rig.h[0]->imsic.eie[0] = UINT64_MAX - 1;
	struct vcpu_state_rv64 s;
	UT_OK(vcpu_rv64_get_state(rig.v[0], &s));
	s.pc = RIG_CODE;
	s.sie = RV_IP(RV_IRQ_SEI);
	s.hsm = VCPU_STARTED;
	UT_OK(vcpu_rv64_set_state(rig.v[0], &s));
	start(0);
	await(waits);
	vcpu_deliver_msi(rig.v[0], 5);
	await(woke);
	join(0);
}

UT_TEST(wfi_wakes_when_the_guest_clock_jumps)
{
	static const uint32_t words[] = {I_WFI, I_ADDI(5, 5, 1), 0xffdff06f};
	struct vcpu_state_rv64 s;

	rig_code(words, ARRAY_SIZE(words));
	UT_OK(vcpu_rv64_get_state(rig.v[0], &s));
	s.pc = RIG_CODE;
	s.sie = RV_IP(RV_IRQ_STI);
	s.stimecmp = 1000000000; /* 100 s */
	s.hsm = VCPU_STARTED;
	UT_OK(vcpu_rv64_set_state(rig.v[0], &s));
	start(0);
	await(waits);
	atomic_store(&rig.now_ns, UINT64_C(100000000000));
	vcpu_time_changed(rig.v[0]);
	await(woke);
	join(0);
}

UT_TEST(hsm_start_and_stop)
{
	/* The hart stops itself: a7 = HSM, a6 = 1. */
	static const uint32_t words[] = {
		I_LUI(17, 0x485), I_ADDI(17, 17, 0x34d), I_ADDI(16, 0, 1), I_ECALL};

	rig_code(words, ARRAY_SIZE(words));
	UT_EQ(vcpu_hsm_status(rig.v[1]), VCPU_STOPPED);
	start(1);
	for (unsigned i = 0; i < 50; i++) {
		UT_EQ(vcpu_hsm_start(rig.v[1], RIG_CODE, i), 0);
		while (vcpu_hsm_status(rig.v[1]) != VCPU_STOPPED)
			sched_yield();
	}
	join(1);
	UT_EQ(rig.resets, 0);
	UT_EQ(vcpu_hsm_start(rig.v[1], 0, 0), RV_SBI_INVALID_ADDRESS);
}

UT_TEST(stop_before_run)
{
	vcpu_stop(rig.v[0]);
	vcpu_run(rig.v[0]);
	UT_CHECK(!vcpu_paused(rig.v[0]));
}

/* Each of two harts waits for the other's acknowledgement in vcpu_idle, as env ops do. */
static _Atomic unsigned left[2];

static void acked(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;
	atomic_fetch_sub(&left[i], 1);
	vcpu_kick(rig.v[i]);
}

static void *fencer(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	struct vcpu *me = rig.v[self], *other = rig.v[1 - self];

	/* Not parked: as if inside an instruction. */
	lk_lock(&me->lock);
	me->parked = false;
	lk_unlock(&me->lock);
	for (unsigned i = 0; i < 2000; i++) {
		atomic_store(&left[self], 1);
		while (vcpu_post_fence(other, &all, acked, arg) != 0)
			vcpu_idle(me, UINT64_MAX);
		while (atomic_load(&left[self]) != 0)
			vcpu_idle(me, UINT64_MAX);
	}
	lk_lock(&me->lock);
	me->parked = true;
	lk_unlock(&me->lock);
	vcpu_take_mail(me);
	return NULL;
}

UT_TEST(two_that_fence_each_other)
{
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, fencer, (void *)(uintptr_t)i) == 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	UT_EQ(left[0] + left[1], 0);
}

/* ---- counters ------------------------------------------------------------------------------ */

UT_TEST(rate_of_fills)
{
	struct vcpu_stats s = {.instructions = 0, .tlb_fills = 0};

	UT_EQ(vcpu_stats_fill_rate(&s), 0);
	s = (struct vcpu_stats){.instructions = 2000, .tlb_fills = 3};
	UT_EQ(vcpu_stats_fill_rate(&s), 1500);
	/* Their product does not fit. */
	s = (struct vcpu_stats){.instructions = UINT64_C(1) << 62, .tlb_fills = UINT64_C(1) << 60};
	UT_EQ(vcpu_stats_fill_rate(&s), 250000);
}
