/*
 * rerate: a reader looks for calls that are charged otherwise, a page at a time; the writer brings a page to the version's price; then the next one. Between two pages
 * everybody else has the writer. Who dies meanwhile leaves calls that are done and calls that are not: the same again does the rest.
 */
#include "base/first.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "bank/server_inner.h"

struct total { uint64_t account, calls; struct fare_amount before, amount; };

struct fare_rerating {
	struct fare_model model; /* the version to charge by */
	uint64_t since_ms;
	bool dry, ended;
	struct fare_place next;   /* where the next page begins */
	struct fare_rerate page;
	struct total *totals;     /* owned; in the order of the pages: by account */
	size_t totals_n, totals_cap;
};

/* A row for its account; false: sums beyond 64 bits. */
static bool total_add(struct fare_rerating *r, const struct fare_rerated *item)
{
	if (item->amount.nano == 0)
		return true;
	if (r->totals_n == 0 || r->totals[r->totals_n - 1].account != item->account) {
		if (r->totals_n == r->totals_cap) {
			r->totals_cap = r->totals_cap ? 2 * r->totals_cap : 64;
			r->totals = fare_realloc(r->totals, r->totals_cap * sizeof *r->totals);
		}
		r->totals[r->totals_n++] = (struct total){.account = item->account};
	}
	struct total *t = &r->totals[r->totals_n - 1];
	t->calls++;
	return fare_amount_add(t->before, item->before, &t->before) && fare_amount_add(t->amount, item->amount, &t->amount);
}

/* ---- On a reader's thread */

static bool page_take(void *arg, const struct fare_entry *call, const struct fare_rerated *item)
{
	struct fare_admin *c = arg;
	struct fare_rerating *r = c->rerating;
	if (r->dry) {
		if (!total_add(r, item))
			fare_arg_wrong(c, "the sums are beyond what 64 bits hold");
		return !c->bad;
	}
	r->page.items[r->page.n++].call = item->call;
	r->next = (struct fare_place){call->account, call->number + 1};
	r->ended = r->page.n < FARE_RERATE_MAX;
	return r->ended;
}

static void page_look(struct fare_admin *c)
{
	struct fare_rerating *r = c->rerating;
	r->page.n = 0;
	r->ended = true;
	c->read_failed = fare_books_rerate_look(c->bank->books, &r->model, r->since_ms, r->next, page_take, c) != 0;
}

/* ---- On the decider's thread */

static void add_total(struct fare_admin *c, const char *account, const struct total *t)
{
	fare_buf_add_str(&c->out, "{\"account\": ");
	if (account)
		fare_buf_add_json(&c->out, fare_span_of(account));
	else
		fare_buf_add_str(&c->out, "null");
	fare_buf_addf(&c->out, ", \"calls\": %llu", (unsigned long long)t->calls);
	fare_json_amount(&c->out, "charged", t->before);
	fare_json_amount(&c->out, "amount", t->amount);
	fare_buf_addf(&c->out, ", \"posted\": %s}", c->rerating->dry ? "false" : "true");
	fare_admin_end_record(c);
}

static void finish(struct fare_admin *c)
{
	struct fare_rerating *r = c->rerating;
	struct total all = {0};
	bool ok = true;
	for (size_t i = 0; i < r->totals_n; i++) {
		const struct total *t = &r->totals[i];
		const struct fare_acct *a = fare_decider_account(&c->bank->d, t->account);
		add_total(c, a ? a->rec.name : "", t);
		all.calls += t->calls;
		ok = ok && fare_amount_add(all.before, t->before, &all.before) && fare_amount_add(all.amount, t->amount, &all.amount);
	}
	if (ok)
		add_total(c, NULL, &all);
	fare_admin_ok(c, "");
}

static void page_posted(struct fare_admin *c, struct fare_job *job);

/* The page has been looked for: to the writer, unless there is none. */
static void page_looked(struct fare_admin *c)
{
	struct fare_rerating *r = c->rerating;
	char text[FARE_ERROR_N];
	if (r->page.n == 0) {
		finish(c);
		return;
	}
	if (c->bank->d.room != FARE_ROOM_GOOD) {
		fare_space_say(c->bank, text, sizeof text);
		fare_admin_fail(c, "%s", text);
		return;
	}
	r->page.version = r->model.version;
	r->page.time_ms = c->bank->d.now_ms;
	struct fare_job *job = fare_alloc(sizeof *job);
	job->op.type = FARE_OP_RERATE;
	job->op.u.rerate = &r->page;
	fare_admin_submit(c, job, page_posted);
}

/* Its connection is not watched while its answer is under way. */
static bool has_left(const struct fare_admin *c)
{
	char byte;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void page_posted(struct fare_admin *c, struct fare_job *job)
{
	struct fare_rerating *r = c->rerating;
	bool ok = true;
	(void)job;
	for (size_t i = 0; i < r->page.done; i++)
		ok = total_add(r, &r->page.items[i]) && ok;
	if (!ok) {
		fare_admin_fail(c, "the sums are beyond what 64 bits hold; what was posted is in the ledgers");
		return;
	}
	if (r->page.done < r->page.n) { /* the next one was refused: alone it says why */
		memmove(&r->page.items[0], &r->page.items[r->page.done], (r->page.n - r->page.done) * sizeof r->page.items[0]);
		r->page.n -= r->page.done;
		page_looked(c);
		return;
	}
	if (r->ended)
		finish(c);
	else if (has_left(c))
		fare_admin_fail(c, "stopped: the command has left");
	else
		fare_admin_read_then(c, page_look, page_looked);
}

void fare_rerating_end(struct fare_admin *c)
{
	if (!c->rerating)
		return;
	c->bank->rerates--;
	free(c->rerating->totals);
	free(c->rerating);
	c->rerating = NULL;
}

static const struct fare_model *read_version(struct fare_admin *c)
{
	char name[FARE_NAME_N];
	fare_arg_text(c, "model", name, sizeof name, true);
	uint64_t version = fare_arg_u64(c, "price_version", INT64_MAX, true);
	const struct fare_model *m = fare_decider_model(&c->bank->d, version);
	if (!m)
		fare_arg_wrong(c, "price version %llu is unknown", (unsigned long long)version);
	else if (strcmp(m->name, name) != 0)
		fare_arg_wrong(c, "price version %llu is of model %s", (unsigned long long)version, m->name);
	else if (!m->priced)
		fare_arg_wrong(c, "price version %llu has no price", (unsigned long long)version);
	return m;
}

/* Two at a time do the same work once, if it is the same: with another version each call would be left at the price of whoever came last. */
static void rerate(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	uint64_t since_ms = 0;
	const struct fare_model *m = read_version(c);
	bool dry = fare_arg_true(c, "dry_run");
	if (!fare_arg_time(c, "since", &since_ms, true))
		fare_arg_wrong(c, "since is missing");
	if (!c->bad && b->rerates && b->rerate_version != m->version)
		fare_arg_wrong(c, "price version %llu is being rerated: when that is done, run this again", (unsigned long long)b->rerate_version);
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	b->rerates++;
	b->rerate_version = m->version;
	c->rerating = fare_alloc(sizeof *c->rerating);
	*c->rerating = (struct fare_rerating){.model = *m, .since_ms = since_ms, .dry = dry, .next = {1, 1}};
	fare_admin_read_then(c, page_look, page_looked);
}

const struct fare_admin_op fare_rerate_ops[] = {
	{"rerate", rerate, "model since price_version dry_run", false},
	{NULL, NULL, NULL, false},
};
