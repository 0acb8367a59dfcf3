/* Price arithmetic, by hand and against a plain sum in 128 bits. */
#include "base/first.h"

#include "money/price.h"

#include "unit.h"

static const uint64_t tokens_max = 1ULL << FARE_TOKENS_MAX_LOG2;

static void test_cost_by_hand(void **state)
{
	static const struct { struct fare_price p; struct fare_usage u; int64_t nano; } rows[] = {
		/* 0.15 and 0.60 dollars a million tokens */
		{{150000000, 600000000, -1, -1, 0}, {.input = 1000, .output = 500}, 450000},
		{{150000000, 600000000, -1, -1, 0}, {0}, 0},
		/* Rounded up once, not per part: 0.4 + 0.4 nano is 1, and 0.5 + 0.5 is exactly 1. */
		{{400000, 400000, -1, -1, 0}, {.input = 1, .output = 1}, 1},
		{{500000, 500000, -1, -1, 0}, {.input = 1, .output = 1}, 1},
		{{500001, 500000, -1, -1, 0}, {.input = 1, .output = 1}, 2},
		{{1, 0, -1, -1, 0}, {.input = 1}, 1},
		{{1, 0, -1, -1, 0}, {.input = 1000000}, 1},
		{{1, 0, -1, -1, 0}, {.input = 1000001}, 2},
		{{0, 1, -1, -1, 5}, {.output = 1}, 6},
		{{0, 0, -1, -1, 5}, {0}, 5},
		/* cached and cache_write lie within input; -1 is priced as input, 0 is free */
		{{1000000, 0, 100000, 1250000, 0}, {.input = 100, .cached = 40, .cache_write = 20}, 40 + 4 + 25},
		{{1000000, 0, -1, -1, 0}, {.input = 100, .cached = 40, .cache_write = 20}, 100},
		{{1000000, 0, 0, 0, 0}, {.input = 100, .cached = 40, .cache_write = 60}, 0},
		/* reasoning lies within output and is not added */
		{{0, 1000000, -1, -1, 0}, {.output = 10, .reasoning = 9}, 10},
		{{1000000, 0, -1, -1, 0}, {.input = INT64_MAX}, INT64_MAX},
		{{0, 0, -1, -1, INT64_MAX}, {.input = 1}, INT64_MAX},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_amount a = fare_nano(-42);
		assert_true(fare_price_cost(&rows[i].p, &rows[i].u, &a));
		if (a.nano != rows[i].nano)
			fail_msg("row %zu: %lld", i, (long long)a.nano);
	}
}

static void test_cost_refused(void **state)
{
	static const struct { struct fare_price p; struct fare_usage u; } rows[] = {
		{{1, 1, -1, -1, 0}, {.input = 5, .cached = 6}}, {{1, 1, -1, -1, 0}, {.input = 5, .cache_write = 6}}, {{1, 1, -1, -1, 0}, {.input = 5, .cached = 3, .cache_write = 3}},
		{{1, 1, -1, -1, 0}, {.input = 5, .cached = UINT64_MAX, .cache_write = 6}}, {{1, 1, -1, -1, 0}, {.input = 5, .cached = 5, .cache_write = UINT64_MAX}},
		{{-1, 1, -1, -1, 0}, {0}}, {{1, -1, -1, -1, 0}, {0}}, {{1, 1, -2, -1, 0}, {0}}, {{1, 1, -1, -2, 0}, {0}}, {{1, 1, -1, -1, -1}, {0}},
		{{1000000, 0, -1, -1, 0}, {.input = (uint64_t)INT64_MAX + 1}}, {{1000000, 1, -1, -1, 0}, {.input = INT64_MAX, .output = 1}}, {{1000000, 0, -1, -1, 1}, {.input = INT64_MAX}},
		{{INT64_MAX, 0, -1, -1, 0}, {.input = UINT64_MAX}}, {{INT64_MAX, INT64_MAX, -1, -1, INT64_MAX}, {.input = UINT64_MAX, .output = UINT64_MAX}},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		struct fare_amount a = fare_nano(42);
		if (fare_price_cost(&rows[i].p, &rows[i].u, &a))
			fail_msg("row %zu: %lld", i, (long long)a.nano);
		assert_true(a.nano == 42);
	}
}

