/* A span names bytes that somebody else owns; it lives no longer than they do. */
#ifndef FARE_BASE_SPAN_H
#define FARE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct fare_span {
	const char *p;
	size_t n;
};

static inline struct fare_span fare_span_of(const char *s) { return (struct fare_span){s, s ? strlen(s) : 0}; }
static inline struct fare_span fare_span_at(const char *p, size_t n) { return (struct fare_span){p, n}; }
static inline bool fare_span_eq(struct fare_span a, struct fare_span b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool fare_span_is(struct fare_span a, const char *s) { return fare_span_eq(a, fare_span_of(s)); }
bool fare_span_is_nocase(struct fare_span a, const char *s); /* ASCII */
bool fare_span_starts(struct fare_span a, const char *prefix);
struct fare_span fare_span_trim(struct fare_span a); /* spaces and tabs, both ends */

/* Copies with a final NUL into out (size bytes). False when it does not fit or holds a NUL; out is "" then. */
bool fare_span_copy(struct fare_span a, char *out, size_t size) __attribute__((warn_unused_result));

#endif
