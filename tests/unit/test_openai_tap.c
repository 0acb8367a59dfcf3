/* The answer tap where recordings do not reach: large answers, odd lines, damage, hostile counts. Recorded answers: tests/replay. */
#include "base/first.h"

#include <stdio.h>

#include "base/json.h"
#include "wire/openai.h"

#include "unit.h"

static const struct fare_id id = {{1}};

static bool cost_of(void *arg, const struct fare_usage *u, struct fare_amount *cost)
{
	(void)arg;
	*cost = fare_nano((int64_t)(u->input + u->output));
	return true;
}

struct result {
	enum fare_tap_end end;
	bool pushed, has_usage, clamped, held;
	struct fare_usage usage;
	uint64_t text_bytes;
	struct fare_buf out;
};

/* step 0: in one piece. */
static struct result run(enum fare_endpoint endpoint, bool stream, bool asked, struct fare_span body, size_t step)
{
	struct fare_tap *t = fare_tap_new(endpoint, stream, asked, "mine", cost_of, NULL);
	struct result r = {.pushed = true};
	fare_buf_init(&r.out, 64 * 1024 * 1024);
	for (size_t at = 0, n; at < body.n && r.pushed; at += n) {
		n = step == 0 || step > body.n - at ? body.n - at : step;
		r.pushed = fare_tap_push(t, fare_span_at(body.p + at, n), &r.out);
	}
	r.held = fare_tap_held(t);
	r.end = fare_tap_finish(t, &r.out);
	assert_int_equal(r.end, fare_tap_end(t));
	assert_true(r.end != FARE_TAP_OPEN);
	r.has_usage = fare_tap_usage(t, &r.usage, &r.clamped);
	r.text_bytes = fare_tap_text_bytes(t);
	fare_tap_free(&t);
	return r;
}

#define CHUNK(text) "data: {\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define PASSED(text) "data: {\"model\":\"mine\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n"

