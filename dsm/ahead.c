/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "dsm/ahead.h"

#define STEPS_STREAM 2u   /* steps that make a stream: three faults */
#define STEPS_SURE   4u   /* ... that make it a sure one */
#define FORGOTTEN    256u /* faults after which even a sure stream gives way to a new one */
#define SCORE_SPAN   64u  /* pages after which older ones count half */
#define SCORE_REST   512u /* faults without asking, after more has been lost than used */
#define WINDOW_FIRST 2u

/* How many strides `page` lies behind the last one, 0: it is no page of the stream. */
static unsigned steps_to(const struct ahead_stream *s, uint32_t page)
{
	int64_t by = (int64_t)page - s->last;

	if (s->stride == 0 || by % s->stride != 0 || by / s->stride <= 0)
		return 0;
	/* What is asked for already may be passed without a fault. */
	int64_t reach = ((int64_t)s->edge - s->last) / s->stride + 1;
	return by / s->stride <= reach ? (unsigned)(by / s->stride) : 0;
}

static bool is_near(const struct ahead_stream *s, uint32_t page)
{
	int64_t by = (int64_t)page - s->last;

	return s->used != 0 && by >= -AHEAD_STRIDE_MAX && by <= AHEAD_STRIDE_MAX;
}

/* The one to give up: lone faults and short streams first, of those the oldest. */
static struct ahead_stream *victim(struct ahead *a)
{
	struct ahead_stream *v = NULL;
	bool v_kept = false;

	for (unsigned i = 0; i < AHEAD_STREAMS; i++) {
		struct ahead_stream *s = &a->streams[i];
		bool kept = s->steps >= STEPS_STREAM && a->faults - s->used < FORGOTTEN;
		if (v == NULL || kept < v_kept || (kept == v_kept && s->used < v->used)) {
			v = s;
			v_kept = kept;
		}
	}
	return v;
}

/* A fault that goes on with no stream: the second of one perhaps, or the first. */
static void begin(struct ahead *a, uint32_t page, bool write)
{
	struct ahead_stream *from = NULL;

	for (unsigned i = 0; i < AHEAD_STREAMS; i++) {
		struct ahead_stream *s = &a->streams[i];
		if (s->steps < STEPS_STREAM && is_near(s, page) &&
			(from == NULL || s->used > from->used))
			from = s;
	}
	struct ahead_stream *s = from != NULL ? from : victim(a);
	*s = (struct ahead_stream){
		.stride = from != NULL ? (int32_t)((int64_t)page - from->last) : 0,
		.steps = from != NULL,
		.last = page,
		.edge = page,
		.used = a->faults,
		.write = write,
	};
}

static void go_on(struct ahead_stream *s, unsigned steps, uint32_t page, bool write, unsigned limit,
	struct ahead_plan *out)
{
	unsigned asked = (unsigned)(((int64_t)s->edge - s->last) / s->stride);

	s->last = page;
	s->steps = (uint8_t)MIN(s->steps + 1u, 255u);
	out->stride = s->stride;
	out->passed = MIN(steps - 1, asked);
	asked -= MIN(steps, asked);
	if (asked == 0) {
		s->edge = page;
		s->write = write || (s->write && s->steps > STEPS_STREAM);
	}
	s->window = (uint8_t)MIN(MIN(MAX(s->window * 2u, WINDOW_FIRST), AHEAD_WINDOW_MAX), limit);
	if (s->steps < STEPS_STREAM || asked * 2 > s->window || asked >= s->window)
		return;
	*out = (struct ahead_plan){
		.first = (uint32_t)(s->edge + s->stride),
		.stride = s->stride,
		.n = s->window - asked,
		.write = s->write,
		.sure = s->steps >= STEPS_SURE,
		.passed = out->passed,
	};
	s->edge += (uint32_t)((int32_t)out->n * s->stride);
}

bool ahead_fault(struct ahead *a, uint32_t page, bool write, unsigned limit, struct ahead_plan *out)
{
	*out = (struct ahead_plan){.n = 0};
	a->faults++;
	for (unsigned i = 0; i < AHEAD_STREAMS; i++) {
		struct ahead_stream *s = &a->streams[i];
		if (s->used == 0)
			continue;
		if (s->last == page) { /* read, and now written */
			s->write |= write;
			s->used = a->faults;
			return false;
		}
		unsigned steps = steps_to(s, page);
		if (steps == 0)
			continue;
		s->used = a->faults;
		go_on(s, steps, page, write, limit, out);
		return out->n != 0;
	}
	begin(a, page, write);
	return false;
}

static void age(struct ahead_score *s)
{
	if (s->used + s->lost < SCORE_SPAN)
		return;
	if (s->lost > s->used)
		s->rest = SCORE_REST;
	s->used /= 2;
	s->lost /= 2;
}

void ahead_score_used(struct ahead_score *s)
{
	s->used++;
	age(s);
}

void ahead_score_lost(struct ahead_score *s)
{
	s->lost++;
	age(s);
}

unsigned ahead_limit(struct ahead_score *s)
{
	if (s->rest != 0) {
		s->rest--;
		return 0;
	}
	/* A third lost: the smallest windows lose little, and find out whether it gets better. */
	return s->lost * 2 > s->used ? WINDOW_FIRST : AHEAD_WINDOW_MAX;
}
