/* Answers as a stream of server-sent events, a token each. What is written is counted as it is written, and no more is
 * written while the peer has not taken the last piece. */
#include "base/first.h"

#include <time.h>

#include <event2/buffer.h>

#include "sandbox.h"

enum { PIECE_BYTES = 8192, BIG_CHUNK_BYTES = 1024 };
enum step { OPENING, CONTENT, FINISH, USAGE, DONE };
enum result { MORE, PAUSE, END };

/* An event as a chunk of the chunked coding (as it is, for HTTP/1.0). */
static void event_add(const struct fare_sb_conn *conn, struct evbuffer *event, struct evbuffer *out)
{
	if (!conn->head.http10)
		evbuffer_add_printf(out, "%zx\r\n", evbuffer_get_length(event));
	evbuffer_add_buffer(out, event);
	if (!conn->head.http10)
		evbuffer_add(out, "\r\n", 2);
}

static void chunk_begin(const struct fare_sb_conn *conn, struct evbuffer *event)
{
	bool is_chat = conn->req.api == FARE_SB_CHAT;

	evbuffer_add_printf(event, "data: {\"id\":\"");
	fare_sb_id_add(conn, event);
	evbuffer_add_printf(event, "\",\"object\":\"%s\",\"created\":%lld,\"model\":\"%s\",%s\"system_fingerprint\":\"fp_sandbox\",\"choices\":[",
		is_chat ? "chat.completion.chunk" : "text_completion", (long long)time(NULL), conn->req.model,
		is_chat ? "\"service_tier\":\"default\"," : "");
}

/* After the choices. Who asked for usage sees it in every chunk, null but for the last. */
static void chunk_end(const struct fare_sb_conn *conn, struct evbuffer *event)
{
	evbuffer_add_printf(event, "]%s}\n\n", conn->req.include_usage ? ",\"usage\":null" : "");
}

static void choice_end(const struct fare_sb_conn *conn, const char *finish_reason, struct evbuffer *event)
{
	const char *quote = finish_reason ? "\"" : "";

	evbuffer_add_printf(event, ",\"logprobs\":null,\"finish_reason\":%s%s%s}", quote, finish_reason ? finish_reason : "null", quote);
	chunk_end(conn, event);
}

static void opening_add(struct fare_sb_conn *conn, struct evbuffer *event)
{
	const struct fare_sb_request *req = &conn->req;
	long long choice = conn->stream.choice;

	chunk_begin(conn, event);
	evbuffer_add_printf(event, "{\"index\":%lld,\"delta\":{\"role\":\"assistant\",\"content\":%s", choice,
		req->has_tool_call ? "null" : "\"\"");
	if (req->has_tool_call)
		evbuffer_add_printf(event,
			",\"tool_calls\":[{\"index\":0,\"id\":\"call_sandbox%llx_%lld\",\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":\"\"}}]",
			(unsigned long long)conn->serial, choice, req->tool_name);
	evbuffer_add_printf(event, ",\"refusal\":null}");
	choice_end(conn, NULL, event);
	conn->call->output_tokens += fare_sb_tool_name_tokens(req);
}

static void content_add(struct fare_sb_conn *conn, uint64_t n, struct evbuffer *event)
{
	const struct fare_sb_request *req = &conn->req;
	const struct fare_sb_stream *s = &conn->stream;

	chunk_begin(conn, event);
	if (req->api == FARE_SB_COMPLETION) {
		evbuffer_add_printf(event, "{\"text\":\"");
		fare_sb_text_add(req, s->choice, s->at, n, event);
		evbuffer_add_printf(event, "\",\"index\":%lld", (long long)s->choice);
	} else {
		evbuffer_add_printf(event, "{\"index\":%lld,\"delta\":{%s", (long long)s->choice,
			req->has_tool_call ? "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"" : "\"content\":\"");
		if (req->has_tool_call)
			fare_sb_arguments_add(req, s->at, n, event);
		else
			fare_sb_text_add(req, s->choice, s->at, n, event);
		evbuffer_add_printf(event, req->has_tool_call ? "\"}}]}" : "\"}");
	}
	choice_end(conn, NULL, event);
	conn->call->output_tokens += fare_sb_tokens(n);
}

static void finish_add(struct fare_sb_conn *conn, const char *finish_reason, struct evbuffer *event)
{
	chunk_begin(conn, event);
	if (conn->req.api == FARE_SB_COMPLETION)
		evbuffer_add_printf(event, "{\"text\":\"\",\"index\":%lld", (long long)conn->stream.choice);
	else
		evbuffer_add_printf(event, "{\"index\":%lld,\"delta\":{}", (long long)conn->stream.choice);
	choice_end(conn, finish_reason, event);
}

/* Moves to the next choice; true when all had their turn. */
static bool choice_next(struct fare_sb_conn *conn)
{
	conn->stream.choice = (conn->stream.choice + 1) % conn->req.choices;
	return !conn->stream.choice;
}

static void stream_cut(struct fare_sb_conn *conn)
{
	fare_sb_conn_drop(conn, FARE_SB_CUT);
}

