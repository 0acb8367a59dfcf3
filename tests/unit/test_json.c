/* The strict JSON reader: what is taken, what is refused and where, and what is read from it. */
#include "base/first.h"

#include <stdio.h>

#include "base/json.h"

#include "unit.h"

struct sample {
	const char *text;
	size_t n; /* 0: up to the NUL */
};

#define BYTES(s) {s, sizeof(s) - 1}

static const struct sample taken[] = {
	{"{}", 0}, {"[]", 0}, {"\"\"", 0}, {"0", 0}, {"-0", 0}, {"true", 0}, {"false", 0}, {"null", 0},
	{" \t\r\n1\t\n\r ", 0}, {"[1,2 , 3]", 0}, {"[[],{},[[]]]", 0}, {"{\"a\":{\"a\":{\"a\":1}}}", 0},
	{"10", 0}, {"-10.25", 0}, {"1e5", 0}, {"1E+5", 0}, {"1.5e-5", 0}, {"0e0", 0}, {"0.0", 0}, {"-0.1", 0}, {"1e400", 0},
	{"123456789012345678901234567890", 0}, {"{\"\":0}", 0}, {"{\"a\":1,\"A\":2}", 0}, {"{\"a\":1,\"a \":2}", 0},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", 0}, {"\"\\u0041\\u00e9\\u20AC\"", 0}, {"\"\\ud83d\\ude00\"", 0}, {"\"\\uDBFF\\uDFFF\"", 0},
	{"\"\\u0000\"", 0}, {"\"\\uFFFF\"", 0}, {"\"\x7F\"", 0}, {"\"\xC2\x80\"", 0}, {"\"\xDF\xBF\"", 0}, {"\"\xE0\xA0\x80\"", 0},
	{"\"\xED\x9F\xBF\"", 0}, {"\"\xEE\x80\x80\"", 0}, {"\"\xEF\xBF\xBF\"", 0}, {"\"\xF0\x90\x80\x80\"", 0}, {"\"\xF4\x8F\xBF\xBF\"", 0},
	{"\"\xE2\x80\xA8\"", 0}, {"{\"a\":1,\"a\\u0000\":2}", 0}, {"[{\"a\":1},{\"a\":1}]", 0}, {"\"\\\\u0041\"", 0}, {"\"/\"", 0},
	{"\"0123456789012345\"", 0}, {"\"0123456789012345678901234567890\xC3\xA9 0123456789\"", 0},
};

