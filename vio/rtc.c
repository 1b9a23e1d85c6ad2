/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register map (Linux drivers/platform/goldfish documentation, "goldfish RTC"; 32-bit):
 *	0x00 TIME_LOW (a read latches the high half)	0x04 TIME_HIGH	0x08 ALARM_LOW (a write
 * arms)
 *	0x0c ALARM_HIGH	0x10 IRQ_ENABLED	0x14 CLEAR_ALARM w	0x18 ALARM_STATUS r
 *	0x1c CLEAR_INTERRUPT w
 */
#include "vio/rtc.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lk.h"
#include "base/trace.h"

#define RTC_MAGIC 0x72746321u

enum {
	RTC_TIME_LOW = 0x00,
	RTC_TIME_HIGH = 0x04,
	RTC_ALARM_LOW = 0x08,
	RTC_ALARM_HIGH = 0x0c,
	RTC_IRQ_ENABLED = 0x10,
	RTC_CLEAR_ALARM = 0x14,
	RTC_ALARM_STATUS = 0x18,
	RTC_CLEAR_INTERRUPT = 0x1c,
};

struct rtc {
	uint32_t magic;
	struct vio_line line;
	uint64_t (*wall_ns)(void *arg);
	void *arg;
	pthread_t thread;
	bool stopped; /* the thread has been joined [main thread] */
	struct lk lk; /* all below */
	struct lk_cond changed;
	uint64_t offset_ns; /* guest time - host time, modulo 2^64 */
	uint32_t time_high; /* latched */
	uint32_t write_high, alarm_high;
	uint64_t alarm_ns;
	bool armed, pending, enabled, stop;
};

static uint64_t rtc_host_wall_ns(void *arg)
{
	struct timespec ts;
	CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static uint64_t rtc_now_locked(const struct rtc *r)
{
	return r->wall_ns(r->arg) + r->offset_ns;
}

static void rtc_update_locked(struct rtc *r)
{
	vio_line_set(&r->line, r->pending && r->enabled);
}

static void rtc_check_alarm_locked(struct rtc *r)
{
	if (!r->armed || rtc_now_locked(r) < r->alarm_ns)
		return;
	r->armed = false;
	r->pending = true;
	rtc_update_locked(r);
}

/* The time of day may be set while it sleeps: it looks again at least every minute. */
#define RTC_SLEEP_MAX_NS UINT64_C(60000000000)

static void *rtc_thread(void *arg)
{
	struct rtc *r = arg;
	trace_thread("rtc");
	lk_lock(&r->lk);
	while (!r->stop) {
		rtc_check_alarm_locked(r);
		if (!r->armed) {
			lk_cond_wait(&r->changed, &r->lk);
			continue;
		}
		uint64_t left = r->alarm_ns - rtc_now_locked(r);
		uint64_t until = clock_now_ns(clock_host()) + MIN(left, RTC_SLEEP_MAX_NS);
		lk_cond_wait_until(&r->changed, &r->lk, until);
	}
	lk_unlock(&r->lk);
	return NULL;
}

static uint32_t rtc_read_locked(struct rtc *r, uint64_t off)
{
	uint64_t now;
	switch (off) {
	case RTC_TIME_LOW:
		now = rtc_now_locked(r);
		r->time_high = (uint32_t)(now >> 32);
		return (uint32_t)now;
	case RTC_TIME_HIGH:
		return r->time_high;
	case RTC_ALARM_LOW:
		return (uint32_t)r->alarm_ns;
	case RTC_ALARM_HIGH:
		return (uint32_t)(r->alarm_ns >> 32);
	case RTC_IRQ_ENABLED:
		return r->enabled;
	case RTC_ALARM_STATUS:
		return r->armed;
	default:
		return UINT32_MAX;
	}
}

static void rtc_write_locked(struct rtc *r, uint64_t off, uint32_t value)
{
	switch (off) {
	case RTC_TIME_HIGH:
		r->write_high = value;
		break;
	case RTC_TIME_LOW:
		r->offset_ns = ((uint64_t)r->write_high << 32 | value) - r->wall_ns(r->arg);
		break;
	case RTC_ALARM_HIGH:
		r->alarm_high = value;
		break;
	case RTC_ALARM_LOW:
		r->alarm_ns = (uint64_t)r->alarm_high << 32 | value;
		r->armed = true;
		break;
	case RTC_IRQ_ENABLED:
		r->enabled = (value & 1) != 0;
		break;
	case RTC_CLEAR_ALARM:
		r->armed = false;
		break;
	case RTC_CLEAR_INTERRUPT:
		r->pending = false;
		break;
	default:
		return;
	}
	rtc_check_alarm_locked(r);
	rtc_update_locked(r);
	lk_cond_signal(&r->changed);
}

static uint64_t rtc_read(void *dev, uint64_t off, unsigned size)
{
	struct rtc *r = dev;
	OBJ_CHECK(r, RTC_MAGIC);
	if (size != 4)
		return vio_ones(size);
	lk_lock(&r->lk);
	uint32_t value = rtc_read_locked(r, off);
	lk_unlock(&r->lk);
	return value;
}

static void rtc_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct rtc *r = dev;
	OBJ_CHECK(r, RTC_MAGIC);
	if (size != 4)
		return;
	lk_lock(&r->lk);
	rtc_write_locked(r, off, (uint32_t)value);
	lk_unlock(&r->lk);
}

const struct vio_range_ops rtc_range_ops = {"rtc", rtc_read, rtc_write};

int rtc_create(
	const struct vio_line *line, uint64_t (*wall_ns)(void *arg), void *arg, struct rtc **out)
{
	struct rtc *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return ERR_NO_MEMORY;
	lk_init(&r->lk, LK_dev);
	lk_cond_init(&r->changed);
	r->line = *line;
	r->wall_ns = wall_ns != NULL ? wall_ns : rtc_host_wall_ns;
	r->arg = arg;
	OBJ_INIT(r, RTC_MAGIC);
	int error = pthread_create(&r->thread, NULL, rtc_thread, r);
	if (error != 0) {
		lk_cond_fini(&r->changed);
		lk_fini(&r->lk);
		free(r);
		return err_from_errno(error);
	}
	*out = r;
	return 0;
}

void rtc_stop(struct rtc *r)
{
	OBJ_CHECK(r, RTC_MAGIC);
	if (r->stopped)
		return;
	lk_lock(&r->lk);
	r->stop = true;
	lk_cond_signal(&r->changed);
	lk_unlock(&r->lk);
	CHECK(pthread_join(r->thread, NULL) == 0);
	r->stopped = true;
}

void rtc_destroy(struct rtc *r)
{
	if (r == NULL)
		return;
	rtc_stop(r);
	OBJ_FINI(r, RTC_MAGIC);
	lk_cond_fini(&r->changed);
	lk_fini(&r->lk);
	free(r);
}

void rtc_reset(struct rtc *r)
{
	OBJ_CHECK(r, RTC_MAGIC);
	lk_lock(&r->lk);
	/* The time stays what the guest has set: a clock with a battery. */
	r->armed = r->pending = r->enabled = false;
	rtc_update_locked(r);
	lk_unlock(&r->lk);
}
