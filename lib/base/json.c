/*
 * The strict JSON reader: one pass, no recursion; open containers are kept in a small stack. Strings are checked as they are passed over,
 * plain text in them 16 bytes at a time.
 */
#include "base/first.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/json_text.h"
#include "base/num.h"
#include "base/utf8.h"

enum { NODES_LEAST = 64 };

struct name {
	uint32_t at, n;
	bool escaped;
};

struct parser {
	struct fare_json *j;
	const char *p, *end;
	struct fare_json_names names;
	struct name name; /* of the member whose value comes next */
	uint32_t depth;
	struct { uint32_t node, last; } open[FARE_JSON_DEPTH_MAX]; /* containers not closed yet; last: its newest child */
};

static bool fail_at(struct parser *k, const char *at, const char *error)
{
	k->j->error = error;
	k->j->error_at = (size_t)(at - k->j->text.p);
	return false;
}

static bool fail(struct parser *k, const char *error) { return fail_at(k, k->p, error); }

static uint32_t offset(const struct parser *k) { return (uint32_t)(k->p - k->j->text.p); }

static void skip_space(struct parser *k)
{
	while (k->p < k->end && (*k->p == ' ' || *k->p == '\n' || *k->p == '\r' || *k->p == '\t'))
		k->p++;
}

/* Not 0 when one of the bytes is a control, a quote, a backslash or not ASCII (which one cannot be told: borrows run upwards). */
static uint64_t special_bytes(uint64_t w)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
	uint64_t quote = w ^ (ones * '"'), back = w ^ (ones * '\\');
	return ((w - ones * 0x20) | (quote - ones) | (back - ones) | w) & highs;
}

