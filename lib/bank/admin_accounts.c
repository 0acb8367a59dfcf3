/* Accounts and their money. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "bank/match.h"
#include "bank/server_inner.h"

/* Balance figures that account and balance records share. */
static void add_money(struct fare_admin *c, const struct fare_acct *a)
{
	fare_json_amount(&c->out, "available", fare_decider_available(a));
	fare_json_amount(&c->out, "pending", a->pending);
	fare_json_amount(&c->out, "credits", a->rec.credits);
	fare_json_amount(&c->out, "debits", a->rec.debits);
	fare_json_amount(&c->out, "credit_limit", a->rec.credit_limit);
	fare_json_text_member(&c->out, "currency", c->bank->conf.currency);
}

static void add_number(struct fare_admin *c, const char *name, uint64_t v)
{
	if (v)
		fare_buf_addf(&c->out, ", \"%s\": %llu", name, (unsigned long long)v);
	else
		fare_buf_addf(&c->out, ", \"%s\": null", name);
}

static void add_settings(struct fare_admin *c, const struct fare_account *rec)
{
	fare_json_text_member(&c->out, "default_models", rec->default_models);
	fare_json_text_member(&c->out, "default_ip", rec->default_ip);
	add_number(c, "default_max_tokens", rec->default_max_tokens);
	add_number(c, "default_expires_s", rec->default_expires_s);
	if (rec->low_balance.nano)
		fare_json_amount(&c->out, "low_balance", rec->low_balance);
	else
		fare_buf_add_str(&c->out, ", \"low_balance\": null");
	fare_buf_addf(&c->out, ", \"low\": %s", rec->low == FARE_LOW_NOT ? "false" : "true");
}

