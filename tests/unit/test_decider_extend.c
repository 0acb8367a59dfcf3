/* Holds that grow, the decider alone: what a stream holds at first, and what becomes of it when more is asked for: once, twice, late, beyond the balance, of a bank that was killed. */
#include "base/first.h"

#include "decider_kit.h"

static struct fare_admit stream_of(unsigned n, int64_t bound)
{
	struct fare_admit a = ask_of(n, bound);
	strcpy(a.model, "s");
	a.stream = a.extends = true;
	return a;
}

static const struct told *stream(struct world *x, struct fare_worker *w, uint16_t slot, unsigned n, int64_t bound)
{
	struct fare_admit a = stream_of(n, bound);
	fare_decider_admit(&x->d, w, slot, &a);
	return last_told(x);
}

static const struct fare_extended *extend(struct world *x, struct fare_worker *w, uint16_t slot, unsigned n, uint64_t to)
{
	unsigned before = x->told_n;
	fare_decider_extend(&x->d, w, slot, id_of(n), to);
	assert_int_equal(x->told_n, before + 1);
	assert_int_equal(last_told(x)->type, FARE_MSG_EXTENDED);
	assert_int_equal(last_told(x)->answer.extended.asked, to);
	return &last_told(x)->answer.extended;
}

static void credit(struct world *x, int64_t nano)
{
	submit(x, nano > 0 ? FARE_KIND_CREDIT : FARE_KIND_DEBIT, nano);
	write_all(x);
}

static void check_first(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	static const struct { int64_t bound, debit; bool whole, old; int64_t hold; uint64_t held; int64_t granted; bool lowered; } cases[] = {
		{500, 0, false, false, 40, 40, 500, false}, {500, 0, true, false, 500, 0, 500, false}, {500, 0, false, true, 500, 0, 500, false},
		{30, 0, false, false, 30, 0, 30, false}, {40, 0, false, false, 40, 0, 40, false}, {41, 0, false, false, 40, 40, 41, false},
		{5000, 0, false, false, 40, 40, 5000, false} /* more than there is: it is metered */, {FARE_NO_BOUND, 0, false, false, 40, 40, 1000, true},
		{500, 970, false, false, 30, 30, 500, false}, {500, 984, false, false, 16, 16, 500, false}, {12, 985, false, false, 12, 0, 12, false},
		{FARE_NO_BOUND, 970, false, false, 30, 0, 30, true},
	};
	for (unsigned i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct fare_admit a = stream_of(1 + i, cases[i].bound);
		a.stream = !cases[i].whole;
		a.extends = !cases[i].old;
		if (cases[i].debit)
			credit(x, -cases[i].debit);
		fare_decider_admit(&x->d, w, 0, &a);
		const struct fare_grant *g = &last_told(x)->answer.grant;
		if (!last_told(x)->answer.granted || g->hold.nano != cases[i].hold || g->held_output != cases[i].held || g->bound != cases[i].granted || g->bound_lowered != cases[i].lowered)
			fail_msg("case %u: hold %lld for %llu of %lld", i, (long long)g->hold.nano, (unsigned long long)g->held_output, (long long)g->bound);
		assert_int_equal(available(x), 1000 - cases[i].debit - cases[i].hold);
		fare_decider_admit(&x->d, w, 0, &a); /* said again */
		g = &last_told(x)->answer.grant;
		assert_true(g->hold.nano == cases[i].hold && g->held_output == cases[i].held && g->bound_lowered == cases[i].lowered && g->bound_ours == (cases[i].bound == FARE_NO_BOUND));
		meter(x, 1 + i, FARE_METER_IDLE, 0);
		fare_decider_end(&x->d, w, 0, id_of(1 + i), true);
		write_all(x);
		if (cases[i].debit)
			credit(x, cases[i].debit);
	}
	credit(x, -985);
	const struct told *t = stream(x, w, 0, 100, 500);
	assert_int_equal(t->answer.refused, FARE_BALANCE_TOO_LOW);
	assert_true(t->answer.numbers.needed.nano == 16 && t->answer.numbers.affordable == 15);
	assert_int_equal(stream(x, w, 0, 101, 5001)->answer.refused, FARE_BOUND_TOO_HIGH);
}

/* R9: the size, not the growth. */
static void check_size(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	stream(x, w, 0, 1, 200);
	static const struct { uint64_t to, held; } said[] = {{80, 80}, {80, 80}, {120, 120}, {80, 120} /* late */, {120, 120}, {0, 120}, {200, 200}, {900, 200}, {UINT64_MAX, 200}};
	for (unsigned i = 0; i < FARE_ARRAY_N(said); i++) {
		const struct fare_extended *e = extend(x, w, 0, 1, said[i].to);
		assert_int_equal(e->held_output, said[i].held);
		assert_int_equal(e->hold.nano, said[i].held);
		assert_int_equal(e->available.nano, 1000 - (int64_t)said[i].held);
		assert_int_equal(available(x), 1000 - (int64_t)said[i].held);
	}
	meter(x, 1, FARE_METER_FINAL, 150);
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	assert_int_equal(available(x), 850);
	write_all(x);
	assert_int_equal(entry_of(x, id_of(1))->hold.nano, 200);
	assert_int_equal(x->d.over_hold, 0);
}

