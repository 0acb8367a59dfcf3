/* Posting: one entry at the end of an account's chain, with everything that goes with it. */
#include "base/first.h"

#include "bank/books_inner.h"
#include "base/fault.h"
#include "base/log.h"

/* What a post reads before it writes. */
struct posting {
	struct fare_account account; /* as it will be */
	struct fare_usage_total total; /* likewise, for a call */
	struct fare_seal seal; /* likewise */
};

/* Is it in the ledger already? By call id, or by ref. */
static int look_for_call(struct fare_books *b, struct fare_op *op)
{
	struct fare_place at;
	int r = fare_call_get(&b->view, op->u.post.call_id, &at);
	if (r == FARE_STORE_NONE)
		return FARE_STORE_OK;
	if (r == FARE_STORE_OK)
		r = fare_entry_get(&b->view, at, &op->u.post);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "the index of calls names entry %llu of account %llu, which is not there", (unsigned long long)at.number, (unsigned long long)at.account);
	if (r != FARE_STORE_OK)
		return r;
	op->applied = FARE_ALREADY;
	return FARE_STORE_NONE;
}

static int look_for_ref(struct fare_books *b, struct fare_op *op)
{
	struct fare_entry *e = &op->u.post, before;
	struct fare_place at = {.account = e->account};
	char text[FARE_AMOUNT_TEXT_N];
	int r = fare_ref_get(&b->view, e->account, e->kind, e->ref, &at.number);
	if (r == FARE_STORE_NONE)
		return FARE_STORE_OK;
	if (r == FARE_STORE_OK)
		r = fare_entry_get(&b->view, at, &before);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "the index of refs names entry %llu of account %llu, which is not there", (unsigned long long)at.number, (unsigned long long)at.account);
	if (r != FARE_STORE_OK)
		return r;
	fare_amount_text_short(before.amount, text);
	if (before.amount.nano != e->amount.nano || !fare_id_eq(before.corrects, e->corrects))
		return fare_op_refuse(op, "ref %s was used before, for %s of %s%s", e->ref, fare_kind_word(e->kind), text, before.amount.nano == e->amount.nano ? " that corrects another call" : "");
	*e = before;
	op->applied = FARE_ALREADY;
	return FARE_STORE_NONE;
}

static int look_for_repeat(struct fare_books *b, struct fare_op *op)
{
	if (op->u.post.kind == FARE_KIND_CALL)
		return look_for_call(b, op);
	return op->u.post.ref[0] ? look_for_ref(b, op) : FARE_STORE_OK;
}

/* A call's charge must be what its price version says. */
static int check_charge(struct fare_books *b, struct fare_op *op)
{
	struct fare_model m;
	int r = fare_model_get(&b->view, op->u.post.price_version, &m);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "price version %llu is unknown", (unsigned long long)op->u.post.price_version);
	if (r != FARE_STORE_OK)
		return r;
	const char *fault = fare_charge_fault(&op->u.post, &m);
	return fault ? fare_op_refuse(op, "%s", fault) : FARE_STORE_OK;
}

static int check_corrected(struct fare_books *b, struct fare_op *op)
{
	struct fare_place at;
	int r = fare_call_get(&b->view, op->u.post.corrects, &at);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && at.account != op->u.post.account))
		return fare_op_refuse(op, "the call to correct is not in this account's ledger");
	return r;
}

/* The entry's place at the end of its chain and in its batch. */
static int place_entry(struct fare_books *b, struct fare_op *op, struct posting *p)
{
	struct fare_entry *e = &op->u.post;
	int r = fare_account_get(&b->view, e->account, &p->account);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "account %llu is unknown", (unsigned long long)e->account);
	if (r != FARE_STORE_OK)
		return r;
	p->seal = b->next;
	if (!fare_amount_add(p->account.balance, e->amount, &p->account.balance) || !fare_totals_add(e->amount, &p->account.credits, &p->account.debits) ||
		!fare_totals_add(e->amount, &p->seal.total_credits, &p->seal.total_debits))
		return fare_op_refuse(op, "the balance would be beyond what 64 bits hold");
	if (e->time_ms < p->seal.time_ms)
		e->time_ms = p->seal.time_ms;
	p->seal.time_ms = e->time_ms;
	p->seal.entries++;
	p->seal.total_entries++;
	e->number = ++p->account.entries;
	e->balance = p->account.balance;
	e->batch = p->seal.number;
	e->prev = p->account.head;
	if (e->kind == FARE_KIND_CALL && -e->amount.nano > e->hold.nano)
		e->flags |= FARE_ENTRY_OVER_HOLD;
	else
		e->flags &= (uint16_t)~FARE_ENTRY_OVER_HOLD;
	fare_entry_hash(e, &e->hash);
	p->account.head = e->hash;
	return FARE_STORE_OK;
}

