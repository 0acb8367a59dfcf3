/* What the decider raises alarms for, and how often. */
#include "base/first.h"

#include "decider_kit.h"

static void mark(struct world *x, int64_t nano)
{
	struct fare_account rec = fare_decider_account(&x->d, 1)->rec;
	rec.low_balance.nano = x->stored.low_balance.nano = nano;
	fare_decider_put_account(&x->d, &rec); /* as when the change is durable */
	write_all(x);
}

static void spend(struct world *x, struct fare_worker *w, unsigned n, uint64_t tokens)
{
	admit(x, w, (uint16_t)(n % SLOTS), n, 900);
	meter(x, n, FARE_METER_FINAL, tokens);
	fare_decider_end(&x->d, w, (uint16_t)(n % SLOTS), id_of(n), false);
}

static void check_low_balance(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	mark(x, 500);
	spend(x, w, 1, 500); /* what it holds while it runs does not count, and 500 is not less than 500 */
	write_all(x);
	assert_int_equal(x->alarm_n, 0);
	submit(x, FARE_KIND_DEBIT, -1);
	submit(x, FARE_KIND_DEBIT, -1);
	assert_int_equal(x->alarm_n, 0); /* not before it is durable */
	write_all(x);
	assert_int_equal(x->alarm_n, 1);
	assert_int_equal(x->alarms[0].what, FARE_ALARM_LOW_BALANCE);
	assert_int_equal(x->alarms[0].account, 1);
	assert_int_equal(x->alarms[0].falls, 1);
	fare_decider_told(&x->d, 1, 1);
	fare_decider_told(&x->d, 1, 1);
	submit(x, FARE_KIND_DEBIT, -100);
	write_all(x);
	assert_int_equal(x->stored.low, FARE_LOW_TOLD);
	assert_int_equal(x->alarm_n, 1);
	submit(x, FARE_KIND_CREDIT, 500); /* 898 */
	write_all(x);
	assert_int_equal(x->stored.low, FARE_LOW_NOT);
	submit(x, FARE_KIND_DEBIT, -400);
	submit(x, FARE_KIND_CREDIT, 400); /* risen before anybody could tell: it has fallen all the same */
	write_all(x);
	assert_int_equal(x->alarm_n, 2);
	assert_int_equal(x->alarms[1].falls, 2);
	fare_decider_told(&x->d, 1, 2);
	assert_int_equal(x->stored.low, FARE_LOW_NOT);
	mark(x, 2000); /* a higher mark, too, is one it has less than */
	assert_int_equal(x->alarm_n, 3);
	mark(x, 0);
	assert_int_equal(x->stored.low, FARE_LOW_NOT);
	assert_int_equal(x->alarm_n, 3);
}

/* The bank is killed at each step of a fall: told at the end, and not again once that is durable. */
static void check_low_balance_restarts(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	mark(x, 500);
	spend(x, w, 1, 600);
	bank_restarts(x); /* nothing of it is durable but the decision in the hold's record: seen again */
	assert_int_equal(x->alarm_n, 0);
	write_all(x);
	assert_int_equal(x->alarm_n, 1);
	bank_restarts(x); /* due, not told: the server finds it so */
	write_all(x);
	assert_int_equal(x->alarm_n, 1);
	assert_int_equal(fare_decider_account(&x->d, 1)->due, 1);
	fare_decider_told(&x->d, 1, 1);
	assert_int_equal(fare_decider_account(&x->d, 1)->due, 0);
	bank_restarts(x); /* told, but not durable: told again, as the same fall */
	assert_int_equal(fare_decider_account(&x->d, 1)->due, 1);
	fare_decider_told(&x->d, 1, 1);
	write_all(x);
	bank_restarts(x);
	write_all(x);
	assert_int_equal(fare_decider_account(&x->d, 1)->due, 0);
	assert_int_equal(x->stored.falls, 1);
	assert_int_equal(x->alarm_n, 1);
}

static void answered(struct world *x, struct fare_worker *w, unsigned n, uint64_t status)
{
	admit(x, w, 0, n, 10);
	meter(x, n, FARE_METER_FINAL, 0);
	x->meters[x->meter_n - 1].reading.upstream_status = status;
	fare_decider_end(&x->d, w, 0, id_of(n), false);
	write_all(x);
}

static void check_provider_refused(void **state)
{
	enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
	static const struct { uint64_t at_ms, status; unsigned alarms; } steps[] = {
		{0, 500, 0}, {0, 401, 1}, {0, 403, 1}, {MINUTE, 402, 1}, {HOUR - 1, 401, 1}, {HOUR, 401, 2}, {HOUR, 500, 2}, {HOUR + 1, 401, 2},
		{HOUR + 2, 200, 2}, {HOUR + 3, 401, 2}, {HOUR + MINUTE - 1, 401, 2}, {HOUR + MINUTE, 402, 3}, {HOUR + MINUTE + 1, 0, 3}, {HOUR + 2 * MINUTE, 402, 3}};
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	for (unsigned i = 0; i < FARE_ARRAY_N(steps); i++) {
		fare_decider_time(&x->d, 1000000 + steps[i].at_ms);
		answered(x, w, 1 + i, steps[i].status);
		assert_int_equal(x->alarm_n, steps[i].alarms);
	}
	assert_int_equal(x->alarms[2].what, FARE_ALARM_PROVIDER_REFUSED);
	assert_int_equal(x->alarms[2].provider, 1);
	assert_int_equal(x->alarms[2].status, 402);
	assert_true(fare_id_eq(x->alarms[2].call_id, id_of(12)));
	assert_int_equal(available(x), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(check_low_balance), TEST(check_low_balance_restarts), TEST(check_provider_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
