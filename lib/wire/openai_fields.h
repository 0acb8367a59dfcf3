/* Between the files of the OpenAI request reader: what is known of each top-level member. */
#ifndef FARE_WIRE_OPENAI_FIELDS_H
#define FARE_WIRE_OPENAI_FIELDS_H

#include "base/first.h"
#include "base/json.h"
#include "wire/refusal.h"

/*
 * FREE: changes nothing in the bill but the input's length. COUNTED: likewise, and its bytes count as prompt. UNPRICED: changes what the provider bills
 * in a way that has no price here. Others are read by a rule of their own. A member not in the table is refused, since nobody knows what it costs.
 */
enum fare_field_kind {
	FARE_FIELD_UNKNOWN = 0,
	FARE_FIELD_FREE, FARE_FIELD_COUNTED, FARE_FIELD_UNPRICED,
	FARE_FIELD_MODEL, FARE_FIELD_STREAM, FARE_FIELD_STREAM_OPTIONS, FARE_FIELD_CHOICES, FARE_FIELD_BOUND, FARE_FIELD_TIER, FARE_FIELD_MODALITIES, FARE_FIELD_OFF,
	FARE_FIELD_MESSAGES, FARE_FIELD_TOOLS, FARE_FIELD_PROMPT, FARE_FIELD_INPUT
};

/* endpoint: enum fare_endpoint. */
enum fare_field_kind fare_openai_field(const struct fare_json *j, const struct fare_json_node *member, int endpoint);
/* A bad_request or field_not_priced that names the member (as written, in what is printable). Returns false. */
bool fare_openai_fault(struct fare_refusal *r, enum fare_code code, const char *param, const char *what);

#endif
