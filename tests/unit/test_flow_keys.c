/* Calls with an Idempotency-Key: what is kept of an answer, how it is said again, and what else is answered. */
#include "flow_kit.h"

#include "flow/call.h"
#include "wire/http.h"

static const char *const keyed[] = {
	"REQUEST_METHOD=POST", "REQUEST_URI=/v1/chat/completions", "CONTENT_TYPE=application/json", "REMOTE_ADDR=192.0.2.7", "HTTP_AUTHORIZATION=Bearer key-of-a-caller", "CONTENT_LENGTH=80",
	"HTTP_IDEMPOTENCY_KEY=\"a key\"", NULL,
};

static void up_late_end(int fd) /* long after a caller who is not expected back was given up */
{
	put(fd, SSE_HEAD CHUNK("one"));
	stub_link_note("begun");
	poll(NULL, 0, 600);
	put(fd, CHUNK("two") STOP USAGE DONE);
}

/* What is kept is what the caller got, but for the mark of a replay; it is kept before the meter's last word. */
static void test_kept(void **state)
{
	(void)state;
	call_with(keyed, up_json, plain);
	assert_string_equal(stub_link_notes(), "slot admit sent request progress keep final:complete settle");
	assert_string_equal(stub_kept, answer);
	HAS("Farebox-Cost: 0.017000000\r\nContent-Length: ");
	struct fare_admit first = stub_link.asked;
	struct fare_hash body, none = {{0}};
	fare_sha256(plain, strlen(plain), &body);
	assert_memory_equal(first.body, body.b, sizeof first.body);
	assert_memory_not_equal(&first.idem, &none, sizeof none);
	conf.silence_ms = 100;
	stub_link_reset(base_url);
	call_with(keyed, up_late, streamed); /* not the comment that came in its silence */
	assert_non_null(strstr(stub_link_notes(), "keep final:complete"));
	char *comment = strstr(answer, "\r\n\r\n:");
	assert_non_null(comment);
	char *after = strstr(comment, "data: ");
	assert_non_null(after);
	memmove(comment + 4, after, strlen(after) + 1);
	assert_string_equal(stub_kept, answer);
	assert_memory_equal(&stub_link.asked.idem, &first.idem, sizeof first.idem);
	assert_memory_not_equal(stub_link.asked.body, first.body, sizeof first.body);
	stub_link_reset(base_url);
	call(up_json, plain);
	assert_memory_equal(&stub_link.asked.idem, &none, sizeof none);
	assert_null(strstr(stub_link_notes(), "keep"));
}

/* An answer that is not whole, not an answer, or too long is not kept. */
static void up_long(int fd)
{
	put(fd, SSE_HEAD);
	for (int i = 0; i < 3000; i++)
		put(fd, CHUNK("0123456789"));
	put(fd, STOP USAGE DONE);
}

static void test_not_kept(void **state)
{
	static const struct { stub_script *script; const char *body; } cases[] = {{up_cut, streamed}, {up_429, plain}, {up_nothing, plain}, {up_401, plain}, {up_not_json, plain}, {up_long, streamed}};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		stub_link_reset(base_url);
		call_with(keyed, cases[i].script, cases[i].body);
		assert_null(strstr(stub_link_notes(), "keep"));
		assert_non_null(strstr(stub_link_notes(), "settle"));
	}
	assert_true(strlen(answer) > FARE_ANSWER_MAX);
	HAS("data: [DONE]");
	stub_link_reset(base_url);
	gate.budget.max = 20000; /* no memory for it */
	call_with(keyed, up_json, plain);
	HAS("Status: 200");
	assert_null(strstr(stub_link_notes(), "keep"));
	gate.budget.max = 1000000;
}

/* He who gave a key is expected back: read on for him, however long it takes; but not for more than is kept. */
static void leaves(stub_script *script, const char *until)
{
	struct stub_io io;
	stub_link_reset(base_url);
	stub_upstream_does(script);
	stub_io_open(&io, keyed, streamed);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, until);
	close(io.web);
	settled_as("final:client_gone");
	assert_true(stub_io_wait_closed(&io));
}

static void test_expected_back(void **state)
{
	(void)state;
	leaves(up_late_end, "one");
	assert_non_null(strstr(stub_link_notes(), "keep final:client_gone settle"));
	assert_non_null(strstr(stub_kept, "\"content\":\"two\""));
	assert_non_null(strstr(stub_kept, "data: [DONE]\n\n"));
	assert_int_equal(stub_link_usage().output, 5);
	conf.client_gone_bytes = 1000;
	leaves(up_endless, "0123456789");
	assert_null(strstr(stub_link_notes(), "keep"));
	assert_true(stub_link_wait("closed"));
	gate.brief = true; /* CGI */
	leaves(up_hang, "one");
	assert_true(stub_link_wait("closed"));
}

