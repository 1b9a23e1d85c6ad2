/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/trace.h"

/* Only write(2): the heap or stdio may be what is broken. */
static void check_write(const char *s)
{
	size_t left = strlen(s);
	while (left > 0) {
		ssize_t n = write(STDERR_FILENO, s, left);
		if (n <= 0)
			return;
		s += n;
		left -= (size_t)n;
	}
}

static void check_write_line_number(int line)
{
	char buf[16];
	size_t at = sizeof(buf);
	buf[--at] = '\0';
	do {
		buf[--at] = (char)('0' + line % 10);
		line /= 10;
	} while (line > 0);
	check_write(buf + at);
}

_Noreturn void check_failed(const char *file, int line, const char *func, const char *what)
{
	static atomic_flag dumping = ATOMIC_FLAG_INIT;
	static _Thread_local bool dumping_here;

	check_write("CHECK failed: ");
	check_write(file);
	check_write(":");
	check_write_line_number(line);
	check_write(": ");
	check_write(func);
	check_write(": ");
	check_write(what);
	check_write("\n");
	if (dumping_here)
		abort(); /* the dump itself failed */
	dumping_here = true;
	if (atomic_flag_test_and_set(&dumping))
		for (;;) /* another thread dumps and aborts: do not cut its output short */
			pause();
	trace_dump(STDERR_FILENO);
	abort();
}
