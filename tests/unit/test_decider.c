/* The decider alone: rules of admission, and the histories of the money protocol in which one rule left out would lose or double money. */
#include "base/first.h"

#include "decider_kit.h"

/* ---- Admission */

static void check_refusals(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct { unsigned key; const char *model, *ip; int64_t bound; enum fare_refused code; } cases[] = {
		{9, "m", "127.0.0.1", 10, FARE_KEY_UNKNOWN}, {2, "m", "127.0.0.1", 10, FARE_KEY_REVOKED_}, {3, "m", "127.0.0.1", 10, FARE_KEY_EXPIRED}, {4, "m", "127.0.0.1", 10, FARE_ACCOUNT_CLOSED},
		{5, "m", "11.0.0.1", 10, FARE_IP_NOT_ALLOWED}, {5, "m", "", 10, FARE_IP_NOT_ALLOWED}, {5, "m", "10.1.2.3", 10, FARE_MODEL_NOT_ALLOWED}, {5, "m", "::1", 10, FARE_MODEL_NOT_ALLOWED},
		{5, "m", "::ffff:10.0.0.1", 10, FARE_MODEL_NOT_ALLOWED}, {1, "nothing", "", 10, FARE_MODEL_UNKNOWN}, {1, "unpriced", "", 10, FARE_MODEL_NOT_PRICED}, {1, "m", "", 5001, FARE_BOUND_TOO_HIGH},
		{1, "m", "", 1001, FARE_BALANCE_TOO_LOW}, {1, "m", "", 1000, FARE_REFUSED_NONE}};
	for (unsigned i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct fare_admit a = ask_of(100 + i, cases[i].bound);
		key_of(cases[i].key, &a.key);
		assert_true(fare_span_copy(fare_span_of(cases[i].model), a.model, sizeof a.model) && fare_span_copy(fare_span_of(cases[i].ip), a.ip, sizeof a.ip));
		fare_decider_admit(&x->d, w, 0, &a);
		assert_int_equal(last_told(x)->answer.refused, cases[i].code);
		assert_int_equal(last_told(x)->type, cases[i].code ? FARE_MSG_REFUSE : FARE_MSG_GRANT);
	}
}

/* Where a key says nothing its account's word holds, and where that says nothing the instance's. */
static void check_defaults(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_account rec = fare_decider_account(&x->d, 1)->rec;
	struct { unsigned key; const char *models, *ip, *model, *from; enum fare_refused code; } cases[] = {
		{1, "x*", "", "m", "127.0.0.1", FARE_MODEL_NOT_ALLOWED}, {1, "x*,m", "", "m", "", FARE_REFUSED_NONE}, {1, "", "10.0.0.0/8", "m", "127.0.0.1", FARE_IP_NOT_ALLOWED},
		{1, "", "10.0.0.0/8", "m", "", FARE_IP_NOT_ALLOWED}, {1, "", "10.0.0.0/8", "m", "10.9.9.9", FARE_REFUSED_NONE},
		{5, "m", "", "m", "10.1.2.3", FARE_MODEL_NOT_ALLOWED}, {5, "m", "127.0.0.1", "m", "127.0.0.1", FARE_IP_NOT_ALLOWED}, {5, "", "127.0.0.1", "other", "10.1.2.3", FARE_MODEL_UNKNOWN}};
	for (unsigned i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct fare_admit a = ask_of(100 + i, 10);
		assert_true(fare_span_copy(fare_span_of(cases[i].models), rec.default_models, sizeof rec.default_models) &&
			fare_span_copy(fare_span_of(cases[i].ip), rec.default_ip, sizeof rec.default_ip));
		fare_decider_put_account(&x->d, &rec);
		key_of(cases[i].key, &a.key);
		assert_true(fare_span_copy(fare_span_of(cases[i].model), a.model, sizeof a.model) && fare_span_copy(fare_span_of(cases[i].from), a.ip, sizeof a.ip));
		fare_decider_admit(&x->d, w, (uint16_t)(i % 3), &a);
		assert_int_equal(last_told(x)->answer.refused, cases[i].code);
		if (!cases[i].code) {
			meter(x, 100 + i, FARE_METER_IDLE, 0);
			fare_decider_end(&x->d, w, (uint16_t)(i % 3), a.call_id, true);
			write_all(x);
		}
	}
	rec.default_models[0] = rec.default_ip[0] = '\0';
	rec.default_max_tokens = 70;
	fare_decider_put_account(&x->d, &rec);
	const struct told *t = admit(x, w, 0, 200, FARE_NO_BOUND);
	assert_true(t->answer.grant.bound_ours);
	assert_int_equal(t->answer.grant.bound, 70);
	assert_int_equal(t->answer.grant.hold.nano, 70);
	t = admit(x, w, 1, 201, 80); /* a caller's own is his */
	assert_int_equal(t->answer.grant.bound, 80);
	rec.default_max_tokens = 9000; /* the model's limit, and what the balance affords, stay above it */
	fare_decider_put_account(&x->d, &rec);
	assert_int_equal(admit(x, w, 2, 202, FARE_NO_BOUND)->answer.grant.bound, 850);
}