static void add_account(struct fare_admin *c, const struct fare_acct *a)
{
	fare_buf_add_str(&c->out, "{\"name\": ");
	fare_buf_add_json(&c->out, fare_span_of(a->rec.name));
	fare_buf_addf(&c->out, ", \"id\": %llu", (unsigned long long)a->rec.id);
	fare_json_text_member(&c->out, "state", a->rec.closed ? "closed" : "open");
	fare_json_amount(&c->out, "balance", a->rec.balance);
	add_money(c, a);
	add_settings(c, &a->rec);
	fare_json_time(&c->out, "created", a->rec.created_ms);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static void account_done(struct fare_admin *c, struct fare_job *job)
{
	struct fare_acct *a = fare_decider_account(&c->bank->d, job->op.u.account.id);
	if (a)
		add_account(c, a);
	fare_admin_ok(c, "");
}

static void put(struct fare_admin *c, const struct fare_account *rec)
{
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	struct fare_job *job = fare_alloc(sizeof *job);
	job->op.type = FARE_OP_ACCOUNT_PUT;
	job->op.u.account = *rec;
	fare_admin_submit(c, job, account_done);
}

/* What is not named stays as it is; "" and 0 take a default away. */
static void read_settings(struct fare_admin *c, struct fare_account *rec)
{
	enum { TOKENS_LEAST = FARE_BOUND_LEAST, TOKENS_MOST = 10000000, EXPIRES_MOST_S = 100 * 366 * 86400U };
	char text[FARE_GLOBS_N];
	if (fare_arg_amount(c, "credit_limit", &rec->credit_limit, false) && rec->credit_limit.nano < 0)
		fare_arg_wrong(c, "a credit limit cannot be below 0");
	if (fare_arg_amount(c, "low_balance", &rec->low_balance, false) && rec->low_balance.nano < 0)
		fare_arg_wrong(c, "a low balance cannot be below 0");
	if (fare_arg_text(c, "default_models", text, sizeof text, false))
		memcpy(rec->default_models, text, sizeof text);
	if (fare_arg_text(c, "default_ip", text, sizeof text, false))
		memcpy(rec->default_ip, text, sizeof text);
	if (!fare_match_cidrs_valid(rec->default_ip))
		fare_arg_wrong(c, "default_ip: %.150s is no list of addresses and networks", rec->default_ip);
	if (fare_arg_is_there(c, "default_max_tokens"))
		rec->default_max_tokens = fare_arg_u64(c, "default_max_tokens", TOKENS_MOST, true);
	if (rec->default_max_tokens && rec->default_max_tokens < TOKENS_LEAST)
		fare_arg_wrong(c, "default_max_tokens must be at least %d, or 0 for the instance's", TOKENS_LEAST);
	if (fare_arg_is_there(c, "default_expires_s"))
		rec->default_expires_s = fare_arg_u64(c, "default_expires_s", EXPIRES_MOST_S, true);
}

static void account_create(struct fare_admin *c)
{
	struct fare_account rec = {.created_ms = c->bank->d.now_ms};
	fare_arg_text(c, "name", rec.name, sizeof rec.name, true);
	read_settings(c, &rec);
	if (fare_decider_account_named(&c->bank->d, rec.name))
		fare_arg_wrong(c, "account %s exists already", rec.name);
	put(c, &rec);
}

/* A limit that shrinks counts at once. */
static void account_set(struct fare_admin *c)
{
	struct fare_acct *a = fare_arg_account(c, "name");
	struct fare_account rec = a ? a->rec : (struct fare_account){0};
	read_settings(c, &rec);
	if (a && !c->bad && rec.credit_limit.nano < a->rec.credit_limit.nano)
		a->rec.credit_limit = rec.credit_limit;
	put(c, &rec);
}

static void account_state(struct fare_admin *c, bool closed)
{
	struct fare_acct *a = fare_arg_account(c, "name");
	struct fare_account rec = a ? a->rec : (struct fare_account){0};
	rec.closed = closed;
	if (a && closed)
		a->rec.closed = true; /* at once */
	put(c, &rec);
}

static void account_close(struct fare_admin *c) { account_state(c, true); }
static void account_reopen(struct fare_admin *c) { account_state(c, false); }

static void account_show(struct fare_admin *c)
{
	const struct fare_acct *a = fare_arg_account(c, "name");
	if (!a) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	add_account(c, a);
	fare_admin_ok(c, "");
}

static int by_name(const void *a, const void *b)
{
	const struct fare_acct *const *x = a, *const *y = b;
	return strcmp((*x)->rec.name, (*y)->rec.name);
}

static void account_list(struct fare_admin *c)
{
	struct fare_decider *d = &c->bank->d;
	const struct fare_acct **all = fare_alloc((d->account_count + 1) * sizeof *all);
	size_t n = 0;
	for (size_t i = 0; i < d->accounts.n; i++)
		if (d->accounts.at[i])
			all[n++] = d->accounts.at[i];
	qsort(all, n, sizeof *all, by_name);
	for (size_t i = 0; i < n; i++)
		add_account(c, all[i]);
	free(all);
	fare_admin_ok(c, "");
}

static void balance(struct fare_admin *c)
{
	const struct fare_acct *a = fare_arg_account(c, "name");
	if (!a) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	fare_buf_add_str(&c->out, "{\"account\": ");
	fare_buf_add_json(&c->out, fare_span_of(a->rec.name));
	add_money(c, a);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
	fare_admin_ok(c, "");
}

static void money_done(struct fare_admin *c, struct fare_job *job)
{
	const struct fare_acct *a = fare_decider_account(&c->bank->d, job->op.u.post.account);
	fare_entry_json(&job->op.u.post, a ? a->rec.name : "", &c->out);
	fare_admin_end_record(c);
	fare_admin_ok(c, job->op.applied == FARE_ALREADY ? ", \"already\": true" : "");
}

static void read_corrects(struct fare_admin *c, struct fare_entry *e)
{
	char text[FARE_ID_TEXT_N];
	if (!fare_arg_text(c, "corrects", text, sizeof text, false))
		return;
	if (!fare_id_parse(fare_span_of(text), &e->corrects) || fare_id_is_zero(e->corrects))
		fare_arg_wrong(c, "corrects: %s is no call id", text);
	e->kind = FARE_KIND_CORRECTION;
}

static void say_beyond(struct fare_admin *c, const char *account, struct fare_amount available)
{
	char text[FARE_AMOUNT_TEXT_N];
	fare_amount_text_short(available, text);
	fare_arg_wrong(c, "%.127s has %s available: a debit beyond that needs --force", account, text);
}

/* On a reader's thread: a debit beyond what is available is refused, but for one that was done before. */
static void read_repeat(struct fare_admin *c)
{
	struct fare_entry e;
	int r = fare_books_find_ref(c->bank->books, c->account, c->read_kind, c->name, &e);
	c->more = ", \"already\": true";
	c->read_failed = r < 0;
	if (r == 0)
		say_beyond(c, c->account_name, c->read_available);
	else if (r > 0 && (e.amount.nano != c->read_amount.nano || !fare_id_eq(e.corrects, c->read_corrects)))
		fare_arg_wrong(c, "ref %.100s was used before, for another amount or call", c->name);
	if (r <= 0 || c->bad)
		return;
	fare_entry_json(&e, c->account_name, &c->out);
	fare_admin_end_record(c);
}

static void look_for_repeat(struct fare_admin *c, const struct fare_acct *a, const struct fare_entry *e)
{
	c->account = a->rec.id;
	c->read_kind = e->kind;
	c->read_amount = fare_nano(-e->amount.nano);
	c->read_corrects = e->corrects;
	c->read_available = fare_decider_available(a);
	memcpy(c->name, e->ref, sizeof c->name);
	memcpy(c->account_name, a->rec.name, sizeof c->account_name);
	fare_admin_read(c, read_repeat);
}

/* A debit counts before the writer has seen it: one that cannot be taken must not get that far, for a sum that stood at its end could not be put right. */
static bool can_take(const struct fare_acct *a, struct fare_amount amount)
{
	struct fare_amount sum;
	return fare_amount_sub(a->rec.balance, amount, &sum) && fare_amount_add(a->rec.debits, amount, &sum);
}

static void money(struct fare_admin *c, bool is_debit)
{
	const struct fare_acct *a = fare_arg_account(c, "name");
	struct fare_entry e = {.kind = is_debit ? FARE_KIND_DEBIT : FARE_KIND_CREDIT, .time_ms = c->bank->d.now_ms};
	if (fare_arg_amount(c, "amount", &e.amount, true) && e.amount.nano <= 0)
		fare_arg_wrong(c, "an amount must be above 0");
	fare_arg_text(c, "ref", e.ref, sizeof e.ref, false);
	fare_arg_text(c, "note", e.note, sizeof e.note, false);
	read_corrects(c, &e);
	bool force = is_debit && fare_arg_true(c, "force");
	bool beyond = a && is_debit && !force && fare_decider_available(a).nano < e.amount.nano;
	if (beyond && e.ref[0] && !c->bad) {
		look_for_repeat(c, a, &e);
		return;
	}
	if (beyond)
		say_beyond(c, a->rec.name, fare_decider_available(a));
	if (a && is_debit && !can_take(a, e.amount))
		fare_arg_wrong(c, "the balance would be beyond what 64 bits hold");
	if (c->bad || !a) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	e.account = a->rec.id;
	if (is_debit)
		e.amount.nano = -e.amount.nano;
	struct fare_job *job = fare_alloc(sizeof *job);
	job->op.type = FARE_OP_POST;
	job->op.u.post = e;
	fare_admin_submit(c, job, money_done);
}

static void credit(struct fare_admin *c) { money(c, false); }
static void debit(struct fare_admin *c) { money(c, true); }

#define SETTINGS "credit_limit low_balance default_models default_ip default_max_tokens default_expires_s"

const struct fare_admin_op fare_account_ops[] = {
	{"account.create", account_create, "name " SETTINGS, true},
	{"account.set", account_set, "name " SETTINGS, true},
	{"account.list", account_list, "", false},
	{"account.show", account_show, "name", false},
	{"account.close", account_close, "name", true},
	{"account.reopen", account_reopen, "name", true},
	{"balance", balance, "name", false},
	{"credit", credit, "name amount ref note corrects", false},
	{"debit", debit, "name amount ref note corrects force", false},
	{NULL, NULL, NULL, false},
};
