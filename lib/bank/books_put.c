/* Accounts, keys, providers, models: made and changed. What history rests on (a key's hash, a price) never changes. */
#include "base/first.h"

#include "bank/books_inner.h"

static bool name_is_good(const char *s, size_t size)
{
	size_t n = strnlen(s, size);
	if (n == 0 || n == size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@", s[i]))
			return false;
	return true;
}

/* A name that is taken by another account is refused; *taken_by_us says that it is in the index for this one. */
static int check_name(struct fare_books *b, struct fare_op *op, bool *ours)
{
	uint64_t holder;
	int r = fare_name_get(&b->view, op->u.account.name, &holder);
	*ours = r == FARE_STORE_OK && holder == op->u.account.id;
	if (r == FARE_STORE_NONE || *ours)
		return FARE_STORE_OK;
	return r == FARE_STORE_OK ? fare_op_refuse(op, "account %s exists already", op->u.account.name) : r;
}

int fare_op_account(struct fare_books *b, struct fare_op *op)
{
	struct fare_account *a = &op->u.account, old = {.id = 0};
	bool fresh = a->id == 0, ours;
	if (!name_is_good(a->name, sizeof a->name))
		return fare_op_refuse(op, "an account's name is made of letters, digits and . _ - @, at most %d", FARE_NAME_N - 1);
	if (a->credit_limit.nano < 0)
		return fare_op_refuse(op, "a credit limit cannot be below 0");
	if (a->low_balance.nano < 0)
		return fare_op_refuse(op, "a low balance cannot be below 0");
	if (!fare_text_is_clean(a->default_models, sizeof a->default_models) || !fare_text_is_clean(a->default_ip, sizeof a->default_ip))
		return fare_op_refuse(op, "an account's default models and addresses must be text without controls, and not too long");
	int r = fresh ? FARE_STORE_OK : fare_account_get(&b->view, a->id, &old);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "account %llu is unknown", (unsigned long long)a->id);
	if (r == FARE_STORE_OK)
		r = check_name(b, op, &ours);
	if (r != FARE_STORE_OK)
		return r;
	/* All but what entries and alarms have made of it. */
	struct fare_account now = *a;
	now.id = fresh ? b->last_account + 1 : a->id;
	now.balance = old.balance;
	now.credits = old.credits;
	now.debits = old.debits;
	now.entries = old.entries;
	now.head = old.head;
	now.falls = old.falls;
	now.low = old.low;
	if (fresh && a->credit_limit.nano < a->low_balance.nano)
		now.low = FARE_LOW_TOLD; /* one that never had as much has not fallen */
	if (!fresh)
		now.created_ms = old.created_ms;
	if (!fresh && !ours)
		r = fare_name_del(&b->view, old.name);
	if (r == FARE_STORE_OK && !ours)
		r = fare_name_put(&b->view, now.name, now.id);
	if (r == FARE_STORE_OK)
		r = fare_account_put(&b->view, &now);
	if (r != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	if (fresh)
		b->last_account = now.id;
	*a = now;
	return FARE_STORE_OK;
}

int fare_op_low(struct fare_books *b, struct fare_op *op)
{
	struct fare_account *a = &op->u.account, now;
	int r = fare_account_get(&b->view, a->id, &now);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "account %llu is unknown", (unsigned long long)a->id);
	if (r != FARE_STORE_OK)
		return r;
	now.falls = a->falls;
	now.low = a->low;
	return fare_account_put(&b->view, &now) == FARE_STORE_OK ? FARE_STORE_OK : FARE_STORE_FAILED;
}

/* A changed key keeps what it is known by. */
static int check_old_key(struct fare_books *b, struct fare_op *op)
{
	struct fare_key *k = &op->u.key, old;
	int r = fare_key_get(&b->view, k->id, &old);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "key %llu is unknown", (unsigned long long)k->id);
	if (r != FARE_STORE_OK)
		return r;
	if (old.account != k->account || memcmp(old.hash.b, k->hash.b, sizeof old.hash.b) != 0)
		return fare_op_refuse(op, "a key's account and hash never change");
	k->created_ms = old.created_ms;
	return FARE_STORE_OK;
}

static int check_new_key(struct fare_books *b, struct fare_op *op)
{
	struct fare_account a;
	uint64_t holder;
	int r = fare_account_get(&b->view, op->u.key.account, &a);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && a.id == 0))
		return fare_op_refuse(op, "account %llu is unknown", (unsigned long long)op->u.key.account);
	if (r != FARE_STORE_OK)
		return r;
	r = fare_key_hash_get(&b->view, &op->u.key.hash, &holder);
	if (r == FARE_STORE_OK)
		return fare_op_refuse(op, "this key is there already, as key %llu", (unsigned long long)holder);
	return r == FARE_STORE_NONE ? FARE_STORE_OK : r;
}

