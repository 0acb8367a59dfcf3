/* The growable buffer: bounds, lack of memory, escaping. Linked with --wrap=realloc. */
#include "base/first.h"

#include <stdio.h>

#include "base/buf.h"

#include "unit.h"

static bool no_memory;
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n) { return no_memory ? NULL : __real_realloc(p, n); }

static void assert_buf(struct fare_buf *b, const char *text)
{
	assert_false(b->failed);
	assert_string_equal(fare_buf_cstr(b), text);
	assert_int_equal(b->n, strlen(text));
}

static void assert_failed_for_good(struct fare_buf *b)
{
	assert_true(b->failed);
	assert_int_equal(b->n, 0);
	assert_null(b->p);
	assert_false(fare_buf_add_char(b, 'x'));
	assert_false(fare_buf_add_str(b, ""));
	assert_false(fare_buf_addf(b, "%d", 1));
	assert_false(fare_buf_add_json(b, fare_span_of("x")));
	assert_int_equal(b->n, 0);
	assert_string_equal(fare_buf_cstr(b), "");
}

static void test_add(void **state)
{
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 1000);
	assert_buf(&b, "");
	assert_true(fare_buf_add(&b, NULL, 0));
	assert_true(fare_buf_add_str(&b, "one "));
	assert_true(fare_buf_add_span(&b, fare_span_at("two three", 3)));
	assert_true(fare_buf_add_char(&b, ' '));
	assert_true(fare_buf_add_u64(&b, 0));
	assert_true(fare_buf_add_u64(&b, UINT64_MAX));
	assert_true(fare_buf_addf(&b, " %s %d", "three", -4));
	assert_buf(&b, "one two 018446744073709551615 three -4");
	fare_buf_drop(&b, 8);
	assert_buf(&b, "018446744073709551615 three -4");
	fare_buf_drop(&b, 0);
	fare_buf_drop(&b, 999);
	assert_buf(&b, "");
	fare_buf_release(&b);
}

static void test_grows_to_its_max(void **state)
{
	struct fare_buf b;
	(void)state;
	for (size_t max = 0; max < 300; max++) {
		fare_buf_init(&b, max);
		for (size_t i = 0; i < max; i++) {
			assert_true(fare_buf_add_char(&b, (char)i));
			assert_true(b.cap > b.n);
		}
		assert_true(b.cap <= max + 1);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(b.p[i], (char)i);
		assert_false(fare_buf_add_char(&b, 'x'));
		assert_failed_for_good(&b);
		fare_buf_reset(&b);
		assert_int_equal(fare_buf_add_char(&b, 'x'), max > 0);
		fare_buf_release(&b);
		assert_int_equal(b.max, max);
	}
}

static void test_overflow(void **state)
{
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 100);
	assert_true(fare_buf_add_str(&b, "x"));
	assert_false(fare_buf_reserve(&b, SIZE_MAX));
	assert_failed_for_good(&b);
	fare_buf_init(&b, SIZE_MAX);
	assert_true(fare_buf_add_str(&b, "x"));
	assert_false(fare_buf_reserve(&b, SIZE_MAX));
	assert_failed_for_good(&b);
	fare_buf_init(&b, 10);
	assert_true(fare_buf_addf(&b, "%010d", 1));
	assert_buf(&b, "0000000001");
	assert_false(fare_buf_addf(&b, "%s", "x"));
	assert_failed_for_good(&b);
	fare_buf_reset(&b);
	assert_false(fare_buf_addf(&b, "%011d", 1));
	assert_failed_for_good(&b);
}

static void test_addf_at_the_edge_of_its_room(void **state)
{
	(void)state;
	for (int n = 0; n < 200; n++) {
		struct fare_buf b;
		char want[256];
		fare_buf_init(&b, 255);
		assert_true(fare_buf_reserve(&b, 1)); /* some room, which the text outgrows at some n */
		assert_true(fare_buf_addf(&b, "%0*d%s", n > 0 ? n : 1, 7, "end"));
		snprintf(want, sizeof want, "%0*d%s", n > 0 ? n : 1, 7, "end");
		assert_buf(&b, want);
		fare_buf_release(&b);
	}
}

static void test_no_memory(void **state)
{
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 1 << 20);
	assert_true(fare_buf_add_str(&b, "something"));
	no_memory = true;
	assert_true(fare_buf_add_char(&b, 'x')); /* there is room */
	assert_false(fare_buf_reserve(&b, 100000));
	no_memory = false;
	assert_failed_for_good(&b);
	fare_buf_reset(&b);
	no_memory = true;
	assert_false(fare_buf_add_char(&b, 'x'));
	no_memory = false;
	assert_failed_for_good(&b);
}

static void test_zeroed(void **state)
{
	struct fare_buf b = {0};
	(void)state;
	assert_string_equal(fare_buf_cstr(&b), "");
	fare_buf_drop(&b, 5);
	fare_buf_release(&b);
	assert_false(fare_buf_add_char(&b, 'x'));
	fare_buf_release(&b);
}

static void test_json(void **state)
{
	static const struct { const char *raw; size_t n; const char *json; } rows[] = {
		{"", 0, "\"\""}, {"plain", 5, "\"plain\""}, {"\"\\/", 3, "\"\\\"\\\\/\""}, {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""}, {"a\0b\x1F", 4, "\"a\\u0000b\\u001f\""},
		{"\x7F", 1, "\"\x7F\""}, {"\xC3\xA9\xF0\x9F\x98\x80", 6, "\"\xC3\xA9\xF0\x9F\x98\x80\""}, {"a\xFF" "b", 3, "\"a\xEF\xBF\xBD" "b\""}, {"\xC3", 1, "\"\xEF\xBF\xBD\""},
		{"\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, {"\xC0\xAF", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""}, {"\xE2\x82" "x", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBDx\""},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_buf b;
		fare_buf_init(&b, 100);
		assert_true(fare_buf_add_json(&b, fare_span_at(rows[i].raw, rows[i].n)));
		assert_buf(&b, rows[i].json);
		fare_buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add), cmocka_unit_test(test_grows_to_its_max), cmocka_unit_test(test_overflow), cmocka_unit_test(test_addf_at_the_edge_of_its_room),
		cmocka_unit_test(test_no_memory), cmocka_unit_test(test_zeroed), cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
