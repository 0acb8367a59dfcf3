/* Refusals: the table of codes, and the bodies and headers made of them. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>

#include "wire/refusal.h"

enum { LINK_MAX = 2048 };

struct code {
	const char *word, *cause;
	int status;
	unsigned retry_after_s; /* 0: no such header */
	const char *what, *fix; /* the refusal's detail stands between the two */
};

#define FIX_KEY "Send a farebox key as \"Authorization: Bearer fb_...\"."
#define FIX_LATER "Try again after the time in Retry-After."
#define FIX_REPEAT "Send the call again; if it goes on, tell the operator the call's id."

static const struct code codes[FARE_CODE_N] = {
	[FARE_CODE_KEY_MISSING] = {"key_missing", "credentials", 401, 0, "The request carries no key.", FIX_KEY},
	[FARE_CODE_KEY_UNKNOWN] = {"key_unknown", "credentials", 401, 0, "The request's key is not known here.", "Check that it was copied whole; a new one comes from the operator (farebox key create)."},
	[FARE_CODE_KEY_EXPIRED] = {"key_expired", "credentials", 401, 0, "The request's key has expired.", "Ask the operator for a new key, or for a later end (farebox key set)."},
	[FARE_CODE_KEY_REVOKED] = {"key_revoked", "credentials", 401, 0, "The request's key was revoked.", "Ask the operator for a new key."},
	[FARE_CODE_BALANCE_TOO_LOW] = {"balance_too_low", "payment", 402, 0, "The account's balance does not cover this call.", NULL},
	[FARE_CODE_BUDGET_REACHED] = {"budget_reached", "payment", 402, 0, "The key's budget for this period is used up.", "Wait for the next period, or ask the operator to raise the budget."},
	[FARE_CODE_PAYMENT_REQUIRED] = {"payment_required", "payment", 402, 0, "This call has to be paid for.", NULL},
	[FARE_CODE_MODEL_NOT_ALLOWED] = {"model_not_allowed", "configuration", 403, 0, "The key may not use this model.", "Use a model that GET /v1/models lists, or ask the operator to allow it for the key."},
	[FARE_CODE_IP_NOT_ALLOWED] = {"ip_not_allowed", "credentials", 403, 0, "The key may not be used from this address.", "Call from an address the key allows, or ask the operator to add this one."},
	[FARE_CODE_NOT_SUBSCRIBED] = {"not_subscribed", "configuration", 403, 0, "The account has no subscription to this service.", "Ask the operator to subscribe it."},
	[FARE_CODE_ACCOUNT_CLOSED] = {"account_closed", "configuration", 403, 0, "The account of this key is closed.", "Ask the operator to reopen it (farebox account reopen)."},
	[FARE_CODE_ROUTE_UNKNOWN] = {"route_unknown", "configuration", 404, 0, "There is no such endpoint here.", "Known are POST /v1/chat/completions, /v1/completions, /v1/embeddings and GET /v1/models; SDKs take a base URL that ends in /v1."},
	[FARE_CODE_MODEL_UNKNOWN] = {"model_unknown", "configuration", 404, 0, "There is no model of that name here.", "GET /v1/models lists the models there are."},
	[FARE_CODE_MODEL_NOT_PRICED] = {"model_not_priced", "configuration", 404, 0, "The model has no price, so nothing can be charged for it.", "Ask the operator to price it (farebox model add)."},
	[FARE_CODE_METHOD_NOT_ALLOWED] = {"method_not_allowed", "", 405, 0, "This endpoint does not take that method.", "Use a method named in Allow."},
	[FARE_CODE_SERVICE_RETIRED] = {"service_retired", "configuration", 410, 0, "This service is no longer offered.", "Ask the operator what replaces it."},
	[FARE_CODE_IDEMPOTENCY_IN_FLIGHT] = {"idempotency_in_flight", "", 409, 1, "A call with this Idempotency-Key is still running.", "Ask again when it has ended."},
	[FARE_CODE_IDEMPOTENCY_SPENT] = {"idempotency_spent", "", 409, 0, "A call with this Idempotency-Key was charged, and its answer is not kept.", "Send a new Idempotency-Key to make (and pay for) a new call."},
	[FARE_CODE_IDEMPOTENCY_MISMATCH] = {"idempotency_mismatch", "", 422, 0, "This Idempotency-Key was used with another body.", "Send the same body again, or a new Idempotency-Key."},
	[FARE_CODE_BAD_JSON] = {"bad_json", "", 400, 0, "The body is not valid JSON.", "Send one JSON object (RFC 8259) in UTF-8, with no member named twice."},
	[FARE_CODE_BAD_REQUEST] = {"bad_request", "", 400, 0, "The request is not valid.", "Correct it and send it again; nothing was charged."},
	[FARE_CODE_FIELD_NOT_PRICED] = {"field_not_priced", "configuration", 400, 0, "The request asks for something that has no price here.", "Leave the field out; nothing was charged."},
	[FARE_CODE_BODY_TIMEOUT] = {"body_timeout", "", 408, 0, "The request's body came too slowly.", "Send it again over a faster connection."},
	[FARE_CODE_BODY_TOO_LARGE] = {"body_too_large", "", 413, 0, "The request's body is too large.", "Send less at once, or ask the operator to raise body_limit_bytes."},
	[FARE_CODE_ENCODING_UNSUPPORTED] = {"encoding_unsupported", "", 415, 0, "The body comes in a form that is not read here.", "Send plain JSON with \"Content-Type: application/json\" and no Content-Encoding."},
	[FARE_CODE_RATE_LIMITED] = {"rate_limited", "limits", 429, 1, "Too many calls in too short a time.", FIX_LATER},
	[FARE_CODE_TOKENS_LIMITED] = {"tokens_limited", "limits", 429, 1, "Too many tokens in too short a time.", FIX_LATER},
	[FARE_CODE_TOO_MANY_AT_ONCE] = {"too_many_at_once", "limits", 429, 1, "Too many calls of this key are running.", "Send it again when one of them has ended."},
	[FARE_CODE_UPSTREAM_FAILED] = {"upstream_failed", "", 502, 0, "The provider did not give a usable answer.", FIX_REPEAT},
	[FARE_CODE_UPSTREAM_UNPAID] = {"upstream_unpaid", "configuration", 502, 0, "The provider refuses the gateway's own account: its credit there is used up.", "Your balance is not the cause; tell the operator the call's id."},
	[FARE_CODE_STORE_UNAVAILABLE] = {"store_unavailable", "configuration", 503, 2, "The gateway cannot reach its books, so it sells nothing.", FIX_LATER},
	[FARE_CODE_OVERLOADED] = {"overloaded", "limits", 503, 1, "The gateway is carrying all the calls it can.", FIX_LATER},
	[FARE_CODE_CALL_UNKNOWN] = {"call_unknown", "", 404, 0, "This key has made no call of that id.", "A call's id is in the header Farebox-Call-Id of its answer; ask with the key that made the call."},
	[FARE_CODE_UPSTREAM_TIMEOUT] = {"upstream_timeout", "", 504, 0, "The provider did not answer in time.", FIX_REPEAT},
};

