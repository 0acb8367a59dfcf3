/* Seals: one per batch that posted anything. */
#include "base/first.h"

#include "store/inner.h"

static void seal_pack(struct fare_pack *k, const struct fare_seal *r)
{
	fare_pack_u64(k, r->entries);
	fare_pack_u64(k, r->time_ms);
	fare_pack_bytes(k, r->entries_hash.b, sizeof r->entries_hash.b);
	fare_pack_bytes(k, r->prev.b, sizeof r->prev.b);
	fare_pack_bytes(k, r->hash.b, sizeof r->hash.b);
	fare_pack_u64(k, r->total_entries);
	fare_pack_amount(k, r->total_credits);
	fare_pack_amount(k, r->total_debits);
}

static int seal_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_seal *out)
{
	struct fare_unpack k;
	int r = key_n == 8 ? fare_record_open(FARE_TABLE_SEALS, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_SEALS, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	out->number = fare_get_u64(key);
	out->entries = fare_unpack_u64(&k);
	out->time_ms = fare_unpack_u64(&k);
	fare_unpack_bytes(&k, out->entries_hash.b, sizeof out->entries_hash.b);
	fare_unpack_bytes(&k, out->prev.b, sizeof out->prev.b);
	fare_unpack_bytes(&k, out->hash.b, sizeof out->hash.b);
	out->total_entries = fare_unpack_u64(&k);
	out->total_credits = fare_unpack_amount(&k);
	out->total_debits = fare_unpack_amount(&k);
	return fare_record_end(FARE_TABLE_SEALS, key, key_n, &k);
}

int fare_seal_get(struct fare_view *v, uint64_t id, struct fare_seal *out)
{
	struct fare_record rec;
	uint8_t key[8];
	fare_put_u64(key, id);
	int r = fare_store_get(v, FARE_TABLE_SEALS, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? seal_read(key, sizeof key, rec.bytes, rec.n, out) : r;
}

int fare_seal_put(struct fare_view *v, const struct fare_seal *r)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[8];
	seal_pack(&k, r);
	fare_put_u64(key, r->number);
	return fare_record_put(v, FARE_TABLE_SEALS, key, sizeof key, &rec, &k, true);
}

struct walk {
	int (*fn)(void *, const struct fare_seal *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_seal one;
	int r = seal_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_seal_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_seal *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[8];
	fare_put_u64(key, from);
	return fare_store_scan(v, FARE_TABLE_SEALS, key, sizeof key, walk_one, &w);
}
