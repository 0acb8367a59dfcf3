/* Scans of the store, on readers' threads: ledgers, exports, verify. And the calls that run or have just ended. */
#include "base/first.h"

#include "base/clock.h"
#include "base/log.h"
#include "bank/server_inner.h"

enum { DAY_MS = 86400000 };

/* ---- On readers' threads */

static bool one_entry(void *arg, const struct fare_entry *e)
{
	struct fare_admin *c = arg;
	if (e->time_ms < c->since_ms)
		return true;
	fare_entry_json(e, c->account_name, &c->out);
	fare_admin_end_record(c);
	return fare_admin_push(c);
}

static void read_ledger(struct fare_admin *c) { c->read_failed = fare_books_each_entry(c->bank->books, c->account, 1, one_entry, c) != 0; }

static bool one_line(void *arg, const char *line, size_t n)
{
	struct fare_admin *c = arg;
	fare_buf_add(&c->out, line, n);
	fare_admin_end_record(c);
	return fare_admin_push(c);
}

static void read_export(struct fare_admin *c) { c->read_failed = fare_books_export(c->bank->books, one_line, c) != 0; }

static bool one_usage(void *arg, const struct fare_usage_total *t, const char *account)
{
	struct fare_admin *c = arg;
	char day[FARE_TIME_TEXT_N];
	fare_buf_add_str(&c->out, "{\"account\": ");
	if (*account)
		fare_buf_add_json(&c->out, fare_span_of(account));
	else
		fare_buf_add_str(&c->out, "null");
	if (c->by == FARE_BY_KEY)
		fare_buf_addf(&c->out, ", \"key_id\": %llu", (unsigned long long)t->key);
	else
		fare_buf_add_str(&c->out, ", \"key_id\": null");
	if (c->by == FARE_BY_MODEL)
		fare_json_text_member(&c->out, "model", t->model);
	else
		fare_buf_add_str(&c->out, ", \"model\": null");
	fare_clock_text((uint64_t)t->day * DAY_MS, day);
	if (c->by == FARE_BY_DAY)
		fare_buf_addf(&c->out, ", \"day\": \"%.10s\"", day);
	else
		fare_buf_add_str(&c->out, ", \"day\": null");
	fare_buf_addf(&c->out, ", \"calls\": %llu, \"usage\": ", (unsigned long long)t->calls);
	fare_usage_json(&t->usage, &c->out);
	fare_json_amount(&c->out, "cost", t->cost);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
	return fare_admin_push(c);
}

static void read_usage(struct fare_admin *c)
{
	/* A span that ends as a day begins does not touch it. */
	uint64_t last_ms = c->until_ms ? c->until_ms - 1 : 0;
	c->read_failed = fare_books_usage(c->bank->books, c->by, (uint32_t)(c->since_ms / DAY_MS), (uint32_t)(last_ms / DAY_MS), one_usage, c) != 0;
}

