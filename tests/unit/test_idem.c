/* Idempotency-Keys in the decider: every way a key can be said again, and whoever is killed meanwhile. */
#include "base/first.h"

#include "decider_kit.h"

static struct fare_admit keyed(unsigned call, unsigned key, unsigned body)
{
	struct fare_admit a = ask_of(call, 10);
	fare_sha256(&key, sizeof key, &a.idem);
	a.body[0] = (uint8_t)body;
	return a;
}

/* Says it in a slot of its own; what it is answered, FARE_REFUSED_NONE: granted. */
static const struct told *say(struct world *x, struct fare_worker *w, uint16_t slot, const struct fare_admit *a)
{
	fare_decider_admit(&x->d, w, slot, a);
	return last_told(x);
}

static const struct told *expect(struct world *x, struct fare_worker *w, const struct fare_admit *a, uint16_t slot, enum fare_refused code)
{
	const struct told *t = say(x, w, slot, a);
	assert_int_equal(t->type, code ? FARE_MSG_REFUSE : FARE_MSG_GRANT);
	assert_int_equal(t->answer.refused, code);
	x->told_n = 0;
	return t;
}

static void end(struct world *x, struct fare_worker *w, uint16_t slot, unsigned call, uint64_t tokens, uint32_t answer_n)
{
	meter(x, call, FARE_METER_FINAL, tokens);
	for (unsigned i = 0; i < x->meter_n; i++)
		if (fare_id_eq(x->meters[i].id, id_of(call)))
			x->meters[i].reading.answer_n = answer_n;
	fare_decider_end(&x->d, w, slot, id_of(call), false);
}

static void test_every_case(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit first = keyed(1, 7, 1), other_key = keyed(2, 8, 1), same = keyed(3, 7, 1), other_body = keyed(4, 7, 2);
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	expect(x, w, &first, 0, FARE_REFUSED_NONE); /* the same call, said again */
	expect(x, w, &other_key, 1, FARE_REFUSED_NONE);
	assert_true(fare_id_eq(expect(x, w, &same, 2, FARE_IDEM_IN_FLIGHT)->answer.numbers.earlier, id_of(1)));
	assert_true(fare_id_eq(expect(x, w, &same, 2, FARE_IDEM_IN_FLIGHT)->answer.numbers.earlier, id_of(1)));
	expect(x, w, &other_body, 2, FARE_IDEM_MISMATCH);
	int64_t before = available(x);
	end(x, w, 0, 1, 5, 100);
	end(x, w, 1, 2, 5, 0);
	struct fare_admit decided = keyed(5, 7, 1);
	expect(x, w, &decided, 2, FARE_IDEM_IN_FLIGHT); /* until it is durable */
	write_all(x);
	assert_int_equal(available(x), before + 2 * 10 - 2 * 5);
	struct fare_admit replay = keyed(6, 7, 1), spent = keyed(7, 8, 1), mismatch = keyed(8, 7, 2);
	const struct told *t = expect(x, w, &replay, 0, FARE_IDEM_REPLAY);
	assert_true(fare_id_eq(t->answer.numbers.earlier, id_of(1)));
	assert_int_equal(t->answer.numbers.cost.nano, 5);
	t = expect(x, w, &replay, 0, FARE_IDEM_REPLAY); /* R8: refused stays refused */
	assert_true(fare_id_eq(t->answer.numbers.earlier, id_of(1)));
	t = expect(x, w, &spent, 1, FARE_IDEM_SPENT);
	assert_true(fare_id_eq(t->answer.numbers.earlier, id_of(2)));
	assert_int_equal(t->answer.numbers.cost.nano, 5);
	expect(x, w, &mismatch, 2, FARE_IDEM_MISMATCH);
	assert_int_equal(available(x), before + 2 * 10 - 2 * 5);
	assert_int_equal(x->d.holds.used, 0);
	assert_int_equal(x->ledger_n, 2);
}

/* A call that cost nothing gives its key back, whatever its ending; a refused one never had it. */
static void test_costs_nothing(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit first = keyed(1, 7, 1), poor = keyed(2, 8, 1), again = keyed(3, 7, 2);
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	meter(x, 1, FARE_METER_IDLE, 0);
	fare_decider_end(&x->d, w, 0, id_of(1), true);
	expect(x, w, &again, 1, FARE_IDEM_MISMATCH);
	write_all(x);
	again.call_id = id_of(4);
	expect(x, w, &again, 1, FARE_REFUSED_NONE);
	poor.bound = 2000;
	expect(x, w, &poor, 0, FARE_BALANCE_TOO_LOW);
	poor.call_id = id_of(5);
	poor.bound = 10;
	poor.body[0]++;
	expect(x, w, &poor, 0, FARE_REFUSED_NONE);
	assert_int_equal(x->d.idem_count, 2);
}