static const char *skip_plain(const char *p, const char *end)
{
	while (end - p >= 16) {
		uint64_t w[2];
		memcpy(w, p, sizeof w);
		if (special_bytes(w[0]) | special_bytes(w[1]))
			break;
		p += 16;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* Four hexadecimal digits at p, or -1. */
static int hex4(const char *p, const char *end)
{
	int v = 0;
	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = fare_num_hex(p[i]);
		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

/* At "\u". */
static bool skip_unicode_escape(struct parser *k)
{
	int code = hex4(k->p + 2, k->end);
	if (code < 0)
		return fail(k, "a \\u escape without four hexadecimal digits");
	if (code < 0xD800 || code > 0xDFFF) {
		k->p += 6;
		return true;
	}
	bool pair = code < 0xDC00 && k->end - k->p >= 12 && k->p[6] == '\\' && k->p[7] == 'u';
	int low = pair ? hex4(k->p + 8, k->end) : -1;
	if (low < 0xDC00 || low > 0xDFFF)
		return fail(k, "a lone surrogate escape");
	k->p += 12;
	return true;
}

/* At a backslash. */
static bool skip_escape(struct parser *k)
{
	if (k->end - k->p < 2)
		return fail(k, "a string without an end");
	if (k->p[1] == 'u')
		return skip_unicode_escape(k);
	if (k->p[1] == '\0' || !strchr("\"\\/bfnrt", k->p[1]))
		return fail(k, "an unknown escape");
	k->p += 2;
	return true;
}

/* At a quote; leaves p after the closing one. */
static bool skip_string(struct parser *k, bool *escaped)
{
	*escaped = false;
	k->p++;
	for (;;) {
		k->p = skip_plain(k->p, k->end);
		if (k->p == k->end)
			return fail(k, "a string without an end");
		unsigned char c = (unsigned char)*k->p;
		if (c == '"') {
			k->p++;
			return true;
		}
		if (c == '\\') {
			*escaped = true;
			if (!skip_escape(k))
				return false;
			continue;
		}
		if (c < 0x20)
			return fail(k, "a control character in a string");
		do {
			size_t n = fare_utf8_len(k->p, (size_t)(k->end - k->p));
			if (n == 0)
				return fail(k, "text that is not UTF-8");
			k->p += n;
		} while (k->p < k->end && (unsigned char)*k->p >= 0x80);
	}
}

static bool skip_digits(struct parser *k)
{
	const char *from = k->p;
	while (k->p < k->end && *k->p >= '0' && *k->p <= '9')
		k->p++;
	return k->p > from || fail(k, "a number that lacks a digit");
}

static bool skip_number(struct parser *k)
{
	if (*k->p == '-')
		k->p++;
	const char *first = k->p;
	if (!skip_digits(k))
		return false;
	if (*first == '0' && k->p - first > 1)
		return fail_at(k, first, "a number with a leading zero");
	if (k->p < k->end && *k->p == '.') {
		k->p++;
		if (!skip_digits(k))
			return false;
	}
	if (k->p < k->end && (*k->p == 'e' || *k->p == 'E')) {
		k->p++;
		if (k->p < k->end && (*k->p == '+' || *k->p == '-'))
			k->p++;
		return skip_digits(k);
	}
	return true;
}

static bool skip_word(struct parser *k, const char *word)
{
	if (!fare_span_starts(fare_span_at(k->p, (size_t)(k->end - k->p)), word))
		return fail(k, "a value was expected");
	k->p += strlen(word);
	return true;
}

/* A node for the value at p, linked to the container that is open. */
static struct fare_json_node *add_node(struct parser *k, enum fare_json_kind kind)
{
	struct fare_json *j = k->j;
	if (j->count == FARE_JSON_NODES_MAX) {
		fail(k, "too many values");
		return NULL;
	}
	if (j->count == j->cap) {
		uint32_t cap = j->cap > 0 ? j->cap * 2 : NODES_LEAST;
		struct fare_json_node *nodes = realloc(j->nodes, cap * sizeof *nodes);
		if (!nodes) {
			fail(k, "not enough memory");
			return NULL;
		}
		j->nodes = nodes;
		j->cap = cap;
	}
	uint32_t index = j->count++;
	if (k->depth > 0) {
		uint32_t parent = k->open[k->depth - 1].node;
		if (j->nodes[parent].size++ > 0)
			j->nodes[k->open[k->depth - 1].last].next = index;
		k->open[k->depth - 1].last = index;
	}
	j->nodes[index] = (struct fare_json_node){
		.start = offset(k), .key = k->name.at, .key_n = k->name.n, .key_escaped = k->name.escaped, .kind = (uint8_t)kind,
	};
	k->name = (struct name){0};
	return &j->nodes[index];
}

static bool parse_scalar(struct parser *k)
{
	char c = *k->p;
	enum fare_json_kind kind = c == '"' ? FARE_JSON_STRING : c == 't' ? FARE_JSON_TRUE : c == 'f' ? FARE_JSON_FALSE
				 : c == 'n' ? FARE_JSON_NULL : FARE_JSON_NUMBER;
	if (kind == FARE_JSON_NUMBER && c != '-' && (c < '0' || c > '9'))
		return fail(k, "a value was expected");
	struct fare_json_node *node = add_node(k, kind);
	if (!node)
		return false;
	bool ok = kind == FARE_JSON_STRING ? skip_string(k, &node->escaped)
		: kind == FARE_JSON_NUMBER ? skip_number(k)
		: skip_word(k, kind == FARE_JSON_TRUE ? "true" : kind == FARE_JSON_FALSE ? "false" : "null");
	node->end = offset(k);
	return ok;
}

/* "name": with the space around it. */
static bool parse_name(struct parser *k)
{
	skip_space(k);
	if (k->p == k->end || *k->p != '"')
		return fail(k, "a member name was expected");
	k->name.at = offset(k) + 1;
	if (!skip_string(k, &k->name.escaped))
		return false;
	k->name.n = offset(k) - 1 - k->name.at;
	skip_space(k);
	if (k->p == k->end || *k->p != ':')
		return fail(k, "a colon was expected");
	k->p++;
	return true;
}

static struct fare_json_node *innermost(const struct parser *k) { return &k->j->nodes[k->open[k->depth - 1].node]; }

static bool open_container(struct parser *k)
{
	if (k->depth == FARE_JSON_DEPTH_MAX)
		return fail(k, "nested too deep");
	struct fare_json_node *node = add_node(k, *k->p == '{' ? FARE_JSON_OBJECT : FARE_JSON_ARRAY);
	if (!node)
		return false;
	k->open[k->depth++].node = (uint32_t)(node - k->j->nodes);
	k->p++;
	return true;
}

static bool close_container(struct parser *k)
{
	struct fare_json_node *node = innermost(k);
	bool no_memory = false;
	k->p++;
	node->end = offset(k);
	k->depth--;
	if (node->kind != FARE_JSON_OBJECT)
		return true;
	const struct fare_json_node *twice = fare_json_names_twice(&k->names, k->j, node, &no_memory);
	if (twice)
		return fail_at(k, k->j->text.p + twice->key, "a member name that was there before");
	return !no_memory || fail(k, "not enough memory");
}

static bool at_closer(const struct parser *k)
{
	return k->p < k->end && *k->p == (innermost(k)->kind == FARE_JSON_OBJECT ? '}' : ']');
}

/* After a value: closes what closes here, then the comma. *done: the outermost value has ended. */
static bool parse_after_value(struct parser *k, bool *done)
{
	while (k->depth > 0) {
		skip_space(k);
		if (k->p < k->end && *k->p == ',') {
			k->p++;
			return innermost(k)->kind != FARE_JSON_OBJECT || parse_name(k);
		}
		if (!at_closer(k))
			return fail(k, k->p == k->end ? "the text ends too early" : "a comma or the end of the list was expected");
		if (!close_container(k))
			return false;
	}
	*done = true;
	return true;
}

/* One value, or the opening of a container and what stands before its first value. */
static bool parse_value(struct parser *k, bool *done)
{
	skip_space(k);
	if (k->p == k->end)
		return fail(k, "the text ends too early");
	if (*k->p != '{' && *k->p != '[')
		return parse_scalar(k) && parse_after_value(k, done);
	if (!open_container(k))
		return false;
	skip_space(k);
	if (at_closer(k))
		return close_container(k) && parse_after_value(k, done);
	return innermost(k)->kind != FARE_JSON_OBJECT || parse_name(k);
}

static bool parse_text(struct parser *k)
{
	bool done = false;
	if (k->j->text.n > UINT32_MAX)
		return fail(k, "more than 4 GiB");
	while (!done)
		if (!parse_value(k, &done))
			return false;
	skip_space(k);
	return k->p == k->end || fail(k, "something after the value");
}

bool fare_json_parse(struct fare_json *j, struct fare_span text)
{
	if (!text.p)
		text = fare_span_of("");
	struct parser k = {.j = j, .p = text.p, .end = text.p + text.n};
	j->text = text;
	j->count = 0;
	j->error = NULL;
	j->error_at = 0;
	bool ok = parse_text(&k);
	fare_json_names_release(&k.names);
	if (!ok)
		fare_json_release(j);
	return ok;
}

void fare_json_release(struct fare_json *j)
{
	free(j->nodes);
	j->nodes = NULL;
	j->count = j->cap = 0;
}
