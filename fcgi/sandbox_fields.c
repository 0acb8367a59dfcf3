/* The members a request may have, with their types and ranges: the provider's published ones and nothing else. */
#include "base/first.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "sandbox.h"

enum { T_NULL = 1, T_BOOL = 2, T_INT = 4, T_NUMBER = 8, T_STRING = 16, T_ARRAY = 32, T_OBJECT = 64 };

struct field {
	const char *name;
	int apis, types;
	int min, max;              /* of a number; both 0: any */
};

#define CH FARE_SB_CHAT
#define CO FARE_SB_COMPLETION
#define EM FARE_SB_EMBEDDING
#define TOKENS_MAX 1000000000

static const struct field fields[] = {
	{"model", CH | CO | EM, T_STRING, 0, 0},
	{"messages", CH, T_ARRAY, 0, 0},
	{"prompt", CO, T_STRING | T_ARRAY, 0, 0},
	{"input", EM, T_STRING | T_ARRAY, 0, 0},
	{"audio", CH, T_OBJECT | T_NULL, 0, 0},
	{"best_of", CO, T_INT | T_NULL, 1, 1},
	{"dimensions", EM, T_INT, 1, 4096},
	{"echo", CO, T_BOOL | T_NULL, 0, 0},
	{"encoding_format", EM, T_STRING, 0, 0},
	{"frequency_penalty", CH | CO, T_NUMBER | T_NULL, -2, 2},
	{"function_call", CH, T_STRING | T_OBJECT, 0, 0},
	{"functions", CH, T_ARRAY, 0, 0},
	{"logit_bias", CH | CO, T_OBJECT | T_NULL, 0, 0},
	{"logprobs", CH, T_BOOL | T_NULL, 0, 0},
	{"logprobs", CO, T_INT | T_NULL, 0, 5},
	{"max_completion_tokens", CH, T_INT | T_NULL, 1, TOKENS_MAX},
	{"max_tokens", CH | CO, T_INT | T_NULL, 1, TOKENS_MAX},
	{"metadata", CH, T_OBJECT | T_NULL, 0, 0},
	{"modalities", CH, T_ARRAY | T_NULL, 0, 0},
	{"n", CH | CO, T_INT | T_NULL, 1, 128},
	{"parallel_tool_calls", CH, T_BOOL, 0, 0},
	{"prediction", CH, T_OBJECT | T_NULL, 0, 0},
	{"presence_penalty", CH | CO, T_NUMBER | T_NULL, -2, 2},
	{"prompt_cache_key", CH, T_STRING, 0, 0},
	{"prompt_cache_retention", CH, T_STRING | T_NULL, 0, 0},
	{"reasoning_effort", CH, T_STRING | T_NULL, 0, 0},
	{"response_format", CH, T_OBJECT, 0, 0},
	{"safety_identifier", CH, T_STRING, 0, 0},
	{"seed", CH | CO, T_INT | T_NULL, 0, 0},
	{"service_tier", CH, T_STRING | T_NULL, 0, 0},
	{"stop", CH | CO, T_STRING | T_ARRAY | T_NULL, 0, 0},
	{"store", CH, T_BOOL | T_NULL, 0, 0},
	{"stream", CH | CO, T_BOOL | T_NULL, 0, 0},
	{"stream_options", CH | CO, T_OBJECT | T_NULL, 0, 0},
	{"suffix", CO, T_STRING | T_NULL, 0, 0},
	{"temperature", CH | CO, T_NUMBER | T_NULL, 0, 2},
	{"tool_choice", CH, T_STRING | T_OBJECT, 0, 0},
	{"tools", CH, T_ARRAY, 0, 0},
	{"top_logprobs", CH, T_INT | T_NULL, 0, 20},
	{"top_p", CH | CO, T_NUMBER | T_NULL, 0, 1},
	{"user", CH | CO | EM, T_STRING, 0, 0},
	{"verbosity", CH, T_STRING | T_NULL, 0, 0},
	{"web_search_options", CH, T_OBJECT, 0, 0},
};

static int value_type(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_null: return T_NULL;
	case json_type_boolean: return T_BOOL;
	case json_type_int: return T_INT | T_NUMBER;
	case json_type_double: return T_NUMBER;
	case json_type_string: return T_STRING;
	case json_type_array: return T_ARRAY;
	case json_type_object: return T_OBJECT;
	}
	return 0;
}

static void field_check(const char *name, struct json_object *value, enum fare_sb_api api, struct fare_sb_error *error)
{
	const struct field *f = NULL;

	for (size_t i = 0; i < FARE_ARRAY_N(fields) && !f; i++)
		if (!strcmp(fields[i].name, name) && (fields[i].apis & (int)api))
			f = &fields[i];
	if (!f) {
		fare_sb_error_set(error, 400, "unknown_parameter", name, "Unknown parameter.");
		return;
	}
	if (!(value_type(value) & f->types)) {
		fare_sb_error_set(error, 400, "invalid_type", name, "Invalid type for a parameter.");
		return;
	}
	if ((f->min || f->max) && (value_type(value) & T_NUMBER)) {
		double number = json_object_get_double(value);

		if (number < f->min || number > f->max)
			fare_sb_error_set(error, 400, number < f->min ? "integer_below_min_value" : "integer_above_max_value",
				name, "Invalid value: out of range.");
	}
}

void fare_sb_fields_check(struct json_object *root, enum fare_sb_api api, struct fare_sb_error *error)
{
	json_object_object_foreach(root, name, value) {
		if (error->status)
			return;
		field_check(name, value, api, error);
	}
}
