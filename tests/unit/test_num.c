/* Spans, numbers from text, packing. */
#include "base/first.h"

#include "base/num.h"

#include "unit.h"

static void test_u64(void **state)
{
	static const struct { const char *text; uint64_t min, max; bool ok; uint64_t value; } rows[] = {
		{"0", 0, 9, true, 0}, {"9", 0, 9, true, 9}, {"10", 0, 9, false, 0}, {"1", 2, 9, false, 0}, {"007", 0, 9, true, 7}, {"", 0, 9, false, 0}, {"-1", 0, 9, false, 0}, {"-0", 0, 9, false, 0},
		{"+1", 0, 9, false, 0}, {" 1", 0, 9, false, 0}, {"1 ", 0, 9, false, 0}, {"1x", 0, 9, false, 0}, {"1.0", 0, 9, false, 0}, {"0x1", 0, 9, false, 0}, {"\xB1", 0, 9, false, 0},
		{"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX}, {"18446744073709551616", 0, UINT64_MAX, false, 0}, {"18446744073709551620", 0, UINT64_MAX, false, 0},
		{"184467440737095516150", 0, UINT64_MAX, false, 0}, {"99999999999999999999999999999999999999999", 0, UINT64_MAX, false, 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		uint64_t v = 0;
		assert_int_equal(fare_num_u64(fare_span_of(rows[i].text), rows[i].min, rows[i].max, &v), rows[i].ok);
		assert_true(v == rows[i].value);
	}
	uint64_t v;
	assert_false(fare_num_u64(fare_span_at("1\0", 2), 0, 9, &v));
}

static void test_i64(void **state)
{
	static const struct { const char *text; int64_t min, max; bool ok; int64_t value; } rows[] = {
		{"0", -9, 9, true, 0}, {"-0", -9, 9, true, 0}, {"-9", -9, 9, true, -9}, {"-10", -9, 9, false, 0}, {"10", -9, 9, false, 0}, {"-", -9, 9, false, 0}, {"--1", -9, 9, false, 0}, {"+1", -9, 9, false, 0},
		{"", -9, 9, false, 0}, {"- 1", -9, 9, false, 0}, {"9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX}, {"9223372036854775808", INT64_MIN, INT64_MAX, false, 0},
		{"-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN}, {"-9223372036854775809", INT64_MIN, INT64_MAX, false, 0},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		int64_t v = 0;
		assert_int_equal(fare_num_i64(fare_span_of(rows[i].text), rows[i].min, rows[i].max, &v), rows[i].ok);
		assert_true(v == rows[i].value);
	}
}

static void test_hex(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		const char *low = "0123456789abcdef", *high = "0123456789ABCDEF", *at = c ? strchr(low, c) : NULL;
		int want = at ? (int)(at - low) : -1;
		at = c ? strchr(high, c) : NULL;
		want = at ? (int)(at - high) : want;
		assert_int_equal(fare_num_hex((char)c), want);
	}
}

static void test_pack(void **state)
{
	static const uint8_t want[] = {0x01, 0x12, 0x34, 0x89, 0xAB, 0xCD, 0xEF, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 'x', 'y', 0, 2, 'o', 'k', 0, 0};
	uint8_t bytes[sizeof want], two[2];
	char str[3], empty[1];
	struct fare_pack k = {.p = bytes, .size = sizeof bytes};
	struct fare_unpack u = {.p = bytes, .n = sizeof bytes};
	(void)state;
	fare_pack_u8(&k, 1);
	fare_pack_u16(&k, 0x1234);
	fare_pack_u32(&k, 0x89ABCDEF);
	fare_pack_u64(&k, UINT64_C(0x0102030405060708));
	fare_pack_i64(&k, -2);
	fare_pack_bytes(&k, "xy", 2);
	fare_pack_str(&k, fare_span_of("ok"));
	fare_pack_str(&k, fare_span_at(NULL, 0));
	assert_false(k.bad);
	assert_int_equal(k.n, sizeof want);
	assert_memory_equal(bytes, want, sizeof want);
	assert_int_equal(fare_unpack_u8(&u), 1);
	assert_int_equal(fare_unpack_u16(&u), 0x1234);
	assert_int_equal(fare_unpack_u32(&u), 0x89ABCDEF);
	assert_true(fare_unpack_u64(&u) == UINT64_C(0x0102030405060708));
	assert_true(fare_unpack_i64(&u) == -2);
	fare_unpack_bytes(&u, two, 2);
	assert_memory_equal(two, "xy", 2);
	fare_unpack_str(&u, str, sizeof str);
	assert_string_equal(str, "ok");
	fare_unpack_str(&u, empty, sizeof empty);
	assert_string_equal(empty, "");
	assert_false(u.bad);
	assert_int_equal(u.at, u.n);
	assert_int_equal(fare_unpack_u8(&u), 0);
	assert_true(u.bad);
}

static void test_pack_overrun(void **state)
{
	static char big[UINT16_MAX + 1];
	static uint8_t room[sizeof big + 2];
	uint8_t bytes[3];
	struct fare_pack k = {.p = bytes, .size = sizeof bytes};
	(void)state;
	fare_pack_u16(&k, 7);
	fare_pack_u16(&k, 8);
	assert_true(k.bad);
	assert_int_equal(k.n, 2);
	fare_pack_u8(&k, 1); /* would fit, but after a fault nothing is written */
	assert_int_equal(k.n, 2);
	k = (struct fare_pack){.p = room, .size = sizeof room};
	fare_pack_str(&k, fare_span_at(big, UINT16_MAX));
	assert_false(k.bad);
	k = (struct fare_pack){.p = room, .size = sizeof room};
	fare_pack_str(&k, fare_span_at(big, UINT16_MAX + 1));
	assert_true(k.bad);
	k = (struct fare_pack){.p = room, .size = sizeof room};
	fare_pack_bytes(&k, big, SIZE_MAX);
	assert_true(k.bad);
}

static void test_unpack_bad(void **state)
{
	static const uint8_t cut[] = {0, 3, 'a', 'b'}, inner_nul[] = {0, 2, 'a', 0}, fits[] = {0, 2, 'a', 'b'};
	uint8_t out[4] = {9, 9, 9, 9};
	char str[3] = "zz";
	(void)state;
	struct fare_unpack u = {.p = cut, .n = sizeof cut};
	fare_unpack_str(&u, str, sizeof str);
	assert_true(u.bad);
	assert_string_equal(str, "");
	u = (struct fare_unpack){.p = inner_nul, .n = sizeof inner_nul};
	fare_unpack_str(&u, str, sizeof str);
	assert_true(u.bad);
	u = (struct fare_unpack){.p = fits, .n = sizeof fits};
	fare_unpack_str(&u, str, 2);
	assert_true(u.bad);
	u = (struct fare_unpack){.p = cut, .n = 3};
	assert_true(fare_unpack_u64(&u) == 0);
	assert_int_equal(fare_unpack_u8(&u), 0);
	fare_unpack_bytes(&u, out, sizeof out);
	assert_true(u.bad);
	assert_memory_equal(out, "\0\0\0\0", 4);
}

static void test_span(void **state)
{
	char out[4];
	(void)state;
	assert_true(fare_span_is(fare_span_of(NULL), ""));
	assert_true(fare_span_is_nocase(fare_span_of("Content-Type"), "content-type"));
	assert_false(fare_span_is_nocase(fare_span_of("Content-Typ"), "content-type"));
	assert_true(fare_span_starts(fare_span_of("abc"), "ab"));
	assert_true(fare_span_starts(fare_span_of("abc"), ""));
	assert_false(fare_span_starts(fare_span_of("a"), "ab"));
	assert_true(fare_span_is(fare_span_trim(fare_span_of(" \ta b\t ")), "a b"));
	assert_true(fare_span_is(fare_span_trim(fare_span_of(" \t ")), ""));
	assert_true(fare_span_copy(fare_span_of("abc"), out, sizeof out));
	assert_string_equal(out, "abc");
	assert_false(fare_span_copy(fare_span_of("abcd"), out, sizeof out));
	assert_string_equal(out, "");
	assert_false(fare_span_copy(fare_span_at("a\0b", 3), out, sizeof out));
	assert_false(fare_span_copy(fare_span_of(""), out, 0));
	assert_true(fare_span_copy(fare_span_at(NULL, 0), out, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64), cmocka_unit_test(test_i64), cmocka_unit_test(test_hex), cmocka_unit_test(test_pack), cmocka_unit_test(test_pack_overrun),
		cmocka_unit_test(test_unpack_bad), cmocka_unit_test(test_span),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
