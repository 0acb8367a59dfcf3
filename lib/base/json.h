/*
 * Strict JSON (RFC 8259), read once into a flat array of nodes that point into the text. Refused: anything RFC 8259 does not allow,
 * text that is not UTF-8, a raw NUL, lone surrogate escapes, duplicate member names (compared after unescaping) in any object,
 * nesting beyond the limit, more nodes than the limit, and anything but white space after the value. What is priced is what is sent:
 * two readers of the same bytes must not see two things.
 */
#ifndef FARE_BASE_JSON_H
#define FARE_BASE_JSON_H

#include "base/buf.h"
#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

enum fare_json_kind { FARE_JSON_OBJECT, FARE_JSON_ARRAY, FARE_JSON_STRING, FARE_JSON_NUMBER, FARE_JSON_TRUE, FARE_JSON_FALSE, FARE_JSON_NULL };

enum { FARE_JSON_DEPTH_MAX = 64, FARE_JSON_NODES_MAX = 4 * 1024 * 1024 };

struct fare_json_node {
	uint32_t start, end; /* the value's text, quotes and brackets included */
	uint32_t key, key_n; /* the member's name as written, without quotes; key_n 0 and key 0 outside objects */
	uint32_t next;       /* index of the next sibling, 0: none */
	uint32_t size;       /* members or elements of an object or array */
	uint8_t kind;        /* enum fare_json_kind */
	bool key_escaped;    /* the name has backslashes */
	bool escaped;        /* a string with backslashes */
};

struct fare_json {
	struct fare_span text; /* not owned: must outlive this */
	struct fare_json_node *nodes; /* owned; node 0 is the root; an object's first child is the node right after it */
	uint32_t count, cap;
	const char *error;     /* a constant text when parsing failed */
	size_t error_at;       /* byte offset of the fault */
};

/* Text longer than 4 GiB - 1 is refused. On failure error and error_at are set and nothing need be released (but may be). Reuse: keeps its nodes' memory. */
bool fare_json_parse(struct fare_json *j, struct fare_span text) FARE_MUST;
void fare_json_release(struct fare_json *j);

const struct fare_json_node *fare_json_root(const struct fare_json *j);
/* First element or member, and the following; NULL at the end (or when n is no container). */
const struct fare_json_node *fare_json_first(const struct fare_json *j, const struct fare_json_node *n);
const struct fare_json_node *fare_json_next(const struct fare_json *j, const struct fare_json_node *n);
/* Member of an object by name, NULL when absent or `object` is NULL or no object. */
const struct fare_json_node *fare_json_member(const struct fare_json *j, const struct fare_json_node *object, const char *name);
struct fare_span fare_json_text(const struct fare_json *j, const struct fare_json_node *n); /* as written */
struct fare_span fare_json_key(const struct fare_json *j, const struct fare_json_node *n);  /* as written */
bool fare_json_key_is(const struct fare_json *j, const struct fare_json_node *n, const char *name); /* after unescaping */
bool fare_json_string_is(const struct fare_json *j, const struct fare_json_node *n, const char *value);
/* A string node's value, unescaped, appended to out. False: no string, or out failed. */
bool fare_json_string(const struct fare_json *j, const struct fare_json_node *n, struct fare_buf *out) FARE_MUST;
size_t fare_json_string_bytes(const struct fare_json *j, const struct fare_json_node *n); /* length of the unescaped value in UTF-8 bytes */
/* An integer without fraction or exponent within bounds. */
bool fare_json_i64(const struct fare_json *j, const struct fare_json_node *n, int64_t min, int64_t max, int64_t *out) FARE_MUST;

#endif