static void test_streams(void **state)
{
	static const struct { const char *body, *out; bool asked; enum fare_tap_end end; bool has_usage; uint64_t text; } rows[] = {
		{CHUNK("ab") FINISH USAGE "data: [DONE]\n\n", PASSED("ab") FINISH "data: [DONE]\n\n", false, FARE_TAP_COMPLETE, true, 2},
		{CHUNK("ab") FINISH USAGE "data: [DONE]\n\n", PASSED("ab") FINISH "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7,\"cost\":0.000000007}}\n\ndata: [DONE]\n\n", true, FARE_TAP_COMPLETE, true, 2},
		{CHUNK("ab") FINISH, PASSED("ab") FINISH, false, FARE_TAP_COMPLETE, false, 2}, {CHUNK("ab"), PASSED("ab"), false, FARE_TAP_TRUNCATED, false, 2}, {"", "", false, FARE_TAP_TRUNCATED, false, 0},
		{CHUNK("ab") "data: [DONE]", PASSED("ab") "data: [DONE]\n\n", false, FARE_TAP_COMPLETE, false, 2}, {CHUNK("ab") "data: [DONE]\n", PASSED("ab") "data: [DONE]\n\n", false, FARE_TAP_COMPLETE, false, 2},
		{CHUNK("ab") FINISH "data: {\"choices\":[],\"usa", PASSED("ab") FINISH, false, FARE_TAP_TRUNCATED, false, 2}, {CHUNK("ab") "data: {\"choi", PASSED("ab"), false, FARE_TAP_TRUNCATED, false, 2},
		{": hello\n\n" CHUNK("a\\n\\u00e4\\ud83d\\ude00\\\\"), ": hello\n\n" PASSED("a\\n\\u00e4\\ud83d\\ude00\\\\"), false, FARE_TAP_TRUNCATED, false, 9}, {"data:{\"choices\":[]}\n\n", "data:{\"choices\":[]}\n\n", false, FARE_TAP_TRUNCATED, false, 0},
		{"id: 1\nretry: 5\nevent: message\n" CHUNK("x"), "id: 1\nretry: 5\nevent: message\n" PASSED("x"), false, FARE_TAP_TRUNCATED, false, 1}, {"\n\n\n" CHUNK("x"), "\n\n\n" PASSED("x"), false, FARE_TAP_TRUNCATED, false, 1},
		{"data: {\"choices\":[],\ndata: \"model\":\"up\"}\n\n", "data: {\"choices\":[],\ndata: \"model\":\"mine\"}\n\n", false, FARE_TAP_TRUNCATED, false, 0}, {"data\n\n", "data\n\n", false, FARE_TAP_TRUNCATED, false, 0},
		{CHUNK("\\ud83d"), PASSED("\\ud83d"), false, FARE_TAP_TRUNCATED, false, 2} /* a lone surrogate: not ours to judge */,
		{"event: error\ndata: {\"error\":{\"message\":\"no\"}}\n\n", "event: error\ndata: {\"error\":{\"message\":\"no\"}}\n\n", false, FARE_TAP_ERROR, false, 0}, {CHUNK("a") "data: {\"error\":\"no\"}\n\ndata: [DONE]\n\n", PASSED("a") "data: {\"error\":\"no\"}\n\ndata: [DONE]\n\n", false, FARE_TAP_ERROR, false, 1},
		{"data: {\"error\":null,\"choices\":[]}\n\n" FINISH, "data: {\"error\":null,\"choices\":[]}\n\n" FINISH, false, FARE_TAP_COMPLETE, false, 0}, {"data: {\"error\":{},\"choices\":[],\"usage\":{}}\n\n", "data: {\"error\":{},\"choices\":[],\"usage\":{}}\n\n", false, FARE_TAP_ERROR, false, 0},
		{"data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"},{\"index\":1}]}\n\n", "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"},{\"index\":1}]}\n\n", false, FARE_TAP_TRUNCATED, false, 0},
		{"data: {\"choices\":[],\"x_groq\":{\"error\":\"over\"}}\n\n", "data: {\"choices\":[],\"x_groq\":{\"error\":\"over\"}}\n\n", false, FARE_TAP_ERROR, false, 0}, {"event: error\n\n", "event: error\n\n", false, FARE_TAP_ERROR, false, 0},
		{CHUNK("a") "<html>\n\n", PASSED("a"), false, FARE_TAP_GARBAGE, false, 1}, {"data: nonsense\n\n", "", false, FARE_TAP_GARBAGE, false, 0}, {"data: [1]\n\n", "", false, FARE_TAP_GARBAGE, false, 0}, {"data: {\"a\":1}}\n\n", "", false, FARE_TAP_GARBAGE, false, 0},
		{"data: {\"a\":tru}\n\n", "", false, FARE_TAP_GARBAGE, false, 0}, {"data: {\"a\":1,}\n\n", "", false, FARE_TAP_GARBAGE, false, 0}, {"data: {a:1}\n\n", "", false, FARE_TAP_GARBAGE, false, 0}, {"data: {\"a\":[1}}\n\n", "", false, FARE_TAP_GARBAGE, false, 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++)
		for (size_t step = 0; step < 4; step++) {
			struct result r = run(FARE_CHAT, true, rows[i].asked, fare_span_of(rows[i].body), step);
			assert_string_equal(fare_buf_cstr(&r.out), rows[i].out);
			if (r.end != rows[i].end || r.text_bytes != rows[i].text || r.has_usage != rows[i].has_usage || r.pushed != (rows[i].end != FARE_TAP_GARBAGE))
				fail_msg("%s: end %d, text %llu", rows[i].body, (int)r.end, (unsigned long long)r.text_bytes);
			fare_buf_release(&r.out);
		}
}

/* The same stream with other ends of lines: a CR may come before its LF in another piece. */
static void test_line_ends(void **state)
{
	static const char lf[] = ": c\n\n" CHUNK("ab") FINISH USAGE "data: [DONE]\n\n";
	(void)state;
	for (int kind = 0; kind < 2; kind++)
		for (size_t step = 0; step < 5; step++) {
			struct fare_buf b, want;
			const char *out = ": c\n\n" PASSED("ab") FINISH "data: [DONE]\n\n", *end = kind ? "\r" : "\r\n";
			fare_buf_init(&b, 65536);
			fare_buf_init(&want, 65536);
			for (const char *p = lf; *p; p++)
				fare_buf_add(&b, *p == '\n' ? end : p, *p == '\n' ? strlen(end) : 1);
			for (const char *p = out; *p; p++)
				fare_buf_add(&want, *p == '\n' ? end : p, *p == '\n' ? strlen(end) : 1);
			struct result r = run(FARE_CHAT, true, false, fare_buf_span(&b), step);
			assert_int_equal(r.end, FARE_TAP_COMPLETE);
			assert_true(fare_span_eq(fare_buf_span(&r.out), fare_buf_span(&want)));
			assert_true(r.usage.input == 3 && r.usage.output == 4);
			fare_buf_release(&r.out);
			fare_buf_release(&b);
			fare_buf_release(&want);
		}
}

#define NAMED(text) "data: {\"id\":\"x-1\",\"created\":17,\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define NAMED_PASSED(text) "data: {\"id\":\"x-1\",\"created\":17,\"model\":\"mine\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define RUNNING(n) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":" n ",\"total_tokens\":" n "}}\n\n"

/* What passes under a limit, and what waits. */
static void test_limit(void **state)
{
	static const struct { const char *body; uint64_t limit, seen; bool waits; uint64_t text; } rows[] = {
		{CHUNK("abcd") CHUNK("abcd"), 4, 4, false, 8}, {CHUNK("abcd") CHUNK("abcd"), 3, 4, true, 4}, {CHUNK("abcd") CHUNK("a"), 2, 3, true, 4}, {CHUNK("abcd"), 0, 2, true, 0},
		{CHUNK("") CHUNK("") CHUNK("a"), 2, 3, true, 0} /* parts of characters: a token each */, {CHUNK("abcd") FINISH USAGE "data: [DONE]\n\n", 2, 4, false, 4} /* an end waits for nothing */,
		{RUNNING("7"), 6, 7, true, 0}, {RUNNING("7") RUNNING("8"), 7, 8, true, 1}, {"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\n", 0, 0, false, 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_tap *t = fare_tap_new(FARE_CHAT, true, true, "mine", cost_of, NULL);
		struct fare_buf out;
		fare_buf_init(&out, 65536);
		fare_tap_limit(t, rows[i].limit);
		assert_true(fare_tap_push(t, fare_span_of(rows[i].body), &out));
		if (fare_tap_seen(t) != rows[i].seen || fare_tap_waits(t) != rows[i].waits || fare_tap_text_bytes(t) != rows[i].text)
			fail_msg("%s: seen %llu, text %llu", rows[i].body, (unsigned long long)fare_tap_seen(t), (unsigned long long)fare_tap_text_bytes(t));
		/* The upstream has ended: what waits is not passed. */
		assert_int_equal(fare_tap_finish(t, &out), strstr(rows[i].body, "stop") ? FARE_TAP_COMPLETE : FARE_TAP_TRUNCATED);
		assert_int_equal(fare_tap_text_bytes(t), rows[i].text);
		fare_tap_free(&t);
		fare_buf_release(&out);
	}
}

static void dry_end(enum fare_endpoint endpoint, bool asked, uint32_t choices, const char *body, uint64_t limit, const char *want)
{
	struct fare_refusal r = {.code = FARE_CODE_BALANCE_TOO_LOW, .available = {7}, .needed = {64000}, .topup_url = "https://pay", .currency = "USD"};
	struct fare_tap_dry dry = {.choices = choices, .notice = &r, .call_id = id, .usage = {.input = 3, .output = 4}, .cost = {7000}};
	struct fare_tap *t = fare_tap_new(endpoint, true, asked, "mine", cost_of, NULL);
	struct fare_buf out;
	fare_buf_init(&out, 65536);
	fare_tap_limit(t, limit);
	assert_true(fare_tap_push(t, fare_span_of(body), &out));
	assert_true(fare_tap_waits(t));
	fare_tap_dry(t, &dry, &out);
	assert_int_equal(fare_tap_end(t), FARE_TAP_DRY);
	assert_string_equal(fare_buf_cstr(&out), want);
	assert_false(fare_tap_push(t, fare_span_of("x"), &out));
	fare_tap_free(&t);
	fare_buf_release(&out);
}

#define NOTICE "\"farebox\":{\"code\": \"balance_too_low\", \"message\": \"The account's balance does not pay for more of this answer: 0.000064000 USD is held for it, 0.000000007 is available. " \
	"Add credit at https://pay, then ask again.\", \"call_id\": \"01000000-0000-0000-0000-000000000000\", \"held\": \"0.000064000\", \"available\": \"0.000000007\", \"topup_url\": \"https://pay\"}"
#define LAST(i, what) "{\"index\":" i "," what ",\"logprobs\":null,\"finish_reason\":\"length\"}"

static void test_dry(void **state)
{
	(void)state;
	dry_end(FARE_CHAT, false, 1, NAMED("abcd") NAMED("efgh"), 2,
		NAMED_PASSED("abcd") "data: {\"id\":\"x-1\",\"object\":\"chat.completion.chunk\",\"created\":17,\"model\":\"mine\",\"choices\":[" LAST("0", "\"delta\":{}") "]," NOTICE "}\n\n" "data: [DONE]\n\n");
	/* What waits does not finish its choice; what passed did. */
	dry_end(FARE_CHAT, true, 3, NAMED("abcd") FINISH "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n", 2,
		NAMED_PASSED("abcd") FINISH "data: {\"id\":\"x-1\",\"object\":\"chat.completion.chunk\",\"created\":17,\"model\":\"mine\",\"choices\":[" LAST("1", "\"delta\":{}") "," LAST("2", "\"delta\":{}")
		"],\"usage\":null," NOTICE "}\n\n" "data: {\"id\":\"x-1\",\"object\":\"chat.completion.chunk\",\"created\":17,\"model\":\"mine\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7,\"cost\":0.000007}}\n\n"
		"data: [DONE]\n\n");
	dry_end(FARE_COMPLETIONS, false, 1, "data: {\"choices\":[{\"index\":0,\"text\":\"abcd\"}]}\n\n", 1,
		"data: {\"id\":\"cmpl-01000000-0000-0000-0000-000000000000\",\"object\":\"text_completion\",\"created\":0,\"model\":\"mine\",\"choices\":[" LAST("0", "\"text\":\"\"") "]," NOTICE "}\n\n" "data: [DONE]\n\n");
	/* Whatever an upstream still says after its end. */
	dry_end(FARE_CHAT, true, 2, NAMED("abcd") FINISH "data: [DONE]\n\n" NAMED("efgh"), 2, NAMED_PASSED("abcd") FINISH "data: [DONE]\n\n");
}

static void test_usages(void **state)
{
#define OK true
	static const struct { const char *usage; bool has, clamped; struct fare_usage u; } rows[] = {
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}", OK, false, {10, 5, 0, 0, 0}}, {"null", false, false, {0, 0, 0, 0, 0}}, {"7", false, false, {0, 0, 0, 0, 0}}, {"[]", false, false, {0, 0, 0, 0, 0}}, {"{}", false, false, {0, 0, 0, 0, 0}},
		{"{\"prompt_tokens\":10,\"completion_tokens\":null}", false, false, {0, 0, 0, 0, 0}}, {"{\"prompt_tokens\":null,\"completion_tokens\":5,\"total_tokens\":15}", OK, false, {10, 5, 0, 0, 0}},
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":20,\"completion_tokens_details\":{\"reasoning_tokens\":5}}", OK, false, {10, 10, 0, 0, 5}}, {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,\"completion_tokens_details\":{\"reasoning_tokens\":5}}", OK, false, {10, 5, 0, 0, 5}},
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":99}", OK, false, {10, 89, 0, 0, 0}}, {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":35,\"prompt_tokens_details\":{\"audio_tokens\":20}}", OK, false, {30, 5, 0, 0, 0}},
		{"{\"prompt_tokens\":10.0,\"completion_tokens\":5.000}", OK, false, {10, 5, 0, 0, 0}}, {"{\"prompt_tokens\":10.7,\"completion_tokens\":5}", OK, true, {10, 5, 0, 0, 0}}, {"{\"prompt_tokens\":-10,\"completion_tokens\":5}", OK, true, {0, 5, 0, 0, 0}},
		{"{\"prompt_tokens\":10,\"completion_tokens\":99999999999999999999999999}", OK, true, {10, UINT64_C(1) << 40, 0, 0, 0}}, {"{\"prompt_tokens\":1e3,\"completion_tokens\":5}", OK, true, {0, 5, 0, 0, 0}}, {"{\"prompt_tokens\":\"10\",\"completion_tokens\":5}", false, false, {0, 0, 0, 0, 0}},
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,\"prompt_tokens_details\":{\"cached_tokens\":12}}", OK, true, {10, 5, 10, 0, 0}}, {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":27,\"prompt_tokens_details\":{\"cached_tokens\":12}}", OK, false, {22, 5, 12, 0, 0}},
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_cache_hit_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":null,\"cache_write_tokens\":2}}", OK, false, {10, 5, 3, 2, 0}}, {"{\"prompt_tokens\":1,\"prompt_tokens\":2,\"completion_tokens\":5}", false, false, {0, 0, 0, 0, 0}},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++)
		for (size_t step = 0; step < 3; step++) {
			char body[1024];
			snprintf(body, sizeof body, "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":%s}", rows[i].usage);
			struct result r = run(FARE_CHAT, false, false, fare_span_of(body), step);
			if (r.has_usage != rows[i].has || r.clamped != rows[i].clamped || memcmp(&r.usage, &rows[i].u, sizeof r.usage) != 0)
				fail_msg("%s: %d %d, in %llu out %llu cached %llu", rows[i].usage, r.has_usage, r.clamped, (unsigned long long)r.usage.input, (unsigned long long)r.usage.output, (unsigned long long)r.usage.cached);
			assert_int_equal(r.end, FARE_TAP_COMPLETE);
			fare_buf_release(&r.out);
		}
}

