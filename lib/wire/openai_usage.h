/* Between the files of the OpenAI answer reader: the usage object of any server that speaks the dialect, as one meaning. */
#ifndef FARE_WIRE_OPENAI_USAGE_H
#define FARE_WIRE_OPENAI_USAGE_H

#include "base/json.h"
#include "money/price.h"

struct fare_openai_usage {
	struct fare_usage usage;
	bool complete;             /* counts the input, and the output where there is one */
	bool clamped;
	uint32_t cost_at, cost_end; /* where the provider's own `cost` stands in the text; both 0: nowhere */
};

/* text: the object as written. j: reused memory. output: the endpoint has one. Not an object, or not JSON: not complete. */
void fare_openai_usage_read(struct fare_json *j, struct fare_span text, bool output, struct fare_openai_usage *out);

#endif
