/* Refusals: the table, the 402 to the letter, headers. */
#include "base/first.h"

#include "base/json.h"
#include "wire/refusal.h"
#include "wire/story.h"

#include "unit.h"

static const struct fare_id id = {{1, 2, 3}};

static void test_table(void **state)
{
	static const struct { enum fare_code code; int status; const char *word, *type; } rows[] = {
		{FARE_CODE_KEY_MISSING, 401, "key_missing", "authentication_error"}, {FARE_CODE_BALANCE_TOO_LOW, 402, "balance_too_low", "insufficient_quota"},
		{FARE_CODE_ACCOUNT_CLOSED, 403, "account_closed", "permission_error"}, {FARE_CODE_MODEL_UNKNOWN, 404, "model_unknown", "invalid_request_error"},
		{FARE_CODE_METHOD_NOT_ALLOWED, 405, "method_not_allowed", "invalid_request_error"}, {FARE_CODE_BODY_TIMEOUT, 408, "body_timeout", "invalid_request_error"},
		{FARE_CODE_IDEMPOTENCY_SPENT, 409, "idempotency_spent", "invalid_request_error"}, {FARE_CODE_SERVICE_RETIRED, 410, "service_retired", "invalid_request_error"},
		{FARE_CODE_BODY_TOO_LARGE, 413, "body_too_large", "invalid_request_error"}, {FARE_CODE_ENCODING_UNSUPPORTED, 415, "encoding_unsupported", "invalid_request_error"},
		{FARE_CODE_IDEMPOTENCY_MISMATCH, 422, "idempotency_mismatch", "invalid_request_error"}, {FARE_CODE_RATE_LIMITED, 429, "rate_limited", "rate_limit_error"},
		{FARE_CODE_UPSTREAM_FAILED, 502, "upstream_failed", "server_error"}, {FARE_CODE_OVERLOADED, 503, "overloaded", "server_error"}, {FARE_CODE_UPSTREAM_TIMEOUT, 504, "upstream_timeout", "server_error"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		assert_int_equal(fare_code_status(rows[i].code), rows[i].status);
		assert_string_equal(fare_code_word(rows[i].code), rows[i].word);
		assert_string_equal(fare_code_type(rows[i].code), rows[i].type);
	}
	for (int c = FARE_CODE_NONE + 1; c < FARE_CODE_N; c++)
		assert_true(fare_code_status((enum fare_code)c) >= 400 && fare_code_word((enum fare_code)c)[0] != '\0');
}

/* Every code's body is one line of JSON whose message says more than a few words, in the shape OpenAI's clients read. */
static void test_bodies(void **state)
{
	(void)state;
	for (int c = FARE_CODE_NONE + 1; c < FARE_CODE_N; c++) {
		struct fare_refusal r = {.code = (enum fare_code)c};
		struct fare_buf b;
		struct fare_json j = {0};
		fare_buf_init(&b, 65536);
		fare_refusal_body(&r, id, &b);
		assert_null(memchr(b.p, '\n', b.n));
		assert_true(fare_json_parse(&j, fare_buf_span(&b)));
		const struct fare_json_node *error = fare_json_member(&j, fare_json_root(&j), "error");
		assert_true(fare_json_string_bytes(&j, fare_json_member(&j, error, "message")) > 40);
		assert_true(fare_json_string_is(&j, fare_json_member(&j, error, "code"), fare_code_word(r.code)));
		assert_true(fare_json_string_is(&j, fare_json_member(&j, error, "call_id"), "01020300-0000-0000-0000-000000000000"));
		assert_int_equal(fare_json_member(&j, error, "param")->kind, FARE_JSON_NULL);
		assert_int_equal(fare_json_member(&j, fare_json_root(&j), "status") != NULL, fare_code_status(r.code) == 402);
		fare_json_release(&j);
		fare_buf_release(&b);
	}
}

static void test_payment_required(void **state)
{
	struct fare_refusal r = {.code = FARE_CODE_BALANCE_TOO_LOW, .available = {12000}, .needed = {615000}, .price = {.input = 150000000, .output = 600000000},
		.topup_url = "https://pay.example/a?b=\"c\"", .currency = "USD", .affordable = 20};
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 65536);
	fare_refusal_body(&r, id, &b);
#define MESSAGE "The balance is too low for this call: it needs 0.000615000 USD set aside, 0.000012000 is available, 0.000603000 is missing. " \
	"Add credit at https://pay.example/a?b=\\\"c\\\", or ask for at most 20 output tokens (max_tokens)."
	assert_string_equal(fare_buf_cstr(&b),
		"{\"error\": {\"message\": \"" MESSAGE "\", \"type\": \"insufficient_quota\", \"code\": \"balance_too_low\", \"param\": null, \"call_id\": \"01020300-0000-0000-0000-000000000000\", "
		"\"available\": \"0.000012000\", \"needed\": \"0.000615000\", \"shortfall\": \"0.000603000\", \"price\": {\"input\": \"0.15\", \"output\": \"0.60\", \"per\": \"million tokens\"}, "
		"\"max_tokens\": 20, \"topup_url\": \"https://pay.example/a?b=\\\"c\\\"\"}, \"type\": \"https://farebox.invalid/problems/balance_too_low\", \"title\": \"Payment Required\", "
		"\"status\": 402, \"detail\": \"" MESSAGE "\"}");
	fare_buf_release(&b);
}

