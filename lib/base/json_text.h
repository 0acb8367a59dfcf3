/* Between the files of the JSON reader: strings that are known to be valid, one unescaped byte at a time, and the search for duplicate names. */
#ifndef FARE_BASE_JSON_TEXT_H
#define FARE_BASE_JSON_TEXT_H

#include "base/first.h"
#include "base/json.h"

/* The text between a valid string's quotes, unescaped byte by byte. */
struct fare_json_reader {
	const char *p, *end;
	char out[4]; /* of the last escape, what is not given out yet */
	uint8_t out_n, out_at;
};

static inline struct fare_json_reader fare_json_reader_of(struct fare_span inner)
{
	return (struct fare_json_reader){.p = inner.p, .end = inner.p + inner.n};
}
int fare_json_reader_byte(struct fare_json_reader *r); /* 0 to 255, or -1 at the end */

/* Memory of the search, kept from object to object of one text. */
struct fare_json_names {
	uint64_t seed[2];
	bool seeded;
	uint64_t *slots; /* hash and member; owned */
	size_t cap;
	struct fare_buf name;
};

/* The second of two members with one name, or NULL. *failed is set when memory is short. */
const struct fare_json_node *fare_json_names_twice(struct fare_json_names *names, const struct fare_json *j, const struct fare_json_node *object, bool *failed);
void fare_json_names_release(struct fare_json_names *names);

#endif
