/* Usage totals, keyed by account, day, key and model, so that a statement is one scan. */
#include "base/first.h"

#include "base/log.h"
#include "store/inner.h"

enum { HEAD_N = 20, KEY_N = HEAD_N + FARE_NAME_N };

static size_t key_of(const struct fare_usage_total *t, uint8_t key[KEY_N])
{
	size_t n = strlen(t->model);
	FARE_ASSERT(n < FARE_NAME_N);
	fare_put_u64(key, t->account);
	fare_put_u32(key + 8, t->day);
	fare_put_u64(key + 12, t->key);
	memcpy(key + HEAD_N, t->model, n);
	return HEAD_N + n;
}

static int total_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_usage_total *out)
{
	struct fare_unpack k;
	memset(out, 0, sizeof *out);
	if (key_n < HEAD_N || !fare_span_copy(fare_span_at((const char *)key + HEAD_N, key_n - HEAD_N), out->model, sizeof out->model))
		return fare_store_bad(FARE_TABLE_USAGE, key, key_n, "has a key of a wrong length");
	int r = fare_record_open(FARE_TABLE_USAGE, key, key_n, p, n, &k);
	if (r != FARE_STORE_OK)
		return r;
	out->account = fare_get_u64(key);
	out->day = fare_get_u32(key + 8);
	out->key = fare_get_u64(key + 12);
	out->calls = fare_unpack_u64(&k);
	fare_unpack_usage(&k, &out->usage);
	out->cost = fare_unpack_amount(&k);
	return fare_record_end(FARE_TABLE_USAGE, key, key_n, &k);
}

int fare_usage_get(struct fare_view *v, struct fare_usage_total *io)
{
	struct fare_record rec;
	uint8_t key[KEY_N];
	size_t n = key_of(io, key);
	int r = fare_store_get(v, FARE_TABLE_USAGE, key, n, &rec);
	return r == FARE_STORE_OK ? total_read(key, n, rec.bytes, rec.n, io) : r;
}

int fare_usage_put(struct fare_view *v, const struct fare_usage_total *t)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[KEY_N];
	size_t n = key_of(t, key);
	fare_pack_u64(&k, t->calls);
	fare_pack_usage(&k, &t->usage);
	fare_pack_amount(&k, t->cost);
	return fare_record_put(v, FARE_TABLE_USAGE, key, n, &rec, &k, false);
}

struct walk {
	int (*fn)(void *, const struct fare_usage_total *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_usage_total one;
	int r = total_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_usage_walk(struct fare_view *v, uint64_t account, uint32_t day, int (*fn)(void *, const struct fare_usage_total *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	uint8_t key[12];
	fare_put_u64(key, account);
	fare_put_u32(key + 8, day);
	return fare_store_scan(v, FARE_TABLE_USAGE, key, sizeof key, walk_one, &w);
}