/* A usage inside a choice (Moonshot) or an extension (Groq) counts where the chunk has none of its own; the last complete one counts. */
static void test_usage_places(void **state)
{
#define U(n) "\"usage\":{\"prompt_tokens\":" n ",\"completion_tokens\":" n "}"
	static const struct { const char *body; uint64_t input; } rows[] = {
		{"data: {\"choices\":[{\"index\":0," U("5") "}]}\n\n", 5}, {"data: {\"choices\":[],\"x_groq\":{" U("6") "}}\n\n", 6}, {"data: {\"choices\":[]," U("7") ",\"x_groq\":{" U("6") "}}\n\n", 7},
		{"data: {\"x_groq\":{" U("6") "},\"choices\":[]," U("7") "}\n\n", 7}, {"data: {\"choices\":[]," U("7") "}\n\ndata: {\"choices\":[]," U("8") "}\n\ndata: {\"choices\":[],\"usage\":null}\n\n", 8},
		{"data: {\"choices\":[]," U("7") "}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9}}\n\n", 7}, {"data: {\"choices\":[{\"delta\":{" U("5") "}}],\"a\":{" U("5") "}}\n\n", 0}, {"data: {\"usage\":{\"usage\":{\"prompt_tokens\":3},\"prompt_tokens\":4,\"completion_tokens\":4}}\n\n", 4},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++)
		for (size_t step = 0; step < 3; step++) {
			struct result r = run(FARE_CHAT, true, true, fare_span_of(rows[i].body), step);
			assert_int_equal(r.has_usage, rows[i].input > 0);
			assert_int_equal(r.usage.input, rows[i].input);
			fare_buf_release(&r.out);
		}
}

