/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/check.h"

/*
 * Logging to stderr, one line a message: "time level program vm subsystem: text, key value, key
 * value". `%m` prints errno, as in syslog(3). The function that first decides on an error logs it;
 * its callers do not. Never log guest memory, keys or certificates. Whatever a guest or peer can
 * trigger goes through log_limited().
 */
enum log_level {
	LOG_ERROR, /* an operator must act */
	LOG_WARN,  /* degraded, goes on by itself */
	LOG_INFO,  /* life cycle: O(1) lines per VM, peer or start */
	LOG_DEBUG, /* per object; off by default, switched per subsystem */
};

enum log_subsys {
#define LOG_SUBSYS(name, text) LOG_##name,
#include "base/log.def"
#undef LOG_SUBSYS
	LOG_SUBSYS_N
};

#define log_error(subsys, ...) log_line(LOG_ERROR, LOG_##subsys, __VA_ARGS__)
#define log_warn(subsys, ...)  log_line(LOG_WARN, LOG_##subsys, __VA_ARGS__)
#define log_info(subsys, ...)  log_line(LOG_INFO, LOG_##subsys, __VA_ARGS__)
#define log_debug(subsys, ...)                                                                     \
	do {                                                                                       \
		if (unlikely(log_enabled(LOG_DEBUG, LOG_##subsys)))                                \
			log_line(LOG_DEBUG, LOG_##subsys, __VA_ARGS__);                            \
	} while (0)

/*
 * A warning that a guest or peer can cause: at most 10 in 10 s per place in the source, then a
 * count.
 */
struct log_limit {
	uint64_t window_ns;
	uint32_t lines;
	uint32_t suppressed;
};
#define log_limited(subsys, ...)                                                                   \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		log_line_limited(&limit_, LOG_##subsys, __VA_ARGS__);                              \
	} while (0)

/*
 * Who speaks: `program` ("slice"), `vm` (may be NULL). Strings are copied. Context: start-up,
 * before threads.
 */
void log_init(const char *program, const char *vm);

/* Set the level for all subsystems. Context: any thread. */
void log_set_level(enum log_level level);

/*
 * Take a switch as users write it: "debug", "dsm=debug,xport=warn". ERR_INVAL names nothing known.
 * Context: any.
 */
MUST_CHECK int log_set(const char *spec);

bool log_enabled(enum log_level level, enum log_subsys subsys);
void log_line(enum log_level level, enum log_subsys subsys, const char *fmt, ...) PRINTF_LIKE(3, 4);
void log_line_limited(struct log_limit *limit, enum log_subsys subsys, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/*
 * Receives whole lines instead of stderr (tests, and a slice that sends its log on). NULL: back to
 * stderr.
 */
typedef void log_sink_fn(void *arg, enum log_level level, const char *line);
void log_set_sink(log_sink_fn *sink, void *arg);

#endif
