/* A request that came in whole: who asks, for what, and which file answers. */
#include "base/first.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "sandbox.h"

static const struct { const char *path; enum fare_sb_api api; } posts[] = {
	{"/v1/chat/completions", FARE_SB_CHAT},
	{"/v1/completions", FARE_SB_COMPLETION},
	{"/v1/embeddings", FARE_SB_EMBEDDING},
};

static void caller_check(const struct fare_sb_head *head, struct fare_sb_error *error)
{
	if (!head->has_bearer)
		fare_sb_error_set(error, 401, "", "",
			"You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.");
	else if (!head->key_right)
		fare_sb_error_set(error, 401, "invalid_api_key", "", "Incorrect API key provided.");
	else if (head->has_accept_encoding)
		fare_sb_error_set(error, 400, "accept_encoding", "", "The sandbox answers without content coding: do not ask for one.");
}

static void head_check(const struct fare_sb_head *head, struct fare_sb_error *error)
{
	caller_check(head, error);
	if (!head->has_length && !head->chunked)
		fare_sb_error_set(error, 400, "length_required", "", "A POST must announce its length.");
	if (!head->is_json)
		fare_sb_error_set(error, 400, "invalid_content_type", "", "Content-Type must be application/json.");
}

static void model_check(struct fare_sb_conn *conn, struct fare_sb_error *error)
{
	struct fare_sb_request *req = &conn->req;
	struct fare_sb_text text;

	conn->model = fare_sb_model_parse(req->model);
	if (conn->model.kind == FARE_SB_UNKNOWN)
		fare_sb_error_set(error, 404, "model_not_found", "model", "The model does not exist or you do not have access to it.");
	else if (conn->model.kind == FARE_SB_EMBED && req->api != FARE_SB_EMBEDDING)
		fare_sb_error_set(error, 404, "", "model", "This is not a chat or completion model.");
	else if (conn->model.kind == FARE_SB_PLAIN && req->api == FARE_SB_EMBEDDING)
		fare_sb_error_set(error, 403, "", "model", "You are not allowed to generate embeddings from this model.");
	switch (conn->model.kind) {
	case FARE_SB_CUT_AFTER: case FARE_SB_TICK: case FARE_SB_FULL: case FARE_SB_STREAMERROR: case FARE_SB_BIG:
		req->has_tool_call = false; /* these are about an amount of text */
		break;
	default:
		break;
	}
	text = fare_sb_text_plan(conn);
	if (req->api != FARE_SB_EMBEDDING && text.bytes > FARE_SB_TEXT_MAX / (uint64_t)req->choices)
		fare_sb_error_set(error, 400, "invalid_value", "max_tokens", "The answer would be too large for the sandbox.");
}

static void post_serve(struct fare_sb_conn *conn, enum fare_sb_api api)
{
	size_t n = evbuffer_get_length(conn->body);
	struct fare_sb_error error = {0};
	const char *text;

	conn->posts++;
	conn->call = fare_sb_record_open(conn->sb->record, conn->head.call_id[0] ? conn->head.call_id : NULL);
	if (!conn->call) {
		fare_sb_conn_drop(conn, FARE_SB_ERROR);
		return;
	}
	conn->sb->live++;
	conn->call->deliveries++;
	head_check(&conn->head, &error);
	text = n ? (const char *)evbuffer_pullup(conn->body, -1) : "";
	if (!error.status)
		fare_sb_request_read(&conn->req, api, text, n, &error);
	evbuffer_drain(conn->body, n);
	if (!error.status)
		model_check(conn, &error);
	if (error.status) {
		fare_sb_reply_error(conn, &error, FARE_SB_REJECTED);
		return;
	}
	memcpy(conn->call->model, conn->req.model, sizeof conn->call->model);
	fare_sb_fault_answer(conn);
}

static const char *rest_of(const char *target, const char *prefix)
{
	return strncmp(target, prefix, strlen(prefix)) ? NULL : target + strlen(prefix);
}

static void models_get(const char *rest, struct evbuffer *out, struct fare_sb_error *error)
{
	if (!*rest)
		fare_sb_models_list(out);
	else if (*rest == '/' && fare_sb_model_parse(rest + 1).kind != FARE_SB_UNKNOWN)
		fare_sb_models_show(rest + 1, out);
	else
		fare_sb_error_set(error, 404, "model_not_found", "model", "The model does not exist.");
}

static void get_serve(struct fare_sb_conn *conn, struct evbuffer *out)
{
	const char *target = conn->head.target, *rest, *type = "application/json";
	struct fare_sb_error error = {0};

	if (!strcmp(target, "/healthz")) {
		evbuffer_add_printf(out, "{\"status\":\"ok\"}\n");
	} else if (!strcmp(target, "/sandbox/live")) {
		evbuffer_add_printf(out, "{\"live\":%llu}\n", (unsigned long long)conn->sb->live);
	} else if ((rest = rest_of(target, "/sandbox/calls")) != NULL && (!*rest || rest_of(rest, "?since="))) {
		type = "application/x-ndjson";
		fare_sb_record_list(conn->sb->record, *rest ? strtoull(rest + strlen("?since="), NULL, 10) : 0, out);
	} else if ((rest = rest_of(target, "/v1/models")) != NULL) {
		caller_check(&conn->head, &error);
		if (!error.status)
			models_get(rest, out, &error);
	} else {
		fare_sb_error_set(&error, 404, "unknown_url", "", "Invalid URL.");
	}
	if (error.status)
		fare_sb_reply_error(conn, &error, FARE_SB_REJECTED);
	else
		fare_sb_reply(conn, 200, type, out, FARE_SB_COMPLETE);
}

void fare_sb_request_serve(struct fare_sb_conn *conn)
{
	struct fare_sb_error error = {0};
	struct evbuffer *out;

	for (size_t i = 0; i < FARE_ARRAY_N(posts); i++) {
		if (strcmp(conn->head.target, posts[i].path))
			continue;
		if (!strcmp(conn->head.method, "POST")) {
			post_serve(conn, posts[i].api);
			return;
		}
		fare_sb_error_set(&error, 405, "method_not_supported", "", "Not allowed: this URL takes POST.");
	}
	if (!error.status && strcmp(conn->head.method, "GET"))
		fare_sb_error_set(&error, 404, "unknown_url", "", "Invalid URL.");
	out = error.status ? NULL : evbuffer_new();
	if (out) {
		get_serve(conn, out);
		evbuffer_free(out);
		return;
	}
	fare_sb_error_set(&error, 500, "", "", "The sandbox has no memory left.");
	fare_sb_reply_error(conn, &error, FARE_SB_REJECTED);
}
