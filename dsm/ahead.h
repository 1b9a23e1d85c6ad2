/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DSM_AHEAD_H
#define DSM_AHEAD_H

#include "base/check.h"

/*
 * Which pages a vCPU will want next: the faults so far in, a decision out. It knows neither clock
 * nor protocol; nothing but speed depends on it (docs/coherence.md, "Pages asked for ahead").
 *
 * A stream is three faults at equal distances. It is asked for in windows that double with each
 * fault that goes on with it, as the read-ahead of file systems does; what was asked for and is
 * taken away unused makes windows smaller, in the end none.
 *
 * Context: one thread at a time for each object.
 */
#define AHEAD_STREAMS    6u
#define AHEAD_WINDOW_MAX 16u /* pages of a stream asked for and not reached */
#define AHEAD_STRIDE_MAX 16  /* pages from one fault of a stream to the next */

struct ahead_stream {
	uint32_t last;  /* the page faulted on last */
	uint32_t edge;  /* the last page asked for; `last` when there is none beyond it */
	int32_t stride; /* 0: one fault only */
	uint32_t used;  /* when, in faults */
	uint8_t steps;  /* faults that went on with it, up to 255 */
	uint8_t window;
	bool write; /* its pages are written, at once or after having been read */
};

/* What one vCPU does. All zeros at the beginning. */
struct ahead {
	struct ahead_stream streams[AHEAD_STREAMS];
	uint32_t faults;
};

/* Whether it has been worth while, of all vCPUs of a slice. All zeros at the beginning. */
struct ahead_score {
	uint32_t used, lost; /* lately */
	uint32_t rest;       /* decisions to let pass */
};

/* Pages first, first + stride, ..., n of them. They may lie outside of memory. */
struct ahead_plan {
	uint32_t first;
	int32_t stride;
	unsigned n;
	bool write;
	bool sure;       /* the stream has lasted: pages are as good as used */
	unsigned passed; /* so many before this fault the stream has gone over without one */
};

/*
 * The vCPU has faulted on `page`, asking to write or not; `limit`: the largest window. False: the
 * fault belongs to no stream, or enough has been asked for; `out` is then set all the same, with n
 * 0.
 */
bool ahead_fault(
	struct ahead *a, uint32_t page, bool write, unsigned limit, struct ahead_plan *out);

/* A page that came unasked was used, or was taken away before. */
void ahead_score_used(struct ahead_score *s);
void ahead_score_lost(struct ahead_score *s);
/* The largest window that it allows now; to be asked once for each fault. */
unsigned ahead_limit(struct ahead_score *s);

#endif