static void check_partial(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	stream(x, w, 0, 1, 5000);
	stream(x, w, 1, 2, 5000);
	assert_int_equal(extend(x, w, 0, 1, 900)->held_output, 900);
	const struct fare_extended *e = extend(x, w, 1, 2, 900);
	assert_true(e->held_output == 100 && e->hold.nano == 100 && e->available.nano == 0);
	assert_int_equal(extend(x, w, 0, 1, 1000)->held_output, 900);
	assert_int_equal(available(x), 0);
	credit(x, 50);
	assert_int_equal(extend(x, w, 0, 1, 1000)->held_output, 950);
	credit(x, -10); /* forced: below what is held */
	e = extend(x, w, 0, 1, 1000);
	assert_true(e->held_output == 950 && e->available.nano == -10);
	assert_int_equal(fare_decider_account(&x->d, 1)->pending.nano, 1050);
	/* More than was held, because the provider says so: stated and counted. */
	meter(x, 2, FARE_METER_FINAL, 130);
	fare_decider_end(&x->d, w, 1, id_of(2), false);
	write_all(x);
	assert_int_equal(entry_of(x, id_of(2))->flags & FARE_ENTRY_OVER_HOLD, FARE_ENTRY_OVER_HOLD);
	assert_int_equal(x->d.over_hold, 1);
}

static void check_choices(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit a = stream_of(1, 300);
	a.choices = 3;
	fare_decider_admit(&x->d, w, 0, &a);
	assert_true(last_told(x)->answer.grant.hold.nano == 120 && last_told(x)->answer.grant.held_output == 40);
	const struct fare_extended *e = extend(x, w, 0, 1, 100);
	assert_true(e->held_output == 100 && e->hold.nano == 300);
	e = extend(x, w, 0, 1, 5000);
	assert_true(e->held_output == 300 && e->hold.nano == 900);
}

/* The bank is killed: before it grew, in the middle, after it. What is found is what is held. */
static void check_recovery(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	stream(x, w, 0, 1, 500);
	extend(x, w, 0, 1, 100);
	for (int half = 0; half < 2; half++) {
		if (half) /* between the two words of the record */
			x->d.holds.records[w->memory[0].hold - x->d.holds.records].hold_nano = 160;
		bank_restarts(x);
		assert_int_equal(available(x), half ? 840 : 900);
		w = hello(x, 1, (struct fare_listed[]){{0, id_of(1)}}, 1);
		const struct told *t = stream(x, w, 0, 1, 500); /* its grant, said again */
		assert_true(t->answer.granted && t->answer.grant.held_output == 100);
		assert_int_equal(extend(x, w, 0, 1, 100)->held_output, 100);
		assert_int_equal(available(x), half ? 840 : 900);
	}
	const struct fare_extended *e = extend(x, w, 0, 1, 130);
	assert_true(e->held_output == 130 && e->hold.nano == 160 && available(x) == 840);
	e = extend(x, w, 0, 1, 160);
	assert_true(e->held_output == 160 && e->hold.nano == 160);
	e = extend(x, w, 0, 1, 200);
	assert_true(e->held_output == 200 && e->hold.nano == 200 && available(x) == 800);
	struct fare_holds_check c;
	assert_true(fare_decider_check_holds(&x->d, &c) || !strstr(c.first_fault, "pending"));
}

/* Of a call that is not running nothing is held; whoever asks is answered. */
static void check_no_hold(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	assert_int_equal(extend(x, w, 0, 1, 100)->held_output, 0); /* never heard of */
	stream(x, w, 0, 2, 500);
	assert_int_equal(extend(x, w, 0, 1, 100)->held_output, 0); /* another call's slot */
	assert_int_equal(extend(x, w, 1, 2, 100)->held_output, 0); /* another slot */
	meter(x, 2, FARE_METER_FINAL, 7);
	fare_decider_end(&x->d, w, 0, id_of(2), false);
	assert_int_equal(extend(x, w, 0, 2, 100)->held_output, 0); /* decided */
	assert_int_equal(available(x), 993);
	write_all(x);
	assert_int_equal(extend(x, w, 0, 2, 100)->held_output, 0); /* ended */
	assert_int_equal(available(x), 993);
	admit(x, w, 0, 3, 50); /* one that does not grow */
	assert_int_equal(extend(x, w, 0, 3, 100)->held_output, 0);
	assert_int_equal(available(x), 943);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(check_first), TEST(check_size), TEST(check_partial), TEST(check_choices), TEST(check_recovery), TEST(check_no_hold)};
	fare_log_level(FARE_ALARM);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