int fare_op_key(struct fare_books *b, struct fare_op *op)
{
	struct fare_key *k = &op->u.key;
	bool fresh = k->id == 0;
	if (!fare_text_is_clean(k->name, sizeof k->name) || !fare_text_is_clean(k->models, sizeof k->models) || !fare_text_is_clean(k->ip, sizeof k->ip))
		return fare_op_refuse(op, "a key's name, models and addresses must be text without controls, and not too long");
	if (k->state != FARE_KEY_LIVE && k->state != FARE_KEY_REVOKED)
		return fare_op_refuse(op, "a key is live or revoked");
	int r = fresh ? check_new_key(b, op) : check_old_key(b, op);
	if (r != FARE_STORE_OK)
		return r;
	if (fresh) {
		k->id = b->last_key + 1;
		r = fare_key_hash_put(&b->view, &k->hash, k->id);
	}
	if (r == FARE_STORE_OK)
		r = fare_key_put(&b->view, k);
	if (r != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	if (fresh)
		b->last_key = k->id;
	return FARE_STORE_OK;
}

/* Two providers that are in use never share a name. */
static int same_name(void *arg, const struct fare_provider *p)
{
	struct fare_op *op = arg;
	if (p->removed || p->id == op->u.provider.id || strcmp(p->name, op->u.provider.name) != 0)
		return FARE_STORE_OK;
	return fare_op_refuse(op, "provider %s exists already", p->name);
}

int fare_op_provider(struct fare_books *b, struct fare_op *op)
{
	struct fare_provider *p = &op->u.provider, old;
	bool fresh = p->id == 0;
	if (!name_is_good(p->name, sizeof p->name))
		return fare_op_refuse(op, "a provider's name is made of letters, digits and . _ - @, at most %d", FARE_NAME_N - 1);
	if (!fare_text_is_clean(p->base_url, sizeof p->base_url) || !fare_text_is_clean(p->key_file, sizeof p->key_file) || !fare_text_is_clean(p->key_env, sizeof p->key_env))
		return fare_op_refuse(op, "a provider's base URL and the name of its key must be text without controls, and not too long");
	int r = fresh ? FARE_STORE_OK : fare_provider_get(&b->view, p->id, &old);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "provider %llu is unknown", (unsigned long long)p->id);
	if (r == FARE_STORE_OK && !p->removed)
		r = fare_provider_walk(&b->view, 1, same_name, op);
	if (r != FARE_STORE_OK)
		return r;
	if (op->applied == FARE_REFUSED_OP)
		return FARE_STORE_NONE;
	if (fresh)
		p->id = b->last_provider + 1;
	if (fare_provider_put(&b->view, p) != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	if (fresh)
		b->last_provider = p->id;
	return FARE_STORE_OK;
}

/* What entries were priced by stays as it was. */
static int check_old_model(struct fare_books *b, struct fare_op *op)
{
	struct fare_model *m = &op->u.model, old;
	int r = fare_model_get(&b->view, m->version, &old);
	if (r == FARE_STORE_NONE)
		return fare_op_refuse(op, "price version %llu is unknown", (unsigned long long)m->version);
	if (r != FARE_STORE_OK)
		return r;
	if (old.provider != m->provider || strcmp(old.name, m->name) != 0 || old.priced != m->priced || old.price.input != m->price.input || old.price.output != m->price.output ||
		old.price.cache_read != m->price.cache_read || old.price.cache_write != m->price.cache_write || old.price.per_call != m->price.per_call)
		return fare_op_refuse(op, "a price version keeps its model, provider and price: make a new one");
	m->created_ms = old.created_ms;
	return FARE_STORE_OK;
}

static int check_new_model(struct fare_books *b, struct fare_op *op)
{
	struct fare_provider p;
	int r = fare_provider_get(&b->view, op->u.model.provider, &p);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && p.removed))
		return fare_op_refuse(op, "provider %llu is unknown", (unsigned long long)op->u.model.provider);
	return r;
}

int fare_op_model(struct fare_books *b, struct fare_op *op)
{
	struct fare_model *m = &op->u.model;
	bool fresh = m->version == 0;
	if (m->name[0] == '\0' || !fare_text_is_clean(m->name, sizeof m->name) || !fare_text_is_clean(m->upstream, sizeof m->upstream))
		return fare_op_refuse(op, "a model's names must be text without controls, and not too long");
	if (!fare_price_is_sane(&m->price))
		return fare_op_refuse(op, "a price cannot be below 0, nor too high to charge a call of 2^40 tokens");
	int r = fresh ? check_new_model(b, op) : check_old_model(b, op);
	if (r != FARE_STORE_OK)
		return r;
	if (fresh)
		m->version = b->last_model + 1;
	if (fare_model_put(&b->view, m) != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	if (fresh)
		b->last_model = m->version;
	return FARE_STORE_OK;
}
