/* A strict reader of JSON text that only says yes or no: grammar of RFC 8259, valid UTF-8, no member twice in an object,
 * bounded depth. What passes is then given to json-c, which is more forgiving. */
#include "base/first.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox.h"

struct scan {
	const char *at, *end;
	const char *why;
	int depth;
	/* While looking for a top-level member: */
	const char *wanted;
	size_t wanted_bytes;
};

static int value_scan(struct scan *s);

static int fail(struct scan *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return -1;
}

static void space_skip(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* One character beyond ASCII (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
static int utf8_scan(struct scan *s)
{
	const unsigned char *p = (const unsigned char *)s->at;
	size_t left = (size_t)(s->end - s->at), n;
	unsigned low = 0x80, high = 0xbf;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return fail(s, "invalid UTF-8");
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < n || p[1] < low || p[1] > high)
		return fail(s, "invalid UTF-8");
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return fail(s, "invalid UTF-8");
	s->at += n;
	return 0;
}

static int escape_scan(struct scan *s)
{
	s->at++;
	if (s->at == s->end)
		return fail(s, "unfinished escape");
	if (*s->at == 'u') {
		if (s->end - s->at < 5 || !is_hex(s->at[1]) || !is_hex(s->at[2]) || !is_hex(s->at[3]) || !is_hex(s->at[4]))
			return fail(s, "bad \\u escape");
		s->at += 5;
		return 0;
	}
	if (!*s->at || !strchr("\"\\/bfnrt", *s->at))
		return fail(s, "bad escape");
	s->at++;
	return 0;
}

static int string_scan(struct scan *s)
{
	if (s->at == s->end || *s->at != '"')
		return fail(s, "a string was expected");
	for (s->at++; s->at < s->end;) {
		unsigned char c = (unsigned char)*s->at;

		if (c == '"') {
			s->at++;
			return 0;
		}
		if (c < 0x20)
			return fail(s, "control character in a string");
		if (c == '\\' ? escape_scan(s) : c >= 0x80 ? utf8_scan(s) : (s->at++, 0))
			return -1;
	}
	return fail(s, "unfinished string");
}

static size_t digits_skip(struct scan *s)
{
	const char *from = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return (size_t)(s->at - from);
}

static int number_scan(struct scan *s)
{
	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!digits_skip(s))
		return fail(s, "bad number");
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!digits_skip(s))
			return fail(s, "bad number");
	}
	if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		if (!digits_skip(s))
			return fail(s, "bad number");
	}
	return 0;
}

/* The bytes a name stands for, so that "a" and "\u0061" are the same name. Only ASCII escapes are resolved: nobody
 * writes other letters of a field's name as escapes but to test us, and two such spellings differ only in hex case. */
static size_t name_decode(const char *from, size_t n, char *to)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (from[i] == '\\' && from[i + 1] == 'u' && from[i + 2] == '0' && from[i + 3] == '0') {
			char hex[3] = {from[i + 4], from[i + 5], 0};
			long code = strtol(hex, NULL, 16);

			if (code < 0x80) {
				to[out++] = (char)code;
				i += 5;
				continue;
			}
		}
		if (from[i] == '\\')
			to[out++] = from[i++]; /* an escaped backslash does not begin another escape */
		to[out++] = from[i];
	}
	return out;
}

struct names { char *text; size_t text_n, text_max; struct { size_t at, n; } *name; size_t name_n, name_max; };

