/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIO_RTC_H
#define VIO_RTC_H

#include "vio/vio.h"

/* The goldfish real-time clock: nanoseconds since 1970, settable, with one alarm. */
struct rtc;
extern const struct vio_range_ops rtc_range_ops;

/* `wall_ns` gives the host's time of day; NULL: CLOCK_REALTIME. Starts the alarm's thread.
 * Context: main thread. */
MUST_CHECK int rtc_create(
	const struct vio_line *line, uint64_t (*wall_ns)(void *arg), void *arg, struct rtc **out);
/* End the alarm's thread: no interrupt comes from it any more. Context: main thread. */
void rtc_stop(struct rtc *r);
void rtc_destroy(struct rtc *r);
void rtc_reset(struct rtc *r);

#endif
