/* Keys, and the index of their hashes. */
#include "base/first.h"

#include "store/inner.h"

static void key_pack(struct fare_pack *k, const struct fare_key *r)
{
	fare_pack_u64(k, r->account);
	fare_pack_bytes(k, r->hash.b, sizeof r->hash.b);
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_str(k, fare_span_of(r->models));
	fare_pack_str(k, fare_span_of(r->ip));
	fare_pack_u64(k, r->created_ms);
	fare_pack_u64(k, r->expires_ms);
	fare_pack_u8(k, r->state);
}

static int key_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_key *out)
{
	struct fare_unpack k;
	int r = key_n == 8 ? fare_record_open(FARE_TABLE_KEYS, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_KEYS, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	out->id = fare_get_u64(key);
	out->account = fare_unpack_u64(&k);
	fare_unpack_bytes(&k, out->hash.b, sizeof out->hash.b);
	fare_unpack_str(&k, out->name, sizeof out->name);
	fare_unpack_str(&k, out->models, sizeof out->models);
	fare_unpack_str(&k, out->ip, sizeof out->ip);
	out->created_ms = fare_unpack_u64(&k);
	out->expires_ms = fare_unpack_u64(&k);
	out->state = fare_unpack_u8(&k);
	return fare_record_end(FARE_TABLE_KEYS, key, key_n, &k);
}

int fare_key_get(struct fare_view *v, uint64_t id, struct fare_key *out)
{
	struct fare_record rec;
	uint8_t key[8];
	fare_put_u64(key, id);
	int r = fare_store_get(v, FARE_TABLE_KEYS, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? key_read(key, sizeof key, rec.bytes, rec.n, out) : r;
}

int fare_key_put(struct fare_view *v, const struct fare_key *r)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[8];
	key_pack(&k, r);
	fare_put_u64(key, r->id);
	return fare_record_put(v, FARE_TABLE_KEYS, key, sizeof key, &rec, &k, false);
}

struct walk {
	int (*fn)(void *, const struct fare_key *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_key one;
	int r = key_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_key_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_key *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[8];
	fare_put_u64(key, from);
	return fare_store_scan(v, FARE_TABLE_KEYS, key, sizeof key, walk_one, &w);
}

int fare_key_hash_get(struct fare_view *v, const struct fare_hash *h, uint64_t *key) { return fare_index_get(v, FARE_TABLE_HASHES, h->b, sizeof h->b, key); }

int fare_key_hash_put(struct fare_view *v, const struct fare_hash *h, uint64_t key) { return fare_index_put(v, FARE_TABLE_HASHES, h->b, sizeof h->b, key); }