static int add_usage(struct fare_books *b, struct fare_op *op, struct posting *p)
{
	const struct fare_entry *e = &op->u.post;
	p->total = (struct fare_usage_total){.account = e->account, .day = fare_entry_day(e), .key = e->key};
	memcpy(p->total.model, e->model, sizeof p->total.model);
	int r = fare_usage_get(&b->view, &p->total);
	if (r != FARE_STORE_OK && r != FARE_STORE_NONE)
		return r;
	return fare_usage_total_add(&p->total, e) ? FARE_STORE_OK : fare_op_refuse(op, "the day's usage would be beyond what 64 bits hold");
}

static int write_entry(struct fare_books *b, const struct fare_entry *e, const struct fare_story *story, const struct posting *p)
{
	struct fare_place at = {e->account, e->number};
	int r = fare_entry_put(&b->view, e);
	if (r == FARE_STORE_OK && e->kind == FARE_KIND_CALL && !fare_planted("twice"))
		r = fare_call_put(&b->view, e->call_id, at);
	if (r == FARE_STORE_OK && e->kind == FARE_KIND_CALL)
		r = fare_usage_put(&b->view, &p->total);
	if (r == FARE_STORE_OK && e->kind == FARE_KIND_CALL && story->state)
		r = fare_story_put(&b->view, story, false);
	if (r == FARE_STORE_OK && e->ref[0])
		r = fare_ref_put(&b->view, e->account, e->kind, e->ref, e->number);
	if (r == FARE_STORE_OK)
		r = fare_batch_put(&b->view, e->batch, (uint32_t)(p->seal.entries - 1), at);
	if (r == FARE_STORE_OK)
		r = fare_account_put(&b->view, &p->account);
	if (r == FARE_STORE_OK && !fare_hashes_add(&b->hashes, &e->hash))
		r = FARE_STORE_FAILED;
	if (r == FARE_STORE_OK)
		b->next = p->seal;
	return r == FARE_STORE_BAD ? FARE_STORE_FAILED : r;
}

/* So that the key leads to this call from now on. */
static int write_replay(struct fare_books *b, const struct fare_op *op)
{
	static const struct fare_hash no_key;
	const struct fare_entry *e = &op->u.post;
	struct fare_replay r = {.call_id = e->call_id, .account = e->account, .idem = op->keyed.idem, .cost = fare_nano(-e->amount.nano), .ended_ms = e->time_ms, .answer_n = op->keyed.answer_n};
	if (e->kind != FARE_KIND_CALL || e->amount.nano == 0 || memcmp(&r.idem, &no_key, sizeof no_key) == 0)
		return FARE_STORE_OK;
	memcpy(r.body, op->keyed.body, sizeof r.body);
	if (r.answer_n)
		fare_sha256(op->keyed.answer, r.answer_n, &r.answer);
	return fare_replay_put(&b->view, &r, op->keyed.answer) == FARE_STORE_OK ? FARE_STORE_OK : FARE_STORE_FAILED;
}

int fare_op_forget(struct fare_books *b, struct fare_op *op)
{
	for (uint32_t i = 0; i < op->u.forget.count; i++) {
		int r = fare_replay_del(&b->view, op->u.forget.calls[i]);
		if (r == FARE_STORE_FAILED) /* one that cannot be read stays, and verify tells */
			return r;
	}
	return FARE_STORE_OK;
}

int fare_op_post(struct fare_books *b, struct fare_op *op)
{
	struct fare_entry *e = &op->u.post;
	bool house = e->kind == FARE_KIND_OUTAGE || e->kind == FARE_KIND_RESTORED;
	if (op->type == FARE_OP_OUTAGE)
		e->account = 0;
	if (house != (op->type == FARE_OP_OUTAGE))
		return fare_op_refuse(op, "outage and restored have an operation of their own");
	if (e->kind == FARE_KIND_RERATE)
		return fare_op_refuse(op, "a rerate has an operation of its own");
	return fare_post_entry(b, op);
}

int fare_post_entry(struct fare_books *b, struct fare_op *op)
{
	struct fare_entry *e = &op->u.post;
	struct posting p;
	const char *fault = fare_entry_fault(e);
	if (fault)
		return fare_op_refuse(op, "%s", fault);
	if (b->next.entries >= FARE_BATCH_MAX) {
		fare_log(FARE_ALARM, "books: more than %d entries in a batch", FARE_BATCH_MAX);
		return FARE_STORE_FAILED;
	}
	int r = look_for_repeat(b, op);
	if (r == FARE_STORE_OK && e->kind == FARE_KIND_CALL)
		r = check_charge(b, op);
	if (r == FARE_STORE_OK && !fare_id_is_zero(e->corrects))
		r = check_corrected(b, op);
	if (r == FARE_STORE_OK)
		r = place_entry(b, op, &p);
	if (r == FARE_STORE_OK && e->kind == FARE_KIND_CALL)
		r = add_usage(b, op, &p);
	if (r == FARE_STORE_OK)
		r = write_entry(b, e, &op->story, &p);
	return r == FARE_STORE_OK ? write_replay(b, op) : r;
}