static const struct code unknown = {"internal", "", 500, 0, "Something went wrong.", FIX_REPEAT};

static const struct code *code_of(enum fare_code code)
{
	return code > FARE_CODE_NONE && code < FARE_CODE_N ? &codes[code] : &unknown;
}

int fare_code_status(enum fare_code code) { return code_of(code)->status; }
const char *fare_code_word(enum fare_code code) { return code_of(code)->word; }
const char *fare_code_cause(enum fare_code code) { return code_of(code)->cause; }

const char *fare_code_type(enum fare_code code)
{
	int status = fare_code_status(code);
	switch (status) {
	case 401: return "authentication_error";
	case 402: return "insufficient_quota";
	case 403: return "permission_error";
	case 429: return "rate_limit_error";
	default: return status >= 500 ? "server_error" : "invalid_request_error";
	}
}

void fare_refusal_set(struct fare_refusal *r, enum fare_code code, const char *param, const char *fmt, ...)
{
	va_list args;
	r->code = code;
	snprintf(r->param, sizeof r->param, "%s", param ? param : "");
	va_start(args, fmt);
	vsnprintf(r->detail, sizeof r->detail, fmt, args);
	va_end(args);
}

static bool has_url(const struct fare_refusal *r) { return r->topup_url && r->topup_url[0]; }

static struct fare_amount shortfall(const struct fare_refusal *r)
{
	struct fare_amount s;
	return fare_amount_sub(r->needed, r->available, &s) && s.nano > 0 ? s : fare_nano(0);
}

