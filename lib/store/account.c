/* Accounts, and the index of their names. */
#include "base/first.h"

#include "store/inner.h"

static void account_pack(struct fare_pack *k, const void *from)
{
	const struct fare_account *r = from;
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_amount(k, r->balance);
	fare_pack_amount(k, r->credits);
	fare_pack_amount(k, r->debits);
	fare_pack_amount(k, r->credit_limit);
	fare_pack_u64(k, r->entries);
	fare_pack_bytes(k, r->head.b, sizeof r->head.b);
	fare_pack_u64(k, r->created_ms);
	fare_pack_u8(k, r->closed);
	fare_pack_str(k, fare_span_of(r->default_models));
	fare_pack_str(k, fare_span_of(r->default_ip));
	fare_pack_u64(k, r->default_max_tokens);
	fare_pack_u64(k, r->default_expires_s);
	fare_pack_amount(k, r->low_balance);
	fare_pack_u64(k, r->falls);
	fare_pack_u8(k, r->low);
}

static void account_unpack(struct fare_unpack *k, uint64_t id, void *to)
{
	struct fare_account *out = to;
	out->id = id;
	fare_unpack_str(k, out->name, sizeof out->name);
	out->balance = fare_unpack_amount(k);
	out->credits = fare_unpack_amount(k);
	out->debits = fare_unpack_amount(k);
	out->credit_limit = fare_unpack_amount(k);
	out->entries = fare_unpack_u64(k);
	fare_unpack_bytes(k, out->head.b, sizeof out->head.b);
	out->created_ms = fare_unpack_u64(k);
	out->closed = fare_unpack_bool(k);
}

static void account_unpack_2(struct fare_unpack *k, void *to)
{
	struct fare_account *out = to;
	fare_unpack_str(k, out->default_models, sizeof out->default_models);
	fare_unpack_str(k, out->default_ip, sizeof out->default_ip);
	out->default_max_tokens = fare_unpack_u64(k);
	out->default_expires_s = fare_unpack_u64(k);
	out->low_balance = fare_unpack_amount(k);
	out->falls = fare_unpack_u64(k);
	out->low = fare_unpack_u8(k);
}

static const struct fare_numbered kind = {.table = FARE_TABLE_ACCOUNTS, .size = sizeof(struct fare_account), .pack = account_pack, .unpack = account_unpack, .unpack_2 = account_unpack_2};

int fare_account_get(struct fare_view *v, uint64_t id, struct fare_account *out) { return fare_numbered_get(v, &kind, id, out); }

int fare_account_put(struct fare_view *v, const struct fare_account *r) { return fare_numbered_put(v, &kind, r->id, r, false); }

struct walk {
	int (*fn)(void *, const struct fare_account *);
	void *arg;
};

static int walk_one(void *arg, const void *one)
{
	struct walk *w = arg;
	return w->fn(w->arg, one);
}

int fare_account_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_account *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	struct fare_account one;
	return fare_numbered_walk(v, &kind, from, &one, walk_one, &w);
}

int fare_name_get(struct fare_view *v, const char *name, uint64_t *account) { return fare_index_get(v, FARE_TABLE_NAMES, name, strlen(name), account); }

int fare_name_put(struct fare_view *v, const char *name, uint64_t account) { return fare_index_put(v, FARE_TABLE_NAMES, name, strlen(name), account); }

int fare_name_del(struct fare_view *v, const char *name) { return fare_store_del(v, FARE_TABLE_NAMES, name, strlen(name)); }

int fare_name_walk(struct fare_view *v, int (*fn)(void *, struct fare_span, uint64_t), void *arg) { return fare_index_walk(v, FARE_TABLE_NAMES, fn, arg); }