static void check_numbers_of_402(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	const struct told *t = admit(x, w, 0, 1, 2000);
	assert_int_equal(t->answer.refused, FARE_BALANCE_TOO_LOW);
	assert_int_equal(t->answer.numbers.available.nano, 1000);
	assert_int_equal(t->answer.numbers.needed.nano, 2000);
	assert_int_equal(t->answer.numbers.affordable, 1000);
	assert_int_equal(t->answer.numbers.price.output, 1000000);
	t = admit(x, w, 0, 2, 5001);
	assert_int_equal(t->answer.numbers.limit, 5000);
	assert_int_equal(x->d.holds.used, 0);
}

static void check_pending_fits(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_acct *a = fare_decider_account(&x->d, 1);
	a->rec.balance.nano = a->rec.credit_limit.nano = INT64_MAX;
	a->pending.nano = INT64_MAX - 5;
	assert_int_equal(admit(x, w, 0, 1, 10)->answer.refused, FARE_BALANCE_TOO_LOW);
	assert_true(admit(x, w, 0, 2, 5)->answer.granted);
	assert_int_equal(a->pending.nano, INT64_MAX);
}

static void check_our_bound(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	/* No bound: the default, lowered to what the balance affords. */
	const struct told *t = admit(x, w, 0, 1, FARE_NO_BOUND);
	assert_true(t->answer.granted && t->answer.grant.bound_ours);
	assert_int_equal(t->answer.grant.bound, 1000);
	assert_int_equal(t->answer.grant.hold.nano, 1000);
	assert_int_equal(t->answer.grant.max_output, 1000);
	assert_string_equal(t->answer.grant.upstream_model, "up");
	assert_string_equal(t->answer.grant.base_url, "http://h/v1");
	fare_decider_account(&x->d, 1)->rec.balance.nano += 16;
	t = admit(x, w, 1, 2, FARE_NO_BOUND);
	assert_true(t->answer.granted);
	assert_int_equal(t->answer.grant.bound, 16);
	/* Not below 16. */
	fare_decider_account(&x->d, 1)->rec.balance.nano += 15;
	t = admit(x, w, 2, 3, FARE_NO_BOUND);
	assert_int_equal(t->answer.refused, FARE_BALANCE_TOO_LOW);
	assert_int_equal(t->answer.numbers.affordable, 15);
	fare_decider_account(&x->d, 1)->rec.balance.nano += 100000;
	t = admit(x, w, 2, 4, FARE_NO_BOUND);
	assert_int_equal(t->answer.grant.bound, 4096);
}

