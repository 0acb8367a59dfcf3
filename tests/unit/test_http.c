/* Routes, keys, body types, and the headers that may pass. */
#include "base/first.h"

#include "wire/http.h"

#include "unit.h"

static void test_routes(void **state)
{
	static const struct { const char *method, *uri, *prefix; int route; const char *model; enum fare_code code; } rows[] = {
		{"POST", "/v1/chat/completions", "", FARE_ROUTE_CHAT, "", 0}, {"POST", "/v1/chat/completions?x=/v1/models", "", FARE_ROUTE_CHAT, "", 0}, {"POST", "/v1/chat%2fcompletions", "", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"POST", "/v1/ch%61t/completions", "", FARE_ROUTE_CHAT, "", 0}, {"POST", "/v1/chat/completions/", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"POST", "//v1/chat/completions", "", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"POST", "/ai/v1/completions", "/ai", FARE_ROUTE_COMPLETIONS, "", 0}, {"POST", "/v1/completions", "/ai", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"POST", "/aiv1/completions", "/ai", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"POST", "http://host:1/v1/embeddings", "", FARE_ROUTE_EMBEDDINGS, "", 0}, {"POST", "HTTPS://host/v1/embeddings", "", FARE_ROUTE_EMBEDDINGS, "", 0}, {"GET", "http://host", "", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"GET", "/v1/models", "", FARE_ROUTE_MODELS, "", 0}, {"HEAD", "/v1/models", "", FARE_ROUTE_MODELS, "", 0}, {"POST", "/v1/models", "", 0, "", FARE_CODE_METHOD_NOT_ALLOWED},
		{"GET", "/v1/models/", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/v1/models/gpt-4o", "", FARE_ROUTE_MODEL, "gpt-4o", 0}, {"GET", "/v1/models/a/b", "", FARE_ROUTE_MODEL, "a/b", 0},
		{"GET", "/v1/models/a%2Fb%20c", "", FARE_ROUTE_MODEL, "a/b c", 0}, {"GET", "/v1%2Fmodels/a", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"DELETE", "/v1/models/a", "", 0, "a", FARE_CODE_METHOD_NOT_ALLOWED},
		{"GET", "/v1/models/a%00b", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/v1/models/a%0d%0a", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/v1/models/a%4", "", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"GET", "/v1/models/%zz", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/v1/models/a%", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/healthz", "", FARE_ROUTE_HEALTHZ, "", 0},
		{"GET", "/v1/chat/completions", "", 0, "", FARE_CODE_METHOD_NOT_ALLOWED}, {"OPTIONS", "/v1/chat/completions", "", 0, "", FARE_CODE_METHOD_NOT_ALLOWED}, {"get", "/v1/models", "", 0, "", FARE_CODE_METHOD_NOT_ALLOWED},
		{"GET", "", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "*", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/v1/calls/a-b", "", FARE_ROUTE_CALL, "a-b", 0},
		{"HEAD", "/ai/v1/calls/a%2Fb", "/ai", FARE_ROUTE_CALL, "a/b", 0}, {"GET", "/v1/calls", "", 0, "", FARE_CODE_ROUTE_UNKNOWN}, {"GET", "/v1/calls/", "", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"POST", "/v1/calls/a", "", 0, "a", FARE_CODE_METHOD_NOT_ALLOWED}, {"DELETE", "/v1/calls/a", "", 0, "a", FARE_CODE_METHOD_NOT_ALLOWED}, {"GET", "/v1%2Fcalls/a", "", 0, "", FARE_CODE_ROUTE_UNKNOWN},
		{"GET", "/v1/models/../../secret", "", FARE_ROUTE_MODEL, "../../secret", 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		enum fare_route route = 0;
		char model[FARE_NAME_N];
		struct fare_refusal r = {0};
		bool ok = fare_http_route(fare_span_of(rows[i].method), fare_span_of(rows[i].uri), rows[i].prefix, &route, model, &r);
		assert_int_equal(ok, rows[i].code == 0);
		assert_int_equal(r.code, rows[i].code);
		if (ok)
			assert_int_equal(route, rows[i].route);
		if (ok)
			assert_string_equal(model, rows[i].model);
		assert_int_equal(r.code == FARE_CODE_METHOD_NOT_ALLOWED, r.allow != NULL);
	}
}

static void test_long_path(void **state)
{
	char uri[4096];
	enum fare_route route;
	char model[FARE_NAME_N];
	(void)state;
	for (size_t n = 100; n < sizeof uri; n += 13) {
		struct fare_refusal r = {0};
		memset(uri, 'a', n);
		memcpy(uri, "/v1/models/", 11);
		assert_int_equal(fare_http_route(fare_span_of("GET"), fare_span_at(uri, n), "", &route, model, &r), n - 11 < FARE_NAME_N);
	}
}

static void key_is(const char *authorization, const char *x, const char *goog, const char *azure, const char *want)
{
	struct fare_span key = fare_http_key(fare_span_of(authorization), fare_span_of(x), fare_span_of(goog), fare_span_of(azure));
	assert_true(fare_span_is(key, want));
}

static void test_keys(void **state)
{
	(void)state;
	key_is("Bearer fb_a", NULL, NULL, NULL, "fb_a");
	key_is("bearer \t fb_a ", "", "", "", "fb_a");
	key_is("Bearer", "", "", "", "");
	key_is("Bearerfb_a", "", "", "", "");
	key_is("Basic abc", "", "", "", "");
	key_is("", "fb_x", "", "", "fb_x");
	key_is("Bearer other", "fb_x", "", "", "fb_x");
	key_is("Bearer other", "imported", "", "", "other");
	key_is("", "", "fb_g", "", "fb_g");
	key_is("Bearer sk-1", "", "", "fb_z", "fb_z");
	key_is("Bearer fb_1", "", "", "fb_2", "fb_1");
	key_is("", "", "", "", "");
}

static void test_body_types(void **state)
{
	static const struct { const char *type, *encoding; bool ok; } rows[] = {
		{"", "", true}, {"application/json", "", true}, {"Application/JSON; charset=utf-8", "identity", true}, {"application/vnd.x+json", "", true}, {" application/json ;x", "", true},
		{"application/x-www-form-urlencoded", "", false}, {"text/plain", "", false}, {"multipart/form-data; boundary=json", "", false}, {"application/json", "gzip", false}, {"application/json", "identity, gzip", false}, {"+json", "", false},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_refusal r = {0};
		assert_int_equal(fare_http_body_type(fare_span_of(rows[i].type), fare_span_of(rows[i].encoding), &r), rows[i].ok);
		assert_int_equal(r.code, rows[i].ok ? FARE_CODE_NONE : FARE_CODE_ENCODING_UNSUPPORTED);
	}
}

static void test_headers(void **state)
{
	static const char *const pass[] = {"Content-Type", "content-type", "Retry-After", "retry-after-ms", "x-ratelimit-limit-requests", "X-RateLimit-Reset-Tokens", "openai-processing-ms", "openai-version"};
	static const char *const stop[] = {"Status", "Location", "Set-Cookie", "X-Accel-Redirect", "X-Accel-Buffering", "X-Sendfile", "X-LIGHTTPD-send-file", "Connection", "Transfer-Encoding", "Content-Length", "Content-Encoding",
		"Keep-Alive", "Trailer", "Upgrade", "Server", "x-request-id", "openai-organization", "OpenAI-Project", "x-ratelimit-", "openai-", "", "x-ratelimit-a b", "x-ratelimit-a:b", "x-ratelimit-a\r\nLocation"};
	char value[8 * 1024];
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(pass); i++)
		assert_true(fare_http_header_passes(fare_span_of(pass[i]), fare_span_of("a value\tof text")));
	for (size_t i = 0; i < FARE_ARRAY_N(stop); i++)
		assert_false(fare_http_header_passes(fare_span_of(stop[i]), fare_span_of("a")));
	for (int c = 0; c < 256; c++) {
		char one = (char)c;
		assert_int_equal(fare_http_header_passes(fare_span_of("retry-after"), fare_span_at(&one, 1)), (c >= ' ' && c != 0x7F) || c == '\t');
	}
	memset(value, 'a', sizeof value);
	assert_true(fare_http_header_passes(fare_span_of("retry-after"), fare_span_at(value, 7 * 1024 - 15)));
	assert_false(fare_http_header_passes(fare_span_of("retry-after"), fare_span_at(value, 7 * 1024 - 14)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_routes), cmocka_unit_test(test_long_path), cmocka_unit_test(test_keys), cmocka_unit_test(test_body_types), cmocka_unit_test(test_headers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
