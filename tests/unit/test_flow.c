/* The life of a call: in which order meter and bank are told what, on every way a call can end, and what the caller gets. */
#include "flow_kit.h"

static void test_json(void **state)
{
	(void)state;
	call(up_json, plain);
	HAS("Status: 200 OK\r\n");
	HAS("Farebox-Cost: 0.017000000\r\n"); /* 7 x 0.001 + 5 x 0.002 */
	HAS("Farebox-Max-Tokens: 100\r\n");
	HAS("\"model\":\"m\"");
	HAS("\"cost\":0.017");
	assert_string_equal(stub_link_notes(), "slot admit sent request progress final:complete settle");
	assert_int_equal(stub_link_usage().output, 5);
	assert_non_null(strstr(stub_upstream_saw, "\"model\":\"up-model\""));
	assert_non_null(strstr(stub_upstream_saw, "Farebox-Call-Id: "));
	assert_null(strstr(stub_upstream_saw, "Authorization"));
	assert_null(strstr(stub_upstream_saw, "key-of-a-caller"));
}

static void test_stream(void **state)
{
	(void)state;
	call(up_stream, streamed);
	HAS("Status: 200 OK\r\n");
	HAS("X-Accel-Buffering: no\r\n");
	HAS_NOT("X-Accel-Redirect");
	HAS_NOT("Set-Cookie");
	HAS("\"content\":\"one\"");
	HAS("data: [DONE]\n\n");
	HAS_NOT("prompt_tokens\":7"); /* asked for by us, not by the caller */
	assert_string_equal(stub_link_notes(), "slot admit sent request progress final:complete settle");
	assert_int_equal(stub_link_usage().input, 7);
}