static uint64_t rng = 88172645463325252;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Of any size from 0 to 2^bits - 1. */
static uint64_t any(unsigned bits) { return rnd() >> (64 - bits + rnd() % bits); }

static struct fare_price any_price(void)
{
	struct fare_price p = {.input = (int64_t)any(42), .output = (int64_t)any(42), .cache_read = (int64_t)any(42) - 1, .cache_write = (int64_t)any(42) - 1, .per_call = (int64_t)any(50)};
	return p;
}

static void test_cost_by_force(void **state)
{
	(void)state;
	for (int i = 0; i < 300000; i++) {
		struct fare_price p = any_price();
		struct fare_usage u = {.input = any(40), .output = any(40), .cached = any(40), .cache_write = any(40), .reasoning = any(40)};
		struct fare_amount a;
		fare_usage_clamp(&u);
		/* The dumb way: every token class by itself, then the smallest amount that covers it. */
		__int128 sum = (__int128)(u.input - u.cached - u.cache_write) * p.input + (__int128)u.cached * (p.cache_read < 0 ? p.input : p.cache_read) +
			(__int128)u.cache_write * (p.cache_write < 0 ? p.input : p.cache_write) + (__int128)u.output * p.output + (__int128)p.per_call * 1000000;
		bool fits = sum <= (__int128)INT64_MAX * 1000000;
		assert_int_equal(fare_price_cost(&p, &u, &a), fits);
		if (fits) {
			assert_true((__int128)a.nano * 1000000 >= sum);
			assert_true(((__int128)a.nano - 1) * 1000000 < sum);
		}
	}
}

static void test_hold_covers(void **state)
{
	(void)state;
	/* Whatever is used within the hold's bounds, the hold covers it. */
	for (int i = 0; i < 100000; i++) {
		struct fare_price p = any_price();
		uint64_t input = any(30), bound = any(24), n = 1 + rnd() % 128;
		struct fare_usage u = {.input = any(30), .output = any(31), .cached = any(30), .cache_write = any(30)};
		struct fare_amount hold, cost;
		fare_usage_clamp(&u);
		if (!fare_price_hold(&p, input, bound, n, &hold) || u.input > input || u.output > bound * n)
			continue;
		assert_true(fare_price_cost(&p, &u, &cost));
		assert_true(cost.nano <= hold.nano);
	}
}

static void test_hold_by_hand(void **state)
{
	(void)state;
	struct fare_price p = {.input = 150000000, .output = 600000000, .cache_read = -1, .cache_write = -1};
	struct fare_amount a;
	assert_true(fare_price_hold(&p, 100, 1000, 1, &a));
	assert_int_equal(a.nano, 615000); /* 0.000615, the design's own example */
	assert_true(fare_price_hold(&p, 100, 1000, 128, &a));
	assert_int_equal(a.nano, 15000 + 128 * 600000);
	p.cache_write = 187500000; /* dearer than plain input */
	assert_true(fare_price_hold(&p, 100, 0, 1, &a));
	assert_int_equal(a.nano, 18750);
	p.cache_read = 300000000;
	p.per_call = 7;
	assert_true(fare_price_hold(&p, 1, 1, 1, &a));
	assert_int_equal(a.nano, 300 + 600 + 7);
	a.nano = 42;
	assert_false(fare_price_hold(&p, UINT64_MAX, 1, 1, &a));
	assert_false(fare_price_hold(&p, 1, UINT64_MAX, UINT64_MAX, &a));
	p.output = INT64_MAX;
	assert_false(fare_price_hold(&p, 1, UINT64_MAX, UINT64_MAX, &a));
	p.input = -1;
	assert_false(fare_price_hold(&p, 1, 1, 1, &a));
	assert_int_equal(a.nano, 42);
}

