/* Call ids: UUIDv7 (RFC 9562), time-ordered, unique in the host and increasing within a process. */
#ifndef FARE_BASE_ID_H
#define FARE_BASE_ID_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

struct fare_id { uint8_t b[16]; };
enum { FARE_ID_TEXT_N = 37 }; /* 36 characters and NUL */

struct fare_id fare_id_new(void); /* thread-safe */
void fare_id_text(struct fare_id id, char out[FARE_ID_TEXT_N]);
bool fare_id_parse(struct fare_span text, struct fare_id *out) FARE_MUST; /* any UUID, either case */
static inline int fare_id_cmp(struct fare_id a, struct fare_id b) { return memcmp(a.b, b.b, sizeof a.b); }
static inline bool fare_id_eq(struct fare_id a, struct fare_id b) { return fare_id_cmp(a, b) == 0; }
static inline bool fare_id_is_zero(struct fare_id a) { static const struct fare_id z; return fare_id_eq(a, z); }

#endif