static void test_answers(void **state)
{
	static const struct { enum fare_endpoint endpoint; const char *body, *out; enum fare_tap_end end; uint64_t text; } rows[] = {
		{FARE_CHAT, "\n \n{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"ab\"}],\"reasoning\":\"xyz\",\"reasoning_content\":\"xyz\"}}], \"model\" : \"up\"}", "\n \n{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"ab\"}],\"reasoning\":\"xyz\",\"reasoning_content\":\"xyz\"}}], \"model\" : \"mine\"}", FARE_TAP_COMPLETE, 5},
		{FARE_CHAT, "{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"cost\":{\"x\":[1]},\"z\":0},\"choices\":[]}", "{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"cost\":0.000000002,\"z\":0},\"choices\":[]}", FARE_TAP_COMPLETE, 0},
		{FARE_CHAT, "{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\": [1]}}}],\"function_call\":{\"name\":\"g\",\"arguments\":\"{}\"}}}]}", "{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\": [1]}}}],\"function_call\":{\"name\":\"g\",\"arguments\":\"{}\"}}}]}", FARE_TAP_COMPLETE, 14},
		{FARE_COMPLETIONS, "{\"choices\":[{\"text\":\"abc\"}]}", "{\"choices\":[{\"text\":\"abc\"}]}", FARE_TAP_COMPLETE, 3}, {FARE_CHAT, "{\"choices\":[{\"text\":\"abc\"}]}", "{\"choices\":[{\"text\":\"abc\"}]}", FARE_TAP_COMPLETE, 0},
		{FARE_EMBEDDINGS, "{\"data\":[{\"embedding\":[1,-2.5e-7]}],\"usage\":{\"prompt_tokens\":5}}", "{\"data\":[{\"embedding\":[1,-2.5e-7]}],\"usage\":{\"prompt_tokens\":5,\"cost\":0.000000005}}", FARE_TAP_COMPLETE, 0},
		{FARE_CHAT, "{\"error\":{\"message\":\"no\"}}", "", FARE_TAP_ERROR, 0}, {FARE_CHAT, "{\"data\":[]}", "", FARE_TAP_GARBAGE, 0}, {FARE_EMBEDDINGS, "{\"choices\":[]}", "", FARE_TAP_GARBAGE, 0}, {FARE_CHAT, "", "", FARE_TAP_GARBAGE, 0},
		{FARE_CHAT, "<html>", "", FARE_TAP_GARBAGE, 0}, {FARE_CHAT, "null", "", FARE_TAP_GARBAGE, 0}, {FARE_CHAT, "[{}]", "", FARE_TAP_GARBAGE, 0}, {FARE_CHAT, "{\"choices\":[]}x", "", FARE_TAP_GARBAGE, 0}, {FARE_CHAT, "{\"choices\":[{\"message\":{\"content\":\"abcdef", "", FARE_TAP_TRUNCATED, 0}, {FARE_CHAT, "{\"a\":\"\x01\"}", "", FARE_TAP_GARBAGE, 0},
		{FARE_CHAT, "{\"a\":\"\\q\"}", "", FARE_TAP_GARBAGE, 0}, {FARE_CHAT, "{\"a\":\"\\u12g4\"}", "", FARE_TAP_GARBAGE, 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++)
		for (size_t step = 0; step < 4; step++) {
			struct result r = run(rows[i].endpoint, false, false, fare_span_of(rows[i].body), step);
			assert_string_equal(fare_buf_cstr(&r.out), rows[i].out);
			if (r.end != rows[i].end || r.text_bytes != rows[i].text)
				fail_msg("%s: end %d, text %llu", rows[i].body, (int)r.end, (unsigned long long)r.text_bytes);
			fare_buf_release(&r.out);
		}
}

/* An embedding answer of some megabytes: passed as it comes, its model and usage, at the end, still edited wherever the cuts fall. */
static void test_large(void **state)
{
	struct fare_buf body, want;
	(void)state;
	fare_buf_init(&body, 8 * 1024 * 1024);
	fare_buf_init(&want, 8 * 1024 * 1024);
	fare_buf_add_str(&body, "{\"data\":[{\"embedding\":[0");
	while (body.n < 3 * 1024 * 1024)
		fare_buf_add_str(&body, ",-0.0123456789");
	fare_buf_add_span(&want, fare_buf_span(&body));
	fare_buf_add_str(&body, "]}],\"model\":\"up\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}");
	fare_buf_add_str(&want, "]}],\"model\":\"mine\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8,\"cost\":0.000000008}}");
	static const size_t steps[] = {0, 1, 7, 1000, 65536, 1048576};
	for (size_t i = 0; i < FARE_ARRAY_N(steps); i++) {
		struct result r = run(FARE_EMBEDDINGS, false, false, fare_buf_span(&body), steps[i]);
		assert_int_equal(r.end, FARE_TAP_COMPLETE);
		assert_false(r.held);
		assert_true(r.has_usage && r.usage.input == 8 && r.usage.output == 0);
		assert_true(fare_span_eq(fare_buf_span(&r.out), fare_buf_span(&want)));
		fare_buf_release(&r.out);
	}
	struct result cut = run(FARE_EMBEDDINGS, false, false, fare_span_at(body.p, 2 * 1024 * 1024), 65536);
	assert_int_equal(cut.end, FARE_TAP_TRUNCATED);
	assert_true(cut.out.n == 2 * 1024 * 1024);
	fare_buf_release(&cut.out);
	fare_buf_release(&body);
	fare_buf_release(&want);
}

static void test_bounds(void **state)
{
	struct fare_buf b;
	struct result r;
	(void)state;
	fare_buf_init(&b, 8 * 1024 * 1024);
	fare_buf_add_str(&b, "data: {\"a\":\"");
	while (b.n <= FARE_EVENT_MAX)
		fare_buf_add_str(&b, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	r = run(FARE_CHAT, true, false, fare_buf_span(&b), 4096);
	assert_int_equal(r.end, FARE_TAP_GARBAGE);
	assert_int_equal(r.out.n, 0);
	fare_buf_release(&r.out);
	fare_buf_reset(&b);
	fare_buf_add_str(&b, "data: {\"choices\":[{\"delta\":{\"images\":\"");
	while (b.n < FARE_EVENT_MAX - 64)
		fare_buf_add_char(&b, 'i');
	fare_buf_add_str(&b, "\"}}]}\n\ndata: [DONE]\n\n");
	r = run(FARE_CHAT, true, false, fare_buf_span(&b), 4096);
	assert_int_equal(r.end, FARE_TAP_COMPLETE);
	assert_true(fare_span_eq(fare_buf_span(&r.out), fare_buf_span(&b)));
	fare_buf_release(&r.out);
	for (size_t deep = 127; deep < 130; deep++) { /* containers, the outermost included */
		fare_buf_reset(&b);
		fare_buf_add_str(&b, "{\"choices\":[],\"a\":");
		for (size_t i = 1; i < deep; i++)
			fare_buf_add_char(&b, '[');
		for (size_t i = 1; i < deep; i++)
			fare_buf_add_char(&b, ']');
		fare_buf_add_char(&b, '}');
		r = run(FARE_CHAT, false, false, fare_buf_span(&b), 0);
		assert_int_equal(r.end, deep <= 128 ? FARE_TAP_COMPLETE : FARE_TAP_GARBAGE);
		fare_buf_release(&r.out);
	}
	/* A usage that is too long to be one is not counted, but passes. */
	fare_buf_reset(&b);
	fare_buf_add_str(&b, "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"x\":\"");
	while (b.n < 80 * 1024)
		fare_buf_add_char(&b, 'x');
	fare_buf_add_str(&b, "\"}}");
	r = run(FARE_CHAT, false, false, fare_buf_span(&b), 100);
	assert_int_equal(r.end, FARE_TAP_COMPLETE);
	assert_false(r.has_usage);
	assert_true(fare_span_eq(fare_buf_span(&r.out), fare_buf_span(&b)));
	fare_buf_release(&r.out);
	fare_buf_release(&b);
}

static void test_held(void **state)
{
	struct fare_tap *t = fare_tap_new(FARE_CHAT, false, false, "mine", NULL, NULL);
	struct fare_buf out;
	(void)state;
	fare_buf_init(&out, 65536);
	assert_true(fare_tap_push(t, fare_span_of("{\"choices\":[]"), &out));
	assert_true(fare_tap_held(t) && out.n == 0);
	assert_true(fare_tap_push(t, fare_span_of("}"), &out));
	assert_true(fare_tap_held(t) && out.n == 0);
	assert_int_equal(fare_tap_finish(t, &out), FARE_TAP_COMPLETE);
	assert_int_equal(out.n, 14);
	assert_false(fare_tap_push(t, fare_span_of("x"), &out));
	fare_tap_free(&t);
	fare_tap_free(&t);
	fare_buf_release(&out);
}

static void test_say(void **state)
{
	const struct fare_openai_model models[] = {{fare_span_of("a\"b"), fare_span_of("sandbox"), 1700000000999}, {fare_span_of("c"), fare_span_of("p"), 0}};
	struct fare_refusal r = {.code = FARE_CODE_UPSTREAM_TIMEOUT};
	struct fare_buf out;
	struct fare_json j = {0};
	(void)state;
	fare_buf_init(&out, 65536);
	fare_openai_models_write(models, 2, &out);
	assert_string_equal(fare_buf_cstr(&out), "{\"object\": \"list\", \"data\": [{\"id\": \"a\\\"b\", \"object\": \"model\", \"created\": 1700000000, \"owned_by\": \"sandbox\"}, {\"id\": \"c\", \"object\": \"model\", \"created\": 0, \"owned_by\": \"p\"}]}");
	fare_buf_reset(&out);
	fare_openai_models_write(NULL, 0, &out);
	assert_string_equal(fare_buf_cstr(&out), "{\"object\": \"list\", \"data\": []}");
	fare_buf_reset(&out);
	fare_openai_error_event(&r, id, &out);
	assert_true(fare_span_starts(fare_buf_span(&out), "data: {\"error\": {\"message\": ") && out.n > 8 && memcmp(out.p + out.n - 2, "\n\n", 2) == 0);
	assert_true(fare_json_parse(&j, fare_span_at(out.p + 6, out.n - 8)));
	fare_buf_reset(&out);
	fare_openai_silence(&out);
	assert_true(out.p[0] == ':' && memcmp(out.p + out.n - 2, "\n\n", 2) == 0);
	fare_json_release(&j);
	fare_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_streams), cmocka_unit_test(test_line_ends), cmocka_unit_test(test_limit), cmocka_unit_test(test_dry), cmocka_unit_test(test_usages), cmocka_unit_test(test_usage_places), cmocka_unit_test(test_answers), cmocka_unit_test(test_large), cmocka_unit_test(test_bounds), cmocka_unit_test(test_held), cmocka_unit_test(test_say)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
