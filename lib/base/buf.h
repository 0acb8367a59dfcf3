/*
 * One growable byte buffer. Its maximum is given at init; on overflow or lack of memory it is emptied, `failed` stays set, and every
 * later add does nothing, so a chain of adds is checked once at its end.
 */
#ifndef FARE_BASE_BUF_H
#define FARE_BASE_BUF_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

struct fare_buf {
	char *p;    /* owned; not NUL-terminated unless fare_buf_cstr was called last */
	size_t n;   /* bytes used */
	size_t cap; /* bytes allocated */
	size_t max; /* n never exceeds it */
	bool failed;
};

void fare_buf_init(struct fare_buf *b, size_t max);
void fare_buf_release(struct fare_buf *b); /* frees and re-inits with the same max; safe on a zeroed struct */
void fare_buf_reset(struct fare_buf *b);   /* empties, keeps memory, clears failed */
bool fare_buf_reserve(struct fare_buf *b, size_t more); /* room for `more` further bytes at p + n */
bool fare_buf_add(struct fare_buf *b, const void *p, size_t n);
bool fare_buf_add_span(struct fare_buf *b, struct fare_span s);
bool fare_buf_add_str(struct fare_buf *b, const char *s);
bool fare_buf_add_char(struct fare_buf *b, char c);
bool fare_buf_addf(struct fare_buf *b, const char *fmt, ...) FARE_PRINTF(2, 3);
bool fare_buf_add_u64(struct fare_buf *b, uint64_t v);
/* A JSON string with its quotes: escapes ", \, controls; bytes that are not UTF-8 become U+FFFD. */
bool fare_buf_add_json(struct fare_buf *b, struct fare_span s);
void fare_buf_drop(struct fare_buf *b, size_t n); /* removes the first n bytes */
const char *fare_buf_cstr(struct fare_buf *b);    /* NUL-terminated view, "" when failed or empty */
static inline struct fare_span fare_buf_span(const struct fare_buf *b) { return fare_span_at(b->p, b->n); }

#endif
