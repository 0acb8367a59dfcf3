/* Improper answers, by the model's name; a proper one where the name asks for none of them. */
#include "base/first.h"

#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "sandbox.h"

void fare_sb_error_provider(struct fare_sb_error *error, int status)
{
	static const struct { int status; const char *code, *message; } list[] = {
		{401, "invalid_api_key", "Incorrect API key provided."},
		{402, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."},
		{403, "unsupported_country_region_territory", "The sandbox may not be used from where you are."},
		{404, "model_not_found", "The model does not exist or you do not have access to it."},
		{429, "rate_limit_exceeded", "Rate limit reached for requests."},
	};

	for (size_t i = 0; i < FARE_ARRAY_N(list); i++)
		if (list[i].status == status)
			fare_sb_error_set(error, status, list[i].code, "", list[i].message);
	fare_sb_error_set(error, status, status < 500 ? "sandbox_error" : "", "",
		status < 500 ? "The sandbox refuses this request, as its model's name asks for." :
		"The server had an error while processing your request. Sorry about that!");
}

static void string_add(const char *text, struct evbuffer *out)
{
	evbuffer_add(out, "\"", 1);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			evbuffer_add(out, "\\", 1);
		if (c < 0x20 || c >= 0x7f)
			evbuffer_add_printf(out, "\\u%04x", c < 0x80 ? c : 0xfffd); /* a field's name may be cut anywhere */
		else
			evbuffer_add(out, text, 1);
	}
	evbuffer_add(out, "\"", 1);
}

void fare_sb_error_json(const struct fare_sb_error *error, struct evbuffer *out)
{
	const char *type = "invalid_request_error";

	if (error->status == 402)
		type = "insufficient_quota";
	else if (error->status == 429)
		type = "requests";
	else if (error->status >= 500)
		type = "server_error";
	evbuffer_add_printf(out, "{\"error\":{\"message\":");
	string_add(error->message, out);
	evbuffer_add_printf(out, ",\"type\":\"%s\",\"param\":", type);
	if (error->param[0])
		string_add(error->param, out);
	else
		evbuffer_add_printf(out, "null");
	evbuffer_add_printf(out, ",\"code\":");
	if (error->code[0])
		string_add(error->code, out);
	else
		evbuffer_add_printf(out, "null");
	evbuffer_add_printf(out, "}}\n");
}

static void status_answer(struct fare_sb_conn *conn)
{
	struct fare_sb_error error = {0};

	fare_sb_error_provider(&error, (int)conn->model.a);
	fare_sb_reply_error(conn, &error, FARE_SB_ERROR);
}

static void drop_after_fault(struct fare_sb_conn *conn)
{
	fare_sb_conn_drop(conn, FARE_SB_ERROR);
}

static void drop_after_cut(struct fare_sb_conn *conn)
{
	fare_sb_conn_drop(conn, FARE_SB_CUT);
}

static void garbage_answer(struct fare_sb_conn *conn)
{
	static const char bytes[] = "\x16\x03\x01\x00\xff\xfe not HTTP \x00\x80\r\n\r\n: :\r\n 200 OK\r\n";

	conn->on_drained = drop_after_fault;
	bufferevent_write(conn->bev, bytes, sizeof bytes - 1);
}

/* Something was served, so its input counts, and what came for an answer is its output. */
static void badjson_answer(struct fare_sb_conn *conn)
{
	static const char bytes[] = "{\"id\":\"chatcmpl-sandbox\",\"choices\":[{\"message\":{\"content\":\"not clo\n";

	fare_sb_conn_input_add(conn);
	conn->call->output_tokens += fare_sb_tokens(sizeof bytes - 1);
	fare_sb_reply_head(conn, 200, "application/json", (int64_t)sizeof bytes - 1, "");
	bufferevent_write(conn->bev, bytes, sizeof bytes - 1);
	fare_sb_conn_finish(conn, FARE_SB_ERROR);
}

/* A header line after the other, as long as the peer takes them. */
static void headers_go(struct fare_sb_conn *conn)
{
	struct evbuffer *out = bufferevent_get_output(conn->bev);

	for (int i = 0; i < 200; i++)
		evbuffer_add_printf(out, "X-Sandbox-%lld: and so on and so on and so on and so on and so on\r\n", (long long)conn->stream.chunks++);
	conn->on_drained = headers_go;
}

static void headers_answer(struct fare_sb_conn *conn)
{
	evbuffer_add_printf(bufferevent_get_output(conn->bev), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
	headers_go(conn);
}

/* Bytes of answer text within the first bytes of a JSON answer. The text has no quotes, so a quote ends it. */
static uint64_t text_within(const char *body, size_t n)
{
	static const char *const marks[] = {"\"content\":\"", "{\"text\":\""};
	uint64_t tokens = 0;

	for (size_t k = 0; k < FARE_ARRAY_N(marks); k++) {
		size_t mark_n = strlen(marks[k]);

		for (size_t i = 0; i + mark_n < n; i++) {
			const char *text = body + i + mark_n, *end;

			if (memcmp(body + i, marks[k], mark_n))
				continue;
			end = memchr(text, '"', n - i - mark_n);
			tokens += fare_sb_tokens(end ? (uint64_t)(end - text) : (uint64_t)(n - i - mark_n));
		}
	}
	return tokens;
}

/* Announces the whole body, sends the beginning. */
static void cut_answer(struct fare_sb_conn *conn)
{
	struct evbuffer *body = evbuffer_new();
	size_t n, cut = (size_t)conn->model.a;

	if (!body) {
		fare_sb_conn_drop(conn, FARE_SB_ERROR);
		return;
	}
	fare_sb_conn_input_add(conn);
	fare_sb_chat_body(conn, body);
	n = evbuffer_get_length(body);
	if (cut >= n)
		cut = n - 1;
	fare_sb_reply_head(conn, 200, "application/json", (int64_t)n, "");
	conn->call->output_tokens += text_within((const char *)evbuffer_pullup(body, -1), cut);
	conn->on_drained = drop_after_cut;
	evbuffer_remove_buffer(body, bufferevent_get_output(conn->bev), cut);
	evbuffer_free(body);
}

void fare_sb_fault_answer(struct fare_sb_conn *conn)
{
	bool is_stream = conn->req.stream, is_text = conn->req.api != FARE_SB_EMBEDDING;

	switch (conn->model.kind) {
	case FARE_SB_STATUS:
		status_answer(conn);
		return;
	case FARE_SB_SLOW:
		fare_sb_conn_wait(conn, conn->model.a, fare_sb_answer);
		return;
	case FARE_SB_GARBAGE:
		garbage_answer(conn);
		return;
	case FARE_SB_BADJSON:
		badjson_answer(conn);
		return;
	case FARE_SB_RST:
		fare_sb_conn_reset(conn, FARE_SB_RESET);
		return;
	case FARE_SB_HEADERS:
		headers_answer(conn);
		return;
	case FARE_SB_CLOSE_REUSE:
		if (conn->posts > 1) {
			fare_sb_conn_drop(conn, FARE_SB_CUT);
			return;
		}
		break;
	case FARE_SB_CUT_AFTER:
		if (!is_stream && is_text) {
			cut_answer(conn);
			return;
		}
		break;
	case FARE_SB_STREAMERROR:
		if (!is_stream) {
			conn->model.a = 500;
			status_answer(conn);
			return;
		}
		break;
	case FARE_SB_TICK:
		if (!is_stream) {
			fare_sb_conn_wait(conn, conn->model.a * conn->model.b, fare_sb_answer);
			return;
		}
		break;
	default:
		break;
	}
	fare_sb_answer(conn);
}
