/* Heads of answers, in CGI's form. */
#include "base/first.h"

#include "flow/call.h"

static const char *reason(int status)
{
	static const struct { int status; const char *text; } reasons[] = {
		{200, "OK"}, {400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"},
		{422, "Unprocessable Content"}, {429, "Too Many Requests"}, {500, "Internal Server Error"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Gateway Timeout"},
	};
	for (size_t i = 0; i < FARE_ARRAY_N(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Upstream Status";
}

void fare_head_begin(struct fare_call *c, int status, struct fare_buf *out)
{
	c->answered = status;
	fare_buf_addf(out, "Status: %d %s\r\nFarebox-Call-Id: %s\r\nx-request-id: %s\r\n", status, reason(status), c->id_text, c->id_text);
}

void fare_head_refusal(struct fare_call *c, struct fare_buf *out)
{
	struct fare_buf body;
	fare_buf_init(&body, 64 * 1024);
	fare_refusal_body(&c->refusal, c->id, &body);
	fare_head_begin(c, fare_code_status(c->refusal.code), out);
	fare_buf_add_str(out, "Content-Type: application/json\r\n");
	fare_refusal_headers(&c->refusal, out);
	fare_buf_addf(out, "Content-Length: %zu\r\n\r\n", body.n);
	fare_buf_add_span(out, fare_buf_span(&body));
	fare_buf_release(&body);
}

/* Said by us, not by the upstream. */
static bool is_ours(struct fare_span name)
{
	static const char *const names[] = {"content-length", "x-request-id", "cache-control"};
	for (size_t i = 0; i < FARE_ARRAY_N(names); i++)
		if (fare_span_is_nocase(name, names[i]))
			return true;
	return name.n > 8 && fare_span_is_nocase(fare_span_at(name.p, 8), "farebox-");
}

void fare_head_upstream(struct fare_call *c)
{
	struct fare_span name, value;
	fare_head_begin(c, c->status, &c->head);
	for (size_t i = 0; fare_transfer_header_at(c->transfer, i, &name, &value); i++) {
		if (is_ours(name) || !fare_http_header_passes(name, value) || c->head.n + name.n + value.n > FARE_HEAD_PASS_MAX)
			continue;
		fare_buf_add_span(&c->head, name);
		fare_buf_add_str(&c->head, ": ");
		fare_buf_add_span(&c->head, value);
		fare_buf_add_str(&c->head, "\r\n");
	}
	if (fare_transfer_header(c->transfer, "content-type").n == 0)
		fare_buf_add_str(&c->head, "Content-Type: application/json\r\n");
	fare_buf_add_str(&c->head, c->event_stream ? "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n" : "Cache-Control: no-store\r\n");
	if (c->bound_lowered && c->grant.bound > 0)
		fare_buf_addf(&c->head, "Farebox-Max-Tokens: %lld\r\n", (long long)c->grant.bound);
}

void fare_head_seal(struct fare_call *c)
{
	fare_keep_head(c);
	if (c->over && !c->event_stream) { /* the whole answer is in hand */
		char cost[FARE_AMOUNT_TEXT_N];
		fare_amount_text(c->cost, cost);
		fare_buf_addf(&c->head, "Farebox-Cost: %s\r\nContent-Length: %zu\r\n", cost, c->out.n);
	}
	fare_buf_add_str(&c->head, "\r\n");
	fare_buf_add_span(&c->head, fare_buf_span(&c->out));
	struct fare_buf first = c->head;
	c->head = c->out;
	c->out = first;
	fare_buf_release(&c->head);
	c->head_out = true;
}