static void check_hold(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit a = ask_of(1, 10);
	a.choices = 3;
	fare_decider_admit(&x->d, w, 0, &a);
	assert_int_equal(last_told(x)->answer.grant.hold.nano, 30);
	assert_int_equal(available(x), 970);
	/* Two bytes a token, rounded up, an image at its constant; never more than the model takes in. */
	a = ask_of(2, 0);
	assert_true(fare_span_copy(fare_span_of("in"), a.model, sizeof a.model));
	a.endpoint = FARE_EMBEDDINGS;
	a.prompt_bytes = 31;
	fare_decider_admit(&x->d, w, 1, &a);
	assert_int_equal(last_told(x)->answer.grant.hold.nano, 16);
	assert_int_equal(last_told(x)->answer.grant.bound, FARE_NO_BOUND);
	a.call_id = id_of(3);
	a.images = 1;
	fare_decider_admit(&x->d, w, 2, &a);
	assert_int_equal(last_told(x)->answer.grant.hold.nano, 50);
}

static void check_overloaded(void **state)
{
	struct world *x = *state;
	struct fare_worker *workers[] = {hello(x, 1, NULL, 0), hello(x, 2, NULL, 0)};
	_Static_assert(HOLDS <= 2 * SLOTS, "two workers take all holds");
	for (unsigned i = 0; i < HOLDS; i++)
		assert_true(admit(x, workers[i / SLOTS], (uint16_t)(i % SLOTS), 1 + i, 1)->answer.granted);
	const struct told *t = admit(x, hello(x, 9, NULL, 0), 0, 50, 1);
	assert_int_equal(t->answer.refused, FARE_OVERLOADED);
	assert_int_equal(available(x), 1000 - HOLDS);
}

/* Without room nothing new is taken, but who may not come in hears that; what runs ends as ever, and an admit that is said again has its answer. */
static void check_no_room(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 500);
	x->d.room = FARE_ROOM_FULL;
	assert_int_equal(admit(x, w, 1, 2, 10)->answer.refused, FARE_STORE_FULL);
	assert_int_equal(admit(x, w, 2, 3, 1001)->answer.refused, FARE_BALANCE_TOO_LOW);
	assert_int_equal(x->d.queued, 0); /* no stories of refusals into the reserve */
	assert_true(admit(x, w, 0, 1, 500)->answer.granted);
	meter(x, 1, FARE_METER_FINAL, 200);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	write_all(x);
	assert_int_equal(last_told(x)->type, FARE_MSG_ACK);
	assert_int_equal(available(x), 800);
	x->d.room = FARE_ROOM_READ_ONLY;
	assert_int_equal(admit(x, w, 0, 4, 10)->answer.refused, FARE_STORE_READ_ONLY);
	x->d.room = FARE_ROOM_GOOD;
	assert_int_equal(admit(x, w, 1, 2, 10)->answer.refused, FARE_STORE_FULL); /* R8 */
	assert_true(admit(x, w, 1, 5, 10)->answer.granted);
}

/* ---- A call's way */

static void check_settle(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 500);
	assert_int_equal(available(x), 500);
	meter(x, 1, FARE_METER_FINAL, 120);
	unsigned before = x->told_n;
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	/* The rest is released at once; no ack before it is durable. */
	assert_int_equal(available(x), 880);
	assert_int_equal(x->told_n, before);
	fare_decider_end(&x->d, w, 0, id_of(1), false); /* R7 */
	assert_null(admit(x, w, 0, 1, 500));            /* R7 */
	assert_int_equal(x->told_n, before);
	assert_int_equal(x->d.holds.used, 1); /* R14 */
	write_all(x);
	assert_int_equal(x->told_n, before + 1);
	assert_int_equal(last_told(x)->type, FARE_MSG_ACK);
	assert_int_equal(x->d.holds.used, 0);
	assert_int_equal(x->ledger_n, 1);
	assert_int_equal(x->ledger[0].amount.nano, -120);
	/* Said again when it is over: acknowledged, nothing more. */
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	assert_int_equal(last_told(x)->type, FARE_MSG_ACK);
	assert_int_equal(admit(x, w, 0, 1, 500)->type, FARE_MSG_ACK);
	write_all(x);
	assert_int_equal(x->ledger_n, 1);
	assert_int_equal(available(x), 880);
}

