/* Answers in one piece: chat completions and completions as JSON. */
#include "base/first.h"

#include <time.h>

#include <event2/buffer.h>

#include "sandbox.h"

static void message_add(const struct fare_sb_conn *conn, int64_t choice, uint64_t bytes, struct evbuffer *out)
{
	const struct fare_sb_request *req = &conn->req;

	evbuffer_add_printf(out, "{\"index\":%lld,\"message\":{\"role\":\"assistant\",\"content\":", (long long)choice);
	if (req->has_tool_call) {
		evbuffer_add_printf(out,
			"null,\"tool_calls\":[{\"id\":\"call_sandbox%llx_%lld\",\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":\"",
			(unsigned long long)conn->serial, (long long)choice, req->tool_name);
		fare_sb_arguments_add(req, 0, bytes, out);
		evbuffer_add_printf(out, "\"}}]");
	} else {
		evbuffer_add(out, "\"", 1);
		fare_sb_text_add(req, choice, 0, bytes, out);
		evbuffer_add(out, "\"", 1);
	}
	evbuffer_add_printf(out, ",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,");
}

static void completion_add(const struct fare_sb_conn *conn, int64_t choice, uint64_t bytes, struct evbuffer *out)
{
	evbuffer_add_printf(out, "{\"text\":\"");
	fare_sb_text_add(&conn->req, choice, 0, bytes, out);
	evbuffer_add_printf(out, "\",\"index\":%lld,\"logprobs\":null,", (long long)choice);
}

void fare_sb_chat_body(const struct fare_sb_conn *conn, struct evbuffer *out)
{
	const struct fare_sb_request *req = &conn->req;
	struct fare_sb_text text = fare_sb_text_plan(conn);
	bool is_chat = req->api == FARE_SB_CHAT;

	evbuffer_add_printf(out, "{\"id\":\"");
	fare_sb_id_add(conn, out);
	evbuffer_add_printf(out, "\",\"object\":\"%s\",\"created\":%lld,\"model\":\"%s\",\"choices\":[",
		is_chat ? "chat.completion" : "text_completion", (long long)time(NULL), req->model);
	for (int64_t i = 0; i < req->choices; i++) {
		if (i)
			evbuffer_add(out, ",", 1);
		(is_chat ? message_add : completion_add)(conn, i, text.bytes, out);
		evbuffer_add_printf(out, "\"finish_reason\":\"%s\"}", text.finish_reason);
	}
	evbuffer_add(out, "]", 1);
	fare_sb_usage_add(conn, fare_sb_output_tokens(conn), out);
	evbuffer_add_printf(out, "%s,\"system_fingerprint\":\"fp_sandbox\"}\n", is_chat ? ",\"service_tier\":\"default\"" : "");
}

void fare_sb_chat_answer(struct fare_sb_conn *conn)
{
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		fare_sb_conn_drop(conn, FARE_SB_ERROR);
		return;
	}
	fare_sb_chat_body(conn, body);
	conn->call->output_tokens += fare_sb_output_tokens(conn);
	fare_sb_reply(conn, 200, "application/json", body, FARE_SB_COMPLETE);
	evbuffer_free(body);
}

void fare_sb_answer(struct fare_sb_conn *conn)
{
	fare_sb_conn_input_add(conn);
	if (conn->req.api == FARE_SB_EMBEDDING)
		fare_sb_embed_answer(conn);
	else if (conn->req.stream)
		fare_sb_stream_answer(conn);
	else
		fare_sb_chat_answer(conn);
}