static const struct sample refused[] = {
	{"", 0}, {" ", 0}, {"\xEF\xBB\xBF{}", 0}, {"\xEF\xBB\xBF", 0}, {"{", 0}, {"[", 0}, {"]", 0}, {"}", 0}, {"[1", 0}, {"[1,", 0}, {"[1,]", 0},
	{"[,1]", 0}, {"[1,,2]", 0}, {"[1 2]", 0}, {"[1:2]", 0}, {"[}", 0}, {"{]", 0}, {"{\"a\":1]", 0}, {"[]]", 0}, {"{}}", 0}, {"{}{}", 0}, {"1 2", 0},
	{"{\"a\"}", 0}, {"{\"a\":}", 0}, {"{\"a\" 1}", 0}, {"{\"a\"::1}", 0}, {"{\"a\":1,}", 0}, {"{,}", 0}, {"{\"a\":1 \"b\":2}", 0}, {"{\"a\",1}", 0},
	{"{1:1}", 0}, {"{a:1}", 0}, {"{'a':1}", 0}, {"{null:1}", 0}, {"{[]:1}", 0}, {":", 0}, {",", 0},
	{"01", 0}, {"-01", 0}, {"00", 0}, {"-", 0}, {"+1", 0}, {".5", 0}, {"1.", 0}, {"-.5", 0}, {"1.e1", 0}, {"1e", 0}, {"1e+", 0}, {"1e-", 0}, {"1e1.5", 0},
	{"0x1", 0}, {"1_000", 0}, {"- 1", 0}, {"--1", 0}, {"1-", 0}, {"NaN", 0}, {"Infinity", 0}, {"-Infinity", 0}, {"1,5", 0}, {"\xEF\xBC\x91", 0},
	{"tru", 0}, {"truE", 0}, {"True", 0}, {"truee", 0}, {"nul", 0}, {"NULL", 0}, {"undefined", 0}, {"fals", 0}, {"nulll", 0},
	{"\"", 0}, {"\"a", 0}, {"'a'", 0}, {"\"\\", 0}, {"\"\\\"", 0}, {"\"\\x41\"", 0}, {"\"\\a\"", 0}, {"\"\\'\"", 0}, {"\"\\ \"", 0}, {"\"\\U0041\"", 0},
	{"\"\\u\"", 0}, {"\"\\u1\"", 0}, {"\"\\u123\"", 0}, {"\"\\u123G\"", 0}, {"\"\\u 123\"", 0}, {"\"\\u-123\"", 0}, {"\"\\u", 0}, {"\"\\u00", 0},
	{"\"\\ud800\"", 0}, {"\"\\udbff\"", 0}, {"\"\\udc00\"", 0}, {"\"\\udfff\"", 0}, {"\"\\ud800\\ud800\"", 0}, {"\"\\udc00\\ud800\"", 0}, {"\"\\ud800 \\udc00\"", 0},
	{"\"\\ud800\\n\"", 0}, {"\"\\ud800\\u0041\"", 0}, {"\"\\ud800\\u", 0}, {"\"\\ud800\\udc0\"", 0}, {"\"\\ud800\\", 0},
	{"\"\n\"", 0}, {"\"\t\"", 0}, {"\"\x1F\"", 0}, {"\"\x01\"", 0}, {"\"a long enough text to be skipped by words\r\"", 0},
	BYTES("\"\0\""), BYTES("\0"), BYTES("1\0"), BYTES("{}\0"), BYTES("[\0]"), BYTES("\"\\\0\""), BYTES("\"\\u00\0" "0\""),
	{"[\f1]", 0}, {"[\v1]", 0}, {"[\xC2\xA0" "1]", 0}, {"\xE2\x80\xA8{}", 0}, {"[1]//", 0}, {"/**/1", 0}, {"[1/**/]", 0}, {"#", 0},
	{"\"\x80\"", 0}, {"\"\xBF\"", 0}, {"\"\xC0\xAF\"", 0}, {"\"\xC1\xBF\"", 0}, {"\"\xC3\"", 0}, {"\"\xC3\x28\"", 0}, {"\"\xE0\x9F\xBF\"", 0}, {"\"\xE2\x82\"", 0},
	{"\"\xE2\x28\xA1\"", 0}, {"\"\xED\xA0\x80\"", 0}, {"\"\xED\xBF\xBF\"", 0}, {"\"\xF0\x8F\xBF\xBF\"", 0}, {"\"\xF0\x9F\x98\"", 0}, {"\"\xF4\x90\x80\x80\"", 0},
	{"\"\xF5\x80\x80\x80\"", 0}, {"\"\xFE\"", 0}, {"\"\xFF\"", 0}, {"\"caf\xE9\"", 0}, {"\"\xC3", 0}, {"\"\xE2\x82", 0}, {"\"\xF0\x9F\x98", 0}, {"{\"\xFF\":1}", 0},
	{"\"0123456789012345678\xFF\"", 0}, {"\xFF\xFE[\0]\0", 0},
	{"{\"a\":1,\"a\":1}", 0}, {"{\"a\":1,\"b\":2,\"a\":3}", 0}, {"{\"a\":1,\"\\u0061\":2}", 0}, {"{\"\\u0061\":1,\"\\u0061\":2}", 0}, {"{\"\":1,\"\":2}", 0},
	{"{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}", 0}, {"{\"/\":1,\"\\/\":2}", 0}, {"{\"\\n\":1,\"\\u000A\":2}", 0}, {"[[{\"x\":{\"a\":1,\"a\":2}}]]", 0},
	{"{\"\\u0000\":1,\"\\u0000\":2}", 0},
};

static struct fare_span span_of(const struct sample *s) { return fare_span_at(s->text, s->n > 0 ? s->n : strlen(s->text)); }