static void test_message(void **state)
{
	struct fare_refusal r = {.topup_url = NULL};
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 65536);
	fare_refusal_set(&r, FARE_CODE_BAD_REQUEST, "n", "n must be %s.", "\"small\"");
	fare_refusal_message(&r, &b);
	assert_string_equal(fare_buf_cstr(&b), "The request is not valid. n must be \"small\". Correct it and send it again; nothing was charged.");
	fare_buf_reset(&b);
	fare_refusal_error(&r, id, &b);
	assert_string_equal(fare_buf_cstr(&b), "{\"message\": \"The request is not valid. n must be \\\"small\\\". Correct it and send it again; nothing was charged.\", \"type\": \"invalid_request_error\", "
		"\"code\": \"bad_request\", \"param\": \"n\", \"call_id\": \"01020300-0000-0000-0000-000000000000\"}");
	fare_buf_release(&b);
}

static void headers_are(const struct fare_refusal *r, const char *want)
{
	struct fare_buf b;
	fare_buf_init(&b, 65536);
	fare_refusal_headers(r, &b);
	assert_string_equal(fare_buf_cstr(&b), want);
	fare_buf_release(&b);
}

static void test_headers(void **state)
{
	struct fare_refusal money = {.code = FARE_CODE_BALANCE_TOO_LOW, .topup_url = "https://pay.example/"}, busy = {.code = FARE_CODE_OVERLOADED}, limited = {.code = FARE_CODE_RATE_LIMITED, .retry_after_s = 17};
	struct fare_refusal method = {.code = FARE_CODE_METHOD_NOT_ALLOWED, .allow = "POST"}, key = {.code = FARE_CODE_KEY_MISSING}, bad = {.code = FARE_CODE_BAD_REQUEST, .retry_after_s = 9};
	(void)state;
	headers_are(&money, "Cache-Control: no-store\r\nx-should-retry: false\r\nLink: <https://pay.example/>; rel=\"payment\"\r\n");
	money.topup_url = "https://pay.example/\r\nSet-Cookie: a=b";
	headers_are(&money, "Cache-Control: no-store\r\nx-should-retry: false\r\n");
	money.topup_url = "https://pay.example/>; rel=\"x\"";
	headers_are(&money, "Cache-Control: no-store\r\nx-should-retry: false\r\n");
	headers_are(&busy, "Cache-Control: no-store\r\nRetry-After: 1\r\n");
	headers_are(&limited, "Cache-Control: no-store\r\nRetry-After: 17\r\n");
	headers_are(&method, "Cache-Control: no-store\r\nAllow: POST\r\n");
	headers_are(&key, "Cache-Control: no-store\r\nWWW-Authenticate: Bearer\r\n");
	headers_are(&bad, "Cache-Control: no-store\r\n");
}

