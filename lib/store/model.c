/* Models: one record per price version. */
#include "base/first.h"

#include "store/inner.h"

static void model_pack(struct fare_pack *k, const struct fare_model *r)
{
	fare_pack_u64(k, r->provider);
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_str(k, fare_span_of(r->upstream));
	fare_pack_i64(k, r->price.input);
	fare_pack_i64(k, r->price.output);
	fare_pack_i64(k, r->price.cache_read);
	fare_pack_i64(k, r->price.cache_write);
	fare_pack_i64(k, r->price.per_call);
	fare_pack_u64(k, r->max_output);
	fare_pack_u64(k, r->context);
	fare_pack_u8(k, r->bound_field);
	fare_pack_u64(k, r->created_ms);
	fare_pack_u8(k, r->removed);
	fare_pack_u8(k, r->priced);
}

static int model_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_model *out)
{
	struct fare_unpack k;
	int r = key_n == 8 ? fare_record_open(FARE_TABLE_MODELS, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_MODELS, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	out->version = fare_get_u64(key);
	out->provider = fare_unpack_u64(&k);
	fare_unpack_str(&k, out->name, sizeof out->name);
	fare_unpack_str(&k, out->upstream, sizeof out->upstream);
	out->price.input = fare_unpack_i64(&k);
	out->price.output = fare_unpack_i64(&k);
	out->price.cache_read = fare_unpack_i64(&k);
	out->price.cache_write = fare_unpack_i64(&k);
	out->price.per_call = fare_unpack_i64(&k);
	out->max_output = fare_unpack_u64(&k);
	out->context = fare_unpack_u64(&k);
	out->bound_field = fare_unpack_u8(&k);
	out->created_ms = fare_unpack_u64(&k);
	out->removed = fare_unpack_bool(&k);
	out->priced = fare_unpack_bool(&k);
	return fare_record_end(FARE_TABLE_MODELS, key, key_n, &k);
}

int fare_model_get(struct fare_view *v, uint64_t id, struct fare_model *out)
{
	struct fare_record rec;
	uint8_t key[8];
	fare_put_u64(key, id);
	int r = fare_store_get(v, FARE_TABLE_MODELS, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? model_read(key, sizeof key, rec.bytes, rec.n, out) : r;
}

int fare_model_put(struct fare_view *v, const struct fare_model *r)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[8];
	model_pack(&k, r);
	fare_put_u64(key, r->version);
	return fare_record_put(v, FARE_TABLE_MODELS, key, sizeof key, &rec, &k, false);
}

struct walk {
	int (*fn)(void *, const struct fare_model *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_model one;
	int r = model_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_model_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_model *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[8];
	fare_put_u64(key, from);
	return fare_store_scan(v, FARE_TABLE_MODELS, key, sizeof key, walk_one, &w);
}
