/* Requests of the OpenAI dialect: what is taken, what is refused and by which name, what they count, and what goes upstream. */
#include "base/first.h"

#include "wire/openai.h"

#include "unit.h"

#define M "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define P "\"model\":\"m\",\"prompt\":\"hi\""
#define E "\"model\":\"m\",\"input\":\"hi\""

static void test_refused(void **state)
{
	static const struct { enum fare_endpoint endpoint; const char *body; enum fare_code code; const char *param; } rows[] = {
		{FARE_CHAT, "", FARE_CODE_BAD_JSON, ""}, {FARE_CHAT, "{", FARE_CODE_BAD_JSON, ""}, {FARE_CHAT, "{" M ",}", FARE_CODE_BAD_JSON, ""}, {FARE_CHAT, "{" M ",\"model\":\"dear\"}", FARE_CODE_BAD_JSON, ""},
		{FARE_CHAT, "{" M ",\"mod\\u0065l\":\"dear\"}", FARE_CODE_BAD_JSON, ""}, {FARE_CHAT, "[]", FARE_CODE_BAD_REQUEST, ""}, {FARE_CHAT, "\"x\"", FARE_CODE_BAD_REQUEST, ""}, {FARE_CHAT, "{}", FARE_CODE_BAD_REQUEST, "model"},
		{FARE_CHAT, "{\"model\":\"m\"}", FARE_CODE_BAD_REQUEST, "messages"}, {FARE_CHAT, "{\"model\":\"m\",\"messages\":null}", FARE_CODE_BAD_REQUEST, "messages"}, {FARE_CHAT, "{\"model\":\"m\",\"messages\":[]}", FARE_CODE_BAD_REQUEST, "messages"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":\"hi\"}", FARE_CODE_BAD_REQUEST, "messages"}, {FARE_CHAT, "{\"model\":\"m\",\"messages\":[\"hi\"]}", FARE_CODE_BAD_REQUEST, "messages[0]"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"content\":\"hi\"}]}", FARE_CODE_BAD_REQUEST, "messages[0]"}, {FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":1}]}", FARE_CODE_BAD_REQUEST, "messages[0]"},
		{FARE_CHAT, "{\"model\":1,\"messages\":[]}", FARE_CODE_BAD_REQUEST, "model"}, {FARE_CHAT, "{\"model\":\"\",\"messages\":[]}", FARE_CODE_BAD_REQUEST, "model"}, {FARE_CHAT, "{\"model\":\"a\\nb\",\"messages\":[]}", FARE_CODE_BAD_REQUEST, "model"},
		{FARE_CHAT, "{\"model\":\"a\\u0000b\",\"messages\":[]}", FARE_CODE_BAD_REQUEST, "model"}, {FARE_CHAT, "{\"model\":null,\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", FARE_CODE_BAD_REQUEST, "model"},
		{FARE_CHAT, "{" M ",\"max_tokens\":-1}", FARE_CODE_BAD_REQUEST, "max_tokens"}, {FARE_CHAT, "{" M ",\"max_tokens\":0}", FARE_CODE_BAD_REQUEST, "max_tokens"}, {FARE_CHAT, "{" M ",\"max_tokens\":1e18}", FARE_CODE_BAD_REQUEST, "max_tokens"},
		{FARE_CHAT, "{" M ",\"max_tokens\":1000000000000000000}", FARE_CODE_BAD_REQUEST, "max_tokens"}, {FARE_CHAT, "{" M ",\"max_tokens\":\"5\"}", FARE_CODE_BAD_REQUEST, "max_tokens"}, {FARE_CHAT, "{" M ",\"max_tokens\":5.0}", FARE_CODE_BAD_REQUEST, "max_tokens"},
		{FARE_CHAT, "{" M ",\"max_completion_tokens\":1.5}", FARE_CODE_BAD_REQUEST, "max_completion_tokens"}, {FARE_CHAT, "{" M ",\"max_tokens\":5,\"max_completion_tokens\":5}", FARE_CODE_BAD_REQUEST, "max_completion_tokens"},
		{FARE_CHAT, "{" M ",\"max_tokens\":true}", FARE_CODE_BAD_REQUEST, "max_tokens"}, {FARE_CHAT, "{" M ",\"max_tokens\":99999999999999999999999}", FARE_CODE_BAD_REQUEST, "max_tokens"},
		{FARE_CHAT, "{" M ",\"n\":1000}", FARE_CODE_BAD_REQUEST, "n"}, {FARE_CHAT, "{" M ",\"n\":0}", FARE_CODE_BAD_REQUEST, "n"}, {FARE_CHAT, "{" M ",\"n\":\"2\"}", FARE_CODE_BAD_REQUEST, "n"}, {FARE_CHAT, "{" M ",\"n\":129}", FARE_CODE_BAD_REQUEST, "n"},
		{FARE_CHAT, "{" M ",\"stream\":1}", FARE_CODE_BAD_REQUEST, "stream"}, {FARE_CHAT, "{" M ",\"stream\":\"true\"}", FARE_CODE_BAD_REQUEST, "stream"}, {FARE_CHAT, "{" M ",\"stream_options\":true}", FARE_CODE_BAD_REQUEST, "stream_options"},
		{FARE_CHAT, "{" M ",\"stream_options\":{\"include_usage\":\"yes\"}}", FARE_CODE_BAD_REQUEST, "stream_options.include_usage"}, {FARE_CHAT, "{" M ",\"frobnicate\":1}", FARE_CODE_BAD_REQUEST, "frobnicate"},
		{FARE_CHAT, "{" M ",\"frobnicate\":null}", FARE_CODE_BAD_REQUEST, "frobnicate"}, {FARE_CHAT, "{" M ",\"best_of\":2}", FARE_CODE_BAD_REQUEST, "best_of"}, {FARE_CHAT, "{" M ",\"n_predict\":2}", FARE_CODE_BAD_REQUEST, "n_predict"},
		{FARE_CHAT, "{" M ",\"service_tier\":\"priority\"}", FARE_CODE_FIELD_NOT_PRICED, "service_tier"}, {FARE_CHAT, "{" M ",\"service_tier\":\"flex\"}", FARE_CODE_FIELD_NOT_PRICED, "service_tier"}, {FARE_CHAT, "{" M ",\"service_tier\":1}", FARE_CODE_BAD_REQUEST, "service_tier"},
		{FARE_CHAT, "{" M ",\"web_search_options\":{}}", FARE_CODE_FIELD_NOT_PRICED, "web_search_options"}, {FARE_CHAT, "{" M ",\"audio\":{\"voice\":\"x\"}}", FARE_CODE_FIELD_NOT_PRICED, "audio"},
		{FARE_CHAT, "{" M ",\"modalities\":[\"text\",\"audio\"]}", FARE_CODE_FIELD_NOT_PRICED, "modalities"}, {FARE_CHAT, "{" M ",\"prediction\":{}}", FARE_CODE_FIELD_NOT_PRICED, "prediction"}, {FARE_CHAT, "{" M ",\"store\":true}", FARE_CODE_FIELD_NOT_PRICED, "store"},
		{FARE_CHAT, "{" M ",\"background\":true}", FARE_CODE_FIELD_NOT_PRICED, "background"}, {FARE_CHAT, "{" M ",\"tools\":[{\"type\":\"web_search\"}]}", FARE_CODE_FIELD_NOT_PRICED, "tools[0].type"}, {FARE_CHAT, "{" M ",\"tools\":[{}]}", FARE_CODE_BAD_REQUEST, "tools[0].type"},
		{FARE_CHAT, "{" M ",\"tools\":[{\"type\":\"function\"},{\"type\":\"code_interpreter\"}]}", FARE_CODE_FIELD_NOT_PRICED, "tools[1].type"}, {FARE_CHAT, "{" M ",\"tools\":{}}", FARE_CODE_BAD_REQUEST, "tools"}, {FARE_CHAT, "{" M ",\"models\":[\"x\"]}", FARE_CODE_FIELD_NOT_PRICED, "models"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_id\":\"x\"}}]}]}", FARE_CODE_FIELD_NOT_PRICED, "messages[0].content[0].type"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"input_audio\"}]}]}", FARE_CODE_FIELD_NOT_PRICED, "messages[0].content[1].type"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", FARE_CODE_BAD_REQUEST, "messages[0].content[0].image_url"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[7]}]}", FARE_CODE_BAD_REQUEST, "messages[0].content[0].type"},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"audio\":{\"id\":\"x\"}}]}", FARE_CODE_FIELD_NOT_PRICED, "messages[0]"},
		{FARE_COMPLETIONS, "{\"model\":\"m\"}", FARE_CODE_BAD_REQUEST, "prompt"}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[]}", FARE_CODE_BAD_REQUEST, "prompt"}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1,\"a\"]}", FARE_CODE_BAD_REQUEST, "prompt"},
		{FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"a\",[1]]}", FARE_CODE_BAD_REQUEST, "prompt"}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[[]]}", FARE_CODE_BAD_REQUEST, "prompt"}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1.5]}", FARE_CODE_BAD_REQUEST, "prompt"},
		{FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[-1]}", FARE_CODE_BAD_REQUEST, "prompt"}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":{}}", FARE_CODE_BAD_REQUEST, "prompt"}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":65}", FARE_CODE_BAD_REQUEST, "prompt"},
		{FARE_COMPLETIONS, "{" P ",\"max_completion_tokens\":5}", FARE_CODE_BAD_REQUEST, "max_completion_tokens"}, {FARE_COMPLETIONS, "{" P ",\"best_of\":129}", FARE_CODE_BAD_REQUEST, "best_of"}, {FARE_COMPLETIONS, "{" P ",\"messages\":[]}", FARE_CODE_BAD_REQUEST, "messages"},
		{FARE_EMBEDDINGS, "{\"model\":\"m\"}", FARE_CODE_BAD_REQUEST, "input"}, {FARE_EMBEDDINGS, "{" E ",\"stream\":true}", FARE_CODE_BAD_REQUEST, "stream"}, {FARE_EMBEDDINGS, "{" E ",\"max_tokens\":5}", FARE_CODE_BAD_REQUEST, "max_tokens"}, {FARE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[[1],[]]}", FARE_CODE_BAD_REQUEST, "input"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_openai_request q;
		struct fare_refusal r = {0};
		assert_false(fare_openai_request_read(&q, rows[i].endpoint, fare_span_of(rows[i].body), &r));
		if (r.code != rows[i].code || strcmp(r.param, rows[i].param) != 0)
			fail_msg("%s: %s, param \"%s\"", rows[i].body, fare_code_word(r.code), r.param);
		assert_true(r.detail[0] != '\0');
		fare_openai_request_release(&q);
	}
}

