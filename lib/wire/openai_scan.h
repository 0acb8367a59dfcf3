/*
 * Between the files of the OpenAI answer reader: one pass over an answer or a chunk of a stream, cut anywhere, keeping nothing but the usage object. Finds
 * what is billed and what is edited. As lenient as JSON's structure allows (a model's answer may hold lone surrogates), since a caller's client may read what ours would refuse.
 */
#ifndef FARE_WIRE_OPENAI_SCAN_H
#define FARE_WIRE_OPENAI_SCAN_H

#include "bank/admission.h"
#include "wire/openai_usage.h"

enum { FARE_SCAN_DEPTH_MAX = 128, FARE_SCAN_USAGE_MAX = 64 * 1024, FARE_SCAN_CHOICES = 128, FARE_SCAN_TOKEN_MAX = 40 };

struct fare_scan_place { uint64_t at, end; }; /* byte offsets in the value's text; end 0: not there */

struct fare_scan {
	enum fare_endpoint endpoint;
	bool stream;

	/* Adds up from value to value. */
	uint64_t text_bytes;        /* unescaped, of all choices */
	uint64_t deltas;            /* of a stream: choices of chunks that brought text, or "" where more may follow (a token may be a part of a character) */
	uint64_t seen[2], finished[2]; /* choices by index */

	/* Of the value being read. */
	bool error;                 /* it has an error that is not null */
	bool answers;               /* it has choices, or an embedding's data */
	bool empty;                 /* and none in them */
	bool usage_there;           /* the value's own usage is an object */
	bool usage_found;           /* usage below is the value's own, or, without one, one found inside it */
	struct fare_openai_usage usage;
	struct fare_scan_place model_place, usage_place, id_place; /* of the value's own members; a usage only when complete */
	uint64_t created;           /* the value's own; 0: none */
	uint64_t open_at;           /* start of such a member that is still being read; UINT64_MAX: none */

	/* Where the reader stands. */
	uint64_t at;                /* bytes of this value read */
	uint8_t state, role, action;
	bool is_key, is_escape, bad;
	uint8_t hex_n;
	uint16_t hex;
	uint32_t depth;
	struct { uint8_t role; bool is_array; } open[FARE_SCAN_DEPTH_MAX];
	char token[FARE_SCAN_TOKEN_MAX]; /* a name, number or word; what is longer is cut */
	uint32_t token_n;
	uint64_t *counting;         /* where the string being read counts */
	uint64_t string_n, raw_at, reasoning[2];
	uint64_t choice;            /* index of the choice being read */
	bool choice_finished, choice_said, usage_own;
	uint64_t choice_text_at;    /* text_bytes before it */
	struct fare_buf usage_text;
	struct fare_json json;      /* reused */
};

void fare_scan_init(struct fare_scan *s, enum fare_endpoint endpoint, bool stream);
void fare_scan_release(struct fare_scan *s);
void fare_scan_begin(struct fare_scan *s);                            /* the next value */
bool fare_scan_push(struct fare_scan *s, struct fare_span bytes);     /* false: this is no JSON object */
bool fare_scan_whole(const struct fare_scan *s);                      /* the value has ended */
bool fare_scan_all_finished(const struct fare_scan *s);               /* every choice seen has a finish reason, and there is one */

#endif
