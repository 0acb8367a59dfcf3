/* Indices: by call id, by ref, by batch and position; each leads to an entry. */
#include "base/first.h"

#include "base/log.h"
#include "store/inner.h"

enum { BATCH_KEY_N = 12, REF_HEAD_N = 9, REF_KEY_N = REF_HEAD_N + FARE_NAME_N };

int fare_index_get(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, uint64_t *to)
{
	struct fare_record rec;
	struct fare_unpack k;
	int r = fare_store_get(v, t, key, key_n, &rec);
	if (r == FARE_STORE_OK)
		r = fare_record_open(t, key, key_n, rec.bytes, rec.n, &k);
	if (r != FARE_STORE_OK)
		return r;
	*to = fare_unpack_u64(&k);
	return fare_record_end(t, key, key_n, &k);
}

int fare_index_put(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, uint64_t to)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	fare_pack_u64(&k, to);
	return fare_record_put(v, t, key, key_n, &rec, &k, true);
}

struct index_walk {
	enum fare_table table;
	int (*fn)(void *, struct fare_span, uint64_t);
	void *arg;
};

static int index_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct index_walk *w = arg;
	struct fare_unpack k;
	int r = fare_record_open(w->table, key, key_n, p, n, &k);
	if (r != FARE_STORE_OK)
		return r;
	uint64_t to = fare_unpack_u64(&k);
	r = fare_record_end(w->table, key, key_n, &k);
	return r == FARE_STORE_OK ? w->fn(w->arg, fare_span_at((const char *)key, key_n), to) : r;
}

int fare_index_walk(struct fare_view *v, enum fare_table t, int (*fn)(void *, struct fare_span, uint64_t), void *arg)
{
	struct index_walk w = {.table = t, .fn = fn, .arg = arg};
	return fare_store_scan(v, t, "", 0, index_one, &w);
}

static int place_read(enum fare_table t, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_place *out)
{
	struct fare_unpack k;
	int r = fare_record_open(t, key, key_n, p, n, &k);
	if (r != FARE_STORE_OK)
		return r;
	out->account = fare_unpack_u64(&k);
	out->number = fare_unpack_u64(&k);
	return fare_record_end(t, key, key_n, &k);
}

static int place_get(struct fare_view *v, enum fare_table t, const uint8_t *key, size_t key_n, struct fare_place *out)
{
	struct fare_record rec;
	int r = fare_store_get(v, t, key, key_n, &rec);
	return r == FARE_STORE_OK ? place_read(t, key, key_n, rec.bytes, rec.n, out) : r;
}

static int place_put(struct fare_view *v, enum fare_table t, const uint8_t *key, size_t key_n, struct fare_place at)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	fare_pack_u64(&k, at.account);
	fare_pack_u64(&k, at.number);
	return fare_record_put(v, t, key, key_n, &rec, &k, true);
}

int fare_call_get(struct fare_view *v, struct fare_id call_id, struct fare_place *out) { return place_get(v, FARE_TABLE_CALLS, call_id.b, sizeof call_id.b, out); }

int fare_call_put(struct fare_view *v, struct fare_id call_id, struct fare_place at) { return place_put(v, FARE_TABLE_CALLS, call_id.b, sizeof call_id.b, at); }

static void batch_key(uint64_t batch, uint32_t position, uint8_t key[BATCH_KEY_N])
{
	fare_put_u64(key, batch);
	fare_put_u32(key + 8, position);
}

int fare_batch_get(struct fare_view *v, uint64_t batch, uint32_t position, struct fare_place *out)
{
	uint8_t key[BATCH_KEY_N];
	batch_key(batch, position, key);
	return place_get(v, FARE_TABLE_BATCHES, key, sizeof key, out);
}

int fare_batch_put(struct fare_view *v, uint64_t batch, uint32_t position, struct fare_place at)
{
	uint8_t key[BATCH_KEY_N];
	batch_key(batch, position, key);
	return place_put(v, FARE_TABLE_BATCHES, key, sizeof key, at);
}