static int names_add(struct scan *s, struct names *names, const char *raw, size_t n)
{
	char *text = names->text;
	size_t decoded_n;

	if (names->name_n == FARE_SB_MEMBERS_MAX)
		return fail(s, "too many members in an object");
	if (!text || names->text_max - names->text_n < n) {
		names->text_max = names->text_n + n + 256;
		text = realloc(names->text, names->text_max);
		if (!text)
			return fail(s, "out of memory");
		names->text = text;
	}
	if (names->name_n == names->name_max) {
		size_t max = names->name_max ? names->name_max * 2 : 16;
		void *name = realloc(names->name, max * sizeof *names->name);

		if (!name)
			return fail(s, "out of memory");
		names->name = name;
		names->name_max = max;
	}
	decoded_n = name_decode(raw, n, text + names->text_n);
	if (memchr(text + names->text_n, 0, decoded_n)) /* json-c would see another, shorter name */
		return fail(s, "NUL in a member's name");
	for (size_t i = 0; i < names->name_n; i++)
		if (names->name[i].n == decoded_n && !memcmp(text + names->name[i].at, text + names->text_n, decoded_n))
			return fail(s, "duplicate member");
	names->name[names->name_n].at = names->text_n;
	names->name[names->name_n++].n = decoded_n;
	names->text_n += decoded_n;
	return 0;
}

static int member_scan(struct scan *s, struct names *names)
{
	const char *name = s->at + 1, *from;
	size_t name_n;

	if (string_scan(s))
		return -1;
	name_n = (size_t)(s->at - 1 - name);
	if (names_add(s, names, name, name_n))
		return -1;
	space_skip(s);
	if (s->at == s->end || *s->at != ':')
		return fail(s, "a colon was expected");
	s->at++;
	space_skip(s);
	from = s->at;
	if (value_scan(s))
		return -1;
	if (s->wanted && s->depth == 1 && strlen(s->wanted) == name_n && !memcmp(s->wanted, name, name_n))
		s->wanted_bytes = (size_t)(s->at - from);
	return 0;
}

/* The inside of an object (names given) or an array, up to its closing sign. */
static int list_scan(struct scan *s, char closing, struct names *names)
{
	space_skip(s);
	if (s->at < s->end && *s->at == closing) {
		s->at++;
		return 0;
	}
	for (;;) {
		space_skip(s);
		if (names ? member_scan(s, names) : value_scan(s))
			return -1;
		space_skip(s);
		if (s->at == s->end)
			return fail(s, "unfinished object or array");
		if (*s->at == closing) {
			s->at++;
			return 0;
		}
		if (*s->at != ',')
			return fail(s, "a comma was expected");
		s->at++;
	}
}

static int nest_scan(struct scan *s, bool is_object)
{
	struct names names = {0};
	int rc;

	if (++s->depth > FARE_SB_DEPTH_MAX)
		return fail(s, "nested too deep");
	s->at++;
	rc = list_scan(s, is_object ? '}' : ']', is_object ? &names : NULL);
	free(names.text);
	free(names.name);
	s->depth--;
	return rc;
}

static int value_scan(struct scan *s)
{
	static const char *const words[] = {"true", "false", "null"};
	char c;

	if (s->at == s->end)
		return fail(s, "a value was expected");
	c = *s->at;
	if (c == '{' || c == '[')
		return nest_scan(s, c == '{');
	if (c == '"')
		return string_scan(s);
	if (c == '-' || (c >= '0' && c <= '9'))
		return number_scan(s);
	for (size_t i = 0; i < FARE_ARRAY_N(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - s->at) >= n && !memcmp(s->at, words[i], n)) {
			s->at += n;
			return 0;
		}
	}
	return fail(s, "a value was expected");
}

int fare_sb_json_check(const char *text, size_t n, const char **why)
{
	struct scan s = {.at = text, .end = text + n};
	int rc;

	space_skip(&s);
	rc = value_scan(&s);
	space_skip(&s);
	if (!rc && s.at != s.end)
		rc = fail(&s, "text after the value");
	*why = s.why;
	return rc;
}

size_t fare_sb_json_member_bytes(const char *text, size_t n, const char *name)
{
	struct scan s = {.at = text, .end = text + n, .wanted = name};

	space_skip(&s);
	return value_scan(&s) ? 0 : s.wanted_bytes;
}
