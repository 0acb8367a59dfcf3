/* The growable buffer. One byte more than n is always allocated, so that a final NUL needs no further memory. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/utf8.h"

enum { CAP_LEAST = 64 };

void fare_buf_init(struct fare_buf *b, size_t max)
{
	*b = (struct fare_buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void fare_buf_release(struct fare_buf *b)
{
	free(b->p);
	fare_buf_init(b, b->max);
}

void fare_buf_reset(struct fare_buf *b)
{
	b->n = 0;
	b->failed = false;
}

static bool fail(struct fare_buf *b)
{
	fare_buf_release(b);
	b->failed = true;
	return false;
}

bool fare_buf_reserve(struct fare_buf *b, size_t more)
{
	if (b->failed)
		return false;
	if (more > b->max - b->n)
		return fail(b);
	size_t need = b->n + more + 1;
	if (need <= b->cap)
		return true;
	size_t cap = b->cap > CAP_LEAST ? b->cap : CAP_LEAST;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	char *p = realloc(b->p, cap);
	if (!p)
		return fail(b);
	b->p = p;
	b->cap = cap;
	return true;
}

bool fare_buf_add(struct fare_buf *b, const void *p, size_t n)
{
	if (!fare_buf_reserve(b, n))
		return false;
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return true;
}

bool fare_buf_add_span(struct fare_buf *b, struct fare_span s) { return fare_buf_add(b, s.p, s.n); }

bool fare_buf_add_str(struct fare_buf *b, const char *s) { return fare_buf_add(b, s, strlen(s)); }

bool fare_buf_add_char(struct fare_buf *b, char c) { return fare_buf_add(b, &c, 1); }

bool fare_buf_addf(struct fare_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	size_t room = b->cap - b->n;
	int n = vsnprintf(room > 0 ? b->p + b->n : NULL, room, fmt, ap);
	va_end(ap);
	bool ok = n >= 0 ? fare_buf_reserve(b, (size_t)n) : fail(b);
	if (ok && (size_t)n >= room)
		vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
	va_end(again);
	if (ok)
		b->n += (size_t)n;
	return ok;
}

bool fare_buf_add_u64(struct fare_buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	return fare_buf_add(b, digits + at, sizeof digits - at);
}

/* Bytes at the front of s that need no escape. */
static size_t plain_run(struct fare_span s)
{
	size_t i = 0;
	while (i < s.n) {
		uint8_t c = (uint8_t)s.p[i];
		if (c < 0x20 || c == '"' || c == '\\')
			break;
		size_t n = fare_utf8_len(s.p + i, s.n - i);
		if (n == 0)
			break;
		i += n;
	}
	return i;
}

static bool add_escaped(struct fare_buf *b, uint8_t c)
{
	switch (c) {
	case '"': return fare_buf_add_str(b, "\\\"");
	case '\\': return fare_buf_add_str(b, "\\\\");
	case '\b': return fare_buf_add_str(b, "\\b");
	case '\f': return fare_buf_add_str(b, "\\f");
	case '\n': return fare_buf_add_str(b, "\\n");
	case '\r': return fare_buf_add_str(b, "\\r");
	case '\t': return fare_buf_add_str(b, "\\t");
	default: return c < 0x20 ? fare_buf_addf(b, "\\u%04x", c) : fare_buf_add_str(b, "\xEF\xBF\xBD");
	}
}

bool fare_buf_add_json(struct fare_buf *b, struct fare_span s)
{
	bool ok = fare_buf_add_char(b, '"');
	while (ok && s.n > 0) {
		size_t n = plain_run(s);
		ok = fare_buf_add(b, s.p, n);
		if (n < s.n)
			ok = ok && add_escaped(b, (uint8_t)s.p[n++]);
		s = fare_span_at(s.p + n, s.n - n);
	}
	return ok && fare_buf_add_char(b, '"');
}

void fare_buf_drop(struct fare_buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}

const char *fare_buf_cstr(struct fare_buf *b)
{
	if (b->n == 0)
		return "";
	b->p[b->n] = '\0';
	return b->p;
}