static void test_upstream_errors(void **state)
{
	static const struct { stub_script *script; const char *body, *status, *code, *ending; } cases[] = {
		{up_nothing, plain, "Status: 502", "upstream_failed", "final:upstream_error"}, {up_nothing, streamed, "Status: 502", "upstream_failed", "final:upstream_error"},
		{up_401, plain, "Status: 502", "upstream_failed", "final:upstream_error"}, {up_402, plain, "Status: 502", "upstream_unpaid", "final:upstream_error"},
		{up_429, plain, "Status: 429", "Retry-After: 9", "final:upstream_error"}, {up_302, plain, "Status: 502", "upstream_failed", "final:upstream_error"},
		{up_not_json, plain, "Status: 502", "upstream_failed", "final:upstream_error"}, {up_cut, streamed, "Status: 200", "upstream_failed", "final:truncated"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		stub_link_reset(base_url);
		call(cases[i].script, cases[i].body);
		HAS(cases[i].status);
		HAS(cases[i].code);
		HAS_NOT("our-key!");
		HAS_NOT("Location");
		if (!strstr(stub_link_notes(), cases[i].ending) || !strstr(stub_link_notes(), "settle"))
			fail_msg("%s: %s", cases[i].ending, stub_link_notes());
	}
}

static void test_timeouts(void **state)
{
	(void)state;
	conf.first_byte_timeout_ms = 200;
	call(up_stall, plain);
	HAS("Status: 504");
	HAS("upstream_timeout");
	assert_true(stub_link_wait("closed"));
	settled_as("sent request final:timeout");
	stub_link_reset(base_url);
	conf.first_byte_timeout_ms = 15000;
	conf.idle_timeout_ms = 200;
	call(up_hang, streamed);
	HAS("Status: 200");
	HAS("\"content\":\"one\"");
	HAS("upstream_timeout"); /* said in the stream */
	settled_as("final:timeout");
}

static void test_silence(void **state)
{
	(void)state;
	conf.silence_ms = 100;
	call(up_late, streamed);
	HAS("\r\n\r\n:"); /* a comment came first */
	HAS("data: [DONE]");
	assert_non_null(strstr(stub_link_notes(), "final:complete"));
}

/* The caller leaves; seen without a write. */
static void test_caller_leaves(void **state)
{
	struct stub_io io;
	(void)state;
	stub_upstream_does(up_hang);
	stub_io_open(&io, params, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, "one");
	close(io.web);
	settled_as("final:client_gone");
	assert_true(stub_link_wait("closed")); /* the upstream's, within client_gone_ms */
	assert_true(stub_io_wait_closed(&io));
}

/* It left before the upstream was asked: nothing is sent. */
static void test_caller_left_early(void **state)
{
	struct stub_io io;
	(void)state;
	stub_upstream_does(up_json);
	stub_io_open(&io, params, plain);
	close(io.web);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	assert_true(stub_io_wait_closed(&io));
	assert_string_equal(stub_link_notes(), "slot admit void");
}

/* A large body of a stranger's is refused before it is read into memory. */
static void test_large_body_of_a_stranger(void **state)
{
	const char *large[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/v1/chat/completions", "HTTP_AUTHORIZATION=Bearer k", "CONTENT_LENGTH=300000", NULL};
	(void)state;
	stub_link.answer.granted = false;
	stub_link.answer.refused = FARE_KEY_UNKNOWN;
	refused(large, NULL, "Status: 401", "key_unknown", "");
}

/* The caller leaves, and then the upstream fails: free, as for one who stayed. */
static void test_caller_leaves_before_an_error(void **state)
{
	static const struct { stub_script *script; const char *body; } cases[] = {
		{up_late_500, plain}, {up_late_401, plain}, {up_late_not_json, plain}, {up_late_error_event, streamed},
	};
	(void)state;
	conf.client_gone_ms = 15000;
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct stub_io io;
		stub_link_reset(base_url);
		stub_upstream_does(cases[i].script);
		stub_io_open(&io, params, cases[i].body);
		fare_gate_serve(&gate, &stub_io_ops, &io);
		assert_true(stub_link_wait("asked"));
		close(io.web);
		settled_as("final:upstream_error");
		assert_true(stub_io_wait_closed(&io));
	}
}

/* It leaves amid an endless stream: read on for client_gone_bytes only. */
static void test_caller_leaves_a_flood(void **state)
{
	struct stub_io io;
	(void)state;
	conf.client_gone_ms = 60000;
	stub_upstream_does(up_endless);
	stub_io_open(&io, params, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, "0123456789");
	close(io.web);
	settled_as("final:client_gone");
	assert_true(stub_link_wait("closed"));
	assert_true(stub_io_wait_closed(&io));
}

/* A caller who does not read stops the upstream, and is given up after idle_timeout_ms. */
static void test_caller_does_not_read(void **state)
{
	struct stub_io io;
	(void)state;
	conf.idle_timeout_ms = 500;
	stub_upstream_does(up_endless);
	stub_io_open(&io, params, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	settled_as("final:client_gone");
	assert_true(stub_io_wait_closed(&io));
	size_t n = 0;
	for (ssize_t k; (k = recv(io.web, answer, sizeof answer, 0)) > 0;)
		n += (size_t)k;
	assert_true(n < 4 * 1024 * 1024); /* what the socket holds, no flood */
	close(io.web);
}

static void test_slow_reader_gets_all(void **state)
{
	struct stub_io io;
	(void)state;
	conf.total_timeout_ms = 1500; /* ends the endless stream while much of it is unread */
	stub_upstream_does(up_endless);
	stub_io_open(&io, params, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	/* The end of what came, however it was parted. */
	enum { KEPT = 1024 };
	size_t n = 0, kept = 0;
	char tail[KEPT + 8192] = "";
	for (ssize_t k; (k = recv(io.web, tail + kept, sizeof tail - 1 - kept, 0)) > 0; n += (size_t)k) {
		size_t all = kept + (size_t)k;
		kept = all < KEPT ? all : KEPT;
		memmove(tail, tail + all - kept, kept);
		tail[kept] = 0;
		if (n < 2000000)
			poll(NULL, 0, 1);
	}
	assert_true(n > 300000);
	assert_non_null(strstr(tail, "upstream_timeout"));
	assert_true(stub_io_wait_closed(&io));
	assert_true(atomic_load(&io.finished));
	close(io.web);
}

static void test_cut(void **state)
{
	struct stub_io io;
	(void)state;
	stub_upstream_does(up_hang);
	stub_io_open(&io, params, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, "one");
	fare_relay_cut(gate.relay);
	stub_io_read(&io, answer, sizeof answer, NULL);
	HAS("being stopped");
	settled_as("final:truncated");
	assert_true(stub_io_wait_closed(&io));
	close(io.web);
}

/* ---- Holds that grow */

static void up_dozen(int fd)
{
	put(fd, SSE_HEAD);
	for (int i = 0; i < 12; i++)
		put(fd, CHUNK("12345678"));
	put(fd, STOP USAGE DONE);
}
static void up_large(int fd) { put(fd, SSE_HEAD CHUNK("1234567812345678123456781234567812345678123456781234567812345678") STOP USAGE DONE); }
static void up_one_write(int fd) /* all in one piece, and its end with it */
{
	static const char body[] = CHUNK("12345678") CHUNK("12345678") CHUNK("12345678") CHUNK("12345678") CHUNK("12345678") STOP USAGE DONE;
	char text[8192];
	snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
	put(fd, text);
}
static void up_half(int fd) /* the last event without its blank line */
{
	put(fd, SSE_HEAD CHUNK("12345678") CHUNK("12345678") "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"123456781234567812345678123456781234567812345678\"},\"finish_reason\":\"stop\"}]}");
}
static void up_drip(int fd)
{
	put(fd, SSE_HEAD);
	for (int i = 0; i < 12; i++) {
		put(fd, CHUNK("12345678"));
		poll(NULL, 0, 20);
	}
	wait_for_close(fd);
}

static unsigned count(const char *what)
{
	unsigned n = 0;
	for (const char *p = answer; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void grows(uint64_t at_first, uint64_t most)
{
	stub_link_reset(base_url);
	stub_link.answer.grant.held_output = at_first;
	stub_link.held_max = most;
}

/* Asked for in time or when it is needed, all of it comes through, as if all had been held at first. */
static void test_grows(void **state)
{
	static stub_script *const scripts[] = {up_dozen, up_one_write, up_large};
	static const unsigned texts[] = {12, 5, 1};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(scripts); i++)
		for (uint64_t first = 1; first < 20; first += 6) {
			grows(first, 1000);
			call(scripts[i], streamed);
			HAS("\"finish_reason\":\"stop\"");
			HAS("data: [DONE]\n\n");
			HAS_NOT("farebox\":");
			HAS("Farebox-Max-Tokens: 100\r\n");
			assert_int_equal(count("12345678\""), texts[i]);
			settled_as("final:complete settle");
			assert_non_null(strstr(stub_link_notes(), "extend="));
		}
	for (uint64_t first = 1; first < 20; first += 6) {
		grows(first, 1000);
		call(up_half, streamed);
		HAS("\"finish_reason\":\"stop\"");
		HAS_NOT("farebox\":");
		assert_int_equal(count("12345678\""), 3);
		settled_as("final:complete settle");
	}
	grows(4, 16);
	call(up_half, streamed);
	assert_int_equal(count("12345678\""), 2);
	HAS("\"farebox\":{\"code\": \"balance_too_low\"");
	settled_as("final:balance_end settle");
	grows(2, 1000); /* never beyond the bound */
	stub_link.answer.grant.bound = 20;
	call(up_dozen, streamed);
	assert_int_equal(count("12345678\""), 12);
	assert_non_null(strstr(stub_link_notes(), "extend=20"));
	assert_null(strstr(strstr(stub_link_notes(), "extend=20") + 1, "extend"));
	grows(90, 1000); /* near enough to the end: nobody asks */
	call(up_stream, streamed);
	settled_as("progress final:complete settle");
}

/* Eight bytes of text are four tokens at the most: it ends where the next four are not paid for, and costs what was relayed, two each. */
static void test_runs_dry(void **state)
{
	static stub_script *const scripts[] = {up_dozen, up_one_write, up_drip};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(scripts); i++)
		for (uint64_t most = 4; most < 20; most += 5) {
			grows(4, most);
			strcpy(conf.topup_url, "https://pay");
			call(scripts[i], "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}");
			assert_int_equal(count("12345678\""), most / 4);
			HAS("{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":null,\"farebox\":{\"code\": \"balance_too_low\"");
			HAS("\"available\": \"0.000000005\", \"topup_url\": \"https://pay\"}}\n\n");
			char usage[128];
			snprintf(usage, sizeof usage, "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":%u,\"total_tokens\":%u,\"cost\":0.%03u}}\n\ndata: [DONE]\n\n", (unsigned)(most / 4 * 2), 1 + (unsigned)(most / 4 * 2), 1 + (unsigned)(most / 4 * 4));
			HAS(usage);
			settled_as("final:balance_end settle");
		}
	assert_true(stub_link_wait("closed")); /* the upstream's connection */
}

static void test_no_word_about_more(void **state)
{
	(void)state;
	grows(4, 100);
	stub_link.no_more = true;
	call(up_dozen, streamed);
	assert_int_equal(count("12345678\""), 1);
	HAS("\"finish_reason\":\"length\"");
	HAS("\"farebox\":{\"code\": \"store_unavailable\"");
	settled_as("final:balance_end settle");
}

/* Asked for a stream, it answers in one piece: all is to be held for before anything is read. */
static void test_grows_without_stream(void **state)
{
	(void)state;
	grows(4, 1000);
	call(up_json, streamed);
	HAS("Status: 200");
	HAS("\"content\":\"hi\"");
	settled_as("extend=100 progress final:complete settle");
	grows(4, 50);
	call(up_json, streamed);
	HAS("Status: 402");
	HAS("\"needed\": \"0.100000000\"");
	HAS_NOT("hi\"");
	settled_as("final:balance_end settle");
	assert_null(strstr(stub_link_notes(), "progress")); /* free */
}

/* A caller who reads slowly, and money that comes slowly, hold up one upstream. */
static void test_slow_reader_grows(void **state)
{
	struct stub_io io;
	size_t n = 0;
	(void)state;
	grows(64, 1000000);
	stub_link.answer.grant.bound = 100000;
	conf.total_timeout_ms = 5000;
	stub_upstream_does(up_endless);
	stub_io_open(&io, params, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	for (ssize_t k; (k = recv(io.web, answer, sizeof answer - 1, 0)) > 0; n += (size_t)k) {
		answer[k] = 0;
		if (n < 2000000)
			poll(NULL, 0, 1);
	}
	assert_true(n > 3000000); /* 20,000 events: to the bound, then on as it comes */
	assert_true(stub_io_wait_closed(&io));
	close(io.web);
}

static void test_refusals(void **state)
{
	const char *no_key[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/v1/chat/completions", NULL};
	const char *bad_key[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/v1/chat/completions", "HTTP_X_API_KEY=fb_garbage", NULL};
	const char *path[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/v2/chat", "HTTP_AUTHORIZATION=Bearer k", NULL};
	const char *method[] = {"REQUEST_METHOD=PUT", "REQUEST_URI=/v1/chat/completions", "HTTP_AUTHORIZATION=Bearer k", NULL};
	const char *zip[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/v1/embeddings", "HTTP_AUTHORIZATION=Bearer k", "HTTP_CONTENT_ENCODING=gzip", NULL};
	(void)state;
	refused(no_key, plain, "Status: 401", "key_missing", "");
	refused(bad_key, plain, "Status: 401", "key_unknown", "");
	refused(path, plain, "Status: 404", "route_unknown", "");
	refused(method, plain, "Status: 405", "method_not_allowed", "");
	refused(zip, plain, "Status: 415", "encoding_unsupported", "");
	static const struct { const char *prefix, *uri; bool ours; } mounts[] = {
		{"FAREBOX_PREFIX=/ai", "REQUEST_URI=/ai/v1/embeddings", true}, {"FAREBOX_PREFIX=", "REQUEST_URI=/v1/embeddings", true},
		{"FAREBOX_PREFIX=/ai", "REQUEST_URI=/v1/embeddings", false}, {"FAREBOX_PREFIX=/ai", "REQUEST_URI=/set/v1/embeddings", false},
		{"FAREBOX_PREFIX=", "REQUEST_URI=/set/v1/embeddings", false}, {"FAREBOX_PREFIX=/v1/", "REQUEST_URI=/v1//v1/embeddings", false},
		{"FAREBOX_PREFIX=ai", "REQUEST_URI=ai/v1/embeddings", false}, {"FAREBOX_PREFIX=/a%2e", "REQUEST_URI=/a./v1/embeddings", false},
		{"HTTP_FAREBOX_PREFIX=/ai", "REQUEST_URI=/ai/v1/embeddings", false}, {"HTTP_FAREBOX_PREFIX=/ai", "REQUEST_URI=/set/v1/embeddings", true},
	};
	strcpy(conf.prefix, "/set");
	for (size_t i = 0; i < FARE_ARRAY_N(mounts); i++) {
		const char *mounted[] = {"REQUEST_METHOD=POST", mounts[i].uri, mounts[i].prefix, NULL};
		refused(mounted, plain, mounts[i].ours ? "Status: 401" : "Status: 404", mounts[i].ours ? "key_missing" : "route_unknown", "");
	}
	conf.prefix[0] = 0;
	refused(params, "{", "Status: 400", "bad_json", "");
	conf.header_limit_bytes = 8;
	refused(params, plain, "Status: 400", "bad_request", "");
}

static void test_refused_by_the_bank(void **state)
{
	struct fare_admit_answer *a = &stub_link.answer;
	(void)state;
	a->granted = false;
	a->refused = FARE_BALANCE_TOO_LOW;
	a->numbers.available.nano = 12000;
	a->numbers.needed.nano = 615000;
	refused(params, plain, "Status: 402", "\"shortfall\": \"0.000603000\"", "slot admit");
	stub_link_reset(base_url);
	stub_link.no_answer = true;
	refused(params, plain, "Status: 503", "store_unavailable", "slot admit");
	stub_link_reset(base_url);
	stub_link.no_slot = true;
	refused(params, plain, "Status: 503", "overloaded", "none");
	stub_link_reset(base_url);
	stub_link.down = true; /* whatever the slots: it is the bank that is not there */
	refused(params, plain, "Status: 503", "store_unavailable", "");
	stub_link_reset(base_url);
	a->granted = false;
	a->refused = FARE_STORE_FULL;
	refused(params, plain, "Status: 503", "The disk is nearly full", "slot admit");
	stub_link_reset(base_url); /* granted, but the provider's key cannot be read: void, nothing sent */
	strcpy(stub_link.answer.grant.key_file, "/no/such/key");
	refused(params, plain, "Status: 502", "upstream_failed", "slot admit void");
}

/* A call's story is said in the bank's words and ours; what the bank has nothing of is not there. */
static void test_story(void **state)
{
	const char *get[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/v1/calls/some-id", "HTTP_AUTHORIZATION=Bearer k", NULL};
	const char *no_key[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/v1/calls/some-id", NULL};
	(void)state;
	strcpy(conf.topup_url, "https://pay.example");
	stub_link.story = "{\"call_id\": \"x\", \"state\": \"refused\", \"code\": \"balance_too_low\", \"available\": \"0.000000001\", \"needed\": \"0.000000003\", \"affordable_max_tokens\": 7}";
	refused(get, "", "Status: 200", "\"http_status\": 402, \"cause\": \"payment\", \"message\": \"The balance is too low for this call: it needs 0.000000003 USD set aside, 0.000000001 is available, 0.000000002 is missing.\", \"fix\": \"Add credit at https://pay.example, or ask for at most 7 output tokens (max_tokens).\"}", "some-id");
	stub_link.story = "{\"call_id\": \"x\", \"state\": \"ended\", \"ending\": \"complete\", \"cost\": \"0.000000000\", \"flags\": [\"over_hold\"]}";
	refused(get, "", "Status: 200", "\"http_status\": null, \"cause\": null, \"message\": \"It ran to its end. It cost more than was held for it.\", \"fix\": null}", "some-id some-id");
	stub_link.story = "";
	refused(get, "", "Status: 404", "call_unknown", "some-id some-id some-id");
	refused(no_key, "", "Status: 401", "key_missing", "some-id some-id some-id");
	stub_link.answer = (struct fare_admit_answer){.refused = FARE_KEY_REVOKED_};
	refused(get, "", "Status: 401", "key_revoked", "some-id some-id some-id some-id");
	stub_link.no_answer = true;
	refused(get, "", "Status: 503", "store_unavailable", "some-id some-id some-id some-id some-id");
	conf.topup_url[0] = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_json), T(test_stream), T(test_upstream_errors), T(test_timeouts), T(test_silence), T(test_caller_leaves), T(test_caller_leaves_before_an_error), T(test_caller_left_early), T(test_large_body_of_a_stranger), T(test_caller_leaves_a_flood),
		T(test_caller_does_not_read), T(test_slow_reader_gets_all), T(test_cut), T(test_grows), T(test_runs_dry), T(test_no_word_about_more), T(test_grows_without_stream), T(test_slow_reader_grows), T(test_refusals), T(test_refused_by_the_bank), T(test_story),
	};
	return flow_tests(tests, FARE_ARRAY_N(tests));
}