void fare_refusal_why(const struct fare_refusal *r, struct fare_buf *out)
{
	char available[FARE_AMOUNT_TEXT_N], needed[FARE_AMOUNT_TEXT_N], missing[FARE_AMOUNT_TEXT_N];
	const char *space = r->currency ? " " : "", *currency = r->currency ? r->currency : "";
	fare_amount_text(r->available, available);
	fare_amount_text(r->needed, needed);
	fare_amount_text(shortfall(r), missing);
	if (r->code == FARE_CODE_BALANCE_TOO_LOW)
		fare_buf_addf(out, "The balance is too low for this call: it needs %s%s%s set aside, %s is available, %s is missing.", needed, space, currency, available, missing);
	else
		fare_buf_add_str(out, code_of(r->code)->what);
	if (r->detail[0])
		fare_buf_addf(out, " %s", r->detail);
}

/* With the balance too low: the two ways out. */
void fare_refusal_fix(const struct fare_refusal *r, struct fare_buf *out)
{
	const struct code *code = code_of(r->code);
	bool balance = r->code == FARE_CODE_BALANCE_TOO_LOW;
	if (code->fix)
		fare_buf_add_str(out, code->fix);
	else if (has_url(r))
		fare_buf_addf(out, "%s at %s", balance ? "Add credit" : "Pay", r->topup_url);
	else
		fare_buf_add_str(out, balance ? "Ask the operator for credit (farebox credit)" : "Ask the operator how to pay");
	if (balance && r->affordable > 0)
		fare_buf_addf(out, ", or ask for at most %llu output tokens (max_tokens)", (unsigned long long)r->affordable);
	if (!code->fix)
		fare_buf_add_char(out, '.');
}

void fare_refusal_message(const struct fare_refusal *r, struct fare_buf *out)
{
	fare_refusal_why(r, out);
	fare_buf_add_char(out, ' ');
	fare_refusal_fix(r, out);
}

enum fare_code fare_code_find(struct fare_span word)
{
	for (int code = FARE_CODE_NONE + 1; code < FARE_CODE_N; code++)
		if (fare_span_is(word, codes[code].word))
			return (enum fare_code)code;
	return FARE_CODE_NONE;
}

static void add_text(struct fare_buf *out, const char *name, const char *value)
{
	fare_buf_addf(out, ", \"%s\": ", name);
	if (value && value[0])
		fare_buf_add_json(out, fare_span_of(value));
	else
		fare_buf_add_str(out, "null");
}

static void add_amount(struct fare_buf *out, const char *name, struct fare_amount a)
{
	char text[FARE_AMOUNT_TEXT_N];
	fare_amount_text(a, text);
	fare_buf_addf(out, ", \"%s\": \"%s\"", name, text);
}

static void add_money(const struct fare_refusal *r, struct fare_buf *out)
{
	char input[FARE_AMOUNT_TEXT_N], output[FARE_AMOUNT_TEXT_N];
	add_amount(out, "available", r->available);
	add_amount(out, "needed", r->needed);
	add_amount(out, "shortfall", shortfall(r));
	fare_amount_text_short(fare_nano(r->price.input), input);
	fare_amount_text_short(fare_nano(r->price.output), output);
	fare_buf_addf(out, ", \"price\": {\"input\": \"%s\", \"output\": \"%s\", \"per\": \"million tokens\"}, \"max_tokens\": ", input, output);
	fare_buf_add_u64(out, r->affordable);
}

static void add_error(const struct fare_refusal *r, struct fare_id call_id, struct fare_span message, struct fare_buf *out)
{
	char id[FARE_ID_TEXT_N];
	fare_buf_add_str(out, "{\"message\": ");
	fare_buf_add_json(out, message);
	fare_buf_addf(out, ", \"type\": \"%s\", \"code\": \"%s\"", fare_code_type(r->code), fare_code_word(r->code));
	add_text(out, "param", r->param);
	fare_id_text(call_id, id);
	fare_buf_addf(out, ", \"call_id\": \"%s\"", id);
	if (fare_code_status(r->code) == 402) {
		if (r->code == FARE_CODE_BALANCE_TOO_LOW)
			add_money(r, out);
		add_text(out, "topup_url", r->topup_url);
	}
	if (!fare_id_is_zero(r->earlier)) {
		fare_id_text(r->earlier, id);
		fare_buf_addf(out, ", \"earlier_call_id\": \"%s\"", id);
	}
	if (r->code == FARE_CODE_IDEMPOTENCY_SPENT)
		add_amount(out, "cost", r->cost);
	fare_buf_add_char(out, '}');
}