static void test_affordable(void **state)
{
	(void)state;
	for (int i = 0; i < 300000; i++) {
		struct fare_price p = any_price();
		uint64_t input = any(40), n = 1 + rnd() % 128;
		struct fare_amount available = fare_nano((int64_t)any(63)), hold;
		uint64_t bound = fare_price_affordable(&p, input, n, available);
		bool has_hold = fare_price_hold(&p, input, bound, n, &hold);
		if (bound == 0) {
			/* Not even the input, or no token more. */
			assert_true(!fare_price_hold(&p, input, 1, n, &hold) || hold.nano > available.nano);
			continue;
		}
		assert_true(has_hold && hold.nano <= available.nano);
		if (bound != UINT64_MAX)
			assert_true(!fare_price_hold(&p, input, bound + 1, n, &hold) || hold.nano > available.nano);
	}
	struct fare_price p = {.input = 1000000, .output = 2000000, .cache_read = -1, .cache_write = -1};
	assert_true(fare_price_affordable(&p, 10, 1, fare_nano(9)) == 0);
	assert_true(fare_price_affordable(&p, 10, 1, fare_nano(11)) == 0);
	assert_true(fare_price_affordable(&p, 10, 1, fare_nano(12)) == 1);
	assert_true(fare_price_affordable(&p, 10, 2, fare_nano(17)) == 1);
	assert_true(fare_price_affordable(&p, 10, 1, fare_nano(-1)) == 0);
	assert_true(fare_price_affordable(&p, 0, 1, fare_nano(INT64_MIN)) == 0);
	p.output = 0;
	assert_true(fare_price_affordable(&p, 10, 1, fare_nano(9)) == 0);
	assert_true(fare_price_affordable(&p, 10, 1, fare_nano(10)) == UINT64_MAX);
}

static void test_clamp(void **state)
{
	(void)state;
	struct fare_usage u = {.input = 10, .output = 5, .cached = 4, .cache_write = 6, .reasoning = 5};
	assert_false(fare_usage_clamp(&u));
	u.cache_write = 7;
	assert_true(fare_usage_clamp(&u));
	assert_int_equal(u.cache_write, 6);
	u.cached = 11;
	assert_true(fare_usage_clamp(&u));
	assert_int_equal(u.cached, 10);
	assert_int_equal(u.cache_write, 0);
	u.reasoning = 6;
	assert_true(fare_usage_clamp(&u));
	assert_int_equal(u.reasoning, 5);
	u = (struct fare_usage){tokens_max, tokens_max, 0, 0, 0};
	assert_false(fare_usage_clamp(&u));
	u = (struct fare_usage){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	assert_true(fare_usage_clamp(&u));
	assert_true(u.input == tokens_max && u.output == tokens_max && u.cached == tokens_max && u.cache_write == 0 && u.reasoning == tokens_max);
	struct fare_amount a;
	struct fare_price p = {.input = 1, .output = 1, .cache_read = -1, .cache_write = -1};
	assert_true(fare_price_cost(&p, &u, &a));
}

static void test_sane(void **state)
{
	(void)state;
	struct fare_price p = {.input = 600000000000, .output = 3000000000000, .cache_read = -1, .cache_write = -1};
	assert_true(fare_price_is_sane(&p)); /* 600 and 3,000 dollars a million */
	p.per_call = INT64_MAX;
	assert_false(fare_price_is_sane(&p));
	p.per_call = 0;
	p.cache_write = INT64_MAX;
	assert_false(fare_price_is_sane(&p));
	p.cache_write = -2;
	assert_false(fare_price_is_sane(&p));
	/* What is sane can be charged for any usage that makes sense. */
	for (int i = 0; i < 100000; i++) {
		struct fare_price q = any_price();
		struct fare_usage u = {.input = rnd(), .output = rnd(), .cached = any(40), .cache_write = any(40)};
		struct fare_amount a;
		fare_usage_clamp(&u);
		if (fare_price_is_sane(&q))
			assert_true(fare_price_cost(&q, &u, &a));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cost_by_hand), cmocka_unit_test(test_cost_refused), cmocka_unit_test(test_cost_by_force), cmocka_unit_test(test_hold_covers),
		cmocka_unit_test(test_hold_by_hand), cmocka_unit_test(test_affordable), cmocka_unit_test(test_clamp), cmocka_unit_test(test_sane),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