/* Parses a copy of its exact size, so that a sanitizer sees a read beyond the text. */
static bool parses(struct fare_json *j, struct fare_span s, char **copy)
{
	*copy = malloc(s.n > 0 ? s.n : 1);
	assert_non_null(*copy);
	memcpy(*copy, s.p, s.n);
	return fare_json_parse(j, fare_span_at(*copy, s.n));
}

static void test_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(taken); i++) {
		struct fare_json j = {0};
		char *copy;
		if (!parses(&j, span_of(&taken[i]), &copy))
			fail_msg("refused: %s: %s at %zu", taken[i].text, j.error, j.error_at);
		assert_null(j.error);
		fare_json_release(&j);
		free(copy);
	}
}

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(refused); i++) {
		struct fare_json j = {0};
		char *copy;
		struct fare_span s = span_of(&refused[i]);
		if (parses(&j, s, &copy))
			fail_msg("taken: %s", refused[i].text);
		assert_non_null(j.error);
		assert_true(j.error_at <= s.n);
		assert_null(fare_json_root(&j));
		free(copy);
	}
}

/* Every text that is taken is refused when cut anywhere, but for numbers and space at its end. */
static void test_cut(void **state)
{
	static const char text[] = "{\"a\":[1,\"x\\u00e9\\n\xC3\xA9\",true,null],\"b\":{\"c\":-1.5e3}}";
	(void)state;
	for (size_t n = 0; n < sizeof text - 1; n++) {
		struct fare_json j = {0};
		char *copy;
		assert_false(parses(&j, fare_span_at(text, n), &copy));
		free(copy);
	}
}

/* Each byte value at each place of a word-sized string: taken if it is plain, whatever its neighbours. */
static void test_plain_bytes(void **state)
{
	(void)state;
	for (size_t at = 1; at < 40; at++)
		for (int c = 0; c < 256; c++) {
			char text[42];
			struct fare_json j = {0};
			memset(text, 'x', sizeof text);
			text[0] = text[sizeof text - 1] = '"';
			text[at] = (char)c;
			bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
			assert_int_equal(fare_json_parse(&j, fare_span_at(text, sizeof text)), plain);
			fare_json_release(&j);
		}
}

static void test_depth(void **state)
{
	static const struct { const char *open, *close; size_t depth; bool ok; } rows[] = {
		{"[", "]", 64, true}, {"[", "]", 65, false}, {"{\"a\":", "}", 64, true}, {"{\"a\":", "}", 65, false}, {"[", "]", 10000, false}, {"{\"a\":", "}", 10000, false},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_buf b;
		struct fare_json j = {0};
		fare_buf_init(&b, 1 << 20);
		for (size_t k = 1; k < rows[i].depth; k++)
			fare_buf_add_str(&b, rows[i].open);
		fare_buf_add_str(&b, "[]");
		for (size_t k = 1; k < rows[i].depth; k++)
			fare_buf_add_str(&b, rows[i].close);
		assert_int_equal(fare_json_parse(&j, fare_buf_span(&b)), rows[i].ok);
		assert_true(rows[i].ok || strcmp(j.error, "nested too deep") == 0);
		fare_json_release(&j);
		fare_buf_release(&b);
	}
}

static void test_nodes_limit(void **state)
{
	struct fare_buf b;
	struct fare_json j = {0};
	(void)state;
	fare_buf_init(&b, 32 << 20);
	fare_buf_add_char(&b, '[');
	for (int i = 1; i < FARE_JSON_NODES_MAX; i++)
		fare_buf_add(&b, i > 1 ? ",1" : "1", i > 1 ? 2 : 1);
	fare_buf_add_char(&b, ']');
	assert_true(fare_json_parse(&j, fare_buf_span(&b)));
	assert_int_equal(j.count, FARE_JSON_NODES_MAX);
	b.p[b.n - 1] = ',';
	fare_buf_add_str(&b, "1]");
	assert_false(fare_json_parse(&j, fare_buf_span(&b)));
	assert_string_equal(j.error, "too many values");
	fare_buf_release(&b);
}

