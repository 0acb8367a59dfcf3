/* Spans: comparing and copying. */
#include "base/first.h"

#include <strings.h>

#include "base/span.h"

bool fare_span_is_nocase(struct fare_span a, const char *s)
{
	size_t n = strlen(s);
	return a.n == n && (n == 0 || strncasecmp(a.p, s, n) == 0);
}

bool fare_span_starts(struct fare_span a, const char *prefix)
{
	size_t n = strlen(prefix);
	return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

struct fare_span fare_span_trim(struct fare_span a)
{
	while (a.n > 0 && is_blank(a.p[0])) {
		a.p++;
		a.n--;
	}
	while (a.n > 0 && is_blank(a.p[a.n - 1]))
		a.n--;
	return a;
}

bool fare_span_copy(struct fare_span a, char *out, size_t size)
{
	if (size == 0)
		return false;
	out[0] = '\0';
	if (a.n >= size || (a.n > 0 && memchr(a.p, '\0', a.n)))
		return false;
	if (a.n > 0)
		memcpy(out, a.p, a.n);
	out[a.n] = '\0';
	return true;
}