static void check_over_hold(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_model m = *fare_decider_model(&x->d, 1);
	m.max_output = 0;
	fare_decider_put_model(&x->d, &m);
	admit(x, w, 0, 1, 1000);
	x->d.holds.records[0].max_output = 0; /* unknown: nothing to clamp to */
	meter(x, 1, FARE_METER_FINAL, 1500);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	write_all(x);
	assert_true(x->ledger[0].flags & FARE_ENTRY_OVER_HOLD);
	assert_int_equal(available(x), -500);
	assert_int_equal(admit(x, w, 0, 2, 0)->answer.refused, FARE_BALANCE_TOO_LOW);
}

static void check_grant_again(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct told first = *admit(x, w, 0, 1, 500);
	struct told again = *admit(x, w, 0, 1, 500);
	assert_memory_equal(&first.answer, &again.answer, sizeof first.answer);
	assert_int_equal(available(x), 500);
	assert_int_equal(x->d.holds.used, 1);
}

/* ---- The histories of section 3 */

static void check_r3_r10(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 500);
	const struct fare_listed listed[] = {{0, id_of(1)}};
	assert_ptr_equal(hello(x, 1, listed, 1), w);
	assert_int_equal(x->d.holds.used, 1);
	assert_null(x->first);
	/* A hello that misses the hold: alarm, by the meter. */
	meter(x, 1, FARE_METER_IDLE, 0);
	assert_ptr_equal(hello(x, 1, NULL, 0), w);
	write_all(x);
	assert_int_equal(x->ledger_n, 1);
	assert_int_equal(x->ledger[0].ending, FARE_NOT_SENT);
	assert_int_equal(available(x), 1000);
}

static void check_r4_dead(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	for (unsigned i = 0; i < 3; i++)
		admit(x, w, (uint16_t)i, 1 + i, 100);
	meter(x, 1, FARE_METER_IDLE, 0);
	meter(x, 2, FARE_METER_STREAMING, 40);
	meter(x, 3, FARE_METER_FINAL, 60);
	w->conn = NULL;
	fare_decider_dead(&x->d, w);
	assert_null(hello(x, 1, NULL, 0)); /* nothing it says counts any more */
	write_all(x);
	assert_int_equal(x->ledger_n, 3);
	assert_int_equal(entry_of(x, id_of(1))->ending, FARE_NOT_SENT);
	assert_int_equal(entry_of(x, id_of(2))->ending, FARE_WORKER_DIED);
	assert_int_equal(entry_of(x, id_of(2))->amount.nano, -40);
	assert_int_equal(entry_of(x, id_of(3))->ending, FARE_COMPLETE);
	assert_int_equal(available(x), 900);
	assert_int_equal(w->holds, 0);
	fare_decider_forget(&x->d, w);
}

static void check_r5_decided_price(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 600);
	meter(x, 1, FARE_METER_FINAL, 400);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	assert_true(admit(x, w, 1, 2, 600)->answer.granted);
	assert_int_equal(available(x), 0);
	meter(x, 1, FARE_METER_FINAL, 600); /* must not be looked at again */
	bank_restarts(x);
	assert_int_equal(available(x), 0);
	write_all(x);
	assert_int_equal(entry_of(x, id_of(1))->amount.nano, -400);
	assert_int_equal(x->d.holds.used, 1);
}

static void check_entry_found_at_start(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 600);
	meter(x, 1, FARE_METER_FINAL, 400);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	x->ledger[x->ledger_n++] = x->first->op.u.post; /* committed, and the bank is killed */
	bank_restarts(x);
	assert_int_equal(x->d.holds.used, 0);
	assert_null(x->first);
	assert_int_equal(available(x), 600);
	/* The worker says it again: the writer finds the entry, then it is acknowledged. */
	w = hello(x, 1, NULL, 0);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	assert_int_equal(x->told_n, 0);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	write_all(x);
	assert_int_equal(x->told_n, 1);
	assert_int_equal(last_told(x)->type, FARE_MSG_ACK);
	assert_int_equal(x->ledger_n, 1);
}

