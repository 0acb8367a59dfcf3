/* Providers. */
#include "base/first.h"

#include "store/inner.h"

static void provider_pack(struct fare_pack *k, const struct fare_provider *r)
{
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_u8(k, r->style);
	fare_pack_str(k, fare_span_of(r->base_url));
	fare_pack_str(k, fare_span_of(r->key_file));
	fare_pack_str(k, fare_span_of(r->key_env));
	fare_pack_u8(k, r->removed);
}

static int provider_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_provider *out)
{
	struct fare_unpack k;
	int r = key_n == 8 ? fare_record_open(FARE_TABLE_PROVIDERS, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_PROVIDERS, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	out->id = fare_get_u64(key);
	fare_unpack_str(&k, out->name, sizeof out->name);
	out->style = fare_unpack_u8(&k);
	fare_unpack_str(&k, out->base_url, sizeof out->base_url);
	fare_unpack_str(&k, out->key_file, sizeof out->key_file);
	fare_unpack_str(&k, out->key_env, sizeof out->key_env);
	out->removed = fare_unpack_bool(&k);
	return fare_record_end(FARE_TABLE_PROVIDERS, key, key_n, &k);
}

int fare_provider_get(struct fare_view *v, uint64_t id, struct fare_provider *out)
{
	struct fare_record rec;
	uint8_t key[8];
	fare_put_u64(key, id);
	int r = fare_store_get(v, FARE_TABLE_PROVIDERS, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? provider_read(key, sizeof key, rec.bytes, rec.n, out) : r;
}

int fare_provider_put(struct fare_view *v, const struct fare_provider *r)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[8];
	provider_pack(&k, r);
	fare_put_u64(key, r->id);
	return fare_record_put(v, FARE_TABLE_PROVIDERS, key, sizeof key, &rec, &k, false);
}

struct walk {
	int (*fn)(void *, const struct fare_provider *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_provider one;
	int r = provider_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_provider_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_provider *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[8];
	fare_put_u64(key, from);
	return fare_store_scan(v, FARE_TABLE_PROVIDERS, key, sizeof key, walk_one, &w);
}
