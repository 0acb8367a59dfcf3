/* Reads a request body as strictly as the provider might, and counts its input. Chat messages: sandbox_messages.c. */
#include "base/first.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "sandbox.h"

enum { INPUTS_MAX = 2048, DIMENSIONS_DEFAULT = 256, COMPLETION_TOKENS_DEFAULT = 16 };

/* The first mistake found is the one that is told. */
void fare_sb_error_set(struct fare_sb_error *error, int status, const char *code, const char *param, const char *message)
{
	if (error->status)
		return;
	error->status = status;
	error->code = code;
	snprintf(error->param, sizeof error->param, "%s", param);
	snprintf(error->message, sizeof error->message, "%s", message);
}

static bool is_echo(unsigned char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '/';
}

void fare_sb_request_hint(struct fare_sb_request *req, const char *text, size_t n)
{
	static const char hint[] = "words=";
	size_t hint_n = sizeof hint - 1;

	req->seed_n = 0;
	for (size_t i = 0; i < n && req->seed_n < sizeof req->seed - 1; i++)
		req->seed[req->seed_n++] = is_echo((unsigned char)text[i]) ? text[i] : ' ';
	if (!req->seed_n)
		req->seed[req->seed_n++] = '.';
	/* Whole tokens, and a space before it begins again. */
	do
		req->seed[req->seed_n++] = ' ';
	while (req->seed_n % FARE_SB_TOKEN_BYTES && req->seed_n < sizeof req->seed);
	req->words = 0;
	for (size_t i = 0; i + hint_n < n; i++)
		if (!memcmp(text + i, hint, hint_n)) {
			for (i += hint_n; i < n && text[i] >= '0' && text[i] <= '9' && req->words < FARE_SB_TEXT_MAX; i++)
				req->words = req->words * 10 + (text[i] - '0');
			return;
		}
}

static void options_read(struct fare_sb_request *req, struct json_object *root, struct fare_sb_error *error)
{
	struct json_object *v, *w;

	req->choices = json_object_object_get_ex(root, "n", &v) && v ? json_object_get_int64(v) : 1;
	req->stream = json_object_object_get_ex(root, "stream", &v) && json_object_get_boolean(v);
	if (json_object_object_get_ex(root, "max_tokens", &v) && v)
		req->max_tokens = json_object_get_int64(v);
	if (json_object_object_get_ex(root, "max_completion_tokens", &w) && w) {
		if (req->max_tokens)
			fare_sb_error_set(error, 400, "invalid_parameter_combination", "max_tokens",
				"Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.");
		req->max_tokens = json_object_get_int64(w);
	}
	if (!json_object_object_get_ex(root, "stream_options", &v) || !v)
		return;
	if (!req->stream)
		fare_sb_error_set(error, 400, "invalid_value", "stream_options",
			"The 'stream_options' parameter is only allowed when 'stream' is enabled.");
	json_object_object_foreach(v, name, option) {
		if (strcmp(name, "include_usage") && strcmp(name, "include_obfuscation"))
			fare_sb_error_set(error, 400, "unknown_parameter", "stream_options", "Unknown stream option.");
		else if (!json_object_is_type(option, json_type_boolean))
			fare_sb_error_set(error, 400, "invalid_type", "stream_options", "A stream option must be a boolean.");
		else if (!strcmp(name, "include_usage"))
			req->include_usage = json_object_get_boolean(option);
	}
}

/* One prompt or input: text, or token numbers. */
static void text_read(struct fare_sb_request *req, struct json_object *v, const char *param, struct fare_sb_error *error)
{
	if (json_object_is_type(v, json_type_string)) {
		size_t n = (size_t)json_object_get_string_len(v);

		if (!n && req->api == FARE_SB_EMBEDDING)
			fare_sb_error_set(error, 400, "invalid_value", param, "Input must not be empty.");
		req->input_bytes += n;
		fare_sb_request_hint(req, json_object_get_string(v), n);
	} else if (json_object_is_type(v, json_type_array) && json_object_array_length(v)) {
		for (size_t i = 0; i < json_object_array_length(v); i++)
			if (!json_object_is_type(json_object_array_get_idx(v, i), json_type_int))
				fare_sb_error_set(error, 400, "invalid_type", param, "Token numbers must be integers.");
		req->extra_tokens += json_object_array_length(v);
	} else {
		fare_sb_error_set(error, 400, "invalid_type", param, "A text or a list of token numbers was expected.");
	}
	req->inputs++;
}

