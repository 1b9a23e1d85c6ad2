/* SPDX-License-Identifier: Apache-2.0 */
#include "rt.h"

static char line[256]; /* one hart prints at a time */
static unsigned line_n;

static void flush_line(void)
{
	unsigned done = 0;
	while (done < line_n) {
		struct sbi_ret r =
			sbi(SBI_DBCN, 0, line_n - done, (unsigned long)line + done, 0, 0, 0);
		if (r.error != 0)
			break;
		done += (unsigned)r.value;
	}
	line_n = 0;
}

static void put(char c)
{
	line[line_n++] = c;
	if (c == '\n' || line_n == sizeof(line))
		flush_line();
}

static void put_number(uint64_t v, unsigned base, unsigned width)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	while (n < width && n < sizeof(digits))
		digits[n++] = '0';
	while (n > 0)
		put(digits[--n]);
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt != '\0'; fmt++) {
		unsigned width = 0;
		bool is_long = false;
		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		for (fmt++; *fmt >= '0' && *fmt <= '9'; fmt++)
			width = width * 10 + (unsigned)(*fmt - '0');
		if (*fmt == 'l') {
			is_long = true;
			fmt++;
		}
		if (*fmt == 's') {
			for (const char *s = va_arg(ap, const char *); *s != '\0'; s++)
				put(*s);
		} else if (*fmt == 'c') {
			put((char)va_arg(ap, int));
		} else if (*fmt == 'd') {
			long v = is_long ? va_arg(ap, long) : va_arg(ap, int);
			if (v < 0)
				put('-');
			put_number(v < 0 ? -(uint64_t)v : (uint64_t)v, 10, width);
		} else {
			uint64_t v = is_long ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int);
			put_number(v, *fmt == 'x' ? 16 : 10, width);
		}
	}
	va_end(ap);
}

void *memset(void *to, int c, size_t n)
{
	uint8_t *p = to;
	while (n-- > 0)
		*p++ = (uint8_t)c;
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	uint8_t *p = to;
	const uint8_t *q = from;
	while (n-- > 0)
		*p++ = *q++;
	return to;
}

__attribute__((weak)) void secondary(unsigned long hart, unsigned long opaque)
{
}
