/* The log, and what ends a process. */
#include "base/first.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* Longer lines are cut: a pipe takes up to 4,096 bytes in one piece, so lines of several processes never mix. */
enum { LINE_N = 2048 };
static const char cut_mark[] = "...";

static const char *_Atomic log_role = "farebox";
static _Atomic int log_least = FARE_INFO;
static const char *const level_names[] = {"debug", "info", "warning", "alarm"};

void fare_log_role(const char *role) { log_role = role; }

void fare_log_level(enum fare_level least) { log_least = (int)least; }

/* Copies text with controls as \xNN; returns the bytes written, at most size. */
static size_t escape(const char *text, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool control = c < 0x20 || c == 0x7F;
		if (size - n < sizeof cut_mark - 1 + (control ? 4 : 1)) {
			memcpy(out + n, cut_mark, sizeof cut_mark - 1);
			return n + sizeof cut_mark - 1;
		}
		if (control) {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = hex[c >> 4];
			c = (unsigned char)hex[c & 15];
		}
		out[n++] = (char)c;
	}
	return n;
}

static void log_line(enum fare_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char time[FARE_TIME_TEXT_N], text[LINE_N], line[LINE_N];
	fare_clock_text(fare_clock_wall_ms(), time);
	int n = snprintf(line, sizeof line / 2, "%s %s[%d] %s: ", time, log_role, (int)getpid(), level_names[level]);
	size_t head = n < 0 ? 0 : (size_t)n < sizeof line / 2 ? (size_t)n : sizeof line / 2 - 1;
	errno = saved;
	if (vsnprintf(text, sizeof text, fmt, ap) < 0)
		text[0] = '\0';
	size_t end = head + escape(text, line + head, sizeof line - head - 1);
	line[end++] = '\n';
	while (write(STDERR_FILENO, line, end) < 0 && errno == EINTR)
		;
	errno = saved;
}

void fare_log(enum fare_level level, const char *fmt, ...)
{
	if ((int)level < log_least)
		return;
	va_list ap;
	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}

void fare_fatal(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_line(FARE_ALARM, fmt, ap);
	va_end(ap);
	exit(1);
}

void fare_panic_at(const char *file, int line, const char *what)
{
	fare_log(FARE_ALARM, "panic at %s:%d: %s", file, line, what);
	abort();
}

FARE_NORETURN static void out_of_memory(size_t n)
{
	fare_log(FARE_ALARM, "out of memory (%zu bytes)", n);
	_exit(1);
}

void *fare_alloc(size_t n)
{
	void *p = calloc(1, n > 0 ? n : 1);
	if (!p)
		out_of_memory(n);
	return p;
}

void *fare_realloc(void *p, size_t n)
{
	p = realloc(p, n > 0 ? n : 1);
	if (!p)
		out_of_memory(n);
	return p;
}

char *fare_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(fare_alloc(n), s, n);
}
