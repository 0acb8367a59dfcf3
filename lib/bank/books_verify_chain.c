/* Verify, account by account: each chain of entries, what its record says, and the indices that lead to its entries. */
#include "base/first.h"

#include "bank/books_verify.h"
#include "base/log.h"

static int fault_at(struct verify *x, uint64_t number, const char *what)
{
	return verify_fault(x, "account %s, entry %llu: %s", x->chain.at.id ? x->chain.at.name : "0 (the house's)", (unsigned long long)number, what);
}

static int fault_of(struct verify *x, const char *what) { return verify_fault(x, "account %s: %s", x->chain.at.id ? x->chain.at.name : "0 (the house's)", what); }

/* A price version, looked up once: it never changes. */
static int find_price(struct verify *x, uint64_t version, const struct fare_model **out)
{
	enum { STEP = 64, VERSIONS_MAX = 1 << 24 };
	struct fare_model m;
	if (version < x->models_n && x->models[version].version == version) {
		*out = &x->models[version];
		return FARE_STORE_OK;
	}
	int r = fare_model_get(&x->v, version, &m);
	if (r == FARE_STORE_OK && version >= VERSIONS_MAX)
		return FARE_STORE_NONE;
	if (r != FARE_STORE_OK)
		return r;
	if (version >= x->models_n) {
		size_t n = (size_t)version + STEP;
		x->models = fare_realloc(x->models, n * sizeof *x->models);
		memset(x->models + x->models_n, 0, (n - x->models_n) * sizeof *x->models);
		x->models_n = n;
	}
	x->models[version] = m;
	*out = &x->models[version];
	return FARE_STORE_OK;
}

static int check_call(struct verify *x, const struct fare_entry *e)
{
	const struct fare_model *m;
	struct fare_place at;
	bool over = -e->amount.nano > e->hold.nano;
	if (over != ((e->flags & FARE_ENTRY_OVER_HOLD) != 0))
		return fault_at(x, e->number, "says wrongly whether it is over its hold");
	int r = find_price(x, e->price_version, &m);
	if (r == FARE_STORE_NONE)
		return fault_at(x, e->number, "its price version is not there");
	if (r != FARE_STORE_OK)
		return r;
	const char *fault = fare_charge_fault(e, m);
	if (fault)
		return fault_at(x, e->number, fault);
	r = fare_call_get(&x->v, e->call_id, &at);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && (at.account != e->account || at.number != e->number)))
		return fault_at(x, e->number, "the index of calls does not lead to it");
	if (r == FARE_STORE_OK && !verify_usage_add(&x->chain.usage, e, x->chain.high_only))
		return fault_at(x, e->number, "the day's usage is beyond what 64 bits hold");
	return r;
}

/* A rerate brings what its call is charged to what it costs at the version named; it is the next one of that call. */
static int check_rerate(struct verify *x, const struct fare_entry *e, struct fare_place at)
{
	const struct fare_model *m;
	struct fare_entry call;
	struct fare_charged now;
	struct fare_amount due;
	uint64_t number;
	char ref[FARE_NAME_N];
	const char *slash = strrchr(e->ref, '/');
	if (!slash || !fare_num_u64(fare_span_of(slash + 1), 1, INT64_MAX, &number))
		return fault_at(x, e->number, "a rerate that has no number");
	fare_rerate_ref(e->corrects, number, ref);
	if (strcmp(ref, e->ref) != 0 || at.number >= e->number)
		return fault_at(x, e->number, "a rerate of another call than it says, or of a later one");
	int r = find_price(x, e->price_version, &m);
	if (r == FARE_STORE_NONE)
		return fault_at(x, e->number, "its price version is not there");
	if (r == FARE_STORE_OK)
		r = fare_entry_get(&x->v, at, &call);
	if (r == FARE_STORE_OK)
		r = fare_charged_get(&x->v, &call, number - 1, &now);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && now.rerates != number - 1))
		return fault_at(x, e->number, "the call that it rerates, or an earlier rerate of it, is not there");
	if (r != FARE_STORE_OK)
		return r;
	const char *fault = fare_rerate_due(&call, m, &due);
	if (fault)
		return fault_at(x, e->number, fault);
	return e->amount.nano == now.charge.nano - due.nano ? FARE_STORE_OK : fault_at(x, e->number, "does not bring its call to the price that it names");
}