/* Objects of every size around the change from pairs to a set, with the twin at every place, plain or escaped. */
static void test_twins(void **state)
{
	(void)state;
	for (int size = 2; size <= 40; size++)
		for (int twin = -1; twin < size - 1; twin++)
			for (int escaped = 0; escaped < 2; escaped++) {
				struct fare_buf b;
				struct fare_json j = {0};
				fare_buf_init(&b, 4096);
				for (int i = 0; i < size; i++)
					fare_buf_addf(&b, "%c\"%s%d\":0", i > 0 ? ',' : '{', escaped && i % 2 ? "\\u006b" : "k", i == size - 1 && twin >= 0 ? twin : i);
				fare_buf_add_char(&b, '}');
				assert_int_equal(fare_json_parse(&j, fare_buf_span(&b)), twin < 0);
				if (twin >= 0)
					assert_string_equal(j.error, "a member name that was there before");
				fare_json_release(&j);
				fare_buf_release(&b);
			}
}

static void test_many_members(void **state)
{
	enum { MEMBERS = 500000 };
	struct fare_buf b;
	struct fare_json j = {0};
	(void)state;
	fare_buf_init(&b, 32 << 20);
	for (int i = 0; i < MEMBERS; i++)
		fare_buf_addf(&b, "%c\"%s%d\":%d", i > 0 ? ',' : '{', i % 3 ? "a" : "\\u0061", i, i);
	fare_buf_add_char(&b, '}');
	assert_true(fare_json_parse(&j, fare_buf_span(&b)));
	assert_int_equal(fare_json_root(&j)->size, MEMBERS);
	b.n--;
	fare_buf_add_str(&b, ",\"a400000\":1}");
	assert_false(fare_json_parse(&j, fare_buf_span(&b)));
	assert_int_equal(j.error_at, b.n - sizeof "a400000\":1}" + 1);
	fare_buf_release(&b);
}

static void test_walk(void **state)
{
	static const char text[] = " {\"a\" : [1, {\"x\":2}, \"s\"], \"b\\u0062\":{}, \"c\":true} ";
	struct fare_json j = {0};
	(void)state;
	assert_true(fare_json_parse(&j, fare_span_of(text)));
	const struct fare_json_node *root = fare_json_root(&j);
	assert_int_equal(root->kind, FARE_JSON_OBJECT);
	assert_int_equal(root->size, 3);
	assert_int_equal(fare_json_text(&j, root).n, sizeof text - 3);
	const struct fare_json_node *a = fare_json_member(&j, root, "a");
	assert_int_equal(a->size, 3);
	const struct fare_json_node *one = fare_json_first(&j, a), *object = fare_json_next(&j, one), *s = fare_json_next(&j, object);
	assert_true(fare_span_is(fare_json_text(&j, one), "1"));
	assert_true(fare_span_is(fare_json_text(&j, fare_json_member(&j, object, "x")), "2"));
	assert_true(fare_json_string_is(&j, s, "s"));
	assert_null(fare_json_next(&j, s));
	const struct fare_json_node *b = fare_json_member(&j, root, "bb");
	assert_true(fare_span_is(fare_json_key(&j, b), "b\\u0062"));
	assert_true(fare_json_key_is(&j, b, "bb"));
	assert_false(fare_json_key_is(&j, b, "b"));
	assert_false(fare_json_key_is(&j, b, "bbb"));
	assert_null(fare_json_first(&j, b));
	assert_int_equal(fare_json_next(&j, b)->kind, FARE_JSON_TRUE);
	assert_null(fare_json_member(&j, root, "x"));
	assert_null(fare_json_member(&j, a, "a"));
	assert_null(fare_json_member(&j, NULL, "a"));
	assert_false(fare_json_key_is(&j, root, ""));
	fare_json_release(&j);
}