static void test_read(void **state)
{
	static const struct { enum fare_endpoint endpoint; const char *body; bool stream, usage_asked; uint32_t choices; int64_t bound; uint64_t prompt_bytes, text_bytes; uint32_t images; } rows[] = {
		{FARE_CHAT, "{" M "}", false, false, 1, FARE_NO_BOUND, 32, 2, 0}, {FARE_CHAT, " {" M ", \"max_tokens\" : 7 , \"n\":128,\"stream\":true,\"stream_options\":{\"include_usage\":true}} ", true, true, 128, 7, 32, 2, 0},
		{FARE_CHAT, "{" M ",\"max_tokens\":null,\"max_completion_tokens\":2147483647,\"n\":null,\"store\":false,\"service_tier\":\"auto\",\"audio\":null}", false, false, 1, 2147483647, 32, 2, 0},
		{FARE_CHAT, "{" M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"custom\"}],\"response_format\":{\"type\":\"text\"}}", false, false, 1, FARE_NO_BOUND, 32 + 63 + 15, 2, 0},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e4\\n\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}]}]}", false, false, 1, FARE_NO_BOUND, 105, 3, 1},
		{FARE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"parsed\":{\"x\":1},\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"get\",\"arguments\":\"{\\\"a\\\":1}\"}}]}]}", false, false, 1, FARE_NO_BOUND, 163, 10, 0},
		{FARE_CHAT, "{" M ",\"tools\":[{\"function\":{}}],\"usage\":{\"include\":true}}", false, false, 1, FARE_NO_BOUND, 32 + 17, 2, 0},
		{FARE_COMPLETIONS, "{" P ",\"max_tokens\":16,\"n\":2,\"best_of\":3,\"echo\":true}", false, false, 3, 16, 4, 2, 0}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"ab\",\"c\"],\"n\":2,\"suffix\":\"z\"}", false, false, 4, FARE_NO_BOUND, 4 + 3 + 3, 3, 0},
		{FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1,2,3]}", false, false, 1, FARE_NO_BOUND, 12, 12, 0}, {FARE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[[1,2],[3]],\"stream\":true}", true, false, 2, FARE_NO_BOUND, 12, 12, 0},
		{FARE_EMBEDDINGS, "{" E ",\"dimensions\":3,\"encoding_format\":\"base64\"}", false, false, 1, 0, 4, 2, 0}, {FARE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[\"a\",\"b\",\"c\"]}", false, false, 1, 0, 9, 3, 0}, {FARE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[[1,2],[3,4]]}", false, false, 1, 0, 16, 16, 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_openai_request q;
		struct fare_refusal r = {0};
		if (!fare_openai_request_read(&q, rows[i].endpoint, fare_span_of(rows[i].body), &r))
			fail_msg("%s: %s", rows[i].body, r.detail);
		if (q.prompt_bytes != rows[i].prompt_bytes || q.text_bytes != rows[i].text_bytes)
			fail_msg("%s: prompt %llu, text %llu", rows[i].body, (unsigned long long)q.prompt_bytes, (unsigned long long)q.text_bytes);
		assert_string_equal(q.model, "m");
		assert_int_equal(q.stream, rows[i].stream);
		assert_int_equal(q.usage_asked, rows[i].usage_asked);
		assert_int_equal(q.choices, rows[i].choices);
		assert_true(q.bound == rows[i].bound);
		assert_int_equal(q.images, rows[i].images);
		fare_openai_request_release(&q);
	}
}

