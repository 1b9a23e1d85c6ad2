/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lk.h"

#define LOG_LINE_BYTES      1024
#define LOG_NAME_BYTES      64
#define LOG_LIMIT_LINES     10u
#define LOG_LIMIT_WINDOW_NS UINT64_C(10000000000)

static const char *const log_level_names[] = {"error", "warn", "info", "debug"};
static const char *const log_subsys_names[] = {
#define LOG_SUBSYS(name, text) #name,
#include "base/log.def"
#undef LOG_SUBSYS
};

/* Relaxed everywhere: a switch takes effect a little later on other threads. */
static _Atomic int log_levels[LOG_SUBSYS_N] = {
#define LOG_SUBSYS(name, text) [LOG_##name] = LOG_INFO,
#include "base/log.def"
#undef LOG_SUBSYS
};

static char log_program[LOG_NAME_BYTES] = "-"; /* [const after start-up] */
static char log_vm[LOG_NAME_BYTES] = "-";      /* [const after start-up] */
static struct lk log_lk = LK_INITIALIZER(log);
static log_sink_fn *log_sink; /* [lk: log] */
static void *log_sink_arg;    /* [lk: log] */

void log_init(const char *program, const char *vm)
{
	snprintf(log_program, sizeof(log_program), "%s", program);
	snprintf(log_vm, sizeof(log_vm), "%s", vm != NULL ? vm : "-");
}

void log_set_level(enum log_level level)
{
	for (size_t i = 0; i < LOG_SUBSYS_N; i++)
		atomic_store_explicit(&log_levels[i], (int)level, memory_order_relaxed);
}

/* Index of the word [s, s + len) in a table, or -1. */
static int log_word(const char *const *words, size_t n, const char *s, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(words[i]) == len && memcmp(words[i], s, len) == 0)
			return (int)i;
	return -1;
}

/* One "level" or "subsystem=level" into `levels`. */
static int log_set_item(int *levels, const char *s, size_t len)
{
	const char *eq = memchr(s, '=', len);
	const char *level_at = eq != NULL ? eq + 1 : s;
	int level = log_word(log_level_names, ARRAY_SIZE(log_level_names), level_at,
		len - (size_t)(level_at - s));
	if (level < 0)
		return ERR_INVAL;
	if (eq == NULL) {
		for (size_t i = 0; i < LOG_SUBSYS_N; i++)
			levels[i] = level;
		return 0;
	}
	int subsys = log_word(log_subsys_names, LOG_SUBSYS_N, s, (size_t)(eq - s));
	if (subsys < 0)
		return ERR_INVAL;
	levels[subsys] = level;
	return 0;
}

int log_set(const char *spec)
{
	int levels[LOG_SUBSYS_N];
	for (size_t i = 0; i < LOG_SUBSYS_N; i++)
		levels[i] = atomic_load_explicit(&log_levels[i], memory_order_relaxed);
	for (const char *s = spec;;) {
		size_t len = strcspn(s, ",");
		int rc = log_set_item(levels, s, len);
		if (rc != 0)
			return rc;
		if (s[len] == '\0')
			break;
		s += len + 1;
	}
	for (size_t i = 0; i < LOG_SUBSYS_N; i++)
		atomic_store_explicit(&log_levels[i], levels[i], memory_order_relaxed);
	return 0;
}

bool log_enabled(enum log_level level, enum log_subsys subsys)
{
	return (int)level <= atomic_load_explicit(&log_levels[subsys], memory_order_relaxed);
}

void log_set_sink(log_sink_fn *sink, void *arg)
{
	lk_lock(&log_lk);
	log_sink = sink;
	log_sink_arg = arg;
	lk_unlock(&log_lk);
}

/* A message is one line, whatever a peer put into it. */
static void log_make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

/* "2026-01-31T12:00:00.000Z" */
static void log_put_time(char *buf, size_t size)
{
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

/* Give a whole line, without its newline, to the sink or to stderr. */
static void log_write(enum log_level level, char *line, size_t len)
{
	lk_lock(&log_lk);
	log_sink_fn *sink = log_sink;
	if (sink != NULL)
		sink(log_sink_arg, level, line);
	lk_unlock(&log_lk);
	if (sink != NULL)
		return;
	/* One write(2), so that lines of processes with a common stderr do not mix. */
	line[len] = '\n';
	if (write(STDERR_FILENO, line, len + 1) < 0) {
		/* Nobody is left to tell. */
	}
}

/* `suppressed` lines of this place were held back before this one. */
PRINTF_LIKE(4, 0)
static void log_vline(enum log_level level, enum log_subsys subsys, uint32_t suppressed,
	const char *fmt, va_list ap)
{
	static const char cut[] = " [cut]";
	int saved_errno = errno;
	char line[LOG_LINE_BYTES];
	const size_t max = sizeof(line) - sizeof(cut); /* of text, leaves room for the newline */
	char when[40];

	log_put_time(when, sizeof(when));
	int n = snprintf(line, max, "%s %s %s %s %s: ", when, log_level_names[level], log_program,
		log_vm, log_subsys_names[subsys]);
	CHECK(n > 0 && (size_t)n < max);
	size_t len = (size_t)n;
	if (suppressed > 0)
		len += (size_t)snprintf(
			line + len, max - len, "(%u lines like this left out) ", suppressed);
	errno = saved_errno; /* for %m */
	n = vsnprintf(line + len, max - len, fmt, ap);
	if (n < 0 || (size_t)n >= max - len) {
		len = strlen(line);
		memcpy(line + len, cut, sizeof(cut));
	}
	log_make_printable(line);
	log_write(level, line, strlen(line));
	errno = saved_errno;
}

void log_line(enum log_level level, enum log_subsys subsys, const char *fmt, ...)
{
	if (!log_enabled(level, subsys))
		return;
	va_list ap;
	va_start(ap, fmt);
	log_vline(level, subsys, 0, fmt, ap);
	va_end(ap);
}

/* May this line go out? Then *suppressed says how many before it did not. */
static bool log_limit_pass(struct log_limit *limit, uint32_t *suppressed)
{
	uint64_t now_ns = clock_now_ns(clock_host());
	lk_lock(&log_lk);
	*suppressed = 0;
	if (limit->lines == 0 || now_ns - limit->window_ns >= LOG_LIMIT_WINDOW_NS) {
		*suppressed = limit->suppressed;
		*limit = (struct log_limit){.window_ns = now_ns};
	}
	bool pass = limit->lines < LOG_LIMIT_LINES;
	if (pass)
		limit->lines++;
	else if (limit->suppressed < UINT32_MAX)
		limit->suppressed++;
	lk_unlock(&log_lk);
	return pass;
}

void log_line_limited(struct log_limit *limit, enum log_subsys subsys, const char *fmt, ...)
{
	uint32_t suppressed;
	if (!log_enabled(LOG_WARN, subsys) || !log_limit_pass(limit, &suppressed))
		return;
	va_list ap;
	va_start(ap, fmt);
	log_vline(LOG_WARN, subsys, suppressed, fmt, ap);
	va_end(ap);
}
