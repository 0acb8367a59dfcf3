/* Amounts and endings. */
#include "base/first.h"

#include <stdio.h>

#include "money/amount.h"
#include "money/ending.h"

#include "unit.h"

static const int64_t edges[] = {0, 1, -1, 9, 10, 99, 999999999, 1000000000, 1000000001, -999999999, -1000000000, -1000000001, 123456789012345678, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 1, INT64_MAX / 2, INT64_MIN / 2};

static void test_sums(void **state)
{
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(edges); i++)
		for (size_t j = 0; j < FARE_ARRAY_N(edges); j++) {
			__int128 sum = (__int128)edges[i] + edges[j], rest = (__int128)edges[i] - edges[j];
			struct fare_amount out = fare_nano(42);
			assert_int_equal(fare_amount_add(fare_nano(edges[i]), fare_nano(edges[j]), &out), sum >= INT64_MIN && sum <= INT64_MAX);
			assert_true(out.nano == (sum >= INT64_MIN && sum <= INT64_MAX ? (int64_t)sum : 42));
			out = fare_nano(42);
			assert_int_equal(fare_amount_sub(fare_nano(edges[i]), fare_nano(edges[j]), &out), rest >= INT64_MIN && rest <= INT64_MAX);
			assert_true(out.nano == (rest >= INT64_MIN && rest <= INT64_MAX ? (int64_t)rest : 42));
		}
}

static void test_parse(void **state)
{
	static const struct { const char *text; int64_t nano; } good[] = {
		{"0", 0}, {"12", 12000000000}, {"0.5", 500000000}, {"-3.000000001", -3000000001}, {"0.000000001", 1}, {"-0", 0}, {"-0.0", 0}, {"00012", 12000000000}, {"1.10", 1100000000},
		{"9223372036.854775807", INT64_MAX}, {"-9223372036.854775808", INT64_MIN}, {"9223372036", 9223372036000000000}, {"-9223372036.854775807", -INT64_MAX},
	};
	static const char *const bad[] = {
		"", "-", ".", "-.", ".5", "5.", "-.5", "-5.", "+1", " 1", "1 ", "1e3", "0x1", "1,5", "1.5.5", "1..5", "--1", "1.-5", "-1.-5", "1.0000000001", "1.0000000000", "$1", "1.5x", "\xD9\xA1", "NaN", "inf",
		"9223372036.854775808", "-9223372036.854775809", "9223372037", "-9223372037", "9223372037.0", "18446744073709551616", "18446744073.709551616", "99999999999999999999999999", "1.99999999999999999999",
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(good); i++) {
		struct fare_amount a = fare_nano(42);
		assert_true(fare_amount_parse(fare_span_of(good[i].text), &a));
		assert_true(a.nano == good[i].nano);
	}
	for (size_t i = 0; i < FARE_ARRAY_N(bad); i++) {
		struct fare_amount a = fare_nano(42);
		if (fare_amount_parse(fare_span_of(bad[i]), &a))
			fail_msg("\"%s\" was taken for %lld", bad[i], (long long)a.nano);
		assert_true(a.nano == 42);
	}
	struct fare_amount a = fare_nano(42);
	assert_false(fare_amount_parse(fare_span_at("1\0", 2), &a));
	assert_false(fare_amount_parse(fare_span_at("1.5\0", 4), &a));
	assert_false(fare_amount_parse(fare_span_at(NULL, 0), &a));
}

static void test_text(void **state)
{
	static const struct { int64_t nano; const char *text, *brief; } rows[] = {
		{0, "0.000000000", "0.00"}, {1, "0.000000001", "0.000000001"}, {-1, "-0.000000001", "-0.000000001"}, {10, "0.000000010", "0.00000001"}, {500000000, "0.500000000", "0.50"},
		{510000000, "0.510000000", "0.51"}, {512000000, "0.512000000", "0.512"}, {1000000000, "1.000000000", "1.00"}, {-12340000000, "-12.340000000", "-12.34"}, {100000000000, "100.000000000", "100.00"},
		{INT64_MAX, "9223372036.854775807", "9223372036.854775807"}, {INT64_MIN, "-9223372036.854775808", "-9223372036.854775808"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		char text[FARE_AMOUNT_TEXT_N];
		fare_amount_text(fare_nano(rows[i].nano), text);
		assert_string_equal(text, rows[i].text);
		fare_amount_text_short(fare_nano(rows[i].nano), text);
		assert_string_equal(text, rows[i].brief);
	}
}

static void test_there_and_back(void **state)
{
	(void)state;
	uint64_t v = 88172645463325252;
	for (int i = 0; i < 200000; i++) {
		v ^= v << 13;
		v ^= v >> 7;
		v ^= v << 17;
		struct fare_amount a = fare_nano((int64_t)(v >> (i % 64))), back;
		char text[FARE_AMOUNT_TEXT_N];
		if (i & 1)
			a.nano = (int64_t)(0 - (uint64_t)a.nano);
		fare_amount_text(a, text);
		assert_true(fare_amount_parse(fare_span_of(text), &back));
		assert_true(back.nano == a.nano);
		fare_amount_text_short(a, text);
		assert_true(fare_amount_parse(fare_span_of(text), &back));
		assert_true(back.nano == a.nano);
	}
}

static void test_endings(void **state)
{
	static const char *const words[] = {"", "complete", "not_sent", "upstream_error", "client_gone", "truncated", "timeout", "stream_error", "worker_died", "balance_end", "meter_damaged"};
	(void)state;
	assert_int_equal(FARE_ARRAY_N(words), FARE_ENDING_N);
	for (unsigned e = 0; e < FARE_ENDING_N; e++) {
		assert_string_equal(fare_ending_word((enum fare_ending)e), words[e]);
		assert_int_equal(fare_ending_is_free((enum fare_ending)e), e == FARE_NOT_SENT || e == FARE_UPSTREAM_ERROR || e == FARE_METER_DAMAGED);
	}
	assert_string_equal(fare_ending_word(FARE_ENDING_N), "");
	assert_string_equal(fare_ending_word((enum fare_ending)-1), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums), cmocka_unit_test(test_parse), cmocka_unit_test(test_text), cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_endings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