static void read_verify(struct fare_admin *c)
{
	struct fare_verify v = {0};
	uint64_t from_ms = fare_clock_boot_ms();
	(void)!fare_books_verify_kept(c->bank->books, &c->kept, &v); /* a store that cannot be read is a fault, too */
	uint64_t ms = fare_clock_boot_ms() - from_ms;
	const char *fault = v.ok ? c->holds.first_fault : v.first_fault;
	fare_buf_addf(&c->out, "{\"ok_books\": %s, \"entries\": %llu, \"accounts\": %llu, \"seals\": %llu, \"holds\": %llu, \"entries_per_second\": %llu, \"first_fault\": ",
		fault[0] ? "false" : "true", (unsigned long long)v.entries, (unsigned long long)v.accounts, (unsigned long long)v.seals,
		(unsigned long long)(c->holds.live + c->holds.decided), (unsigned long long)(v.entries * 1000 / (ms ? ms : 1)));
	if (fault[0])
		fare_buf_add_json(&c->out, fare_span_of(fault));
	else
		fare_buf_add_str(&c->out, "null");
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static void read_backup(struct fare_admin *c)
{
	fare_buf_add_char(&c->out, '{');
	if (!fare_admin_add_head_seal(c))
		c->read_failed = true;
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
	if (!c->read_failed && fare_books_backup(c->bank->books, c->path) != 0) {
		fare_buf_reset(&c->out);
		fare_arg_wrong(c, "the backup into %.150s failed: the bank's log says why", c->path);
	}
}

/* ---- On the decider's thread */

static void ledger(struct fare_admin *c)
{
	const struct fare_acct *a = fare_arg_account(c, "name");
	c->since_ms = 0;
	(void)fare_arg_time(c, "since", &c->since_ms, true);
	if (c->bad || !a) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	c->account = a->rec.id;
	memcpy(c->account_name, a->rec.name, sizeof c->account_name);
	fare_admin_read(c, read_ledger);
}

static void usage(struct fare_admin *c)
{
	static const char *const words[] = {[FARE_BY_ACCOUNT] = "account", [FARE_BY_KEY] = "key", [FARE_BY_MODEL] = "model", [FARE_BY_DAY] = "day"};
	char by[16];
	c->since_ms = 0;
	c->until_ms = UINT32_MAX * (uint64_t)DAY_MS;
	c->by = FARE_BY_ACCOUNT;
	(void)fare_arg_time(c, "since", &c->since_ms, true);
	(void)fare_arg_time(c, "until", &c->until_ms, true);
	if (fare_arg_text(c, "by", by, sizeof by, false)) {
		while (c->by <= FARE_BY_DAY && strcmp(by, words[c->by]) != 0)
			c->by++;
		if (c->by > FARE_BY_DAY)
			fare_arg_wrong(c, "by must be account, key, model or day");
	}
	if (c->bad)
		fare_admin_fail(c, "%s", c->error);
	else
		fare_admin_read(c, read_usage);
}

static void backup(struct fare_admin *c)
{
	if (fare_arg_text(c, "dir", c->path, sizeof c->path, true) && c->path[0] != '/')
		fare_arg_wrong(c, "dir must be an absolute path");
	if (c->bad)
		fare_admin_fail(c, "%s", c->error);
	else
		fare_admin_read(c, read_backup);
}

static void ledger_all(struct fare_admin *c) { fare_admin_read(c, read_export); }

static void verify(struct fare_admin *c)
{
	char head[128];
	c->kept = (struct fare_kept_seal){0};
	if (fare_arg_text(c, "head", head, sizeof head, false) && !fare_kept_seal_parse(fare_span_of(head), &c->kept))
		fare_arg_wrong(c, "head: %.100s is not NUMBER:HASH", head);
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	if (!fare_decider_check_holds(&c->bank->d, &c->holds))
		fare_log(FARE_ALARM, "verify: %s", c->holds.first_fault);
	fare_admin_read(c, read_verify);
}

struct call_line {
	struct fare_id call_id;
	uint64_t account, key, price_version, started_ms;
	const char *state;
	struct fare_amount hold, cost;
	uint8_t ending; /* 0: runs */
};

static void add_call(struct fare_admin *c, const struct call_line *l)
{
	const struct fare_decider *d = &c->bank->d;
	const struct fare_acct *a = fare_decider_account(d, l->account);
	const struct fare_model *m = fare_decider_model(d, l->price_version);
	char id[FARE_ID_TEXT_N];
	fare_id_text(l->call_id, id);
	fare_buf_addf(&c->out, "{\"call_id\": \"%s\"", id);
	fare_json_text_member(&c->out, "account", a ? a->rec.name : "");
	fare_buf_addf(&c->out, ", \"key_id\": %llu", (unsigned long long)l->key);
	fare_json_text_member(&c->out, "model", m ? m->name : "");
	fare_json_text_member(&c->out, "state", l->state);
	fare_json_amount(&c->out, "hold", l->hold);
	if (l->ending) {
		fare_json_amount(&c->out, "cost", l->cost);
		fare_json_text_member(&c->out, "ending", fare_ending_word((enum fare_ending)l->ending));
	} else {
		fare_buf_add_str(&c->out, ", \"cost\": null, \"ending\": null");
	}
	fare_json_time(&c->out, "started", l->started_ms);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static const char *meter_state(struct fare_bank *b, const struct fare_hold *h)
{
	struct fare_worker *w = fare_decider_worker(&b->d, h->incarnation);
	struct fare_meter_reading r;
	return fare_meter_word(w && fare_call_read_meter(b, w, h->slot, h->call_id, &r) ? r.state : FARE_METER_IDLE);
}

static void add_live(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	for (uint32_t i = 0; i < b->d.holds.count; i++) {
		const struct fare_hold *h = &b->d.holds.records[i];
		uint64_t state = atomic_load(&h->state);
		if (state == FARE_HOLD_FREE)
			continue;
		bool decided = state == FARE_HOLD_DECIDED;
		struct call_line l = {.call_id = h->call_id, .account = h->account, .key = h->key, .price_version = h->price_version, .started_ms = h->started_ms,
			.state = decided ? "posting" : meter_state(b, h), .hold = fare_nano(h->hold_nano), .cost = fare_nano(h->amount_nano), .ending = decided ? (uint8_t)h->ending : 0};
		add_call(c, &l);
	}
}

static void calls(struct fare_admin *c)
{
	const struct fare_decider *d = &c->bank->d;
	bool live = fare_arg_true(c, "live");
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	add_live(c);
	uint64_t kept = d->ended_count < FARE_ENDED_N ? d->ended_count : FARE_ENDED_N;
	for (uint64_t i = 0; !live && i < kept; i++) {
		const struct fare_ended_call *e = &d->ended[(d->ended_count - 1 - i) % FARE_ENDED_N];
		struct call_line l = {.call_id = e->call_id, .account = e->account, .key = e->key, .price_version = e->price_version, .started_ms = e->started_ms, .state = "ended",
			.hold = e->hold, .cost = e->amount, .ending = e->ending};
		add_call(c, &l);
	}
	fare_admin_ok(c, "");
}

const struct fare_admin_op fare_ledger_ops[] = {
	{"ledger", ledger, "name since", false},
	{"backup", backup, "dir", false},
	{"usage", usage, "by since until", false},
	{"ledger_all", ledger_all, "", false},
	{"verify", verify, "head", false},
	{"calls", calls, "live", false},
	{NULL, NULL, NULL, false},
};
