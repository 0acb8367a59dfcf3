/* Reading a request's body, whatever it comes through: within its limits, its memory taken from the budget as it comes. */
#ifndef FARE_FCGI_IO_BODY_H
#define FARE_FCGI_IO_BODY_H

#include "base/first.h"
#include "flow/io.h"

/* Part of a back end's request. */
struct fare_input {
	/* At most room bytes, waiting at most FARE_BODY_WAIT_S for the first of them; 0: `done` (the end) or `stopped` says why. */
	size_t (*piece)(struct fare_input *in, char *out, size_t room);
	uint64_t started_ms, read_n;
	bool done;                  /* read to its end */
	enum fare_body_end stopped; /* FARE_BODY_SLOW or FARE_BODY_GONE; 0: not */
};

enum fare_body_end fare_input_read(struct fare_input *in, const char *content_length, const struct fare_body_limits *limits, struct fare_body *out);
void fare_input_discard(struct fare_input *in); /* what is left, within bounds */

#endif
