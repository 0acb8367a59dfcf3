/* What an ended call is charged: every ending, with and without the provider's figures. */
#include "base/first.h"

#include "unit.h"

#include "bank/books.h"
#include "bank/pricing.h"

/* A nano-dollar for each token of input, ten for each of output, three for the call. */
static const struct fare_price price = {.input = 1000000, .output = 10000000, .cache_read = 500000, .cache_write = -1, .per_call = 3};

static struct fare_charge charge(struct fare_meter_reading m, uint64_t max_input, uint64_t max_output)
{
	struct fare_charge c;
	fare_pricing_charge(&m, &price, max_input, max_output, fare_nano(1000), &c);
	return c;
}

static void check_free(void **state)
{
	(void)state;
	const struct fare_meter_reading cases[] = {{.state = FARE_METER_IDLE, .received = 9}, {.state = FARE_METER_FINAL, .ending = FARE_NOT_SENT, .received = 9},
		{.state = FARE_METER_FINAL, .ending = FARE_UPSTREAM_ERROR, .received = 9, .flags = FARE_METER_REPORTED, .usage = {.output = 9}},
		{.state = FARE_METER_FINAL, .ending = FARE_TIMEOUT, .prompt_text = 400}, {.state = FARE_METER_SENT, .prompt_text = 400}, {.state = FARE_METER_FINAL, .ending = FARE_CLIENT_GONE, .prompt_text = 4}};
	const enum fare_ending endings[] = {FARE_NOT_SENT, FARE_NOT_SENT, FARE_UPSTREAM_ERROR, FARE_TIMEOUT, FARE_WORKER_DIED, FARE_CLIENT_GONE};
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct fare_charge c = charge(cases[i], 0, 0);
		assert_int_equal(c.amount.nano, 0);
		assert_int_equal(c.ending, endings[i]);
		assert_int_equal(c.flags, 0);
	}
}

static void check_reported(void **state)
{
	(void)state;
	const enum fare_ending endings[] = {FARE_COMPLETE, FARE_CLIENT_GONE, FARE_TRUNCATED, FARE_TIMEOUT, FARE_STREAM_ERROR, FARE_BALANCE_END};
	for (size_t i = 0; i < FARE_ARRAY_N(endings); i++) {
		struct fare_charge c = charge((struct fare_meter_reading){.state = FARE_METER_FINAL, .ending = (uint8_t)endings[i], .received = 1, .flags = FARE_METER_REPORTED,
			.usage = {.input = 10, .output = 20, .cached = 4}, .relayed_text = 4000}, 0, 0);
		assert_int_equal(c.amount.nano, 6 + 2 + 200 + 3);
		assert_int_equal(c.ending, endings[i]);
		assert_int_equal(c.flags, 0);
	}
}

static void check_estimated(void **state)
{
	(void)state;
	/* Rounded down, in the caller's favour. */
	struct fare_charge c = charge((struct fare_meter_reading){.state = FARE_METER_STREAMING, .received = 1, .prompt_text = 43, .relayed_text = 7}, 0, 0);
	assert_int_equal(c.ending, FARE_WORKER_DIED);
	assert_int_equal(c.usage.input, 10);
	assert_int_equal(c.usage.output, 1);
	assert_int_equal(c.amount.nano, 10 + 10 + 3);
	assert_int_equal(c.flags, FARE_ENTRY_ESTIMATED);
}

static void check_clamped(void **state)
{
	(void)state;
	struct fare_charge c = charge((struct fare_meter_reading){.state = FARE_METER_FINAL, .ending = FARE_COMPLETE, .received = 1, .flags = FARE_METER_REPORTED, .usage = {.input = 100, .output = 50}}, 60, 30);
	assert_int_equal(c.usage.input, 60);
	assert_int_equal(c.usage.output, 30);
	assert_int_equal(c.flags, FARE_ENTRY_CLAMPED);
	assert_int_equal(c.amount.nano, 60 + 300 + 3);
	/* More cached than there was input makes no sense. */
	c = charge((struct fare_meter_reading){.state = FARE_METER_FINAL, .ending = FARE_COMPLETE, .received = 1, .flags = FARE_METER_REPORTED, .usage = {.input = 10, .cached = 11}}, 0, 0);
	assert_true(c.flags & FARE_ENTRY_CLAMPED);
	assert_true(c.usage.cached <= 10);
	/* The worker has clamped already. */
	c = charge((struct fare_meter_reading){.state = FARE_METER_FINAL, .ending = FARE_COMPLETE, .received = 1, .flags = FARE_METER_REPORTED | FARE_METER_CLAMPED}, 0, 0);
	assert_int_equal(c.flags, FARE_ENTRY_CLAMPED);
}

static void check_over_hold(void **state)
{
	(void)state;
	struct fare_charge c = charge((struct fare_meter_reading){.state = FARE_METER_FINAL, .ending = FARE_COMPLETE, .received = 1, .flags = FARE_METER_REPORTED, .usage = {.output = 100}}, 0, 0);
	assert_int_equal(c.amount.nano, 1003); /* the true cost, all the same */
	assert_int_equal(c.flags, FARE_ENTRY_OVER_HOLD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(check_free), cmocka_unit_test(check_reported), cmocka_unit_test(check_estimated), cmocka_unit_test(check_clamped), cmocka_unit_test(check_over_hold)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