static int check_other(struct verify *x, const struct fare_entry *e)
{
	struct fare_place at;
	uint64_t number;
	int r = FARE_STORE_OK;
	if (e->ref[0]) {
		r = fare_ref_get(&x->v, e->account, e->kind, e->ref, &number);
		if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && number != e->number))
			return fault_at(x, e->number, "the index of refs does not lead to it");
	}
	if (r == FARE_STORE_OK && !fare_id_is_zero(e->corrects)) {
		r = fare_call_get(&x->v, e->corrects, &at);
		if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && at.account != e->account))
			return fault_at(x, e->number, "corrects a call that is not in this account's ledger");
		if (r == FARE_STORE_OK && e->kind == FARE_KIND_RERATE)
			r = check_rerate(x, e, at);
	}
	return r;
}

/* The entry's place in its chain, and the sums that it carries on. */
static int check_chain(struct verify *x, const struct fare_entry *e)
{
	struct verify_chain *c = &x->chain;
	struct fare_hash h;
	const char *fault = fare_entry_fault(e);
	if (fault)
		return fault_at(x, e->number, fault);
	fare_entry_hash(e, &h);
	if (memcmp(h.b, e->hash.b, sizeof h.b) != 0)
		return fault_at(x, e->number, "its hash is not that of what it says");
	if (memcmp(e->prev.b, c->at.head.b, sizeof e->prev.b) != 0)
		return fault_at(x, e->number, "does not name the hash of the entry before it");
	if (!fare_amount_add(c->at.balance, e->amount, &c->at.balance) || !fare_totals_add(e->amount, &c->at.credits, &c->at.debits))
		return fault_at(x, e->number, "the balance is beyond what 64 bits hold");
	if (e->balance.nano != c->at.balance.nano)
		return fault_at(x, e->number, "its balance is not the one before and its amount");
	if (e->time_ms < c->time_ms)
		return fault_at(x, e->number, "is older than the entry before it");
	if (e->batch == 0 || e->batch < c->batch)
		return fault_at(x, e->number, "is of an older batch than the entry before it");
	c->time_ms = e->time_ms;
	c->batch = e->batch;
	c->at.head = e->hash;
	c->at.entries = e->number;
	return FARE_STORE_OK;
}

static int count_sealed(struct verify *x, const struct fare_entry *e)
{
	x->out->entries++;
	if (e->batch > x->last_batch)
		x->last_batch = e->batch;
	if (e->batch > x->head.number)
		return FARE_STORE_OK;
	x->sealed.total_entries++;
	if (!fare_totals_add(e->amount, &x->sealed.total_credits, &x->sealed.total_debits))
		return fault_at(x, e->number, "the instance's totals are beyond what 64 bits hold");
	return FARE_STORE_OK;
}

static int check_entry(void *arg, const struct fare_entry *e)
{
	struct verify *x = arg;
	struct verify_chain *c = &x->chain;
	if (e->account != c->at.id || e->number > c->limit)
		return FARE_STORE_NONE;
	if (e->number != c->at.entries + 1)
		return fault_at(x, c->at.entries + 1, "is not there");
	int r = check_chain(x, e);
	/* A later day has begun, so what is stored for the days before it is final. */
	if (r == FARE_STORE_OK && !c->high_only && fare_entry_day(e) > c->usage.next_day) {
		r = verify_usage_read(x, fare_entry_day(e) - 1);
		if (r == FARE_STORE_OK)
			r = verify_usage_judge(x, fare_entry_day(e) - 1);
	}
	if (r == FARE_STORE_OK)
		r = e->kind == FARE_KIND_CALL ? check_call(x, e) : check_other(x, e);
	return r == FARE_STORE_OK ? count_sealed(x, e) : r;
}