static void test_write(void **state)
{
	enum { MT = FARE_BOUND_MAX_TOKENS, MCT = FARE_BOUND_MAX_COMPLETION_TOKENS, NSO = FARE_NO_STREAM_OPTIONS };
#define UM "\"model\":\"up/\\\"x\\\"\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
	static const struct { enum fare_endpoint endpoint; uint8_t field; int64_t bound; const char *body, *want; } rows[] = {
		{FARE_CHAT, MT, 9, "{" M "}", "{" UM ",\"max_tokens\":9}"}, {FARE_CHAT, MCT, 9, "{" M "}", "{" UM ",\"max_completion_tokens\":9}"}, {FARE_CHAT, MT, 9, "{" M ",\"max_tokens\":9}", "{" UM ",\"max_tokens\":9}"},
		{FARE_CHAT, MCT, 9, "{" M " ,\n \"max_tokens\" : 9 , \"top_p\" : 1e-1 }", "{" UM " ,\n \"max_completion_tokens\":9 , \"top_p\" : 1e-1 }"}, {FARE_CHAT, MT, 9, "{\"max_tokens\":null , " M ",\"max_completion_tokens\":9}", "{  " UM ",\"max_tokens\":9}"},
		{FARE_CHAT, MT, 9, "{\"max_tokens\":null,\"max_completion_tokens\":null, " M "}", "{ " UM ",\"max_tokens\":9}"}, {FARE_CHAT, MT, 9, "{" M ",\"max_completion_tokens\":null}", "{" UM ",\"max_tokens\":9}"},
		{FARE_CHAT, MT, 9, "{\"max_completion_tokens\":9," M "}", "{\"max_tokens\":9," UM "}"}, {FARE_CHAT, MT, 9, " {" M ",\"service_tier\":\"auto\",\"user\":\"\\u0041\"}\n", " {" UM ",\"service_tier\":\"default\",\"user\":\"\\u0041\",\"max_tokens\":9}\n"},
		{FARE_CHAT, MT, 9, "{" M ",\"stream\":true}", "{" UM ",\"stream\":true,\"max_tokens\":9,\"stream_options\":{\"include_usage\":true}}"},
		{FARE_CHAT, MT, 9, "{" M ",\"stream\":true,\"max_tokens\":9,\"stream_options\":null}", "{" UM ",\"stream\":true,\"max_tokens\":9,\"stream_options\":{\"include_usage\":true}}"},
		{FARE_CHAT, MT, 9, "{" M ",\"stream_options\":{},\"stream\":true,\"max_tokens\":9}", "{" UM ",\"stream_options\":{\"include_usage\":true},\"stream\":true,\"max_tokens\":9}"},
		{FARE_CHAT, MT, 9, "{" M ",\"stream_options\":{ \"include_obfuscation\":false},\"stream\":true,\"max_tokens\":9}", "{" UM ",\"stream_options\":{\"include_usage\":true, \"include_obfuscation\":false},\"stream\":true,\"max_tokens\":9}"},
		{FARE_CHAT, MT, 9, "{" M ",\"stream_options\":{ \"include_usage\" : false },\"stream\":true,\"max_tokens\":9}", "{" UM ",\"stream_options\":{ \"include_usage\" : true },\"stream\":true,\"max_tokens\":9}"},
		{FARE_CHAT, MT, 9, "{" M ",\"stream_options\":{\"include_usage\":false},\"max_tokens\":9}", "{" UM ",\"stream_options\":{\"include_usage\":false},\"max_tokens\":9}"},
		{FARE_CHAT, MT | NSO, 9, "{" M ",\"stream\":true,\"max_tokens\":9}", "{" UM ",\"stream\":true,\"max_tokens\":9}"},
		{FARE_CHAT, MCT | NSO, 9, "{\"stream_options\":{\"include_usage\":true}, " M ",\"stream\":true}", "{ " UM ",\"stream\":true,\"max_completion_tokens\":9}"},
		{FARE_CHAT, MT | NSO, 9, "{" M ",\"stream\":true ,\"max_tokens\":9, \"stream_options\":{}}", "{" UM ",\"stream\":true ,\"max_tokens\":9}"},
		{FARE_COMPLETIONS, MCT, 9, "{" P "}", "{\"model\":\"up/\\\"x\\\"\",\"prompt\":\"hi\",\"max_tokens\":9}"}, {FARE_EMBEDDINGS, MT, FARE_NO_BOUND, "{" E "}", "{\"model\":\"up/\\\"x\\\"\",\"input\":\"hi\"}"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_openai_request q;
		struct fare_refusal r = {0};
		struct fare_grant g = {.bound = rows[i].bound, .bound_field = rows[i].field, .upstream_model = "up/\"x\""};
		struct fare_buf out;
		struct fare_json j = {0};
		fare_buf_init(&out, 65536);
		assert_true(fare_openai_request_read(&q, rows[i].endpoint, fare_span_of(rows[i].body), &r));
		assert_true(fare_openai_request_write(&q, &g, &out));
		assert_string_equal(fare_buf_cstr(&out), rows[i].want);
		assert_true(fare_json_parse(&j, fare_buf_span(&out)));
		fare_json_release(&j);
		fare_buf_release(&out);
		fare_openai_request_release(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_read), cmocka_unit_test(test_write)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