static void check_r8_refused_stays(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 800);
	assert_int_equal(admit(x, w, 1, 2, 500)->answer.refused, FARE_BALANCE_TOO_LOW);
	meter(x, 1, FARE_METER_IDLE, 0);
	fare_decider_end(&x->d, w, 0, id_of(1), true);
	write_all(x);
	/* There is money now; the second copy of the same admit is refused all the same. */
	const struct told *t = admit(x, w, 1, 2, 500);
	assert_int_equal(t->answer.refused, FARE_BALANCE_TOO_LOW);
	assert_int_equal(t->answer.numbers.needed.nano, 500);
	assert_int_equal(x->d.holds.used, 0);
	/* An id older than the slot's last: refused. */
	assert_true(admit(x, w, 1, 5, 500)->answer.granted);
	meter(x, 5, FARE_METER_IDLE, 0);
	fare_decider_end(&x->d, w, 1, id_of(5), true);
	write_all(x);
	assert_int_equal(admit(x, w, 1, 4, 500)->answer.refused, FARE_CALL_ENDED);
}

static void check_r8_void_of_unknown(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	fare_decider_end(&x->d, w, 0, id_of(7), true);
	assert_null(admit(x, w, 0, 7, 500)); /* the admit comes late: it must not run */
	write_all(x);
	assert_int_equal(last_told(x)->type, FARE_MSG_ACK);
	assert_int_equal(admit(x, w, 0, 7, 500)->type, FARE_MSG_ACK);
	assert_int_equal(x->d.holds.used, 0);
	assert_int_equal(x->ledger_n, 0);
}

static void check_live_after_restart(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct told first = *admit(x, w, 2, 1, 500);
	bank_restarts(x);
	assert_int_equal(available(x), 500);
	const struct fare_listed listed[] = {{2, id_of(1)}};
	w = hello(x, 1, listed, 1);
	/* The grant was lost with the bank: the same one is said again. */
	struct told again = *admit(x, w, 2, 1, 500);
	assert_memory_equal(&first.answer, &again.answer, sizeof first.answer);
	meter(x, 1, FARE_METER_FINAL, 10);
	fare_decider_end(&x->d, w, 2, id_of(1), false);
	write_all(x);
	assert_int_equal(available(x), 990);
}

static void check_damaged_meter(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 500);
	fare_decider_end(&x->d, w, 0, id_of(1), false); /* no meter of that id */
	write_all(x);
	assert_int_equal(x->ledger[0].ending, FARE_METER_DAMAGED);
	assert_int_equal(x->alarm_n, 1);
	assert_int_equal(x->alarms[0].what, FARE_ALARM_METER_DAMAGED);
	assert_int_equal(x->ledger[0].amount.nano, 0);
	assert_int_equal(available(x), 1000);
}

/* ---- Money of people */

static void check_credit_and_debit(void **state)
{
	struct world *x = *state;
	submit(x, FARE_KIND_CREDIT, 50);
	assert_int_equal(available(x), 1000); /* when durable */
	submit(x, FARE_KIND_DEBIT, -300);
	assert_int_equal(available(x), 700); /* at once */
	write_all(x);
	assert_int_equal(available(x), 750);
	const struct fare_acct *a = fare_decider_account(&x->d, 1);
	assert_int_equal(a->rec.credits.nano - a->rec.debits.nano, 750);
	/* A refused debit is given back. */
	submit(x, FARE_KIND_DEBIT, -300);
	struct fare_job *job = x->first;
	x->first = NULL;
	x->last = &x->first;
	job->op.applied = FARE_REFUSED_OP;
	fare_decider_durable(&x->d, job);
	assert_int_equal(available(x), 750);
	assert_int_equal(a->rec.credits.nano - a->rec.debits.nano, 750);
}

