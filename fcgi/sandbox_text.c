/* The text of answers: how long it is, its bytes, and what it costs in tokens. Every token is four bytes, so that what is
 * counted is exact: pieces of the user's own text, said again and again. */
#include "base/first.h"

#include <string.h>

#include <event2/buffer.h>

#include "sandbox.h"

enum { FULL_TOKENS = 4096, BEYOND_FAULT_TOKENS = 8 };

uint64_t fare_sb_tokens(uint64_t bytes)
{
	return (bytes + FARE_SB_TOKEN_BYTES - 1) / FARE_SB_TOKEN_BYTES;
}

uint64_t fare_sb_tool_name_tokens(const struct fare_sb_request *req)
{
	uint64_t tokens = fare_sb_tokens(strlen(req->tool_name));

	if (!req->has_tool_call)
		return 0;
	return req->max_tokens && tokens > (uint64_t)req->max_tokens ? (uint64_t)req->max_tokens : tokens;
}

static uint64_t natural_bytes(const struct fare_sb_conn *conn)
{
	const struct fare_sb_request *req = &conn->req;
	int64_t tokens = req->words ? req->words : FARE_SB_NATURAL_TOKENS;

	if (req->has_tool_call)
		return req->tool_arguments_n;
	switch (conn->model.kind) {
	case FARE_SB_BIG: return (uint64_t)conn->model.a;
	case FARE_SB_TICK: tokens = conn->model.b; break;
	case FARE_SB_CUT_AFTER: case FARE_SB_STREAMERROR: tokens = conn->model.a + BEYOND_FAULT_TOKENS; break;
	case FARE_SB_FULL: tokens = req->max_tokens ? req->max_tokens : FULL_TOKENS; break;
	default: break;
	}
	return (uint64_t)tokens * FARE_SB_TOKEN_BYTES;
}

struct fare_sb_text fare_sb_text_plan(const struct fare_sb_conn *conn)
{
	const struct fare_sb_request *req = &conn->req;
	struct fare_sb_text text = {natural_bytes(conn), req->has_tool_call ? "tool_calls" : "stop"};
	uint64_t room = (uint64_t)req->max_tokens - fare_sb_tool_name_tokens(req);

	if (req->max_tokens && fare_sb_tokens(text.bytes) > room) {
		text.bytes = room * FARE_SB_TOKEN_BYTES;
		text.finish_reason = "length";
	}
	if (req->max_tokens && conn->model.kind == FARE_SB_FULL)
		text.finish_reason = "length";
	return text;
}

uint64_t fare_sb_output_tokens(const struct fare_sb_conn *conn)
{
	uint64_t each = fare_sb_tokens(fare_sb_text_plan(conn).bytes) + fare_sb_tool_name_tokens(&conn->req);

	return conn->req.api == FARE_SB_EMBEDDING ? 0 : each * (uint64_t)conn->req.choices;
}

/* Choices begin at different tokens of the echo, so that a mix-up of choices shows. */
void fare_sb_text_add(const struct fare_sb_request *req, int64_t choice, uint64_t at, uint64_t n, struct evbuffer *out)
{
	at += (uint64_t)choice * FARE_SB_TOKEN_BYTES;
	while (n) {
		size_t from = (size_t)(at % req->seed_n), part = req->seed_n - from;

		if (part > n)
			part = (size_t)n;
		evbuffer_add(out, req->seed + from, part);
		at += part;
		n -= part;
	}
}

void fare_sb_arguments_add(const struct fare_sb_request *req, uint64_t at, uint64_t n, struct evbuffer *out)
{
	for (; n; n--, at++) {
		char c = req->tool_arguments[at];

		if (c == '"' || c == '\\')
			evbuffer_add(out, "\\", 1);
		evbuffer_add(out, &c, 1);
	}
}

void fare_sb_usage_add(const struct fare_sb_conn *conn, uint64_t output_tokens, struct evbuffer *out)
{
	int64_t in = (int64_t)fare_sb_request_input_tokens(&conn->req), more = (int64_t)output_tokens;

	if (conn->model.kind == FARE_SB_NOUSAGE)
		return;
	if (conn->model.kind == FARE_SB_NEGATIVE) {
		in = -in - 1;
		more = -more - 1;
	}
	if (conn->model.kind == FARE_SB_HUGE)
		in = more = INT64_C(1000000000000000);
	evbuffer_add_printf(out, ",\"usage\":{\"prompt_tokens\":%lld,", (long long)in);
	if (conn->req.api != FARE_SB_EMBEDDING)
		evbuffer_add_printf(out, "\"completion_tokens\":%lld,", (long long)more);
	evbuffer_add_printf(out, "\"total_tokens\":%lld", (long long)(in + more));
	if (conn->req.api == FARE_SB_CHAT)
		evbuffer_add_printf(out,
			",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":"
			"{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}");
	evbuffer_add(out, "}", 1);
}

void fare_sb_id_add(const struct fare_sb_conn *conn, struct evbuffer *out)
{
	evbuffer_add_printf(out, "%s-sandbox%016llx", conn->req.api == FARE_SB_CHAT ? "chatcmpl" : "cmpl",
		(unsigned long long)conn->serial);
}
