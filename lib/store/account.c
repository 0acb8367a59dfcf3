/* Accounts, and the index of their names. */
#include "base/first.h"

#include "store/inner.h"

static void account_pack(struct fare_pack *k, const struct fare_account *r)
{
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_amount(k, r->balance);
	fare_pack_amount(k, r->credits);
	fare_pack_amount(k, r->debits);
	fare_pack_amount(k, r->credit_limit);
	fare_pack_u64(k, r->entries);
	fare_pack_bytes(k, r->head.b, sizeof r->head.b);
	fare_pack_u64(k, r->created_ms);
	fare_pack_u8(k, r->closed);
}

static int account_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_account *out)
{
	struct fare_unpack k;
	int r = key_n == 8 ? fare_record_open(FARE_TABLE_ACCOUNTS, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_ACCOUNTS, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	out->id = fare_get_u64(key);
	fare_unpack_str(&k, out->name, sizeof out->name);
	out->balance = fare_unpack_amount(&k);
	out->credits = fare_unpack_amount(&k);
	out->debits = fare_unpack_amount(&k);
	out->credit_limit = fare_unpack_amount(&k);
	out->entries = fare_unpack_u64(&k);
	fare_unpack_bytes(&k, out->head.b, sizeof out->head.b);
	out->created_ms = fare_unpack_u64(&k);
	out->closed = fare_unpack_bool(&k);
	return fare_record_end(FARE_TABLE_ACCOUNTS, key, key_n, &k);
}

int fare_account_get(struct fare_view *v, uint64_t id, struct fare_account *out)
{
	struct fare_record rec;
	uint8_t key[8];
	fare_put_u64(key, id);
	int r = fare_store_get(v, FARE_TABLE_ACCOUNTS, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? account_read(key, sizeof key, rec.bytes, rec.n, out) : r;
}

int fare_account_put(struct fare_view *v, const struct fare_account *r)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[8];
	account_pack(&k, r);
	fare_put_u64(key, r->id);
	return fare_record_put(v, FARE_TABLE_ACCOUNTS, key, sizeof key, &rec, &k, false);
}

struct walk {
	int (*fn)(void *, const struct fare_account *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_account one;
	int r = account_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_account_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_account *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[8];
	fare_put_u64(key, from);
	return fare_store_scan(v, FARE_TABLE_ACCOUNTS, key, sizeof key, walk_one, &w);
}

int fare_name_get(struct fare_view *v, const char *name, uint64_t *account) { return fare_index_get(v, FARE_TABLE_NAMES, name, strlen(name), account); }

int fare_name_put(struct fare_view *v, const char *name, uint64_t account) { return fare_index_put(v, FARE_TABLE_NAMES, name, strlen(name), account); }

int fare_name_del(struct fare_view *v, const char *name) { return fare_store_del(v, FARE_TABLE_NAMES, name, strlen(name)); }