static void check_model_versions(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 1, 100);
	struct fare_model m = *fare_decider_model(&x->d, 1);
	m.version = 4;
	m.price.output = 2000000;
	fare_decider_put_model(&x->d, &m);
	assert_int_equal(admit(x, w, 1, 2, 100)->answer.grant.hold.nano, 200);
	meter(x, 1, FARE_METER_FINAL, 10); /* the running call keeps the price it was granted at */
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	write_all(x);
	assert_int_equal(x->ledger[0].amount.nano, -10);
	assert_int_equal(x->ledger[0].price_version, 1);
	m.removed = true;
	fare_decider_put_model(&x->d, &m);
	assert_int_equal(admit(x, w, 0, 3, 100)->answer.refused, FARE_MODEL_UNKNOWN);
}

static void check_time_stands(void **state)
{
	struct world *x = *state;
	fare_decider_time(&x->d, 5);
	assert_int_equal(x->d.now_ms, 1000000);
}

/* Whoever ends another call than the slot's ends nothing. */
static void check_other_id(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 0, 2, 10);
	meter(x, 2, FARE_METER_FINAL, 1);
	unsigned told = x->told_n;
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	fare_decider_end(&x->d, w, 0, id_of(3), true);
	write_all(x);
	assert_int_equal(x->told_n, told);
	assert_int_equal(x->ledger_n, 0);
	assert_int_equal(w->memory[0].known, FARE_SLOT_LIVE);
}

/* A charge that the writer refuses keeps its record; the slot's next call is not forgotten for it. */
static void check_parked(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	admit(x, w, 1, 1, 10);
	admit(x, w, 0, 2, 10);
	meter(x, 1, FARE_METER_FINAL, 1);
	meter(x, 2, FARE_METER_FINAL, 2);
	meter(x, 3, FARE_METER_FINAL, 3);
	fare_decider_end(&x->d, w, 1, id_of(1), false); /* its record is the next one's, before the parked one's */
	write_all(x);
	fare_decider_end(&x->d, w, 0, id_of(2), false);
	struct fare_job *job = x->first;
	x->first = NULL;
	x->last = &x->first;
	job->op.applied = FARE_REFUSED_OP;
	fare_decider_durable(&x->d, job);
	assert_int_equal(x->d.parked, 1);
	assert_int_equal(x->alarm_n, 1);
	assert_int_equal(x->alarms[0].what, FARE_ALARM_CALL_PARKED);
	assert_true(admit(x, w, 0, 3, 10)->answer.granted);
	bank_restarts(x);
	w = hello(x, 1, (struct fare_listed[]){{0, id_of(3)}}, 1);
	write_all(x); /* the parked one's: the call that runs in its slot goes on */
	assert_non_null(entry_of(x, id_of(2)));
	assert_true(admit(x, w, 0, 3, 10)->answer.granted);
	fare_decider_end(&x->d, w, 0, id_of(3), false);
	write_all(x);
	assert_non_null(entry_of(x, id_of(3)));
	assert_int_equal(x->d.holds.used, 0);
}

/* The answer of a look finds its worker come again with fewer slots. */
static void check_late_look(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	fare_decider_end(&x->d, w, SLOTS - 1, id_of(1), true);
	fare_decider_dead(&x->d, w);
	fare_decider_forget(&x->d, w);
	struct fare_hello h = {.incarnation = {{1}}, .worker_no = 1, .slots = 1};
	w = fare_decider_hello(&x->d, &h);
	w->conn = &x->conn;
	write_all(x);
	assert_int_equal(x->told_n, 0);
}

/* What a rerate posted counts when it is durable, either way, also below zero. */
static void check_rerated(void **state)
{
	struct world *x = *state;
	static struct fare_rerate re;
	struct fare_job *job = fare_alloc(sizeof *job);
	re = (struct fare_rerate){.version = 1, .n = 4, .done = 3, .items = {{.account = 1, .amount = {-1200}}, {.account = 1, .amount = {50}}, {.account = 1}, {.account = 1, .amount = {7}}}};
	job->what = FARE_JOB_OP;
	job->op.type = FARE_OP_RERATE;
	job->op.u.rerate = &re;
	fare_decider_submit(&x->d, job);
	assert_int_equal(available(x), 1000);
	write_all(x);
	struct fare_acct *a = fare_decider_account(&x->d, 1);
	assert_int_equal(available(x), -150);
	assert_int_equal(a->rec.credits.nano, 1050);
	assert_int_equal(a->rec.debits.nano, 1200);
}

