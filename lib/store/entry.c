/* Ledger entries, keyed by account and number; never changed, never deleted. */
#include "base/first.h"

#include "store/inner.h"

enum { KEY_N = 16 };

static void key_of(struct fare_place at, uint8_t key[KEY_N])
{
	fare_put_u64(key, at.account);
	fare_put_u64(key + 8, at.number);
}

static void entry_pack(struct fare_pack *k, const struct fare_entry *r)
{
	fare_pack_u8(k, r->kind);
	fare_pack_u8(k, r->ending);
	fare_pack_u16(k, r->flags);
	fare_pack_bytes(k, r->call_id.b, sizeof r->call_id.b);
	fare_pack_u64(k, r->key);
	fare_pack_amount(k, r->amount);
	fare_pack_amount(k, r->balance);
	fare_pack_amount(k, r->hold);
	fare_pack_u64(k, r->price_version);
	fare_pack_str(k, fare_span_of(r->model));
	fare_pack_usage(k, &r->usage);
	fare_pack_u64(k, r->time_ms);
	fare_pack_u64(k, r->batch);
	fare_pack_bytes(k, r->corrects.b, sizeof r->corrects.b);
	fare_pack_str(k, fare_span_of(r->ref));
	fare_pack_str(k, fare_span_of(r->note));
	fare_pack_bytes(k, r->prev.b, sizeof r->prev.b);
	fare_pack_bytes(k, r->hash.b, sizeof r->hash.b);
}

static int entry_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_entry *out)
{
	struct fare_unpack k;
	int r = key_n == KEY_N ? fare_record_open(FARE_TABLE_LEDGER, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_LEDGER, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	out->account = fare_get_u64(key);
	out->number = fare_get_u64(key + 8);
	out->kind = fare_unpack_u8(&k);
	out->ending = fare_unpack_u8(&k);
	out->flags = fare_unpack_u16(&k);
	fare_unpack_bytes(&k, out->call_id.b, sizeof out->call_id.b);
	out->key = fare_unpack_u64(&k);
	out->amount = fare_unpack_amount(&k);
	out->balance = fare_unpack_amount(&k);
	out->hold = fare_unpack_amount(&k);
	out->price_version = fare_unpack_u64(&k);
	fare_unpack_str(&k, out->model, sizeof out->model);
	fare_unpack_usage(&k, &out->usage);
	out->time_ms = fare_unpack_u64(&k);
	out->batch = fare_unpack_u64(&k);
	fare_unpack_bytes(&k, out->corrects.b, sizeof out->corrects.b);
	fare_unpack_str(&k, out->ref, sizeof out->ref);
	fare_unpack_str(&k, out->note, sizeof out->note);
	fare_unpack_bytes(&k, out->prev.b, sizeof out->prev.b);
	fare_unpack_bytes(&k, out->hash.b, sizeof out->hash.b);
	return fare_record_end(FARE_TABLE_LEDGER, key, key_n, &k);
}

int fare_entry_get(struct fare_view *v, struct fare_place at, struct fare_entry *out)
{
	struct fare_record rec;
	uint8_t key[KEY_N];
	key_of(at, key);
	int r = fare_store_get(v, FARE_TABLE_LEDGER, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? entry_read(key, sizeof key, rec.bytes, rec.n, out) : r;
}

int fare_entry_put(struct fare_view *v, const struct fare_entry *e)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[KEY_N];
	entry_pack(&k, e);
	key_of((struct fare_place){e->account, e->number}, key);
	return fare_record_put(v, FARE_TABLE_LEDGER, key, sizeof key, &rec, &k, true);
}

struct walk {
	int (*fn)(void *, const struct fare_entry *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_entry one;
	int r = entry_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_entry_walk(struct fare_view *v, struct fare_place from, int (*fn)(void *, const struct fare_entry *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[KEY_N];
	key_of(from, key);
	return fare_store_scan(v, FARE_TABLE_LEDGER, key, sizeof key, walk_one, &w);
}