enum { MESSAGE_MAX = 8192 };

void fare_refusal_error(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out)
{
	struct fare_buf message;
	fare_buf_init(&message, MESSAGE_MAX);
	fare_refusal_message(r, &message);
	add_error(r, call_id, fare_buf_span(&message), out);
	fare_buf_release(&message);
}

void fare_refusal_body(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out)
{
	struct fare_buf message;
	fare_buf_init(&message, MESSAGE_MAX);
	fare_refusal_message(r, &message);
	fare_buf_add_str(out, "{\"error\": ");
	add_error(r, call_id, fare_buf_span(&message), out);
	if (fare_code_status(r->code) == 402) {
		fare_buf_addf(out, ", \"type\": \"https://farebox.invalid/problems/%s\", \"title\": \"Payment Required\", \"status\": 402, \"detail\": ", fare_code_word(r->code));
		fare_buf_add_json(out, fare_buf_span(&message));
	}
	fare_buf_add_char(out, '}');
	fare_buf_release(&message);
}

/* What was answered so far stays; more of it would cost what is not there. */
static void notice_message(const struct fare_refusal *r, struct fare_buf *out)
{
	char available[FARE_AMOUNT_TEXT_N], held[FARE_AMOUNT_TEXT_N];
	if (r->code != FARE_CODE_BALANCE_TOO_LOW) {
		fare_refusal_message(r, out);
		return;
	}
	fare_amount_text(r->available, available);
	fare_amount_text(r->needed, held);
	fare_buf_addf(out, "The account's balance does not pay for more of this answer: %s%s%s is held for it, %s is available. ", held, r->currency ? " " : "", r->currency ? r->currency : "", available);
	if (has_url(r))
		fare_buf_addf(out, "Add credit at %s, then ask again.", r->topup_url);
	else
		fare_buf_add_str(out, "Ask the operator for credit (farebox credit), then ask again.");
}

void fare_refusal_notice(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out)
{
	struct fare_buf message;
	char id[FARE_ID_TEXT_N];
	fare_buf_init(&message, MESSAGE_MAX);
	notice_message(r, &message);
	fare_id_text(call_id, id);
	fare_buf_addf(out, "{\"code\": \"%s\", \"message\": ", fare_code_word(r->code));
	fare_buf_add_json(out, fare_buf_span(&message));
	fare_buf_addf(out, ", \"call_id\": \"%s\"", id);
	add_amount(out, "held", r->needed);
	add_amount(out, "available", r->available);
	add_text(out, "topup_url", r->topup_url);
	fare_buf_add_char(out, '}');
	fare_buf_release(&message);
}

/* A URL that may stand between < and > in a header. */
static bool fits_link(const char *url)
{
	size_t n = 0;
	for (; url[n]; n++)
		if (n == LINK_MAX || (unsigned char)url[n] <= ' ' || (unsigned char)url[n] >= 0x7F || url[n] == '<' || url[n] == '>')
			return false;
	return n > 0;
}

void fare_refusal_headers(const struct fare_refusal *r, struct fare_buf *out)
{
	const struct code *code = code_of(r->code);
	fare_buf_add_str(out, "Cache-Control: no-store\r\n");
	if (code->status == 402 || r->code == FARE_CODE_IDEMPOTENCY_SPENT || r->code == FARE_CODE_IDEMPOTENCY_MISMATCH) /* SDKs try a 409 again by themselves */
		fare_buf_add_str(out, "x-should-retry: false\r\n");
	if (code->status == 402 && has_url(r) && fits_link(r->topup_url))
		fare_buf_addf(out, "Link: <%s>; rel=\"payment\"\r\n", r->topup_url);
	if (code->retry_after_s > 0)
		fare_buf_addf(out, "Retry-After: %llu\r\n", r->retry_after_s > 0 ? (unsigned long long)r->retry_after_s : code->retry_after_s);
	if (r->code == FARE_CODE_METHOD_NOT_ALLOWED && r->allow)
		fare_buf_addf(out, "Allow: %s\r\n", r->allow);
	if (code->status == 401)
		fare_buf_add_str(out, "WWW-Authenticate: Bearer\r\n");
}
