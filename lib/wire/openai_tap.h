/* Between the files of the OpenAI answer tap: what streams and whole answers share. */
#ifndef FARE_WIRE_OPENAI_TAP_H
#define FARE_WIRE_OPENAI_TAP_H

#include "wire/openai.h"
#include "wire/openai_scan.h"

enum { FARE_TAP_ID_MAX = 256 };

struct fare_tap {
	bool stream, usage_asked;
	enum fare_tap_end end;
	struct fare_buf model;      /* the caller's name for the model, as JSON */
	fare_cost_fn *cost;
	void *cost_arg;
	struct fare_scan scan;
	bool has_usage;
	struct fare_openai_usage usage; /* the last complete one */
	uint64_t text_bytes, deltas; /* relayed */

	struct fare_buf raw;        /* what came and is not passed yet: an event up to here, or an answer */

	/* Whole answers. */
	bool passing;               /* too large to keep: raw begins at byte raw_at of the answer */
	uint64_t raw_at;

	/* Streams: where in raw the reader stands, and what the event has so far. */
	size_t line_at;
	bool after_cr, drop_lf;     /* the last byte was a CR that ended a line; an LF after it belongs to a dropped event */
	uint32_t data_lines, other_lines;
	struct fare_scan_place data; /* the first data line's value, in raw */
	struct fare_buf joined;     /* all data lines' values, when there are several */
	bool error_event, unknown_field;
	bool done, error;           /* [DONE], or an error, was seen */
	bool cut_off;               /* the body ended within an event */

	/* What the hold pays for. */
	uint64_t limit;             /* tokens, as fare_tap_seen counts them */
	bool waits;                 /* the event in raw, scanned but not taken, would go beyond it */
	struct fare_buf rest;       /* what came after that event */
	char id[FARE_TAP_ID_MAX];   /* the stream's, as JSON; "": none yet */
	uint64_t created;
	uint64_t finished[2];       /* choices by index, as far as relayed */
};

/* Appends text, the place `from` on of the scanned value, with the edits that lie in it. */
void fare_tap_edit(struct fare_tap *t, struct fare_span text, uint64_t from, struct fare_buf *out);
/* After a value, or a piece of it: takes over the usage and the text counted. */
void fare_tap_take(struct fare_tap *t);

/* Tokens, counted so that the provider counts no more. */
uint64_t fare_tap_tokens(uint64_t text_bytes, uint64_t deltas, const struct fare_openai_usage *u);

bool fare_tap_stream_push(struct fare_tap *t, struct fare_span bytes, struct fare_buf *out);
void fare_tap_stream_finish(struct fare_tap *t, struct fare_buf *out);

#endif