static void replay_is_due(const char *kept)
{
	stub_link_reset(base_url);
	stub_link.answer = (struct fare_admit_answer){.refused = FARE_IDEM_REPLAY, .numbers = {.earlier = {{9}}, .cost = {5}}};
	stub_link.kept = kept;
}

static void test_replay(void **state)
{
	static char large[FARE_ANSWER_MAX + 1];
	struct stub_io io;
	(void)state;
	int n = snprintf(large, sizeof large, "Status: 200 OK\r\nFarebox-Call-Id: earlier\r\nContent-Type: text/event-stream\r\n\r\n");
	memset(large + n, 'x', sizeof large - 1 - (size_t)n);
	replay_is_due("Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	call_with(keyed, up_nothing, plain);
	assert_string_equal(answer, "Status: 200 OK\r\nIdempotent-Replayed: true\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	assert_string_equal(stub_link_notes(), "slot admit fetch"); /* no hold, no meter, no settling, nothing upstream */
	replay_is_due(large);
	call_with(keyed, up_nothing, plain);
	assert_int_equal(strlen(answer), strlen(large) + strlen("Idempotent-Replayed: true\r\n"));
	assert_string_equal(answer + strlen("Idempotent-Replayed: true\r\n") + n, large + n);
	/* A caller who leaves, now or later. */
	for (int i = 0; i < 20; i++) {
		replay_is_due(large);
		stub_io_open(&io, keyed, plain);
		if (i % 2)
			close(io.web);
		fare_gate_serve(&gate, &stub_io_ops, &io);
		if (i % 2 == 0) {
			stub_io_read(&io, answer, i < 10 ? 200 : sizeof answer, "xxx");
			close(io.web);
		}
		assert_true(stub_io_wait_closed(&io));
	}
	/* One that cannot be read: said, as long as it can be. */
	replay_is_due("");
	refused(keyed, plain, "Status: 503", "store_unavailable", "slot admit fetch");
	replay_is_due("nonsense");
	refused(keyed, plain, "Status: 503", "store_unavailable", "slot admit fetch");
	replay_is_due(large);
	stub_link.kept_fails_at = 10000;
	stub_io_open(&io, keyed, plain);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, NULL);
	assert_true(stub_io_wait_closed(&io));
	assert_false(atomic_load(&io.finished)); /* broken: not taken for whole */
	assert_int_equal(strlen(answer), 2 * FARE_ANSWER_PART_N + strlen("Idempotent-Replayed: true\r\n"));
	close(io.web);
}

/* A caller who reads slowly gets it all; one who does not read is given up. */
static void test_replay_backpressure(void **state)
{
	static char large[FARE_ANSWER_MAX + 1];
	struct stub_io io;
	(void)state;
	int n = snprintf(large, sizeof large, "Status: 200 OK\r\n\r\n");
	memset(large + n, 'x', sizeof large - 1 - (size_t)n);
	replay_is_due(large);
	stub_io_open(&io, keyed, plain);
	int small = 4096;
	assert_int_equal(setsockopt(io.app, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	poll(NULL, 0, 200);
	stub_io_read(&io, answer, sizeof answer, NULL);
	assert_int_equal(strlen(answer), strlen(large) + strlen("Idempotent-Replayed: true\r\n"));
	assert_true(stub_io_wait_closed(&io) && atomic_load(&io.finished));
	close(io.web);
	conf.idle_timeout_ms = 300;
	replay_is_due(large);
	stub_io_open(&io, keyed, plain);
	assert_int_equal(setsockopt(io.app, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	assert_true(stub_io_wait_closed(&io));
	close(io.web);
	/* The worker ends: what runs is cut, and nothing more is asked for. */
	conf.idle_timeout_ms = 60000;
	replay_is_due(large);
	stub_io_open(&io, keyed, plain);
	assert_int_equal(setsockopt(io.app, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	while (atomic_load(&stub_link.fetches) * FARE_ANSWER_PART_N < FARE_OUT_LOW)
		poll(NULL, 0, 5);
	poll(NULL, 0, 100);
	unsigned fetches = atomic_load(&stub_link.fetches);
	fare_relay_cut(gate.relay);
	stub_io_read(&io, answer, sizeof answer, NULL);
	assert_true(stub_io_wait_closed(&io));
	assert_false(atomic_load(&io.finished));
	assert_int_equal(atomic_load(&stub_link.fetches), fetches);
	close(io.web);
}

static void test_key_refusals(void **state)
{
	static const struct { enum fare_refused refused; const char *status, *code, *more; } cases[] = {
		{FARE_IDEM_IN_FLIGHT, "Status: 409", "idempotency_in_flight", "Retry-After: 1\r\n"}, {FARE_IDEM_SPENT, "Status: 409", "idempotency_spent", "\"cost\": \"0.000000005\""},
		{FARE_IDEM_SPENT, "Status: 409", "\"earlier_call_id\": \"09000000-", "x-should-retry: false"}, {FARE_IDEM_MISMATCH, "Status: 422", "idempotency_mismatch", "x-should-retry: false"},
		{FARE_IDEM_FULL, "Status: 503", "overloaded", "Idempotency-Keys"}};
	const char *bad[] = {"", "\"\"", "\"a", "a\x7f", "\"a\\b\"", "\"a\"b\"", "\"a\";p=1", NULL, NULL};
	char longest[FARE_IDEM_KEY_MAX + 3], text[400];
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		stub_link_reset(base_url);
		stub_link.answer = (struct fare_admit_answer){.refused = (uint8_t)cases[i].refused, .numbers = {.earlier = {{9}}, .cost = {5}}};
		refused(keyed, plain, cases[i].status, cases[i].code, "slot admit");
		HAS(cases[i].more);
	}
	memset(longest, 'k', sizeof longest);
	longest[FARE_IDEM_KEY_MAX + 1] = 0;
	bad[7] = longest;
	for (size_t i = 0; bad[i]; i++) {
		const char *with[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/v1/chat/completions", "CONTENT_TYPE=application/json", "HTTP_AUTHORIZATION=Bearer k", "CONTENT_LENGTH=80", text, NULL};
		snprintf(text, sizeof text, "HTTP_IDEMPOTENCY_KEY=%s", bad[i]);
		stub_link_reset(base_url);
		refused(with, plain, "Status: 400", "\"param\": \"Idempotency-Key\"", "");
	}
}

/* The same text, quoted or bare, is one key; on another endpoint it is another. */
static void test_key_text(void **state)
{
	static const struct { const char *path, *key, *body; bool same; } cases[] = {
		{"/v1/chat/completions", "a key", plain, true}, {"/v1/chat/completions", " \"a key\" ", plain, true}, {"/v1/chat/completions", "a kez", plain, false}, {"/v1/chat/completions", "\"a\\\" key\"", plain, false},
		{"/v1/embeddings", "a key", "{\"model\":\"m\",\"input\":\"x\"}", false}};
	char path[100], key[100];
	(void)state;
	call_with(keyed, up_json, plain);
	struct fare_hash first = stub_link.asked.idem;
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		const char *with[] = {"REQUEST_METHOD=POST", path, "CONTENT_TYPE=application/json", "HTTP_AUTHORIZATION=Bearer k", "CONTENT_LENGTH=80", key, NULL};
		snprintf(path, sizeof path, "REQUEST_URI=%s", cases[i].path);
		snprintf(key, sizeof key, "HTTP_IDEMPOTENCY_KEY=%s", cases[i].key);
		stub_link_reset(base_url);
		stub_link.answer = (struct fare_admit_answer){.refused = FARE_IDEM_IN_FLIGHT};
		refused(with, cases[i].body, "Status: 409", "idempotency_in_flight", "slot admit");
		assert_int_equal(memcmp(&stub_link.asked.idem, &first, sizeof first) == 0, cases[i].same);
	}
}

/* A stream that runs dry has an end of its own, which is kept with it. */
static void test_dry_is_kept(void **state)
{
	(void)state;
	stub_link.answer.grant.held_output = 4;
	stub_link.held_max = 4;
	call_with(keyed, up_long, streamed);
	HAS("\"farebox\":{\"code\": \"balance_too_low\"");
	assert_non_null(strstr(stub_link_notes(), "keep final:balance_end settle"));
	assert_string_equal(stub_kept, answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_kept), T(test_not_kept), T(test_expected_back), T(test_replay), T(test_replay_backpressure), T(test_key_refusals), T(test_key_text), T(test_dry_is_kept)};
	return flow_tests(tests, FARE_ARRAY_N(tests));
}