static void test_strings(void **state)
{
	static const struct { const char *json, *value; size_t n; } rows[] = {
		{"\"\"", "", 0}, {"\"plain\"", "plain", 5}, {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8}, {"\"a\\u0041\\u00e9\\u20AC!\"", "aA\xC3\xA9\xE2\x82\xAC!", 8},
		{"\"\\uD83D\\uDE00\"", "\xF0\x9F\x98\x80", 4}, {"\"\\uDBFF\\uDFFF\"", "\xF4\x8F\xBF\xBF", 4}, {"\"\\ud800\\udc00\"", "\xF0\x90\x80\x80", 4}, {"\"a\\u0000b\"", "a\0b", 3},
		{"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF", 11},
	};
	struct fare_json j = {0};
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 100);
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		fare_buf_reset(&b);
		assert_true(fare_json_parse(&j, fare_span_of(rows[i].json)));
		assert_true(fare_json_string(&j, fare_json_root(&j), &b));
		assert_true(fare_span_eq(fare_buf_span(&b), fare_span_at(rows[i].value, rows[i].n)));
		assert_int_equal(fare_json_string_bytes(&j, fare_json_root(&j)), rows[i].n);
		assert_int_equal(fare_json_string_is(&j, fare_json_root(&j), rows[i].value), strlen(rows[i].value) == rows[i].n);
	}
	fare_buf_release(&b);
	fare_buf_init(&b, 3);
	assert_true(fare_json_parse(&j, fare_span_of("\"abcd\"")));
	assert_false(fare_json_string(&j, fare_json_root(&j), &b)); /* does not fit */
	fare_buf_release(&b);
	assert_true(fare_json_parse(&j, fare_span_of("12")));
	assert_false(fare_json_string(&j, fare_json_root(&j), &b)); /* no string */
	assert_false(fare_json_string_is(&j, fare_json_root(&j), "12"));
	fare_buf_release(&b);
	fare_json_release(&j);
}

static void test_integers(void **state)
{
	static const struct { const char *json; int64_t min, max; bool ok; int64_t value; } rows[] = {
		{"0", 0, 10, true, 0}, {"10", 0, 10, true, 10}, {"11", 0, 10, false, 0}, {"-1", 0, 10, false, 0}, {"-1", -1, 10, true, -1}, {"1.0", 0, 10, false, 0}, {"1e1", 0, 10, false, 0},
		{"\"1\"", 0, 10, false, 0}, {"true", 0, 10, false, 0}, {"9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX}, {"9223372036854775808", INT64_MIN, INT64_MAX, false, 0},
		{"-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN}, {"-9223372036854775809", INT64_MIN, INT64_MAX, false, 0}, {"18446744073709551617", 0, INT64_MAX, false, 0},
	};
	struct fare_json j = {0};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		int64_t v = 0;
		assert_true(fare_json_parse(&j, fare_span_of(rows[i].json)));
		assert_int_equal(fare_json_i64(&j, fare_json_root(&j), rows[i].min, rows[i].max, &v), rows[i].ok);
		assert_int_equal(v, rows[i].value);
	}
	int64_t none;
	assert_false(fare_json_i64(&j, NULL, 0, 1, &none));
	fare_json_release(&j);
}

static void test_reuse(void **state)
{
	struct fare_json j = {0};
	(void)state;
	assert_false(fare_json_parse(&j, fare_span_at(NULL, 0)));
	assert_true(fare_json_parse(&j, fare_span_of("[1,2,3]")));
	assert_true(fare_json_parse(&j, fare_span_of("[{}]")));
	assert_int_equal(j.count, 2);
	assert_int_equal(fare_json_root(&j)->size, 1);
	assert_false(fare_json_parse(&j, fare_span_of("[1,x]")));
	assert_int_equal(j.error_at, 3);
	assert_true(fare_json_parse(&j, fare_span_of("7")));
	fare_json_release(&j);
	fare_json_release(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken), cmocka_unit_test(test_refused), cmocka_unit_test(test_cut), cmocka_unit_test(test_plain_bytes), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_nodes_limit), cmocka_unit_test(test_twins), cmocka_unit_test(test_many_members), cmocka_unit_test(test_walk), cmocka_unit_test(test_strings),
		cmocka_unit_test(test_integers), cmocka_unit_test(test_reuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
