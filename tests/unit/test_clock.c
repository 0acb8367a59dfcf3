/* Clocks, and times as text. */
#include "base/first.h"

#include "base/clock.h"

#include "unit.h"

static const uint64_t day_ms = 86400000;

static void test_text(void **state)
{
	static const struct { uint64_t ms; const char *text; } rows[] = {
		{0, "1970-01-01T00:00:00.000Z"}, {1, "1970-01-01T00:00:00.001Z"}, {951782399999, "2000-02-28T23:59:59.999Z"}, {951782400000, "2000-02-29T00:00:00.000Z"},
		{4107542400000, "2100-03-01T00:00:00.000Z"}, {1795544338123, "2026-11-24T18:18:58.123Z"}, {253402300799999, "9999-12-31T23:59:59.999Z"}, {253402300800000, "9999-12-31T23:59:59.999Z"},
		{UINT64_MAX, "9999-12-31T23:59:59.999Z"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		char text[FARE_TIME_TEXT_N];
		uint64_t back;
		fare_clock_text(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
		assert_true(fare_clock_parse(fare_span_of(text), &back));
		assert_true(back == (rows[i].ms < 253402300800000 ? rows[i].ms : 253402300799999));
	}
}

static void test_parse(void **state)
{
	static const struct { const char *text; uint64_t ms; } rows[] = {
		{"1970-01-01T00:00:00Z", 0}, {"1970-01-01t00:00:01z", 1000}, {"1970-01-01 00:00:01Z", 1000}, {"1970-01-01T00:00:00.5Z", 500}, {"1970-01-01T00:00:00.123456789Z", 123},
		{"1970-01-01T01:00:00+01:00", 0}, {"1969-12-31T23:00:00-01:00", 0}, {"1970-01-01T00:00:00-00:00", 0}, {"1970-01-01T00:00:00+00:00", 0}, {"1970-01-02T05:30:00+05:30", 86400000},
		{"2016-12-31T23:59:60Z", 1483228800000}, {"2000-02-29T00:00:00Z", 951782400000},
	};
	static const char *const bad[] = {
		"", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01T00:00Z", "1970-01-01T00:00:00.Z", "1970-1-01T00:00:00Z", "70-01-01T00:00:00Z", "1970-13-01T00:00:00Z", "1970-00-01T00:00:00Z",
		"1970-01-00T00:00:00Z", "1970-01-32T00:00:00Z", "1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "1970-04-31T00:00:00Z", "1970-01-01T24:00:00Z",
		"1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+00:60", "1970-01-01T00:00:00+0000", "1970-01-01T00:00:00+00", "1970-01-01T00:00:00ZZ",
		"1970-01-01T00:00:00Z ", " 1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z", "+970-01-01T00:00:00Z", "1970-01-01T-1:00:00Z", "30d", "now",
		"1970-01-01T00:00:00.1", "1970-01-01T00:00:00X",
	};
	uint64_t ms;
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		if (!fare_clock_parse(fare_span_of(rows[i].text), &ms) || ms != rows[i].ms)
			fail_msg("%s", rows[i].text);
	}
	for (size_t i = 0; i < FARE_ARRAY_N(bad); i++)
		if (fare_clock_parse(fare_span_of(bad[i]), &ms))
			fail_msg("taken: %s", bad[i]);
	assert_false(fare_clock_parse(fare_span_at("1970-01-01\0" "00:00:00Z", 20), &ms));
}

/* Every day of eight centuries through the text and back. */
static void test_every_day(void **state)
{
	(void)state;
	for (uint64_t ms = 12345678; ms < 800 * 366 * day_ms; ms += day_ms) {
		char text[FARE_TIME_TEXT_N];
		uint64_t back = 0;
		fare_clock_text(ms, text);
		assert_true(fare_clock_parse(fare_span_of(text), &back) && back == ms);
	}
}

static void test_when(void **state)
{
	const uint64_t now = 1795544338123;
	static const struct { const char *text; uint64_t span; } rows[] = {
		{"30d", 30 * UINT64_C(86400000)}, {"12h", 43200000}, {"15m", 900000}, {"90s", 90000}, {"0s", 0}, {"36500d", 36500 * UINT64_C(86400000)},
	};
	static const char *const bad[] = {"", "d", "30", "-1d", "+1d", "1.5h", "1w", "1D", "36501d", "876001h", "99999999999999999999d", "1d ", "1d1h", " 1d"};
	uint64_t ms;
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		assert_true(fare_clock_parse_when(fare_span_of(rows[i].text), now, true, &ms));
		assert_true(ms == (rows[i].span < now ? now - rows[i].span : 0));
		assert_true(fare_clock_parse_when(fare_span_of(rows[i].text), now, false, &ms));
		assert_true(ms == now + rows[i].span);
	}
	for (size_t i = 0; i < FARE_ARRAY_N(bad); i++)
		assert_false(fare_clock_parse_when(fare_span_of(bad[i]), now, true, &ms));
	assert_true(fare_clock_parse_when(fare_span_of("2026-11-24T18:18:58.123Z"), 0, true, &ms));
	assert_true(ms == now);
}

static void test_clocks(void **state)
{
	uint8_t a[FARE_BOOT_ID_N], b[FARE_BOOT_ID_N], zero[FARE_BOOT_ID_N] = {0};
	(void)state;
	uint64_t boot = fare_clock_boot_ms();
	assert_true(fare_clock_boot_ms() >= boot);
	assert_true(fare_clock_wall_ms() > UINT64_C(1700000000000));
	assert_true(fare_clock_boot_id(a));
	assert_true(fare_clock_boot_id(b));
	assert_memory_equal(a, b, sizeof a);
	assert_memory_not_equal(a, zero, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_parse), cmocka_unit_test(test_every_day), cmocka_unit_test(test_when), cmocka_unit_test(test_clocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