static size_t ref_key(uint64_t account, uint8_t kind, const char *ref, uint8_t key[REF_KEY_N])
{
	size_t n = strlen(ref);
	FARE_ASSERT(n < FARE_NAME_N);
	fare_put_u64(key, account);
	key[8] = kind;
	memcpy(key + REF_HEAD_N, ref, n);
	return REF_HEAD_N + n;
}

int fare_ref_get(struct fare_view *v, uint64_t account, uint8_t kind, const char *ref, uint64_t *number)
{
	uint8_t key[REF_KEY_N];
	size_t n = ref_key(account, kind, ref, key);
	return fare_index_get(v, FARE_TABLE_REFS, key, n, number);
}

int fare_ref_put(struct fare_view *v, uint64_t account, uint8_t kind, const char *ref, uint64_t number)
{
	uint8_t key[REF_KEY_N];
	size_t n = ref_key(account, kind, ref, key);
	return fare_index_put(v, FARE_TABLE_REFS, key, n, number);
}

struct walk {
	int (*call)(void *, struct fare_id, struct fare_place);
	int (*ref)(void *, uint64_t, uint8_t, const char *, uint64_t);
	int (*batch)(void *, uint64_t, uint32_t, struct fare_place);
	void *arg;
};

static int call_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_id id;
	struct fare_place at;
	if (key_n != sizeof id.b)
		return fare_store_bad(FARE_TABLE_CALLS, key, key_n, "has a key of a wrong length");
	memcpy(id.b, key, sizeof id.b);
	int r = place_read(FARE_TABLE_CALLS, key, key_n, p, n, &at);
	return r == FARE_STORE_OK ? w->call(w->arg, id, at) : r;
}

int fare_call_walk(struct fare_view *v, int (*fn)(void *, struct fare_id, struct fare_place), void *arg)
{
	struct walk w = {.call = fn, .arg = arg};
	return fare_store_scan(v, FARE_TABLE_CALLS, "", 0, call_one, &w);
}

static int ref_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_unpack k;
	char ref[FARE_NAME_N];
	if (key_n < REF_HEAD_N || !fare_span_copy(fare_span_at((const char *)key + REF_HEAD_N, key_n - REF_HEAD_N), ref, sizeof ref))
		return fare_store_bad(FARE_TABLE_REFS, key, key_n, "has a key of a wrong length");
	int r = fare_record_open(FARE_TABLE_REFS, key, key_n, p, n, &k);
	if (r != FARE_STORE_OK)
		return r;
	uint64_t number = fare_unpack_u64(&k);
	r = fare_record_end(FARE_TABLE_REFS, key, key_n, &k);
	return r == FARE_STORE_OK ? w->ref(w->arg, fare_get_u64(key), key[8], ref, number) : r;
}

int fare_ref_walk(struct fare_view *v, int (*fn)(void *, uint64_t, uint8_t, const char *, uint64_t), void *arg)
{
	struct walk w = {.ref = fn, .arg = arg};
	return fare_store_scan(v, FARE_TABLE_REFS, "", 0, ref_one, &w);
}

static int batch_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_place at;
	if (key_n != BATCH_KEY_N)
		return fare_store_bad(FARE_TABLE_BATCHES, key, key_n, "has a key of a wrong length");
	int r = place_read(FARE_TABLE_BATCHES, key, key_n, p, n, &at);
	return r == FARE_STORE_OK ? w->batch(w->arg, fare_get_u64(key), fare_get_u32(key + 8), at) : r;
}

int fare_batch_walk(struct fare_view *v, uint64_t batch, int (*fn)(void *, uint64_t, uint32_t, struct fare_place), void *arg)
{
	struct walk w = {.batch = fn, .arg = arg};
	uint8_t key[BATCH_KEY_N];
	batch_key(batch, 0, key);
	return fare_store_scan(v, FARE_TABLE_BATCHES, key, sizeof key, batch_one, &w);
}