/* Reads the account's record again and follows the chain as far as it says; then both must agree. */
static int follow(struct verify *x)
{
	struct verify_chain *c = &x->chain;
	struct fare_account a;
	int r = fare_account_get(&x->v, c->at.id, &a);
	if (r == FARE_STORE_NONE)
		return fault_of(x, "its record is gone");
	if (r != FARE_STORE_OK)
		return verify_result(x, r);
	memcpy(c->at.name, a.name, sizeof c->at.name);
	c->limit = a.entries;
	if (a.entries > c->at.entries)
		r = verify_result(x, fare_entry_walk(&x->v, (struct fare_place){c->at.id, c->at.entries + 1}, check_entry, x));
	if (r != FARE_STORE_OK)
		return r;
	if (c->at.entries < a.entries)
		return fault_at(x, c->at.entries + 1, "is not there");
	if (c->at.entries > a.entries)
		return fault_of(x, "its record has gone back");
	if (memcmp(a.head.b, c->at.head.b, sizeof a.head.b) != 0)
		return fault_of(x, "its record has another head than its last entry");
	if (a.balance.nano != c->at.balance.nano || a.credits.nano != c->at.credits.nano || a.debits.nano != c->at.debits.nano)
		return fault_of(x, "its record has another balance, credits or debits than its entries");
	return FARE_STORE_OK;
}

/* The account must be found by its name. It may be renamed while we look. */
static int check_name(struct verify *x)
{
	struct verify_chain *c = &x->chain;
	struct fare_account again;
	uint64_t id;
	int r;
	for (;;) {
		r = fare_name_get(&x->v, c->at.name, &id);
		if (r != FARE_STORE_NONE && !(r == FARE_STORE_OK && id != c->at.id))
			return verify_result(x, r);
		r = fare_account_get(&x->v, c->at.id, &again);
		if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && strcmp(again.name, c->at.name) == 0))
			return fault_of(x, "is not found by its name");
		if (r != FARE_STORE_OK)
			return verify_result(x, r);
		memcpy(c->at.name, again.name, sizeof c->at.name);
	}
}

/* What comes next in the ledger, or in the usage totals, must belong to an account that is there, and have come there after we looked. */
static int next_entry(void *arg, const struct fare_entry *e)
{
	struct verify *x = arg;
	struct fare_account a;
	int r = fare_account_get(&x->v, e->account, &a);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "entry %llu of account %llu, which is not there", (unsigned long long)e->number, (unsigned long long)e->account);
	if (r != FARE_STORE_OK)
		return r;
	if (e->account == x->chain.at.id && e->number > a.entries)
		return fault_at(x, e->number, "is beyond the last that the account's record knows");
	return FARE_STORE_NONE;
}

static int next_total(void *arg, const struct fare_usage_total *t)
{
	struct verify *x = arg;
	struct fare_account a;
	int r = fare_account_get(&x->v, t->account, &a);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "usage of account %llu, which is not there", (unsigned long long)t->account);
	return r == FARE_STORE_OK ? FARE_STORE_NONE : r;
}

static int check_account(void *arg, const struct fare_account *a)
{
	struct verify *x = arg;
	struct verify_chain *c = &x->chain;
	verify_usage_release(&c->usage);
	memset(c, 0, sizeof *c);
	c->at.id = a->id;
	memcpy(c->at.name, a->name, sizeof c->at.name);
	x->out->accounts += a->id != 0;
	int r = a->id != 0 ? check_name(x) : FARE_STORE_OK;
	/* Twice, so that little is left to come between the chain and the usage that is read after it. */
	if (r == FARE_STORE_OK)
		r = follow(x);
	if (r == FARE_STORE_OK)
		r = follow(x);
	if (r == FARE_STORE_OK)
		r = verify_usage_read(x, UINT32_MAX);
	c->high_only = true;
	if (r == FARE_STORE_OK)
		r = follow(x);
	if (r == FARE_STORE_OK)
		r = verify_usage_judge(x, UINT32_MAX);
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_entry_walk(&x->v, (struct fare_place){a->id, c->at.entries + 1}, next_entry, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_usage_walk(&x->v, a->id + 1, 0, next_total, x));
	return r;
}

int verify_accounts(struct verify *x) { return verify_result(x, fare_account_walk(&x->v, 0, check_account, x)); }