/* The fault that this model has instead of more content; false: none, or not yet. */
static bool fault_add(struct fare_sb_conn *conn, bool is_end, struct evbuffer *event, struct evbuffer *out)
{
	if (conn->stream.chunks < conn->model.a && !is_end)
		return false;
	if (conn->model.kind == FARE_SB_STREAMERROR) {
		struct fare_sb_error error = {0};

		fare_sb_error_provider(&error, 500);
		evbuffer_add(event, "data: ", 6);
		fare_sb_error_json(&error, event);
		evbuffer_add(event, "\n", 1);
		event_add(conn, event, out);
		if (!conn->head.http10)
			evbuffer_add(out, "0\r\n\r\n", 5);
		return true;
	}
	if (conn->model.kind != FARE_SB_CUT_AFTER)
		return false;
	chunk_begin(conn, event);
	if (!conn->head.http10)
		evbuffer_add_printf(out, "%zx\r\n", evbuffer_get_length(event) + 64); /* promises more than comes */
	evbuffer_add_buffer(out, event);
	return true;
}

static enum result content_step(struct fare_sb_conn *conn, uint64_t bytes, struct evbuffer *event, struct evbuffer *out)
{
	struct fare_sb_stream *s = &conn->stream;
	uint64_t n = conn->model.kind == FARE_SB_BIG ? BIG_CHUNK_BYTES : FARE_SB_TOKEN_BYTES;

	if (fault_add(conn, s->at >= bytes, event, out))
		return END;
	if (s->at >= bytes) {
		s->step = FINISH;
		return MORE;
	}
	if (n > bytes - s->at)
		n = bytes - s->at;
	content_add(conn, n, event);
	event_add(conn, event, out);
	s->chunks++;
	if (choice_next(conn))
		s->at += n;
	return conn->model.kind == FARE_SB_TICK && s->at < bytes ? PAUSE : MORE;
}

static void usage_step(struct fare_sb_conn *conn, struct evbuffer *event, struct evbuffer *out)
{
	conn->stream.step = DONE;
	if (!conn->req.include_usage || conn->model.kind == FARE_SB_NOUSAGE)
		return;
	chunk_begin(conn, event);
	evbuffer_add(event, "]", 1);
	fare_sb_usage_add(conn, fare_sb_output_tokens(conn), event);
	evbuffer_add(event, "}\n\n", 3);
	event_add(conn, event, out);
}

static enum result stream_step(struct fare_sb_conn *conn, struct evbuffer *event, struct evbuffer *out)
{
	struct fare_sb_text text = fare_sb_text_plan(conn);

	switch ((enum step)conn->stream.step) {
	case OPENING:
		if (conn->req.api == FARE_SB_CHAT) {
			opening_add(conn, event);
			event_add(conn, event, out);
		}
		if (conn->req.api == FARE_SB_CHAT && !choice_next(conn))
			return MORE;
		conn->stream.step = CONTENT;
		return conn->model.kind == FARE_SB_TICK ? PAUSE : MORE;
	case CONTENT:
		return content_step(conn, text.bytes, event, out);
	case FINISH:
		finish_add(conn, text.finish_reason, event);
		event_add(conn, event, out);
		if (choice_next(conn))
			conn->stream.step = USAGE;
		return MORE;
	case USAGE:
		usage_step(conn, event, out);
		return MORE;
	case DONE:
		evbuffer_add_printf(event, "data: [DONE]\n\n");
		event_add(conn, event, out);
		if (!conn->head.http10)
			evbuffer_add(out, "0\r\n\r\n", 5);
		break;
	}
	return END;
}

/* Writes a piece, and says what is to follow when it is out. */
static void stream_go(struct fare_sb_conn *conn)
{
	struct evbuffer *event = evbuffer_new(), *out = evbuffer_new();
	enum result result = MORE;

	if (!event || !out) {
		fare_sb_conn_drop(conn, FARE_SB_ERROR);
		conn = NULL;
	}
	while (conn && result == MORE && evbuffer_get_length(out) < PIECE_BYTES)
		result = stream_step(conn, event, out);
	if (conn)
		fare_sb_conn_write(conn, out, result == MORE ? stream_go : NULL);
	if (conn && result == PAUSE)
		fare_sb_conn_wait(conn, conn->model.a, stream_go);
	if (conn && result == END && conn->model.kind == FARE_SB_CUT_AFTER)
		fare_sb_conn_write(conn, out, stream_cut);
	else if (conn && result == END)
		fare_sb_conn_finish(conn, conn->model.kind == FARE_SB_STREAMERROR ? FARE_SB_ERROR : FARE_SB_COMPLETE);
	if (event)
		evbuffer_free(event);
	if (out)
		evbuffer_free(out);
}

void fare_sb_stream_answer(struct fare_sb_conn *conn)
{
	fare_sb_reply_head(conn, 200, "text/event-stream; charset=utf-8", -1, "Cache-Control: no-cache\r\n");
	stream_go(conn);
}