/* The account's, not the key's; and asked for before price and balance. */
static void test_scope(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_account b = {.id = 2, .name = "b", .balance = {100}};
	fare_decider_put_account(&x->d, &b);
	struct fare_admit first = keyed(1, 7, 1), other = keyed(2, 7, 1), dear = keyed(3, 7, 1), unknown = keyed(4, 7, 1);
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	key_of(4, &other.key);
	fare_decider_account(&x->d, 2)->rec.balance = fare_nano(100);
	expect(x, w, &other, 1, FARE_REFUSED_NONE);
	dear.bound = 4000; /* more than there is: but nothing is to be paid */
	expect(x, w, &dear, 2, FARE_IDEM_IN_FLIGHT);
	key_of(9, &unknown.key);
	expect(x, w, &unknown, 2, FARE_KEY_UNKNOWN);
}

static void test_bank_killed(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit live = keyed(4, 7, 1), decided = keyed(5, 8, 1), gone = keyed(3, 9, 1);
	expect(x, w, &gone, 0, FARE_REFUSED_NONE);
	end(x, w, 0, 3, 4, 50);
	write_all(x);
	expect(x, w, &live, 0, FARE_REFUSED_NONE);
	expect(x, w, &decided, 1, FARE_REFUSED_NONE);
	end(x, w, 1, 5, 5, 77);
	bank_restarts(x);
	assert_int_equal(x->d.idem_count, 3);
	w = hello(x, 1, (const struct fare_listed[]){{0, id_of(4)}, {1, id_of(5)}}, 2);
	x->told_n = 0;
	struct fare_admit a = keyed(10, 7, 1), b = keyed(11, 8, 1), c = keyed(12, 9, 1);
	expect(x, w, &a, 2, FARE_IDEM_IN_FLIGHT);
	expect(x, w, &b, 2, FARE_IDEM_IN_FLIGHT);
	expect(x, w, &c, 2, FARE_IDEM_REPLAY);
	write_all(x); /* the decided one, with what its record says of its answer */
	x->told_n = 0;
	b.call_id = id_of(13);
	expect(x, w, &b, 2, FARE_IDEM_REPLAY);
	end(x, w, 0, 4, 5, 0);
	write_all(x);
	bank_restarts(x);
	w = hello(x, 1, NULL, 0);
	x->told_n = 0;
	a.call_id = id_of(14);
	expect(x, w, &a, 2, FARE_IDEM_SPENT);
	assert_int_equal(x->ledger_n, 3);
}

/* A worker that died before `final` has left no answer that counts, whatever its meter says. */
static void test_worker_killed(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0), *other = hello(x, 2, NULL, 0);
	struct fare_admit first = keyed(1, 7, 1), again = keyed(2, 7, 1);
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	meter(x, 1, FARE_METER_STREAMING, 5);
	w->conn = NULL;
	fare_decider_dead(&x->d, w);
	write_all(x);
	expect(x, other, &again, 0, FARE_IDEM_SPENT);
}

static void test_expiry(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit first = keyed(1, 7, 1), second = keyed(2, 8, 1);
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	end(x, w, 0, 1, 5, 10);
	write_all(x);
	uint64_t day = x->d.now_ms + FARE_IDEM_KEEP_MS;
	fare_decider_time(&x->d, day - 1);
	expect(x, w, &second, 1, FARE_REFUSED_NONE);
	end(x, w, 1, 2, 5, 10);
	write_all(x);
	struct fare_admit again = keyed(3, 7, 2);
	expect(x, w, &again, 0, FARE_IDEM_MISMATCH);
	fare_decider_forget_keys(&x->d);
	assert_null(x->first); /* nothing is old enough */
	fare_decider_time(&x->d, day);
	again.call_id = id_of(4);
	expect(x, w, &again, 0, FARE_REFUSED_NONE); /* as new, though the store still has the old one */
	fare_decider_forget_keys(&x->d);
	write_all(x);
	assert_int_equal(x->expired_n, 1);
	assert_int_equal(x->replays[0].account, 0);
	assert_int_equal(x->d.idem_count, 2);
	end(x, w, 0, 4, 6, 10);
	write_all(x);
	x->told_n = 0;
	struct fare_admit more = keyed(5, 7, 2);
	assert_true(fare_id_eq(expect(x, w, &more, 0, FARE_IDEM_REPLAY)->answer.numbers.earlier, id_of(4)));
	bank_restarts(x);
	fare_decider_time(&x->d, day);
	w = hello(x, 1, NULL, 0);
	more.call_id = id_of(6);
	assert_true(fare_id_eq(expect(x, w, &more, 0, FARE_IDEM_REPLAY)->answer.numbers.earlier, id_of(4)));
	fare_decider_time(&x->d, 2 * day);
	fare_decider_forget_keys(&x->d);
	write_all(x);
	assert_int_equal(x->d.idem_count, 0);
	assert_int_equal(x->expired_n, 3);
}