static void texts_read(struct fare_sb_request *req, struct json_object *root, const char *param, struct fare_sb_error *error)
{
	struct json_object *v, *first;

	fare_sb_request_hint(req, "", 0);
	if (!json_object_object_get_ex(root, param, &v)) {
		fare_sb_error_set(error, 400, "missing_required_parameter", param, "Missing required parameter.");
		return;
	}
	first = json_object_is_type(v, json_type_array) ? json_object_array_get_idx(v, 0) : NULL;
	if (!json_object_is_type(first, json_type_string) && !json_object_is_type(first, json_type_array)) {
		text_read(req, v, param, error);
		return;
	}
	if (json_object_array_length(v) > INPUTS_MAX)
		fare_sb_error_set(error, 400, "array_above_max_length", param, "Too many inputs.");
	for (size_t i = 0; i < json_object_array_length(v) && !error->status; i++)
		text_read(req, json_object_array_get_idx(v, i), param, error);
}

static void embedding_read(struct fare_sb_request *req, struct json_object *root, struct fare_sb_error *error)
{
	struct json_object *v;

	texts_read(req, root, "input", error);
	req->dimensions = json_object_object_get_ex(root, "dimensions", &v) ? json_object_get_int64(v) : DIMENSIONS_DEFAULT;
	if (!json_object_object_get_ex(root, "encoding_format", &v))
		return;
	req->base64 = !strcmp(json_object_get_string(v), "base64");
	if (!req->base64 && strcmp(json_object_get_string(v), "float"))
		fare_sb_error_set(error, 400, "invalid_value", "encoding_format", "Supported values are 'float' and 'base64'.");
}

static void root_read(struct fare_sb_request *req, struct json_object *root, struct fare_sb_error *error)
{
	struct json_object *v;
	size_t n;

	if (!json_object_object_get_ex(root, "model", &v)) {
		fare_sb_error_set(error, 400, "missing_required_parameter", "model", "you must provide a model parameter");
		return;
	}
	fare_sb_fields_check(root, req->api, error);
	if (error->status)
		return;
	n = (size_t)json_object_get_string_len(v);
	if (!n || n > FARE_SB_NAME_MAX || memchr(json_object_get_string(v), 0, n)) {
		fare_sb_error_set(error, 404, "model_not_found", "model", "The model does not exist.");
		return;
	}
	snprintf(req->model, sizeof req->model, "%s", json_object_get_string(v));
	options_read(req, root, error);
	if (req->api == FARE_SB_CHAT)
		fare_sb_chat_read(req, root, error);
	else if (req->api == FARE_SB_EMBEDDING)
		embedding_read(req, root, error);
	else {
		texts_read(req, root, "prompt", error);
		req->choices *= (int64_t)req->inputs;
		if (!req->max_tokens)
			req->max_tokens = COMPLETION_TOKENS_DEFAULT;
	}
}

static struct json_object *body_parse(const char *body, size_t n)
{
	struct json_tokener *t = json_tokener_new_ex(FARE_SB_DEPTH_MAX + 2);
	struct json_object *root = t ? json_tokener_parse_ex(t, body, (int)n) : NULL;

	if (t)
		json_tokener_free(t);
	return root;
}

void fare_sb_request_read(struct fare_sb_request *req, enum fare_sb_api api, const char *body, size_t n, struct fare_sb_error *error)
{
	static const char *const schemas[] = {"tools", "functions", "response_format"};
	struct json_object *root;
	const char *why;
	char text[128];

	req->api = api;
	if (fare_sb_json_check(body, n, &why)) {
		snprintf(text, sizeof text, "We could not parse the JSON body of your request: %s.", why);
		fare_sb_error_set(error, 400, "invalid_json", "", text);
		return;
	}
	root = body_parse(body, n);
	if (!json_object_is_type(root, json_type_object)) {
		fare_sb_error_set(error, 400, "invalid_json", "", "The JSON body of your request must be an object.");
	} else {
		for (size_t i = 0; i < FARE_ARRAY_N(schemas); i++)
			if (json_object_object_get_ex(root, schemas[i], NULL))
				req->input_bytes += fare_sb_json_member_bytes(body, n, schemas[i]);
		root_read(req, root, error);
	}
	json_object_put(root);
}

void fare_sb_request_release(struct fare_sb_request *req)
{
	free(req->tool_arguments);
	memset(req, 0, sizeof *req);
}

uint64_t fare_sb_request_input_tokens(const struct fare_sb_request *req)
{
	return fare_sb_tokens(req->input_bytes) + req->extra_tokens;
}
