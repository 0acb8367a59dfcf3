/*
 * Rerating: calls charged anew at another price version of their model. What a call is charged is its entry and the rerates of it; each rerate is an entry of its own that
 * brings that to what the call's usage costs at the price version it names. Its ref is the call's id and its number among the rerates of that call, so that none is
 * posted twice, and all of them are found.
 */
#include "base/first.h"

#include <stdio.h>

#include "bank/books_inner.h"

void fare_rerate_ref(struct fare_id call, uint64_t number, char out[FARE_NAME_N])
{
	char id[FARE_ID_TEXT_N];
	fare_id_text(call, id);
	snprintf(out, FARE_NAME_N, "%s/%llu", id, (unsigned long long)number);
}

int fare_charged_get(struct fare_view *v, const struct fare_entry *call, uint64_t most, struct fare_charged *out)
{
	char ref[FARE_NAME_N];
	struct fare_place at = {.account = call->account};
	struct fare_entry e;
	*out = (struct fare_charged){.charge = fare_nano(-call->amount.nano)};
	while (out->rerates < most) {
		fare_rerate_ref(call->call_id, out->rerates + 1, ref);
		int r = fare_ref_get(v, call->account, FARE_KIND_RERATE, ref, &at.number);
		if (r == FARE_STORE_NONE)
			return FARE_STORE_OK;
		if (r == FARE_STORE_OK)
			r = fare_entry_get(v, at, &e);
		if (r != FARE_STORE_OK)
			return r;
		if (!fare_amount_sub(out->charge, e.amount, &out->charge))
			return FARE_STORE_NONE;
		out->rerates++;
	}
	return FARE_STORE_OK;
}

const char *fare_rerate_due(const struct fare_entry *call, const struct fare_model *m, struct fare_amount *due)
{
	*due = fare_nano(0);
	if (call->kind != FARE_KIND_CALL)
		return "only calls are rerated";
	if (!m->priced || strcmp(m->name, call->model) != 0)
		return "the price version is not of the call's model";
	if (fare_ending_is_free((enum fare_ending)call->ending) || (call->amount.nano == 0 && fare_usage_is_zero(&call->usage)))
		return NULL;
	return fare_price_cost(&m->price, &call->usage, due) ? NULL : "cannot be priced";
}

/* The call of an item, what it is charged, and what it should be. NONE: decided, in the op. */
static int read_item(struct fare_books *b, struct fare_op *op, const struct fare_rerate *re, const struct fare_rerated *item, struct fare_entry *call, struct fare_charged *now,
	struct fare_amount *due)
{
	struct fare_place at;
	struct fare_model m;
	int r = fare_model_get(&b->view, re->version, &m);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "price version %llu is unknown", (unsigned long long)re->version);
	if (r == FARE_STORE_OK)
		r = fare_call_get(&b->view, item->call, &at);
	if (r == FARE_STORE_OK)
		r = fare_entry_get(&b->view, at, call);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "the call to rerate is not in the ledger");
	if (r == FARE_STORE_OK)
		r = fare_charged_get(&b->view, call, UINT64_MAX, now);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "the rerates of a call are not in the ledger: verify says more");
	if (r != FARE_STORE_OK)
		return r;
	const char *fault = fare_rerate_due(call, &m, due);
	return fault ? fare_op_refuse(op, "%s", fault) : FARE_STORE_OK;
}

static int rerate_one(struct fare_books *b, struct fare_op *op, const struct fare_rerate *re, struct fare_rerated *item)
{
	struct fare_entry call;
	struct fare_charged now;
	struct fare_amount due;
	int r = read_item(b, op, re, item, &call, &now, &due);
	if (r != FARE_STORE_OK)
		return r;
	item->account = call.account;
	item->before = now.charge;
	item->amount = fare_nano(now.charge.nano - due.nano); /* both are 0 or above */
	if (item->amount.nano == 0)
		return FARE_STORE_OK;
	struct fare_op one = {.type = FARE_OP_RERATE};
	one.u.post = (struct fare_entry){.account = call.account, .kind = FARE_KIND_RERATE, .amount = item->amount, .price_version = re->version, .time_ms = re->time_ms, .corrects = call.call_id};
	memcpy(one.u.post.model, call.model, sizeof call.model);
	fare_rerate_ref(call.call_id, now.rerates + 1, one.u.post.ref);
	r = fare_post_entry(b, &one);
	return r == FARE_STORE_NONE ? fare_op_refuse(op, "%s", one.error) : r;
}

int fare_op_rerate(struct fare_books *b, struct fare_op *op)
{
	struct fare_rerate *re = op->u.rerate;
	bool posted = false;
	for (re->done = 0; re->done < re->n; re->done++) {
		struct fare_rerated *item = &re->items[re->done];
		int r = rerate_one(b, op, re, item);
		if (r == FARE_STORE_NONE && posted)
			break; /* what stands before it is posted; it is refused when it comes first */
		if (r != FARE_STORE_OK)
			return r == FARE_STORE_BAD && posted ? FARE_STORE_FAILED : r;
		posted |= item->amount.nano != 0;
	}
	if (posted)
		return FARE_STORE_OK;
	op->applied = FARE_ALREADY;
	return FARE_STORE_NONE;
}

struct look {
	struct fare_view v;
	const struct fare_model *model;
	uint64_t since_ms;
	bool (*fn)(void *, const struct fare_entry *, const struct fare_rerated *);
	void *arg;
};

static int look_one(void *arg, const struct fare_entry *e)
{
	struct look *l = arg;
	struct fare_charged now;
	struct fare_amount due;
	if (e->kind != FARE_KIND_CALL || e->time_ms < l->since_ms || strcmp(e->model, l->model->name) != 0)
		return FARE_STORE_OK;
	int r = fare_charged_get(&l->v, e, UINT64_MAX, &now);
	if (r != FARE_STORE_OK)
		return r == FARE_STORE_NONE ? FARE_STORE_FAILED : r;
	if (fare_rerate_due(e, l->model, &due) || due.nano == now.charge.nano)
		return FARE_STORE_OK;
	struct fare_rerated item = {.call = e->call_id, .account = e->account, .before = now.charge, .amount = fare_nano(now.charge.nano - due.nano)};
	return l->fn(l->arg, e, &item) ? FARE_STORE_OK : FARE_STORE_NONE;
}

int fare_books_rerate_look(struct fare_books *b, const struct fare_model *m, uint64_t since_ms, struct fare_place from,
	bool (*fn)(void *, const struct fare_entry *, const struct fare_rerated *), void *arg)
{
	struct look l = {.v = fare_view_plain(b->store), .model = m, .since_ms = since_ms, .fn = fn, .arg = arg};
	return fare_entry_walk(&l.v, from, look_one, &l);
}