/* Loaded by call id, let go by end; of two of one key the later counts. */
static void test_order(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit ask = keyed(50, 7, 1);
	struct fare_replay r[] = {{.call_id = id_of(1), .account = 1, .idem = ask.idem, .cost = {3}, .ended_ms = 9000, .answer_n = 1}, {.call_id = id_of(2), .account = 1, .idem = ask.idem, .cost = {4}, .ended_ms = 8000},
		{.call_id = id_of(3), .account = 2, .idem = ask.idem, .cost = {5}, .ended_ms = 1000}};
	memcpy(r[0].body, ask.body, sizeof ask.body);
	for (size_t i = 0; i < FARE_ARRAY_N(r); i++)
		fare_decider_put_replay(&x->d, &r[i]);
	assert_true(fare_decider_recover(&x->d, has_entry, x));
	assert_true(fare_id_eq(expect(x, w, &ask, 0, FARE_IDEM_REPLAY)->answer.numbers.earlier, id_of(1)));
	fare_decider_time(&x->d, 8500 + (uint64_t)FARE_IDEM_KEEP_MS);
	fare_decider_forget_keys(&x->d);
	assert_int_equal(x->first->op.u.forget.count, 2);
	assert_true(fare_id_eq(x->first->op.u.forget.calls[0], id_of(3)) && fare_id_eq(x->first->op.u.forget.calls[1], id_of(2)));
	ask.call_id = id_of(51);
	expect(x, w, &ask, 0, FARE_IDEM_REPLAY);
	write_all(x);
}

/* Many at once are let go in bounded pieces. */
static void test_many(void **state)
{
	struct world *x = *state;
	enum { MANY = FARE_FORGET_MAX * FARE_FORGET_OPS + 10 };
	for (unsigned i = 0; i < MANY; i++) {
		struct fare_admit a = keyed(1, 1000 + i, 1);
		struct fare_replay r = {.call_id = id_of(i), .account = 1, .idem = a.idem, .cost = {1}, .ended_ms = 1000};
		fare_decider_put_replay(&x->d, &r);
	}
	fare_decider_time(&x->d, 1000 + (uint64_t)FARE_IDEM_KEEP_MS);
	fare_decider_forget_keys(&x->d);
	assert_int_equal(x->d.idem_count, 10);
	assert_int_equal(x->d.queued, FARE_FORGET_OPS);
	fare_decider_forget_keys(&x->d); /* no more while the writer is at it */
	assert_int_equal(x->d.queued, FARE_FORGET_OPS);
	write_all(x);
	for (unsigned room = FARE_ROOM_FULL; room <= FARE_ROOM_READ_ONLY; room++) { /* nor on a disk without room */
		x->d.room = (uint8_t)room;
		fare_decider_forget_keys(&x->d);
		assert_null(x->first);
	}
	x->d.room = FARE_ROOM_GOOD;
	fare_decider_forget_keys(&x->d);
	write_all(x);
	assert_int_equal(x->d.idem_count, 0);
	assert_null(x->d.idem_first);
	enum { LARGE = FARE_FORGET_BYTES / FARE_ANSWER_MAX };
	for (unsigned i = 0; i < LARGE + 3; i++) { /* large ones are fewer */
		struct fare_admit a = keyed(1, 1000 + i, 1);
		struct fare_replay r = {.call_id = id_of(i), .account = 1, .idem = a.idem, .cost = {1}, .ended_ms = 1000, .answer_n = FARE_ANSWER_MAX};
		fare_decider_put_replay(&x->d, &r);
	}
	fare_decider_forget_keys(&x->d);
	assert_int_equal(x->d.idem_count, 3);
	write_all(x);
}

static void test_bound(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit first = keyed(1, 7, 1), second = keyed(2, 8, 1), again = keyed(3, 7, 1), bare = ask_of(4, 10);
	assert_int_equal(x->d.idem_max, FARE_IDEM_MAX);
	x->d.idem_max = 1;
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	expect(x, w, &second, 1, FARE_IDEM_FULL);
	expect(x, w, &again, 1, FARE_IDEM_IN_FLIGHT);
	expect(x, w, &bare, 1, FARE_REFUSED_NONE);
}

/* The writer refused the charge: nobody knows what became of it, so the key stays. */
static void test_parked(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit first = keyed(1, 7, 1), again = keyed(2, 7, 1);
	expect(x, w, &first, 0, FARE_REFUSED_NONE);
	end(x, w, 0, 1, 5, 10);
	struct fare_job *job = x->first;
	x->first = NULL;
	x->last = &x->first;
	job->op.applied = FARE_REFUSED_OP;
	fare_decider_durable(&x->d, job);
	expect(x, w, &again, 0, FARE_IDEM_IN_FLIGHT);
	bank_restarts(x);
	w = hello(x, 1, NULL, 0);
	again.call_id = id_of(3);
	expect(x, w, &again, 1, FARE_IDEM_IN_FLIGHT);
	write_all(x);
	x->told_n = 0;
	again.call_id = id_of(4);
	expect(x, w, &again, 1, FARE_IDEM_REPLAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_every_case), TEST(test_costs_nothing), TEST(test_scope), TEST(test_bank_killed), TEST(test_worker_killed), TEST(test_expiry), TEST(test_order), TEST(test_many),
		TEST(test_bound), TEST(test_parked)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