/* ---- The decider's part of verify */

static void expect_holds(struct world *x, uint64_t live, uint64_t decided, const char *fault)
{
	struct fare_holds_check c;
	bool ok = fare_decider_check_holds(&x->d, &c);
	if (ok != !fault || (fault && !strstr(c.first_fault, fault)))
		fail_msg("\"%s\", not \"%s\"", c.first_fault, fault ? fault : "");
	if (ok)
		assert_true(c.live == live && c.decided == decided);
}

static void check_holds_verified(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0), *other = hello(x, 2, NULL, 0);
	expect_holds(x, 0, 0, NULL);
	for (unsigned i = 0; i < 3; i++) {
		admit(x, w, (uint16_t)i, 1 + i, 10);
		meter(x, 1 + i, FARE_METER_FINAL, 4);
	}
	expect_holds(x, 3, 0, NULL);
	fare_decider_end(&x->d, w, 1, id_of(2), false);
	expect_holds(x, 2, 1, NULL);
	struct fare_hold *h = w->memory[0].hold;
	struct fare_acct *a = fare_decider_account(&x->d, 1);
	/* Each thing that must agree, put wrong and right again. */
	h->incarnation.b[0] = 9;
	expect_holds(x, 0, 0, "has no worker");
	h->incarnation = other->incarnation;
	expect_holds(x, 0, 0, "is not what worker 2 has in its slot 0");
	h->incarnation = w->incarnation;
	h->call_id = w->memory[0].last = id_of(99);
	expect_holds(x, 0, 0, "has no meter");
	h->call_id = w->memory[0].last = id_of(1);
	h->account = 77;
	expect_holds(x, 0, 0, "names account 77");
	h->account = 1;
	h->price_version = 55;
	expect_holds(x, 0, 0, "names price version 55");
	h->price_version = 1;
	a->pending.nano++;
	expect_holds(x, 0, 0, "account a has 0.000000021 pending, its live holds are 0.00000002 together");
	a->pending.nano--;
	atomic_store(&h->state, 7);
	expect_holds(x, 0, 0, "is neither live nor decided");
	atomic_store(&h->state, FARE_HOLD_LIVE);
	uint64_t queued = x->d.queued;
	x->d.queued = 0;
	expect_holds(x, 0, 0, "1 holds are decided, 0 charges are on their way");
	x->d.queued = queued;
	w->dead = true;
	expect_holds(x, 0, 0, "has no worker");
	w->dead = false;
	expect_holds(x, 2, 1, NULL);
	bank_restarts(x); /* the worker has not come back yet: its meter speaks for it */
	expect_holds(x, 2, 1, NULL);
	write_all(x);
	expect_holds(x, 2, 0, NULL);
}

int main(void)
{
	fare_log_level(FARE_ALARM);
	const struct CMUnitTest tests[] = {
		TEST(check_refusals), TEST(check_defaults), TEST(check_numbers_of_402), TEST(check_our_bound), TEST(check_pending_fits), TEST(check_hold), TEST(check_overloaded), TEST(check_no_room), TEST(check_settle), TEST(check_over_hold), TEST(check_grant_again),
		TEST(check_r3_r10), TEST(check_r4_dead), TEST(check_r5_decided_price), TEST(check_entry_found_at_start), TEST(check_r8_refused_stays), TEST(check_r8_void_of_unknown),
		TEST(check_live_after_restart), TEST(check_damaged_meter), TEST(check_credit_and_debit), TEST(check_model_versions), TEST(check_time_stands), TEST(check_other_id), TEST(check_parked), TEST(check_late_look), TEST(check_rerated), TEST(check_holds_verified),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