/* What is told of a call: the facts stay, and words are added. */
static void told(const char *facts, const char *part)
{
	struct fare_buf b;
	struct fare_json j = {0};
	fare_buf_init(&b, FARE_STORY_TEXT_MAX);
	assert_true(fare_story_tell(fare_span_of(facts), "https://pay.example", "USD", &b));
	assert_true(fare_json_parse(&j, fare_buf_span(&b)));
	assert_memory_equal(b.p, facts, strlen(facts) - 1);
	assert_true(fare_json_string_bytes(&j, fare_json_member(&j, fare_json_root(&j), "message")) > 5);
	if (!strstr(fare_buf_cstr(&b), part))
		fail_msg("%s: %s is not in it", fare_buf_cstr(&b), part);
	fare_json_release(&j);
	fare_buf_release(&b);
}

static void test_stories(void **state)
{
	static const struct { const char *facts, *part; } rows[] = {
		{"{\"state\": \"idle\"}", "\"cause\": null, \"message\": \"It was admitted, and nothing has been sent to the provider yet.\", \"fix\": null}"},
		{"{\"state\": \"streaming\"}", "It runs."},
		{"{\"state\": \"posting\", \"ending\": \"complete\"}", "It ran to its end. Its entry is being written."},
		{"{\"state\": \"ended\", \"ending\": \"not_sent\", \"cost\": \"0.000000000\"}", "Nothing was charged."},
		{"{\"state\": \"ended\", \"ending\": \"meter_damaged\", \"cost\": \"0.000000000\"}", "cannot be read any more. Nothing was charged."},
		{"{\"state\": \"ended\", \"ending\": \"worker_died\", \"cost\": \"0.000000001\"}", "died. What had come by then was charged."},
		{"{\"state\": \"ended\", \"ending\": \"balance_end\", \"cost\": \"0.000000001\"}", "\"cause\": \"payment\""},
		{"{\"state\": \"ended\", \"ending\": \"upstream_error\", \"upstream_status\": 403}", "\"cause\": \"configuration\", \"message\": \"The provider does not take the gateway's own key"},
		{"{\"state\": \"ended\", \"ending\": \"upstream_error\", \"upstream_status\": null}", "did not give a usable answer"},
		{"{\"state\": \"ended\", \"ending\": \"complete\", \"flags\": [\"clamped\", \"over_hold\"]}", "which was cut to them. It cost more than was held for it."},
		{"{\"state\": \"ended\", \"ending\": \"complete\", \"idempotency\": \"spent\"}", "its answer is not kept"},
		{"{\"state\": \"refused\", \"code\": \"of a later farebox\"}", "for a reason that this farebox does not know"},
		{"{\"state\": \"refused\", \"code\": \"balance_too_low\", \"told_by\": \"log\"}", "\"http_status\": 402, \"cause\": \"payment\", \"message\": \"The balance was too low for this call. Only the log"},
		{"{\"state\": \"refused\", \"code\": \"overloaded\"}", "\"cause\": \"limits\""},
		{"{\"state\": \"refused\", \"code\": \"key_expired\", \"key_expires\": \"2026-11-28T00:00:00.000Z\"}", "It expired at 2026-11-28T00:00:00.000Z."},
	};
	struct fare_buf b;
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++)
		told(rows[i].facts, rows[i].part);
	fare_buf_init(&b, FARE_STORY_TEXT_MAX);
	static const char *const senseless[] = {"", "{", "[]", "{}", "3", "{\"a\":1}x"};
	for (size_t i = 0; i < FARE_ARRAY_N(senseless); i++)
		assert_false(fare_story_tell(fare_span_of(senseless[i]), "", "USD", &b));
	fare_buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_bodies), cmocka_unit_test(test_stories), cmocka_unit_test(test_payment_required), cmocka_unit_test(test_message), cmocka_unit_test(test_headers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
