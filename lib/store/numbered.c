/* Kinds of records that are keyed by a number: got, put and walked alike. */
#include "base/first.h"

#include "store/inner.h"

enum { KEY_N = 8 };

static unsigned newest_of(const struct fare_numbered *kind) { return kind->unpack_2 ? FARE_RECORD_VERSION_2 : FARE_RECORD_VERSION; }

static int numbered_read(const struct fare_numbered *kind, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, void *to)
{
	struct fare_unpack k;
	unsigned version;
	if (key_n != KEY_N)
		return fare_store_bad(kind->table, key, key_n, "has a key of a wrong length");
	int r = fare_record_open_as(kind->table, key, key_n, p, n, newest_of(kind), &k, &version);
	if (r != FARE_STORE_OK)
		return r;
	memset(to, 0, kind->size);
	kind->unpack(&k, fare_get_u64(key), to);
	if (version == FARE_RECORD_VERSION_2)
		kind->unpack_2(&k, to);
	return fare_record_end(kind->table, key, key_n, &k);
}

int fare_numbered_get(struct fare_view *v, const struct fare_numbered *kind, uint64_t number, void *to)
{
	struct fare_record rec;
	uint8_t key[KEY_N];
	fare_put_u64(key, number);
	int r = fare_store_get(v, kind->table, key, sizeof key, &rec);
	return r == FARE_STORE_OK ? numbered_read(kind, key, sizeof key, rec.bytes, rec.n, to) : r;
}

int fare_numbered_put(struct fare_view *v, const struct fare_numbered *kind, uint64_t number, const void *from, bool fresh)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin_as(&rec, newest_of(kind));
	uint8_t key[KEY_N];
	kind->pack(&k, from);
	fare_put_u64(key, number);
	return fare_record_put(v, kind->table, key, sizeof key, &rec, &k, fresh);
}

struct walk {
	const struct fare_numbered *kind;
	void *one;
	int (*fn)(void *, const void *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	int r = numbered_read(w->kind, key, key_n, p, n, w->one);
	return r == FARE_STORE_OK ? w->fn(w->arg, w->one) : r;
}

int fare_numbered_walk(struct fare_view *v, const struct fare_numbered *kind, uint64_t from, void *one, int (*fn)(void *, const void *), void *arg)
{
	struct walk w = {.kind = kind, .one = one, .fn = fn, .arg = arg};
	uint8_t key[KEY_N];
	fare_put_u64(key, from);
	return fare_store_scan(v, kind->table, key, sizeof key, walk_one, &w);
}
